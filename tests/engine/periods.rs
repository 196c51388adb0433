//! Compares periods of all grains with Python's zoneinfo: tests/data/periods.py wrote the expected ones.

use std::collections::BTreeSet;
use std::time::Duration;

use dayfold::time::{Calendar, Day, DayRange, Grain, Last};

const FOUND: &str = include_str!("../data/periods.csv");

#[test]
fn oracle_periods_are_those_of_another_program() {
    let mut seen = BTreeSet::new();
    for line in FOUND.lines() {
        let fields: Vec<&str> = line.split(',').collect();
        let [zone, grain, time, name, behind] = fields[..] else { panic!("{line}") };
        let calendar = Calendar::new(zone).unwrap().by(Grain::named(grain).unwrap());
        let time = time.parse::<i64>().unwrap() * 1_000;
        let end = behind.parse::<i64>().unwrap() * 1_000;
        let period = calendar.day_of(time);
        assert_eq!(period.to_string(), name, "{line}");
        assert_eq!(Day::parse_period(name).unwrap(), period, "{line}");
        assert_eq!(calendar.end_of(period), end, "{line}");
        assert_eq!(calendar.start_of(period), period, "{line}");
        // What is over follows from the ends.
        assert!(calendar.first_open(end - 1, Duration::ZERO) <= period, "{line}");
        let next = calendar.first_open(end, Duration::ZERO);
        assert!(next > period && calendar.start_of(next) == next, "{line}");
        assert!(calendar.end_of(next.previous()) == end, "{line}");
        assert!(calendar.periods(DayRange::only(period)).contains(period), "{line}");
        seen.insert((zone, grain));
    }
    assert!(seen.iter().filter(|(_, grain)| *grain == "hour").count() > 20);
}

#[test]
fn a_day_of_hours_has_as_many_as_the_clocks_show() {
    let hours = |zone: &str, date: &str| {
        let calendar = Calendar::new(zone).unwrap().by(Grain::Hour);
        let day: Day = date.parse().unwrap();
        let range = calendar.periods(DayRange::only(day));
        let (mut hour, mut found) = (range.lower, 0);
        while hour < range.upper {
            found += 1;
            hour = calendar.day_of(calendar.end_of(hour));
        }
        assert_eq!(hour, range.upper, "{zone} {date}");
        found
    };
    assert_eq!(hours("Europe/Vienna", "2024-03-30"), 24);
    assert_eq!(hours("Europe/Vienna", "2024-03-31"), 23);
    assert_eq!(hours("Europe/Vienna", "2024-10-27"), 25);
    assert_eq!(hours("Asia/Kolkata", "2024-05-01"), 24);
    // Samoa left out a day, and Kwajalein.
    assert_eq!(hours("Pacific/Apia", "2011-12-30"), 0);
    assert_eq!(hours("Pacific/Kwajalein", "1993-08-21"), 0);
    // Half an hour comes twice: it is a separate period.
    assert_eq!(hours("Australia/Lord_Howe", "2024-04-07"), 25);
    assert_eq!(hours("Australia/Lord_Howe", "2024-10-06"), 24);
}

#[test]
fn a_range_of_dates_has_each_period_that_has_a_day_of_it() {
    let date = |text: &str| text.parse::<Day>().unwrap();
    let range = DayRange::through(date("2024-02-15"), date("2024-03-15"));
    let of = |grain| Calendar::utc().by(grain).periods(range);
    let months = of(Grain::Month);
    let has = |text: &str| months.contains(date(text));
    assert!(!has("2024-01-01") && has("2024-02-01") && has("2024-03-01") && !has("2024-04-01"));
    let hours = of(Grain::Hour);
    assert_eq!(hours.lower.to_string(), "2024-02-15T00:00:00Z");
    assert_eq!(hours.upper.to_string(), "2024-03-16T00:00:00Z");
    assert_eq!(of(Grain::Day), range);
    assert_eq!(Calendar::utc().by(Grain::Hour).periods(DayRange::ALL), DayRange::ALL);
    assert!(DayRange::through(date("2024-02-15"), Day::MAX).contains(date("9998-12-31")));
    assert!("2024-05-01T10:00:00Z".parse::<Day>().is_err(), "it is no date");
    for bad in ["2024-05-01T24:00:00Z", "2024-05-01T10:00Z", "2024-05-01T10:00:30Z", "2024-05-01T"]
    {
        assert!(Day::parse_period(bad).is_err(), "{bad}");
    }
}

/// Going back minute by minute finds the periods of the window.
#[test]
fn oracle_a_window_has_the_last_periods_that_there_were() {
    const MINUTE: i64 = 60_000;
    const COUNT: u32 = 5;
    let cases = [
        ("UTC", "2024-03-01"),
        ("Europe/Vienna", "2024-03-31"),
        ("Europe/Vienna", "2024-10-27"),
        ("Pacific/Apia", "2011-12-31"),
        ("Australia/Lord_Howe", "2024-04-07"),
        ("Asia/Kolkata", "2024-01-01"),
    ];
    for (zone, date) in cases {
        for counted in [Grain::Hour, Grain::Day] {
            let calendar = Calendar::new(zone).unwrap().by(counted);
            let hours = Calendar::new(zone).unwrap().by(Grain::Hour);
            let date: Day = date.parse().unwrap();
            let midnight = Calendar::new(zone).unwrap().end_of(date.previous());
            for now in (0..36).step_by(5).map(|hours| midnight + hours * 60 * MINUTE - 1) {
                let (mut seen, mut time) = (BTreeSet::from([calendar.day_of(now)]), now);
                while seen.len() <= COUNT as usize {
                    time -= MINUTE;
                    seen.insert(calendar.day_of(time));
                }
                let beyond = seen.pop_first().unwrap();
                let last = Last::new(COUNT, counted).unwrap();
                let window = last.periods(&calendar, now).unwrap();
                assert_eq!(window.lower, *seen.first().unwrap(), "{zone} {counted} {now}");
                let behind = calendar.day_of(calendar.end_of(calendar.day_of(now)));
                assert!(window.contains(calendar.day_of(now)), "{zone} {counted} {now}");
                assert!(!window.contains(behind) && !window.contains(beyond), "{zone} {now}");
                // The same instants, in hours.
                let found = last.periods(&hours, now).unwrap();
                assert!(found.contains(hours.day_of(time + MINUTE)), "{zone} {counted} {now}");
                assert!(!found.contains(hours.day_of(time)), "{zone} {counted} {now}");
            }
        }
    }
}

#[test]
fn a_window_is_written_and_read() {
    for text in ["24h", "7d", "4w", "3mo", "2q", "1y", "1000d"] {
        assert_eq!(text.parse::<Last>().unwrap().to_string(), text);
    }
    for bad in ["", "d", "0d", "07d", "7", "7m", "7days", "1001d", "-1d", "99999999999d", "7 d"] {
        let error = bad.parse::<Last>().unwrap_err().to_string();
        assert!(error.contains(&format!("'{bad}'")) && error.contains("1 to 1000"), "{error}");
    }
    assert!(Last::new(0, Grain::Day).is_err() && Last::new(1_001, Grain::Day).is_err());
    assert_eq!(
        Last::new(1, Grain::Day).unwrap().periods(&Calendar::utc().by(Grain::Week), 0),
        None
    );
}
