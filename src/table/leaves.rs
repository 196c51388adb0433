//! Rows in leaves. A leaf is copied when it changes while somebody reads it.
//!
//! A leaf is small, so a new row waits for at most one small copy, and a moment that is read for long costs only copies
//! of changed leaves.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use crate::aggregate::Aggregate;
use crate::key::Key;

/// The average number of rows of a leaf at which leaves are split.
const SPLIT_AT: usize = 96;

/// How many leaves one becomes, as a power of two.
const SPLIT_BITS: u32 = 2;

/// Counts the bytes of rows held by readers alone, after newer rows have replaced them. Clones count together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outlived {
    bytes: Arc<AtomicUsize>,
}

impl Outlived {
    /// Approximate bytes of slots, without the heap bytes of keys and aggregates.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(super) fn count(&self, bytes: usize) -> Counted {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        Counted { outlived: self.clone(), bytes }
    }
}

/// Bytes that are counted until this is dropped.
#[derive(Debug)]
pub(super) struct Counted {
    outlived: Outlived,
    bytes: usize,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.outlived.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Some rows of a part.
#[derive(Debug)]
struct Leaf<K, A> {
    rows: HashTable<(K, A)>,
    /// Once readers alone hold them.
    outlived: OnceLock<Counted>,
}

impl<K, A> Leaf<K, A> {
    fn new(rows: HashTable<(K, A)>) -> Arc<Self> {
        Arc::new(Leaf { rows, outlived: OnceLock::new() })
    }

    fn count(&self, outlived: &Outlived) {
        self.outlived.get_or_init(|| outlived.count(self.rows.allocation_size()));
    }
}

/// The rows of a part, by bits of their hashes. Clones share leaves until one of them adds to a leaf.
#[derive(Clone, Debug)]
pub(super) struct Leaves<K, A> {
    leaves: Vec<Arc<Leaf<K, A>>>,
    len: usize,
}

impl<K, A> Default for Leaves<K, A> {
    fn default() -> Self {
        Leaves { leaves: Vec::new(), len: 0 }
    }
}

/// What adding a row has changed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Added {
    pub(super) is_new: bool,
    /// Places, free ones included, before and after.
    pub(super) slots: (usize, usize),
    /// Heap bytes of keys and aggregates, before and after.
    pub(super) heap: (usize, usize),
}

impl<K: Key, A: Clone> Leaves<K, A> {
    pub(super) fn new(capacity: usize) -> Self {
        Leaves { leaves: vec![Leaf::new(HashTable::with_capacity(capacity))], len: 0 }
    }

    /// The leaf of a hash, by the bits below those of the partition.
    #[inline]
    fn leaf(&self, hash: u64) -> usize {
        let bits = self.leaves.len().trailing_zeros();
        (hash >> (49 - bits)) as usize & (self.leaves.len() - 1)
    }

    pub(super) fn get(&self, hash: u64, key: &K) -> Option<&A> {
        let leaf = self.leaves.get(self.leaf(hash))?;
        leaf.rows.find(hash, |row| row.0 == *key).map(|row| &row.1)
    }

    /// A leaf to be changed; it is copied first if somebody reads it.
    #[inline]
    fn own<'a>(leaf: &'a mut Arc<Leaf<K, A>>, outlived: &Outlived) -> &'a mut HashTable<(K, A)> {
        if Arc::get_mut(leaf).is_none() {
            leaf.count(outlived);
            *leaf = Leaf::new(leaf.rows.clone());
        }
        &mut Arc::get_mut(leaf).expect("nobody else has it").rows
    }

    /// Splits leaves, once they are large.
    fn split(&mut self, outlived: &Outlived) {
        let leaves = self.leaves.len() << SPLIT_BITS;
        let mut rows = Vec::new();
        rows.resize_with(leaves, || HashTable::with_capacity(SPLIT_AT >> SPLIT_BITS));
        let bits = leaves.trailing_zeros();
        for row in self.drain(outlived) {
            let hash = row.0.hash64();
            let at = (hash >> (49 - bits)) as usize & (leaves - 1);
            rows[at].insert_unique(hash, row, |row: &(K, A)| row.0.hash64());
        }
        self.leaves = rows.into_iter().map(Leaf::new).collect();
    }

    /// All rows, to be moved elsewhere.
    pub(super) fn drain(&mut self, outlived: &Outlived) -> impl Iterator<Item = (K, A)> {
        self.leaves.iter_mut().flat_map(|leaf| Self::own(leaf, outlived).drain())
    }

    pub(super) fn slots(&self) -> usize {
        self.leaves.iter().map(|leaf| leaf.rows.capacity()).sum()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &(K, A)> {
        self.leaves.iter().flat_map(|leaf| leaf.rows.iter())
    }

    pub(super) fn leaves(&self) -> impl Iterator<Item = &HashTable<(K, A)>> {
        self.leaves.iter().map(|leaf| &leaf.rows)
    }

    /// The row at a place of a leaf.
    #[inline]
    pub(super) fn at(&self, leaf: usize, place: usize) -> Option<&(K, A)> {
        self.leaves.get(leaf)?.rows.get_bucket(place)
    }

    /// Counts all rows as held by readers alone, until the readers are gone.
    pub(super) fn leave_to_readers(&self, outlived: &Outlived) {
        self.leaves.iter().for_each(|leaf| leaf.count(outlived));
    }
}

