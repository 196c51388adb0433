//! bincode 1.3 through serde.

use std::fmt;
use std::marker::PhantomData;

use bincode::Options;
use serde::de::{DeserializeOwned, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::fold::and_then;
use super::{Codec, Fold, Outcome};

/// A block is a `Vec` of items. One item is found through an index of offsets beside it, four bytes for
/// each item, as batch views have one.
pub(crate) struct Bincode<O> {
    options: O,
    bytes: Vec<u8>,
    /// The beginning of each item, and the end of the last one.
    offsets: Vec<u32>,
}

impl<O: Options + Copy> Bincode<O> {
    pub(crate) fn new<T: Serialize>(options: O, items: &[T]) -> Bincode<O> {
        let size = |length: bincode::Result<u64>| length.unwrap() as u32;
        let length = size(options.serialized_size(&(items.len() as u64)));
        let ends = items.iter().scan(length, |end, item| {
            *end += size(options.serialized_size(item));
            Some(*end)
        });
        let offsets = std::iter::once(length).chain(ends).collect();
        Bincode { options, bytes: Vec::new(), offsets }
    }

    pub(crate) fn bytes(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    fn decode_as<D: DeserializeOwned>(&self) -> Outcome<D> {
        let limit = self.bytes.len() as u64;
        Ok(self.options.with_limit(limit).deserialize(&self.bytes)?)
    }
}

impl<T: Serialize + DeserializeOwned + Fold, O: Options + Copy> Codec<T> for Bincode<O> {
    fn encode(&mut self, items: &Vec<T>) -> Outcome<usize> {
        self.bytes.clear();
        self.options.serialize_into(&mut self.bytes, items)?;
        Ok(self.bytes.len())
    }

    fn decode(&mut self) -> Outcome<Vec<T>> {
        self.decode_as()
    }

    fn read(&mut self) -> Outcome<u64> {
        self.decode_as().map(|Folded::<T>(sum, _)| sum)
    }

    fn point(&mut self, at: usize) -> Outcome<T> {
        let item = &self.bytes[self.offsets[at] as usize..self.offsets[at + 1] as usize];
        Ok(self.options.with_limit(item.len() as u64).deserialize(item)?)
    }
}

/// The number of a sequence whose items are decoded and dropped one by one.
struct Folded<T>(u64, PhantomData<T>);

impl<'de, T: Deserialize<'de> + Fold> Deserialize<'de> for Folded<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Folded<T>, D::Error> {
        deserializer.deserialize_seq(Folded(0, PhantomData))
    }
}

impl<'de, T: Deserialize<'de> + Fold> Visitor<'de> for Folded<T> {
    type Value = Folded<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a sequence")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<Folded<T>, A::Error> {
        while let Some(item) = items.next_element::<T>()? {
            self.0 = and_then(self.0, &item);
        }
        Ok(self)
    }
}
