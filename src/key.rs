//! Keys: what a view groups by, and their encoding.
//!
//! A key has one encoding, used on disk, for ranges and prefixes, and to decide which worker owns it. It keeps the
//! order of keys (`a < b` exactly if `encode(a) < encode(b)`, bytewise) and is self-delimiting, so the encoding of a
//! tuple is the encodings of its parts, one after the other. The hash of a key is XXH3-64 (seed 0) of its encoding: a
//! published, stable function, because the sections of sealed files are ordered by it.

mod borrowed;
mod range;

use std::borrow::Cow;
use std::fmt::Debug;
use std::hash::Hash;

use serde::Serialize;
use serde::de::DeserializeOwned;
use xxhash_rust::xxh3::xxh3_64;

use crate::schema::id::{TypeId, compose};
use crate::schema::{Column, columns_of, nullable, numbered, within};

pub use borrowed::{KeyRef, Made, check_key_ref};
pub use dayfold_derive::Key;
pub use range::KeyRange;

/// The number of partitions of every view's keys; the unit of exchange, of tables and of files.
pub(crate) const PARTITIONS: usize = 256;

/// A key of a view: integers, `bool`, `String`, bytes, options and tuples of these; a struct of keys, by
/// derive; or the embedder's own type.
///
/// ```
/// use dayfold::key::check_key_laws;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(
///     Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, dayfold::Key,
/// )]
/// struct Sensor {
///     site: String,
///     number: u32,
/// }
///
/// let sensor = |site: &str, number| Sensor { site: site.to_owned(), number };
/// check_key_laws(&[sensor("cellar", 2), sensor("cellar", 10), sensor("roof", 1)]);
/// ```
///
/// A derived key is encoded as the tuple of its fields, so that [`KeyRange::within`] finds those of one `site`. Without
/// derive, a type may use the encoding of another key whose values sort the same way:
///
/// ```
/// use dayfold::key::{Key, KeyError, check_key_laws};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
/// enum Severity {
///     Low = 1,
///     High = 2,
/// }
///
/// impl Key for Severity {
///     fn encode(&self, out: &mut Vec<u8>) {
///         (*self as u8).encode(out);
///     }
///     fn decode(bytes: &mut &[u8]) -> Result<Self, KeyError> {
///         match u8::decode(bytes)? {
///             1 => Ok(Severity::Low),
///             2 => Ok(Severity::High),
///             _ => Err(KeyError::new("severity")),
///         }
///     }
///     fn id() -> String {
///         "severity(u8)".to_owned()
///     }
/// }
///
/// check_key_laws(&[Severity::Low, Severity::High]);
/// ```
///
/// # Laws
/// `decode(encode(k)) == k`; `a.cmp(b)` equals the bytewise order of the encodings; no encoding is a
/// proper prefix of another one. [`check_key_laws`] tests them. An override of [`Key::hash64`] must
/// return the same value.
pub trait Key:
    Clone + Ord + Hash + Debug + Send + Sync + Serialize + DeserializeOwned + 'static
{
    /// Appends the encoding of the key to `out`.
    fn encode(&self, out: &mut Vec<u8>);

    /// Reads one key from the front of `bytes` and moves past it.
    ///
    /// # Errors
    /// [`KeyError`] if the bytes are not the encoding of a key.
    fn decode(bytes: &mut &[u8]) -> Result<Self, KeyError>;

    /// The id of the encoding. A data folder uses it to recognize the keys of a view. Choose it once and keep it, even
    /// if the type is renamed or moved; another encoding needs another id.
    ///
    /// The ids of this crate's keys are `bool`, `u8` to `u128`, `i8` to `i128`, `text`, `bytes`, and, composed of
    /// others, `tuple(text,u32)`, `list(text)` and `option(text)`. An id of your own is a name of letters, digits, `_`,
    /// `-` and `.`, followed in parentheses by the ids of the parts of the encoding, in order: `severity(u8)`. So a
    /// program that does not know the type can still show the keys. Without parentheses, only your program can decode
    /// them.
    fn id() -> String;

    /// The columns that show a key, and their names within the key: a derived key uses the names of its fields, a tuple
    /// numbers its parts, and a single value has no name. To use other names, see
    /// [`View::key_columns`](crate::view::View::key_columns).
    ///
    /// By default they follow from [`Key::id`]. Your own must have the same number and kinds.
    fn columns() -> Vec<Column> {
        columns_of(&Self::id())
    }

    /// XXH3-64 of the encoding.
    fn hash64(&self) -> u64 {
        hash_encoded(|out| self.encode(out))
    }

    /// Bytes of heap that the key holds, for bounds on memory.
    fn heap_bytes(&self) -> usize {
        0
    }
}

