//! How values become bytes on disk: the format of bincode 1.3 with variable-length integers, bounded when reading.

mod read;
mod write;

use bincode::ErrorKind;
use serde::Serialize;
use serde::de::DeserializeOwned;
use write::Writer;

pub(crate) use read::Reader;

/// Appends the encoding of `value` to `out`.
pub(crate) fn encode<T: Serialize>(value: &T, out: &mut Vec<u8>) -> bincode::Result<()> {
    value.serialize(&mut Writer(out))
}

/// Decodes a value that takes up all of `bytes`.
///
/// A length beyond `bytes` is an error, so damaged lengths do not allocate; serde itself caps what it reserves for a
/// sequence.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> bincode::Result<T> {
    let mut reader = Reader(bytes);
    let value = T::deserialize(&mut reader)?;
    match reader.0 {
        [] => Ok(value),
        rest => Err(ErrorKind::Custom(format!("{} bytes follow the value", rest.len())).into()),
    }
}

/// Decodes a value from the front of `bytes` and moves past it, bounded in the same way.
pub(crate) fn take<T: DeserializeOwned>(bytes: &mut &[u8]) -> bincode::Result<T> {
    let mut reader = Reader(bytes);
    let value = T::deserialize(&mut reader)?;
    *bytes = reader.0;
    Ok(value)
}

/// The bytes that were written as bytes, if there is nothing else.
pub(crate) fn bytes_of(encoded: &[u8]) -> Option<&[u8]> {
    let mut reader = Reader(encoded);
    let bytes = reader.bytes().ok()?;
    reader.0.is_empty().then_some(bytes)
}

/// Appends `value` in groups of seven bits, the least first; the top bit says that more follow.
pub(crate) fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Reads what [`put_varint`] wrote from the front of `bytes`, and moves past it.
#[inline]
pub(crate) fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    // Most numbers have one byte.
    if let Some((&byte, rest)) = bytes.split_first()
        && byte < 0x80
    {
        *bytes = rest;
        return Some(byte.into());
    }
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        if shift == 63 && byte > 1 {
            return None;
        }
        value |= u64::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// The first byte of rows of this form.
const ROW_VERSION: u8 = 1;

/// A row of a sealed day as one run of bytes, for a column of its own in an export: its version, the length of the key,
/// and the key and the aggregate as files have them.
pub(crate) fn pack_row(key: &[u8], aggregate: &[u8]) -> Vec<u8> {
    let mut packed = Vec::with_capacity(key.len() + aggregate.len() + 6);
    packed.push(ROW_VERSION);
    put_varint(key.len() as u64, &mut packed);
    packed.extend_from_slice(key);
    packed.extend_from_slice(aggregate);
    packed
}

