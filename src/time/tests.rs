//! Tests of days, and of periods against another program.

use jiff::Timestamp;

use super::*;

#[test]
fn every_date_that_can_be_read_is_written_as_it_was() {
    for text in ["0000-01-01", "1582-10-15", "1969-12-31", "1970-01-01", "2024-02-29", "9999-12-31"]
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
    let zones = ["UTC", "America/New_York", "America/St_Johns", "Pacific/Apia", "Asia/Kathmandu"];
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
    // In St. John's clocks went back over midnight; on the Marshall Islands a day came twice; Samoa skipped a day.
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
    assert_eq!(calendar.first_open_after(end + grace - 1, grace), day("2013-03-10"));
    assert_eq!(calendar.first_open_after(end + grace, grace), day("2013-03-11"));
    assert_eq!(calendar.first_open_after(EventTime::MIN, grace), Day::MIN);
    assert_eq!(calendar.first_open_after(EventTime::MIN + 1, grace), Day::MIN);
    assert_eq!(
        calendar.first_open_after(EVENT_TIME_MIN, grace),
        Day::MIN,
        "nor does this go on for ever"
    );
    assert!(calendar.first_open_after(EVENT_TIME_MIN + grace, grace) > Day::MIN);
    assert_eq!(calendar.first_open_after(EventTime::MAX, grace), Day::MAX);
    // At the end of the calendar and beyond, ends rise and stay finite.
    for time in [EVENT_TIME_MAX - 3 * DAY_MS, EVENT_TIME_MAX, 8 * EVENT_TIME_MAX] {
        let open = calendar.first_open_after(time, grace);
        let ends = [open.previous(), open].map(|day| calendar.end_of(day) + grace);
        assert!(ends[0] <= time && time < ends[1] && ends[1] < EventTime::MAX, "{time}");
    }
    assert!(calendar.first_open_after(EventTime::MAX - 1, grace) > day("9998-12-31"));
}

#[test]
fn days_print_and_parse() {
    let dates = ["1970-01-01", "2000-02-29", "1969-12-31", "0001-01-01", "9998-12-31"];
    for text in dates.into_iter().chain(["-0001-12-31", "-1199-02-15", "-9998-01-01"]) {
        assert_eq!(day(text).to_string(), text);
    }
    assert_eq!(day("1970-01-02"), Day(1));
    for text in ["2013-02-30", "20130228", "2013-02-28T10:00", "-001199-02-15", "-0000-01-01", ""] {
        assert!(text.parse::<Day>().is_err(), "{text}");
    }
}

#[test]
fn durations() {
    assert_eq!(parse_duration("1h"), Ok(Duration::from_secs(3_600)));
    assert_eq!(parse_duration("0s"), Ok(Duration::ZERO));
    assert_eq!(parse_duration("2d"), Ok(Duration::from_secs(172_800)));
    for bad in ["", "h", "1", "-1h", "1.5h", "1w", "1 h", "99999999999999999999d", "é"] {
        assert!(parse_duration(bad).is_err(), "{bad}");
    }
}
