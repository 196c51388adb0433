//! The times that a cell may hold: RFC 3339 and similar forms, numbers since 1970, or a custom format.

mod ambiguous;
mod format;
mod local;

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;

pub use ambiguous::AmbiguousTime;
pub use format::TimeFormatError;

use crate::number::Written;
use crate::time::{Calendar, EVENT_TIME_MAX, EVENT_TIME_MIN, EventTime};

const DAY_SECONDS: i64 = 86_400;

/// Why a cell is not a time. Each message says what was expected, on one line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TimeRefusal {
    /// There is nothing in the cell.
    #[error("empty; expected a time")]
    Empty,
    /// None of the forms.
    #[error(
        "not a time; expected RFC 3339 with an offset such as 2013-01-01T10:59:00Z or a number since 1970"
    )]
    Format,
    /// Not a time of the parser's format.
    #[error("not a time of the given format; expected one as the format says")]
    OwnFormat,
    /// A local time without an offset, and no zone is named for these.
    #[error(
        "no offset from UTC; expected one at the end such as Z or -05:00, or a named zone for local times"
    )]
    NoOffset,
    /// A date without a time of day, and no zone is named for these.
    #[error(
        "a date alone; expected a time of day and an offset as well, or a named zone for dates"
    )]
    NoZone,
    /// A local time that came twice, when the clocks went back.
    #[error(
        "this local time came twice, when clocks went back; expected an offset, or a choice for folds"
    )]
    Fold,
    /// A local time that did not come, when the clocks went forward.
    #[error(
        "this local time did not come, when clocks went forward; expected an offset, or a choice for gaps"
    )]
    Gap,
    /// A date that the calendar does not have, or a time that no clock shows.
    #[error("no such date or time of day; expected a real one")]
    NoSuchTime,
    /// Farther away than a calendar can place.
    #[error("out of range; expected a time in the years -9998 to 9998")]
    OutOfRange,
}

/// Parses the time in a cell, as [`TimeParser::new`] does.
///
/// # Errors
/// [`TimeRefusal`] for anything else.
#[inline]
pub fn parse_time(cell: &[u8]) -> Result<EventTime, TimeRefusal> {
    static DEFAULT: TimeParser = TimeParser::new();
    DEFAULT.parse(cell)
}

/// Reads times as programs write them, floored to milliseconds (towards the past, also before 1970).
///
/// - **RFC 3339** with years 0000 to 9999, a fraction of any length, and an offset; `t`, `z`, a space for `T`, a space
///   before the offset, and offsets without a colon or minutes (`+0200`, `+02`) are accepted. Only dates of the
///   (proleptic Gregorian) calendar are valid. Second 60 is a leap second and only valid as 23:59:60 in UTC. Unix time
///   has no place for it, so with any fraction it is the last millisecond of its day: it stays on its date and is not
///   before the second 59.
/// - **A number** with an optional sign, fraction and exponent (`1651591054.5349035`, `1.48e9`), whose magnitude tells
///   the unit: below 10¹¹ seconds, below 10¹⁴ milliseconds, below 10¹⁷ microseconds, otherwise nanoseconds since
///   1970-01-01T00:00:00Z. It is read exactly, not as a float.
/// - **A date alone**, `2013-01-01`: the first instant of the date in a zone that is named by [`TimeParser::dates_in`]
///   or [`TimeParser::local`].
/// - **A local time**, RFC 3339 without the offset, in a zone that is named by [`TimeParser::local`].
/// - Or, instead of all these, **a custom format**: [`TimeParser::format`].
///
/// Nothing is trimmed.
///
/// ```
/// use dayfold::source::{AmbiguousTime, TimeParser};
/// use dayfold::time::Calendar;
///
/// let vienna = Calendar::new("Europe/Vienna")?;
/// let times = TimeParser::new().local(&vienna, AmbiguousTime::Earlier, AmbiguousTime::Refuse);
/// assert_eq!(times.parse(b"2013-01-01 00:00:00.5"), Ok(1_356_994_800_500));
/// assert_eq!(times.parse(b"2013-01-01"), Ok(1_356_994_800_000));
/// assert_eq!(times.parse(b"1356994800.5"), Ok(1_356_994_800_500));
/// let own = times.format("%d/%m/%Y %H.%M").unwrap();
/// assert_eq!(own.parse(b"31/12/2012 23.00"), Ok(1_356_991_200_000));
/// # Ok::<(), dayfold::time::TimeError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TimeParser {
    format: Option<String>,
    dates: Option<TimeZone>,
    local: Option<Local>,
}

/// The zone of times without an offset, and the meaning of ambiguous times.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Local {
    zone: TimeZone,
    fold: AmbiguousTime,
    gap: AmbiguousTime,
}

impl TimeParser {
    /// Reads RFC 3339 with an offset, and numbers.
    pub const fn new() -> TimeParser {
        TimeParser { format: None, dates: None, local: None }
    }

    /// Also reads dates alone, as the first instants of these dates in a zone: midnight, or the end of a change of
    /// clocks that leaves midnight out.
    #[must_use]
    pub fn dates_in(self, zone: &Calendar) -> TimeParser {
        TimeParser { dates: Some(zone.zone().clone()), ..self }
    }

