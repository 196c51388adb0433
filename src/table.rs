//! A hash table of one unsealed day and closing.

mod leaves;
mod part;
mod row;

use std::ops::{Add, Sub};
use std::sync::Arc;

use crate::aggregate::Aggregate;
use crate::closing::Closing;
use crate::key::{Key, PARTITIONS, partition};
use crate::time::Day;

pub(crate) use leaves::Outlived;
use part::Part;
pub(crate) use row::TableRow;

/// Beyond this many keys, a table splits into one table for each partition. So a small table is compact, and a large
/// one never has to move all its keys at once.
const SPLIT_AT: usize = 8_192;

/// What a table holds, for bounds on memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Size {
    /// Pairs of day and key.
    pub(crate) groups: usize,
    /// Bytes held, slots that are free included.
    pub(crate) bytes: usize,
}

impl Add for Size {
    type Output = Size;
    fn add(self, other: Size) -> Size {
        Size { groups: self.groups + other.groups, bytes: self.bytes + other.bytes }
    }
}

impl Sub for Size {
    type Output = Size;
    fn sub(self, other: Size) -> Size {
        Size { groups: self.groups - other.groups, bytes: self.bytes - other.bytes }
    }
}

/// Aggregates by key. The hash of a key is computed once, by the worker that combined it.
#[derive(Debug)]
pub(crate) struct Table<K, A> {
    /// One table, or one for each partition.
    parts: Vec<Part<K, A>>,
    len: usize,
    /// Places in `parts`, free ones included.
    slots: usize,
    /// Heap bytes of keys and aggregates, besides their slots.
    heap: usize,
    outlived: Outlived,
}

impl<K: Key, A: Aggregate> Table<K, A> {
    pub(crate) fn new() -> Self {
        Table::counting(&Outlived::default())
    }

    /// A new table that counts the rows held by readers alone.
    pub(crate) fn counting(outlived: &Outlived) -> Self {
        let (parts, outlived) = (vec![Part::new()], outlived.clone());
        Table { parts, len: 0, slots: 0, heap: 0, outlived }
    }

    /// The present state of the table, to be read elsewhere. Nothing is copied until more is added, and then only the
    /// changed leaves.
    pub(crate) fn share(&mut self) -> Table<K, A> {
        let parts = self.parts.iter_mut().map(Part::share).collect();
        Table { parts, outlived: self.outlived.clone(), ..*self }
    }

