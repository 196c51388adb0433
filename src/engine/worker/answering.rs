//! When a worker lets queries in: at complete moments, and for the last time at the end.

use std::sync::atomic::Ordering;

use super::Turning;
use crate::engine::ask::asking::{Complete, WorkerView};
use crate::engine::ask::snapshots::Keep;
use crate::moment::Moment;

impl<E: Send + Sync + 'static> Turning<'_, E> {
    /// Lets queries in at the latest moment that is complete on all workers. Returns whether there were any.
    pub(super) fn answer(&mut self) -> bool {
        let Some(complete) = self.complete() else { return false };
        let ask = |asked, view: &mut Box<dyn WorkerView>| view.ask_at(complete) | asked;
        let asked = self.views.iter_mut().fold(false, ask);
        self.take_snapshots(complete) | asked
    }

    /// Makes all views keep their state of this moment, for requested snapshots. The queries of all views are at the
    /// same moment here, and queries of a snapshot come after this.
    fn take_snapshots(&mut self, complete: Complete) -> bool {
        if !complete.recovered || !self.worker.index().is_multiple_of(self.start.shared.threads) {
            return false;
        }
        let orders = self.start.shared.desk.take();
        let is_asked = !orders.wanted.is_empty();
        let mut tell = |keep| self.views.iter_mut().for_each(|view| view.keep(keep));
        orders.released.into_iter().for_each(|id| tell(Keep::Release { id }));
        for (id, limit, giver) in orders.wanted {
            tell(Keep::Hold { id, limit });
            giver.give((complete.moment, self.start.shared.clock.now()));
        }
        is_asked
    }

    /// Answers queries while the last events enter the views and days are sealed. Returns whether that is over: then no
    /// more queries are answered.
    pub(super) fn answer_last(&mut self) -> bool {
        let Some(complete) = self.complete() else { return false };
        let is_sealed =
            self.feed.leave.get() || self.views.iter().all(|view| view.status().finished());
        let is_over = is_sealed && self.inputs.frontier().is_none();
        for view in &mut self.views {
            if is_over {
                view.close(Some(complete));
            } else {
                view.ask_at(complete);
            }
        }
        if !is_over {
            self.take_snapshots(complete);
        }
        is_over
    }

    /// The latest moment that is complete on all workers, and what else is needed for asking.
    pub(super) fn complete(&mut self) -> Option<Complete> {
        // A view that was just added may be behind the others for a moment. What was complete stays so, and its answers
        // wait for it.
        self.reached = self.reached.and_then(|reached| Some(self.inputs.frontier()?.max(reached)));
        let frontier = self.reached;
        let complete = match frontier {
            Some(frontier) => frontier.before(),
            // The events have ended: everything is complete.
            None => Some(Moment::new(i64::MAX, 0)),
        };
        // No worker goes to the floor of the sources before it has replayed its share.
        let is_in = complete.is_some_and(|moment| moment.floor >= self.start.shared.floor);
        if is_in && !std::mem::replace(&mut self.recovered, true) {
            self.start.shared.recovered.store(true, Ordering::Release);
            self.publish();
        }
        self.start.shared.waits.tell(self.worker.index() % self.start.shared.threads, frontier);
        let moment = complete?;
        let is_alone = self.worker.peers() == self.start.shared.threads;
        // A tick is entered before its moment is complete, so this covers everything that is complete.
        let entered = is_alone.then(|| self.start.shared.wanted.load(Ordering::Acquire));
        Some(Complete { moment, recovered: self.recovered, entered })
    }
}
