//! Rollups: files of coarser periods, made from all of a worker's sealed files in such a period.
//!
//! An answer takes a rollup whole, in the place of its parts, or its parts: what it is made of is what counts, and as soon as
//! one of them gets another revision the rollup is gone, until it has been made again. A folder keeps rollups: the next run
//! uses those whose fingerprint is that of the files which count then, and makes the others again.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::seal::rolled_up;
use super::{ArchiveError, LivePart, Place, Sealed};
use crate::aggregate::Aggregate;
use crate::batch::{BatchMeta, BatchView, Bytes, Coverage, write_rows};
use crate::key::Key;
use crate::store::{NewRollup, RollupFile, Store, StoreError};
use crate::time::{Calendar, Day, DayRange, Grain};
use crate::view::{KeptFrom, begin};

/// A sealed period of a coarser grain, on one worker.
#[derive(Clone, Debug)]
pub(crate) struct Rollup<K, A> {
    grain: Grain,
    /// The periods of the view in it.
    days: DayRange,
    part: LivePart<K, A>,
    /// The file, if it is in a folder.
    file: Option<Arc<RollupFile>>,
}

/// Rollups by their first period: none of them overlap. A period may have several, of different partitions.
type Chosen<'a, K, A> = BTreeMap<Day, Vec<&'a Rollup<K, A>>>;

impl<K, A> Rollup<K, A> {
    pub(crate) fn days(&self) -> DayRange {
        self.days
    }

    pub(crate) fn part(&self) -> &LivePart<K, A> {
        &self.part
    }

    /// The file, if it is in a folder.
    pub(crate) fn file(&self) -> Option<&RollupFile> {
        self.file.as_deref()
    }

    /// What it is a rollup of, and its file, if it is in a folder.
    fn place(&self) -> Option<(Grain, DayRange, PathBuf)> {
        Some((self.grain, self.days, self.file.as_ref()?.file.path.clone()))
    }
}

/// The coarsest of some rollups that are wholly within `days` and have a suitable grain.
pub(crate) fn coarsest<K, A>(
    rollups: &[Rollup<K, A>],
    days: DayRange,
    fits: impl Fn(Grain) -> bool,
) -> Chosen<'_, K, A> {
    let is_within =
        |rollup: &&Rollup<K, A>| days.lower <= rollup.days.lower && rollup.days.upper <= days.upper;
    let mut found: Vec<_> = rollups.iter().filter(is_within).filter(|of| fits(of.grain)).collect();
    found.sort_by_key(|of| i64::from(of.days.lower.0) - i64::from(of.days.upper.0));
    let mut chosen = Chosen::new();
    for rollup in found {
        let before = chosen.range_mut(..rollup.days.upper).next_back();
        match before.map(|(_, before)| before).filter(|of| rollup.days.lower < of[0].days.upper) {
            None => drop(chosen.insert(rollup.days.lower, vec![rollup])),
            Some(same) if (same[0].grain, same[0].days) == (rollup.grain, rollup.days) => {
                same.push(rollup);
            }
            Some(_) => {}
        }
    }
    chosen
}

/// The same sealed files, but with the coarsest rollups instead of the files that they are made from.
pub(crate) fn with_rollups<K: Key, A: Aggregate>(
    mut sealed: Vec<Sealed<K, A>>,
    rollups: &[Rollup<K, A>],
    days: DayRange,
    fits: impl Fn(Grain) -> bool,
) -> Vec<Sealed<K, A>> {
    let chosen = coarsest(rollups, days, fits);
    let is_in = |day: Day| {
        let last = chosen.range(..=day).next_back();
        last.is_some_and(|(_, rollups)| rollups[0].days.contains(day))
    };
    sealed.retain(|sealed| !is_in(sealed.day()));
    let chosen = chosen.values().flatten();
    sealed.extend(chosen.map(|rollup| Sealed::Open(rollup.part.clone())));
    sealed
}

/// The rollups of a shelf.
#[derive(Debug)]
pub(crate) struct Rollups<K, A> {
    /// The grains that are kept, the finest first.
    grains: Vec<Grain>,
    calendar: Calendar,
    kept: Vec<Rollup<K, A>>,
    /// The rollup that is being made, unless one of its parts has changed since.
    pending: Option<(Grain, DayRange)>,
    /// What could not be made, because a part is damaged. It is not tried again before a part has changed.
    given_up: Vec<(Grain, DayRange)>,
    /// The grains that outlive the view's periods, and the first day of each.
    outliving: Vec<(Grain, Day)>,
    /// Something may have to be made.
    is_due: bool,
    /// The number of rollups begun; it makes the names of files unique.
    begun: u64,
    /// Files of rollups that are no longer right. They are removed when the manifest names their successors: until then it
    /// names them.
    stale: Vec<(Grain, DayRange, PathBuf)>,
    /// Files of rollups that nobody makes again, because they went with their periods.
    gone: Vec<PathBuf>,
}

