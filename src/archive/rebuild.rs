//! A rebuild computes sealed days again from the log. The result replaces the files that counted.

use super::recompute::{LogRows, recompute};
use super::seal::{LivePart, merged_parts};
use super::{ArchiveError, Place};
use crate::aggregate::Aggregate;
use crate::batch::Coverage;
use crate::closing::Closing;
use crate::key::Key;
use crate::store::Store;
use crate::table::Table;
use crate::time::{Day, DayRange};

/// Days of one view to be rebuilt, in the partitions of one worker.
#[derive(Clone, Debug)]
pub(crate) struct RebuildJob {
    pub(crate) view: String,
    pub(crate) worker: usize,
    pub(crate) coverage: Coverage,
    /// The last sealed closing.
    pub(crate) through: Closing,
    pub(crate) days: DayRange,
    /// The sealed days among these, each with the closing of its newest live revision here.
    pub(crate) sealed: Vec<(Day, Closing)>,
}

/// The result of a rebuild.
#[derive(Debug)]
pub(crate) struct Rebuilt<K, A> {
    /// The new parts, which count from now on.
    pub(crate) parts: Vec<LivePart<K, A>>,
    /// The number of events that were read.
    pub(crate) events: u64,
}

impl RebuildJob {
    /// Computes the days, writes them, and makes them count.
    ///
    /// A sealed day of which the log has no events becomes empty. If the files were correct, the rebuilt rows are the
    /// same as before; so each worker may commit by itself.
    pub(crate) fn run<K: Key, A: Aggregate>(
        self,
        place: &Place,
        log: &dyn LogRows<K, A>,
        share: f64,
    ) -> Result<Rebuilt<K, A>, ArchiveError> {
        let Place::Folder(store) = place else { return Err(ArchiveError::NoLog) };
        let mut recomputed = recompute(log, self.days, self.through, self.coverage, share)?;
        let events = recomputed.events;
        let mut due: Vec<(Day, Closing, Table<K, A>)> = Vec::new();
        for &(day, closing) in &self.sealed {
            let table = recomputed.tables.remove(&day).unwrap_or_else(Table::new);
            due.push((day, closing, table));
        }
        // Days whose files are all lost.
        let lost = recomputed.tables.into_iter().map(|(day, table)| (day, self.through, table));
        due.extend(lost.filter(|(day, ..)| *day <= self.through.day));
        let mut parts = Vec::new();
        let mut entries = Vec::new();
        for (day, closing, table) in due {
            let entry = self.write(store, day, closing, &table)?;
            let written = store.written(&self.view, &entry);
            parts.extend(LivePart::open(store, &written, self.coverage)?);
            entries.push(entry);
        }
        store.commit_rebuilt(&self.view, entries)?;
        tracing::info!(view = self.view, days = parts.len(), events, "rebuilt from the log");
        Ok(Rebuilt { parts, events })
    }

    fn write<K: Key, A: Aggregate>(
        &self,
        store: &Store,
        day: Day,
        closing: Closing,
        table: &Table<K, A>,
    ) -> Result<crate::store::BatchEntry, ArchiveError> {
        let (view, coverage, expected) = (&self.view, self.coverage, table.len() as u64);
        let written = merged_parts(table, &[], coverage, |rows| {
            store.write_rebuilt(view, day, closing, self.worker, coverage, expected, rows)
        })?;
        Ok(written?)
    }
}
