use super::*;
use crate::time::Day;
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
    for cell in [" ", "+", "-", ".", "e3", "1e", "--1", "+-1", " 1", "1 ", "0x10", "NaN", "today"] {
        check(cell, Err(TimeRefusal::Format));
    }
    for cell in [
        "2013-01-01T10:59Z",
        "2013-01-01_10:59:00Z",
        "2013-01-01T10:59:00.Z",
        "2013-01-01T10:59:00,5Z",
        "2013-01-01T10:59:00Z ",
        "2013-01-01T10:59:00+050",
        "2013-01-01T10:59:00+5",
        "2013-01-01T10:59:00 ",
        "2013-01-01T10:59:00  Z",
        "2013-01-01  10:59:00Z",
        "2013-01-01 ",
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

fn vienna(fold: AmbiguousTime, gap: AmbiguousTime) -> TimeParser {
    TimeParser::new().local(&Calendar::new("Europe/Vienna").unwrap(), fold, gap)
}

#[track_caller]
fn check_with(parser: &TimeParser, cell: &str, expect: Result<&str, TimeRefusal>) {
    let expect = expect.map(|stamp| stamp.parse::<Timestamp>().unwrap().as_millisecond());
    assert_eq!(parser.parse(cell.as_bytes()), expect, "{cell}");
}

#[test]
fn offsets_and_spaces_as_programs_write_them() {
    for cell in [
        "2013-01-01T10:59:00+0000",
        "2013-01-01T12:59:00+0200",
        "2013-01-01T12:59:00+02",
        "2013-01-01 12:59:00 +02:00",
        "2013-01-01 12:59:00 +0200",
        "2013-01-01 12:59:00 +02",
        "2013-01-01T10:59:00 Z",
        "2013-01-01 05:29:00.0 -0530",
    ] {
        check(cell, Ok(1_357_037_940_000));
    }
    check("2013-01-01T10:59:00+2400", Err(TimeRefusal::NoSuchTime));
    check("2013-01-01T10:59:00+24", Err(TimeRefusal::NoSuchTime));
}

#[test]
fn numbers_as_programs_write_them() {
    check("1651591054.5349035", Ok(1_651_591_054_534));
    check("1651591054.0", Ok(1_651_591_054_000));
    check("1651591054.", Ok(1_651_591_054_000));
    check("1.48e9", Ok(1_480_000_000_000));
    check("1.48E+9", Ok(1_480_000_000_000));
    check("1.4799999999999999e9", Ok(1_479_999_999_999));
    check("1480000000000e-3", Ok(1_480_000_000_000));
    check("1.651591054534e12", Ok(1_651_591_054_534));
    check("1651591054534.9", Ok(1_651_591_054_534));
    check("1651591054534999.9", Ok(1_651_591_054_534));
    check(".5", Ok(500));
    check("-.5", Ok(-500));
    check("-0.0001", Ok(-1));
    check("-0.0", Ok(0));
    check("-1e-99999999999999999999", Ok(-1));
    check("1e-99999999999999999999", Ok(0));
    check("-1651591054534.1", Ok(-1_651_591_054_535));
    check("-1651591054534000.1", Ok(-1_651_591_054_535));
    check("99999999999.9999", Ok(99_999_999_999_999));
    check("1e21", Err(TimeRefusal::OutOfRange));
    check("1e99999999999999999999", Err(TimeRefusal::OutOfRange));
    check("0e99999999999999999999", Ok(0));
}

#[test]
fn a_date_alone_is_the_first_instant_of_it_in_a_zone() {
    check("2013-01-01", Err(TimeRefusal::NoZone));
    check("2013-02-29", Err(TimeRefusal::NoSuchTime));
    let of = |zone: &str| TimeParser::new().dates_in(&Calendar::new(zone).unwrap());
    check_with(&of("UTC"), "2013-01-01", Ok("2013-01-01T00:00:00Z"));
    check_with(&of("America/New_York"), "2013-01-01", Ok("2013-01-01T05:00:00Z"));
    // Clocks went from 00:00 to 01:00, and from 01:00 back to 00:00.
    check_with(&of("America/Sao_Paulo"), "2013-10-20", Ok("2013-10-20T03:00:00Z"));
    check_with(&of("America/Havana"), "2013-11-03", Ok("2013-11-03T04:00:00Z"));
    // At 00:01 they went back to 23:01: the date had begun.
    check_with(&of("America/St_Johns"), "2003-10-26", Ok("2003-10-26T02:30:00Z"));
    // From 23:30 to 00:30: midnight is inside the gap.
    check_with(&of("America/Toronto"), "1919-03-31", Ok("1919-03-31T04:30:00Z"));
    check_with(&of("Pacific/Apia"), "2011-12-29", Ok("2011-12-29T10:00:00Z"));
    check_with(&of("Pacific/Apia"), "2011-12-30", Err(TimeRefusal::NoSuchTime));
    check_with(&of("UTC"), "2013-01-01T00:00:00", Err(TimeRefusal::NoOffset));
    check_with(&of("UTC"), "0000-01-01", Ok("0000-01-01T00:00:00Z"));
    check_with(&of("UTC"), "9999-12-31", Err(TimeRefusal::OutOfRange));
}

#[test]
fn local_times_have_a_zone_and_a_choice() {
    use AmbiguousTime::{Earlier, Later, Refuse};
    let [earlier, later] = [vienna(Earlier, Earlier), vienna(Later, Later)];
    let refuse = vienna(Refuse, Refuse);
    for parser in [&earlier, &later, &refuse] {
        check_with(parser, "2013-07-01 00:00:00.9999", Ok("2013-06-30T22:00:00.999Z"));
        check_with(parser, "2013-07-01T00:00:00Z", Ok("2013-07-01T00:00:00Z"));
        check_with(parser, "2013-07-01", Ok("2013-06-30T22:00:00Z"));
        check_with(parser, "2013-02-29T00:00:00", Err(TimeRefusal::NoSuchTime));
        check_with(parser, "2013-02-28T24:00:00", Err(TimeRefusal::NoSuchTime));
        check_with(parser, "2017-01-01T00:59:60.5", Ok("2016-12-31T23:59:59.999Z"));
        check_with(parser, "2017-01-01T01:59:60", Err(TimeRefusal::NoSuchTime));
    }
    let fold = "2013-10-27T02:30:00";
    check_with(&earlier, fold, Ok("2013-10-27T00:30:00Z"));
    check_with(&later, fold, Ok("2013-10-27T01:30:00Z"));
    check_with(&refuse, fold, Err(TimeRefusal::Fold));
    let gap = "2013-03-31T02:30:00";
    check_with(&earlier, gap, Ok("2013-03-31T00:30:00Z"));
    check_with(&later, gap, Ok("2013-03-31T01:30:00Z"));
    check_with(&refuse, gap, Err(TimeRefusal::Gap));
}

#[test]
fn formats_of_ones_own() {
    use AmbiguousTime::{Earlier, Refuse};
    let of = |format: &str| TimeParser::new().format(format).unwrap();
    let stamp = Ok("2013-01-01T10:59:00Z");
    check_with(&of("%d/%b/%Y:%H:%M:%S %z"), "01/Jan/2013:11:59:00 +0100", stamp);
    check_with(&of("%s"), "1357037940", stamp);
    check_with(&of("%m/%d/%Y %I:%M %p %Q"), "01/01/2013 05:59 AM America/New_York", stamp);
    check_with(
        &of("%Y%m%d %H%M%S%.f %z"),
        "20130101 105900.9999 +0000",
        Ok("2013-01-01T10:59:00.999Z"),
    );
    check_with(
        &of("%Y%m%d %H%M%S%.f %z"),
        "19691231 235959.9999 +0000",
        Ok("1969-12-31T23:59:59.999Z"),
    );
    check_with(&of("%d.%m.%Y"), "01.01.2013", Err(TimeRefusal::NoZone));
    check_with(&of("%d.%m.%Y %H:%M"), "01.01.2013 10:59", Err(TimeRefusal::NoOffset));
    check_with(&of("%d.%m.%Y %H:%M"), "2013-01-01T10:59:00Z", Err(TimeRefusal::OwnFormat));
    check_with(&of("%d.%m.%Y %H:%M"), "", Err(TimeRefusal::Empty));
    let local = vienna(Earlier, Refuse).format("%d.%m.%Y %H:%M").unwrap();
    check_with(&local, "01.01.2013 11:59", stamp);
    check_with(&local, "27.10.2013 02:30", Ok("2013-10-27T00:30:00Z"));
    check_with(&local, "31.03.2013 02:30", Err(TimeRefusal::Gap));
    check_with(
        &vienna(Earlier, Refuse).format("%d.%m.%Y").unwrap(),
        "01.01.2013",
        Ok("2012-12-31T23:00:00Z"),
    );
    for wrong in ["%", "%!", "today", "%H:%M", ""] {
        let error = TimeParser::new().format(wrong).unwrap_err();
        assert!(error.to_string().contains("expected conversions of strptime"), "{error}");
    }
}

const ZONES: [&str; 6] = [
    "UTC",
    "America/New_York",
    "America/St_Johns",
    "Pacific/Apia",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
];

proptest! {
    #[test]
    fn differential_local_times_agree_with_jiff(
        zone in prop::sample::select(&ZONES[..]),
        // Around changes of clocks of these zones, and anywhere.
        start in prop::sample::select(&["1987-10-24T22:00", "2011-12-29T00:00", "2013-03-09T20:00", "2013-11-02T20:00"][..]),
        minutes in prop_oneof![0i64..5_000, -20_000_000i64..20_000_000], ms in 0i64..1_000,
    ) {
        use AmbiguousTime::{Earlier, Later, Refuse};
        let at = start.parse::<DateTime>().unwrap() + jiff::SignedDuration::from_mins(minutes);
        let at = at + jiff::SignedDuration::from_millis(ms);
        let cell = format!("{}.{ms:03}", at.strftime("%Y-%m-%d %H:%M:%S"));
        let calendar = Calendar::new(zone).unwrap();
        let found = TimeZone::get(zone).unwrap().to_ambiguous_timestamp(at);
        let ms_of = |stamp: Result<Timestamp, jiff::Error>| stamp.ok().map(|s| s.as_millisecond());
        let expect =
            [ms_of(found.earlier()), ms_of(found.later()), ms_of(found.unambiguous())];
        for (choice, expect) in [Earlier, Later, Refuse].into_iter().zip(expect) {
            let parser = TimeParser::new().local(&calendar, choice, choice);
            prop_assert_eq!(parser.parse(cell.as_bytes()).ok(), expect, "{} {} {:?}", zone, cell, choice);
            let own = parser.format("%d.%m.%Y, %H-%M-%S%.3f").unwrap();
            let cell = at.strftime("%d.%m.%Y, %H-%M-%S%.3f").to_string();
            prop_assert_eq!(own.parse(cell.as_bytes()).ok(), expect, "{} {} {:?}", zone, cell, choice);
        }
    }

    #[test]
    fn oracle_a_date_begins_where_the_day_before_it_does_not_go_on(
        zone in prop::sample::select(&ZONES[..]), day in -30_000i32..40_000,
    ) {
        let calendar = Calendar::new(zone).unwrap();
        let date = Day(day);
        let parser = TimeParser::new().dates_in(&calendar);
        if let Ok(first) = parser.parse(date.to_string().as_bytes()) {
            prop_assert_eq!(calendar.day_of(first), date);
            prop_assert!(calendar.day_of(first - 1) < date);
        } else {
            prop_assert_eq!((zone, date), ("Pacific/Apia", Day(15_338)), "{}", date);
        }
    }

    #[test]
    fn oracle_numbers_are_floored(
        sign in "[+-]?", whole in "[0-9]{1,21}", fraction in "[0-9]{0,14}", shift in 0usize..6,
    ) {
        // As a whole number of 10⁻¹⁴: at most 35 digits, which an i128 holds times 1,000.
        let units: i128 = format!("{whole}{fraction:0<14}").parse().unwrap();
        let before: i128 = whole.parse().unwrap();
        let unit = match before {
            _ if before < 100_000_000_000 => 1,
            _ if before < 100_000_000_000_000 => 1_000,
            _ if before < 100_000_000_000_000_000 => 1_000_000,
            _ => 1_000_000_000,
        };
        let units = if sign == "-" { -units } else { units };
        let ms = (units * 1_000).div_euclid(unit * 100_000_000_000_000);
        let expect = i64::try_from(ms).ok().filter(|ms| (EVENT_TIME_MIN..=EVENT_TIME_MAX).contains(ms));
        let plain = format!("{sign}{whole}.{fraction}");
        prop_assert_eq!(parse_time(plain.as_bytes()).ok(), expect, "{}", plain);
        // The same number with its point moved, and an exponent that moves it back.
        let digits = format!("{:0>6}{whole}{fraction}", "");
        let (left, right) = digits.split_at(6 + whole.len() - shift);
        let moved = format!("{sign}{left}.{right}e{shift}");
        prop_assert_eq!(parse_time(moved.as_bytes()).ok(), expect, "{}", moved);
    }

    #[test]
    fn no_cell_of_a_format_panics(cell in "[0-9:/ .+-]{0,30}", bytes in prop::collection::vec(any::<u8>(), 0..30)) {
        let own = vienna(AmbiguousTime::Earlier, AmbiguousTime::Later).format("%d/%m/%Y %H:%M:%S").unwrap();
        let _ = own.parse(cell.as_bytes());
        let _ = own.parse(&bytes);
        let _ = vienna(AmbiguousTime::Earlier, AmbiguousTime::Later).parse(cell.as_bytes());
    }
}
