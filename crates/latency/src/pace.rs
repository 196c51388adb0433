//! Whether the system kept the rate.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::schedule::Schedule;
use super::text::{count, duration};

/// A system keeps up with its schedule if its oldest unfinished event is no older than this.
const ABREAST: u64 = 10_000_000;

/// A run is behind if its oldest unfinished event at the end is older than this, and than a hundredth of
/// the run: a system that lacks one per cent of the rate falls behind by that much.
const BEHIND: u64 = 100_000_000;

/// Follows how far a system is behind its schedule.
#[derive(Clone, Debug)]
pub struct Pacer {
    schedule: Schedule,
    /// Events below this number are done.
    done: u64,
    last: u64,
    abreast: u64,
    at_end: Option<(u64, u64)>,
    unseen: u64,
}

impl Pacer {
    /// Follows this schedule.
    pub fn new(schedule: Schedule) -> Pacer {
        Pacer { schedule, done: 0, last: 0, abreast: 0, at_end: None, unseen: 0 }
    }

    /// The events below `events` were done at `done`; those below the previous such number were done before.
    pub fn seen(&mut self, events: u64, done: u64) {
        let lag = self.lag(done);
        if lag <= ABREAST {
            self.abreast = done;
        }
        if done >= self.schedule.end() && self.at_end.is_none() {
            let end = self.schedule.end();
            self.at_end = Some((self.lag(end), self.schedule.total() - self.done));
        }
        self.done = events.clamp(self.done, self.schedule.total());
        self.last = self.last.max(done);
    }

    /// At `now` the run was given up: unfinished events will not be waited for.
    pub fn give_up(&mut self, now: u64) {
        self.seen(self.done, now);
        self.unseen = self.schedule.total() - self.done;
    }

    /// How long the oldest unfinished event has been due, in nanoseconds.
    pub fn lag(&self, now: u64) -> u64 {
        if self.done == self.schedule.total() {
            0
        } else {
            now.saturating_sub(self.schedule.at(self.done))
        }
    }

    /// The result.
    pub fn pace(&self) -> Pace {
        let (behind, waiting) = self.at_end.unwrap_or_default();
        Pace {
            scheduled: self.schedule.total(),
            end: self.schedule.end(),
            behind,
            waiting,
            since: self.abreast,
            drained: self.last,
            unseen: self.unseen,
        }
    }
}

/// How far a system was behind its schedule. Instants are nanoseconds since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Pace {
    /// How many events were scheduled.
    pub scheduled: u64,
    /// When the schedule ended.
    pub end: u64,
    /// How long the oldest unfinished event had been due then.
    pub behind: u64,
    /// How many events were not done then.
    pub waiting: u64,
    /// When the system last kept up with the schedule, to within 10 ms.
    pub since: u64,
    /// When all events were done, or the run was given up.
    pub drained: u64,
    /// How many were not done even then. The histograms count them as done then; their real latencies are greater.
    pub unseen: u64,
}

impl Pace {
    /// Whether the system did not keep the rate. Then the latencies depend on the length of the run.
    pub fn is_behind(&self) -> bool {
        self.unseen > 0 || self.behind > BEHIND.max(self.end / 100)
    }

    /// Events per second that the system handled.
    pub fn rate(&self) -> f64 {
        let took = self.drained.max(self.end).max(1);
        (self.scheduled - self.unseen) as f64 * 1e9 / took as f64
    }

    pub(super) fn merge(&mut self, other: &Pace) {
        *self = Pace {
            scheduled: self.scheduled + other.scheduled,
            end: self.end.max(other.end),
            behind: self.behind.max(other.behind),
            waiting: self.waiting + other.waiting,
            since: self.since.min(other.since),
            drained: self.drained.max(other.drained),
            unseen: self.unseen + other.unseen,
        };
    }
}

impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.is_behind() {
            let (scheduled, end) = (count(self.scheduled), duration(self.end));
            return write!(f, "The rate was kept: {scheduled} events in {end}.");
        }
        let rate = count(self.rate() as u64);
        let since = match self.since {
            0 => "from the beginning".to_owned(),
            since => format!("after {}", duration(since)),
        };
        write!(
            f,
            "THE RATE WAS NOT KEPT. When the last event was due, {} were waiting, the oldest for {}. It fell \
             behind {since}, and did {rate} a second. Latencies depend on how long was measured.",
            count(self.waiting),
            duration(self.behind),
        )?;
        if self.unseen > 0 {
            let unseen = count(self.unseen);
            write!(
                f,
                " It was given up with {unseen} events not done: their latencies are greater."
            )?;
        }
        Ok(())
    }
}
