//! What a view keeps no longer, on one worker, while it runs.
//!
//! 1. A worker takes periods off its shelf that no question still to come is about.
//! 2. When nobody here has listed files of them any more, it tells all workers.
//! 3. When all have said that, each process removes the files of its part: first the record, then the files.
//!
//! Superseded revisions go in the same way; no step is needed for questions, which are not about them.
//!
//! Which periods a question is about is decided by its moment alone ([`Speed::kept_at`]), so all workers answer it of the same
//! ones, wherever they are in this.

use super::{Leaving, Speed};
use crate::aggregate::Aggregate;
use crate::archive::TakenOff;
use crate::closing::Closing;
use crate::key::Key;
use crate::moment::Moment;
use crate::time::Day;

impl<K: Key, A: Aggregate> Speed<K, A> {
    /// The first period that a question of this moment is about: counted back from the last one that is closed, or from the
    /// last one that has events, if that came before. The same on all workers.
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

    /// How far this worker is.
    pub(in crate::speed) fn leaving(&self) -> Leaving {
        self.leaving
    }

    /// Whether there is more than before that nobody here may open any more.
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

    /// Takes what nobody asks for any more off the shelf, while nothing is being sealed here.
    pub(in crate::speed) fn take_off(&mut self) {
        if self.rebuilding || self.auditing {
            return;
        }
        // What can still be asked for is kept, and so is what the last period that is sealed keeps.
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

    /// How far all workers are.
    pub(in crate::speed) fn all_leaving(&self) -> Leaving {
        let workers = self.prepared.iter().map(|worker| worker.leaving);
        workers.reduce(Leaving::min).unwrap_or_default()
    }

    /// Forgets tables of late events of periods that are not on the shelf any more. Returns their last closing.
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