/// The key and the aggregate that [`pack_row`] has packed; `None` if it has not.
pub(crate) fn unpack_row(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&ROW_VERSION, mut rest) = bytes.split_first()? else { return None };
    let length = usize::try_from(take_varint(&mut rest)?).ok()?;
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bincode::Options;
    use proptest::collection::{btree_map, vec};
    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;

    /// A value of every kind that serde has.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    enum Any {
        Unit,
        Newtype(u8),
        Tuple(u16, i16, i8),
        Unsigned { a: u32, b: u64, c: u128 },
        Signed(i32, i64, i128),
        Float(f32, f64, bool, char),
        Text(String, Nothing),
        Bytes(RawBytes),
        Option(Option<Box<Any>>),
        List(Vec<Any>),
        Map(BTreeMap<i64, String>),
        Array([u32; 3], ()),
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Nothing;

    /// Bytes that are written as bytes, not as a list of numbers.
    #[derive(Clone, Debug, PartialEq)]
    struct RawBytes(Vec<u8>);

    impl Serialize for RawBytes {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_bytes(&self.0)
        }
    }

    impl<'de> Deserialize<'de> for RawBytes {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Bytes;
            impl serde::de::Visitor<'_> for Bytes {
                type Value = RawBytes;
                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("bytes")
                }
                fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<RawBytes, E> {
                    Ok(RawBytes(bytes))
                }
            }
            deserializer.deserialize_byte_buf(Bytes)
        }
    }

    /// A number of any size, with those near the bounds of each width.
    fn number() -> impl Strategy<Value = u128> {
        let near = prop_oneof![
            Just(0u128),
            Just(125),
            Just(250),
            Just(1 << 15),
            Just(1 << 16),
            Just(1 << 31),
            Just(1 << 32),
            Just(1 << 63),
            Just(1 << 64),
            Just(1 << 127),
            Just(u128::MAX)
        ];
        (near, 0u128..4, any::<bool>()).prop_map(|(near, by, up)| match up {
            true => near.wrapping_add(by),
            false => near.wrapping_sub(by),
        })
    }

    fn any_value() -> impl Strategy<Value = Any> {
        let leaf = prop_oneof![
            Just(Any::Unit),
            number().prop_map(|n| Any::Newtype(n as u8)),
            (number(), number(), number())
                .prop_map(|(a, b, c)| Any::Tuple(a as u16, b as i16, c as i8)),
            (number(), number(), number()).prop_map(|(a, b, c)| Any::Unsigned {
                a: a as u32,
                b: b as u64,
                c
            }),
            (number(), number(), number())
                .prop_map(|(a, b, c)| Any::Signed(a as i32, b as i64, c as i128)),
            (-1e9f32..1e9, -1e99..1e99, any::<bool>(), any::<char>())
                .prop_map(|(a, b, c, d)| Any::Float(a, b, c, d)),
            any::<String>().prop_map(|text| Any::Text(text, Nothing)),
            vec(any::<u8>(), 0..300).prop_map(|bytes| Any::Bytes(RawBytes(bytes))),
            btree_map(any::<i64>(), any::<String>(), 0..4).prop_map(Any::Map),
            [number(), number(), number()].prop_map(|n| Any::Array(n.map(|n| n as u32), ())),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                proptest::option::of(inner.clone())
                    .prop_map(|some| Any::Option(some.map(Box::new))),
                vec(inner, 0..4).prop_map(Any::List),
            ]
        })
    }

    proptest! {
        #[test]
        fn differential_bytes_are_those_of_bincode(value in any_value(), rest in vec(any::<u8>(), 0..3)) {
            let expect = bincode::DefaultOptions::new().serialize(&value).unwrap();
            let mut bytes = Vec::new();
            encode(&value, &mut bytes).unwrap();
            prop_assert_eq!(&bytes, &expect);
            prop_assert_eq!(&decode::<Any>(&bytes).unwrap(), &value);
            bytes.extend(&rest);
            let mut left = &bytes[..];
            prop_assert_eq!(take::<Any>(&mut left).unwrap(), value);
            prop_assert_eq!(left, &rest[..]);
            prop_assert_eq!(decode::<Any>(&bytes).is_ok(), rest.is_empty());
        }

        /// Damaged bytes are the same values as for bincode, or errors for both.
        #[test]
        fn differential_damage_is_noticed(
            value in any_value(), at in any::<prop::sample::Index>(), byte: u8,
            cut in any::<Option<prop::sample::Index>>(),
        ) {
            let mut bytes = Vec::new();
            encode(&value, &mut bytes).unwrap();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if let Some(cut) = cut {
                bytes.truncate(cut.index(bytes.len() + 1));
            }
            let options = bincode::DefaultOptions::new().with_limit(bytes.len() as u64);
            let expect = options.deserialize::<Any>(&bytes).map(|value| format!("{value:?}"));
            let found = decode::<Any>(&bytes).map(|value| format!("{value:?}"));
            prop_assert_eq!(found.ok(), expect.ok());
        }
    }

    #[test]
    fn packed_rows_come_back_and_others_are_none() {
        let packed = pack_row(b"key", b"state");
        assert_eq!(unpack_row(&packed), Some((&b"key"[..], &b"state"[..])));
        assert_eq!(unpack_row(&pack_row(b"", b"")), Some((&b""[..], &b""[..])));
        for wrong in [&b""[..], &[1], &[2, 0], &packed[..4]] {
            assert_eq!(unpack_row(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn varints_come_back_and_damage_is_noticed() {
        for value in [0, 1, 127, 128, 16_383, 16_384, u64::from(u32::MAX), u64::MAX] {
            let mut bytes = Vec::new();
            put_varint(value, &mut bytes);
            let mut rest = bytes.as_slice();
            assert_eq!(take_varint(&mut rest), Some(value));
            assert!(rest.is_empty());
            assert_eq!(take_varint(&mut &bytes[..bytes.len() - 1]), None, "{value} cut short");
        }
        assert_eq!(take_varint(&mut &[0xFF; 10][..]), None, "more than 64 bits");
    }
}
