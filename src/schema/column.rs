//! Columns: of keys and of measures, with names and kinds.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The kind of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Kind {
    /// Text in UTF-8.
    Text,
    /// An integer of up to 128 bits.
    Integer,
    /// An exact decimal number.
    Decimal,
    /// True or false.
    Boolean,
    /// A day.
    Date,
    /// A moment in time.
    Timestamp,
    /// Bytes; for a measure, a sketch from which others are computed.
    Bytes,
}

impl Kind {
    /// The kind with this name.
    pub(crate) fn named(name: &str) -> Option<Kind> {
        const ALL: [Kind; 7] = [
            Kind::Text,
            Kind::Integer,
            Kind::Decimal,
            Kind::Boolean,
            Kind::Date,
            Kind::Timestamp,
            Kind::Bytes,
        ];
        ALL.into_iter().find(|kind| kind.to_string() == name)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Text => "text",
            Kind::Integer => "integer",
            Kind::Decimal => "decimal",
            Kind::Boolean => "boolean",
            Kind::Date => "date",
            Kind::Timestamp => "timestamp",
            Kind::Bytes => "bytes",
        })
    }
}

/// A column of a view's key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Column {
    /// The name.
    pub name: String,
    /// The kind of its values.
    pub kind: Kind,
    /// Whether a value may be null.
    pub nullable: bool,
}

impl Column {
    /// A column whose values are never null.
    pub fn new(name: &str, kind: Kind) -> Column {
        Column { name: name.to_owned(), kind, nullable: false }
    }

    /// The same, but values may be null.
    #[must_use]
    pub fn nullable(self) -> Column {
        Column { nullable: true, ..self }
    }
}

/// A column that a view computes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Measure {
    /// The name.
    pub name: String,
    /// The kind of its values.
    pub kind: Kind,
    /// Whether a value may be null.
    pub nullable: bool,
    /// Whether the sum over rows is meaningful: it is for counts and sums, but not for means, extremes, distinct counts
    /// and quantiles.
    pub additive: bool,
}

impl Measure {
    /// A measure whose values are never null, and do not add up.
    pub fn new(name: &str, kind: Kind) -> Measure {
        Measure { name: name.to_owned(), kind, nullable: false, additive: false }
    }

    /// The same, but values may be null.
    #[must_use]
    pub fn nullable(self) -> Measure {
        Measure { nullable: true, ..self }
    }

    /// The same, but values add up.
    #[must_use]
    pub fn additive(self) -> Measure {
        Measure { additive: true, ..self }
    }
}

/// A measure whose sum over rows is meaningful.
pub(crate) fn additive(kind: Kind) -> Measure {
    Measure::new("", kind).additive()
}

/// The columns of several parts. If there is more than one part, they are named by their places, from 1.
pub(crate) fn numbered(parts: Vec<Vec<Column>>) -> Vec<Column> {
    let is_one = parts.len() == 1;
    let name = |at: usize| if is_one { String::new() } else { (at + 1).to_string() };
    let parts = parts.into_iter().enumerate();
    parts.flat_map(|(at, columns)| within(&name(at), columns)).collect()
}

/// The columns of a part with that name.
pub(crate) fn within(name: &str, mut columns: Vec<Column>) -> Vec<Column> {
    columns.iter_mut().for_each(|column| column.name = join(name, &column.name));
    columns
}

/// The same columns, which may be null.
pub(crate) fn nullable(mut columns: Vec<Column>) -> Vec<Column> {
    columns.iter_mut().for_each(|column| column.nullable = true);
    columns
}

/// A name, and the name of a part of it.
pub(super) fn join(name: &str, part: &str) -> String {
    match (name, part) {
        ("", _) => part.to_owned(),
        (_, "") => name.to_owned(),
        _ => format!("{name}_{part}"),
    }
}
