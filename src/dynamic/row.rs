//! The input of a dynamic view: a value for each of the view's columns.

use std::borrow::Cow;

use super::{Columns, RowValue};
use crate::aggregate::{Decimal, step};
use crate::schema::{Column, Kind};

/// Integers have 64 bits and a sign, so that a sum of them cannot overflow.
const INTEGER_MOST: u128 = u64::MAX as u128;
/// In billionths: the bound that [`Decimal`] has for integers and parsed numbers.
const DECIMAL_MOST: u128 = 1 << 95;

/// The values of one event for the [`Columns`] of a view. Values that are not set are null.
///
/// A row is wrong if a value has another kind than its column, or a number is too large for sums: an integer beyond 64
/// bits and a sign, or a decimal beyond 3.9·10¹⁹, or a decimal has more digits than its column is
/// [said to have](Columns::scaled). An event with such a row is refused: it is in no answer and is
/// counted in the certificates of answers, and the first one is logged through `tracing`.
///
/// ```
/// use dayfold::aggregate::Decimal;
/// use dayfold::dynamic::{Columns, Reduce, RowBuilder, RowError, ViewDef};
/// use dayfold::schema::Kind;
/// use dayfold::time::EventTime;
/// use dayfold::view::View;
///
/// struct Reading {
///     time: EventTime,
///     site: String,
///     celsius: Decimal,
/// }
///
/// fn fill<'e>(reading: &'e Reading, row: &mut RowBuilder<'e>) -> Option<EventTime> {
///     row.set(0, reading.site.as_str());
///     row.set(1, reading.celsius);
///     if let Some(RowError::TooLarge { column }) = row.error() {
///         eprintln!("{column}: no thermometer says that");
///     }
///     Some(reading.time)
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let columns = Columns::new([("site", Kind::Text), ("celsius", Kind::Decimal)])?;
/// let definition = ViewDef::new(View::new("by-site")?, columns)
///     .key(["site"])?
///     .measure("warmest", Reduce::Max("celsius".to_owned()))?;
/// let mut engine = dayfold::Engine::new();
/// let by_site = engine.dynamic_view(definition, fill);
/// # let _ = by_site;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct RowBuilder<'a> {
    columns: &'a Columns,
    values: Vec<RowValue<'a>>,
    /// The event is a whole row of a sealed period.
    state: Option<Cow<'a, [u8]>>,
    error: Option<RowError>,
}

/// Why a row is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RowError {
    /// A value has another kind.
    #[error("column '{column}' is {expected}, and the value is {found}")]
    Kind {
        /// The column.
        column: String,
        /// Its kind.
        expected: Kind,
        /// The kind of the value.
        found: Kind,
    },
    /// A number that is too large for sums.
    #[error(
        "column '{column}': the number is too large, expected an integer of 64 bits or a decimal below 3.9e19"
    )]
    TooLarge {
        /// The column.
        column: String,
    },
    /// A decimal with more digits after the point than its column has.
    #[error(
        "column '{column}': {value} has more than {scale} digits after the point: round it, or state more digits for the column"
    )]
    TooFine {
        /// The column.
        column: String,
        /// The value.
        value: Decimal,
        /// The digits after the point that values of the column have at most.
        scale: u8,
    },
    /// Bytes that are no row of the view.
    #[error("these bytes are no row of a view with this key and these measures")]
    State,
    /// There is no such column.
    #[error("a value for column {at} of a view that has {columns}")]
    NoColumn {
        /// The place, from 0.
        at: usize,
        /// How many columns there are.
        columns: usize,
    },
}

