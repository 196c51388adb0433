//! Windows that move with the clock: the last N periods.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Calendar, Day, DayRange, EventTime, Grain, TimeError};

/// The last N hours, days, weeks, months, quarters or years: the current one, and those before it.
///
/// A window consists of whole periods in the view's zone: the last 7 days are today since midnight and the six dates
/// before; the last 24 hours begin with a whole hour. When clocks change, a window of days is an hour longer or
/// shorter. Dates that the zone skipped do not count.
///
/// As a text: `24h`, `7d`, `4w`, `3mo`, `2q`, `1y`.
///
/// ```
/// use dayfold::time::{Calendar, DayRange, Grain, Last};
///
/// let week: Last = "7d".parse()?;
/// assert_eq!(week, Last::new(7, Grain::Day)?);
/// let noon = 1_709_294_400_000; // 2024-03-01T12:00:00Z
/// let days = week.periods(&Calendar::utc(), noon).ok_or("days are made of days")?;
/// assert_eq!(days, DayRange::through("2024-02-24".parse()?, "2024-03-01".parse()?));
///
/// // A view of months cannot tell its last days.
/// assert_eq!(week.periods(&Calendar::utc().by(Grain::Month), noon), None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Last {
    count: NonZeroU32,
    grain: Grain,
}

/// How a grain is written behind a number.
const UNITS: [(Grain, &str); 6] = [
    (Grain::Hour, "h"),
    (Grain::Day, "d"),
    (Grain::Week, "w"),
    (Grain::Month, "mo"),
    (Grain::Quarter, "q"),
    (Grain::Year, "y"),
];

impl Last {
    /// The most periods of a window, because they are counted back one by one.
    pub const MAX: u32 = 1_000;

    /// The last `count` periods of a grain.
    ///
    /// # Errors
    /// [`TimeError::Last`] for zero, or more than [`Last::MAX`].
    pub fn new(count: u32, grain: Grain) -> Result<Last, TimeError> {
        let error = || TimeError::Last { text: format!("{count}{}", unit(grain)) };
        let known = NonZeroU32::new(count).filter(|count| count.get() <= Last::MAX);
        known.map(|count| Last { count, grain }).ok_or_else(error)
    }

    /// The grain that it counts.
    pub fn grain(self) -> Grain {
        self.grain
    }

    /// The periods of a calendar that are in the window at `now`; `None` if the periods of the window do not consist of
    /// whole periods of the calendar ([`Grain::is_within`]).
    pub fn periods(self, calendar: &Calendar, now: EventTime) -> Option<DayRange> {
        if !calendar.grain().is_within(self.grain) {
            return None;
        }
        let counted = calendar.clone().by(self.grain);
        let last = counted.day_of(now);
        let mut first = last;
        for _ in 1..self.count.get() {
            first = there_was_before(&counted, first);
        }
        Some(calendar.periods(DayRange::new(first, counted.after(last))))
    }

    /// The first instant after `now` at which the window can change.
    pub(crate) fn moves_at(self, calendar: &Calendar, now: EventTime) -> EventTime {
        calendar.clone().by(self.grain).span_at(now).upper
    }
}

/// The period before this one, without periods that the zone skipped.
fn there_was_before(calendar: &Calendar, period: Day) -> Day {
    let before = calendar.before(period);
    // A skipped date ends where the date before it ends. No zone skipped two dates in a row.
    let never_was = calendar.end_of(before) == calendar.end_of(calendar.before(before));
    if calendar.grain() == Grain::Day && never_was { calendar.before(before) } else { before }
}

fn unit(grain: Grain) -> &'static str {
    UNITS.iter().find(|(known, _)| *known == grain).map_or("", |(_, unit)| unit)
}

impl fmt::Display for Last {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.count, unit(self.grain))
    }
}

impl FromStr for Last {
    type Err = TimeError;
    /// Reads what `Display` writes, and nothing else.
    fn from_str(text: &str) -> Result<Last, TimeError> {
        let error = || TimeError::Last { text: text.to_owned() };
        let (digits, unit) = text.split_at(text.bytes().take_while(u8::is_ascii_digit).count());
        let (grain, _) = UNITS.iter().find(|(_, known)| *known == unit).ok_or_else(error)?;
        let count = digits.parse().ok().filter(|_| !digits.starts_with('0')).ok_or_else(error)?;
        Last::new(count, *grain).map_err(|_| error())
    }
}
