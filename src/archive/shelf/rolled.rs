//! The rollups of a shelf: which there are, which are made next, and which go.

use std::cmp::Reverse;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use serde::Serialize;

use super::{File, Shelf};
use crate::aggregate::Aggregate;
use crate::archive::rollup::{Rollup, RollupCheck, RollupJob, Rollups};
use crate::archive::sealed::Source;
use crate::archive::{ArchiveError, Place};
use crate::codec;
use crate::key::Key;
use crate::store::RollupFile;
use crate::time::{Day, DayRange, Grain};
use crate::view::{KeptFrom, View};

impl<K: Key, A: Aggregate> Shelf<K, A> {
    /// Keeps the rollups of a view from now on. Those that earlier runs have left stay, as far as they are of exactly these
    /// partitions and made of the files that are here; where the files are gone, all of them.
    pub(in crate::archive) fn roll_up(
        &mut self,
        view: &View,
        mut left: Vec<RollupFile>,
    ) -> Result<(), ArchiveError> {
        let first = match self.archive.place() {
            Place::Memory => view.kept_first(),
            Place::Folder(store) => store.kept(view.name()),
        };
        let from = |(grain, _)| Some((grain, first.rollups[grain as usize]?));
        let outliving: Option<Vec<(Grain, Day)>> = view.outliving().into_iter().map(from).collect();
        let Some(outliving) = outliving else {
            let view = view.name().to_owned();
            return Err(ArchiveError::Outliving { view });
        };
        let place = |grain: Grain| Grain::ALL.iter().position(|known| *known == grain);
        left.sort_by_key(|file| (place(file.grain), Reverse(file.made)));
        let mut rollups = Rollups::new(view.calendar().clone(), view.rollups().to_vec(), outliving);
        if let Place::Folder(store) = self.archive.place() {
            for file in left {
                let (grain, here) = (file.grain, (self.mine, self.kept_from));
                let parts = |known: &Rollups<K, A>, days| self.print(known, (grain, days));
                rollups.adopt(store, file, here, parts)?;
            }
        }
        self.rollups = rollups;
        Ok(())
    }

    /// What is here: periods, and rollups that outlive them.
    pub(crate) fn keeps(&self) -> KeptFrom {
        let mut kept = KeptFrom::of(self.kept_from);
        for (grain, from) in self.rollups.outliving() {
            kept.rollups[*grain as usize] = Some(*from);
        }
        kept
    }

    /// The last period that has sealed events, of all workers.
    pub(crate) fn latest(&self, view: &View) -> Option<Day> {
        self.archive.store()?.latest(view.name())
    }

    /// The first period of which no event was dropped in earlier runs, of those that are sealed. Others are read from the log
    /// again.
    pub(crate) fn not_dropped_from(&self, view: &View) -> Option<Day> {
        self.archive.store()?.not_dropped_from(view.name()).filter(|_| self.outlives())
    }

    /// A fingerprint of what a rollup is made of: of other revisions, there is another one.
    fn print(&self, rollups: &Rollups<K, A>, of: (Grain, DayRange)) -> u64 {
        let days = of.1;
        let from = self.files.partition_point(|file| file.day < days.lower);
        let files = self.files[from..].iter().take_while(|file| file.day < days.upper);
        let print = |file: &File| {
            let Source { generation, counts, .. } = self.sources[file.source as usize];
            print_of((file.day, file.closing, generation, counts, file.check))
        };
        // Files of one closing are in the order in which they came.
        let mut prints: Vec<Vec<u8>> = files.map(print).collect();
        let older = rollups.parts_of(of, self.kept_from).into_iter();
        prints.extend(older.map(|rollup| {
            let (days, part) = (rollup.days(), rollup.part());
            let check = part.view.summary().check();
            print_of((days.lower, part.closing.day, days.upper, part.coverage, check))
        }));
        prints.sort_unstable();
        xxhash_rust::xxh3::xxh3_64(&prints.concat())
    }

    /// Whether there are rollups that outlive periods.
    pub(crate) fn outlives(&self) -> bool {
        !self.rollups.outliving().is_empty()
    }

    /// The first of the periods before `limit` that is in no rollup of those that outlive it, or `limit`.
    pub(crate) fn rolled_up_before(&self, limit: Day) -> Day {
        self.rollups.covered_before(self.mine, self.files.iter().map(|file| file.day), limit)
    }

    /// Takes rollups off the shelf that are kept no longer.
    pub(crate) fn expire_rollups(&mut self, kept: &KeptFrom) {
        self.rollups.expire(self.mine, kept, self.kept_from);
    }

    /// The rollups that begin in a range, to be audited.
    pub(crate) fn rollup_checks(&self, days: DayRange) -> Vec<RollupCheck<K, A>> {
        self.rollups.checks(days, (self.mine, self.kept_from), |days| self.list(days, None))
    }

    pub(crate) fn rollups(&mut self) -> &mut Rollups<K, A> {
        &mut self.rollups
    }

    pub(crate) fn rollup_count(&self) -> usize {
        self.rollups.kept().len()
    }

    /// The rollups that lie within a range.
    pub(crate) fn rollups_of(&self, days: DayRange) -> Vec<Rollup<K, A>> {
        let within =
            |of: &&Rollup<K, A>| days.lower <= of.days().lower && of.days().upper <= days.upper;
        self.rollups.kept().iter().filter(within).cloned().collect()
    }

    /// The next rollup to be made, if one is due. `first_open` is the first period that is not sealed.
    pub(crate) fn next_rollup(
        &mut self,
        worker: usize,
        first_open: Day,
        stop: &Arc<AtomicBool>,
    ) -> Option<RollupJob<K, A>> {
        let files = self.files.iter().map(|file| file.day);
        let next = self.rollups.next(files, first_open, self.kept_from)?;
        let sealed = (self.list(next.1, None), self.print(&self.rollups, next));
        Some(self.rollups.job(&self.view, (worker, self.mine), next, sealed, Arc::clone(stop)))
    }
}

/// What a fingerprint is made of.
fn print_of(of: impl Serialize) -> Vec<u8> {
    let mut bytes = Vec::new();
    codec::encode(&of, &mut bytes).expect("days, closings and partitions can be encoded");
    bytes
}
