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
#[serde(from = "StoredColumn", into = "StoredColumn")]
#[non_exhaustive]
pub struct Column {
    /// The name.
    pub name: String,
    /// The kind of its values.
    pub kind: Kind,
    /// Whether a value may be null.
    pub nullable: bool,
    /// For decimals: how many digits after the point a value has at most, if that is known.
    pub scale: Option<u8>,
}

impl Column {
    /// A column whose values are never null.
    pub fn new(name: &str, kind: Kind) -> Column {
        Column { name: name.to_owned(), kind, nullable: false, scale: None }
    }

    /// The same, but values may be null.
    #[must_use]
    pub fn nullable(self) -> Column {
        Column { nullable: true, ..self }
    }

    /// The same, of decimals with this many digits after the point at most.
    #[must_use]
    pub fn scaled(self, scale: Option<u8>) -> Column {
        Column { scale, ..self }
    }

    /// Its type, as texts show it: the kind, and the digits after the point if they are known, as in `decimal(2)`.
    pub fn type_text(&self) -> String {
        match self.scale {
            Some(scale) => format!("{}({scale})", self.kind),
            None => self.kind.to_string(),
        }
    }
}

/// A column that a view computes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "StoredMeasure", into = "StoredMeasure")]
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
    /// For decimals: how many digits after the point a value has at most, if that is known.
    pub scale: Option<u8>,
}

impl Measure {
    /// A measure whose values are never null, and do not add up.
    pub fn new(name: &str, kind: Kind) -> Measure {
        Measure { name: name.to_owned(), kind, nullable: false, additive: false, scale: None }
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

    /// The same, of decimals with this many digits after the point at most.
    #[must_use]
    pub fn scaled(self, scale: Option<u8>) -> Measure {
        Measure { scale, ..self }
    }

    /// The measure as a column of a table.
    pub fn column(&self) -> Column {
        let Measure { name, kind, nullable, scale, .. } = self.clone();
        Column { name, kind, nullable, scale }
    }
}

/// A kind as a data folder has it. Kinds of decimals with a known number of digits came later.
#[derive(Serialize, Deserialize)]
enum StoredKind {
    Text,
    Integer,
    Decimal,
    Boolean,
    Date,
    Timestamp,
    Bytes,
    Scaled(u8),
}

impl StoredKind {
    fn of(kind: Kind, scale: Option<u8>) -> StoredKind {
        match (kind, scale) {
            (Kind::Text, _) => StoredKind::Text,
            (Kind::Integer, _) => StoredKind::Integer,
            (Kind::Decimal, None) => StoredKind::Decimal,
            (Kind::Decimal, Some(scale)) => StoredKind::Scaled(scale),
            (Kind::Boolean, _) => StoredKind::Boolean,
            (Kind::Date, _) => StoredKind::Date,
            (Kind::Timestamp, _) => StoredKind::Timestamp,
            (Kind::Bytes, _) => StoredKind::Bytes,
        }
    }

    fn kind(self) -> (Kind, Option<u8>) {
        match self {
            StoredKind::Text => (Kind::Text, None),
            StoredKind::Integer => (Kind::Integer, None),
            StoredKind::Decimal => (Kind::Decimal, None),
            StoredKind::Boolean => (Kind::Boolean, None),
            StoredKind::Date => (Kind::Date, None),
            StoredKind::Timestamp => (Kind::Timestamp, None),
            StoredKind::Bytes => (Kind::Bytes, None),
            StoredKind::Scaled(scale) => (Kind::Decimal, Some(scale).filter(|scale| *scale <= 9)),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct StoredColumn {
    name: String,
    kind: StoredKind,
    nullable: bool,
}

impl From<Column> for StoredColumn {
    fn from(column: Column) -> StoredColumn {
        let Column { name, kind, nullable, scale } = column;
        StoredColumn { name, kind: StoredKind::of(kind, scale), nullable }
    }
}

impl From<StoredColumn> for Column {
    fn from(stored: StoredColumn) -> Column {
        let StoredColumn { name, kind, nullable } = stored;
        let (kind, scale) = kind.kind();
        Column { name, kind, nullable, scale }
    }
}

#[derive(Serialize, Deserialize)]
struct StoredMeasure {
    name: String,
    kind: StoredKind,
    nullable: bool,
    additive: bool,
}

impl From<Measure> for StoredMeasure {
    fn from(measure: Measure) -> StoredMeasure {
        let Measure { name, kind, nullable, additive, scale } = measure;
        StoredMeasure { name, kind: StoredKind::of(kind, scale), nullable, additive }
    }
}

impl From<StoredMeasure> for Measure {
    fn from(stored: StoredMeasure) -> Measure {
        let StoredMeasure { name, kind, nullable, additive } = stored;
        let (kind, scale) = kind.kind();
        Measure { name, kind, nullable, additive, scale }
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
