//! Closings: which events are sealed together.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::time::{Day, EventTime};

/// A closing: the events of a view that are sealed together. Closings become complete and live in their order.
///
/// An event in time belongs to the closing of its own day. A late event that enters under floor `g`, while `k` is the
/// first day that is still open, belongs to the closing `(k, g)`. That closing comes before the closing of `k` itself,
/// and is complete as soon as the floor has moved on, by a millisecond or a day. So if amendments take too much memory,
/// they can be sealed before the next day closes.
///
/// Both parts are functions of the event and the moment at which it entered. So every worker, and every recovery
/// from the log, puts an event into the same closing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Closing {
    /// The first day that was open; for an event in time, its own day.
    pub day: Day,
    /// The floor of late events; the greatest event time for events in time, which come last.
    floor: EventTime,
}

impl Closing {
    /// The closing of a day: of all its events in time, and of all late events before.
    pub const fn of(day: Day) -> Closing {
        Closing { day, floor: EventTime::MAX }
    }

    /// The closing of events that enter late under `floor`, while `day` is the first open day.
    pub const fn late(day: Day, floor: EventTime) -> Closing {
        Closing { day, floor }
    }

    /// The floor under which events of it enter, if they are late; `None` for the closing of a day.
    pub fn floor(self) -> Option<EventTime> {
        (self.floor < EventTime::MAX).then_some(self.floor)
    }

    /// The last day that is closed when this and all closings before it are.
    pub fn last_closed(self) -> Day {
        if self.floor().is_none() { self.day } else { self.day.previous() }
    }
}

impl From<Day> for Closing {
    fn from(day: Day) -> Closing {
        Closing::of(day)
    }
}

impl fmt::Display for Closing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.floor() {
            None => write!(f, "{}", self.day),
            Some(floor) => write!(f, "{}, late under floor {floor}", self.day),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_events_come_before_the_day_that_takes_them_and_after_the_one_before() {
        let order = [
            Closing::of(Day(1)),
            Closing::late(Day(2), -5),
            Closing::late(Day(2), 7),
            Closing::of(Day(2)),
        ];
        assert!(order.is_sorted());
        assert_eq!(order.map(Closing::last_closed), [1, 1, 1, 2].map(Day));
        assert_eq!(order[2].to_string(), "1970-01-03, late under floor 7");
    }
}
