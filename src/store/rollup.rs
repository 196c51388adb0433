//! Files of rollups: coarser periods, made of sealed ones.
//!
//! A record of the manifest names each of them, with a fingerprint of what it was made of. The file is durable before its
//! record, and a file that no record names is removed on opening. A rollup counts as long as its fingerprint is that of the
//! revisions that count; so the record that makes another revision count also takes the rollup out of the way. A later rollup
//! of the same period takes the place of an earlier one, for the partitions that it covers.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::batch_file::open_raw;
use super::config::StoreConfig;
use super::error::StoreError;
use super::layout::Layout;
use super::live::RollupFile;
use super::names::{parse_rollup_file_name, rollup_file_name};
use super::opened::Store;
use super::record::{BatchEntry, PartState, Record, RollupEntry};
use super::storage::Storage;
use super::whole::{names_in, write_whole};
use crate::aggregate::Aggregate;
use crate::batch::{BatchMeta, BatchView, Coverage, write_rows};
use crate::key::Key;
use crate::time::{Day, Grain};

impl PartState {
    /// Forgets rollups of grains that the program does not keep, and those that later ones cover together. For a manifest
    /// that is about to be written anew.
    pub(super) fn prune_rollups(&mut self, config: &StoreConfig) {
        for (view, rollups) in &mut self.rollups {
            // A program of its own dataflow does not say what it keeps.
            let Some(kept) = config.retention.get(view).copied() else { continue };
            let from = self.kept.get(view).map_or(Day::MIN, |kept| kept.from);
            let base = config.views.iter().find(|record| record.name == *view);
            let outliving = base.map_or(Vec::new(), |record| kept.outliving(record.grain));
            let outlives = |grain: Grain| outliving.iter().any(|(longer, _)| *longer == grain);
            rollups.retain(|_, entry| {
                kept.rolls_up(entry.grain) && (outlives(entry.grain) || entry.batch.day >= from)
            });
            let (mut period, mut covered) = (None, Coverage::NONE);
            let mut gone = Vec::new();
            for (key, entry) in rollups.iter().rev() {
                if period.replace((key.0, key.1)) != Some((key.0, key.1)) {
                    covered = Coverage::NONE;
                }
                if entry.batch.coverage.difference(covered).is_empty() {
                    gone.push(*key);
                }
                covered = covered.union(entry.batch.coverage);
            }
            gone.iter().for_each(|key| drop(rollups.remove(key)));
        }
        self.rollups.retain(|_, rollups| !rollups.is_empty());
    }
}

/// A rollup that is to be written.
pub(crate) struct NewRollup {
    pub(crate) grain: Grain,
    pub(crate) worker: usize,
    /// No other one of this run and worker has it.
    pub(crate) number: u64,
    /// The fingerprint of what it is made of.
    pub(crate) parts: u64,
}

