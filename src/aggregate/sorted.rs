//! Sorted vectors without duplicates, in which distinct counts and quantiles are kept.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::buckets::Units;

/// An entry of a sorted vector: entries of one key are joined into one.
pub(super) trait Entry: Copy {
    /// The key by which entries are sorted.
    type Key: Ord;
    fn key(&self) -> Self::Key;
    /// Joins another entry of the same key.
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
/// The count is a `u64` in two halves, so a run does not need an alignment of eight: with a key of four bytes it takes
/// twelve bytes instead of sixteen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct SortedRun<K> {
    pub(super) key: K,
    high: u32,
    low: u32,
}

impl<K> SortedRun<K> {
    #[inline]
    pub(super) fn new(key: K, count: u64) -> SortedRun<K> {
        SortedRun { key, high: (count >> 32) as u32, low: count as u32 }
    }

    #[inline]
    pub(super) fn count(&self) -> u64 {
        u64::from(self.high) << 32 | u64::from(self.low)
    }
}

impl<K: Ord + Copy> Entry for SortedRun<K> {
    type Key = K;
    #[inline]
    fn key(&self) -> K {
        self.key
    }
    #[inline]
    fn join(&mut self, other: &SortedRun<K>) {
        // More events than a u64 counts cannot come; wrapping keeps the laws without a panic.
        *self = SortedRun::new(self.key, self.count().wrapping_add(other.count()));
    }
}

/// Whether entries are sorted, each key once.
pub(super) fn is_sorted<E: Entry>(entries: &[E]) -> bool {
    entries.is_sorted_by(|left, right| left.key() < right.key())
}

/// A value and how often it occurs, up to `u32::MAX` times, in one number. The value is in the upper bits, so that two
/// are compared in one step: sorting them is a good part of what quantiles cost.
///
/// It is written as a [`SortedRun`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "SortedRun<Units>", try_from = "SortedRun<Units>")]
pub(super) struct Times(u128);

impl Times {
    #[inline]
    pub(super) fn once(value: Units) -> Times {
        Times(value.turned() << 32 | 1)
    }

    #[inline]
    pub(super) fn value(self) -> Units {
        Units::of_turned(self.0 >> 32)
    }

    #[inline]
    pub(super) fn count(self) -> u64 {
        u64::from(self.0 as u32)
    }
}

impl Entry for Times {
    type Key = u128;
    #[inline]
    fn key(&self) -> u128 {
        self.0 >> 32
    }
    #[inline]
    fn join(&mut self, other: &Times) {
        // States in this form have fewer values than a u32 counts; wrapping keeps the laws without a panic.
        let count = (self.0 as u32).wrapping_add(other.0 as u32);
        self.0 = self.0 >> 32 << 32 | u128::from(count);
    }
}

impl From<Times> for SortedRun<Units> {
    fn from(times: Times) -> SortedRun<Units> {
        SortedRun::new(times.value(), times.count())
    }
}

impl TryFrom<SortedRun<Units>> for Times {
    type Error = &'static str;
    fn try_from(run: SortedRun<Units>) -> Result<Times, &'static str> {
        match run.high {
            0 => Ok(Times(run.key.turned() << 32 | u128::from(run.low))),
            _ => Err("a value occurs more often than values are kept exactly"),
        }
    }
}

impl fmt::Debug for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        SortedRun::from(*self).fmt(f)
    }
}

/// Up to so many entries are always in order.
const SHORT: usize = 128;

/// Up to so many entries of another vector are added one by one.
const FEW: usize = 8;

/// Sorted entries, one for each key: they are compared, printed and written in this form.
///
/// Few entries, up to [`SHORT`], are always in this order: a new one is inserted, or joined with the one of its key,
/// and two short vectors are merged. Of more entries, the latest ones wait at the end in memory, in the order in which they
/// came, until there is no more room; then all are sorted, and entries of one key are joined. So adding one to a long
/// vector only appends it, and each sort handles many new entries at once.
///
/// Nothing changes behind a shared reference: to read unsorted entries, a sorted copy is made.
///
/// The vector grows by three quarters of its length (a short one to twice its length), or by the number of entries to
/// be added. A copy is sorted: a state to be sealed is copied, and the copy is then written and added to totals.
pub(super) struct Sorted<E>(Vec<E>);

impl<E: Entry> Sorted<E> {
    /// Two entries, and no room for more.
    pub(super) fn pair(one: E, other: E) -> Sorted<E> {
        let mut entries = Sorted(Vec::with_capacity(2));
        entries.0.push(one);
        entries.insert(other);
        entries
    }

    /// Entries as they were read. They may be in another order, but then the caller refuses them.
    pub(super) fn of(entries: Vec<E>) -> Sorted<E> {
        Sorted(entries)
    }

    /// All entries in any order; a key may occur more than once.
    #[inline]
    pub(super) fn as_added(&self) -> &[E] {
        &self.0
    }