/// Bytes that are not the encoding of a key of the expected type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an encoded {expected}")]
#[non_exhaustive]
pub struct KeyError {
    /// The type that was expected.
    pub expected: &'static str,
}

impl KeyError {
    /// The encoding of this type was expected.
    pub const fn new(expected: &'static str) -> KeyError {
        KeyError { expected }
    }
}

/// The id of a key whose encoding is the encodings of other keys, one after the other; for `#[derive(Key)]`.
#[doc(hidden)]
pub fn composed_id(name: &str, parts: &[String]) -> String {
    compose(name, parts)
}

/// The columns of a field of that name; for `#[derive(Key)]`.
#[doc(hidden)]
pub fn field_columns<K: Key>(name: &str) -> Vec<Column> {
    within(name, K::columns())
}

/// The columns of fields without names; for `#[derive(Key)]`.
#[doc(hidden)]
pub fn numbered_columns(fields: Vec<Vec<Column>>) -> Vec<Column> {
    numbered(fields)
}

/// XXH3-64 of the encoded bytes.
fn hash_encoded(encode: impl FnOnce(&mut Vec<u8>)) -> u64 {
    thread_local! {
        static SCRATCH: std::cell::RefCell<Vec<u8>> = const { std::cell::RefCell::new(Vec::new()) };
    }
    SCRATCH.with_borrow_mut(|scratch| {
        scratch.clear();
        encode(scratch);
        xxh3_64(scratch)
    })
}

/// The encoding of a whole key.
pub fn encoded<K: Key>(key: &K) -> Vec<u8> {
    let mut bytes = Vec::new();
    key.encode(&mut bytes);
    bytes
}

/// The partition of a key with this hash.
///
/// Bits 49 to 56. They are below the seven top bits, which a hash table compares, and above the low bits, which choose
/// a slot, so the tables of one partition still spread well.
#[doc(hidden)]
#[inline]
pub fn partition(hash: u64) -> usize {
    (hash >> 49) as usize & (PARTITIONS - 1)
}

/// The position of a key with this hash in sealed files, which are sorted by position: the partition comes first.
#[doc(hidden)]
#[inline]
pub fn sort_position(hash: u64) -> u64 {
    hash.rotate_left(7)
}

/// The hash that has this position in sealed files.
#[inline]
pub(crate) fn hash_at(position: u64) -> u64 {
    position.rotate_right(7)
}

/// The worker that owns a partition.
#[doc(hidden)]
#[inline]
pub fn owner(partition: usize, peers: usize) -> usize {
    partition % peers
}

macro_rules! unsigned_key {
    ($($type:ty),*) => { $(
        impl Key for $type {
            #[inline]
            fn encode(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_be_bytes());
            }
            #[inline]
            fn decode(bytes: &mut &[u8]) -> Result<Self, KeyError> {
                take(bytes, stringify!($type)).map(<$type>::from_be_bytes)
            }
            fn id() -> String {
                stringify!($type).to_owned()
            }
            #[inline]
            fn hash64(&self) -> u64 {
                xxh3_64(&self.to_be_bytes())
            }
        }
    )* };
}