impl<K: Key, A: Aggregate> Rollups<K, A> {
    pub(crate) fn none() -> Self {
        Rollups::new(Calendar::utc(), Vec::new(), Vec::new())
    }

    /// Those of a view with this calendar.
    pub(crate) fn new(
        calendar: Calendar,
        mut grains: Vec<Grain>,
        outliving: Vec<(Grain, Day)>,
    ) -> Self {
        grains.retain(|grain| *grain != calendar.grain() && calendar.grain().is_within(*grain));
        grains.sort_by_key(|grain| Grain::ALL.iter().position(|known| known == grain));
        grains.dedup();
        Rollups {
            grains,
            calendar,
            kept: Vec::new(),
            pending: None,
            given_up: Vec::new(),
            outliving,
            is_due: true,
            begun: 0,
            stale: Vec::new(),
            gone: Vec::new(),
        }
    }

    pub(crate) fn kept(&self) -> &[Rollup<K, A>] {
        &self.kept
    }

    /// Notes that more may be sealed than before.
    pub(crate) fn look_again(&mut self) {
        self.is_due = true;
    }

    /// Drops the rollups that contain a period which now has another revision.
    pub(crate) fn changed(&mut self, day: Day) {
        if self.grains.is_empty() {
            return;
        }
        self.is_due = true;
        self.pending = self.pending.filter(|(_, days)| !days.contains(day));
        self.given_up.retain(|(_, days)| !days.contains(day));
        let stale = &mut self.stale;
        self.kept.retain(|rollup| {
            let stays = !rollup.days.contains(day);
            if !stays {
                stale.extend(rollup.place());
            }
            stays
        });
    }

    /// Takes in a rollup that an earlier run has made, for these partitions: if its parts are what they were, or if they are
    /// gone. `parts` tells their fingerprint, and periods before `kept_from` are gone.
    pub(super) fn adopt(
        &mut self,
        store: &Store,
        file: RollupFile,
        (mine, kept_from): (Coverage, Day),
        parts: impl FnOnce(&Self, DayRange) -> u64,
    ) -> Result<(), ArchiveError> {
        let (grain, day) = (file.grain, file.file.day);
        let days = self.calendar.of_coarser(day, grain);
        let Some(days) = days.filter(|days| days.lower == day && self.grains.contains(&grain))
        else {
            return Ok(());
        };
        // Later ones come first.
        let known = self.kept.iter().filter(|of| of.grain == grain && of.days == days);
        let known = known.fold(Coverage::NONE, |known, of| known.union(of.part.coverage));
        let coverage = file.file.file_coverage.intersection(mine).difference(known);
        if coverage.is_empty() {
            return Ok(());
        }
        let parts_from = self.parts_begin(grain, kept_from);
        let is_alone = self.first_of(grain).is_some() && days.upper <= parts_from;
        let is_current = || coverage == mine && file.file.file_coverage == mine;
        if !is_alone && (!is_current() || parts(self, days) != file.parts) {
            return Ok(());
        }
        let view = match store.open_rollup(&file) {
            Ok(view) => view,
            Err(error) if is_alone => return Err(error.into()),
            Err(error) => {
                let path = file.file.path.display();
                tracing::warn!(%path, %error, "a rollup cannot be read: it is made again");
                return Ok(());
            }
        };
        let generation = 0;
        let (closing, process, worker) =
            (file.file.revision(), file.file.process as u32, file.file.worker as u32);
        let packed = None;
        let part = LivePart { day, closing, generation, coverage, process, worker, packed, view };
        self.kept.push(Rollup { grain, days, part, file: Some(Arc::new(file)) });
        Ok(())
    }

    /// The grains that outlive the periods, and the first day of each: the finest first.
    pub(super) fn outliving(&self) -> &[(Grain, Day)] {
        &self.outliving
    }

    /// The first day of a grain that outlives the periods.
    fn first_of(&self, grain: Grain) -> Option<Day> {
        self.outliving.iter().find(|(of, _)| *of == grain).map(|(_, from)| *from)
    }