    /// Each key once, in order.
    pub(super) fn in_order(&self) -> Cow<'_, [E]> {
        match self.0.len() <= SHORT || is_sorted(&self.0) {
            true => Cow::Borrowed(&self.0),
            false => Cow::Owned(self.clone().0),
        }
    }

    #[inline]
    pub(super) fn add(&mut self, entry: E) {
        if self.0.len() <= SHORT {
            return self.insert(entry);
        }
        if self.0.len() == self.0.capacity() {
            self.make_room(1);
        }
        self.0.push(entry);
    }

    /// Adds all entries of another vector.
    pub(super) fn add_all(&mut self, Sorted(entries): &Sorted<E>) {
        if entries.len() <= FEW {
            return entries.iter().for_each(|entry| self.add(*entry));
        }
        if self.0.len() <= SHORT && entries.len() <= SHORT {
            self.0 = merged(&self.0, entries);
            return;
        }
        if entries.len() > self.0.capacity() - self.0.len() {
            self.make_room(entries.len());
        }
        self.0.extend_from_slice(entries);
    }

    /// Adds an entry to entries that are in order, and keeps them so.
    #[inline]
    fn insert(&mut self, entry: E) {
        let key = entry.key();
        let at = self.0.partition_point(|there| there.key() < key);
        match self.0.get_mut(at) {
            Some(there) if there.key() == key => there.join(&entry),
            _ => {
                let len = self.0.len();
                if len == self.0.capacity() {
                    self.0.reserve_exact(if len <= 16 { len.max(2) } else { len / 4 * 3 });
                }
                self.0.insert(at, entry);
            }
        }
    }

    /// Sorts the entries, and joins those of one key.
    pub(super) fn settle(&mut self) {
        if self.0.len() > SHORT && !is_sorted(&self.0) {
            // A stable sort detects the part that is already sorted, and only merges the latest entries.
            self.0.sort_by_key(Entry::key);
            self.0.dedup_by(|later, earlier| {
                let same = later.key() == earlier.key();
                if same {
                    earlier.join(later);
                }
                same
            });
        }
    }

    /// Makes room for this many more entries, first by joining the existing ones. A quarter of the room is free
    /// afterwards, so this happens once for many entries.
    #[cold]
    fn make_room(&mut self, more: usize) {
        self.settle();
        let (len, room) = (self.0.len(), self.0.capacity());
        if len + more > room || len > room / 4 * 3 {
            self.0.reserve_exact(more.max(len / 4 * 3).max(2));
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.0.capacity() * size_of::<E>()
    }
}

/// Two vectors that are in order, in one.
fn merged<E: Entry>(left: &[E], right: &[E]) -> Vec<E> {
    let mut merged = Vec::with_capacity(left.len() + right.len());
    let (mut l, mut r) = (0, 0);
    while let (Some(one), Some(other)) = (left.get(l), right.get(r)) {
        let order = one.key().cmp(&other.key());
        let mut entry = if order.is_gt() { *other } else { *one };
        if order.is_eq() {
            entry.join(other);
        }
        merged.push(entry);
        l += usize::from(order.is_le());
        r += usize::from(order.is_ge());
    }
    merged.extend_from_slice(&left[l..]);
    merged.extend_from_slice(&right[r..]);
    merged
}

impl<E: Entry> Clone for Sorted<E> {
    fn clone(&self) -> Self {
        let mut copy = Sorted(self.0.clone());
        copy.settle();
        copy
    }
}

impl<E: Entry + PartialEq> PartialEq for Sorted<E> {
    fn eq(&self, other: &Self) -> bool {
        self.in_order() == other.in_order()
    }
}

impl<E: Entry + Eq> Eq for Sorted<E> {}

impl<E: Entry + Ord> PartialOrd for Sorted<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E: Entry + Ord> Ord for Sorted<E> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.in_order().cmp(&other.in_order())
    }
}

impl<E: Entry + fmt::Debug> fmt::Debug for Sorted<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.in_order().fmt(f)
    }
}

/// As the vector of the entries in order.
impl<E: Entry + Serialize> Serialize for Sorted<E> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.in_order().serialize(serializer)
    }
}

/// Reads the entries unchecked: the caller must check that they are sorted.
impl<'de, E: Entry + Deserialize<'de>> Deserialize<'de> for Sorted<E> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::deserialize(deserializer).map(Sorted)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn runs(map: &BTreeMap<i32, u64>) -> Vec<SortedRun<i32>> {
        map.iter().map(|(key, count)| SortedRun::new(*key, *count)).collect()
    }

    #[test]
    fn a_run_is_compact() {
        assert_eq!(size_of::<SortedRun<i32>>(), 12);
        assert_eq!(SortedRun::new(0, u64::MAX - 1).count(), u64::MAX - 1);
        assert!(SortedRun::new(0, 1 << 32) > SortedRun::new(0, u64::from(u32::MAX)));
    }

    proptest! {
        #[test]
        fn oracle_what_is_added_in_any_way_is_a_map(
            keys in prop_oneof![Just(40), Just(400)],
            steps in vec(
                (vec((-400..400i32, 1..1u64 << 40), 0..200), any::<bool>(), any::<bool>()), 0..12,
            ),
        ) {
            let mut sorted = Sorted::pair(SortedRun::new(0, 1), SortedRun::new(0, 2));
            let (mut expect, mut most) = (BTreeMap::from([(0, 3)]), 2);
            for (mut entries, at_once, look) in steps {
                entries.iter_mut().for_each(|(key, _)| *key %= keys);
                let added: Vec<_> = entries.iter().map(|&(key, count)| SortedRun::new(key, count)).collect();
                if at_once {
                    most = most.max(added.len());
                    let mut other = Sorted(Vec::new());
                    added.iter().for_each(|entry| other.add(*entry));
                    sorted.add_all(&other);
                } else {
                    added.iter().for_each(|entry| sorted.add(*entry));
                }
                for (key, count) in entries {
                    *expect.entry(key).or_default() += count;
                }
                if look {
                    sorted.settle();
                }
                let in_order = Sorted::of(runs(&expect));
                prop_assert_eq!(&*sorted.in_order(), in_order.as_added());
                prop_assert_eq!(&sorted, &in_order);
                prop_assert_eq!(sorted.cmp(&in_order), Ordering::Equal);
                prop_assert_eq!(format!("{sorted:?}"), format!("{in_order:?}"));
                prop_assert_eq!(bincode::serialize(&sorted).unwrap(), bincode::serialize(&in_order).unwrap());
                prop_assert!(sorted.heap_bytes() <= 12 * (2 * expect.len() + most));
            }
        }
    }
}
