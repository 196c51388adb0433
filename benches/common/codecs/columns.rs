//! The `columnar` crate: a column for each field, borrowed in place.

use columnar::bytes::indexed::{self, DecodedStore};
use columnar::{
    Borrow, BorrowedOf, Clear, Columnar, ContainerOf, FromBytes, Index, Len, Push, Ref,
};

use super::fold::and_then;
use super::{Codec, Fold, Outcome};

/// A block is an index of the ends of columns, followed by the columns, as `columnar::bytes::stash::Stash` holds it.
///
/// Encoding distributes the items over columns and then copies these. Opening takes constant time, and so does one
/// item. Only `decode` and `point` make owned values of the borrowed ones.
pub(crate) struct Columns<T: Columnar> {
    columns: ContainerOf<T>,
    /// The block, in words, because columns are read in place and must be aligned.
    words: Vec<u64>,
}

impl<T: Columnar> Columns<T> {
    pub(crate) fn new() -> Columns<T> {
        Columns { columns: Default::default(), words: Vec::new() }
    }

    pub(crate) fn bytes(&mut self) -> &mut [u8] {
        columnar::bytemuck::cast_slice_mut(&mut self.words)
    }

    /// Opens a block whose index is known to be sound.
    fn borrow(&self) -> BorrowedOf<'_, T> {
        FromBytes::from_store(&DecodedStore::new(&self.words), &mut 0)
    }

    /// Opens a block. Only its index is checked, not the content of columns.
    fn open(&self) -> Outcome<BorrowedOf<'_, T>> {
        indexed::validate::<BorrowedOf<'_, T>>(&self.words)?;
        Ok(self.borrow())
    }
}

impl<T: Columnar> Codec<T> for Columns<T>
where
    for<'a> Ref<'a, T>: Fold,
{
    fn encode(&mut self, items: &Vec<T>) -> Outcome<usize> {
        self.columns.clear();
        for item in items {
            self.columns.push(item);
        }
        self.words.clear();
        indexed::encode(&mut self.words, &self.columns.borrow());
        Ok(self.words.len() * size_of::<u64>())
    }

    fn decode(&mut self) -> Outcome<Vec<T>> {
        let items = self.open()?;
        Ok((0..items.len()).map(|at| T::into_owned(items.get(at))).collect())
    }

    fn read(&mut self) -> Outcome<u64> {
        let items = self.open()?;
        Ok((0..items.len()).fold(0, |sum, at| and_then(sum, &items.get(at))))
    }

    fn point(&mut self, at: usize) -> Outcome<T> {
        Ok(T::into_owned(self.borrow().get(at)))
    }
}
