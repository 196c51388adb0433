//! Some rows of a table, which readers elsewhere may share.

use std::borrow::Cow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use hashbrown::HashTable;

use crate::key::Key;

/// Some rows of a table. Whoever reads them elsewhere shares them; what is added then is added to a copy.
#[derive(Clone, Debug)]
pub(super) enum Part<K, A> {
    Own(HashTable<(K, A)>),
    Shared(Arc<SharedRows<K, A>>),
}

/// Counts the bytes of rows that readers alone hold: newer rows have taken their place. Clones count together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outlived {
    bytes: Arc<AtomicUsize>,
}

impl Outlived {
    /// Bytes of slots, about; what keys and aggregates hold besides is not counted.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    fn count(&self, bytes: usize) -> Counted {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        Counted { outlived: self.clone(), bytes }
    }
}

/// Bytes that are counted until this is dropped.
#[derive(Debug)]
struct Counted {
    outlived: Outlived,
    bytes: usize,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.outlived.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Rows that do not change.
#[derive(Debug)]
pub(super) struct SharedRows<K, A> {
    rows: HashTable<(K, A)>,
    /// Their places in the order of their keys, once somebody has asked for it: all who read the same rows share it.
    order: OnceLock<Box<[u32]>>,
    /// Once readers alone hold them.
    outlived: OnceLock<Counted>,
}

impl<K, A> SharedRows<K, A> {
    fn count(&self, outlived: &Outlived) {
        self.outlived.get_or_init(|| outlived.count(self.rows.allocation_size()));
    }
}

impl<K: Clone, A: Clone> Part<K, A> {
    #[inline]
    pub(super) fn rows(&self) -> &HashTable<(K, A)> {
        match self {
            Part::Own(rows) => rows,
            Part::Shared(shared) => &shared.rows,
        }
    }

    /// The rows, to be changed here and nowhere else.
    #[inline]
    pub(super) fn own(&mut self, outlived: &Outlived) -> &mut HashTable<(K, A)> {
        if let Part::Shared(shared) = self {
            let rows = match Arc::get_mut(shared) {
                Some(shared) => std::mem::take(&mut shared.rows),
                None => {
                    shared.count(outlived);
                    shared.rows.clone()
                }
            };
            *self = Part::Own(rows);
        }
        match self {
            Part::Own(rows) => rows,
            Part::Shared(_) => unreachable!("it was made its own"),
        }
    }

    /// Counts shared rows as held by readers alone, until those have gone.
    pub(super) fn leave_to_readers(&self, outlived: &Outlived) {
        if let Part::Shared(shared) = self {
            shared.count(outlived);
        }
    }

    pub(super) fn share(&mut self) -> Self {
        if let Part::Own(rows) = self {
            let rows = std::mem::take(rows);
            let (order, outlived) = (OnceLock::new(), OnceLock::new());
            *self = Part::Shared(Arc::new(SharedRows { rows, order, outlived }));
        }
        self.clone()
    }
}

impl<K: Key, A: Clone> Part<K, A> {
    /// Finds the order of rows that are shared.
    pub(super) fn put_in_order(&self) {
        if let Part::Shared(shared) = self {
            shared.order.get_or_init(|| in_order(&shared.rows));
        }
    }

    /// Visits the rows whose encoded keys are in `[from, to)`, in order. Says no once `visit` wants no more.
    pub(super) fn visit_interval(
        &self,
        from: &[u8],
        to: Option<&[u8]>,
        visit: &mut dyn FnMut(&K, &A) -> bool,
    ) -> bool {
        let (rows, order) = match self {
            Part::Own(rows) => (rows, Cow::Owned(in_order(rows).into_vec())),
            Part::Shared(shared) => {
                let order = shared.order.get_or_init(|| in_order(&shared.rows));
                (&shared.rows, Cow::Borrowed(&order[..]))
            }
        };
        let mut bytes = Vec::new();
        let mut places_below = |bound: &[u8]| {
            order.partition_point(|place| {
                bytes.clear();
                row(rows, *place).0.encode(&mut bytes);
                &bytes[..] < bound
            })
        };
        let first = places_below(from);
        let end = to.map_or(order.len(), places_below);
        order[first..end.max(first)].iter().all(|place| {
            let (key, aggregate) = row(rows, *place);
            visit(key, aggregate)
        })
    }
}

/// The places of rows, in the order of their keys.
fn in_order<K: Ord, A>(rows: &HashTable<(K, A)>) -> Box<[u32]> {
    let place = |place| u32::try_from(place).expect("a part has fewer than 2^32 places");
    let mut order: Vec<u32> = rows.iter_buckets().map(place).collect();
    order.sort_unstable_by(|a, b| row(rows, *a).0.cmp(&row(rows, *b).0));
    order.into()
}

fn row<K, A>(rows: &HashTable<(K, A)>, place: u32) -> &(K, A) {
    rows.get_bucket(place as usize).expect("a row is at its place")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::encoded;

    #[test]
    fn oracle_intervals_have_their_rows_in_order_shared_or_not() {
        let (mut part, outlived) = (Part::Own(HashTable::new()), Outlived::default());
        let keys: Vec<i64> = (0..500).map(|n| (n * 7_919) % 1_009 - 500).collect();
        for key in &keys {
            part.own(&outlived).insert_unique(key.hash64(), (*key, 2 * *key), |row| row.0.hash64());
        }
        let shared = part.share();
        for part in [part.clone(), shared, Part::Own(part.own(&outlived).clone())] {
            part.put_in_order();
            for (from, to) in
                [(-600, Some(600)), (-3, Some(4)), (10, None), (7, Some(7)), (9, Some(1))]
            {
                let mut expected: Vec<i64> = keys.clone();
                expected.retain(|key| *key >= from && to.is_none_or(|to| *key < to));
                expected.sort_unstable();
                let (mut found, to) = (Vec::new(), to.map(|to: i64| encoded(&to)));
                let visit = &mut |key: &i64, value: &i64| {
                    assert_eq!(*value, 2 * key);
                    found.push(*key);
                    true
                };
                assert!(part.visit_interval(&encoded(&from), to.as_deref(), visit));
                assert_eq!(found, expected);
            }
            let mut left = 3;
            let is_whole = part.visit_interval(&[], None, &mut |_, _| {
                left -= 1;
                left > 0
            });
            assert!(!is_whole && left == 0);
        }
    }

    #[test]
    fn rows_that_readers_alone_hold_are_counted_as_long_as_they_do() {
        let (mut part, outlived) = (Part::Own(HashTable::new()), Outlived::default());
        part.own(&outlived).insert_unique(1u64.hash64(), (1u64, 1), |row| row.0.hash64());
        let bytes = part.rows().allocation_size();
        let (first, again) = (part.share(), part.share());
        assert_eq!(outlived.bytes(), 0, "the table has them, too");
        part.own(&outlived);
        assert_eq!(outlived.bytes(), bytes);
        let second = part.share();
        part.own(&outlived);
        assert_eq!(outlived.bytes(), 2 * bytes);
        drop(first);
        assert_eq!(outlived.bytes(), 2 * bytes);
        drop(again);
        assert_eq!(outlived.bytes(), bytes);
        drop(second);
        drop(part.share());
        part.own(&outlived);
        assert_eq!(outlived.bytes(), 0, "who has gone counts for nothing");
    }
}
