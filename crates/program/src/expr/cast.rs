//! CAST: converts a value to another type.

use std::borrow::Cow;

use dayfold::source::{AmbiguousTime, TimeParser};

use super::cell::{Cell, Type};
use super::error::RowError;
use super::time::Zone;
use super::{number, read};

/// The target of a cast.
#[derive(Debug)]
pub(crate) struct Cast {
    pub(super) kind: Type,
    /// The digits of a decimal: all, and those after the point.
    pub(super) digits: Option<(u8, u8)>,
    pub(super) zone: Zone,
    pub(super) times: TimeParser,
    /// Whether a failure gives null.
    pub(super) is_trying: bool,
}

impl Cast {
    /// Converts a value. Numbers round half away from zero. A time without an offset, and a date, are in the zone.
    pub(crate) fn apply<'r>(&self, cell: Cell<'r>) -> Result<Cell<'r>, RowError> {
        match self.convert(cell) {
            Err(_) if self.is_trying => Ok(Cell::Null),
            found => found,
        }
    }

    fn convert<'r>(&self, cell: Cell<'r>) -> Result<Cell<'r>, RowError> {
        Ok(match (self.kind, cell) {
            (_, Cell::Null) => Cell::Null,
            (Type::Text, Cell::Text(text)) => Cell::Text(text),
            (Type::Text, cell) => Cell::Text(Cow::Owned(cell.to_string())),
            (Type::Integer, Cell::Text(text)) => {
                Cell::Integer(read::integer(text.trim_matches(' '))?)
            }
            (Type::Integer, Cell::Decimal(number)) => Cell::Integer(number::to_integer(number)),
            (Type::Integer, Cell::Boolean(is_so)) => Cell::Integer(is_so.into()),
            (Type::Decimal, Cell::Text(text)) => {
                self.decimal(read::decimal(text.trim_matches(' '), None)?)?
            }
            (Type::Decimal, Cell::Integer(integer)) => self.decimal(number::decimal(integer)?)?,
            (Type::Decimal, Cell::Decimal(number)) => self.decimal(number)?,
            (Type::Boolean, Cell::Text(text)) => Cell::Boolean(read::boolean(&text)?),
            (Type::Boolean, Cell::Integer(number)) => Cell::Boolean(number != 0),
            (Type::Date, Cell::Text(text)) => Cell::Date(read::date(&text)?),
            (Type::Date, Cell::Timestamp(time)) => Cell::Date(self.zone.day(time)),
            (Type::Timestamp, Cell::Text(text)) => {
                Cell::Timestamp(read::timestamp(&text, &self.times)?)
            }
            (Type::Timestamp, Cell::Date(day)) => Cell::Timestamp(self.zone.midnight(day)?),
            (_, cell) => cell,
        })
    }

    fn decimal(&self, number: dayfold::aggregate::Decimal) -> Result<Cell<'static>, RowError> {
        let Some((precision, scale)) = self.digits else { return Ok(Cell::Decimal(number)) };
        let rounded = number::round(number, scale.into())?;
        let most = 10i128.pow(u32::from(precision - scale) + 9);
        if rounded.billionths().abs() >= most {
            return Err(RowError::Digits { number: number.to_string(), precision, scale });
        }
        Ok(Cell::Decimal(rounded))
    }
}

/// A parser for a stated format of times. A time without an offset is in the zone.
pub(crate) fn times_of(format: &str, zone: &dayfold::time::Calendar) -> Result<TimeParser, String> {
    let times = TimeParser::new().local(zone, AmbiguousTime::Earlier, AmbiguousTime::Later);
    times.format(format).map_err(|error| error.to_string())
}
