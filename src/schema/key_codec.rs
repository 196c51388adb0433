//! Converts keys to the values of their columns and back.

use super::key::{KeyShape, Part, key_shape};
use super::read_key::{read_key, read_list};
use super::row::Row;
use super::{Column, Kind, Value};
use crate::dynamic::{put_end, put_value};
use crate::key::{Key, encode_unterminated};

/// Reads keys into the values of their columns, and writes such values as keys.
#[derive(Clone, Debug)]
pub(crate) struct KeyCodec {
    /// `None` if the encoding is not known; then a key is shown as its bytes.
    shape: Option<KeyShape>,
    columns: usize,
    /// The elements of a list have columns of their own.
    is_spread: bool,
}

/// Why values are not a key, or not the beginning of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotAKey {
    /// The value does not fit its column.
    Value(usize),
    /// The encoding is not known here, or not column by column.
    Unknown,
}

/// Values that are being written into a key.
struct Values<'a> {
    all: &'a [Value],
    at: usize,
    /// The values are only the beginning of keys, not a whole key.
    is_prefix: bool,
    /// Only the beginning of the last value is given.
    is_open: bool,
}

/// Why writing stopped.
enum Stop {
    /// All values are written.
    End,
    Fault(NotAKey),
}

impl Values<'_> {
    fn rest(&self) -> &[Value] {
        &self.all[self.at..]
    }

    fn wrong(&self) -> Stop {
        Stop::Fault(NotAKey::Value(self.at.min(self.all.len().saturating_sub(1))))
    }
}

impl KeyCodec {
    /// A codec for keys with this id and the columns of a schema.
    pub(crate) fn new(id: &str, columns: &[Column]) -> KeyCodec {
        let shape = key_shape(id);
        // A list as one text is never null.
        let is_spread = matches!(shape, Some(KeyShape::List(_)))
            && columns.iter().all(|column| column.nullable);
        KeyCodec { shape, columns: columns.len(), is_spread }
    }

    /// How many columns, from the first one on, sort as their values do: keys between two values of such a column are a
    /// range of encodings.
    pub(crate) fn ordered_columns(&self) -> usize {
        match &self.shape {
            Some(shape) => ordered(shape).0,
            None => 0,
        }
    }

    /// The values of an encoded key; `None` if it is not valid.
    pub(crate) fn values(&self, key: &[u8]) -> Option<Vec<Value>> {
        let mut row = Row::default();
        self.read(key, &mut row)?;
        Some(row.values)
    }

    /// Appends the values of an encoded key; `None` if it is not valid.
    pub(super) fn read(&self, key: &[u8], out: &mut Row) -> Option<()> {
        let (mut rest, before) = (key, out.values.len());
        match &self.shape {
            None => {
                out.values.push(Value::Bytes(key.to_vec()));
                rest = &[];
            }
            Some(KeyShape::List(element)) if self.is_spread => {
                let mut elements = read_list(element, &mut rest).ok()?;
                if elements.len() < self.columns {
                    elements.resize(self.columns, Value::Null);
                }
                out.values.append(&mut elements);
            }
            Some(shape) => read_key(shape, &mut rest, out).ok()?,
        }
        (rest.is_empty() && out.values.len() - before == self.columns).then_some(())
    }

    /// The encoding of a key with a value for each column.
    pub(crate) fn key(&self, values: &[Value]) -> Result<Vec<u8>, NotAKey> {
        debug_assert_eq!(values.len(), self.columns, "a value for each column");
        self.write(Values { all: values, at: 0, is_prefix: false, is_open: false })
    }

    /// The common prefix of the encodings of all keys whose first columns have these values. If it is open, the last
    /// value is only the beginning of a text, or of bytes.
    pub(crate) fn prefix(&self, values: &[Value], is_open: bool) -> Result<Vec<u8>, NotAKey> {
        self.write(Values { all: values, at: 0, is_prefix: true, is_open })
    }

