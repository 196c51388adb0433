//! Decides which rows count: for each day and partition, the rows of the newest revision that covers it. A revision is
//! named by the closing that made it and, if it was rebuilt, by a generation.

use std::cmp::Reverse;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::layout::Layout;
use super::names::batch_file_name;
use super::packed::Packed;
use super::record::{BatchEntry, PartState, RollupEntry};
use crate::batch::{Coverage, Digest, RawBatch};
use crate::closing::Closing;
use crate::time::{Day, EventTime, Grain};

/// Selects a revision of each sealed day.
///
/// A revision is named by its closing. A rebuilt revision holds the same rows, so the newest generation of a closing
/// represents it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Revision {
    /// The newest one.
    #[default]
    Now,
    /// The first one: the day as its own closing sealed it, with the events that came in time.
    First,
    /// The day as it was after this closing: with the events of this closing and of earlier ones.
    At(Day),
}

impl Revision {
    /// Whether this revision of a day includes what a closing added to the day.
    pub(crate) fn holds(self, day: Day, closing: Closing) -> bool {
        match self {
            Revision::Now => true,
            Revision::First => closing <= Closing::of(day),
            Revision::At(last) => closing <= Closing::of(last),
        }
    }
}

/// A file of a batch view.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LiveBatch {
    /// The view.
    pub view: String,
    /// The day.
    pub day: Day,
    /// The day of the closing that made this revision.
    pub closing: Day,
    /// The floor up to which the revision has late events of that closing, if they were sealed before the day itself
    /// closed.
    pub floor: Option<EventTime>,
    /// 0 for the file as it was sealed. Each rebuild has the next number and replaces the one before.
    pub generation: u32,
    /// The process whose part has the file.
    pub process: usize,
    /// The worker that wrote the file, by its index in the cluster of that run.
    pub worker: usize,
    /// The partitions for which the rows count: those that no newer revision covers.
    pub coverage: Coverage,
    /// All partitions that the file covers.
    pub file_coverage: Coverage,
    /// The file; or the pack, if it was put into one together with those of other periods.
    pub path: PathBuf,
    /// Where it is in the pack.
    pub(crate) packed: Option<Packed>,
    /// The number of rows in the file, whether they count or not.
    pub rows: u64,
    /// The length of the file.
    pub bytes: u64,
    /// The sum over all rows of the file, whether they count or not.
    pub digest: Digest,
}

impl LiveBatch {
    /// A file of its own.
    pub(super) fn new(layout: &Layout, view: &str, process: u32, entry: &BatchEntry) -> LiveBatch {
        LiveBatch {
            packed: None,
            view: view.to_owned(),
            day: entry.day,
            closing: entry.closing,
            floor: entry.closing().floor(),
            generation: entry.generation,
            process: process as usize,
            worker: entry.worker as usize,
            coverage: entry.coverage,
            file_coverage: entry.coverage,
            path: layout.day(process, view, entry.day).join(&entry.file),
            rows: entry.rows,
            bytes: entry.bytes,
            digest: entry.digest,
        }
    }

    /// The same file in a pack.
    fn put_into(self, layout: &Layout, packed: Packed) -> LiveBatch {
        let path = layout.pack(self.process as u32, &self.view, packed.pack);
        LiveBatch { path, packed: Some(packed), ..self }
    }

    /// The name that it has, or had, as a file of its own.
    pub(super) fn name(&self) -> String {
        batch_file_name(self.revision(), self.generation, self.worker as u32)
    }

    /// Whether it is in a pack, together with the files of other periods.
    pub fn is_packed(&self) -> bool {
        self.packed.is_some()
    }

    /// The closing that made this revision.
    pub fn revision(&self) -> Closing {
        self.floor.map_or(Closing::of(self.closing), |floor| Closing::late(self.closing, floor))
    }
}

/// The file of a rollup in the folder: a period of a coarser grain than the view's, combined from sealed periods.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RollupFile {
    /// The grain of the period.
    pub grain: Grain,
    /// The file. Its day is the first period of the view that it combines.
    pub file: LiveBatch,
    /// The fingerprint of what it was made of.
    pub(crate) parts: u64,
    /// The run in which it was made, and its number among those of its worker.
    pub(crate) made: (u64, u64),
}

impl RollupFile {
    pub(super) fn new(
        layout: &Layout,
        view: &str,
        process: u32,
        entry: &RollupEntry,
    ) -> RollupFile {
        let RollupEntry { grain, parts, made, batch } = entry;
        let mut file = LiveBatch::new(layout, view, process, batch);
        file.path = layout.rollups(process).join(view).join(&batch.file);
        RollupFile { grain: *grain, file, parts: *parts, made: *made }
    }
}

/// What is kept in memory about a sealed file, to open it again.
pub(crate) struct SealedFile<'a> {
    pub(crate) view: &'a str,
    pub(crate) day: Day,
    pub(crate) closing: Closing,
    pub(crate) generation: u32,
    pub(crate) process: u32,
    pub(crate) worker: u32,
    /// All partitions that the file covers.
    pub(crate) coverage: Coverage,
    /// The check value of its [`BatchSummary`](crate::batch::BatchSummary).
    pub(crate) check: u64,
    /// Where it is, if it is in a pack.
    pub(crate) packed: Option<Packed>,
}