impl<K: Key, A: Aggregate> Leaves<K, A> {
    /// Combines `aggregate` into the row of `key`.
    #[inline]
    pub(super) fn add(&mut self, outlived: &Outlived, hash: u64, key: K, aggregate: A) -> Added {
        let at = self.leaf(hash);
        let rows = Self::own(&mut self.leaves[at], outlived);
        let slots = rows.capacity();
        let (is_new, heap) = match rows.entry(hash, |row| row.0 == key, |row| row.0.hash64()) {
            Entry::Occupied(mut row) => {
                let state = &mut row.get_mut().1;
                let before = state.heap_bytes();
                state.plus_equals(&aggregate);
                (false, (before, state.heap_bytes()))
            }
            Entry::Vacant(slot) => {
                let heap = key.heap_bytes() + aggregate.heap_bytes();
                slot.insert((key, aggregate));
                (true, (0, heap))
            }
        };
        // A full leaf grows even if it turns out to hold the key.
        let mut added = Added { is_new, slots: (slots, rows.capacity()), heap };
        self.len += usize::from(is_new);
        if is_new && self.len > SPLIT_AT * self.leaves.len() && self.leaves.len() < 1 << 24 {
            let others = self.slots() - added.slots.1;
            added.slots.0 += others;
            self.split(outlived);
            added.slots.1 = self.slots();
        }
        added
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::Count;

    #[test]
    fn rows_that_readers_alone_hold_are_counted_as_long_as_they_do() {
        let (mut rows, outlived) = (Leaves::<u64, Count>::new(0), Outlived::default());
        rows.add(&outlived, 1u64.hash64(), 1, Count(1));
        let bytes: usize = rows.leaves().map(HashTable::allocation_size).sum();
        let add = |rows: &mut Leaves<_, _>| rows.add(&outlived, 1u64.hash64(), 1, Count(1));
        let (first, again) = (rows.clone(), rows.clone());
        assert_eq!(outlived.bytes(), 0, "the table has them, too");
        add(&mut rows);
        assert_eq!(outlived.bytes(), bytes);
        let second = rows.clone();
        add(&mut rows);
        assert_eq!(outlived.bytes(), 2 * bytes);
        drop(first);
        assert_eq!(outlived.bytes(), 2 * bytes);
        drop(again);
        assert_eq!(outlived.bytes(), bytes);
        drop(second);
        drop(rows.clone());
        add(&mut rows);
        assert_eq!(outlived.bytes(), 0, "who has gone counts for nothing");
    }

    #[test]
    fn only_what_changes_is_copied() {
        let (mut rows, outlived) = (Leaves::<u64, Count>::new(0), Outlived::default());
        for key in 0..10_000u64 {
            rows.add(&outlived, key.hash64(), key, Count(1));
        }
        let leaves = rows.leaves().count();
        assert!(leaves >= 10_000 / SPLIT_AT, "{leaves} leaves");
        let all: usize = rows.leaves().map(HashTable::allocation_size).sum();
        let kept = rows.clone();
        rows.add(&outlived, 7u64.hash64(), 7, Count(1));
        assert!(outlived.bytes() > 0 && outlived.bytes() <= 16 * all / leaves);
        assert_eq!(kept.get(7u64.hash64(), &7), Some(&Count(1)));
        assert_eq!(rows.get(7u64.hash64(), &7), Some(&Count(2)));
    }
}
