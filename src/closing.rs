//! Which closing an event belongs to: the name of a part of a day that is sealed at once.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::time::{Day, EventTime};

/// A closing: what is sealed of a view at once. Closings become complete, and live, in this order.
///
/// An event that comes in time belongs to the closing of its own day. A late one, which enters under floor `g`
/// while `k` is the first day that is still open, belongs to `(k, g)`: it comes before the closing of `k` itself, and is
/// complete as soon as the floor has moved on, by a millisecond or a day. So amendments can be sealed before
/// the next day closes, where they would take too much memory.
///
/// Both parts are functions of the event and the moment at which it entered. So every worker, and every recovery
/// from the log, puts an event into the same closing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Closing {
    /// The first day that was open: of an event in time, its own.
    pub day: Day,
    /// The floor of late events; the greatest there is for those in time, which come last.
    floor: EventTime,
}

impl Closing {
    /// The closing of a day: of all that comes in time, and of all late events before that.
    pub const fn of(day: Day) -> Closing {
        Closing { day, floor: EventTime::MAX }
    }

    /// The closing of what enters late under `floor`, while `day` is the first day that is open.
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
