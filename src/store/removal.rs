//! Retention of a view: which periods, and which revisions of the kept ones, are removed.
//!
//! One record of the manifest names what is removed. It is durable before the first file is removed, and opening
//! removes every file that no manifest names. So after any interruption, the next opening removes the rest.
//!
//! All parts of a folder remove the same periods: they agree on the greatest limit that any of them has recorded, and a
//! part that a crash left behind follows when it is opened. This includes parts without a process, which are not
//! written while a program runs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use super::config::StoreConfig;
use super::error::StoreError;
use super::folder::Agreed;
use super::layout::{Layout, TEMPORARY};
use super::live::{self, LiveBatch};
use super::lower_end::{first_of_log, first_rollups};
use super::manifest;
use super::names::{batch_file_name, parse_batch_file_name, parse_period_name};
use super::opened::Store;
use super::record::{FileKey, PartState, Record, Sealed};
use super::view_record::ViewRecord;
use crate::closing::Closing;
use crate::time::{Calendar, Day};
use crate::view::{Retention, RevisionLimit, RollupsFrom};

/// The number of files in one record, so that no record exceeds its size limit.
const RECORD_FILES: usize = 4_096;

/// The records with which a part removes what its views no longer keep.
pub(super) fn records(
    config: &StoreConfig,
    agreed: &Agreed,
    layout: &Layout,
    process: u32,
    state: &PartState,
) -> Vec<Record> {
    let mut records = Vec::new();
    for view in &config.views {
        // A part that is behind has an edition of which everything was dropped.
        if state.edition(&view.name) != agreed.edition(&view.name) {
            continue;
        }
        let asked = config.retention.get(&view.name).copied().unwrap_or_default();
        let known = state.kept.get(&view.name).map_or(Day::MIN, |kept| kept.from);
        let from = agreed.kept.get(&view.name).copied().unwrap_or(Day::MIN);
        let mut from = from.max(limit(agreed, view, asked).unwrap_or(Day::MIN));
        if let Some(log_from) = agreed.log_from.filter(|_| state.through(&view.name).is_none()) {
            // The view is computed from the log, and begins where the log is complete.
            from = from.max(first_of_log(config, view, log_from));
        }
        if state.views.contains_key(&view.name) {
            records.extend(outliving(config, agreed, view, state, from));
        }
        if from > known {
            let (view, files, revised) = (view.name.clone(), Vec::new(), Vec::new());
            records.push(Record::Removed { view, from, files, revised });
        }
        let is_rebuilt =
            |sealed: &Sealed| sealed.batches.keys().any(|(_, _, generation, _)| *generation > 0);
        let has_generations = state.sealed.get(&view.name).is_some_and(is_rebuilt);
        if asked.revisions.is_none() && !has_generations {
            continue;
        }
        let batches = live::batches(state, layout, &view.name, process);
        let batches = batches.filter(|batch| batch.day >= from).collect();
        // A rebuilt revision is the same revision: its earlier generations are removed in any case.
        let (files, revised) = superseded(batches, revision_limit(agreed, view, asked));
        records.extend(revisions_removed(&view.name, &files, &revised));
    }
    records
}

/// The records by which a new part says which rollups outlive the periods of its views.
pub(super) fn first_records(
    config: &StoreConfig,
    agreed: &Agreed,
    state: &PartState,
) -> Vec<Record> {
    let of = |view: &ViewRecord| {
        let from = agreed.kept.get(&view.name).copied().unwrap_or(Day::MIN);
        outliving(config, agreed, view, state, from)
    };
    config.views.iter().filter_map(of).collect()
}

