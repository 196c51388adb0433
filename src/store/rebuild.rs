//! Rebuilding: a sealed revision that was computed again replaces the one that counts.

use std::sync::PoisonError;

use super::error::StoreError;
use super::opened::Store;
use super::record::{BatchEntry, PartState, Record};
use crate::aggregate::Aggregate;
use crate::batch::Coverage;
use crate::closing::Closing;
use crate::key::Key;
use crate::time::Day;

impl Store {
    /// Writes a rebuilt batch view, in any thread. It is the next generation of a sealed revision: one more than the
    /// greatest that any part has for its partitions. `rows` must ascend as
    /// [`BatchWriter::push`](crate::batch::BatchWriter::push) requires.
    ///
    /// Guarantee: after `Ok` the file survives a crash. It does not count before [`Store::commit_rebuilt`]; without
    /// that, the next opening removes it. Not guaranteed: anything, if two threads rebuild a day for the same
    /// partitions at once.
    ///
    /// # Errors
    /// [`StoreError::NotClosed`] or [`StoreError::UnknownView`]; nothing was written. [`StoreError::Io`] from the
    /// system.
    ///
    /// # Panics
    /// As [`BatchWriter::push`](crate::batch::BatchWriter::push) does, if rows are out of order or not covered.
    // The arguments are those of `write_batch`: the name of a revision, then its rows.
    #[doc(hidden)]
    #[allow(clippy::too_many_arguments)]
    pub fn write_rebuilt<K: Key, A: Aggregate>(
        &self,
        view: &str,
        day: Day,
        closing: impl Into<Closing>,
        worker: usize,
        coverage: Coverage,
        expected_rows: u64,
        rows: impl IntoIterator<Item = (u64, K, A)>,
    ) -> Result<BatchEntry, StoreError> {
        let closing = closing.into();
        self.check_view(view)?;
        self.check_closed(view, closing)?;
        let worker = worker as u32;
        let generation = self.generation(view, day, closing, worker, coverage) + 1;
        self.write(view, (day, closing, generation, worker), coverage, expected_rows, rows)
    }

    /// Makes the rebuilt files of a view count, in one record. The last closed day does not change.
    ///
    /// Guarantee: after `Ok` all of them count and survive a crash; before, none of them counts. Each process commits
    /// what its workers have rebuilt, at any time.
    ///
    /// # Errors
    /// [`StoreError::UnknownView`], [`StoreError::NotClosed`], [`StoreError::TooLarge`] or [`StoreError::Failed`]:
    /// nothing was written. [`StoreError::Io`] if it may not have been; opening the folder again finds out.
    ///
    /// # Panics
    /// If an entry does not come from [`Store::write_rebuilt`].
    #[doc(hidden)]
    pub fn commit_rebuilt(&self, view: &str, entries: Vec<BatchEntry>) -> Result<(), StoreError> {
        self.check_view(view)?;
        for entry in &entries {
            assert!(entry.generation > 0, "what is sealed is prepared and committed");
            self.check_closed(view, entry.closing())?;
        }
        if entries.is_empty() {
            return Ok(());
        }
        let record = Record::Rebuilt { view: view.to_owned(), batches: entries };
        self.append(&mut self.manifest(), Some(record))
    }

    /// The greatest generation of a revision that covers any of these partitions, or that has the worker's name.
    fn generation(
        &self,
        view: &str,
        day: Day,
        closing: Closing,
        worker: u32,
        coverage: Coverage,
    ) -> u32 {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let rebuilt = |part: &PartState| {
            let sealed = part.sealed.get(view)?;
            let places = (day, closing, 0, 0)..=(day, closing, u32::MAX, u32::MAX);
            let meets = |entry: &&BatchEntry| {
                entry.worker == worker || !entry.coverage.intersection(coverage).is_empty()
            };
            let entries = sealed.batches.range(places).map(|(_, entry)| entry).filter(meets);
            entries.map(|entry| entry.generation).max()
        };
        let parts = state.others.values().chain([&state.own]);
        parts.filter_map(rebuilt).max().unwrap_or(0)
    }

    fn check_closed(&self, view: &str, closing: Closing) -> Result<(), StoreError> {
        match self.sealed_through(view) {
            Some(through) if closing <= through => Ok(()),
            through => Err(StoreError::NotClosed { view: view.to_owned(), closing, through }),
        }
    }
}
