//! Keys whose columns are known only at run time.

use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use xxhash_rust::xxh3::xxh3_64;

use super::{RowValue, encoding};
use crate::key::{Key as _, KeyError, KeyRange};
use crate::schema::Value;
use crate::schema::id::{DYNAMIC, compose};

/// A list of values, one for each column of a dynamic view's key.
///
/// It is stored encoded, in bytes that sort as the values do, column by column. Null is less than everything, and
/// differs from an empty text; numbers sort as numbers, texts by their bytes. Decimals that are equal as numbers are
/// one key: `1.5` and `1.50` are one key, shown as `1.5`.
///
/// ```
/// use dayfold::dynamic::{Key, RowValue};
/// use dayfold::schema::Value;
///
/// let key = Key::new(["UA".into(), RowValue::Integer(-7)]);
/// assert_eq!(key.values(), [Value::Text("UA".to_owned()), Value::Integer(-7)]);
/// assert!(key < Key::new(["UA".into(), RowValue::Integer(30)]));
/// assert!(Key::new([RowValue::Null]) < Key::new(["".into()]));
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Box<[u8]>);

impl Key {
    /// The key with these values.
    pub fn new<'a>(values: impl IntoIterator<Item = RowValue<'a>>) -> Key {
        let mut bytes = Vec::new();
        values.into_iter().for_each(|value| encoding::put(&value, &mut bytes));
        put_end(&mut bytes);
        Key(bytes.into())
    }

    /// A key that has been encoded.
    pub(super) fn of_encoded(bytes: &[u8]) -> Key {
        Key(bytes.into())
    }

    /// The values.
    pub fn values(&self) -> Vec<Value> {
        let mut values = Vec::new();
        read_values(&mut &*self.0, &mut values).expect("a key is what it was made of");
        values
    }

    /// As it is encoded.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Keys whose first columns have these values.
    pub fn range_within<'a>(leading: impl IntoIterator<Item = RowValue<'a>>) -> KeyRange {
        let mut bytes = Vec::new();
        leading.into_iter().for_each(|value| encoding::put(&value, &mut bytes));
        KeyRange::starting_with(bytes)
    }

    /// Keys whose first columns have these values, and whose next column, a text or bytes, begins with `prefix`.
    pub fn range_with_prefix<'a>(
        leading: impl IntoIterator<Item = RowValue<'a>>,
        prefix: RowValue<'a>,
    ) -> KeyRange {
        let mut bytes = Vec::new();
        leading.into_iter().for_each(|value| encoding::put(&value, &mut bytes));
        encoding::put_prefix(&prefix, &mut bytes);
        KeyRange::starting_with(bytes)
    }
}

/// Appends a value of a key; if it is open, the common prefix of all keys whose text, or bytes, begin with it.
pub(crate) fn put_value(value: &Value, is_open: bool, out: &mut Vec<u8>) {
    match is_open {
        true => encoding::put_prefix(&value.into(), out),
        false => encoding::put(&value.into(), out),
    }
}

/// Appends the end of a key.
pub(crate) fn put_end(out: &mut Vec<u8>) {
    out.push(encoding::END);
}

/// Reads the values of a key from the front of `bytes`.
pub(crate) fn read_values(bytes: &mut &[u8], out: &mut Vec<Value>) -> Result<(), KeyError> {
    while let Some(value) = encoding::take(bytes)? {
        out.push(value.to_value());
    }
    Ok(())
}

/// The id of keys with columns of these kinds.
pub(super) fn id_of(kinds: impl Iterator<Item = crate::schema::Kind>) -> String {
    let kinds: Vec<String> = kinds.map(|kind| kind.to_string()).collect();
    compose(DYNAMIC, &kinds)
}

impl crate::Key for Key {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }

    fn decode(bytes: &mut &[u8]) -> Result<Key, KeyError> {
        let whole = *bytes;
        while encoding::take(bytes)?.is_some() {}
        Ok(Key(whole[..whole.len() - bytes.len()].into()))
    }

    /// The id for keys with any columns. A dynamic view has an id with its columns: `dynamic(text,integer)`.
    fn id() -> String {
        DYNAMIC.to_owned()
    }

    #[inline]
    fn hash64(&self) -> u64 {
        xxh3_64(&self.0)
    }

    #[inline]
    fn heap_bytes(&self) -> usize {
        self.0.len()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.values()).finish()
    }
}