    fn write(&self, mut values: Values<'_>) -> Result<Vec<u8>, NotAKey> {
        let mut out = Vec::new();
        let shape = match &self.shape {
            Some(KeyShape::List(element)) if self.is_spread => {
                write_list(element, &mut values, &mut out)
            }
            Some(KeyShape::List(_)) if values.all.is_empty() => Err(Stop::End),
            Some(shape) => write(shape, &mut values, &mut out),
            None if values.all.is_empty() => Err(Stop::End),
            None => Err(Stop::Fault(NotAKey::Unknown)),
        };
        match shape {
            Ok(()) if values.rest().is_empty() => Ok(out),
            Ok(()) => Err(NotAKey::Value(values.at)),
            Err(Stop::End) if values.is_prefix => Ok(out),
            Err(Stop::End) => Err(NotAKey::Value(self.columns.saturating_sub(1))),
            Err(Stop::Fault(fault)) => Err(fault),
        }
    }
}

/// How many columns of a shape sort as their values do, and whether these are all of its columns.
fn ordered(shape: &KeyShape) -> (usize, bool) {
    match shape {
        // One is shown as text but sorts as a number; the other has no values after its end.
        KeyShape::One(Part::U128) | KeyShape::List(_) => (0, false),
        KeyShape::One(_) => (1, true),
        KeyShape::Dynamic(kinds) => (kinds.len(), true),
        // `None` and a tuple of nulls would look the same.
        KeyShape::Option(some) if !matches!(**some, KeyShape::One(_)) => (0, false),
        KeyShape::Option(some) => ordered(some),
        KeyShape::Parts(parts) => {
            let mut columns = 0;
            for part in parts {
                let (more, is_all) = ordered(part);
                columns += more;
                if !is_all {
                    return (columns, false);
                }
            }
            (columns, true)
        }
    }
}

fn write(shape: &KeyShape, values: &mut Values<'_>, out: &mut Vec<u8>) -> Result<(), Stop> {
    match shape {
        KeyShape::One(part) => {
            let value = values.rest().first().ok_or(Stop::End)?;
            let is_open = values.is_open && values.rest().len() == 1;
            if !write_part(*part, value, is_open, out) {
                return Err(values.wrong());
            }
            values.at += 1;
            Ok(())
        }
        KeyShape::Parts(parts) => parts.iter().try_for_each(|part| write(part, values, out)),
        KeyShape::Option(some) => {
            let mine = some.columns().len().min(values.rest().len());
            if mine == 0 {
                return Err(Stop::End);
            }
            let is_none = values.rest()[..mine].iter().all(|value| *value == Value::Null);
            out.push(u8::from(!is_none));
            if is_none {
                values.at += mine;
                return Ok(());
            }
            write(some, values, out)
        }
        KeyShape::List(_) => Err(Stop::Fault(NotAKey::Unknown)),
        KeyShape::Dynamic(kinds) => write_dynamic(kinds, values, out),
    }
}

/// The columns of a dynamic view.
fn write_dynamic(kinds: &[Kind], values: &mut Values<'_>, out: &mut Vec<u8>) -> Result<(), Stop> {
    for kind in kinds {
        let value = values.rest().first().ok_or(Stop::End)?;
        let is_open = values.is_open && values.rest().len() == 1;
        let fits = match value.kind() {
            None => !is_open,
            Some(found) => {
                found == *kind && (!is_open || matches!(found, Kind::Text | Kind::Bytes))
            }
        };
        if !fits {
            return Err(values.wrong());
        }
        put_value(value, is_open, out);
        values.at += 1;
    }
    if !values.is_open {
        put_end(out);
    }
    Ok(())
}

