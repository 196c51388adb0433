//! The lower end of a view: which periods, and which revisions of those, are removed.
//!
//! One record of the manifest names what is removed. It is durable before the first file goes, and opening removes every
//! file that no manifest names. So whatever comes in between, the rest goes on the next opening.
//!
//! All parts of a folder remove the same periods: they agree on the greatest limit that any of them has recorded, and a part
//! that a crash left behind follows when it is opened.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::config::StoreConfig;
use super::folder::Agreed;
use super::layout::Layout;
use super::live::{self, LiveBatch};
use super::lower_end::first_of_log;
use super::record::{FileKey, PartState, Record};
use crate::closing::Closing;
use crate::time::{Calendar, Day};

/// Files in one record, so that no record outgrows its bound.
const RECORD_FILES: usize = 4_096;

/// The records by which a part removes what its views keep no longer.
pub(super) fn records(
    config: &StoreConfig,
    agreed: &Agreed,
    layout: &Layout,
    process: u32,
    state: &PartState,
) -> Vec<Record> {
    let mut records = Vec::new();
    for view in &config.views {
        // One that is behind is of an edition of which everything was dropped.
        if state.edition(&view.name) != agreed.edition(&view.name) {
            continue;
        }
        let asked = config.retention.get(&view.name).copied().unwrap_or_default();
        let known = state.kept.get(&view.name).map_or(Day::MIN, |kept| kept.from);
        let from = agreed.kept.get(&view.name).copied().unwrap_or(Day::MIN);
        let mut from = from.max(limit(config, agreed, &view.name).unwrap_or(Day::MIN));
        if let Some(log_from) = agreed.log_from.filter(|_| state.through(&view.name).is_none()) {
            // It is computed from the log, and begins where that is whole.
            from = from.max(first_of_log(config, view, log_from));
        }
        if from > known {
            let (view, files, revised) = (view.name.clone(), Vec::new(), Vec::new());
            records.push(Record::Removed { view, from, files, revised });
        }
        let batches = live::batches(state, layout, &view.name, process);
        let batches = batches.filter(|batch| batch.day >= from).collect();
        let Some(revisions) = asked.revisions else { continue };
        let (files, revised) = superseded(batches, revisions.get());
        let name = &view.name;
        records.extend(files.chunks(RECORD_FILES).map(|files| Record::Removed {
            view: name.clone(),
            from: Day::MIN,
            files: files.to_vec(),
            revised: revised.iter().filter(|(day, _)| has(files, *day)).copied().collect(),
        }));
    }
    records
}

fn has(files: &[FileKey], day: Day) -> bool {
    files.binary_search_by_key(&day, |file| file.0).is_ok()
}

/// The first period that a view keeps, if it is to remove any.
fn limit(config: &StoreConfig, agreed: &Agreed, view: &str) -> Option<Day> {
    let keep = config.retention.get(view)?.keep?;
    let through = agreed.through.get(view)?.last_closed();
    let record = config.views.iter().find(|record| record.name == view)?;
    // A period that the end of all is in is not one that is over.
    let calendar = Calendar::new(&record.zone).ok()?.by(record.grain);
    (through < Day::MAX).then(|| first_kept(&calendar, through, keep))
}

/// The first period that is kept for so long behind its end, if periods are closed through this one.
pub(super) fn first_kept(calendar: &Calendar, through: Day, keep: Duration) -> Day {
    calendar.first_open(calendar.end_of(through), keep)
}

/// The files of a part that are in none of the newest `revisions` of their periods; and for each period that loses a
/// revision the oldest that is left.
///
/// Files that other parts supersede may stay: nothing is known here of what they hold.
fn superseded(batches: Vec<LiveBatch>, revisions: u32) -> (Vec<FileKey>, Vec<(Day, Closing)>) {
    let mut by_day: BTreeMap<Day, Vec<LiveBatch>> = BTreeMap::new();
    for batch in batches {
        by_day.entry(batch.day).or_default().push(batch);
    }
    let (mut files, mut revised) = (Vec::new(), Vec::new());
    for (day, batches) in by_day {
        let closings: BTreeSet<Closing> = batches.iter().map(LiveBatch::revision).collect();
        let kept: Vec<Closing> = closings.iter().rev().take(revisions as usize).copied().collect();
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
