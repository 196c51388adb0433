//! Views that are being added, on one worker, and how much of their work may wait.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use super::inputs::Fed;
use crate::engine::ask::asking::WorkerView;
use crate::engine::change::Order;
use crate::engine::ingest::batch::Batch;
use crate::engine::recover::follow::FollowedLog;
use crate::moment::Moment;
use crate::time::EventTime;

/// The number of ticks of a worker that may be incomplete. More would only wait in queues.
pub(super) const TICKS_IN_FLIGHT: usize = 4;

/// The number of closings of a view that may wait to be sealed, on all workers, before a worker takes in more.
pub(super) const CLOSED_AHEAD: usize = 8;

/// If more events are held than this, nothing more enters until some have gone on.
pub(super) const HELD_MOST: usize = 1 << 20;

/// Views that are being added, on one worker.
pub(super) struct Joining<E: 'static> {
    pub(super) order: Arc<Order<E>>,
    pub(super) views: Vec<Box<dyn WorkerView>>,
    /// Their dataflows, until they join the input of the worker.
    pub(super) fed: Vec<Fed<E>>,
    pub(super) log: FollowedLog<E>,
    /// The moment at which the next events of the log enter.
    pub(super) now: Moment,
    /// The floor up to which days may close when the present part of the log has been read.
    pub(super) bound: EventTime,
    pub(super) skew: i64,
    pub(super) advanced: Instant,
    pub(super) in_flight: VecDeque<Moment>,
    pub(super) stage: Stage,
    /// The number of parts of the worker's own log.
    pub(super) parts: usize,
    pub(super) is_near: bool,
}

/// How far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// A part of the log is read.
    Reading,
    /// The part has been read.
    Read,
    /// The last part is read, and what enters is held.
    ReadingLast,
    /// What is held enters.
    Held,
    /// What enters on this worker enters the views as well.
    Joined,
}

impl<E: Send + Sync + 'static> Joining<E> {
    pub(super) fn advance_to(&mut self, moment: Moment) {
        (self.now, self.advanced) = (moment, Instant::now());
        self.fed.iter_mut().for_each(|fed| fed.advance_to(moment));
    }

    pub(super) fn send(&mut self, batch: &Batch<E>) {
        self.fed.iter_mut().for_each(|fed| fed.send(batch.clone()));
    }

    /// Whether the views can take more of the log.
    pub(super) fn has_room(&mut self) -> bool {
        while let Some(moment) = self.in_flight.front()
            && !self.fed.iter().any(|fed| fed.less_equal(moment))
        {
            self.in_flight.pop_front();
        }
        self.in_flight.len() < TICKS_IN_FLIGHT
            && self.views.iter().all(|view| view.status().closed() <= CLOSED_AHEAD)
    }
}
