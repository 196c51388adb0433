//! The times that a cell may hold: RFC 3339 with an offset, or an integer.

use crate::time::{EVENT_TIME_MAX, EVENT_TIME_MIN, EventTime};

const DAY_SECONDS: i64 = 86_400;

/// Why a cell is not a time. Each message says what was expected, on one line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TimeRefusal {
    /// There is nothing in the cell.
    #[error("empty; expected a time")]
    Empty,
    /// Neither of the two forms.
    #[error(
        "not a time; expected RFC 3339 with an offset such as 2013-01-01T10:59:00Z or an integer since 1970"
    )]
    Format,
    /// RFC 3339 up to the offset, which is missing.
    #[error("no offset from UTC; expected one at the end such as Z or -05:00")]
    NoOffset,
    /// A date that the calendar does not have, or a time that no clock shows.
    #[error("no such date or time of day; expected a real one")]
    NoSuchTime,
    /// Farther away than a calendar can place.
    #[error("out of range; expected a time in the years -9998 to 9998")]
    OutOfRange,
}

/// Parses the time in a cell, floored to milliseconds (towards the past, also before 1970).
///
/// - **RFC 3339** with years 0000 to 9999, a fraction of any length, and the offset that it demands;
///   `t`, `z` and a space for `T` are accepted, as its section 5.6 permits. Only dates of the
///   (proleptic Gregorian) calendar. Second 60 is a leap second and only valid as 23:59:60 in UTC; Unix
///   time has no place for it, so with any fraction it is the last millisecond of its day: it stays on
///   its date and does not come before the second 59.
/// - **An integer** with an optional sign, told apart by magnitude: below 10¹¹ seconds, below 10¹⁴
///   milliseconds, below 10¹⁷ microseconds, else nanoseconds since 1970-01-01T00:00:00Z.
///
/// Nothing is trimmed.
///
/// # Errors
/// [`TimeRefusal`] for anything else, and for times outside
/// [`EVENT_TIME_MIN`]`..=`[`EVENT_TIME_MAX`].
pub fn parse_time(cell: &[u8]) -> Result<EventTime, TimeRefusal> {
    match cell {
        [] => Err(TimeRefusal::Empty),
        [b'-', digits @ ..] => parse_integer(digits, -1),
        [b'+', digits @ ..] => parse_integer(digits, 1),
        _ if cell.get(4) == Some(&b'-') => parse_rfc3339(cell),
        _ => parse_integer(cell, 1),
    }
}

fn parse_integer(digits: &[u8], sign: i128) -> Result<EventTime, TimeRefusal> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(TimeRefusal::Format);
    }
    let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
    // The greatest event time has 21 digits in nanoseconds.
    if digits.len() - zeros > 21 {
        return Err(TimeRefusal::OutOfRange);
    }
    let magnitude =
        digits[zeros..].iter().fold(0i128, |sum, digit| sum * 10 + i128::from(digit - b'0'));
    let count = sign * magnitude;
    let ms = if magnitude < 100_000_000_000 {
        count * 1_000
    } else if magnitude < 100_000_000_000_000 {
        count
    } else if magnitude < 100_000_000_000_000_000 {
        count.div_euclid(1_000)
    } else {
        count.div_euclid(1_000_000)
    };
    EventTime::try_from(ms).map_err(|_| TimeRefusal::OutOfRange).and_then(in_range)
}

fn parse_rfc3339(cell: &[u8]) -> Result<EventTime, TimeRefusal> {
    let (head, rest) = cell.split_first_chunk::<19>().ok_or(TimeRefusal::Format)?;
    let marks = [head[4], head[7], head[13], head[16]];
    if marks != *b"--::" || !matches!(head[10], b'T' | b't' | b' ') {
        return Err(TimeRefusal::Format);
    }
    let [year, month, day] = [number(&head[0..4])?, number(&head[5..7])?, number(&head[8..10])?];
    let hour = number(&head[11..13])?;
    let [minute, second] = [number(&head[14..16])?, number(&head[17..19])?];
    let (fraction_ms, rest) = parse_fraction(rest)?;
    let offset_minutes = parse_offset(rest)?;

    if !(1..=12).contains(&month) || !(1..=days_in_month(year, month)).contains(&day) {
        return Err(TimeRefusal::NoSuchTime);
    }
    let minute_utc = hour * 60 + minute - offset_minutes;
    let leap = second == 60 && minute_utc.rem_euclid(1_440) == 1_439;
    if hour > 23 || minute > 59 || (second > 59 && !leap) {
        return Err(TimeRefusal::NoSuchTime);
    }
    let (second, fraction_ms) = if leap { (59, 999) } else { (second, fraction_ms) };
    let seconds = days_from_civil(year, month, day) * DAY_SECONDS + minute_utc * 60 + second;
    in_range(seconds * 1_000 + fraction_ms)
}

