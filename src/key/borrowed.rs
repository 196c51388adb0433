//! Borrowed keys: events look up rows with them, and an owned key is made on insertion only.

use super::{Key, encode_bytes, hash_bytes, hash_encoded};

/// A key that is borrowed from an event to find a row; see [`Fold`](crate::Fold).
///
/// A `&str` stands for a `String`, a `&[u8]` for a `Vec<u8>`, a reference for any key, a number for itself, and a tuple
/// or option of borrowed keys for the tuple or option of keys. [`check_key_ref`] tests the laws for your own key type:
///
/// ```
/// use dayfold::key::{Key, KeyRef, check_key_ref};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, dayfold::Key)]
/// struct Sensor {
///     site: String,
///     number: u32,
/// }
///
/// #[derive(Clone, Copy)]
/// struct SensorRef<'a>(&'a str, u32);
///
/// impl KeyRef<Sensor> for SensorRef<'_> {
///     fn encode_key(&self, out: &mut Vec<u8>) {
///         self.0.encode_key(out);
///         self.1.encode_key(out);
///     }
///     fn is_key(&self, key: &Sensor) -> bool {
///         self.1 == key.number && self.0 == key.site
///     }
///     fn into_key(self) -> Sensor {
///         Sensor { site: self.0.to_owned(), number: self.1 }
///     }
/// }
///
/// check_key_ref(&[SensorRef("cellar", 2), SensorRef("cellar", 10), SensorRef("roof", 2)]);
/// ```
pub trait KeyRef<K: Key>: Sized {
    /// Appends the encoding of the key, as [`Key::encode`] does.
    fn encode_key(&self, out: &mut Vec<u8>);

    /// XXH3-64 of the encoding: [`Key::hash64`] of the key.
    fn hash_key(&self) -> u64 {
        hash_encoded(|out| self.encode_key(out))
    }

    /// Whether it is this key.
    fn is_key(&self, key: &K) -> bool;

    /// Makes the key.
    fn into_key(self) -> K;
}

impl<K: Key> KeyRef<K> for &K {
    #[inline]
    fn encode_key(&self, out: &mut Vec<u8>) {
        Key::encode(*self, out);
    }
    #[inline]
    fn hash_key(&self) -> u64 {
        Key::hash64(*self)
    }
    #[inline]
    fn is_key(&self, key: &K) -> bool {
        *self == key
    }
    #[inline]
    fn into_key(self) -> K {
        self.clone()
    }
}

/// An owned key used as a borrowed one, for events that make an owned key anyway.
///
/// ```
/// use dayfold::fold::Fold;
/// use dayfold::aggregate::Count;
/// use dayfold::key::Made;
/// use dayfold::time::EventTime;
///
/// /// Counts requests by the hundreds of their status.
/// struct ByClass;
///
/// impl Fold<(EventTime, u16)> for ByClass {
///     type Key = u16;
///     type KeyRef<'a> = Made<u16>; // It is in no event.
///     type State = Count;
///
///     fn group<'a>(&'a self, request: &'a (EventTime, u16)) -> Option<(EventTime, Made<u16>)> {
///         Some((request.0, Made(request.1 / 100)))
///     }
///
///     fn state(&self, _: &(EventTime, u16)) -> Count {
///         Count::one()
///     }
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Made<K>(pub K);

impl<K: Key> KeyRef<K> for Made<K> {
    #[inline]
    fn encode_key(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
    }
    #[inline]
    fn hash_key(&self) -> u64 {
        self.0.hash64()
    }
    #[inline]
    fn is_key(&self, key: &K) -> bool {
        self.0 == *key
    }
    #[inline]
    fn into_key(self) -> K {
        self.0
    }
}

impl KeyRef<String> for &str {
    #[inline]
    fn encode_key(&self, out: &mut Vec<u8>) {
        encode_bytes(self.as_bytes(), out);
    }
    #[inline]
    fn hash_key(&self) -> u64 {
        hash_bytes(self.as_bytes())
    }
    #[inline]
    fn is_key(&self, key: &String) -> bool {
        *self == key
    }
    #[inline]
    fn into_key(self) -> String {
        self.to_owned()
    }
}

impl KeyRef<Vec<u8>> for &[u8] {
    #[inline]
    fn encode_key(&self, out: &mut Vec<u8>) {
        encode_bytes(self, out);
    }
    #[inline]
    fn hash_key(&self) -> u64 {
        hash_bytes(self)
    }
    #[inline]
    fn is_key(&self, key: &Vec<u8>) -> bool {
        self == key
    }
    #[inline]
    fn into_key(self) -> Vec<u8> {
        self.to_vec()
    }
}

