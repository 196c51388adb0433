//! Reads the values of a key from its encoding, by its id.

use super::key::{KeyShape, Part};
use super::row::{Row, Spare};
use super::{Kind, Value, json_list};
use crate::dynamic::read_values;
use crate::key::{Key, KeyError, decode_bytes};

/// Reads a key into its columns.
pub(super) fn read_key(shape: &KeyShape, bytes: &mut &[u8], out: &mut Row) -> Result<(), KeyError> {
    match shape {
        KeyShape::One(part) => out.values.push(read_part(*part, bytes, &mut out.spare)?),
        KeyShape::Parts(parts) => parts.iter().try_for_each(|part| read_key(part, bytes, out))?,
        KeyShape::List(element) => {
            let elements = read_list(element, bytes)?;
            out.values.push(Value::Text(json_list(&elements)));
        }
        KeyShape::Option(some) => match bool::decode(bytes)? {
            true => read_key(some, bytes, out)?,
            false => out.values.extend(some.columns().iter().map(|_| Value::Null)),
        },
        KeyShape::Dynamic(kinds) => {
            let before = out.values.len();
            read_values(bytes, &mut out.values)?;
            let values = &out.values[before..];
            let fits = |(value, kind): (&Value, &Kind)| value.kind().is_none_or(|k| k == *kind);
            if values.len() != kinds.len() || !values.iter().zip(kinds).all(fits) {
                return Err(KeyError { expected: "dynamic key of these columns" });
            }
        }
    }
    Ok(())
}

/// Reads a list of such keys.
pub(super) fn read_list(element: &KeyShape, bytes: &mut &[u8]) -> Result<Vec<Value>, KeyError> {
    let mut elements = Row::default();
    while bool::decode(bytes)? {
        read_key(element, bytes, &mut elements)?;
    }
    Ok(elements.values)
}

fn read_part(part: Part, bytes: &mut &[u8], spare: &mut Spare) -> Result<Value, KeyError> {
    fn integer<T: Key + Into<i128>>(bytes: &mut &[u8]) -> Result<Value, KeyError> {
        T::decode(bytes).map(|number| Value::Integer(number.into()))
    }
    match part {
        Part::U8 => integer::<u8>(bytes),
        Part::U16 => integer::<u16>(bytes),
        Part::U32 => integer::<u32>(bytes),
        Part::U64 => integer::<u64>(bytes),
        Part::I8 => integer::<i8>(bytes),
        Part::I16 => integer::<i16>(bytes),
        Part::I32 => integer::<i32>(bytes),
        Part::I64 => integer::<i64>(bytes),
        Part::I128 => integer::<i128>(bytes),
        Part::U128 => u128::decode(bytes).map(|number| Value::Text(number.to_string())),
        Part::Boolean => bool::decode(bytes).map(Value::Boolean),
        Part::Text => {
            let text = spare.text(&decode_bytes(bytes)?);
            text.ok_or(KeyError { expected: "string" })
        }
        Part::Bytes => Ok(spare.bytes(&decode_bytes(bytes)?)),
    }
}