impl Store {
    /// Removes the periods of a view before this one from this process's part while the folder is open. By then, no
    /// process opens or writes files of them any more. Files that are open stay open.
    ///
    /// A file that cannot be removed stays until the next opening.
    ///
    /// # Errors
    /// [`StoreError::Failed`], or [`StoreError::Io`] if it may not have been recorded: no file was removed.
    pub(crate) fn remove_before(&self, view: &str, from: Day) -> Result<(), StoreError> {
        let mut manifest = self.manifest();
        if self.read().own.kept_from(view) >= from {
            // Another worker of this process was first.
            return Ok(());
        }
        let (files, revised) = (Vec::new(), Vec::new());
        let record = Record::Removed { view: view.to_owned(), from, files, revised };
        self.append(&mut manifest, Some(record))?;
        drop(manifest);
        let periods = self.layout.views(self.config.process as u32).join(view);
        let names = self.storage.list(&periods).unwrap_or_default();
        let old = names.iter().filter(|name| parse_period_name(name).is_some_and(|day| day < from));
        let old: Vec<_> = old.map(|name| periods.join(name)).collect();
        old.iter().for_each(|period| self.remove_period(period));
        self.remove_empty_packs(view);
        tracing::info!(view, %from, periods = old.len(), "older periods are removed");
        Ok(())
    }

    /// Removes revisions that closings up to this one have superseded from this process's part, as
    /// [`Store::remove_before`] does, except those that `limit` keeps of each period. Days that were rebuilt wait for the
    /// next opening, because their live files are not in order of closing.
    ///
    /// # Errors
    /// As [`Store::remove_before`].
    pub(crate) fn remove_superseded(
        &self,
        view: &str,
        through: Closing,
        limit: RevisionLimit,
    ) -> Result<(), StoreError> {
        let mut manifest = self.manifest();
        let process = self.config.process as u32;
        let path = self.layout.manifest(process);
        let Some(own) = manifest::read(&*self.storage, &path)? else {
            return Err(StoreError::MissingPart { path });
        };
        let batches: Vec<_> = live::batches(&own.state, &self.layout, view, process).collect();
        let rebuilt: BTreeSet<Day> =
            batches.iter().filter(|batch| batch.generation > 0).map(|batch| batch.day).collect();
        let is_settled =
            |batch: &LiveBatch| batch.revision() <= through && !rebuilt.contains(&batch.day);
        let (files, revised) =
            superseded(batches.into_iter().filter(is_settled).collect(), Some(limit));
        if files.is_empty() {
            return Ok(());
        }
        self.append(&mut manifest, revisions_removed(view, &files, &revised))?;
        drop(manifest);
        let sealed = own.state.sealed.get(view);
        let is_packed = |file: &&FileKey| sealed.is_some_and(|s| s.packed.contains_key(file));
        if files.iter().any(|file| is_packed(&file)) {
            self.remove_empty_packs(view);
        }
        for (day, closing, generation, worker) in files.iter().filter(|file| !is_packed(file)) {
            let file = batch_file_name(*closing, *generation, *worker);
            let path = self.layout.day(process, view, *day).join(file);
            if let Err(error) = self.storage.remove(&path) {
                tracing::warn!(path = %path.display(), %error, "a file is removed with the next opening");
            }
        }
        tracing::info!(view, files = files.len(), "superseded revisions are removed");
        Ok(())
    }

    pub(super) fn remove_period(&self, period: &Path) {
        let is_ours =
            |name: &&String| parse_batch_file_name(name).is_some() || name.ends_with(TEMPORARY);
        let names = self.storage.list(period).unwrap_or_default();
        let mut paths = names.iter().filter(is_ours).map(|name| period.join(name));
        let removed = paths.try_for_each(|path| self.storage.remove(&path));
        // A foreign file keeps its folder.
        let has_more = !self.storage.list(period).unwrap_or_default().is_empty();
        let removed = removed.and_then(|()| match has_more {
            true => Ok(()),
            false => self.storage.remove_empty(period),
        });
        if let Err(error) = removed {
            tracing::warn!(path = %period.display(), %error, "a period is removed with the next opening");
        }
    }
}

/// The records that remove these files.
fn revisions_removed(view: &str, files: &[FileKey], revised: &[(Day, Closing)]) -> Vec<Record> {
    let records = files.chunks(RECORD_FILES).map(|files| Record::Removed {
        view: view.to_owned(),
        from: Day::MIN,
        files: files.to_vec(),
        revised: revised.iter().filter(|(day, _)| has(files, *day)).copied().collect(),
    });
    records.collect()
}

