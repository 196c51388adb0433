//! Keys by their ids: the columns, and their values from the encoding.

use super::id::TypeId;
use super::{Column, Kind, Value};
use crate::key::{Key, KeyError};

/// How the encoding of a key is read, as far as its id says.
#[derive(Clone, Debug)]
pub(super) enum KeyShape {
    One(Kind, fn(&mut &[u8]) -> Result<Value, KeyError>),
    Parts(Vec<KeyShape>),
    List(Box<KeyShape>),
    Option(Box<KeyShape>),
}

impl KeyShape {
    /// `None` if some part of the encoding is not known here.
    pub(super) fn of(id: &TypeId) -> Option<KeyShape> {
        match (id.name.as_str(), id.parts.as_deref()) {
            (name, None) => single(name),
            ("list", Some([element])) => Some(KeyShape::List(Box::new(KeyShape::of(element)?))),
            ("option", Some([some])) => Some(KeyShape::Option(Box::new(KeyShape::of(some)?))),
            ("list" | "option", _) => None,
            // Whatever its name: what is in parentheses is encoded one after the other.
            (_, Some(parts)) => {
                parts.iter().map(KeyShape::of).collect::<Option<_>>().map(KeyShape::Parts)
            }
        }
    }

    /// The columns, named by their places. A list is one column: how many there are, the id does not say.
    pub(super) fn columns(&self) -> Vec<Column> {
        match self {
            KeyShape::One(kind, _) => vec![Column::new("", *kind)],
            KeyShape::Parts(parts) => numbered(parts.iter().map(KeyShape::columns).collect()),
            KeyShape::List(_) => vec![Column::new("", Kind::Text)],
            KeyShape::Option(some) => nullable(some.columns()),
        }
    }

    /// Reads a key into its columns.
    pub(super) fn read(&self, bytes: &mut &[u8], out: &mut Vec<Value>) -> Result<(), KeyError> {
        match self {
            KeyShape::One(_, read) => out.push(read(bytes)?),
            KeyShape::Parts(parts) => parts.iter().try_for_each(|part| part.read(bytes, out))?,
            KeyShape::List(element) => {
                let elements = element.read_list(bytes)?;
                out.push(Value::Text(crate::rows::json_list(&elements)));
            }
            KeyShape::Option(some) => match bool::decode(bytes)? {
                true => some.read(bytes, out)?,
                false => out.extend(some.columns().iter().map(|_| Value::Null)),
            },
        }
        Ok(())
    }

    /// Reads a list of keys like this.
    pub(super) fn read_list(&self, bytes: &mut &[u8]) -> Result<Vec<Value>, KeyError> {
        let mut elements = Vec::new();
        while bool::decode(bytes)? {
            self.read(bytes, &mut elements)?;
        }
        Ok(elements)
    }
}

/// A key of one column.
fn single(name: &str) -> Option<KeyShape> {
    macro_rules! integers {
        ($($type:ident),*) => {
            match name {
                $( stringify!($type) => Some(KeyShape::One(Kind::Integer, |bytes| {
                    $type::decode(bytes).map(|number| Value::Integer(number.into()))
                })), )*
                "u128" => Some(KeyShape::One(Kind::Text, |bytes| {
                    u128::decode(bytes).map(|number| Value::Text(number.to_string()))
                })),
                "bool" => Some(KeyShape::One(Kind::Boolean, |bytes| bool::decode(bytes).map(Value::Boolean))),
                "text" => Some(KeyShape::One(Kind::Text, |bytes| String::decode(bytes).map(Value::Text))),
                "bytes" => Some(KeyShape::One(Kind::Bytes, |bytes| Vec::decode(bytes).map(Value::Bytes))),
                _ => None,
            }
        };
    }
    integers!(u8, u16, u32, u64, i8, i16, i32, i64, i128)
}

/// The columns of a key by its id; of an encoding that is not known here, its bytes.
pub(crate) fn columns_of(id: &str) -> Vec<Column> {
    let shape = TypeId::parse(id).and_then(|id| KeyShape::of(&id));
    shape.map_or_else(|| vec![Column::new("", Kind::Bytes)], |shape| shape.columns())
}

/// The columns of several parts, named by their places from 1 on, if there is more than one part.
pub(crate) fn numbered(parts: Vec<Vec<Column>>) -> Vec<Column> {
    let is_one = parts.len() == 1;
    let name = |at: usize| if is_one { String::new() } else { (at + 1).to_string() };
    let parts = parts.into_iter().enumerate();
    parts.flat_map(|(at, columns)| within(&name(at), columns)).collect()
}

/// The columns of a part of that name.
pub(crate) fn within(name: &str, mut columns: Vec<Column>) -> Vec<Column> {
    columns.iter_mut().for_each(|column| column.name = super::names::join(name, &column.name));
    columns
}

/// The same columns, which may have no value.
pub(crate) fn nullable(mut columns: Vec<Column>) -> Vec<Column> {
    columns.iter_mut().for_each(|column| column.nullable = true);
    columns
}
