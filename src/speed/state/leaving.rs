//! Removes what a view no longer keeps, on one worker, while the program runs.
//!
//! 1. A worker takes periods off its shelf that no future question covers.
//! 2. When no reader on this worker holds a list of their files any more, it tells all workers.
//! 3. When all have said so, each process removes the files from its part: first it writes the record, then it removes
//!    the files.
//!
//! Superseded revisions are removed in the same way. Questions need no step for them, because they do not read them.
//!
//! The moment of a question alone decides which periods it covers ([`Speed::kept_at`]). So all workers answer it over
//! the same periods, however far their removal is.

use super::{Leaving, Speed};
use crate::aggregate::Aggregate;
use crate::archive::TakenOff;
use crate::closing::Closing;
use crate::key::Key;
use crate::moment::Moment;
use crate::time::Day;
use crate::view::{KeptFrom, begin};

impl<K: Key, A: Aggregate> Speed<K, A> {
    /// What is kept for questions of this moment, the same on all workers: what is kept by its floor, without periods of
    /// which events were dropped.
    pub(crate) fn kept_at(&self, moment: Moment) -> KeptFrom {
        let kept = self.kept_under(moment);
        self.counts(moment).not_dropped_from.map_or(kept, |from| kept.max(KeptFrom::of(from)))
    }

    /// What is kept by the floor of this moment: counted back from the last period that is closed, or from the last one that
    /// has events, if that came before.
    fn kept_under(&self, moment: Moment) -> KeptFrom {
        let latest = self.counts(moment).latest.unwrap_or(Day::MIN);
        let through = match moment.floor {
            // The events have ended.
            i64::MAX => latest,
            floor => {
                let closed = self.view.closed_before(self.view.first_open(floor));
                self.view.counted_from(closed).min(latest)
            }
        };
        self.view.kept_behind(through).max(self.kept_first)
    }

    /// The first period of which no event was dropped, if any was.
    pub(crate) fn not_dropped_from(&self) -> Option<Day> {
        self.counts(Moment { floor: i64::MAX, tick: u64::MAX }).not_dropped_from
    }

    /// What is on the shelf.
    pub(crate) fn kept(&self) -> KeptFrom {
        self.sealed.keeps()
    }

    /// The first period that is on the shelf.
    pub(crate) fn kept_from(&self) -> Day {
        self.sealed.kept_from()
    }

    /// What this worker no longer needs.
    pub(in crate::speed) fn leaving(&self) -> Leaving {
        self.leaving
    }

    /// Whether this worker needs less than at the last check.
    pub(in crate::speed) fn look_what_goes(&mut self) -> bool {
        let before = self.leaving;
        while let Some(taken) = self.sealed.gone() {
            match taken {
                TakenOff::Before(from) => self.leaving.gone = Some(from),
                TakenOff::Superseded(closing) => self.leaving.superseded = Some(closing),
            }
        }
        self.leaving != before
    }

    /// Takes off the shelf what no future question reads, while nothing is being sealed here.
    pub(in crate::speed) fn take_off(&mut self) {
        if self.rebuilding || self.auditing {
            return;
        }
        if self.view.retention().keep.is_some() {
            self.take_off_periods();
        }
        let is_kept = self.view.retention().revisions.is_none();
        if let Some(through) = self.sealed_through.filter(|_| !is_kept)
            && self.superseded_through < Some(through)
        {
            self.superseded_through = Some(through);
            self.sealed.supersede_through(through);
        }
    }

    fn take_off_periods(&mut self) {
        let since = self.least_asked();
        let of = since.zip(self.sealed_through());
        let outlives = self.outlives();
        // With rollups that outlive periods, it may be that only these were missing.
        if of.is_none() || (of == self.taken_of && !outlives) {
            return;
        }
        self.taken_of = of;
        let Some(kept) = self.kept_for_all() else { return };
        let mut from = kept.periods;
        if outlives && from > self.sealed.kept_from() {
            // What is not sealed yet of a period comes into its rollup first.
            let unsealed = self.first_unsealed().filter(|day| *day < from);
            from = unsealed.unwrap_or(from);
            from = self.sealed.rolled_up_before(from);
            let finest = self.view.outliving().first().map(|(grain, _)| *grain);
            from = finest.map_or(from, |grain| match from == kept.periods {
                true => from,
                false => begin(self.view.calendar(), from, grain),
            });
        }
        self.sealed.remove_before(from);
    }

    /// Takes rollups off the shelf that are kept no longer. Returns whether there were any.
    pub(in crate::speed) fn expire_rollups(&mut self) -> bool {
        if !self.outlives() || self.rebuilding || self.auditing {
            return false;
        }
        let Some(kept) = self.kept_for_all() else { return false };
        self.sealed.expire_rollups(&kept);
        let (first, from) = (self.kept_first.rollups, self.sealed.keeps().rollups);
        let before = self.leaving.rollups;
        self.leaving.rollups = std::array::from_fn(|at| from[at].filter(|_| first[at] < from[at]));
        self.leaving.rollups != before
    }

    /// Whether there are rollups that outlive the view's periods.
    pub(in crate::speed) fn outlives(&self) -> bool {
        self.sealed.outlives()
    }

    /// What everybody keeps: for whatever can still be asked, behind the last period that is sealed, and for events that are
    /// still to come.
    pub(in crate::speed) fn kept_for_all(&self) -> Option<KeptFrom> {
        let (since, through) = self.least_asked().zip(self.sealed_through())?;
        let kept = self.kept_at(since).min(self.view.kept_behind(through));
        if !self.outlives() {
            return Some(kept);
        }
        Some(kept.min(self.kept_under(Moment::new(self.settled?, 0))))
    }

    /// The least moment that can still be asked for.
    fn least_asked(&self) -> Option<Moment> {
        let since = self.servers.iter().min().copied();
        since.or(self.settled.map(|floor| Moment::new(floor, 0)))
    }

    /// The first period that has something which is not sealed.
    fn first_unsealed(&self) -> Option<Day> {
        let tables = self.tables.keys().next().map(|(day, _)| *day);
        let frozen = self.frozen.keys().next().map(|(day, _)| *day);
        let deltas = self.deltas.iter().filter_map(|delta| Some(delta.span()?.0));
        tables.into_iter().chain(frozen).chain(deltas).min()
    }

    /// What no worker needs any more.
    pub(in crate::speed) fn all_leaving(&self) -> Leaving {
        let workers = self.prepared.iter().map(|worker| worker.leaving);
        workers.reduce(Leaving::min).unwrap_or_default()
    }

    /// Forgets tables of late events of periods that are no longer on the shelf. Returns their last closing.
    pub(in crate::speed) fn forget_late(&mut self, through: Closing) -> Option<Closing> {
        let from = self.sealed.kept_from();
        let is_gone = |(day, closing): &&(Day, Closing)| *day < from && *closing <= through;
        let gone: Vec<(Day, Closing)> = self
            .tables
            .keys()
            .take_while(|(day, _)| *day < from)
            .filter(is_gone)
            .copied()
            .collect();
        for place in &gone {
            let Some(mut table) = self.tables.remove(place) else { continue };
            self.late.remove(place.1, table.size());
            self.unsealed = self.unsealed - table.size();
            table.share().leave_to_readers();
        }
        gone.into_iter().map(|(_, closing)| closing).max()
    }
}