macro_rules! signed_key {
    ($($type:ty as $unsigned:ty),*) => { $(
        impl Key for $type {
            #[inline]
            fn encode(&self, out: &mut Vec<u8>) {
                // With the sign bit flipped, negative numbers sort before positive ones.
                out.extend_from_slice(&(*self as $unsigned ^ (1 << (<$unsigned>::BITS - 1))).to_be_bytes());
            }
            #[inline]
            fn decode(bytes: &mut &[u8]) -> Result<Self, KeyError> {
                let turned = take(bytes, stringify!($type)).map(<$unsigned>::from_be_bytes)?;
                Ok((turned ^ (1 << (<$unsigned>::BITS - 1))) as $type)
            }
            fn id() -> String {
                stringify!($type).to_owned()
            }
            #[inline]
            fn hash64(&self) -> u64 {
                xxh3_64(&(*self as $unsigned ^ (1 << (<$unsigned>::BITS - 1))).to_be_bytes())
            }
        }
    )* };
}

unsigned_key!(u8, u16, u32, u64, u128);
signed_key!(i8 as u8, i16 as u16, i32 as u32, i64 as u64, i128 as u128);

impl Key for bool {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }
    fn decode(bytes: &mut &[u8]) -> Result<Self, KeyError> {
        match take(bytes, "bool")? {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(KeyError { expected: "bool" }),
        }
    }
    fn id() -> String {
        "bool".to_owned()
    }
}

impl Key for Vec<u8> {
    fn encode(&self, out: &mut Vec<u8>) {
        encode_bytes(self, out);
    }
    fn decode(bytes: &mut &[u8]) -> Result<Self, KeyError> {
        decode_bytes(bytes).map(Cow::into_owned)
    }
    fn id() -> String {
        "bytes".to_owned()
    }
    #[inline]
    fn hash64(&self) -> u64 {
        hash_bytes(self)
    }
    fn heap_bytes(&self) -> usize {
        self.capacity()
    }
}

impl Key for String {
    fn encode(&self, out: &mut Vec<u8>) {
        encode_bytes(self.as_bytes(), out);
    }
    fn decode(bytes: &mut &[u8]) -> Result<Self, KeyError> {
        String::from_utf8(decode_bytes(bytes)?.into_owned())
            .map_err(|_| KeyError { expected: "string" })
    }
    fn id() -> String {
        "text".to_owned()
    }
    #[inline]
    fn hash64(&self) -> u64 {
        hash_bytes(self.as_bytes())
    }
    fn heap_bytes(&self) -> usize {
        self.capacity()
    }
}

/// Bytes end with `00 00`; a zero byte inside becomes `00 FF`. Both keep the order.
pub(crate) fn encode_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    encode_unterminated(bytes, out);
    out.extend_from_slice(&[0, 0]);
}

/// Appends the common start of the encodings of all texts that begin with these bytes.
pub(crate) fn encode_unterminated(bytes: &[u8], out: &mut Vec<u8>) {
    // Few texts have a zero byte, and looking for one is faster than copying byte by byte.
    if !bytes.contains(&0) {
        out.extend_from_slice(bytes);
        return;
    }
    for &byte in bytes {
        out.push(byte);
        if byte == 0 {
            out.push(0xFF);
        }
    }
}

/// XXH3-64 of the encoding of bytes. Nearly all texts are short and have no zero byte, so they are copied to the stack
/// and the end is appended there.
#[inline]
fn hash_bytes(bytes: &[u8]) -> u64 {
    let mut short = [0; 64];
    match short.get_mut(..bytes.len() + 2) {
        Some(encoding) if !bytes.contains(&0) => {
            encoding[..bytes.len()].copy_from_slice(bytes);
            xxh3_64(encoding)
        }
        _ => hash_encoded(|out| encode_bytes(bytes, out)),
    }
}

/// Reads a byte string; it is borrowed unless it contains zeros.
pub(crate) fn decode_bytes<'a>(bytes: &mut &'a [u8]) -> Result<Cow<'a, [u8]>, KeyError> {
    let error = KeyError { expected: "byte string" };
    let mut out = Cow::Borrowed(&[][..]);
    loop {
        let zero = bytes.iter().position(|byte| *byte == 0).ok_or_else(|| error.clone())?;
        let (head, tail) = bytes.split_at(zero);
        if out.is_empty() {
            out = Cow::Borrowed(head);
        } else {
            out.to_mut().extend_from_slice(head);
        }
        match tail {
            [0, 0, rest @ ..] => {
                *bytes = rest;
                return Ok(out);
            }
            [0, 0xFF, rest @ ..] => {
                out.to_mut().push(0);
                *bytes = rest;
            }
            _ => return Err(error),
        }
    }
}

