//! The names of periods in a lake.

use dayfold::time::Day;

/// The name in paths and in the names of versions: without the colons of hours, which HDFS does not accept.
pub(crate) fn in_path(period: Day) -> String {
    period.to_string().replace(':', "")
}

/// The value of a partition's column as Hive and Spark write it: a date, or a UTC time with escaped colons.
pub(crate) fn in_hive(period: Day) -> String {
    match period.instant() {
        None => period.to_string(),
        Some(_) => period.to_string().replace('T', " ").replace('Z', "").replace(':', "%3A"),
    }
}

/// Parses the output of [`in_hive`], and nothing else.
pub(crate) fn of_hive(text: &str) -> Option<Day> {
    let name = match text.split_once(' ') {
        None => text.to_owned(),
        Some((date, time)) => format!("{date}T{}Z", time.replace("%3A", ":")),
    };
    Day::parse_period(&name).ok().filter(|period| in_hive(*period) == text)
}

/// The microseconds since 1970 at which an hour begins; `None` for a date.
pub(crate) fn micros(period: Day) -> Option<i64> {
    period.instant().map(|time| time * 1_000)
}

/// The hour that begins this many microseconds since 1970.
pub(crate) fn of_micros(micros: i64) -> Option<Day> {
    Day::hour_from(micros.div_euclid(1_000)).filter(|hour| self::micros(*hour) == Some(micros))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back() {
        let date: Day = "2024-05-01".parse().expect("a date");
        let hour = Day::parse_period("2024-05-01T13:30:00Z").expect("an hour");
        assert_eq!((in_path(date), in_hive(date)), ("2024-05-01".into(), "2024-05-01".into()));
        assert_eq!(in_path(hour), "2024-05-01T133000Z");
        assert_eq!(in_hive(hour), "2024-05-01 13%3A30%3A00");
        for period in [date, hour] {
            assert_eq!(of_hive(&in_hive(period)), Some(period));
        }
        for other in ["2024-05-01T13:30:00Z", "2024-05-01 13", "2024-05-01 13%3A30%3A01", ""] {
            assert_eq!(of_hive(other), None, "{other}");
        }
        assert_eq!(micros(hour).and_then(of_micros), Some(hour));
        assert_eq!((micros(date), of_micros(1)), (None, None));
    }
}
