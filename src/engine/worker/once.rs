//! A worker's share in pushes that count once.

use std::sync::atomic::Ordering;

use super::super::ingest::batch::Batch;
use super::super::ingest::deal::Keyed;
use super::super::ingest::owner::owner_of;
use super::Turning;

impl<E: Send + Sync + 'static> Turning<'_, E> {
    /// Enters pushes whose keys this worker owns, up to about `limit` events.
    pub(super) fn enter_once(&mut self, limit: usize) -> usize {
        let (Some(owner), Some(log)) = (&mut self.owner, &mut self.log) else { return 0 };
        if !self.inputs.is_open() {
            return 0;
        }
        let mut rows = 0;
        while rows < limit {
            let Some(asked) = self.feed.once.borrow_mut().pop_front() else { break };
            let when = (self.now, self.start.shared.clock.now());
            let Some(pushed) = owner.take(asked, when, log) else { continue };
            self.start.shared.events.fetch_add(pushed.len() as u64, Ordering::Relaxed);
            rows += pushed.len().max(1);
            self.inputs.send(&Batch::new(pushed), self.now.floor);
        }
        rows
    }

    /// Passes pushes with a key to the owner of the key, and answers back. Returns whether there were any.
    pub(super) fn pass_once(&mut self) -> bool {
        let (Some(owner), Some(log), Some(queue)) = (&mut self.owner, &self.log, &self.start.live)
        else {
            return false;
        };
        let (from, peers) = (self.worker.index(), self.worker.peers());
        let mut passed = false;
        while let Some(request) = queue.take_request() {
            self.feed.deal(owner_of(&request.key, peers), Keyed::Push { from, request });
            passed = true;
        }
        owner.answer(log, &mut self.feed);
        for (id, reply) in self.feed.replies.borrow_mut().drain(..) {
            queue.answer(id, reply);
            passed = true;
        }
        passed
    }
}