fn has(files: &[FileKey], day: Day) -> bool {
    files.binary_search_by_key(&day, |file| file.0).is_ok()
}

/// The first period that a view keeps, if it is to remove any.
fn limit(agreed: &Agreed, view: &ViewRecord, asked: Retention) -> Option<Day> {
    let keep = asked.keep?;
    if !asked.outliving(view.grain).is_empty() {
        // They go while a program runs, when they are in rollups.
        return None;
    }
    // The end of a run closes the period of a view of years for all views.
    let through =
        agreed.through.get(&view.name)?.last_closed().min(*agreed.latest.get(&view.name)?);
    // The period that contains the end of time is never over.
    let calendar = Calendar::new(&view.zone).ok()?.by(view.grain);
    (through < Day::MAX).then(|| first_kept(&calendar, through, keep))
}

/// The first period to keep, if each period is kept for `keep` after its end and periods are closed through `through`.
pub(super) fn first_kept(calendar: &Calendar, through: Day, keep: Duration) -> Day {
    calendar.first_open(calendar.end_of(through), keep)
}

/// The record by which a part says which rollups outlive the periods of a view, if it does not say so yet.
fn outliving(
    config: &StoreConfig,
    agreed: &Agreed,
    view: &ViewRecord,
    state: &PartState,
    kept_from: Day,
) -> Option<Record> {
    config.retention.get(&view.name)?;
    let known = agreed.outliving.get(&view.name).copied().unwrap_or_default();
    let mut from = RollupsFrom::default();
    for (grain, first) in first_rollups(config, &view.name, kept_from) {
        from[grain as usize] = Some(known[grain as usize].unwrap_or(first));
    }
    let is_known = state.outliving.get(&view.name).copied().unwrap_or_default() == from;
    (!is_known).then(|| Record::Outliving { view: view.name.clone(), from })
}

/// Which revisions of its periods a view keeps, if it is to remove any.
fn revision_limit(agreed: &Agreed, view: &ViewRecord, asked: Retention) -> Option<RevisionLimit> {
    let through = agreed.through.get(&view.name)?.last_closed();
    let calendar = Calendar::new(&view.zone).ok()?.by(view.grain);
    Some(asked.revisions?.limit(&calendar, through))
}

/// The files of a part that are in none of the revisions that are kept of their periods; and for each period that loses
/// a revision, the oldest one that is left.
///
/// Files that other parts supersede may stay: their content is not known here.
fn superseded(
    batches: Vec<LiveBatch>,
    limit: Option<RevisionLimit>,
) -> (Vec<FileKey>, Vec<(Day, Closing)>) {
    let mut by_day: BTreeMap<Day, Vec<LiveBatch>> = BTreeMap::new();
    for batch in batches {
        by_day.entry(batch.day).or_default().push(batch);
    }
    let (mut files, mut revised) = (Vec::new(), Vec::new());
    for (day, batches) in by_day {
        let closings: BTreeSet<Closing> = batches.iter().map(LiveBatch::revision).collect();
        let mut kept: Vec<Closing> = Vec::new();
        for &closing in closings.iter().rev() {
            let superseded_by = kept.last().zip(limit);
            if superseded_by.is_some_and(|(by, limit)| !limit.keeps(kept.len(), by.day)) {
                break;
            }
            kept.push(closing);
        }
        let mut needed = BTreeSet::new();
        for &closing in &kept {
            let until = batches.iter().filter(|batch| batch.revision() <= closing).cloned();
            needed.extend(live::live(until.collect()).iter().map(key));
        }
        let gone: Vec<&LiveBatch> = batches.iter().filter(|b| !needed.contains(&key(b))).collect();
        // An older generation of a revision that stays held the same rows.
        let is_lost = |batch: &&LiveBatch| !kept.contains(&batch.revision());
        if let Some(oldest) = kept.last().filter(|_| gone.iter().any(is_lost)) {
            revised.push((day, *oldest));
        }
        files.extend(gone.into_iter().map(key));
    }
    files.sort_unstable();
    (files, revised)
}

fn key(batch: &LiveBatch) -> FileKey {
    (batch.day, batch.revision(), batch.generation, batch.worker as u32)
}
