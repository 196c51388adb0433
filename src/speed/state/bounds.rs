//! How near a view is to its limits on one worker.

use super::Speed;
use crate::aggregate::Aggregate;
use crate::key::Key;
use crate::speed::room::{Fill, Late, Room};
use crate::view::LimitError;

impl<K: Key, A: Aggregate> Speed<K, A> {
    /// Checks the limits. They hold over all workers; keys spread evenly, so each worker checks its share.
    ///
    /// This runs at each tick. Sizes are kept up to date as rows are folded, and days are counted only if there are
    /// enough tables to reach the limit.
    pub(super) fn check_limits(&mut self) {
        if !self.has_door {
            self.stop_over_limit();
        }
    }

    /// Stops the view if a limit is exceeded.
    pub(crate) fn stop_over_limit(&mut self) {
        let is_raised = self.is_raised;
        let over = self.fills().into_iter().find(|fill| fill.is_over(is_raised));
        if let Some(Fill { what, limit, needed, .. }) = over
            && self.error.is_none()
        {
            let view = self.view.name().to_owned();
            self.fail(LimitError { view, what, limit, needed });
        }
    }

    /// How much of each limit is used.
    pub(super) fn fills(&self) -> [Fill; 3] {
        let (limits, peers) = (self.view.bounds(), self.peers);
        let tables = self.tables.len() + self.frozen.len();
        let days = if tables > limits.unsealed_days / 2 { self.unsealed_days() } else { tables };
        let fill = |what, limit, needed, late| Fill { what, limit, needed, late };
        let (all, late) = (self.unsealed, self.sealable());
        let (late_tables, late) = (late.tables, late.size);
        [
            fill("unsealed days", limits.unsealed_days, days, late_tables),
            fill("groups", limits.groups, all.groups * peers, late.groups * peers),
            fill("bytes", limits.bytes, all.bytes * peers, late.bytes * peers),
        ]
    }

    pub(super) fn sealable(&self) -> Late {
        self.late.sealable(self.open)
    }

    /// How much more can be taken in.
    pub(crate) fn room(&self) -> Room {
        let fills = self.fills();
        if fills.iter().any(Fill::is_worth_sealing) {
            let floor = self.sealable().floor;
            match floor.filter(|floor| self.settled.is_some_and(|at| at <= *floor)) {
                Some(floor) => Room::Late(floor),
                None => Room::Sealing,
            }
        } else if !fills.iter().any(Fill::is_tight) {
            Room::Enough
        } else if self.seal_busy || self.rebuilding || !self.frozen.is_empty() {
            Room::Sealing
        } else {
            Room::Tight
        }
    }
}