    /// The coarsest grain that outlives the periods and of which this one is made: where periods are gone, its parts.
    fn under(&self, grain: Grain) -> Option<(Grain, Day)> {
        let finer = |of: &&(Grain, Day)| of.0 != grain && of.0.is_within(grain);
        self.outliving.iter().rev().find(finer).copied()
    }

    /// From when on there is all of what a rollup is made of.
    fn parts_begin(&self, grain: Grain, kept_from: Day) -> Day {
        self.under(grain).map_or(kept_from, |(_, from)| from.min(kept_from))
    }

    /// The rollups of which one of these days is made, where the periods before `kept_from` are gone. In order.
    pub(super) fn parts_of(
        &self,
        (grain, days): (Grain, DayRange),
        kept_from: Day,
    ) -> Vec<&Rollup<K, A>> {
        let Some((finer, _)) = self.under(grain) else { return Vec::new() };
        let is_part = |of: &&Rollup<K, A>| {
            of.grain == finer && days.lower <= of.days.lower && of.days.upper <= days.upper
        };
        let parts = self.kept.iter().filter(is_part).filter(|of| of.days.upper <= kept_from);
        let mut parts: Vec<_> = parts.collect();
        parts.sort_by_key(|of| of.days.lower);
        parts
    }

    /// Takes those out of the way that end within what is removed, unless they stay without their parts.
    pub(super) fn removed_before(&mut self, from: Day) {
        let stays = |rollup: &Rollup<K, A>| {
            let is_whole =
                self.first_of(rollup.grain).is_some() || self.under(rollup.grain).is_some();
            from <= rollup.days.lower || (is_whole && rollup.days.upper <= from)
        };
        let is_gone: Vec<bool> = self.kept.iter().map(|rollup| !stays(rollup)).collect();
        let mut is_gone = is_gone.into_iter();
        for rollup in self.kept.extract_if(.., |_| is_gone.next().unwrap_or(false)) {
            let Some((grain, days, path)) = rollup.place() else { continue };
            match self.outliving.iter().any(|(of, _)| *of == grain) {
                true => self.stale.push((grain, days, path)),
                false => self.gone.push(path),
            }
        }
        let may_stay = |grain: Grain, days: DayRange| {
            let is_whole = self.first_of(grain).is_some() || self.under(grain).is_some();
            from <= days.lower || (is_whole && days.upper <= from)
        };
        // What is being made has all of its parts already.
        self.pending = self.pending.filter(|(grain, days)| may_stay(*grain, *days));
        self.given_up.retain(|(_, days)| from <= days.lower);
        self.is_due = true;
    }

    /// The first of these days, in order, that is in no rollup of the finest grain that outlives the periods, or `limit`.
    pub(super) fn covered_before(
        &self,
        mine: Coverage,
        days: impl Iterator<Item = Day>,
        limit: Day,
    ) -> Day {
        match self.outliving.first() {
            Some(&first) => self.first_uncovered(first, mine, days, limit),
            None => limit,
        }
    }

    fn first_uncovered(
        &self,
        (grain, from): (Grain, Day),
        mine: Coverage,
        days: impl Iterator<Item = Day>,
        limit: Day,
    ) -> Day {
        let mut last: Option<DayRange> = None;
        for day in days.take_while(|day| *day < limit).filter(|day| from <= *day) {
            if last.is_some_and(|last| last.contains(day)) {
                continue;
            }
            let Some(period) = self.calendar.of_coarser(day, grain) else { return day };
            let rollups = self.kept.iter().filter(|of| of.grain == grain && of.days == period);
            let covered = rollups.fold(Coverage::NONE, |all, of| all.union(of.part.coverage));
            if !mine.difference(covered).is_empty() {
                return period.lower;
            }
            last = Some(period);
        }
        limit
    }