macro_rules! plain_ref {
    ($($type:ty),*) => { $(
        impl KeyRef<$type> for $type {
            #[inline]
            fn encode_key(&self, out: &mut Vec<u8>) {
                Key::encode(self, out);
            }
            #[inline]
            fn hash_key(&self) -> u64 {
                Key::hash64(self)
            }
            #[inline]
            fn is_key(&self, key: &$type) -> bool {
                self == key
            }
            #[inline]
            fn into_key(self) -> $type {
                self
            }
        }
    )* };
}

plain_ref!(bool, u8, u16, u32, u64, u128, i8, i16, i32, i64, i128);

impl<K: Key, R: KeyRef<K>> KeyRef<Option<K>> for Option<R> {
    #[inline]
    fn encode_key(&self, out: &mut Vec<u8>) {
        Key::encode(&self.is_some(), out);
        if let Some(key) = self {
            key.encode_key(out);
        }
    }
    #[inline]
    fn is_key(&self, key: &Option<K>) -> bool {
        match (self, key) {
            (Some(borrowed), Some(key)) => borrowed.is_key(key),
            (None, None) => true,
            _ => false,
        }
    }
    #[inline]
    fn into_key(self) -> Option<K> {
        self.map(KeyRef::into_key)
    }
}

macro_rules! tuple_ref {
    ($($key:ident $part:ident . $index:tt),*) => {
        impl<$($key: Key, $part: KeyRef<$key>),*> KeyRef<($($key,)*)> for ($($part,)*) {
            #[inline]
            fn encode_key(&self, out: &mut Vec<u8>) {
                $( self.$index.encode_key(out); )*
            }
            #[inline]
            fn is_key(&self, key: &($($key,)*)) -> bool {
                true $( && self.$index.is_key(&key.$index) )*
            }
            #[inline]
            fn into_key(self) -> ($($key,)*) {
                ($( self.$index.into_key(), )*)
            }
        }
    };
}

tuple_ref!(A RA.0);
tuple_ref!(A RA.0, B RB.1);
tuple_ref!(A RA.0, B RB.1, C RC.2);
tuple_ref!(A RA.0, B RB.1, C RC.2, D RD.3);

/// Checks that borrowed keys stand for the keys that they make: they have the same encoding and hash, and each equals
/// its own key and no other key of the sample.
///
/// # Panics
/// With a message that names the law and the keys.
pub fn check_key_ref<K: Key, R: KeyRef<K> + Clone>(sample: &[R]) {
    let keys: Vec<K> = sample.iter().cloned().map(KeyRef::into_key).collect();
    for (borrowed, key) in sample.iter().zip(&keys) {
        let mut bytes = Vec::new();
        borrowed.encode_key(&mut bytes);
        assert_eq!(bytes, super::encoded(key), "the encoding of what makes {key:?}");
        assert_eq!(borrowed.hash_key(), key.hash64(), "the hash of what makes {key:?}");
        for other in &keys {
            assert_eq!(borrowed.is_key(other), key == other, "what makes {key:?}, and {other:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn borrowed_keys_stand_for_their_own() {
        let long = "x".repeat(100);
        let longest_short = "y".repeat(62);
        let texts = ["", "a", "ab", "a\0", "\0", &long, &longest_short, "é", "y"];
        check_key_ref::<String, _>(&texts);
        check_key_ref::<Vec<u8>, _>(&texts.map(str::as_bytes));
        check_key_ref::<u64, _>(&[0u64, 7, u64::MAX]);
        check_key_ref::<i32, _>(&[-1i32, 0, 1]);
        check_key_ref::<bool, _>(&[true, false]);
        check_key_ref::<(String, i8), _>(&texts.map(|text| (text, text.len() as i8)));
        check_key_ref::<(Option<String>, bool, u8), _>(&[
            (None, true, 1u8),
            (Some(""), true, 1),
            (Some("a"), false, 2),
        ]);
        let keys = [(1u64, "a".to_owned()), (2, String::new())];
        check_key_ref::<(u64, String), _>(&keys.each_ref());
        check_key_ref::<(u64, String), _>(&keys.map(Made));
        let lists = [vec!["a".to_owned()], vec![], vec!["a".to_owned(), String::new()]];
        check_key_ref::<Vec<String>, _>(&lists.each_ref());
    }

    /// It confuses two keys.
    #[derive(Clone)]
    struct Blind(u64);

    impl KeyRef<u64> for Blind {
        fn encode_key(&self, out: &mut Vec<u8>) {
            Key::encode(&self.0, out);
        }
        fn is_key(&self, _: &u64) -> bool {
            true
        }
        fn into_key(self) -> u64 {
            self.0
        }
    }

    #[test]
    #[should_panic(expected = "what makes 1, and 2")]
    fn one_that_is_any_key_is_named() {
        check_key_ref(&[Blind(1), Blind(2)]);
    }
}