/// Appends the encoding of a value, or returns an error if the part cannot have it. If it is open, appends the common
/// prefix of the encodings of all values that begin with this one.
fn write_part(part: Part, value: &Value, is_open: bool, out: &mut Vec<u8>) -> bool {
    match (part, value) {
        (Part::Text, Value::Text(text)) => return write_bytes(text.as_bytes(), is_open, out),
        (Part::Bytes, Value::Bytes(bytes)) => return write_bytes(bytes, is_open, out),
        _ if is_open => return false,
        _ => {}
    }
    fn integer<T: Key + TryFrom<i128>>(number: i128, out: &mut Vec<u8>) -> bool {
        encode(T::try_from(number).ok(), out)
    }
    match (part, value) {
        (Part::U8, Value::Integer(number)) => integer::<u8>(*number, out),
        (Part::U16, Value::Integer(number)) => integer::<u16>(*number, out),
        (Part::U32, Value::Integer(number)) => integer::<u32>(*number, out),
        (Part::U64, Value::Integer(number)) => integer::<u64>(*number, out),
        (Part::U128, Value::Integer(number)) => integer::<u128>(*number, out),
        (Part::I8, Value::Integer(number)) => integer::<i8>(*number, out),
        (Part::I16, Value::Integer(number)) => integer::<i16>(*number, out),
        (Part::I32, Value::Integer(number)) => integer::<i32>(*number, out),
        (Part::I64, Value::Integer(number)) => integer::<i64>(*number, out),
        (Part::I128, Value::Integer(number)) => integer::<i128>(*number, out),
        (Part::U128, Value::Text(digits)) => encode(digits.parse::<u128>().ok(), out),
        (Part::Boolean, Value::Boolean(is_so)) => encode(Some(*is_so), out),
        _ => false,
    }
}

fn encode<K: Key>(key: Option<K>, out: &mut Vec<u8>) -> bool {
    key.is_some_and(|key| {
        key.encode(out);
        true
    })
}

fn write_bytes(bytes: &[u8], is_open: bool, out: &mut Vec<u8>) -> bool {
    encode_unterminated(bytes, out);
    if !is_open {
        out.extend_from_slice(&[0, 0]);
    }
    true
}