    /// Takes rollups off the shelf that are kept no longer, each grain as far as the next coarser one has them. Periods before
    /// `kept_from` are gone. The files go when all workers have done so ([`Removal`](crate::archive::Removal)).
    ///
    /// A grain loses nothing before all that is finer is gone, up to the end of a coarser period. Until then it may not have
    /// everything yet, and the coarser period may have to be made again from it.
    pub(super) fn expire(&mut self, mine: Coverage, kept: &KeptFrom, kept_from: Day) {
        let mut finer_from = kept_from;
        for at in 0..self.outliving.len() {
            let (grain, from) = self.outliving[at];
            let coarser = self.outliving.get(at + 1).map_or(grain, |(coarser, _)| *coarser);
            let whole = begin(&self.calendar, finer_from, coarser);
            finer_from = finer_from.min(from);
            let limit = kept.rollups[grain as usize].map(|limit| limit.min(whole));
            let Some(limit) = limit.filter(|limit| from < *limit) else { continue };
            let days = self.kept.iter().filter(|of| of.grain == grain).map(|of| of.days.lower);
            let mut days: Vec<Day> = days.collect();
            days.sort_unstable();
            let before = match self.outliving.get(at + 1) {
                Some(&coarser) => self.first_uncovered(coarser, mine, days.iter().copied(), limit),
                None => limit,
            };
            if before <= from {
                continue;
            }
            self.outliving[at].1 = before;
            self.kept.retain(|of| of.grain != grain || before <= of.days.lower);
        }
    }

    /// Whether a file is that of a rollup in use.
    pub(crate) fn has(&self, path: &Path) -> bool {
        self.kept.iter().any(|rollup| rollup.file().is_some_and(|file| file.file.path == path))
    }

    /// Takes a damaged one out of the way, to be made again. Returns whether it was there.
    pub(crate) fn lost(&mut self, path: &Path) -> bool {
        let is_lost =
            |rollup: &mut Rollup<K, A>| rollup.file().is_some_and(|file| file.file.path == path);
        let lost: Vec<_> = self.kept.extract_if(.., is_lost).collect();
        self.stale.extend(lost.iter().filter_map(Rollup::place));
        self.is_due |= !lost.is_empty();
        !lost.is_empty()
    }

    /// Takes in what has been made, if none of its parts has changed since.
    pub(crate) fn made(&mut self, rollup: Rollup<K, A>) {
        match self.pending.take() {
            Some(pending) if pending == (rollup.grain, rollup.days) => self.kept.push(rollup),
            _ => self.stale.extend(rollup.place()),
        }
    }

    /// Goes on without a rollup that could not be made. Answers are read from its parts, and report what is wrong with
    /// them.
    pub(crate) fn failed(&mut self, view: &str, error: &ArchiveError) {
        if let Some((grain, days)) = self.pending.take() {
            let first = days.lower;
            tracing::warn!(view, %grain, %first, %error, "a rollup cannot be made: its parts are read instead");
            match error {
                // A full disk, mostly: it is tried again when something has been sealed.
                ArchiveError::Store(StoreError::Io { .. }) => self.is_due = false,
                _ => self.given_up.push((grain, days)),
            }
        } else {
            tracing::warn!(view, %error, "older rollups are removed by the next run");
        }
    }

    /// The next rollup to make. All its periods come before `first_open`. `periods` are those with files, in order.
    pub(crate) fn next(
        &mut self,
        periods: impl Iterator<Item = Day> + Clone,
        first_open: Day,
        kept_from: Day,
    ) -> Option<(Grain, DayRange)> {
        if !std::mem::take(&mut self.is_due) {
            return None;
        }
        let known: HashSet<_> = self.kept.iter().map(|of| (of.grain, of.days.lower)).collect();
        for &grain in &self.grains {
            // What stays when its parts go is also made of a single one.
            let needed = if self.first_of(grain).is_some() { 1 } else { 2 };
            let whole_from = self.parts_begin(grain, kept_from);
            let all = DayRange::new(Day::MIN, kept_from);
            let older = self.parts_of((grain, all), kept_from);
            let older = older.into_iter().map(|of| of.days.lower);
            let older: Vec<Day> = older.filter(|day| *day >= whole_from).collect();
            let (mut last, mut found) = (None, 0);
            for day in older.into_iter().chain(periods.clone()) {
                let days = match last {
                    Some(days) if DayRange::contains(&days, day) => days,
                    _ => {
                        found = 0;
                        self.calendar.of_coarser(day, grain)?
                    }
                };
                (last, found) = (Some(days), found + 1);
                let is_whole = whole_from <= days.lower && days.upper <= first_open;
                if found == needed
                    && is_whole
                    && !known.contains(&(grain, days.lower))
                    && !self.given_up.contains(&(grain, days))
                {
                    // There may be more.
                    (self.is_due, self.pending) = (true, Some((grain, days)));
                    return Some((grain, days));
                }
            }
        }
        None
    }

