//! abomonation 0.7: raw memory, whose pointers are corrected when it is read.
//!
//! **Unsound**, by its advisory (RUSTSEC-2021-0120): it has undefined behaviour for bytes that the same build of the
//! same program did not encode, and makes values in ways that the language does not guarantee. It is here for
//! comparison, and nowhere else.

#![allow(unsafe_code)]

use abomonation::Abomonation;

use super::{Codec, Contender, Fold, Outcome, contender};

/// The requirements on items for abomonation. Not checked, but relied on: they have no padding, and their heap data are
/// bytes, which need no alignment.
pub(crate) trait Plain: Abomonation {}
impl<T: Abomonation> Plain for T {}

/// abomonation with these items.
pub(crate) fn abomonation_of<T: Plain + Clone + PartialEq + Fold + 'static>(
    items: Vec<T>,
) -> Box<dyn Contender> {
    let codec = Abomonated::new(&items);
    contender("abomonation (unsound)", items, codec)
}

/// A block is a `Vec` of items and their heap data. Reading changes the block and then lends them.
struct Abomonated {
    /// In words, so that items are aligned.
    words: Vec<u64>,
    bytes: usize,
}

impl Abomonated {
    fn new<T: Abomonation>(items: &Vec<T>) -> Abomonated {
        assert!(align_of::<T>() <= align_of::<u64>());
        let bytes = abomonation::measure(items);
        Abomonated { words: vec![0; bytes.div_ceil(size_of::<u64>())], bytes }
    }

    fn block(&mut self) -> &mut [u8] {
        &mut columnar::bytemuck::cast_slice_mut(&mut self.words)[..self.bytes]
    }

    fn open<T: Abomonation>(&mut self) -> Outcome<&Vec<T>> {
        // SAFETY: the block holds what `encode` wrote in this process, for the same type. It begins
        // aligned, the items follow the 24 bytes of the `Vec` and need an alignment of 8 at most, and what
        // they own is bytes. What is lent cannot outlive the block, and is never dropped. That is all that
        // the crate asks for; what it does with it, vectors of memory that no allocator gave, is its own.
        let opened = unsafe { abomonation::decode::<Vec<T>>(self.block()) };
        opened.map(|(items, _)| items).ok_or_else(|| "the block is too short".into())
    }
}

impl<T: Abomonation + Clone + Fold> Codec<T> for Abomonated {
    fn encode(&mut self, items: &Vec<T>) -> Outcome<usize> {
        // SAFETY: items have no padding (see `Plain`), so all bytes of them are initialised.
        unsafe { abomonation::encode(items, &mut self.block())? };
        Ok(self.bytes)
    }

    fn decode(&mut self) -> Outcome<Vec<T>> {
        self.open().cloned()
    }

    fn read(&mut self) -> Outcome<u64> {
        self.open::<T>().map(Fold::fold)
    }

    /// Opens the block again: its pointers are those of one place in memory, so that a file cannot be lent.
    fn point(&mut self, at: usize) -> Outcome<T> {
        self.open::<T>().map(|items| items[at].clone())
    }

    fn points(&self) -> usize {
        10
    }
}
