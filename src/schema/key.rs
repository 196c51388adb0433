//! Keys by their ids: their parts and their columns.

use super::column::{nullable, numbered};
use super::id::{DYNAMIC, TypeId};
use super::{Column, Kind, SchemaError};

/// The structure of a key's encoding, as far as its id tells.
#[derive(Clone, Debug)]
pub(super) enum KeyShape {
    One(Part),
    Parts(Vec<KeyShape>),
    List(Box<KeyShape>),
    Option(Box<KeyShape>),
    /// The columns of a dynamic view.
    Dynamic(Vec<Kind>),
}

/// A part of a key that is one value.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part {
    U8,
    U16,
    U32,
    U64,
    U128,
    I8,
    I16,
    I32,
    I64,
    I128,
    Boolean,
    Text,
    Bytes,
}

impl Part {
    /// The part whose type has this id.
    fn called(id: &str) -> Option<Part> {
        Some(match id {
            "u8" => Part::U8,
            "u16" => Part::U16,
            "u32" => Part::U32,
            "u64" => Part::U64,
            "u128" => Part::U128,
            "i8" => Part::I8,
            "i16" => Part::I16,
            "i32" => Part::I32,
            "i64" => Part::I64,
            "i128" => Part::I128,
            "bool" => Part::Boolean,
            "text" => Part::Text,
            "bytes" => Part::Bytes,
            _ => return None,
        })
    }

    fn kind(self) -> Kind {
        match self {
            // An integer column has 128 bits with a sign.
            Part::U128 | Part::Text => Kind::Text,
            Part::Boolean => Kind::Boolean,
            Part::Bytes => Kind::Bytes,
            _ => Kind::Integer,
        }
    }
}

impl KeyShape {
    /// `None` if some part of the encoding is not known here.
    pub(super) fn of(id: &TypeId) -> Option<KeyShape> {
        match (id.name.as_str(), id.parts.as_deref()) {
            (name, None) => Part::called(name).map(KeyShape::One),
            ("list", Some([element])) => Some(KeyShape::List(Box::new(KeyShape::of(element)?))),
            ("option", Some([some])) => Some(KeyShape::Option(Box::new(KeyShape::of(some)?))),
            ("list" | "option", _) => None,
            (DYNAMIC, Some(parts)) => {
                let kinds = parts.iter().map(|part| Kind::named(&part.name));
                kinds.collect::<Option<_>>().map(KeyShape::Dynamic)
            }
            // Whatever the name is, the ids in parentheses are encoded one after the other.
            (_, Some(parts)) => {
                parts.iter().map(KeyShape::of).collect::<Option<_>>().map(KeyShape::Parts)
            }
        }
    }

    /// The columns, named by their places. A list is one column, because the id does not tell its length.
    pub(super) fn columns(&self) -> Vec<Column> {
        match self {
            KeyShape::One(part) => vec![Column::new("", part.kind())],
            KeyShape::Parts(parts) => numbered(parts.iter().map(KeyShape::columns).collect()),
            KeyShape::List(_) => vec![Column::new("", Kind::Text)],
            KeyShape::Option(some) => nullable(some.columns()),
            KeyShape::Dynamic(kinds) => {
                let columns = kinds.iter().map(|kind| vec![Column::new("", *kind)]);
                nullable(numbered(columns.collect()))
            }
        }
    }
}

/// The columns of a key by its id; for an unknown encoding, its bytes.
pub(crate) fn columns_of(id: &str) -> Vec<Column> {
    let shape = TypeId::parse(id).and_then(|id| KeyShape::of(&id));
    shape.map_or_else(|| vec![Column::new("", Kind::Bytes)], |shape| shape.columns())
}

/// `None` if the encoding of keys with this id is not known here.
pub(super) fn key_shape(id: &str) -> Option<KeyShape> {
    TypeId::parse(id).and_then(|id| KeyShape::of(&id))
}

/// The columns of a key with the names from the program. A list has as many columns as there are names.
pub(super) fn named_columns(
    id: &str,
    mut columns: Vec<Column>,
    given: &[String],
) -> Result<Vec<Column>, SchemaError> {
    if let Some(KeyShape::List(element)) = key_shape(id) {
        let kind = element.columns().first().map_or(Kind::Text, |column| column.kind);
        let column = |name: &String| Column { nullable: true, ..Column::new(name, kind) };
        return Ok(given.iter().map(column).collect());
    }
    if columns.len() != given.len() {
        return Err(SchemaError::Key { found: given.len(), expected: columns.len() });
    }
    for (column, name) in columns.iter_mut().zip(given) {
        column.name.clone_from(name);
    }
    Ok(columns)
}