impl Serialize for Key {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Key, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Key;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an encoded key")
            }
            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Key, E> {
                let mut rest = bytes;
                match Key::decode(&mut rest) {
                    Ok(key) if rest.is_empty() => Ok(key),
                    _ => Err(E::custom("these bytes are no encoded key")),
                }
            }
        }
        deserializer.deserialize_bytes(Bytes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::dynamic::tests::values;
    use crate::key::check_key_laws;
    use crate::time::Day;

    #[test]
    fn laws_of_dynamic_keys() {
        let of = |value: RowValue<'static>| Key::new([value, RowValue::Integer(1)]);
        check_key_laws(
            &[RowValue::Null, "".into(), "\0".into(), "a".into(), "a\0b".into()].map(of),
        );
        let bounds = [i128::MIN, -256, -255, -1, 0, 1, 255, 256, i128::MAX];
        check_key_laws(&bounds.map(RowValue::Integer).map(of));
        check_key_laws(&[RowValue::Null, false.into(), true.into()].map(of));
        check_key_laws(&[i32::MIN, -1, 0, 400].map(|day| of(Day(day).into())));
        let numbers = ["-10", "-2.5", "0", "0.000000001", "9", "10"];
        check_key_laws(&numbers.map(|text| of(RowValue::Decimal(text.parse().unwrap()))));
        let times = [i64::MIN, -1, 0, i64::MAX].map(RowValue::Timestamp);
        check_key_laws(&times.map(|time| Key::new(["x".into(), time])));
    }

    #[test]
    fn numbers_are_in_their_order_and_decimals_are_their_values() {
        let number = |text: &str| Key::new([RowValue::Decimal(text.parse().unwrap())]);
        assert_eq!(number("1.5"), number("1.50"));
        assert_eq!(number("1.50").values(), [Value::Decimal("1.5".parse().unwrap())]);
        assert!(number("9.9") < number("10") && number("-10") < number("-9.9"));
        let sorted: Vec<Key> = (-70_000..70_000i64).map(|n| Key::new([n.into()])).collect();
        assert!(sorted.is_sorted());
    }

    #[test]
    fn ranges_find_leading_columns_and_prefixes() {
        let key = |site: &'static str, name: &'static str| Key::new([site.into(), name.into()]);
        let within = Key::range_within(["a".into()]);
        assert!(within.contains(key("a", "x").as_bytes()));
        assert!(!within.contains(key("aa", "x").as_bytes()));
        let prefix = Key::range_with_prefix(["a".into()], "x".into());
        assert!(prefix.contains(key("a", "xyz").as_bytes()));
        assert!(!prefix.contains(key("a", "y").as_bytes()));
    }

    proptest! {
        #[test]
        fn a_key_comes_back_from_its_bytes(values in prop::collection::vec(values(), 0..4)) {
            let key = Key::new(values.iter().cloned());
            let mut rest = key.as_bytes();
            prop_assert_eq!(&Key::decode(&mut rest).unwrap(), &key);
            prop_assert!(rest.is_empty());
            prop_assert_eq!(Key::new(key.values().iter().map(RowValue::from)), key.clone());
            let bytes = bincode::serialize(&key).unwrap();
            prop_assert_eq!(bincode::deserialize::<Key>(&bytes).unwrap(), key);
        }

        #[test]
        fn any_bytes_are_a_key_or_an_error(
            bytes in prop::collection::vec(prop_oneof![0u8..9, 0x7Cu8..0x84, any::<u8>()], 0..24),
        ) {
            let mut rest = bytes.as_slice();
            if let Ok(key) = Key::decode(&mut rest) {
                // There is one encoding of a key.
                prop_assert_eq!(Key::new(key.values().iter().map(RowValue::from)), key);
            }
        }
    }
}