    /// Counts shared rows as held by readers alone, because the owner releases them.
    pub(crate) fn leave_to_readers(&self) {
        self.parts.iter().for_each(|part| part.rows().leave_to_readers(&self.outlived));
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The size of the table. It is updated with every row, because it is read at every tick.
    pub(crate) fn size(&self) -> Size {
        let bytes = self.slots * (size_of::<(K, A)>() + 1) + self.heap;
        Size { groups: self.len, bytes }
    }

    #[inline]
    fn part(&self, hash: u64) -> usize {
        if self.parts.len() == 1 { 0 } else { partition(hash) }
    }

    /// Combines `aggregate` into the row of `key`.
    #[inline]
    pub(crate) fn add(&mut self, hash: u64, key: K, aggregate: A) {
        let part = self.part(hash);
        let added = self.parts[part].own().add(&self.outlived, hash, key, aggregate);
        self.len += usize::from(added.is_new);
        self.slots = self.slots + added.slots.1 - added.slots.0;
        self.heap = self.heap + added.heap.1 - added.heap.0;
        if self.len >= SPLIT_AT && self.parts.len() == 1 {
            self.split();
        }
    }

    fn split(&mut self) {
        // The capacity of a table of 64 slots, to which each part would grow at once.
        const PART: usize = SPLIT_AT / PARTITIONS * 7 / 4;
        let mut whole = std::mem::take(&mut self.parts);
        self.parts.resize_with(PARTITIONS, || Part::with_capacity(PART));
        for (key, aggregate) in whole.iter_mut().flat_map(|part| part.own().drain(&self.outlived)) {
            let hash = key.hash64();
            self.parts[partition(hash)].own().add(&self.outlived, hash, key, aggregate);
        }
        self.slots = self.parts.iter().map(|part| part.rows().slots()).sum();
    }

    #[inline]
    pub(crate) fn get(&self, hash: u64, key: &K) -> Option<&A> {
        self.parts[self.part(hash)].rows().get(hash, key)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &(K, A)> {
        self.parts.iter().flat_map(|part| part.rows().iter())
    }

    /// Sorts the rows of a part by key, for readers of intervals. Returns `false` if there is no such part.
    pub(crate) fn put_in_order(&self, part: usize) -> bool {
        let part = self.parts.get(part);
        part.into_iter().for_each(Part::put_in_order);
        part.is_some()
    }

    /// Visits the rows whose encoded keys are in `[from, to)`, part by part, until `visit` wants no more. `reached`, at
    /// first empty, records where the next interval continues.
    pub(crate) fn visit_interval(
        &self,
        interval: (&[u8], Option<&[u8]>),
        reached: &mut Vec<usize>,
        visit: &mut dyn FnMut(&K, &A) -> bool,
    ) {
        for (at, part) in self.parts.iter().enumerate() {
            let (end, goes_on) = part.visit_interval(interval, reached.get(at).copied(), visit);
            match reached.get_mut(at) {
                Some(reached) => *reached = end,
                None => reached.push(end),
            }
            if !goes_on {
                return;
            }
        }
    }

    /// The rows in parts, in the order of sealed files: all at once, or partition by partition, each with its
    /// partition.
    pub(crate) fn parts(&self) -> impl Iterator<Item = (Option<usize>, Vec<&(K, A)>)> {
        let is_split = self.parts.len() > 1;
        let parts = self.parts.iter().enumerate();
        parts.map(move |(at, part)| (is_split.then_some(at), part.rows().iter().collect()))
    }
}

/// A closed table, with its day and closing.
pub(crate) type Frozen<K, A> = ((Day, Closing), Arc<Table<K, A>>);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::Count;

    #[test]
    fn what_is_shared_stays_as_it_was() {
        for keys in [100u64, 20_000] {
            let mut table = Table::<u64, Count>::new();
            (0..keys).for_each(|key| table.add(key.hash64(), key, Count(1)));
            let (shared, again) = (table.share(), table.share());
            for key in 0..2 * keys {
                table.add(key.hash64(), key, Count(1));
            }
            let sum =
                |table: &Table<u64, Count>| table.iter().map(|(_, count)| count.0).sum::<i64>();
            assert_eq!((shared.len(), sum(&shared)), (keys as usize, keys as i64));
            assert_eq!((again.len(), sum(&again)), (keys as usize, keys as i64));
            assert_eq!((table.len(), sum(&table)), (2 * keys as usize, 3 * keys as i64));
            let slots: usize = table.parts.iter().map(|part| part.rows().slots()).sum();
            assert_eq!(table.size().bytes, slots * 17);
        }
    }

    #[test]
    fn differential_table_and_map_agree_across_the_split() {
        let mut table = Table::<u64, Count>::new();
        let mut map = std::collections::HashMap::new();
        for step in 0..40_000u64 {
            let key = step.wrapping_mul(0x9E37_79B9_7F4A_7C15) % 20_000;
            table.add(key.hash64(), key, Count(1));
            *map.entry(key).or_insert(0) += 1;
        }
        assert_eq!(table.len(), map.len());
        let slots: usize = table.parts.iter().map(|part| part.rows().slots()).sum();
        assert_eq!(table.size(), Size { groups: map.len(), bytes: slots * 17 });
        assert_eq!(table.iter().count(), map.len());
        for (key, count) in map {
            assert_eq!(table.get(key.hash64(), &key), Some(&Count(count)));
        }
        assert_eq!(table.get(77_777u64.hash64(), &77_777), None);
    }
}