    /// Also reads local times of a zone, without an offset. `fold` says what a local time means that came twice, when
    /// clocks went back; `gap` says what a local time means that was skipped, when they went forward. Dates alone are
    /// in this zone, too, whatever [`TimeParser::dates_in`] said.
    #[must_use]
    pub fn local(self, zone: &Calendar, fold: AmbiguousTime, gap: AmbiguousTime) -> TimeParser {
        let zone = zone.zone().clone();
        TimeParser { dates: Some(zone.clone()), local: Some(Local { zone, fold, gap }), ..self }
    }

    /// Reads times of this format and no others. The format has conversions of `strptime`, as
    /// [`jiff`](https://docs.rs/jiff/1/jiff/fmt/strtime/index.html#conversion-specifications) defines them. If the
    /// format has no offset or no time of day, they are found as without a format.
    ///
    /// # Errors
    /// [`TimeFormatError`] if it is not such a format.
    pub fn format(self, format: &str) -> Result<TimeParser, TimeFormatError> {
        format::check_format(format)?;
        Ok(TimeParser { format: Some(format.to_owned()), ..self })
    }

    /// Reads a time.
    ///
    /// # Errors
    /// [`TimeRefusal`] for forms that it is not set to read, and for times outside
    /// [`EVENT_TIME_MIN`]`..=`[`EVENT_TIME_MAX`].
    #[inline]
    pub fn parse(&self, cell: &[u8]) -> Result<EventTime, TimeRefusal> {
        match &self.format {
            _ if cell.is_empty() => Err(TimeRefusal::Empty),
            Some(format) => self.parse_format(format, cell),
            // Only a year has a digit and then a hyphen there; a number would have the letter of an exponent.
            None if matches!(cell, [_, _, _, b'0'..=b'9', b'-', ..]) => self.parse_date(cell),
            None => parse_number(cell),
        }
    }

    #[inline]
    fn parse_date(&self, cell: &[u8]) -> Result<EventTime, TimeRefusal> {
        let Some((head, rest)) = cell.split_first_chunk::<19>() else {
            return self.parse_date_alone(cell);
        };
        let marks = [head[4], head[7], head[13], head[16]];
        if marks != *b"--::" || !matches!(head[10], b'T' | b't' | b' ') {
            return Err(TimeRefusal::Format);
        }
        let [year, month, day] =
            [number(&head[0..4])?, number(&head[5..7])?, number(&head[8..10])?];
        let hour = number(&head[11..13])?;
        let [minute, second] = [number(&head[14..16])?, number(&head[17..19])?];
        let (fraction_ms, rest) = parse_fraction(rest)?;
        if rest.is_empty() {
            return self.parse_local([year, month, day, hour, minute, second], fraction_ms);
        }
        let offset_minutes = parse_offset(rest)?;
        check_date(year, month, day)?;
        let minute_utc = hour * 60 + minute - offset_minutes;
        let leap = second == 60 && minute_utc.rem_euclid(1_440) == 1_439;
        if hour > 23 || minute > 59 || (second > 59 && !leap) {
            return Err(TimeRefusal::NoSuchTime);
        }
        let (second, fraction_ms) = if leap { (59, 999) } else { (second, fraction_ms) };
        let seconds = days_from_civil(year, month, day) * DAY_SECONDS + minute_utc * 60 + second;
        in_range(seconds * 1_000 + fraction_ms)
    }

    /// A time without an offset.
    #[inline(never)]
    fn parse_local(&self, fields: [i64; 6], fraction_ms: i64) -> Result<EventTime, TimeRefusal> {
        let local = self.local.as_ref().ok_or(TimeRefusal::NoOffset)?;
        let [year, month, day, hour, minute, second] = fields;
        check_date(year, month, day)?;
        if hour > 23 || minute > 59 || second > 60 {
            return Err(TimeRefusal::NoSuchTime);
        }
        // Uses second 59 for a leap second until it is known to be one.
        let time = Time::constant(hour as i8, minute as i8, second.min(59) as i8, 0);
        let stamp = local.resolve(DateTime::from_parts(date(year, month, day), time))?;
        let seconds = stamp.as_millisecond().div_euclid(1_000);
        let fraction_ms = match second {
            60 if seconds.rem_euclid(DAY_SECONDS) == DAY_SECONDS - 1 => 999,
            60 => return Err(TimeRefusal::NoSuchTime),
            _ => fraction_ms,
        };
        in_range(seconds * 1_000 + fraction_ms)
    }

    #[cold]
    fn parse_date_alone(&self, cell: &[u8]) -> Result<EventTime, TimeRefusal> {
        let cell: &[u8; 10] = cell.try_into().map_err(|_| TimeRefusal::Format)?;
        if [cell[4], cell[7]] != *b"--" {
            return Err(TimeRefusal::Format);
        }
        let (year, month) = (number(&cell[0..4])?, number(&cell[5..7])?);
        let day = number(&cell[8..10])?;
        check_date(year, month, day)?;
        self.date_alone(date(year, month, day))
    }
}

