//! Keys in the order of sealed files, encoded.

use differential_dataflow::trace::implementations::BatchContainer;
use serde::{Deserialize, Serialize};
use timely::container::PushInto;

use crate::key::{Key, KeyError, sort_position};

/// A borrowed encoded key, in the order of sealed files: by position, then by encoding.
///
/// ```
/// use dayfold::import::SealedKey;
/// use dayfold::key::KeyError;
///
/// /// The page of a row, where a join shows its key.
/// fn page(key: SealedKey<'_>) -> Result<u64, KeyError> {
///     key.decode()
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SealedKey<'a> {
    position: u64,
    encoded: &'a [u8],
}

impl<'a> SealedKey<'a> {
    pub(super) fn new(position: u64, encoded: &'a [u8]) -> SealedKey<'a> {
        SealedKey { position, encoded }
    }

    pub(super) fn parts(self) -> (u64, &'a [u8]) {
        (self.position, self.encoded)
    }

    /// The key itself.
    ///
    /// # Errors
    /// [`KeyError`] if it is not a `K`.
    pub fn decode<K: Key>(self) -> Result<K, KeyError> {
        K::decode(&mut &*self.encoded)
    }
}

impl PartialEq<&StoredKey> for SealedKey<'_> {
    fn eq(&self, other: &&StoredKey) -> bool {
        *self == other.as_sealed()
    }
}

/// An encoded key that can be sent; see [`SealedKey`].
///
/// ```
/// use dayfold::import::StoredKey;
///
/// // As in files: by the hash of the key, and only then by the key.
/// let mut keys = [3u64, 1, 2].map(|key| StoredKey::of(&key));
/// keys.sort();
/// assert!(keys[0] < keys[1] && keys[1] < keys[2]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StoredKey {
    position: u64,
    encoded: Vec<u8>,
}

impl StoredKey {
    /// The encoding of a key, and its place.
    pub fn of<K: Key>(key: &K) -> StoredKey {
        StoredKey { position: sort_position(key.hash64()), encoded: crate::key::encoded(key) }
    }

    /// The partition is the top of the position.
    pub(super) fn partition(&self) -> usize {
        (self.position >> 56) as usize
    }

    fn as_sealed(&self) -> SealedKey<'_> {
        SealedKey::new(self.position, &self.encoded)
    }
}

/// Encoded keys, one after the other, in an arrangement that is joined with sealed days.
#[derive(Debug)]
pub struct SealedKeys {
    /// The position of each key, and the end of its encoding.
    places: Vec<(u64, usize)>,
    bytes: Vec<u8>,
}

impl SealedKeys {
    fn push(&mut self, key: SealedKey<'_>) {
        self.bytes.extend_from_slice(key.encoded);
        self.places.push((key.position, self.bytes.len()));
    }
}

impl PushInto<StoredKey> for SealedKeys {
    fn push_into(&mut self, key: StoredKey) {
        self.push(key.as_sealed());
    }
}

impl BatchContainer for SealedKeys {
    type Owned = StoredKey;
    type ReadItem<'a> = SealedKey<'a>;

    fn into_owned(key: SealedKey<'_>) -> StoredKey {
        StoredKey { position: key.position, encoded: key.encoded.to_vec() }
    }
    fn push_ref(&mut self, key: SealedKey<'_>) {
        self.push(key);
    }
    fn push_own(&mut self, key: &StoredKey) {
        self.push(key.as_sealed());
    }
    fn clear(&mut self) {
        self.places.clear();
        self.bytes.clear();
    }
    fn with_capacity(keys: usize) -> SealedKeys {
        SealedKeys { places: Vec::with_capacity(keys), bytes: Vec::new() }
    }
    fn merge_capacity(a: &SealedKeys, b: &SealedKeys) -> SealedKeys {
        SealedKeys {
            places: Vec::with_capacity(a.places.len() + b.places.len()),
            bytes: Vec::with_capacity(a.bytes.len() + b.bytes.len()),
        }
    }
    fn reborrow<'b, 'a: 'b>(key: SealedKey<'a>) -> SealedKey<'b> {
        key
    }
    fn index(&self, index: usize) -> SealedKey<'_> {
        let (position, end) = self.places[index];
        let start = index.checked_sub(1).map_or(0, |before| self.places[before].1);
        SealedKey::new(position, &self.bytes[start..end])
    }
    fn len(&self) -> usize {
        self.places.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::partition;

    #[test]
    fn keys_come_back_in_the_order_of_files() {
        let mut stored: Vec<StoredKey> =
            (0..500u64).map(|n| StoredKey::of(&format!("key {n}"))).collect();
        stored.sort();
        let mut keys = SealedKeys::with_capacity(0);
        stored.iter().for_each(|key| keys.push_own(key));
        assert_eq!(keys.len(), 500);
        for (at, key) in stored.iter().enumerate() {
            assert!(keys.index(at) == key);
            assert!(at == 0 || keys.index(at - 1) < keys.index(at));
            let text: String = keys.index(at).decode().unwrap();
            assert_eq!(&StoredKey::of(&text), key);
            assert_eq!(key.partition(), partition(text.hash64()));
        }
    }
}
