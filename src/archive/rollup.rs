//! Rollups: files of coarser periods, made from all of a worker's sealed files in such a period.
//!
//! An answer uses either the whole rollup or the files that it is made from. The files are what counts: as soon as one
//! of them gets another revision, the rollup is dropped, until it has been made again. Rollups of earlier runs are not
//! used: each run makes them again from what is sealed.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::seal::rolled_up;
use super::{ArchiveError, LivePart, Place, Sealed};
use crate::aggregate::Aggregate;
use crate::batch::{BatchMeta, BatchView, Bytes, Coverage, write_rows};
use crate::key::Key;
use crate::time::{Calendar, Day, DayRange, Grain};

/// A sealed period of a coarser grain, on one worker.
#[derive(Clone, Debug)]
pub(crate) struct Rollup<K, A> {
    grain: Grain,
    /// The periods of the view in it.
    days: DayRange,
    part: LivePart<K, A>,
    /// Its path, if it is a file of a folder.
    path: Option<PathBuf>,
}

/// Rollups by their first period; they do not overlap.
type Chosen<'a, K, A> = BTreeMap<Day, &'a Rollup<K, A>>;

impl<K, A> Rollup<K, A> {
    pub(crate) fn days(&self) -> DayRange {
        self.days
    }

    pub(crate) fn part(&self) -> &LivePart<K, A> {
        &self.part
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
        let before = chosen.range(..rollup.days.upper).next_back();
        if before
            .is_none_or(|(_, before): (_, &&Rollup<K, A>)| before.days.upper <= rollup.days.lower)
        {
            chosen.insert(rollup.days.lower, rollup);
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
        last.is_some_and(|(_, rollup)| rollup.days.contains(day))
    };
    sealed.retain(|sealed| !is_in(sealed.day()));
    sealed.extend(chosen.values().map(|rollup| Sealed::Open(rollup.part.clone())));
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
    /// Rollups that could not be made, because a part is damaged or the disk is full. They are not tried again before a
    /// part has changed.
    given_up: Vec<(Grain, DayRange)>,
    /// A rollup may have to be made.
    is_due: bool,
    /// The number of rollups begun; it makes the names of files unique.
    begun: u64,
    /// Files that are no longer needed.
    stale: Vec<PathBuf>,
}

impl<K: Key, A: Aggregate> Rollups<K, A> {
    pub(crate) fn none() -> Self {
        Rollups::new(Calendar::utc(), Vec::new())
    }

    /// The rollups of a view with this calendar.
    pub(crate) fn new(calendar: Calendar, mut grains: Vec<Grain>) -> Self {
        grains.retain(|grain| *grain != calendar.grain() && calendar.grain().is_within(*grain));
        grains.sort_by_key(|grain| Grain::ALL.iter().position(|known| known == grain));
        grains.dedup();
        let (kept, given_up, stale) = (Vec::new(), Vec::new(), Vec::new());
        Rollups { grains, calendar, kept, pending: None, given_up, is_due: true, begun: 0, stale }
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
        self.kept.retain_mut(|rollup| {
            let stays = !rollup.days.contains(day);
            if !stays {
                stale.extend(rollup.path.take());
            }
            stays
        });
    }

    /// Takes in a finished rollup, if none of its parts has changed since.
    pub(crate) fn made(&mut self, rollup: Rollup<K, A>) {
        match self.pending.take() {
            Some(pending) if pending == (rollup.grain, rollup.days) => self.kept.push(rollup),
            _ => self.stale.extend(rollup.path),
        }
    }

    /// Goes on without a rollup that could not be made. Answers are read from its parts, and report what is wrong with
    /// them.
    pub(crate) fn failed(&mut self, view: &str, error: &ArchiveError) {
        if let Some((grain, days)) = self.pending.take() {
            let first = days.lower;
            tracing::warn!(view, %grain, %first, %error, "a rollup cannot be made: its parts are read instead");
            self.given_up.push((grain, days));
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
        for &grain in &self.grains {
            let (mut last, mut found) = (None, 0);
            for day in periods.clone() {
                let days = match last {
                    Some(days) if DayRange::contains(&days, day) => days,
                    _ => {
                        found = 0;
                        self.calendar.of_coarser(day, grain)?
                    }
                };
                (last, found) = (Some(days), found + 1);
                let is_whole = kept_from <= days.lower && days.upper <= first_open;
                let is_new = |of: &Rollup<K, A>| of.grain != grain || of.days != days;
                let is_wanted =
                    self.kept.iter().all(is_new) && !self.given_up.contains(&(grain, days));
                if found == 2 && is_whole && is_wanted {
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
        sealed: Vec<Sealed<K, A>>,
        stop: Arc<AtomicBool>,
    ) -> RollupJob<K, A> {
        let parts = with_rollups(sealed, &self.kept, days, |finer| finer != grain);
        self.begun += 1;
        let stale = std::mem::take(&mut self.stale);
        let (view, number) = (view.to_owned(), self.begun);
        RollupJob { view, worker, mine, grain, days, parts, number, stale, stop }
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
    number: u64,
    /// Files to be removed.
    stale: Vec<PathBuf>,
    /// The engine is stopping.
    stop: Arc<AtomicBool>,
}

impl<K: Key, A: Aggregate> RollupJob<K, A> {
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
        let (path, file) = rolled_up(&parts, coverage, |rows| match place {
            Place::Memory => {
                let written = write_rows(Vec::new(), meta, expected, rows);
                let (mut bytes, _) =
                    written.map_err(|source| ArchiveError::Memory { view, day, source })?;
                bytes.shrink_to_fit();
                Ok::<_, ArchiveError>((None, BatchView::open(Bytes::Owned(Arc::new(bytes)))?))
            }
            Place::Folder(store) => {
                store.discard_rollups(&self.stale);
                let name = (self.grain, self.worker, self.number);
                let (path, file) = store.write_rollup(name, meta, expected, rows)?;
                Ok((Some(path), file))
            }
        })??;
        let (generation, process, worker) = (0, 0, self.worker as u32);
        let part = LivePart { day, closing, generation, coverage, process, worker, view: file };
        Ok(Rollup { grain: self.grain, days: self.days, part, path })
    }
}
