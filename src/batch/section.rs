//! One section of a file: index, order, rows. It is borrowed, bounds-checked, and decoded row by row.

use super::error::Damage;
use super::format::{ROW_INDEX_BYTES, SectionEntry, u32_at};
use crate::codec;

/// A section whose checksum has been verified. Its bytes are still not trusted, because the file may have been written
/// for other types.
#[derive(Clone, Copy)]
pub(super) struct Section<'a> {
    /// The beginning of the rows in the file, for messages.
    rows_at: usize,
    index: &'a [[u8; 8]],
    order: &'a [[u8; 4]],
    rows: &'a [u8],
}

/// A row as stored in the file.
#[derive(Clone, Copy)]
pub(super) struct EncodedRow<'a> {
    /// The position of the row in the file, for messages.
    pub(super) offset: usize,
    /// The encoded key.
    pub(super) key: &'a [u8],
    /// The encoded aggregate.
    pub(super) aggregate: &'a [u8],
    /// Both.
    pub(super) body: &'a [u8],
}

impl<'a> Section<'a> {
    /// `bytes` are the bytes of the entry; opening has checked that they hold index and order.
    pub(super) fn new(bytes: &'a [u8], entry: &SectionEntry) -> Section<'a> {
        let count = entry.rows as usize;
        let (index, rest) = bytes.split_at(count * 8);
        let (order, rows) = rest.split_at(count * (ROW_INDEX_BYTES - 8));
        Section {
            rows_at: entry.offset as usize + count * ROW_INDEX_BYTES,
            index: index.as_chunks().0,
            order: order.as_chunks().0,
            rows,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    /// The bits of the sort position after those of the section.
    #[inline]
    pub(super) fn position(&self, row: usize) -> u32 {
        u32_at(&self.index[row], 0)
    }

    /// The row in file order.
    #[inline]
    pub(super) fn row(&self, row: usize) -> Result<EncodedRow<'a>, Damage> {
        let start = u32_at(&self.index[row], 4) as usize;
        let end = self.index.get(row + 1).map_or(self.rows.len(), |next| u32_at(next, 4) as usize);
        let offset = self.rows_at + start;
        let damage = |what| Damage::new(what, offset);
        let bytes = self.rows.get(start..end).ok_or(damage("a row lies outside its section"))?;
        let mut body = bytes;
        let length = codec::take_varint(&mut body).ok_or(damage("a row has no key length"))?;
        let (key, aggregate) = usize::try_from(length)
            .ok()
            .and_then(|length| body.split_at_checked(length))
            .ok_or(damage("a key is longer than its row"))?;
        Ok(EncodedRow { offset, key, aggregate, body })
    }

    /// The number of the row at `rank` in the order of keys.
    #[inline]
    pub(super) fn in_key_order(&self, rank: usize) -> Result<usize, Damage> {
        let row = u32_at(&self.order[rank], 0) as usize;
        if row < self.len() {
            Ok(row)
        } else {
            let offset = self.rows_at - (self.len() - rank) * 4;
            Err(Damage::new("the order of keys names a row that is not there", offset))
        }
    }

    /// The first row at or after `position`.
    ///
    /// Positions are hashes and so uniform: the first guess is near, and a galloping search finds the rest. If the
    /// index is not sorted, the result is some row; the search does not fail.
    #[inline]
    pub(super) fn seek(&self, position: u32) -> usize {
        let count = self.len();
        if count == 0 {
            return 0;
        }
        let guess = ((u64::from(position) * count as u64) >> 32) as usize;
        let (mut lower, mut upper, mut step) = (0, count, 1);
        if self.position(guess) < position {
            lower = guess + 1;
            while lower < count {
                let probe = (lower + step).min(count) - 1;
                if self.position(probe) >= position {
                    upper = probe;
                    break;
                }
                lower = probe + 1;
                step *= 2;
            }
        } else {
            upper = guess;
            while upper > 0 {
                let probe = upper.saturating_sub(step);
                if self.position(probe) < position {
                    lower = probe + 1;
                    break;
                }
                upper = probe;
                step *= 2;
            }
        }
        while lower < upper {
            let middle = lower.midpoint(upper);
            if self.position(middle) < position {
                lower = middle + 1;
            } else {
                upper = middle;
            }
        }
        lower
    }

    /// The rank of the first key, in order of keys, that is not below `bound`.
    pub(super) fn seek_key(&self, bound: &[u8]) -> Result<usize, Damage> {
        let (mut lower, mut upper) = (0, self.len());
        while lower < upper {
            let middle = lower.midpoint(upper);
            if self.row(self.in_key_order(middle)?)?.key < bound {
                lower = middle + 1;
            } else {
                upper = middle;
            }
        }
        Ok(lower)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Interpolation finds what a scan finds, however uneven the positions are.
        #[test]
        fn oracle_seek_is_a_partition_point(
            mut positions in proptest::collection::vec(
                prop_oneof![any::<u32>(), 0u32..20, Just(u32::MAX)], 0..200),
            targets in proptest::collection::vec(prop_oneof![any::<u32>(), 0u32..20], 20),
        ) {
            positions.sort_unstable();
            let index: Vec<[u8; 8]> = positions.iter().map(|position| {
                let mut entry = [0; 8];
                entry[..4].copy_from_slice(&position.to_le_bytes());
                entry
            }).collect();
            let section = Section { rows_at: 0, index: &index, order: &[], rows: &[] };
            for target in targets.into_iter().chain([0, u32::MAX]).chain(positions.clone()) {
                prop_assert_eq!(section.seek(target), positions.partition_point(|&p| p < target));
            }
        }
    }
}
