//! Reads texts as values.

use std::borrow::Cow;

use dayfold::aggregate::Decimal;
use dayfold::source::TimeParser;
use dayfold::time::Day;

use super::cell::{Cell, Type};
use super::error::RowError;

/// The format of the texts of a column.
#[derive(Clone, Debug)]
pub struct Format {
    /// The type.
    pub kind: Type,
    /// The number of digits after the point that a decimal may have, if it is stated.
    pub scale: Option<u8>,
    /// The format of times.
    pub times: TimeParser,
}

impl Format {
    /// The default format of a type.
    pub fn new(kind: Type, times: TimeParser) -> Format {
        Format { kind, scale: None, times }
    }
}

/// Reads a text.
///
/// # Errors
/// [`RowError::Read`] if it does not have the type.
#[inline]
pub fn read<'t>(text: Cow<'t, str>, format: &Format) -> Result<Cell<'t>, RowError> {
    Ok(match format.kind {
        Type::Text | Type::Untyped | Type::Null => Cell::Text(text),
        Type::Integer => Cell::Integer(integer(&text)?),
        Type::Decimal => Cell::Decimal(decimal(&text, format.scale)?),
        Type::Boolean => Cell::Boolean(boolean(&text)?),
        Type::Date => Cell::Date(date(&text)?),
        Type::Timestamp => Cell::Timestamp(timestamp(&text, &format.times)?),
    })
}

const TIMESTAMP: &str = "a timestamp such as 2024-05-01T10:59:00Z";

/// An integer.
#[inline]
pub(crate) fn integer(text: &str) -> Result<i128, RowError> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(RowError::read(text, "an integer such as -12"));
    }
    // Most numbers are short: reading 64 bits takes a fraction of the time.
    if digits.len() <= 18 {
        let size = digits.bytes().fold(0i64, |sum, digit| sum * 10 + i64::from(digit - b'0'));
        return Ok(i128::from(if text.starts_with('-') { -size } else { size }));
    }
    text.parse().map_err(|_| RowError::Overflow { operation: "reading an integer" })
}

/// Reads a decimal. Without a stated scale, more than nine digits after the point are rounded half to even. With a
/// scale, the text must not have more digits than that.
#[inline]
pub(crate) fn decimal(text: &str, scale: Option<u8>) -> Result<Decimal, RowError> {
    const EXPECTED: &str = "a number such as -12.5 or 1.5e-3";
    let read =
        Decimal::parse_rounded(text.as_bytes()).map_err(|_| RowError::read(text, EXPECTED))?;
    let Some(scale) = scale else { return Ok(read.value) };
    let scaled = Decimal::from_billionths(read.value.billionths(), scale);
    match read.is_exact && scaled.billionths() % super::number::step(scale) == 0 {
        true => Ok(scaled),
        false => Err(RowError::Digits { number: text.to_owned(), precision: 18 + scale, scale }),
    }
}

/// Reads a boolean: `true` or `false` in any case, `t`, `f`, `1`, `0`, `yes`, `no`.
pub(crate) fn boolean(text: &str) -> Result<bool, RowError> {
    let is = |words: [&str; 4]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    if is(["true", "t", "1", "yes"]) {
        Ok(true)
    } else if is(["false", "f", "0", "no"]) {
        Ok(false)
    } else {
        Err(RowError::read(text, "true or false"))
    }
}

/// A date.
pub(crate) fn date(text: &str) -> Result<Day, RowError> {
    text.parse().map_err(|_| RowError::read(text, "a date such as 2024-05-01"))
}

/// A point in time.
pub(crate) fn timestamp(text: &str, times: &TimeParser) -> Result<i64, RowError> {
    times.parse(text.as_bytes()).map_err(|_| RowError::read(text, TIMESTAMP))
}
