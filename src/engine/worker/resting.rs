//! When a worker steps, checks again, or sleeps.

use std::time::{Duration, Instant};

use super::{IDLE_ADVANCE, Turning};
use crate::engine::restless::RESTLESS;

/// As [`IDLE_ADVANCE`], once nothing has happened for [`QUIET_AFTER`]. Only the first tick after that may wait for it,
/// and only one of another process: within a process, workers wake each other.
const QUIET_ADVANCE: Duration = Duration::from_millis(50);

/// How long nothing must happen before a worker is quiet.
const QUIET_AFTER: Duration = Duration::from_millis(500);

/// The number of operators that a query passes, one in each step of the worker. Events pass as many.
const STEPS: usize = 4;

impl<E: Send + Sync + 'static> Turning<'_, E> {
    /// Steps timely; `is_lively` if something has happened in this turn. After a while without work, a worker sleeps
    /// until it is woken.
    pub(super) fn step(&mut self, is_lively: bool) {
        if is_lively {
            self.lively = Instant::now();
            for _ in 0..STEPS {
                self.worker.step();
            }
        } else if self.lively.elapsed() < RESTLESS {
            self.worker.step();
            std::thread::yield_now();
        } else {
            self.worker.step_or_park(Some(self.may_sleep()));
        }
    }

    /// Whether this worker has looked queries up since the last call, for any worker: more may follow.
    pub(super) fn has_answered(&mut self) -> bool {
        let answered = self.views.iter().map(|view| view.status().answered()).sum();
        std::mem::replace(&mut self.answered, answered) != answered
    }

    pub(super) fn idle_advance(&self) -> Duration {
        if self.lively.elapsed() < QUIET_AFTER { IDLE_ADVANCE } else { QUIET_ADVANCE }
    }

    /// How long this worker may sleep if nobody wakes it.
    fn may_sleep(&self) -> Duration {
        let due = self.views.iter().filter_map(|view| view.next_due()).min();
        let until = due.map(|due| due.saturating_duration_since(Instant::now()));
        until.map_or(self.idle_advance(), |until| until.min(self.idle_advance()))
    }
}
