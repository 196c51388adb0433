//! Sets of partitions.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::key::{PARTITIONS, owner};

/// A set of partitions: the keys that a file covers.
///
/// A file has all keys of each partition that it covers; a covered partition without rows is empty. It says nothing
/// about partitions that it does not cover.
///
/// ```
/// use dayfold::batch::Coverage;
///
/// assert!(Coverage::ALL.contains(255) && Coverage::NONE.is_empty());
/// assert_eq!(Coverage::NONE.union(Coverage::ALL), Coverage::ALL);
/// assert_eq!(Coverage::ALL.iter().count(), Coverage::ALL.len());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Coverage([u64; PARTITIONS / 64]);

impl Coverage {
    /// No partition.
    pub const NONE: Coverage = Coverage([0; PARTITIONS / 64]);
    /// Every partition.
    pub const ALL: Coverage = Coverage([u64::MAX; PARTITIONS / 64]);

    /// The partitions that `worker` of `peers` owns; none for a worker beyond the number of partitions.
    ///
    /// # Panics
    /// If `worker` is not below `peers`.
    pub(crate) fn of_owner(worker: usize, peers: usize) -> Coverage {
        assert!(worker < peers, "worker {worker} of {peers}");
        (0..PARTITIONS).filter(|&partition| owner(partition, peers) == worker).collect()
    }

    /// Whether `partition` is in the set.
    #[inline]
    pub fn contains(&self, partition: usize) -> bool {
        partition < PARTITIONS && self.0[partition / 64] >> (partition % 64) & 1 == 1
    }

    /// Adds `partition`.
    ///
    /// # Panics
    /// If it is not below [`PARTITIONS`].
    pub(crate) fn insert(&mut self, partition: usize) {
        assert!(partition < PARTITIONS, "partition {partition} of {PARTITIONS}");
        self.0[partition / 64] |= 1 << (partition % 64);
    }

    /// The partitions in either set.
    #[must_use]
    pub fn union(self, other: Coverage) -> Coverage {
        Coverage(std::array::from_fn(|word| self.0[word] | other.0[word]))
    }

    /// The partitions in both sets.
    #[must_use]
    pub(crate) fn intersection(self, other: Coverage) -> Coverage {
        Coverage(std::array::from_fn(|word| self.0[word] & other.0[word]))
    }

    /// The partitions in this set that are not in `other`.
    #[must_use]
    pub(crate) fn difference(self, other: Coverage) -> Coverage {
        Coverage(std::array::from_fn(|word| self.0[word] & !other.0[word]))
    }

    /// Whether the set is empty.
    pub fn is_empty(&self) -> bool {
        *self == Coverage::NONE
    }

    /// The number of partitions in the set.
    pub fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// The partitions in the set, ascending.
    pub fn iter(self) -> impl Iterator<Item = usize> {
        (0..PARTITIONS).filter(move |&partition| self.contains(partition))
    }
}

impl FromIterator<usize> for Coverage {
    fn from_iter<I: IntoIterator<Item = usize>>(partitions: I) -> Coverage {
        let mut coverage = Coverage::NONE;
        partitions.into_iter().for_each(|partition| coverage.insert(partition));
        coverage
    }
}

impl fmt::Debug for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Coverage::ALL {
            return f.write_str("all");
        }
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_share_the_partitions_without_rest() {
        for peers in [1, 2, 3, 7, 16, 255, 256, 300] {
            let mut seen = Coverage::NONE;
            for worker in 0..peers {
                let own = Coverage::of_owner(worker, peers);
                assert!(seen.intersection(own).is_empty(), "worker {worker} of {peers}");
                assert!(own.iter().all(|partition| owner(partition, peers) == worker));
                seen = seen.union(own);
            }
            assert_eq!(seen, Coverage::ALL, "{peers} workers");
        }
    }

    #[test]
    fn sets() {
        let even = Coverage::of_owner(0, 2);
        assert_eq!(even.len(), 128);
        assert_eq!(Coverage::ALL.difference(even), Coverage::of_owner(1, 2));
        assert!(Coverage::of_owner(2, 4).difference(even).is_empty());
        assert!(!even.difference(Coverage::of_owner(2, 4)).is_empty());
        assert!(!Coverage::ALL.contains(PARTITIONS));
        assert_eq!([3, 255].into_iter().collect::<Coverage>().iter().collect::<Vec<_>>(), [3, 255]);
    }
}
