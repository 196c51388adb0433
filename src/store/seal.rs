//! Sealing: files are written and prepared, and one record makes them count.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use super::error::StoreError;
use super::live::LiveBatch;
use super::names::batch_file_name;
use super::opened::Store;
use super::proof::{LogProof, Share, Written};
use super::record::{BatchEntry, FileKey, Record};
use super::whole::write_whole;
use crate::aggregate::Aggregate;
use crate::batch::{BatchMeta, Coverage, write_rows};
use crate::closing::Closing;
use crate::key::Key;
use crate::time::Day;

impl Store {
    /// Writes one batch view, in any thread. `rows` must ascend as
    /// [`BatchWriter::push`](crate::batch::BatchWriter::push) requires.
    ///
    /// Guarantee: after `Ok` the file survives a crash. It does not count before a commit.
    ///
    /// # Errors
    /// [`StoreError::AlreadyClosed`] or [`StoreError::UnknownView`]; nothing was written. [`StoreError::Io`] from the
    /// system.
    ///
    /// # Panics
    /// As [`BatchWriter::push`](crate::batch::BatchWriter::push) does, if rows are out of order or not covered.
    // The name of a revision, then its rows. A struct for them would only repeat `BatchEntry`.
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn write_batch<K: Key, A: Aggregate>(
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
        self.check_open(view, closing)?;
        self.write(view, (day, closing, 0, worker as u32), coverage, expected_rows, rows)
    }

    /// Writes the complete file for a key, under its name.
    pub(super) fn write<K: Key, A: Aggregate>(
        &self,
        view: &str,
        (day, closing, generation, worker): FileKey,
        coverage: Coverage,
        expected_rows: u64,
        rows: impl IntoIterator<Item = (u64, K, A)>,
    ) -> Result<BatchEntry, StoreError> {
        assert!(day <= closing.day, "day {day} closes at {closing}");
        let dir = self.layout.day(self.config.process as u32, view, day);
        self.make_day(&dir).map_err(StoreError::harmless("make", &dir))?;
        let file = batch_file_name(closing, generation, worker);
        let meta = BatchMeta { view: view.to_owned(), day, closing: closing.day, coverage };
        let summary = write_whole(&*self.storage, &dir.join(&file), |sink| {
            let buffered = io::BufWriter::with_capacity(1 << 16, sink);
            let (mut buffered, summary) = write_rows(buffered, meta, expected_rows, rows)?;
            io::Write::flush(&mut buffered)?;
            Ok(summary)
        })?;
        let (rows, bytes, digest) = (summary.rows, summary.bytes, summary.digest);
        let closing = closing.day;
        Ok(BatchEntry { day, closing, generation, worker, coverage, file, rows, bytes, digest })
    }

    /// Creates the folder of a day, durably.
    fn make_day(&self, dir: &Path) -> io::Result<()> {
        let made = self.storage.create_dirs(dir);
        if made.is_err() {
            // The folder may exist without being durable, and creating it again would not notice that.
            self.days_in_doubt.store(true, Ordering::SeqCst);
        }
        made?;
        match dir.parent() {
            Some(view) if self.days_in_doubt.load(Ordering::SeqCst) => self.storage.sync_dir(view),
            _ => Ok(()),
        }
    }

    /// Registers that a local worker has written all its files for the closings of a view up to `closing`. `entries`
    /// are the files since the last call, if any. In memory only.
    ///
    /// # Errors
    /// [`StoreError::UnknownView`], and [`StoreError::AlreadyClosed`] for an entry of a committed closing; nothing was
    /// registered.
    ///
    /// # Panics
    /// If an entry is another worker's or of a later closing.
    pub(crate) fn prepare(
        &self,
        view: &str,
        closing: impl Into<Closing>,
        worker: usize,
        entries: Vec<BatchEntry>,
    ) -> Result<(), StoreError> {
        let closing = closing.into();
        self.check_view(view)?;
        let worker = worker as u32;
        for entry in &entries {
            assert_eq!(entry.worker, worker, "a worker prepares its own files");
            assert_eq!(entry.generation, 0, "what is rebuilt is not prepared");
            assert!(entry.closing() <= closing, "{} is after {closing}", entry.closing());
            self.check_open(view, entry.closing())?;
        }
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let keyed = entries.into_iter().map(|entry| (entry.place(), entry));
        state.prepared.entry(view.to_owned()).or_default().extend(keyed);
        let through = state.prepared_through.entry((view.to_owned(), worker)).or_insert(closing);
        *through = closing.max(*through);
        Ok(())
    }

    /// Commits all prepared files of a view with closings up to `through`, in one record. The record also has the share
    /// of each worker of the cluster, in order of the workers: the durable end of its log, and the number of files it
    /// has written. (Tests of the store have none.)
    ///
    /// Guarantee: after `Ok` the files count and survive a crash; before, none of them counts. Repeating a commit does
    /// nothing. Call it when all workers of the cluster have prepared.
    ///
    /// # Errors
    /// [`StoreError::UnknownView`], [`StoreError::TooLarge`] or [`StoreError::Failed`]: nothing was written.
    /// [`StoreError::Io`] if it may not have been; opening the folder again finds out.
    ///
    /// # Panics
    /// If the run has not begun, or a local worker that prepares has not prepared up to `through`.
    pub(crate) fn commit(
        &self,
        view: &str,
        through: impl Into<Closing>,
        shares: &[Share],
    ) -> Result<(), StoreError> {
        let through = through.into();
        self.check_view(view)?;
        self.note_shares(shares);
        let mut manifest = self.manifest();
        let batches = {
            let state = self.read();
            // Otherwise an opening would not know which processes have prepared it.
            assert!(self.has_begun(&state), "a run begins before it commits");
            if state.own.through(view).is_some_and(|own| own >= through) {
                return Ok(());
            }
            for ((of, worker), &prepared) in &state.prepared_through {
                let is_behind = of == view && prepared < through;
                assert!(!is_behind, "worker {worker} has prepared through {prepared} only");
            }
            let prepared = state.prepared.get(view).into_iter().flat_map(BTreeMap::values);
            prepared.filter(|entry| entry.closing() <= through).cloned().collect()
        };
        let files = shares.iter().map(|share| share.files).collect();
        let written = Written { run: self.run(), through, files };
        let written = Record::Written { view: view.to_owned(), written };
        let written = (!shares.is_empty()).then_some(written);
        let live = Record::commit(view.to_owned(), through, batches);
        self.append(&mut manifest, written.into_iter().chain([live]))?;
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(prepared) = state.prepared.get_mut(view) {
            prepared.retain(|(_, closing, ..), _| *closing > through);
        }
        Ok(())
    }

    fn note_shares(&self, shares: &[Share]) {
        let threads = (shares.len() / self.config.processes).max(1);
        let workers = shares.iter().enumerate();
        self.note_logs(workers.filter_map(|(worker, share)| {
            Some(LogProof { part: (worker / threads) as u32, position: share.log? })
        }));
    }

    /// The batch view that [`Store::write_batch`] wrote, with its whole coverage. It can be opened before or after its
    /// commit.
    pub(crate) fn written(&self, view: &str, entry: &BatchEntry) -> LiveBatch {
        LiveBatch::new(&self.layout, view, self.config.process as u32, entry)
    }

    fn check_open(&self, view: &str, closing: Closing) -> Result<(), StoreError> {
        match self.sealed_through(view) {
            Some(through) if closing <= through => {
                Err(StoreError::AlreadyClosed { view: view.to_owned(), closing, through })
            }
            _ => Ok(()),
        }
    }
}
