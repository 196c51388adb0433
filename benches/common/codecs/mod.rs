//! The codecs that are compared, behind one trait.

mod abomonated;
mod batch_view;
mod bincode;
mod columns;
mod damage;
mod data;
mod fold;

use std::error::Error;
use std::hint::black_box;

pub(crate) use abomonated::{Plain, abomonation_of};
pub(crate) use batch_view::BatchFile;
pub(crate) use bincode::Bincode;
pub(crate) use columns::Columns;
pub(crate) use damage::endings;
pub(crate) use data::{Set, sets};
pub(crate) use fold::Fold;

pub(crate) type Outcome<T> = Result<T, Box<dyn Error>>;

/// A codec of blocks of items, which holds one encoded block.
pub(crate) trait Codec<T> {
    /// Encodes the items into the block, reusing its memory. Returns the length in bytes.
    // abomonation encodes vectors, and no slices.
    #[allow(clippy::ptr_arg)]
    fn encode(&mut self, items: &Vec<T>) -> Outcome<usize>;

    /// All items, as owned values.
    fn decode(&mut self) -> Outcome<Vec<T>>;

    /// Visits all fields of all items, one item at a time, in place if the codec can do that.
    fn read(&mut self) -> Outcome<u64>;

    /// One item, by its number or by its key, as an owned value, from a block that was opened before.
    fn point(&mut self, at: usize) -> Outcome<T>;

    /// How many single items a round measures; few, if each one takes the whole block.
    fn points(&self) -> usize {
        1_000
    }
}

/// A codec with its items, with their types erased.
pub(crate) trait Contender {
    fn name(&self) -> &str;
    fn items(&self) -> usize;
    fn points(&self) -> usize;
    fn encode(&mut self) -> usize;
    /// Decodes, and drops what was decoded.
    fn decode(&mut self);
    fn read(&mut self);
    fn point(&mut self, at: usize);

    /// Whether everything that was encoded comes back, in each of these ways.
    fn is_right(&mut self) -> Outcome<bool>;
}

struct Pair<T, C> {
    name: &'static str,
    items: Vec<T>,
    codec: C,
}

/// Puts `items` to a codec.
pub(crate) fn contender<T: PartialEq + Fold + 'static>(
    name: &'static str,
    items: Vec<T>,
    codec: impl Codec<T> + 'static,
) -> Box<dyn Contender> {
    Box::new(Pair { name, items, codec })
}

impl<T: PartialEq + Fold, C: Codec<T>> Contender for Pair<T, C> {
    fn name(&self) -> &str {
        self.name
    }

    fn items(&self) -> usize {
        self.items.len()
    }

    fn points(&self) -> usize {
        self.codec.points()
    }

    fn encode(&mut self) -> usize {
        self.codec.encode(black_box(&self.items)).unwrap()
    }

    fn decode(&mut self) {
        drop(black_box(self.codec.decode().unwrap()));
    }

    fn read(&mut self) {
        black_box(self.codec.read().unwrap());
    }

    fn point(&mut self, at: usize) {
        drop(black_box(self.codec.point(black_box(at)).unwrap()));
    }

    fn is_right(&mut self) -> Outcome<bool> {
        self.codec.encode(&self.items)?;
        let mut right = self.codec.decode()? == self.items;
        right &= self.codec.read()? == self.items.fold();
        for at in (0..self.items.len()).step_by(self.items.len() / self.codec.points()) {
            right &= self.codec.point(at)? == self.items[at];
        }
        Ok(right)
    }
}
