//! Digests that compare sealed days, however they are cut into files.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use crate::aggregate::Aggregate;
use crate::codec;
use crate::key::Key;

/// A function of the multiset of rows: the sum modulo 2^128 of XXH3-128 of each row, which is its
/// encoded key followed by its encoded aggregate.
///
/// It does not depend on order, sections or files: the digests of the workers' files of a day add up to the same digest
/// for any number of workers. It finds damage and disagreement, but not deliberate collisions.
///
/// ```
/// use dayfold::batch::Digest;
/// use dayfold::store::LiveBatch;
///
/// /// The digest of a day, whose files several workers have written.
/// fn of_day(files: &[LiveBatch]) -> Digest {
///     files.iter().map(|file| file.digest).sum()
/// }
/// assert_eq!(of_day(&[]), Digest(0));
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Digest(pub u128);

impl Digest {
    /// The digest of one row.
    ///
    /// # Errors
    /// If the aggregate refuses to be serialised.
    pub(crate) fn of<K: Key, A: Aggregate>(key: &K, aggregate: &A) -> bincode::Result<Digest> {
        let mut row = Vec::new();
        key.encode(&mut row);
        codec::encode(aggregate, &mut row)?;
        Ok(Digest::of_row(&row))
    }

    /// Keys are self-delimiting, so their bytes and the aggregate's need nothing in between.
    pub(super) fn of_row(key_and_aggregate: &[u8]) -> Digest {
        Digest(xxh3_128(key_and_aggregate))
    }
}

impl Add for Digest {
    type Output = Digest;
    fn add(self, other: Digest) -> Digest {
        Digest(self.0.wrapping_add(other.0))
    }
}

impl AddAssign for Digest {
    fn add_assign(&mut self, other: Digest) {
        *self = *self + other;
    }
}

impl Sum for Digest {
    fn sum<I: Iterator<Item = Digest>>(digests: I) -> Digest {
        digests.fold(Digest::default(), Add::add)
    }
}

impl fmt::Display for Digest {
    /// 32 hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}
