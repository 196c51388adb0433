//! From values of expressions to those of events, and back.

use dayfold::dynamic::ValueRef;

use crate::expr::{Cell, RowError};

/// A number that views can keep: an integer of 64 bits and a sign, a decimal below 3.9e19.
pub(crate) fn fitting(cell: Cell<'_>) -> Result<Cell<'_>, RowError> {
    let fits = match &cell {
        Cell::Integer(number) => number.unsigned_abs() <= u128::from(u64::MAX),
        Cell::Decimal(number) => number.billionths().unsigned_abs() < 1 << 95,
        _ => true,
    };
    if fits { Ok(cell) } else { Err(RowError::Overflow { operation: "a number of a view" }) }
}

/// A value as the library takes it.
#[inline]
pub(crate) fn value(cell: Cell<'_>) -> ValueRef<'_> {
    match cell {
        Cell::Null => ValueRef::Null,
        Cell::Boolean(is_so) => ValueRef::Boolean(is_so),
        Cell::Integer(number) => ValueRef::Integer(number),
        Cell::Decimal(number) => ValueRef::Decimal(number),
        Cell::Text(text) => ValueRef::Text(text),
        Cell::Date(day) => ValueRef::Date(day),
        Cell::Timestamp(time) => ValueRef::Timestamp(time),
    }
}

/// The value of an event, as expressions take it.
#[inline]
pub(crate) fn cell(value: ValueRef<'_>) -> Cell<'_> {
    match value {
        ValueRef::Boolean(is_so) => Cell::Boolean(is_so),
        ValueRef::Integer(number) => Cell::Integer(number),
        ValueRef::Decimal(number) => Cell::Decimal(number),
        ValueRef::Text(text) => Cell::Text(text),
        ValueRef::Date(day) => Cell::Date(day),
        ValueRef::Timestamp(time) => Cell::Timestamp(time),
        _ => Cell::Null,
    }
}