/// The length of the encoded byte string at the front of these bytes.
pub(crate) fn text_length(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += bytes.get(at..)?.iter().position(|byte| *byte == 0)? + 2;
        match bytes.get(at - 1)? {
            0 => return Some(at),
            0xFF => {}
            _ => return None,
        }
    }
}

fn take<const N: usize>(bytes: &mut &[u8], expected: &'static str) -> Result<[u8; N], KeyError> {
    let (head, rest) = bytes.split_first_chunk::<N>().ok_or(KeyError { expected })?;
    *bytes = rest;
    Ok(*head)
}

/// Lists of columns, for keys whose number of columns is known only at run time. Each column is preceded by a `1`, and
/// the list ends with a `0`.
macro_rules! list_key {
    ($($column:ty),*) => { $(
        impl Key for Vec<$column> {
            fn encode(&self, out: &mut Vec<u8>) {
                for column in self {
                    out.push(1);
                    column.encode(out);
                }
                out.push(0);
            }
            fn decode(bytes: &mut &[u8]) -> Result<Self, KeyError> {
                let mut columns = Vec::new();
                loop {
                    match take(bytes, "list")? {
                        [0] => return Ok(columns),
                        [1] => columns.push(<$column>::decode(bytes)?),
                        _ => return Err(KeyError { expected: "list" }),
                    }
                }
            }
            fn id() -> String {
                compose("list", &[<$column as Key>::id()])
            }
            fn heap_bytes(&self) -> usize {
                self.capacity() * size_of::<$column>() + self.iter().map(Key::heap_bytes).sum::<usize>()
            }
        }
    )* };
}

list_key!(String, Vec<u8>);

/// A `0` for `None`, which sorts first, or a `1` and the key.
impl<K: Key> Key for Option<K> {
    fn encode(&self, out: &mut Vec<u8>) {
        self.is_some().encode(out);
        if let Some(key) = self {
            key.encode(out);
        }
    }
    fn decode(bytes: &mut &[u8]) -> Result<Self, KeyError> {
        bool::decode(bytes)?.then(|| K::decode(bytes)).transpose()
    }
    fn id() -> String {
        compose("option", &[K::id()])
    }
    fn columns() -> Vec<Column> {
        nullable(K::columns())
    }
    fn heap_bytes(&self) -> usize {
        self.as_ref().map_or(0, Key::heap_bytes)
    }
}

macro_rules! tuple_key {
    ($($part:ident . $index:tt),*) => {
        impl<$($part: Key),*> Key for ($($part,)*) {
            fn encode(&self, out: &mut Vec<u8>) {
                $( self.$index.encode(out); )*
            }
            fn decode(bytes: &mut &[u8]) -> Result<Self, KeyError> {
                Ok(($( $part::decode(bytes)?, )*))
            }
            fn id() -> String {
                compose("tuple", &[$( $part::id() ),*])
            }
            fn columns() -> Vec<Column> {
                numbered(vec![$( $part::columns() ),*])
            }
            fn heap_bytes(&self) -> usize {
                0 $( + self.$index.heap_bytes() )*
            }
        }
    };
}

tuple_key!(A.0);
tuple_key!(A.0, B.1);
tuple_key!(A.0, B.1, C.2);
tuple_key!(A.0, B.1, C.2, D.3);

