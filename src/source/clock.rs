//! How a row moves its source's clock: a pure decision for each row.

use crate::time::EventTime;

/// The default limit on how far an event may be ahead of a clock: a day, in milliseconds.
pub(crate) const AHEAD_LIMIT_MS: i64 = 86_400_000;

/// A row's information for the clock.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reading {
    /// The clock is the largest event time.
    Event,
    /// The clock is the arrival, if the row has one.
    Arrival(Option<EventTime>),
}

/// The clock after an accepted row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Advance {
    /// The clock after the row.
    pub(super) clock: EventTime,
    /// Whether the row's arrival is missing or smaller than the one before, so that the one before is used.
    pub(super) fell_back: bool,
}

/// The clock after an event of `time`, or the reason to refuse the event. It is refused if it is more than
/// `ahead_limit` ahead of its arrival, or of `now` if no arrival is known, or if its arrival is that far ahead of
/// `now`, because nothing arrives in the future. `EventTime::MIN` is the clock before all rows.
pub(super) fn advance(
    clock: EventTime,
    time: EventTime,
    reading: Reading,
    now: EventTime,
    ahead_limit: i64,
) -> Result<Advance, String> {
    match reading {
        Reading::Event => {
            check_ahead("event", time, now, ahead_limit, "the wall clock")?;
            Ok(Advance { clock: clock.max(time), fell_back: false })
        }
        Reading::Arrival(arrival) => {
            if let Some(arrival) = arrival {
                check_ahead("arrival", arrival, now, ahead_limit, "the wall clock")?;
            }
            let effective = arrival.map_or(clock, |arrival| arrival.max(clock));
            if effective == EventTime::MIN {
                check_ahead("event", time, now, ahead_limit, "the wall clock")?;
            } else {
                check_ahead("event", time, effective, ahead_limit, "its arrival")?;
            }
            let fell_back = arrival.is_none_or(|arrival| arrival < clock);
            Ok(Advance { clock: effective, fell_back })
        }
    }
}

/// The reason to refuse an event that is too old: it is more than `behind_limit` behind the clock that its own row
/// gives.
pub(super) fn check_behind(
    time: EventTime,
    clock: EventTime,
    behind_limit: i64,
) -> Result<(), String> {
    if time >= clock.saturating_sub(behind_limit) {
        return Ok(());
    }
    let behind = clock.saturating_sub(time);
    Err(format!(
        "the event is {behind} ms behind the clock of the source; at most {behind_limit} ms are accepted"
    ))
}

fn check_ahead(
    which: &str,
    time: EventTime,
    of: EventTime,
    limit: i64,
    what: &str,
) -> Result<(), String> {
    if time <= of.saturating_add(limit) {
        return Ok(());
    }
    let ahead = time.saturating_sub(of);
    Err(format!("the {which} is {ahead} ms ahead of {what}; at most {limit} ms are accepted"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(clock: EventTime, time: EventTime, reading: Reading, expect: Option<(i64, bool)>) {
        // Now is 1000, the limit is 10.
        let found = advance(clock, time, reading, 1_000, 10).ok();
        let expect = expect.map(|(clock, fell_back)| Advance { clock, fell_back });
        assert_eq!(found, expect, "clock {clock}, time {time}, {reading:?}");
    }

    #[test]
    fn largest_event_time() {
        check(EventTime::MIN, -3, Reading::Event, Some((-3, false)));
        check(5, 7, Reading::Event, Some((7, false)));
        check(7, 5, Reading::Event, Some((7, false)));
        check(7, 1_010, Reading::Event, Some((1_010, false)));
        check(7, 1_011, Reading::Event, None);
    }

    #[test]
    fn arrivals() {
        check(EventTime::MIN, 100, Reading::Arrival(Some(90)), Some((90, false)));
        check(EventTime::MIN, 101, Reading::Arrival(Some(90)), None);
        check(95, 100, Reading::Arrival(Some(95)), Some((95, false)));
        check(95, 100, Reading::Arrival(Some(20)), Some((95, true)));
        check(95, 106, Reading::Arrival(Some(200)), Some((200, false)));
        check(95, 105, Reading::Arrival(None), Some((95, true)));
        check(95, 106, Reading::Arrival(None), None);
        // Nothing arrives in the future.
        check(95, 1_010, Reading::Arrival(Some(1_010)), Some((1_010, false)));
        check(95, 100, Reading::Arrival(Some(1_011)), None);
        // No arrival is known yet: the wall clock.
        check(EventTime::MIN, 1_010, Reading::Arrival(None), Some((EventTime::MIN, true)));
        check(EventTime::MIN, 1_011, Reading::Arrival(None), None);
    }

    #[test]
    fn events_behind_the_clock() {
        assert_eq!(check_behind(90, 100, 10), Ok(()));
        assert_eq!(check_behind(200, 100, 10), Ok(()));
        let refused = check_behind(89, 100, 10).unwrap_err();
        assert_eq!(
            refused,
            "the event is 11 ms behind the clock of the source; at most 10 ms are accepted"
        );
        assert!(check_behind(i64::MIN, i64::MAX, 0).is_err());
        assert_eq!(check_behind(i64::MIN + 1, EventTime::MIN, 0), Ok(()));
    }

    #[test]
    fn limits_do_not_overflow() {
        assert!(advance(i64::MIN, i64::MAX, Reading::Event, i64::MIN, 0).is_err());
        assert!(advance(i64::MIN, i64::MAX, Reading::Event, i64::MAX, i64::MAX).is_ok());
    }
}
