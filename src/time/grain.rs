//! The length of a calendar's periods, and how dates fall into weeks, months, quarters and years.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::base::Day;

/// The length of the periods by which a view keeps its rows.
///
/// A period of days or longer is named by its first day, whatever the zone: a month by `2024-05-01`, a week by its
/// Monday (ISO 8601). An hour is named by its first minute in UTC: `2024-05-01T13:00:00Z`.
///
/// An hour begins at each whole hour of local time, and wherever the offset of the zone changes. So a day on which
/// clocks go back an hour has 25 hours, hours of Kolkata begin at half past, and where clocks change by half an hour
/// there is an hour of 30 minutes. Hours that begin in the same minute are the same hour; this happens only with
/// offsets of seconds, long ago. Hours exist from the year 0 to 4000: earlier and later times are in the first or the
/// last hour.
///
/// ```
/// use dayfold::time::Grain;
///
/// assert_eq!(Grain::named("month"), Some(Grain::Month));
/// assert_eq!(Grain::named("fortnight"), None);
/// ```
// Folders keep the position of a grain, so new grains come last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Grain {
    /// Days of the view's zone.
    #[default]
    Day,
    /// Hours of the view's zone.
    Hour,
    /// Weeks that begin on Monday.
    Week,
    /// Months.
    Month,
    /// Quarters of a year.
    Quarter,
    /// Years.
    Year,
}

impl Grain {
    /// All grains, the shortest first.
    pub const ALL: [Grain; 6] =
        [Grain::Hour, Grain::Day, Grain::Week, Grain::Month, Grain::Quarter, Grain::Year];

    /// Its name, which is also the name of the column of periods: `hour`, `day`, `week`, `month`, `quarter`, `year`.
    pub const fn name(self) -> &'static str {
        match self {
            Grain::Day => "day",
            Grain::Hour => "hour",
            Grain::Week => "week",
            Grain::Month => "month",
            Grain::Quarter => "quarter",
            Grain::Year => "year",
        }
    }

    /// The grain of a name.
    pub fn named(name: &str) -> Option<Grain> {
        Grain::ALL.into_iter().find(|grain| grain.name() == name)
    }

    /// The first and the last date of the period that contains a date. For hours and days, the date itself.
    pub(super) fn dates(self, date: Day) -> (Day, Day) {
        if date == Day::MIN || date == Day::MAX {
            return (date, date);
        }
        let months = match self {
            Grain::Hour | Grain::Day => return (date, date),
            Grain::Week => {
                // 1970-01-01 was a Thursday.
                let first = i64::from(date.0) - (i64::from(date.0) + 3).rem_euclid(7);
                return (narrow(first), narrow(first + 6));
            }
            Grain::Month => 1,
            Grain::Quarter => 3,
            Grain::Year => 12,
        };
        let (year, month, _) = civil_of(date);
        let first = (year * 12 + month - 1).div_euclid(months) * months;
        (narrow(first_of_month(first)), narrow(first_of_month(first + months) - 1))
    }
}

impl fmt::Display for Grain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A date that is neither [`Day::MIN`] nor [`Day::MAX`].
fn narrow(days: i64) -> Day {
    Day(days.clamp(i64::from(i32::MIN) + 1, i64::from(i32::MAX) - 1) as i32)
}

/// Year, month and day of a date, after Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
pub(super) fn civil_of(date: Day) -> (i64, i64, i64) {
    let z = i64::from(date.0) + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe + era * 400 + i64::from(month <= 2), month, doy - (153 * mp + 2) / 5 + 1)
}

/// Days since 1970-01-01 of the first day of a month, counted from January of the year 0; after the same source.
fn first_of_month(month: i64) -> i64 {
    let (year, month) = (month.div_euclid(12), month.rem_euclid(12) + 1);
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let yoe = year.rem_euclid(400);
    let doy = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5;
    era * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719_468
}
