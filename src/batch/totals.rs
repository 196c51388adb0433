//! Totals of a file by leading columns of the key: of all keys, of those with the same first column, and so on.

use std::collections::HashMap;

use crate::aggregate::Aggregate;
use crate::key::{Key, KeyRange};
use crate::schema::Leading;

/// A file keeps at most one total per this many rows, so totals neither slow sealing down nor double the file.
const ROWS_PER_TOTAL: usize = 8;

/// The most leading columns; more than any key that is queried by prefix has.
pub(super) const LEVELS_MAX: usize = 16;

/// The keys of a total: those that begin with the same columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Prefix<'a> {
    /// How many columns.
    pub(super) columns: usize,
    /// Their encoding.
    pub(super) bytes: &'a [u8],
}

impl<'a> Prefix<'a> {
    /// `None` if the range is not exactly the keys that begin with some columns.
    pub(crate) fn of<K: Key>(range: &'a KeyRange) -> Option<Prefix<'a>> {
        let bytes = range.lower();
        if range.is_all() {
            return Some(Prefix { columns: 0, bytes });
        }
        let columns = Leading::of::<K>().columns_of(bytes)?;
        (KeyRange::starting_with(bytes.to_vec()) == *range).then_some(Prefix { columns, bytes })
    }
}

/// A file's answer for a prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Total<A> {
    /// The total of the keys; `None` if there are no such keys.
    Kept(Option<A>),
    /// The file has no total for prefixes of this length, or only a part of it counts; the rows must be read.
    NotKept,
}

/// How many lengths of prefixes have totals, and the totals in order of prefix.
type Listed<A> = (usize, Vec<(Box<[u8]>, A)>);

/// Totals that are being added up.
pub(super) struct Totals<A> {
    leading: Leading,
    /// By number of leading columns.
    levels: Vec<HashMap<Box<[u8]>, A>>,
    /// The most totals in all.
    most: usize,
    count: usize,
}

impl<A: Aggregate> Totals<A> {
    /// The totals of a file of about this many rows.
    pub(super) fn new<K: Key>(expected_rows: u64) -> Totals<A> {
        let most = usize::try_from(expected_rows).unwrap_or(usize::MAX) / ROWS_PER_TOTAL;
        Totals::of_levels::<K>(LEVELS_MAX, most)
    }

    pub(super) fn of_levels<K: Key>(levels: usize, most: usize) -> Totals<A> {
        let levels = (0..levels).map(|_| HashMap::new()).collect();
        let mut totals = Totals { leading: Leading::of::<K>(), levels, most, count: 0 };
        totals.keep(most);
        totals
    }

    /// Adds a row.
    pub(super) fn add(&mut self, key: &[u8], aggregate: &A) {
        let (mut columns, mut end) = (0, 0);
        while columns < self.levels.len() {
            if columns > 0 {
                match self.leading.next(key, columns - 1, end) {
                    Some(next) => end = next,
                    None => {
                        self.drop_from(columns);
                        return;
                    }
                }
            }
            let level = &mut self.levels[columns];
            match level.get_mut(&key[..end]) {
                Some(total) => total.plus_equals(aggregate),
                None => {
                    // The longest prefixes are dropped before that, so that no total is made only to be dropped.
                    while self.count >= self.most {
                        self.drop_from(self.levels.len() - 1);
                        if self.levels.len() == columns {
                            return;
                        }
                    }
                    self.levels[columns].insert(key[..end].into(), aggregate.clone());
                    self.count += 1;
                }
            }
            columns += 1;
        }
    }

    /// Drops the longest prefixes as long as there are more than this many totals.
    fn keep(&mut self, most: usize) {
        while self.count > most || (most == 0 && !self.levels.is_empty()) {
            self.drop_from(self.levels.len() - 1);
        }
    }

    fn drop_from(&mut self, columns: usize) {
        self.count -= self.levels.drain(columns..).map(|level| level.len()).sum::<usize>();
    }

    /// The totals to keep for a file of this many rows.
    pub(super) fn finish(mut self, rows: u64) -> Listed<A> {
        self.keep(usize::try_from(rows).unwrap_or(usize::MAX) / ROWS_PER_TOTAL);
        self.into_sorted()
    }

    pub(super) fn into_sorted(self) -> Listed<A> {
        let levels = self.levels.len();
        let mut totals: Vec<_> = self.levels.into_iter().flatten().collect();
        totals.sort_unstable_by(|(left, _), (right, _)| left.cmp(right));
        (levels, totals)
    }
}
