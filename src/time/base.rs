//! Event time, and names of periods: what dates, hours and calendars are built from.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Event time: when it happened, in milliseconds since 1970-01-01T00:00:00Z (negative before).
pub type EventTime = i64;

/// Milliseconds of a day without a change of clocks.
pub(crate) const DAY_MS: i64 = 86_400_000;

/// The least event time a calendar can place (year −9998, so that every zone's offset fits).
pub const EVENT_TIME_MIN: EventTime = -377_673_580_800_000;
/// The greatest event time a calendar can place (year 9998).
pub const EVENT_TIME_MAX: EventTime = 253_370_764_800_000;

/// A date of some view's calendar, as days since 1970-01-01.
///
/// It also names a period: a week, month, quarter or year by its first day. An hour has a number of its own,
/// beyond those of all dates ([`Day::instant`]).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Day(pub i32);

impl Day {
    /// Before every day.
    pub const MIN: Day = Day(i32::MIN);
    /// After every day.
    pub const MAX: Day = Day(i32::MAX);

    /// The day after this one; [`Day::MAX`] has none and stays.
    #[must_use]
    pub fn next(self) -> Day {
        Day(self.0.saturating_add(1))
    }

    /// The day before this one; [`Day::MIN`] has none and stays.
    #[must_use]
    pub fn previous(self) -> Day {
        Day(self.0.saturating_sub(1))
    }
}

pub(super) fn timestamp(time: EventTime) -> Timestamp {
    Timestamp::from_millisecond(time.clamp(EVENT_TIME_MIN - DAY_MS, EVENT_TIME_MAX + DAY_MS))
        .expect("event times are clamped to what a timestamp can hold")
}

/// An interval `[lower, upper)` of event time within one day.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) lower: EventTime,
    pub(super) upper: EventTime,
    pub(super) day: Day,
}