/// Checks the laws of [`Key`] on all pairs of a sample, that the id is valid, and that the columns agree with it.
///
/// # Panics
/// With a message that names the law and the keys.
pub fn check_key_laws<K: Key>(sample: &[K]) {
    let id = K::id();
    assert!(TypeId::parse(&id).is_some(), "'{id}' is no id: see Key::id");
    let kinds =
        |columns: Vec<Column>| columns.into_iter().map(|column| column.kind).collect::<Vec<_>>();
    assert_eq!(kinds(K::columns()), kinds(columns_of(&id)), "the columns of '{id}'");
    for a in sample {
        let bytes = encoded(a);
        let mut rest = bytes.as_slice();
        let back = K::decode(&mut rest);
        assert_eq!(back.as_ref(), Ok(a), "decode(encode({a:?}))");
        assert!(rest.is_empty(), "decoding {a:?} leaves {rest:?}");
        assert_eq!(a.hash64(), xxh3_64(&bytes), "hash64({a:?}) is XXH3-64 of the encoding");
        for b in sample {
            let other = encoded(b);
            assert_eq!(a.cmp(b), bytes.cmp(&other), "order of {a:?} and {b:?}");
            assert!(a == b || !other.starts_with(&bytes), "{a:?} encodes a prefix of {b:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn laws_of_the_keys_that_come_with_the_crate() {
        check_key_laws(&[0u64, 1, 255, 256, u64::MAX]);
        check_key_laws(&[i32::MIN, -256, -1, 0, 1, i32::MAX]);
        check_key_laws(&[false, true]);
        let texts = ["", "\0", "\0\0", "a", "a\0", "a\0b", "a\u{1}", "ab", "b", "é", "\u{10FFFF}"];
        let texts = texts.map(str::to_owned);
        check_key_laws(&texts);
        let bytes = [vec![], vec![0], vec![0, 0xFF], vec![0xFF], vec![0xFF, 0], vec![1]];
        check_key_laws(&bytes);
        let pairs: Vec<(String, i8)> =
            texts.iter().flat_map(|t| [-1, 0, 1].map(|n| (t.clone(), n))).collect();
        check_key_laws(&pairs);
        let lists: Vec<Vec<Vec<u8>>> = bytes
            .iter()
            .flat_map(|a| bytes.iter().map(move |b| vec![a.clone(), b.clone()]))
            .chain([vec![], vec![vec![]]])
            .collect();
        check_key_laws(&lists);
    }

    #[test]
    fn ranges_and_prefixes() {
        let range = KeyRange::prefix("ab");
        for (text, expect) in
            [("ab", true), ("abc", true), ("aa", false), ("ac", false), ("a", false)]
        {
            assert_eq!(range.contains(&encoded(&text.to_owned())), expect, "{text}");
        }
        let within = KeyRange::within_prefix(&("EWR".to_owned(),), "S");
        let key = |a: &str, b: &str| encoded(&(a.to_owned(), b.to_owned()));
        assert!(within.contains(&key("EWR", "SFO")));
        assert!(!within.contains(&key("EWR", "TPA")));
        assert!(!within.contains(&key("EWRS", "")));
        assert!(KeyRange::within(&"EWR".to_owned()).contains(&key("EWR", "")));
        assert!(KeyRange::prefix([0xFF]).contains(&encoded(&vec![0xFFu8, 1])));
        let between = KeyRange::between(&3u64, &5u64);
        assert_eq!(
            [2u64, 3, 4, 5].map(|k| between.contains(&encoded(&k))),
            [false, true, true, false]
        );
    }

    #[test]
    fn bad_bytes_are_errors() {
        for bad in [&[][..], &[0], &[1], &[0, 1], &[2, 0, 5]] {
            assert!(String::decode(&mut &bad[..]).is_err());
        }
        assert!(u64::decode(&mut &[1u8, 2][..]).is_err());
        assert!(bool::decode(&mut &[2u8][..]).is_err());
        assert!(String::decode(&mut &[0xFFu8, 0, 0][..]).is_err(), "no UTF-8");
    }

    fn check_read<K: Key>(mut bytes: &[u8]) {
        let whole = bytes;
        if let Ok(key) = K::decode(&mut bytes) {
            // There is one encoding of a key.
            assert_eq!(encoded(&key), whole[..whole.len() - bytes.len()], "{key:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_a_key_or_an_error(
            bytes in proptest::collection::vec(proptest::prop_oneof![0u8..4, 0u8..], 0..40),
        ) {
            check_read::<u64>(&bytes);
            check_read::<i32>(&bytes);
            check_read::<bool>(&bytes);
            check_read::<String>(&bytes);
            check_read::<Vec<u8>>(&bytes);
            check_read::<(String, i8)>(&bytes);
            check_read::<Vec<Vec<u8>>>(&bytes);
        }
    }
}
