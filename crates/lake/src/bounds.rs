//! The least and the greatest value of a column of a file.

use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Decimal128Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, ArrowPrimitiveType};
use arrow_schema::DataType;

/// The least and the greatest value of a column, and the number of nulls.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Bounds {
    /// `None` if there is no value, or if nobody filters by the order of such values.
    pub(crate) values: Option<(Bound, Bound)>,
    pub(crate) nulls: u64,
}

/// A value of a column, as Arrow has it.
#[derive(Clone, Debug, PartialEq, PartialOrd)]
pub(crate) enum Bound {
    Text(String),
    /// An integer, or the microseconds of a time.
    Long(i64),
    /// A decimal, without its point.
    Decimal(i128),
    Boolean(bool),
    Date(i32),
}

impl Bounds {
    /// Adds the values of a column. All of a file have one type.
    pub(crate) fn add(&mut self, column: &ArrayRef) {
        self.nulls += column.null_count() as u64;
        let found = match column.data_type() {
            DataType::Utf8 => extremes(column.as_string::<i32>().iter())
                .map(|(least, most)| (Bound::Text(least.to_owned()), Bound::Text(most.to_owned()))),
            DataType::Int64 => primitive::<Int64Type>(column, Bound::Long),
            DataType::Timestamp(..) => primitive::<TimestampMicrosecondType>(column, Bound::Long),
            DataType::Decimal128(..) => primitive::<Decimal128Type>(column, Bound::Decimal),
            DataType::Date32 => primitive::<Date32Type>(column, Bound::Date),
            DataType::Boolean => extremes(column.as_boolean().iter())
                .map(|(least, most)| (Bound::Boolean(least), Bound::Boolean(most))),
            // Nobody filters by the order of sketches.
            _ => None,
        };
        self.values = match (self.values.take(), found) {
            (Some((a, b)), Some((c, d))) => {
                Some((if c < a { c } else { a }, if d > b { d } else { b }))
            }
            (known, found) => found.or(known),
        };
    }
}

fn primitive<T: ArrowPrimitiveType<Native: Ord>>(
    column: &ArrayRef,
    bound: fn(T::Native) -> Bound,
) -> Option<(Bound, Bound)> {
    let column = column.as_primitive::<T>();
    let found = match column.null_count() {
        0 => extremes(column.values().iter().copied().map(Some)),
        _ => extremes(column.iter()),
    };
    found.map(|(least, greatest)| (bound(least), bound(greatest)))
}

/// The least and the greatest of the values that are not null.
fn extremes<T: Ord + Copy>(values: impl Iterator<Item = Option<T>>) -> Option<(T, T)> {
    values.flatten().fold(None, |found, value| match found {
        None => Some((value, value)),
        Some((least, greatest)) => Some((value.min(least), value.max(greatest))),
    })
}
