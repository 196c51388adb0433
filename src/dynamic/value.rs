//! Values that are borrowed from an event.

use std::borrow::Cow;
use std::cmp::Ordering;

use crate::aggregate::Decimal;
use crate::schema::{Kind, Value, ValueRef};
use crate::time::{Day, EventTime};

/// A [`Value`] whose texts and bytes may be borrowed from an event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum RowValue<'a> {
    /// No value.
    #[default]
    Null,
    /// A text.
    Text(Cow<'a, str>),
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
    Bytes(Cow<'a, [u8]>),
}

impl RowValue<'_> {
    /// The kind; null has any kind.
    pub fn kind(&self) -> Option<Kind> {
        match self {
            RowValue::Null => None,
            RowValue::Text(_) => Some(Kind::Text),
            RowValue::Integer(_) => Some(Kind::Integer),
            RowValue::Decimal(_) => Some(Kind::Decimal),
            RowValue::Boolean(_) => Some(Kind::Boolean),
            RowValue::Date(_) => Some(Kind::Date),
            RowValue::Timestamp(_) => Some(Kind::Timestamp),
            RowValue::Bytes(_) => Some(Kind::Bytes),
        }
    }

    /// Whether there is no value.
    pub fn is_null(&self) -> bool {
        matches!(self, RowValue::Null)
    }

    /// The value as an owned one.
    pub fn to_value(&self) -> Value {
        match self {
            RowValue::Null => Value::Null,
            RowValue::Text(text) => Value::Text(text.clone().into_owned()),
            RowValue::Integer(number) => Value::Integer(*number),
            RowValue::Decimal(number) => Value::Decimal(*number),
            RowValue::Boolean(is_so) => Value::Boolean(*is_so),
            RowValue::Date(day) => Value::Date(*day),
            RowValue::Timestamp(time) => Value::Timestamp(*time),
            RowValue::Bytes(bytes) => Value::Bytes(bytes.clone().into_owned()),
        }
    }

    /// The value, without a copy of it.
    #[inline]
    pub(crate) fn as_value_ref(&self) -> ValueRef<'_> {
        match self {
            RowValue::Null => ValueRef::Null,
            RowValue::Text(text) => ValueRef::Text(text),
            RowValue::Integer(number) => ValueRef::Integer(*number),
            RowValue::Decimal(number) => ValueRef::Decimal(*number),
            RowValue::Boolean(is_so) => ValueRef::Boolean(*is_so),
            RowValue::Date(day) => ValueRef::Date(*day),
            RowValue::Timestamp(time) => ValueRef::Timestamp(*time),
            RowValue::Bytes(bytes) => ValueRef::Bytes(bytes),
        }
    }

    /// The order of [`Value`]. Nothing is copied if both are of one kind.
    pub(super) fn cmp_value(&self, other: &Value) -> Ordering {
        match (self, other) {
            (RowValue::Text(text), Value::Text(other)) => text.as_ref().cmp(other),
            (RowValue::Bytes(bytes), Value::Bytes(other)) => bytes.as_ref().cmp(other),
            (RowValue::Decimal(number), Value::Decimal(other)) => number.cmp(other),
            (RowValue::Integer(number), Value::Integer(other)) => number.cmp(other),
            _ => self.to_value().cmp(other),
        }
    }
}

impl<'a> From<&'a Value> for RowValue<'a> {
    fn from(value: &'a Value) -> RowValue<'a> {
        match value {
            Value::Null => RowValue::Null,
            Value::Text(text) => RowValue::Text(Cow::Borrowed(text)),
            Value::Integer(number) => RowValue::Integer(*number),
            Value::Decimal(number) => RowValue::Decimal(*number),
            Value::Boolean(is_so) => RowValue::Boolean(*is_so),
            Value::Date(day) => RowValue::Date(*day),
            Value::Timestamp(time) => RowValue::Timestamp(*time),
            Value::Bytes(bytes) => RowValue::Bytes(Cow::Borrowed(bytes)),
        }
    }
}

macro_rules! from {
    ($($type:ty: |$value:ident| $made:expr;)*) => { $(
        impl<'a> From<$type> for RowValue<'a> {
            #[inline]
            fn from($value: $type) -> RowValue<'a> {
                $made
            }
        }
    )* };
}

from! {
    &'a str: |text| RowValue::Text(Cow::Borrowed(text));
    String: |text| RowValue::Text(Cow::Owned(text));
    &'a [u8]: |bytes| RowValue::Bytes(Cow::Borrowed(bytes));
    i64: |number| RowValue::Integer(number.into());
    u64: |number| RowValue::Integer(number.into());
    i128: |number| RowValue::Integer(number);
    Decimal: |number| RowValue::Decimal(number);
    bool: |is_so| RowValue::Boolean(is_so);
    Day: |day| RowValue::Date(day);
}

impl<'a, T: Into<RowValue<'a>>> From<Option<T>> for RowValue<'a> {
    /// Null, if there is none.
    #[inline]
    fn from(value: Option<T>) -> RowValue<'a> {
        value.map_or(RowValue::Null, Into::into)
    }
}
