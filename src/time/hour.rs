//! Hours: how they are numbered, and where they begin and end in a zone.

use jiff::tz::TimeZone;

use super::base::{Day, EVENT_TIME_MAX, EVENT_TIME_MIN, EventTime, Span, timestamp};

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;

/// The number of the first hour. Numbers of dates are far below, so a number tells whether it is an hour.
const FIRST: i32 = 1 << 23;
/// 0000-01-01T00:00:00Z.
const LOWER: EventTime = -719_528 * 24 * HOUR_MS;
/// 4000-01-01T00:00:00Z; later times are in the last hour.
const UPPER: EventTime = 741_442 * 24 * HOUR_MS;
/// The number of the last hour that has events.
const LAST: i32 = FIRST + ((UPPER - LOWER) / MINUTE_MS) as i32;

/// Whether this number is that of an hour.
pub(super) fn is_hour(period: Day) -> bool {
    (FIRST..i32::MAX).contains(&period.0)
}

/// The hour that begins at `time`.
fn number(time: EventTime) -> i32 {
    FIRST + ((time.clamp(LOWER, UPPER) - LOWER) / MINUTE_MS) as i32
}

/// The beginning of the minute that numbers an hour.
pub(super) fn minute_of(period: Day) -> EventTime {
    LOWER + i64::from(period.0 - FIRST) * MINUTE_MS
}

/// The hour that begins in a minute; `None` if it has no number.
pub(super) fn in_minute(time: EventTime) -> Option<Day> {
    (LOWER..=UPPER).contains(&time).then(|| Day(number(time)))
}

/// The hour around `time`, as far as it has one offset.
pub(super) fn span_at(zone: &TimeZone, time: EventTime) -> Span {
    let time = time.clamp(EVENT_TIME_MIN, EVENT_TIME_MAX);
    if time < LOWER {
        return Span { lower: EVENT_TIME_MIN, upper: LOWER, day: Day(FIRST) };
    }
    if time >= UPPER {
        return Span { lower: UPPER, upper: EVENT_TIME_MAX + 1, day: Day(LAST) };
    }
    let offset_at = |time| i64::from(zone.to_offset(timestamp(time)).seconds()) * 1_000;
    let offset = offset_at(time);
    let whole = (time + offset).div_euclid(HOUR_MS) * HOUR_MS - offset;
    // Only transitions that change the offset count; others change a name.
    let before = zone.preceding(timestamp(time + 1)).map(|change| change.timestamp());
    let before = before.map(|at| at.as_millisecond()).take_while(|at| *at > whole);
    let lower = before.into_iter().find(|at| offset_at(at - 1) != offset).unwrap_or(whole);
    let after = zone.following(timestamp(time)).map(|change| change.timestamp());
    let after = after.map(|at| at.as_millisecond()).take_while(|at| *at < whole + HOUR_MS);
    let upper = after.into_iter().find(|at| offset_at(*at) != offset).unwrap_or(whole + HOUR_MS);
    Span { lower, upper: upper.min(UPPER), day: Day(number(lower)) }
}

/// The span that contains the end of the minute that numbers an hour.
fn span_of(zone: &TimeZone, period: Day) -> Span {
    span_at(zone, minute_of(period) + MINUTE_MS - 1)
}

/// The number of the hour that this minute is in.
pub(super) fn start_of(zone: &TimeZone, period: Day) -> Day {
    if (FIRST..=LAST).contains(&period.0) { span_of(zone, period).day } else { period }
}

/// The first instant behind an hour.
pub(super) fn end_of(zone: &TimeZone, period: Day) -> EventTime {
    match period.0 {
        i32::MAX => EventTime::MAX,
        number if number < FIRST => EVENT_TIME_MIN,
        // Beyond all events, any rising instant will do.
        number if number > LAST => EVENT_TIME_MAX + 1 + i64::from(number - LAST) * MINUTE_MS,
        _ => span_of(zone, period).upper,
    }
}

/// The hour after this one.
pub(super) fn next(zone: &TimeZone, period: Day) -> Day {
    let is_inner = (FIRST..LAST).contains(&period.0);
    if is_inner { span_at(zone, end_of(zone, period)).day } else { period.next() }
}

/// The hour before this one.
pub(super) fn previous(zone: &TimeZone, period: Day) -> Day {
    let start = start_of(zone, period);
    let is_inner = FIRST < start.0 && start.0 <= LAST;
    if is_inner { span_at(zone, minute_of(start) - 1).day } else { start.previous() }
}

/// The hour of an instant beyond all events.
pub(super) fn beyond(time: EventTime) -> Day {
    let minutes = (time - EVENT_TIME_MAX).div_euclid(MINUTE_MS);
    Day(minutes.saturating_add(i64::from(LAST)).min(i64::from(i32::MAX)) as i32)
}