/// A list whose elements have separate columns; a shorter list has no values after its end.
fn write_list(element: &KeyShape, values: &mut Values<'_>, out: &mut Vec<u8>) -> Result<(), Stop> {
    while let Some(value) = values.rest().first() {
        if *value == Value::Null {
            if values.rest().iter().any(|value| *value != Value::Null) {
                return Err(values.wrong());
            }
            values.at = values.all.len();
            out.push(0);
            return Ok(());
        }
        out.push(1);
        write(element, values, out)?;
    }
    if values.is_prefix {
        return Err(Stop::End);
    }
    out.push(0);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dynamic;
    use crate::key::{Key, KeyRange, encoded};

    fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    fn codec<K: Key>() -> KeyCodec {
        KeyCodec::new(&K::id(), &K::columns())
    }

    fn check<K: Key>(key: K, values: &[Value]) {
        let codec = codec::<K>();
        assert_eq!(codec.key(values).unwrap(), encoded(&key), "{values:?}");
        assert_eq!(codec.values(&encoded(&key)).unwrap(), values);
        for columns in 0..=values.len() {
            let prefix = codec.prefix(&values[..columns], false).unwrap();
            assert!(encoded(&key).starts_with(&prefix), "{values:?} {columns}");
        }
    }

    #[test]
    fn keys_are_their_values_both_ways() {
        check(7u8, &[Value::Integer(7)]);
        check(-7i64, &[Value::Integer(-7)]);
        check(u128::MAX, &[text(&u128::MAX.to_string())]);
        check(("a\0b".to_owned(), true), &[text("a\0b"), Value::Boolean(true)]);
        check(vec![0u8, 255], &[Value::Bytes(vec![0, 255])]);
        check((Some("x".to_owned()), 1u32), &[text("x"), Value::Integer(1)]);
        check((None::<String>, 1u32), &[Value::Null, Value::Integer(1)]);
        check((None::<(u8, u8)>, 2u8), &[Value::Null, Value::Null, Value::Integer(2)]);
    }

    #[test]
    fn lists_have_as_many_columns_as_the_view_has_names() {
        let column = |name| Column { nullable: true, ..Column::new(name, Kind::Text) };
        let list = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let codec = KeyCodec::new(&Vec::<String>::id(), &[column("a"), column("b")]);
        assert_eq!(codec.key(&[text("x"), text("y")]).unwrap(), encoded(&list(&["x", "y"])));
        assert_eq!(codec.key(&[text("x"), Value::Null]).unwrap(), encoded(&list(&["x"])));
        assert_eq!(codec.key(&[Value::Null, text("x")]), Err(NotAKey::Value(0)));
        let range = KeyRange::starting_with(codec.prefix(&[text("x")], false).unwrap());
        assert!(range.contains(&encoded(&list(&["x", "y"]))));
        assert!(!range.contains(&encoded(&list(&["xy", "y"]))));
    }

    #[test]
    fn the_last_text_of_a_prefix_may_be_open() {
        let codec = codec::<(String, String)>();
        let range = |values: &[Value], is_open| {
            KeyRange::starting_with(codec.prefix(values, is_open).unwrap())
        };
        let key = encoded(&("EWR".to_owned(), "SFO".to_owned()));
        assert!(range(&[text("EW")], true).contains(&key));
        assert!(!range(&[text("EW")], false).contains(&key));
        assert!(range(&[text("EWR"), text("S")], true).contains(&key));
        assert!(!range(&[text("EW"), text("")], true).contains(&key));
    }

    #[test]
    fn keys_of_dynamic_views_are_written_column_by_column() {
        let (columns, number) =
            ([Column::new("a", Kind::Text), Column::new("b", Kind::Decimal)], "1.5");
        let codec = KeyCodec::new("dynamic(text,decimal)", &columns);
        let values = [text("x\0"), Value::Decimal(number.parse().unwrap())];
        let key = dynamic::Key::new(values.iter().map(Into::into));
        assert_eq!(codec.key(&values).unwrap(), key.as_bytes());
        let nulls = [Value::Null, Value::Null];
        let null = dynamic::Key::new(nulls.iter().map(Into::into));
        assert_eq!(codec.key(&nulls).unwrap(), null.as_bytes());
        assert_eq!(codec.values(key.as_bytes()).unwrap(), values);
        let within = KeyRange::starting_with(codec.prefix(&values[..1], false).unwrap());
        assert!(within.contains(key.as_bytes()) && !within.contains(null.as_bytes()));
        let open = KeyRange::starting_with(codec.prefix(&[text("x")], true).unwrap());
        assert!(open.contains(key.as_bytes()));
        assert_eq!(codec.prefix(&values, false).unwrap(), key.as_bytes());
        assert_eq!(codec.key(&[text("x"), text("1.5")]), Err(NotAKey::Value(1)));
        assert_eq!(codec.prefix(&values, true), Err(NotAKey::Value(1)));
    }

    #[test]
    fn some_columns_are_ordered_as_their_values() {
        assert_eq!(codec::<(String, Option<i64>, u128, bool)>().ordered_columns(), 2);
        assert_eq!(codec::<(Option<(u8, u8)>, u8)>().ordered_columns(), 0);
        assert_eq!(codec::<(u8, Vec<String>)>().ordered_columns(), 1);
        assert_eq!(codec::<Vec<String>>().ordered_columns(), 0);
        let columns = [Column::new("a", Kind::Text), Column::new("b", Kind::Decimal)];
        assert_eq!(KeyCodec::new("dynamic(text,decimal)", &columns).ordered_columns(), 2);
        assert_eq!(KeyCodec::new("mine", &columns[..1]).ordered_columns(), 0);
    }

    #[test]
    fn what_is_no_key_is_named() {
        assert_eq!(codec::<u8>().key(&[Value::Integer(256)]), Err(NotAKey::Value(0)));
        let codec = codec::<(String, u8)>();
        assert_eq!(codec.key(&[text("a"), text("b")]), Err(NotAKey::Value(1)));
        assert_eq!(codec.key(&[Value::Null, Value::Integer(1)]), Err(NotAKey::Value(0)));
        assert_eq!(codec.prefix(&[text("a"), Value::Integer(1)], true), Err(NotAKey::Value(1)));
        let unknown = KeyCodec::new("mine", &[Column::new("", Kind::Bytes)]);
        assert_eq!(unknown.key(&[Value::Bytes(vec![1])]), Err(NotAKey::Unknown));
        assert_eq!(unknown.prefix(&[], false), Ok(vec![]));
    }
}
