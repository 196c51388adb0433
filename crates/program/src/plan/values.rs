//! Converts values of expressions to values of events, and back.

use dayfold::dynamic::RowValue;

use crate::expr::{Cell, RowError};

/// Checks that views can store a number: an integer of 64 bits and a sign, a decimal below 3.9e19.
pub(crate) fn fitting(cell: Cell<'_>) -> Result<Cell<'_>, RowError> {
    let fits = match &cell {
        Cell::Integer(number) => number.unsigned_abs() <= u128::from(u64::MAX),
        Cell::Decimal(number) => number.billionths().unsigned_abs() < 1 << 95,
        _ => true,
    };
    if fits { Ok(cell) } else { Err(RowError::TooLarge) }
}

/// A value in the library's form.
#[inline]
pub(crate) fn value(cell: Cell<'_>) -> RowValue<'_> {
    match cell {
        Cell::Null => RowValue::Null,
        Cell::Boolean(is_so) => RowValue::Boolean(is_so),
        Cell::Integer(number) => RowValue::Integer(number),
        Cell::Decimal(number) => RowValue::Decimal(number),
        Cell::Text(text) => RowValue::Text(text),
        Cell::Date(day) => RowValue::Date(day),
        Cell::Timestamp(time) => RowValue::Timestamp(time),
    }
}

/// The value of an event, in the form of expressions.
#[inline]
pub(crate) fn cell(value: RowValue<'_>) -> Cell<'_> {
    match value {
        RowValue::Boolean(is_so) => Cell::Boolean(is_so),
        RowValue::Integer(number) => Cell::Integer(number),
        RowValue::Decimal(number) => Cell::Decimal(number),
        RowValue::Text(text) => Cell::Text(text),
        RowValue::Date(day) => Cell::Date(day),
        RowValue::Timestamp(time) => Cell::Timestamp(time),
        _ => Cell::Null,
    }
}
