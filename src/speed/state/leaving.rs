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

impl<K: Key, A: Aggregate> Speed<K, A> {
    /// The first period that a question of this moment covers. It is counted back from the last closed period, or from
    /// the last one that has events if that is earlier. The same on all workers.
    pub(crate) fn kept_at(&self, moment: Moment) -> Day {
        let latest = self.counts(moment).latest.unwrap_or(Day::MIN);
        let kept = match moment.floor {
            // The events have ended.
            i64::MAX => self.view.kept_behind(latest),
            floor => self.view.kept_at(floor).min(self.view.kept_behind(latest)),
        };
        kept.max(self.kept_first)
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
        // Keep what can still be asked for, and what the retention counted from the last sealed period keeps.
        let since = self.servers.iter().min().copied();
        let since = since.or(self.settled.map(|floor| Moment::new(floor, 0)));
        let of = since.zip(self.sealed_through());
        if of.is_some() && self.view.retention().keep.is_some() && of != self.taken_of {
            self.taken_of = of;
            let kept =
                of.map(|(since, through)| self.kept_at(since).min(self.view.kept_behind(through)));
            kept.into_iter().for_each(|kept| self.sealed.remove_before(kept));
        }
        let is_kept = self.view.retention().revisions.is_none();
        if let Some(through) = self.sealed_through.filter(|_| !is_kept)
            && self.superseded_through < Some(through)
        {
            self.superseded_through = Some(through);
            self.sealed.supersede_through(through);
        }
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