#[inline]
fn check_date(year: i64, month: i64, day: i64) -> Result<(), TimeRefusal> {
    match (1..=12).contains(&month) && (1..=days_in_month(year, month)).contains(&day) {
        true => Ok(()),
        false => Err(TimeRefusal::NoSuchTime),
    }
}

/// A date that was checked.
fn date(year: i64, month: i64, day: i64) -> Date {
    Date::constant(year as i16, month as i8, day as i8)
}

#[inline]
fn parse_number(cell: &[u8]) -> Result<EventTime, TimeRefusal> {
    let (sign, digits) = match cell {
        [b'-', digits @ ..] => (-1, digits),
        [b'+', digits @ ..] => (1, digits),
        _ => (1, cell),
    };
    if !(1..=18).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return parse_long_number(cell);
    }
    let magnitude = digits.iter().fold(0i64, |sum, digit| sum * 10 + i64::from(digit - b'0'));
    let count = sign * magnitude;
    in_range(if magnitude < 100_000_000_000 {
        count * 1_000
    } else if magnitude < 100_000_000_000_000 {
        count
    } else if magnitude < 100_000_000_000_000_000 {
        count.div_euclid(1_000)
    } else {
        count.div_euclid(1_000_000)
    })
}

/// A number with a point, an exponent, or many digits.
fn parse_long_number(cell: &[u8]) -> Result<EventTime, TimeRefusal> {
    let number = Written::read(cell).ok_or(TimeRefusal::Format)?;
    // The number of digits before the point tells the unit; the places move the point to milliseconds.
    let places = match number.magnitude().unwrap_or(0) {
        ..=11 => 3,
        12..=14 => 0,
        15..=17 => -3,
        18..=21 => -6,
        // The greatest event time has 21 digits in nanoseconds.
        _ => return Err(TimeRefusal::OutOfRange),
    };
    let cut = number.cut(places);
    let ms = i128::try_from(cut.taken).map_err(|_| TimeRefusal::OutOfRange)?;
    // For a time before 1970, cut-off digits move it one millisecond further into the past.
    let ms = if number.negative { -ms - i128::from(!cut.is_exact()) } else { ms };
    EventTime::try_from(ms).map_err(|_| TimeRefusal::OutOfRange).and_then(in_range)
}

/// The milliseconds of `.digits`, if there is a point, and the rest. A fraction counts forwards from its second, so
/// cutting digits is the floor.
fn parse_fraction(rest: &[u8]) -> Result<(i64, &[u8]), TimeRefusal> {
    let [b'.', rest @ ..] = rest else { return Ok((0, rest)) };
    let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if length == 0 {
        return Err(TimeRefusal::Format);
    }
    let (digits, rest) = rest.split_at(length);
    let ms = (0..3).fold(0, |ms, place| {
        ms * 10 + digits.get(place).map_or(0, |digit| i64::from(digit - b'0'))
    });
    Ok((ms, rest))
}

/// The minutes of the offset that a time ends in.
#[inline]
fn parse_offset(rest: &[u8]) -> Result<i64, TimeRefusal> {
    match rest {
        [b'Z' | b'z'] => Ok(0),
        [sign @ (b'+' | b'-'), h1, h0, b':', m1, m0] => {
            offset(*sign, number(&[*h1, *h0])?, number(&[*m1, *m0])?)
        }
        _ => parse_loose_offset(rest.strip_prefix(b" ").unwrap_or(rest)),
    }
}

/// As written by programs that do not know RFC 3339.
#[inline(never)]
fn parse_loose_offset(rest: &[u8]) -> Result<i64, TimeRefusal> {
    match rest {
        [b'Z' | b'z'] => Ok(0),
        [sign @ (b'+' | b'-'), h1, h0, b':', m1, m0] | [sign @ (b'+' | b'-'), h1, h0, m1, m0] => {
            offset(*sign, number(&[*h1, *h0])?, number(&[*m1, *m0])?)
        }
        [sign @ (b'+' | b'-'), h1, h0] => offset(*sign, number(&[*h1, *h0])?, 0),
        _ => Err(TimeRefusal::Format),
    }
}

#[inline]
fn offset(sign: u8, hours: i64, minutes: i64) -> Result<i64, TimeRefusal> {
    if hours > 23 || minutes > 59 {
        return Err(TimeRefusal::NoSuchTime);
    }
    let offset = hours * 60 + minutes;
    Ok(if sign == b'-' { -offset } else { offset })
}

#[inline]
fn number(digits: &[u8]) -> Result<i64, TimeRefusal> {
    digits.iter().try_fold(0, |sum, digit| {
        if digit.is_ascii_digit() {
            Ok(sum * 10 + i64::from(digit - b'0'))
        } else {
            Err(TimeRefusal::Format)
        }
    })
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01, after Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let yoe = year.rem_euclid(400);
    let doy = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    era * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719_468
}

fn in_range(ms: EventTime) -> Result<EventTime, TimeRefusal> {
    if (EVENT_TIME_MIN..=EVENT_TIME_MAX).contains(&ms) {
        Ok(ms)
    } else {
        Err(TimeRefusal::OutOfRange)
    }
}

#[cfg(test)]
mod tests;