impl SealedFile<'_> {
    pub(super) fn path(&self, layout: &Layout) -> PathBuf {
        if let Some(packed) = self.packed {
            return layout.pack(self.process, self.view, packed.pack);
        }
        let file = batch_file_name(self.closing, self.generation, self.worker);
        layout.day(self.process, self.view, self.day).join(file)
    }

    /// The first field in which a file differs from what is kept in memory about it, with both values as text.
    pub(super) fn difference(&self, raw: &RawBatch) -> Option<(&'static str, String, String)> {
        let meta = raw.meta();
        let found = (meta.view.as_str(), meta.day, meta.closing, meta.coverage);
        let expected = (self.view, self.day, self.closing.day, self.coverage);
        if found != expected {
            return Some(("revision", format!("{found:?}"), format!("{expected:?}")));
        }
        let (found, expected) = (raw.summary().check(), self.check);
        let differ = found != expected;
        differ.then(|| ("content", format!("{found:016x}"), format!("{expected:016x}")))
    }
}

/// The files that count, each with the partitions for which it counts, in the order of [`narrow`].
pub(super) fn live(batches: Vec<LiveBatch>) -> Vec<LiveBatch> {
    let mut batches = narrow(batches);
    batches.retain(|batch| !batch.coverage.is_empty());
    batches
}

/// Narrows the coverage of each file to the partitions for which its rows count: to none if it is superseded
/// everywhere. The result is sorted by day, then closing, generation, process and worker.
///
/// Two files of one revision cover the same partition only if they are copies of the same rows. Then the first one by
/// process and worker counts.
pub(super) fn narrow(mut batches: Vec<LiveBatch>) -> Vec<LiveBatch> {
    let newest_first =
        |b: &LiveBatch| (b.day, Reverse((b.revision(), b.generation)), b.process, b.worker);
    batches.sort_by_key(newest_first);
    let (mut day, mut covered) = (None, Coverage::NONE);
    for batch in &mut batches {
        if day != Some(batch.day) {
            (day, covered) = (Some(batch.day), Coverage::NONE);
        }
        batch.coverage = batch.file_coverage.difference(covered);
        covered = covered.union(batch.file_coverage);
    }
    batches.sort_by_key(|b| (b.day, b.revision(), b.generation, b.process, b.worker));
    batches
}

/// The files of a view in a part, without those that were forgotten.
pub(super) fn batches(
    part: &PartState,
    layout: &Layout,
    view: &str,
    process: u32,
) -> impl Iterator<Item = LiveBatch> {
    let sealed = part.sealed.get(view).into_iter();
    let entries = sealed.flat_map(|sealed| {
        sealed.batches.iter().map(|(file, entry)| (entry, sealed.packed.get(file).copied()))
    });
    entries.map(move |(entry, packed)| {
        let batch = LiveBatch::new(layout, view, process, entry);
        match packed {
            Some(packed) => batch.put_into(layout, packed),
            None => batch,
        }
    })
}

/// The rollups of a view in a part.
pub(super) fn rollups(
    part: &PartState,
    layout: &Layout,
    view: &str,
    process: u32,
) -> impl Iterator<Item = RollupFile> {
    let entries = part.rollups.get(view).into_iter().flat_map(|rollups| rollups.values());
    entries.map(move |entry| RollupFile::new(layout, view, process, entry))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn batch(day: i32, closing: i32, worker: usize, peers: usize) -> LiveBatch {
        revision(day, closing, 0, worker, peers)
    }

    fn revision(day: i32, closing: i32, generation: u32, worker: usize, peers: usize) -> LiveBatch {
        let entry = BatchEntry {
            day: Day(day),
            closing: Day(closing),
            generation,
            worker: worker as u32,
            coverage: Coverage::of_owner(worker, peers),
            file: String::new(),
            rows: 0,
            bytes: 0,
            digest: Digest::default(),
        };
        LiveBatch::new(&Layout::new("root".into()), "v", 0, &entry)
    }

    #[test]
    fn a_revision_on_other_workers_supersedes_what_it_covers() {
        // Two workers seal the day, then three revise it, of which one has nothing to write yet.
        let sealed =
            vec![batch(1, 1, 0, 2), batch(1, 1, 1, 2), batch(1, 2, 0, 3), batch(1, 2, 2, 3)];
        let found = live(sealed);
        assert_eq!(
            found.len(),
            4,
            "the first closing still counts for partitions of the third worker"
        );
        let rest = Coverage::of_owner(1, 3);
        assert_eq!(found[0].coverage, Coverage::of_owner(0, 2).intersection(rest));
        assert_eq!(found[1].coverage, Coverage::of_owner(1, 2).intersection(rest));
        let all = live(found.into_iter().chain([batch(1, 2, 1, 3)]).collect());
        assert_eq!(all.iter().map(|b| b.closing).collect::<Vec<_>>(), [Day(2); 3]);
    }

    proptest! {
        /// The rule, computed partition by partition.
        #[test]
        fn oracle_newest_revision(
            revisions in proptest::collection::vec(
                (0i32..3, 0i32..4, 0u32..3, 1usize..5, any::<u8>()), 0..12,
            ),
        ) {
            let mut batches = Vec::new();
            let mut names = std::collections::BTreeSet::new();
            for (day, later, generation, peers, present) in revisions {
                if names.insert((day, later, generation)) {
                    let workers = (0..peers).filter(|worker| present >> worker & 1 == 1);
                    let closing = day + later;
                    batches.extend(workers.map(|w| revision(day, closing, generation, w, peers)));
                }
            }
            let name = |batch: &LiveBatch| (batch.closing, batch.generation);
            let mut expect = BTreeMap::new();
            for batch in &batches {
                for partition in batch.coverage.iter() {
                    let greatest = expect.entry((batch.day, partition)).or_insert(name(batch));
                    *greatest = name(batch).max(*greatest);
                }
            }
            let mut found = BTreeMap::new();
            for batch in live(batches) {
                prop_assert!(!batch.coverage.is_empty());
                for partition in batch.coverage.iter() {
                    prop_assert_eq!(found.insert((batch.day, partition), name(&batch)), None);
                }
            }
            prop_assert_eq!(found, expect);
        }
    }
}
