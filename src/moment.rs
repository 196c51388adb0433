//! The dataflow timestamp.

use std::fmt;

use differential_dataflow::lattice::Lattice;
use serde::{Deserialize, Serialize};
use timely::order::{PartialOrder, TotalOrder};
use timely::progress::timestamp::{PathSummary, Refines, Timestamp};

use crate::time::EventTime;

/// A moment of the engine: the floor in force, and the tick within it. Lexicographic, a total order.
///
/// The *floor* is the event time up to which days may close; it moves rarely. The *tick* numbers batches of ingest; it
/// always rises and is never read from data. When the frontier of a stream reaches a moment, every event that entered
/// before it is in. Every day that ends (with its grace) at or before the moment's floor can receive no more ordinary
/// events, so it closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Moment {
    /// The event time up to which days may close, in milliseconds UTC.
    pub floor: EventTime,
    /// The number of a batch of ingest.
    pub tick: u64,
}

impl Moment {
    /// Before every other moment: no floor yet, no tick yet.
    pub const MIN: Moment = Moment { floor: EventTime::MIN, tick: 0 };

    /// The moment of `tick` under `floor`.
    pub fn new(floor: EventTime, tick: u64) -> Moment {
        Moment { floor, tick }
    }

    /// The greatest moment before this one, or `None` for [`Moment::MIN`].
    #[must_use]
    pub fn before(self) -> Option<Moment> {
        if self.tick > 0 {
            Some(Moment { floor: self.floor, tick: self.tick - 1 })
        } else {
            let floor = self.floor.checked_sub(1)?;
            Some(Moment { floor, tick: u64::MAX })
        }
    }
}

impl Default for Moment {
    fn default() -> Moment {
        Moment::MIN
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tick {} over floor {}", self.tick, self.floor)
    }
}

impl PartialOrder for Moment {
    #[inline]
    fn less_equal(&self, other: &Moment) -> bool {
        self <= other
    }
    #[inline]
    fn less_than(&self, other: &Moment) -> bool {
        self < other
    }
}

impl TotalOrder for Moment {}

impl Lattice for Moment {
    #[inline]
    fn join(&self, other: &Moment) -> Moment {
        *self.max(other)
    }
    #[inline]
    fn meet(&self, other: &Moment) -> Moment {
        *self.min(other)
    }
}

impl Timestamp for Moment {
    // No loop of a dataflow advances a moment: only the engine's clock does.
    type Summary = ();
    fn minimum() -> Moment {
        Moment::MIN
    }
}

impl Refines<()> for Moment {
    fn to_inner(_: ()) -> Moment {
        Moment::MIN
    }
    fn to_outer(self) {}
    fn summarize(_: ()) {}
}

impl PathSummary<Moment> for () {
    #[inline]
    fn results_in(&self, src: &Moment) -> Option<Moment> {
        Some(*src)
    }
    #[inline]
    fn followed_by(&self, _other: &()) -> Option<()> {
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn before_is_the_predecessor() {
        let moment = Moment::new(5, 0);
        assert_eq!(moment.before(), Some(Moment::new(4, u64::MAX)));
        assert_eq!(Moment::new(5, 7).before(), Some(Moment::new(5, 6)));
        assert_eq!(Moment::MIN.before(), None);
    }

    #[test]
    fn order_is_lexicographic() {
        assert!(Moment::new(1, 9) < Moment::new(2, 0));
        assert!(Moment::new(1, 9).less_than(&Moment::new(1, 10)));
        assert!(Moment::MIN.less_equal(&Moment::MIN));
    }
}