    /// The job that makes one rollup.
    pub(crate) fn job(
        &mut self,
        view: &str,
        (worker, mine): (usize, Coverage),
        (grain, days): (Grain, DayRange),
        (sealed, print): (Vec<Sealed<K, A>>, u64),
        stop: Arc<AtomicBool>,
    ) -> RollupJob<K, A> {
        let parts = with_rollups(sealed, &self.kept, days, |finer| {
            finer != grain && finer.is_within(grain)
        });
        self.begun += 1;
        let mut stale = std::mem::take(&mut self.gone);
        let same = |of: &mut (Grain, DayRange, PathBuf)| (of.0, of.1) == (grain, days);
        stale.extend(self.stale.extract_if(.., same).map(|(.., path)| path));
        let (view, number) = (view.to_owned(), self.begun);
        RollupJob { view, worker, mine, grain, days, parts, print, number, stale, stop }
    }
}

/// One rollup to be made, outside the worker.
#[derive(Debug)]
pub(crate) struct RollupJob<K, A> {
    view: String,
    worker: usize,
    mine: Coverage,
    grain: Grain,
    days: DayRange,
    parts: Vec<Sealed<K, A>>,
    /// Their fingerprint.
    print: u64,
    number: u64,
    /// Files to be removed.
    stale: Vec<PathBuf>,
    /// The engine is stopping.
    stop: Arc<AtomicBool>,
}

impl<K: Key, A: Aggregate> RollupJob<K, A> {
    /// Writes it. In a folder it is durable then, and named by the manifest.
    pub(crate) fn write(self, place: &Place) -> Result<Rollup<K, A>, ArchiveError> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(ArchiveError::Stopped);
        }
        let parts = self.parts.iter().map(Sealed::open).collect::<Result<Vec<_>, _>>()?;
        let closing = parts.iter().map(|part| part.closing).max().ok_or(ArchiveError::Stopped)?;
        let expected = parts.iter().map(|part| part.view.rows()).sum();
        let (day, coverage) = (self.days.lower, self.mine);
        let view = self.view.clone();
        let meta = BatchMeta { view: view.clone(), day, closing: closing.day, coverage };
        let (file, opened) = rolled_up(&parts, coverage, |rows| match place {
            Place::Memory => {
                let written = write_rows(Vec::new(), meta, expected, rows);
                let (mut bytes, _) =
                    written.map_err(|source| ArchiveError::Memory { view, day, source })?;
                bytes.shrink_to_fit();
                Ok::<_, ArchiveError>((None, BatchView::open(Bytes::Owned(Arc::new(bytes)))?))
            }
            Place::Folder(store) => {
                let RollupJob { grain, worker, number, print: parts, .. } = self;
                let new = NewRollup { grain, worker, number, parts };
                let (file, opened) = store.write_rollup(new, meta, expected, rows)?;
                store.discard_rollups(&self.stale);
                Ok((Some(Arc::new(file)), opened))
            }
        })??;
        let (generation, process, worker, packed) = (0, 0, self.worker as u32, None);
        let part =
            LivePart { day, closing, generation, coverage, process, worker, packed, view: opened };
        Ok(Rollup { grain: self.grain, days: self.days, part, file })
    }
}

/// A rollup to be audited, and what it has to be made of.
#[derive(Debug)]
pub(crate) struct RollupCheck<K, A> {
    pub(super) file: Arc<RollupFile>,
    /// What it has to be made of; `None` if that is gone, or not all here.
    pub(super) parts: Option<Vec<Sealed<K, A>>>,
}

impl<K: Key, A: Aggregate> Rollups<K, A> {
    /// The rollups of a folder that begin in a range, to be audited. `sealed` lists files.
    pub(super) fn checks(
        &self,
        days: DayRange,
        (mine, kept_from): (Coverage, Day),
        sealed: impl Fn(DayRange) -> Vec<Sealed<K, A>>,
    ) -> Vec<RollupCheck<K, A>> {
        let begins = self.kept.iter().filter(|rollup| days.contains(rollup.days.lower));
        let check = |rollup: &Rollup<K, A>| {
            let finer = |grain: Grain| grain != rollup.grain && grain.is_within(rollup.grain);
            let file = rollup.file.as_ref()?;
            let is_here = self.parts_begin(rollup.grain, kept_from) <= rollup.days.lower
                && file.file.file_coverage == mine;
            let parts =
                is_here.then(|| with_rollups(sealed(rollup.days), &self.kept, rollup.days, finer));
            Some(RollupCheck { file: Arc::clone(file), parts })
        };
        begins.filter_map(check).collect()
    }
}
