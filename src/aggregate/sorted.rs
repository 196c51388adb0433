//! Sorted vectors without duplicates, which distinct counts and quantiles are kept in.

use serde::{Deserialize, Serialize};

/// An entry of a sorted vector: entries of one key are joined into one.
pub(super) trait Entry: Copy {
    /// What entries are sorted by.
    type Key: Ord;
    fn key(&self) -> Self::Key;
    /// Takes up another entry of the same key.
    fn join(&mut self, other: &Self);
}

/// A set of numbers: entries of one key are the same.
impl Entry for u32 {
    type Key = u32;
    #[inline]
    fn key(&self) -> u32 {
        *self
    }
    #[inline]
    fn join(&mut self, _other: &u32) {}
}

/// A key, and how often it occurs.
///
/// The count is a `u64` in two halves, so that a run needs no alignment of eight: with a key of four
/// bytes it takes twelve bytes instead of sixteen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Run<K> {
    pub(super) key: K,
    high: u32,
    low: u32,
}

impl<K> Run<K> {
    #[inline]
    pub(super) fn new(key: K, count: u64) -> Run<K> {
        Run { key, high: (count >> 32) as u32, low: count as u32 }
    }

    #[inline]
    pub(super) fn count(&self) -> u64 {
        u64::from(self.high) << 32 | u64::from(self.low)
    }
}

impl<K: Ord + Copy> Entry for Run<K> {
    type Key = K;
    #[inline]
    fn key(&self) -> K {
        self.key
    }
    #[inline]
    fn join(&mut self, other: &Run<K>) {
        // More events than a u64 counts cannot come; wrapping keeps the laws without a panic.
        *self = Run::new(self.key, self.count().wrapping_add(other.count()));
    }
}

/// Whether entries are sorted, each key once.
pub(super) fn is_sorted<E: Entry>(entries: &[E]) -> bool {
    entries.is_sorted_by(|left, right| left.key() < right.key())
}

/// Adds one entry: a binary search, and a move of what follows if the key is new.
pub(super) fn insert<E: Entry>(entries: &mut Vec<E>, entry: E) {
    match entries.binary_search_by_key(&entry.key(), Entry::key) {
        Ok(found) => entries[found].join(&entry),
        Err(place) => entries.insert(place, entry),
    }
}

/// How much longer than the other one a vector must be for single insertions to beat a merge.
const MUCH_LONGER: usize = 16;

/// Adds sorted entries: linear in both, and in place.
pub(super) fn merge<E: Entry>(entries: &mut Vec<E>, others: &[E]) {
    if others.len() * MUCH_LONGER < entries.len() {
        for other in others {
            insert(entries, *other);
        }
        return;
    }
    let new = join_known(entries, others);
    let Some(filler) = others.last().filter(|_| new > 0) else { return };
    let mut left = entries.len();
    let mut right = others.len();
    // Room for the new keys is made at the end, then both are merged backwards: the place written to
    // never falls behind the entries of the left that are still to be read. Once all new keys have their
    // place, what is left of the left has it, too.
    let mut place = left + new;
    entries.resize(place, *filler);
    while place > left {
        place -= 1;
        let other = others[right - 1];
        if left > 0 && entries[left - 1].key() >= other.key() {
            left -= 1;
            entries[place] = entries[left];
            right -= usize::from(entries[place].key() == other.key());
        } else {
            right -= 1;
            entries[place] = other;
        }
    }
    debug_assert!(is_sorted(entries));
}

/// Joins those of `others` whose keys are there; returns how many are not.
fn join_known<E: Entry>(entries: &mut [E], others: &[E]) -> usize {
    let (mut at, mut new) = (0, 0);
    for other in others {
        let key = other.key();
        while entries.get(at).is_some_and(|entry| entry.key() < key) {
            at += 1;
        }
        match entries.get_mut(at) {
            Some(entry) if entry.key() == key => entry.join(other),
            _ => new += 1,
        }
    }
    new
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::collection::btree_map;
    use proptest::prelude::*;

    use super::*;

    fn runs(map: &BTreeMap<i32, u64>) -> Vec<Run<i32>> {
        map.iter().map(|(key, count)| Run::new(*key, *count)).collect()
    }

    #[test]
    fn a_run_is_compact() {
        assert_eq!(size_of::<Run<i32>>(), 12);
        assert_eq!(Run::new(0, u64::MAX - 1).count(), u64::MAX - 1);
        assert!(Run::new(0, 1 << 32) > Run::new(0, u64::from(u32::MAX)));
    }

    proptest! {
        #[test]
        fn oracle_merge_is_that_of_maps(
            left in btree_map(-40..40i32, 1..1u64 << 40, 0..60),
            right in btree_map(-40..40i32, 1..1u64 << 40, 0..60),
        ) {
            let mut merged = runs(&left);
            merge(&mut merged, &runs(&right));
            let mut inserted = runs(&left);
            let mut expect = left;
            for (key, count) in right {
                insert(&mut inserted, Run::new(key, count));
                *expect.entry(key).or_default() += count;
            }
            prop_assert_eq!(&merged, &runs(&expect));
            prop_assert_eq!(&inserted, &merged);
        }
    }
}