impl<'a> RowBuilder<'a> {
    /// A row without values.
    pub(super) fn new(columns: &'a Columns) -> RowBuilder<'a> {
        RowBuilder {
            columns,
            values: vec![RowValue::Null; columns.len()],
            state: None,
            error: None,
        }
    }

    /// Clears all values, so that another event can fill it.
    #[inline]
    pub(super) fn clear(&mut self) {
        self.values.iter_mut().for_each(|value| *value = RowValue::Null);
        (self.state, self.error) = (None, None);
    }

    /// Sets the value of a column, by its place. An integer becomes a decimal if the column has decimals.
    #[inline(always)]
    pub fn set(&mut self, at: usize, value: impl Into<RowValue<'a>>) {
        let Some(kind) = self.columns.kind(at) else {
            return self.refuse(RowError::NoColumn { at, columns: self.columns.len() });
        };
        let value = value.into();
        if let (RowValue::Decimal(number), Some(scale)) = (&value, self.columns.scale(at)) {
            return self.set_scaled(at, *number, scale);
        }
        if is_of(kind, &value) {
            self.values[at] = value;
        } else {
            self.convert(at, kind, value);
        }
    }

    /// Replaces the value of an existing column.
    #[inline(always)]
    fn put(&mut self, at: usize, value: impl FnOnce() -> RowValue<'a>) {
        let slot = &mut self.values[at];
        // Otherwise the new value is made elsewhere, and moved here when the old one has been dropped.
        *slot = RowValue::Null;
        *slot = value();
    }

    /// The most frequent kinds are set by functions that are not inlined: their arguments are in registers. A value
    /// that is made in parts and moved as a whole takes ten times as long, because a processor waits for the parts.
    #[inline(never)]
    pub(super) fn set_decimal(&mut self, at: usize, billionths: i128, scale: u8) {
        let number = Decimal::from_billionths(billionths, scale);
        match self.columns.get(at) {
            Some(Column { kind: Kind::Decimal, scale: None, .. })
                if billionths.unsigned_abs() < DECIMAL_MOST =>
            {
                self.put(at, || RowValue::Decimal(number));
            }
            _ => self.set(at, number),
        }
    }

    /// See [`RowBuilder::set_decimal`].
    #[inline(never)]
    pub(super) fn set_bytes(&mut self, at: usize, bytes: &'a [u8]) {
        match self.columns.kind(at) {
            Some(Kind::Bytes) => self.put(at, || RowValue::Bytes(Cow::Borrowed(bytes))),
            _ => self.set(at, bytes),
        }
    }

    /// See [`RowBuilder::set_decimal`].
    #[inline(never)]
    pub(super) fn set_text(&mut self, at: usize, text: &'a str) {
        match self.columns.kind(at) {
            Some(Kind::Text) => self.put(at, || RowValue::Text(Cow::Borrowed(text))),
            _ => self.set(at, text),
        }
    }

    /// Sets a decimal of a column whose values have so many digits after the point at most.
    fn set_scaled(&mut self, at: usize, number: Decimal, scale: u8) {
        if number.billionths() % i128::from(step(scale)) != 0 {
            let column = self.columns.name(at).to_owned();
            return self.refuse(RowError::TooFine { column, value: number, scale });
        }
        // Quantiles have as many digits as the values were written with.
        let number = Decimal::from_billionths(number.billionths(), number.scale().min(scale));
        self.convert(at, Kind::Decimal, RowValue::Decimal(number));
    }

    fn convert(&mut self, at: usize, kind: Kind, value: RowValue<'a>) {
        match fitting(kind, value) {
            Ok(value) => self.values[at] = value,
            Err(wrong) => self.refuse(wrong.of(self.columns, at)),
        }
    }

    /// Makes the event a whole row of a sealed period: a value of the column `_state` of
    /// [`RowOptions::states`](crate::rows::RowOptions::states). The row is added with its key and all that it has
    /// counted, and values that are set are not looked at. A row of a view with other columns in its key, or other
    /// measures, is wrong.
    pub fn set_state(&mut self, bytes: impl Into<Cow<'a, [u8]>>) {
        self.state = Some(bytes.into());
    }

    /// The whole row that the event is, if it is one.
    #[inline]
    pub(super) fn state(&self) -> Option<&[u8]> {
        self.state.as_deref()
    }

    /// The value of an existing column.
    #[inline]
    pub(super) fn get(&self, at: usize) -> &RowValue<'a> {
        &self.values[at]
    }

    /// Why the row is wrong, if it is.
    pub fn error(&self) -> Option<&RowError> {
        self.error.as_ref()
    }

    #[cold]
    fn refuse(&mut self, error: RowError) {
        self.error.get_or_insert(error);
    }
}

/// Why a value is wrong.
enum Wrong {
    Kind(Kind),
    TooLarge,
}

impl Wrong {
    fn of(self, columns: &Columns, at: usize) -> RowError {
        let column = columns.name(at).to_owned();
        match self {
            Wrong::Kind(found) => {
                RowError::Kind { column, expected: columns.kind(at).unwrap_or(found), found }
            }
            Wrong::TooLarge => RowError::TooLarge { column },
        }
    }
}

/// Whether a column of this kind takes the value as it is. Nearly all values are, and are moved only once.
#[inline(always)]
fn is_of(kind: Kind, value: &RowValue<'_>) -> bool {
    match value {
        RowValue::Null => true,
        RowValue::Integer(number) => kind == Kind::Integer && number.unsigned_abs() <= INTEGER_MOST,
        RowValue::Decimal(number) => {
            kind == Kind::Decimal && number.billionths().unsigned_abs() < DECIMAL_MOST
        }
        _ => value.kind() == Some(kind),
    }
}

/// The value, converted to a column of this kind.
fn fitting(kind: Kind, value: RowValue<'_>) -> Result<RowValue<'_>, Wrong> {
    let value = match (kind, value) {
        (Kind::Decimal, RowValue::Integer(number)) => match i64::try_from(number) {
            Ok(number) => RowValue::Decimal(Decimal::from(number)),
            Err(_) => match u64::try_from(number) {
                Ok(number) => RowValue::Decimal(Decimal::from(number)),
                Err(_) => return Err(Wrong::TooLarge),
            },
        },
        (_, value) => value,
    };
    match (&value, value.kind()) {
        (RowValue::Integer(number), _) if number.unsigned_abs() > INTEGER_MOST => {
            Err(Wrong::TooLarge)
        }
        (RowValue::Decimal(number), _) if number.billionths().unsigned_abs() >= DECIMAL_MOST => {
            Err(Wrong::TooLarge)
        }
        (_, Some(found)) if found != kind => Err(Wrong::Kind(found)),
        _ => Ok(value),
    }
}
