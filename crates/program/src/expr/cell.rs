//! Types, values, and rows of them.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

use dayfold::aggregate::Decimal;
use dayfold::schema::{Kind, Value};
use dayfold::time::{Day, EventTime};

use super::number;

/// The type of an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// True or false.
    Boolean,
    /// A 128-bit integer.
    Integer,
    /// A decimal number, with at most nine digits after the point.
    Decimal,
    /// A text in UTF-8.
    Text,
    /// A day.
    Date,
    /// A point in time, in milliseconds.
    Timestamp,
    /// The text of a column of unknown type: it is read as the type that the context requires.
    Untyped,
    /// Always null.
    Null,
}

impl Type {
    /// The kind of a column of a view with this type.
    pub fn kind(self) -> Kind {
        match self {
            Type::Boolean => Kind::Boolean,
            Type::Integer => Kind::Integer,
            Type::Decimal => Kind::Decimal,
            Type::Date => Kind::Date,
            Type::Timestamp => Kind::Timestamp,
            Type::Text | Type::Untyped | Type::Null => Kind::Text,
        }
    }

    /// The type with this displayed name.
    pub fn of_name(name: &str) -> Option<Type> {
        let all = [
            Type::Boolean,
            Type::Integer,
            Type::Decimal,
            Type::Text,
            Type::Date,
            Type::Timestamp,
            Type::Untyped,
        ];
        all.into_iter().find(|kind| kind.to_string() == name)
    }

    /// Whether it is a number.
    pub fn is_number(self) -> bool {
        matches!(self, Type::Integer | Type::Decimal)
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Type::Boolean => "boolean",
            Type::Integer => "integer",
            Type::Decimal => "decimal",
            Type::Text => "text",
            Type::Date => "date",
            Type::Timestamp => "timestamp",
            Type::Untyped => "untyped",
            Type::Null => "null",
        })
    }
}

/// A value. Texts are borrowed from the row if they occur in it literally.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell<'a> {
    /// No value.
    Null,
    /// True or false.
    Boolean(bool),
    /// An integer.
    Integer(i128),
    /// A decimal.
    Decimal(Decimal),
    /// A text.
    Text(Cow<'a, str>),
    /// A day.
    Date(Day),
    /// Milliseconds since 1970, UTC.
    Timestamp(EventTime),
}

impl<'a> Cell<'a> {
    /// Whether it is null.
    #[inline]
    pub fn is_null(&self) -> bool {
        matches!(self, Cell::Null)
    }

    /// The text, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Cell::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The same value, borrowed.
    pub fn as_cell(&self) -> Cell<'_> {
        match self {
            Cell::Text(text) => Cell::Text(Cow::Borrowed(text)),
            Cell::Null => Cell::Null,
            Cell::Boolean(is_so) => Cell::Boolean(*is_so),
            Cell::Integer(number) => Cell::Integer(*number),
            Cell::Decimal(number) => Cell::Decimal(*number),
            Cell::Date(day) => Cell::Date(*day),
            Cell::Timestamp(time) => Cell::Timestamp(*time),
        }
    }

    /// The same value, which borrows nothing.
    pub fn into_owned(self) -> Cell<'static> {
        match self {
            Cell::Text(text) => Cell::Text(Cow::Owned(text.into_owned())),
            Cell::Null => Cell::Null,
            Cell::Boolean(is_so) => Cell::Boolean(is_so),
            Cell::Integer(number) => Cell::Integer(number),
            Cell::Decimal(number) => Cell::Decimal(number),
            Cell::Date(day) => Cell::Date(day),
            Cell::Timestamp(time) => Cell::Timestamp(time),
        }
    }

    /// The value as the library has it.
    pub fn into_value(self) -> Value {
        match self {
            Cell::Null => Value::Null,
            Cell::Boolean(is_so) => Value::Boolean(is_so),
            Cell::Integer(number) => Value::Integer(number),
            Cell::Decimal(number) => Value::Decimal(number),
            Cell::Text(text) => Value::Text(text.into_owned()),
            Cell::Date(day) => Value::Date(day),
            Cell::Timestamp(time) => Value::Timestamp(time),
        }
    }

    /// Compares two values of one type that are not null: numbers by value, texts by their bytes, false before true.
    ///
    /// # Panics
    /// If the types differ, except integer and decimal: the compiler makes them equal.
    #[inline]
    pub(crate) fn order(&self, other: &Cell<'_>) -> Ordering {
        match (self, other) {
            (Cell::Integer(left), Cell::Integer(right)) => left.cmp(right),
            (Cell::Decimal(left), Cell::Decimal(right)) => left.cmp_value(right),
            (Cell::Integer(left), Cell::Decimal(right)) => number::order(*left, *right),
            (Cell::Decimal(left), Cell::Integer(right)) => number::order(*right, *left).reverse(),
            (Cell::Text(left), Cell::Text(right)) => left.as_bytes().cmp(right.as_bytes()),
            (Cell::Boolean(left), Cell::Boolean(right)) => left.cmp(right),
            (Cell::Date(left), Cell::Date(right)) => left.cmp(right),
            (Cell::Timestamp(left), Cell::Timestamp(right)) => left.cmp(right),
            (left, right) => {
                panic!("{left:?} and {right:?} have no order: the compiler compares like types")
            }
        }
    }
}

impl fmt::Display for Cell<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cell::Text(text) => f.write_str(text),
            other => other.clone().into_value().fmt(f),
        }
    }
}

/// A row, as expressions see it.
#[derive(Clone, Copy, Debug)]
pub struct Row<'r> {
    /// The columns that expressions name, in the order of the scope.
    pub cells: &'r [Cell<'r>],
}
