//! Some rows of a table, which readers may share.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use hashbrown::HashTable;

use super::leaves::Leaves;
use crate::key::Key;
use crate::yielding::let_others_run;

/// Some rows of a table. Readers share them; rows added meanwhile go to copies of their leaves.
#[derive(Clone, Debug)]
pub(super) enum Part<K, A> {
    Own(Leaves<K, A>),
    Shared(Arc<SharedRows<K, A>>),
}

/// Rows that do not change.
#[derive(Debug)]
pub(super) struct SharedRows<K, A> {
    rows: Leaves<K, A>,
    /// The order of the rows by key, once somebody has asked for it; all readers of the same rows share it.
    order: OnceLock<Box<[Place]>>,
}

impl<K: Key, A: Clone> Part<K, A> {
    pub(super) fn new() -> Self {
        Part::Own(Leaves::new(0))
    }

    /// A part with room for so many rows.
    pub(super) fn with_capacity(rows: usize) -> Self {
        Part::Own(Leaves::new(rows))
    }

    #[inline]
    pub(super) fn rows(&self) -> &Leaves<K, A> {
        match self {
            Part::Own(rows) => rows,
            Part::Shared(shared) => &shared.rows,
        }
    }

    /// The rows, to be changed here and nowhere else.
    #[inline]
    pub(super) fn own(&mut self) -> &mut Leaves<K, A> {
        if let Part::Shared(shared) = self {
            let rows = match Arc::get_mut(shared) {
                Some(shared) => std::mem::take(&mut shared.rows),
                None => shared.rows.clone(),
            };
            *self = Part::Own(rows);
        }
        match self {
            Part::Own(rows) => rows,
            Part::Shared(_) => unreachable!("it was made its own"),
        }
    }

    pub(super) fn share(&mut self) -> Self {
        if let Part::Own(rows) = self {
            let rows = std::mem::take(rows);
            *self = Part::Shared(Arc::new(SharedRows { rows, order: OnceLock::new() }));
        }
        self.clone()
    }

    /// Finds the order of rows that are shared.
    pub(super) fn put_in_order(&self) {
        if let Part::Shared(shared) = self {
            shared.order.get_or_init(|| in_order(&shared.rows));
        }
    }

    /// Visits the rows whose encoded keys are in `[from, to)`, in order, until `visit` wants no more. `reached` is the
    /// number of rows below `from`, if known. Returns the number of rows below `to`, or up to where it stopped.
    pub(super) fn visit_interval(
        &self,
        (from, to): (&[u8], Option<&[u8]>),
        reached: Option<usize>,
        visit: &mut dyn FnMut(&K, &A) -> bool,
    ) -> (usize, bool) {
        let (rows, order) = match self {
            Part::Own(rows) => (rows, Cow::Owned(in_order(rows).into_vec())),
            Part::Shared(shared) => {
                let order = shared.order.get_or_init(|| in_order(&shared.rows));
                (&shared.rows, Cow::Borrowed(&order[..]))
            }
        };
        let mut bytes = Vec::new();
        let mut is_below = |key: &K, bound: &[u8]| {
            bytes.clear();
            key.encode(&mut bytes);
            &bytes[..] < bound
        };
        let first = reached
            .unwrap_or_else(|| order.partition_point(|place| is_below(&row(rows, *place).0, from)));
        for (at, place) in order.iter().enumerate().skip(first) {
            let (key, aggregate) = row(rows, *place);
            if to.is_some_and(|to| !is_below(key, to)) {
                return (at, true);
            }
            if !visit(key, aggregate) {
                return (at + 1, false);
            }
        }
        (order.len(), true)
    }
}

/// Where a row is: its leaf, and its place there.
type Place = (u32, u32);

/// The places of rows, in the order of their keys.
fn in_order<K: Key, A: Clone>(rows: &Leaves<K, A>) -> Box<[Place]> {
    let number = |place| u32::try_from(place).expect("a part has fewer than 2^32 places");
    let of_leaf = |(at, leaf): (usize, &HashTable<(K, A)>)| {
        let places: Vec<_> = leaf.iter_buckets().map(number).collect();
        places.into_iter().map(move |place| (number(at), place))
    };
    let mut order: Vec<Place> = rows.leaves().enumerate().flat_map(of_leaf).collect();
    let mut compared = 0u32;
    order.sort_unstable_by(|a, b| {
        compared = compared.wrapping_add(1);
        if compared.is_multiple_of(1_024) {
            let_others_run();
        }
        row(rows, *a).0.cmp(&row(rows, *b).0)
    });
    order.into()
}

fn row<K: Key, A: Clone>(rows: &Leaves<K, A>, (leaf, place): Place) -> &(K, A) {
    rows.at(leaf as usize, place as usize).expect("a row is at its place")
}

#[cfg(test)]
mod tests {
    use super::super::leaves::Outlived;
    use super::*;
    use crate::aggregate::Sum;
    use crate::key::encoded;

    #[test]
    fn oracle_intervals_have_their_rows_in_order_shared_or_not() {
        let (mut part, outlived) = (Part::new(), Outlived::default());
        let keys: Vec<i64> = (0..500).map(|n| (n * 7_919) % 1_009 - 500).collect();
        for key in &keys {
            part.own().add(&outlived, key.hash64(), *key, Sum::of(2 * *key));
        }
        let shared = part.share();
        for part in [part.clone(), shared, Part::Own(part.own().clone())] {
            part.put_in_order();
            for (from, to) in
                [(-600, Some(600)), (-3, Some(4)), (10, None), (7, Some(7)), (9, Some(1))]
            {
                let mut expected: Vec<i64> = keys.clone();
                expected.retain(|key| *key >= from && to.is_none_or(|to| *key < to));
                expected.sort_unstable();
                let (mut found, to) = (Vec::new(), to.map(|to: i64| encoded(&to)));
                let visit = &mut |key: &i64, value: &Sum| {
                    assert_eq!(*value, Sum::of(2 * key));
                    found.push(*key);
                    true
                };
                let (end, is_whole) =
                    part.visit_interval((&encoded(&from), to.as_deref()), None, visit);
                assert!(is_whole);
                assert_eq!(found, expected);
                let mut next = None;
                let visit = &mut |key: &i64, _: &Sum| {
                    next.get_or_insert(*key);
                    next.is_none()
                };
                if let Some(to) = &to {
                    part.visit_interval((to, None), Some(end), visit);
                    let mut keys = keys.clone();
                    keys.sort_unstable();
                    assert_eq!(
                        next,
                        keys.get(end).copied(),
                        "the next interval goes on from there"
                    );
                }
            }
            let mut left = 3;
            let (end, is_whole) = part.visit_interval((&[], None), None, &mut |_, _| {
                left -= 1;
                left > 0
            });
            assert_eq!((end, is_whole, left), (3, false, 0));
        }
    }
}
