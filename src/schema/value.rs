//! Values of any column, and their text.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Kind;
use crate::aggregate::Decimal;
use crate::time::{Day, EventTime};

/// A value of a column whose type is known only at run time.
///
/// Its text is the cell of CSV, before quoting: dates as `2024-05-01`, timestamps in RFC 3339 and UTC, `true` and
/// `false`, numbers without grouping, decimals with all their digits, nothing for null. Printable ASCII bytes are
/// written as they are; other bytes, quotes and backslashes are written as `\x` and two hexadecimal digits.
///
/// Values of one kind are ordered by value, with null before all of them; decimals are ordered as [`Decimal`] orders
/// them, so `1.5` and `1.50` are two values.
///
/// ```
/// use dayfold::schema::{Kind, Value, ValueTextError};
///
/// let value = Value::of_text(Kind::Decimal, "1.50").unwrap();
/// assert_eq!((value.kind(), value.to_string()), (Some(Kind::Decimal), "1.50".to_owned()));
///
/// let ValueTextError { kind, text, .. } = Value::of_text(Kind::Date, "yesterday").unwrap_err();
/// assert_eq!((kind, text), (Kind::Date, "yesterday".to_owned()));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Value {
    /// No value.
    #[default]
    Null,
    /// A text; a number beyond 127 bits, in digits.
    Text(String),
    /// An integer.
    Integer(i128),
    /// An exact decimal number.
    Decimal(Decimal),
    /// True or false.
    Boolean(bool),
    /// A day.
    Date(Day),
    /// Milliseconds since 1970, UTC.
    Timestamp(EventTime),
    /// Bytes that need not be a text.
    Bytes(Vec<u8>),
}

impl Value {
    /// The name of a period: a date, or for an hour the timestamp of its first minute.
    pub fn period(period: Day) -> Value {
        period.instant().map_or(Value::Date(period), Value::Timestamp)
    }

    /// The kind; null has any kind.
    pub fn kind(&self) -> Option<Kind> {
        match self {
            Value::Null => None,
            Value::Text(_) => Some(Kind::Text),
            Value::Integer(_) => Some(Kind::Integer),
            Value::Decimal(_) => Some(Kind::Decimal),
            Value::Boolean(_) => Some(Kind::Boolean),
            Value::Date(_) => Some(Kind::Date),
            Value::Timestamp(_) => Some(Kind::Timestamp),
            Value::Bytes(_) => Some(Kind::Bytes),
        }
    }

    /// The same, without a copy.
    pub fn by_ref(&self) -> ValueRef<'_> {
        match self {
            Value::Null => ValueRef::Null,
            Value::Text(text) => ValueRef::Text(text),
            Value::Integer(number) => ValueRef::Integer(*number),
            Value::Decimal(number) => ValueRef::Decimal(*number),
            Value::Boolean(is_so) => ValueRef::Boolean(*is_so),
            Value::Date(day) => ValueRef::Date(*day),
            Value::Timestamp(time) => ValueRef::Timestamp(*time),
            Value::Bytes(bytes) => ValueRef::Bytes(bytes),
        }
    }

    /// The value, or null.
    pub fn or_null(value: Option<Value>) -> Value {
        value.unwrap_or(Value::Null)
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.by_ref().fmt(f)
    }
}

/// A borrowed value, for example from a [`Batch`](crate::scan::Batch). Its text is that of the [`Value`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ValueRef<'a> {
    /// No value.
    Null,
    /// A text.
    Text(&'a str),
    /// An integer.
    Integer(i128),
    /// An exact decimal number.
    Decimal(Decimal),
    /// True or false.
    Boolean(bool),
    /// A day.
    Date(Day),
    /// Milliseconds since 1970, UTC.
    Timestamp(EventTime),
    /// Bytes.
    Bytes(&'a [u8]),
}

impl ValueRef<'_> {
    /// The same, owned.
    pub fn to_value(self) -> Value {
        match self {
            ValueRef::Null => Value::Null,
            ValueRef::Text(text) => Value::Text(text.to_owned()),
            ValueRef::Integer(number) => Value::Integer(number),
            ValueRef::Decimal(number) => Value::Decimal(number),
            ValueRef::Boolean(is_so) => Value::Boolean(is_so),
            ValueRef::Date(day) => Value::Date(day),
            ValueRef::Timestamp(time) => Value::Timestamp(time),
            ValueRef::Bytes(bytes) => Value::Bytes(bytes.to_vec()),
        }
    }
}

impl fmt::Display for ValueRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ValueRef::Null => Ok(()),
            ValueRef::Text(text) => f.write_str(text),
            ValueRef::Integer(number) => number.fmt(f),
            ValueRef::Decimal(number) => number.fmt(f),
            ValueRef::Boolean(is_so) => is_so.fmt(f),
            ValueRef::Date(day) => day.fmt(f),
            ValueRef::Timestamp(time) => match jiff::Timestamp::from_millisecond(*time) {
                Ok(time) => write!(f, "{time:.3}"),
                // Years that cannot be written.
                Err(_) => time.fmt(f),
            },
            ValueRef::Bytes(bytes) => bytes.iter().try_for_each(|&byte| match byte {
                b'\\' | b'"' | b'\'' => write!(f, "\\x{byte:02X}"),
                b' '..=b'~' => write!(f, "{}", char::from(byte)),
                _ => write!(f, "\\x{byte:02X}"),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_as_text() {
        let check = |value: Value, text: &str| assert_eq!(value.to_string(), text);
        check(Value::Null, "");
        check(Value::Text("a\"é".to_owned()), "a\"é");
        check(Value::Integer(-1_234_567), "-1234567");
        check(Value::Decimal("1.50".parse().unwrap()), "1.50");
        check(Value::Boolean(true), "true");
        check(Value::Date("2024-05-01".parse().unwrap()), "2024-05-01");
        check(Value::Timestamp(1_500), "1970-01-01T00:00:01.500Z");
        check(Value::Timestamp(EventTime::MAX), &EventTime::MAX.to_string());
        check(Value::Bytes(b"UA \x00\\\"\xFF'~".to_vec()), "UA \\x00\\x5C\\x22\\xFF\\x27~");
    }
}
