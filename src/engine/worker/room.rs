//! When a worker takes nothing more in because a limit of a view is near, and has late events sealed.

use super::Turning;
use crate::engine::ingest::deal::Control;
use crate::speed::Room;

/// The number of the source that is read, if there is one.
const READ: usize = 0;

impl<E: Send + Sync + 'static> Turning<'_, E> {
    /// Tells all workers when this one can take more than before, or less, and requests a higher floor if late events
    /// are to be sealed.
    pub(super) fn watch_room(&mut self) {
        let room = self.views.iter().map(|view| view.status().room()).max().unwrap_or_default();
        if room != self.room {
            self.room = room;
            self.feed.broadcast(Control::Room { worker: self.worker.index(), room });
            tracing::debug!(
                worker = self.worker.index(),
                ?room,
                "a view is near its bounds, or no longer"
            );
        }
        if let (Some(queue), Some(_)) = (&self.start.live, self.live) {
            let held = self.is_tight();
            if std::mem::replace(&mut self.holding, held) != held {
                queue.hold(held);
            }
        }
        if !self.recovered {
            return;
        }
        // A floor that is a millisecond higher closes no day, and completes the late events so far. Once is enough.
        // Workers that are behind are told as well, because no worker takes the floors of sources while one waits for
        // this.
        if let Room::Late(floor) = room
            && self.raised <= floor
        {
            self.raised = floor.saturating_add(1);
            self.feed.broadcast(Control::Raise { floor: self.raised });
        }
        let raise = self.feed.raise.take();
        self.raise_floor(raise);
        if room == Room::Tight {
            self.check_limits();
        }
    }

    /// Whether some worker has to seal something before it can take more.
    pub(super) fn is_full(&self) -> bool {
        self.most() >= Room::Sealing
    }

    /// Whether some worker has room only for what is in the queue already. This holds the clock, and so keeps the days
    /// open.
    pub(super) fn is_tight(&self) -> bool {
        self.most() >= Room::Tight
    }

    fn most(&self) -> Room {
        self.feed.rooms.borrow().iter().copied().max().unwrap_or_default().max(self.room)
    }

    /// While a source is read, stops if a limit is exceeded. Such a source cannot be held back until its days close,
    /// because they close as it is read.
    fn check_limits(&mut self) {
        let reads = self.start.parse.is_some() && self.floors.is_open(READ);
        if !reads && self.shares.iter().all(|share| share.has_ended) {
            return;
        }
        self.views.iter().for_each(|view| view.status().stop_over_limit());
    }
}