impl Store {
    /// Writes a rollup, opens it, and makes it count.
    ///
    /// Guarantee: after `Ok` it survives a crash. Before, it does not count.
    ///
    /// # Errors
    /// [`StoreError::UnknownView`], [`StoreError::TooLarge`] or [`StoreError::Failed`]: it does not count.
    /// [`StoreError::Io`] from the system.
    pub(crate) fn write_rollup<K: Key, A: Aggregate>(
        &self,
        new: NewRollup,
        meta: BatchMeta,
        expected_rows: u64,
        rows: impl IntoIterator<Item = (u64, K, A)>,
    ) -> Result<(RollupFile, BatchView<K, A>), StoreError> {
        self.check_view(&meta.view)?;
        let BatchMeta { day, closing, coverage, .. } = meta;
        let (view, process, worker) = (meta.view.clone(), self.process(), new.worker as u32);
        let dir = self.layout.rollups(process).join(&view);
        let made = self.storage.create_dirs(&dir);
        // What an earlier attempt has left of the folders may not be durable.
        let above = dir.ancestors().skip(1).take(2);
        let made =
            made.and_then(|()| above.into_iter().try_for_each(|dir| self.storage.sync_dir(dir)));
        made.map_err(StoreError::harmless("make", &dir))?;
        let made = (self.run(), new.number);
        let file = rollup_file_name(new.grain, day, worker, made);
        let summary = write_whole(&*self.storage, &dir.join(&file), |sink| {
            let buffered = io::BufWriter::with_capacity(1 << 16, sink);
            let (mut buffered, summary) = write_rows(buffered, meta, expected_rows, rows)?;
            io::Write::flush(&mut buffered)?;
            Ok(summary)
        })?;
        let (rows, bytes, digest) = (summary.rows, summary.bytes, summary.digest);
        let generation = 0;
        let batch =
            BatchEntry { day, closing, generation, worker, coverage, file, rows, bytes, digest };
        let entry = RollupEntry { grain: new.grain, parts: new.parts, made, batch };
        let written = RollupFile::new(&self.layout, &view, process, &entry);
        let opened = self.open_rollup(&written)?;
        self.append(&mut self.manifest(), Some(Record::Rolled { view, rollups: vec![entry] }))?;
        Ok((written, opened))
    }

    /// Removes files of rollups that others have taken the place of; whoever still reads one goes on. What cannot be removed
    /// goes with the next opening.
    pub(crate) fn discard_rollups(&self, stale: &[PathBuf]) {
        for path in stale {
            if let Err(error) = self.storage.remove(path) {
                tracing::debug!(path = %path.display(), %error, "a rollup is removed later");
            }
        }
    }

    /// Removes the rollups of a grain that begin before a day: all workers have them in coarser ones, and no question is about
    /// them any more.
    ///
    /// # Errors
    /// [`StoreError::Failed`], or [`StoreError::Io`] if it may not have been recorded: no file was removed.
    pub(crate) fn remove_rollups(
        &self,
        view: &str,
        grain: Grain,
        before: Day,
    ) -> Result<(), StoreError> {
        let coverage = Coverage::ALL;
        let record = Record::Unrolled { view: view.to_owned(), grain, before, coverage };
        self.append(&mut self.manifest(), Some(record))?;
        let dir = self.layout.rollups(self.process()).join(view);
        let names = self.storage.list(&dir).unwrap_or_default();
        let is_gone = |name: &&String| {
            parse_rollup_file_name(name).is_some_and(|(of, day)| of == grain && day < before)
        };
        let files: Vec<PathBuf> = names.iter().filter(is_gone).map(|name| dir.join(name)).collect();
        self.discard_rollups(&files);
        tracing::info!(view, %grain, %before, files = files.len(), "older rollups are removed");
        Ok(())
    }

    /// Opens a rollup.
    ///
    /// # Errors
    /// As [`Store::open_batch`].
    pub(crate) fn open_rollup<K: Key, A: Aggregate>(
        &self,
        rollup: &RollupFile,
    ) -> Result<BatchView<K, A>, StoreError> {
        Ok(BatchView::from_raw(Arc::new(open_raw(&*self.storage, &rollup.file)?)))
    }
}

/// Removes the files of a part that no record names.
pub(super) fn sweep(
    storage: &dyn Storage,
    layout: &Layout,
    process: u32,
    state: &PartState,
) -> Result<(), StoreError> {
    let rollups = layout.rollups(process);
    for view in names_in(storage, &rollups)? {
        let entries = state.rollups.get(&view).into_iter().flat_map(|rollups| rollups.values());
        let named: BTreeSet<&str> = entries.map(|entry| entry.batch.file.as_str()).collect();
        let files = rollups.join(&view);
        for file in names_in(storage, &files)?.iter().filter(|file| !named.contains(file.as_str()))
        {
            let path = files.join(file);
            storage.remove(&path).map_err(StoreError::perhaps("remove", &path))?;
        }
    }
    Ok(())
}
