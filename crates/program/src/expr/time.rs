//! Dates and times in a zone.

use dayfold::time::{Calendar, Day, EventTime};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::cell::Cell;
use super::error::RowError;

/// A time zone for expressions: exact to the millisecond, from the zones that are compiled in.
#[derive(Clone, Debug)]
pub(crate) struct Zone {
    calendar: Calendar,
    zone: TimeZone,
}

impl Zone {
    /// The zone of a calendar.
    pub(crate) fn of(calendar: &Calendar) -> Zone {
        // The library has found the name in the same database.
        let zone = TimeZone::get(calendar.name()).unwrap_or(TimeZone::UTC);
        Zone { calendar: calendar.clone(), zone }
    }

    /// The date of a point in time.
    pub(crate) fn day(&self, time: EventTime) -> Day {
        self.calendar.day_of(time)
    }

    /// The first instant of a date.
    pub(crate) fn midnight(&self, day: Day) -> Result<EventTime, RowError> {
        // Beyond the years that jiff supports, days have no first instant.
        let years = -4_371_000..=2_932_000;
        if !years.contains(&day.0) {
            return Err(RowError::OutOfRange { what: "a date" });
        }
        Ok(self.calendar.end_of(day.previous()))
    }

    fn civil(&self, time: EventTime) -> Result<DateTime, RowError> {
        let stamp = jiff::Timestamp::from_millisecond(time);
        let stamp = stamp.map_err(|_| RowError::OutOfRange { what: "a timestamp" })?;
        Ok(self.zone.to_datetime(stamp))
    }
}

/// A part of a date or a time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Field {
    Year,
    Quarter,
    Month,
    Week,
    IsoYear,
    Day,
    DayOfWeek,
    IsoDayOfWeek,
    DayOfYear,
    Hour,
    Minute,
    Second,
    Millisecond,
    Epoch,
}

impl Field {
    /// The part of this name.
    pub(crate) fn of(name: &str) -> Option<Field> {
        Field::NAMES.iter().find(|(known, _)| *known == name).map(|(_, field)| *field)
    }

    /// Every part, by its name.
    pub(crate) const NAMES: [(&'static str, Field); 14] = [
        ("year", Field::Year),
        ("quarter", Field::Quarter),
        ("month", Field::Month),
        ("week", Field::Week),
        ("isoyear", Field::IsoYear),
        ("day", Field::Day),
        ("dow", Field::DayOfWeek),
        ("isodow", Field::IsoDayOfWeek),
        ("doy", Field::DayOfYear),
        ("hour", Field::Hour),
        ("minute", Field::Minute),
        ("second", Field::Second),
        ("millisecond", Field::Millisecond),
        ("epoch", Field::Epoch),
    ];

    /// Whether dates have this part.
    pub(crate) fn is_of_dates(self) -> bool {
        !matches!(
            self,
            Field::Hour | Field::Minute | Field::Second | Field::Millisecond | Field::Epoch
        )
    }

    /// The part of a date or a point in time, in a zone.
    pub(crate) fn extract(self, cell: &Cell<'_>, zone: &Zone) -> Result<Cell<'static>, RowError> {
        let civil = match cell {
            Cell::Null => return Ok(Cell::Null),
            Cell::Timestamp(time) if self == Field::Epoch => {
                let units = i128::from(*time) * 1_000_000;
                return Ok(Cell::Decimal(dayfold::aggregate::Decimal::from_billionths(units, 3)));
            }
            Cell::Timestamp(time) => zone.civil(*time)?,
            Cell::Date(day) => Zone::of(&Calendar::utc()).civil(i64::from(day.0) * 86_400_000)?,
            other => {
                unreachable!("the compiler lets dates and timestamps through alone, not {other:?}")
            }
        };
        let date = civil.date();
        Ok(Cell::Integer(match self {
            Field::Year => date.year().into(),
            Field::Quarter => ((date.month() - 1) / 3 + 1).into(),
            Field::Month => date.month().into(),
            Field::Week => date.iso_week_date().week().into(),
            Field::IsoYear => date.iso_week_date().year().into(),
            Field::Day => date.day().into(),
            Field::DayOfWeek => date.weekday().to_sunday_zero_offset().into(),
            Field::IsoDayOfWeek => date.weekday().to_monday_one_offset().into(),
            Field::DayOfYear => date.day_of_year().into(),
            Field::Hour => civil.hour().into(),
            Field::Minute => civil.minute().into(),
            Field::Second => civil.second().into(),
            // As in other SQL, this includes the seconds.
            Field::Millisecond => {
                i128::from(civil.second()) * 1_000 + i128::from(civil.millisecond())
            }
            Field::Epoch => unreachable!("it needs no date"),
        }))
    }
}
