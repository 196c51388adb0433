//! The numbers of ticks, and the wall clock. Only the engine reads clocks.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::source::AHEAD_LIMIT_MS;
use crate::time::{DAY_MS, EventTime};
use crate::view::View;

/// Numbers the ticks of a worker: microseconds of a monotonic clock, strictly ascending.
#[derive(Debug)]
pub(crate) struct TickClock {
    started: Instant,
    base: u64,
    last: u64,
}

impl TickClock {
    /// A clock whose ticks come after `base`.
    pub(crate) fn new(base: u64) -> TickClock {
        TickClock { started: Instant::now(), base, last: base }
    }

    /// A tick after all before, and after `other`.
    pub(crate) fn beyond(&mut self, other: u64) -> u64 {
        let now = self.base.saturating_add(self.started.elapsed().as_micros() as u64);
        self.last = now.max(self.last + 1).max(other.saturating_add(1));
        self.last
    }

    /// A tick after all before.
    pub(crate) fn next(&mut self) -> u64 {
        self.beyond(0)
    }
}

/// The wall clock, or one that a test moves. Clones are the same clock, even if it is set later.
#[derive(Clone)]
pub(crate) struct Clock {
    now: Arc<RwLock<Box<Now>>>,
}

type Now = dyn Fn() -> EventTime + Send + Sync;

impl Clock {
    /// Replaces this clock.
    pub(crate) fn set(&self, now: impl Fn() -> EventTime + Send + Sync + 'static) {
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = Box::new(now);
    }

    /// The time, in milliseconds UTC.
    pub(crate) fn now(&self) -> EventTime {
        self.now.read().unwrap_or_else(PoisonError::into_inner)()
    }
}

impl Default for Clock {
    fn default() -> Clock {
        let wall = || {
            let since = SystemTime::now().duration_since(UNIX_EPOCH);
            since.map_or(0, |since| since.as_millis() as EventTime)
        };
        Clock { now: Arc::new(RwLock::new(Box::new(wall))) }
    }
}

/// Whether a floor is beyond what any source can have reached with a correct clock. Events may be a limit ahead of
/// their arrival, arrivals may be a limit ahead of the wall clock, and the period of the last event closes at the end of
/// a run. Late events move the floor by a millisecond each time that they are sealed: a day of that is allowed. Earlier
/// versions closed one more day at the end of each run over a source that had grown. So a lead of as many days as there
/// were earlier runs does not show a wrong clock.
pub(super) fn is_ahead(floor: EventTime, now: EventTime, runs: u64, views: &[View]) -> bool {
    let of_runs = i64::try_from(runs).unwrap_or(i64::MAX).saturating_mul(DAY_MS);
    let reached = now.saturating_add(2 * AHEAD_LIMIT_MS).saturating_add(of_runs);
    let upper = |view: &View| view.upper(view.calendar().day_of(reached));
    views.iter().map(upper).max().is_some_and(|upper| floor > upper.saturating_add(DAY_MS))
}

/// A time, for messages.
pub(super) fn text(time: EventTime) -> String {
    jiff::Timestamp::from_millisecond(time)
        .map_or_else(|_| format!("{time} ms"), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_always_rise() {
        let mut clock = TickClock::new(100);
        let mut last = 100;
        for _ in 0..1_000 {
            let tick = clock.next();
            assert!(tick > last);
            last = tick;
        }
        assert!(clock.beyond(last + 1_000_000) > last + 1_000_000);
    }
}