/// The milliseconds of `.digits`, if there is one, and what follows. A fraction counts forwards from
/// its second, so leaving out digits is the floor.
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

fn parse_offset(rest: &[u8]) -> Result<i64, TimeRefusal> {
    match rest {
        [b'Z' | b'z'] => Ok(0),
        [sign @ (b'+' | b'-'), h1, h0, b':', m1, m0] => {
            let (hours, minutes) = (number(&[*h1, *h0])?, number(&[*m1, *m0])?);
            if hours > 23 || minutes > 59 {
                return Err(TimeRefusal::NoSuchTime);
            }
            let offset = hours * 60 + minutes;
            Ok(if *sign == b'-' { -offset } else { offset })
        }
        [] => Err(TimeRefusal::NoOffset),
        _ => Err(TimeRefusal::Format),
    }
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
mod tests {
    use super::*;
    use jiff::Timestamp;
    use proptest::prelude::*;

    #[track_caller]
    fn check(cell: &str, expect: Result<EventTime, TimeRefusal>) {
        assert_eq!(parse_time(cell.as_bytes()), expect, "{cell}");
    }

    #[test]
    fn rfc3339() {
        check("1970-01-01T00:00:00Z", Ok(0));
        check("2013-01-01T10:59:00Z", Ok(1_357_037_940_000));
        check("2013-01-01t10:59:00z", Ok(1_357_037_940_000));
        check("2013-01-01 10:59:00Z", Ok(1_357_037_940_000));
        check("2013-01-01T05:59:00-05:00", Ok(1_357_037_940_000));
        check("2013-01-01T10:59:00-00:00", Ok(1_357_037_940_000));
        check("2013-01-01T16:29:00.5+05:30", Ok(1_357_037_940_500));
        check("1970-01-01T23:59:00+23:59", Ok(0));
        check("0000-01-01T00:00:00Z", Ok(-62_167_219_200_000));
        check("0000-02-29T00:00:00+23:59", Ok(-62_162_121_600_000 + 60_000 - 86_400_000));
        check("9999-01-01T00:00:00Z", Ok(EVENT_TIME_MAX));
    }

    #[test]
    fn fractions_are_floored() {
        check("1970-01-01T00:00:00.1Z", Ok(100));
        check("1970-01-01T00:00:00.0019999999999999999999999Z", Ok(1));
        check("1969-12-31T23:59:59.9999Z", Ok(-1));
        check("1969-12-31T23:59:59.9990001Z", Ok(-1));
        check("1969-12-31T23:59:59.9980001Z", Ok(-2));
        check("1969-12-31T23:59:59.000Z", Ok(-1_000));
    }

    #[test]
    fn leap_seconds_stay_on_their_date() {
        check("2016-12-31T23:59:60Z", Ok(1_483_228_799_999));
        check("2016-12-31T23:59:60.5Z", Ok(1_483_228_799_999));
        check("2016-12-31T18:59:60-05:00", Ok(1_483_228_799_999));
        check("2016-12-31T23:59:60+01:00", Err(TimeRefusal::NoSuchTime));
        check("2016-12-31T12:00:60Z", Err(TimeRefusal::NoSuchTime));
        check("2016-12-31T23:59:61Z", Err(TimeRefusal::NoSuchTime));
    }

    #[test]
    fn integers_by_magnitude() {
        check("0", Ok(0));
        check("-0", Ok(0));
        check("+1357037940", Ok(1_357_037_940_000));
        check("99999999999", Ok(99_999_999_999_000));
        check("-99999999999", Ok(-99_999_999_999_000));
        check("100000000000", Ok(100_000_000_000));
        check("-100000000000", Ok(-100_000_000_000));
        check("99999999999999", Ok(99_999_999_999_999));
        check("100000000000000", Ok(100_000_000_000));
        check("-100000000000001", Ok(-100_000_000_001));
        check("99999999999999999", Ok(99_999_999_999_999));
        check("100000000000000000", Ok(100_000_000_000));
        check("-100000000000000001", Ok(-100_000_000_001));
        check("253370764800000999999", Ok(EVENT_TIME_MAX));
        check("253370764800001000000", Err(TimeRefusal::OutOfRange));
        check("-377673580800000000000", Ok(EVENT_TIME_MIN));
        check("-377673580800000000001", Err(TimeRefusal::OutOfRange));
        check("0000000000000000000000000000000000001", Ok(1_000));
        check(&"9".repeat(1_000), Err(TimeRefusal::OutOfRange));
    }

    #[test]
    fn refusals() {
        check("", Err(TimeRefusal::Empty));
        for cell in [" ", "+", "-", "--1", "+-1", "1.5", "1e3", " 1", "1 ", "0x10", "NaN", "today"]
        {
            check(cell, Err(TimeRefusal::Format));
        }
        for cell in [
            "2013-01-01",
            "2013-01-01T10:59Z",
            "2013-01-01_10:59:00Z",
            "2013-01-01T10:59:00.Z",
            "2013-01-01T10:59:00,5Z",
            "2013-01-01T10:59:00Z ",
            "2013-01-01T10:59:00+0500",
            "2013-01-01T10:59:00+05",
            "2013-01-01T10:59:00 Z",
            "2013-01-01T10:59:00Z[UTC]",
            "-2013-01-01T10:59:00Z",
            "12013-01-01T10:59:00Z",
            "2013-01-0\u{661}T10:59:00Z",
        ] {
            check(cell, Err(TimeRefusal::Format));
        }
        check("2013-01-01T10:59:00", Err(TimeRefusal::NoOffset));
        check("2013-01-01T10:59:00.25", Err(TimeRefusal::NoOffset));
        for cell in [
            "2013-02-29T00:00:00Z",
            "1900-02-29T00:00:00Z",
            "2013-04-31T00:00:00Z",
            "2013-00-01T00:00:00Z",
            "2013-13-01T00:00:00Z",
            "2013-01-00T00:00:00Z",
            "2013-01-01T24:00:00Z",
            "2013-01-01T00:60:00Z",
            "2013-01-01T00:00:00+24:00",
            "2013-01-01T00:00:00+00:60",
        ] {
            check(cell, Err(TimeRefusal::NoSuchTime));
        }
        check("9999-12-31T23:59:59Z", Err(TimeRefusal::OutOfRange));
        for refusal in [TimeRefusal::Empty, TimeRefusal::Format, TimeRefusal::NoOffset] {
            assert!(refusal.to_string().contains("expected"), "{refusal}");
        }
    }

    proptest! {
        #[test]
        fn differential_rfc3339_agrees_with_jiff(
            year in 0..=9_999, month in 0..=13, day in 0..=32,
            hour in 0..=24, minute in 0..=60, second in 0..=59,
            fraction in "(\\.[0-9]{1,9})?", offset in "Z|z|[+-](0[0-9]|1[0-9]|2[0-3]):[0-5][0-9]",
            mark in "[Tt ]",
        ) {
            let cell = format!(
                "{year:04}-{month:02}-{day:02}{mark}{hour:02}:{minute:02}:{second:02}{fraction}{offset}"
            );
            let expect = cell.parse::<Timestamp>().ok()
                .map(|stamp| stamp.as_nanosecond().div_euclid(1_000_000) as i64)
                .filter(|ms| (EVENT_TIME_MIN..=EVENT_TIME_MAX).contains(ms));
            prop_assert_eq!(parse_time(cell.as_bytes()).ok(), expect, "{}", cell);
        }

        #[test]
        fn what_is_printed_is_parsed(ms in EVENT_TIME_MIN..=EVENT_TIME_MAX) {
            let stamp = Timestamp::from_millisecond(ms).unwrap();
            if ms >= -62_167_219_200_000 {
                prop_assert_eq!(parse_time(stamp.to_string().as_bytes()), Ok(ms));
            }
            let ns = i128::from(ms) * 1_000_000 + 999_999;
            if ns.abs() >= 100_000_000_000_000_000 {
                prop_assert_eq!(parse_time(ns.to_string().as_bytes()), Ok(ms));
            }
        }

        #[test]
        fn no_bytes_panic(cell in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = parse_time(&cell);
        }

        #[test]
        fn nearly_times_never_panic(cell in "[+-]?[0-9]{0,4}-?[0-9:TtZz. +-]{0,30}") {
            let _ = parse_time(cell.as_bytes());
        }
    }
}
