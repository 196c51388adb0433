//! Values that are borrowed from an event.

use std::borrow::Cow;
use std::cmp::Ordering;

use crate::aggregate::Decimal;
use crate::schema::{Kind, Value};
use crate::time::{Day, EventTime};

/// A [`Value`] whose texts and bytes may be borrowed, as an event has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ValueRef<'a> {
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

impl ValueRef<'_> {
    /// The kind; null is of any.
    pub fn kind(&self) -> Option<Kind> {
        match self {
            ValueRef::Null => None,
            ValueRef::Text(_) => Some(Kind::Text),
            ValueRef::Integer(_) => Some(Kind::Integer),
            ValueRef::Decimal(_) => Some(Kind::Decimal),
            ValueRef::Boolean(_) => Some(Kind::Boolean),
            ValueRef::Date(_) => Some(Kind::Date),
            ValueRef::Timestamp(_) => Some(Kind::Timestamp),
            ValueRef::Bytes(_) => Some(Kind::Bytes),
        }
    }

    /// Whether there is no value.
    pub fn is_null(&self) -> bool {
        matches!(self, ValueRef::Null)
    }

    /// The value as one of its own.
    pub fn to_value(&self) -> Value {
        match self {
            ValueRef::Null => Value::Null,
            ValueRef::Text(text) => Value::Text(text.clone().into_owned()),
            ValueRef::Integer(number) => Value::Integer(*number),
            ValueRef::Decimal(number) => Value::Decimal(*number),
            ValueRef::Boolean(is_so) => Value::Boolean(*is_so),
            ValueRef::Date(day) => Value::Date(*day),
            ValueRef::Timestamp(time) => Value::Timestamp(*time),
            ValueRef::Bytes(bytes) => Value::Bytes(bytes.clone().into_owned()),
        }
    }

    /// The order of [`Value`]. Nothing is copied if both are of one kind.
    pub(super) fn cmp_value(&self, other: &Value) -> Ordering {
        match (self, other) {
            (ValueRef::Text(text), Value::Text(other)) => text.as_ref().cmp(other),
            (ValueRef::Bytes(bytes), Value::Bytes(other)) => bytes.as_ref().cmp(other),
            (ValueRef::Decimal(number), Value::Decimal(other)) => number.cmp(other),
            (ValueRef::Integer(number), Value::Integer(other)) => number.cmp(other),
            _ => self.to_value().cmp(other),
        }
    }
}

impl<'a> From<&'a Value> for ValueRef<'a> {
    fn from(value: &'a Value) -> ValueRef<'a> {
        match value {
            Value::Null => ValueRef::Null,
            Value::Text(text) => ValueRef::Text(Cow::Borrowed(text)),
            Value::Integer(number) => ValueRef::Integer(*number),
            Value::Decimal(number) => ValueRef::Decimal(*number),
            Value::Boolean(is_so) => ValueRef::Boolean(*is_so),
            Value::Date(day) => ValueRef::Date(*day),
            Value::Timestamp(time) => ValueRef::Timestamp(*time),
            Value::Bytes(bytes) => ValueRef::Bytes(Cow::Borrowed(bytes)),
        }
    }
}

macro_rules! from {
    ($($type:ty: |$value:ident| $made:expr;)*) => { $(
        impl<'a> From<$type> for ValueRef<'a> {
            fn from($value: $type) -> ValueRef<'a> {
                $made
            }
        }
    )* };
}

from! {
    &'a str: |text| ValueRef::Text(Cow::Borrowed(text));
    String: |text| ValueRef::Text(Cow::Owned(text));
    &'a [u8]: |bytes| ValueRef::Bytes(Cow::Borrowed(bytes));
    i64: |number| ValueRef::Integer(number.into());
    u64: |number| ValueRef::Integer(number.into());
    i128: |number| ValueRef::Integer(number);
    Decimal: |number| ValueRef::Decimal(number);
    bool: |is_so| ValueRef::Boolean(is_so);
    Day: |day| ValueRef::Date(day);
}

impl<'a, T: Into<ValueRef<'a>>> From<Option<T>> for ValueRef<'a> {
    /// Null, if there is none.
    fn from(value: Option<T>) -> ValueRef<'a> {
        value.map_or(ValueRef::Null, Into::into)
    }
}
