//! The fixed parts of the format: header, directory entries, footer.

use serde::{Deserialize, Serialize};

use super::{Coverage, Digest};
use crate::time::Day;

pub(super) const HEADER_MAGIC: [u8; 8] = *b"DAYFOLDB";
pub(super) const FOOTER_MAGIC: [u8; 4] = *b"DYFE";
pub(super) const FORMAT_VERSION: u32 = 2;
/// Without totals. It is still read.
pub(super) const VERSION_WITHOUT_TOTALS: u32 = 1;

/// Bytes of the header before the meta.
pub(super) const HEADER_FIXED: usize = 16;
/// Bytes of a directory entry.
pub(super) const ENTRY_BYTES: usize = 24;
/// Bytes of the footer.
pub(super) const FOOTER_BYTES: usize = 48;
/// Bytes of the footer that its checksum covers.
pub(super) const FOOTER_CHECKED: usize = 40;
/// More bytes of meta than any view's name can need.
pub(super) const META_BYTES_MAX: usize = 1 << 16;
/// The most sections: one for each partition.
pub(super) const SECTION_BITS_MAX: u32 = 8;
/// Sections are not made smaller than about this many rows.
const SECTION_ROWS_MIN: u64 = 64;
/// The first bit of the number of levels, in the word that holds the number of sections.
const LEVELS_SHIFT: u32 = 16;
/// Header, sections and directory begin at multiples of this.
pub(super) const ALIGNMENT: usize = 8;
/// Bytes of a row's entries in index and order.
pub(super) const ROW_INDEX_BYTES: usize = 12;

/// A file's description of itself.
#[doc(hidden)]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchMeta {
    /// The name of the view.
    pub view: String,
    /// The day.
    pub day: Day,
    /// The closing that made this revision.
    pub closing: Day,
    /// The partitions that the file covers.
    pub coverage: Coverage,
}

/// The summary of the written rows.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchSummary {
    /// The number of rows.
    pub rows: u64,
    /// The length of the file.
    pub bytes: u64,
    /// The sum over all rows.
    pub digest: Digest,
}

impl BatchSummary {
    /// One word that tells summaries apart: different rows have different digests.
    pub(crate) fn check(&self) -> u64 {
        let digest = self.digest.0;
        (digest >> 64) as u64 ^ digest as u64 ^ self.rows.rotate_left(32) ^ self.bytes
    }
}

/// How many top bits of the sort position choose the section.
pub(super) fn section_bits(expected_rows: u64) -> u32 {
    (expected_rows / SECTION_ROWS_MIN).checked_ilog2().unwrap_or(0).min(SECTION_BITS_MAX)
}

/// The section of a row.
#[inline]
pub(super) fn section_of(sort_position: u64, bits: u32) -> usize {
    // A shift by all 64 bits overflows: without section bits there is one section.
    sort_position.checked_shr(64 - bits).unwrap_or(0) as usize
}

/// The index entry of a row: the bits of its sort position after those of the section.
#[inline]
pub(super) fn position_in_section(sort_position: u64, bits: u32) -> u32 {
    (sort_position << bits >> 32) as u32
}

/// The partition of a row, which is the top eight bits of its sort position.
#[inline]
pub(super) fn partition_of(section: usize, position: u32, bits: u32) -> usize {
    let below = SECTION_BITS_MAX - bits;
    section << below | position.checked_shr(32 - below).unwrap_or(0) as usize
}

/// The partitions that share a section.
pub(super) fn partitions_of_section(section: usize, bits: u32) -> std::ops::Range<usize> {
    let below = SECTION_BITS_MAX - bits;
    section << below..(section + 1) << below
}

pub(super) fn padding(length: usize) -> usize {
    length.next_multiple_of(ALIGNMENT) - length
}

/// The location of a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SectionEntry {
    pub(super) offset: u64,
    pub(super) length: u64,
    pub(super) rows: u32,
    pub(super) crc: u32,
}

impl SectionEntry {
    pub(super) fn to_bytes(self) -> [u8; ENTRY_BYTES] {
        let mut out = [0; ENTRY_BYTES];
        out[0..8].copy_from_slice(&self.offset.to_le_bytes());
        out[8..16].copy_from_slice(&self.length.to_le_bytes());
        out[16..20].copy_from_slice(&self.rows.to_le_bytes());
        out[20..24].copy_from_slice(&self.crc.to_le_bytes());
        out
    }

    #[inline]
    pub(super) fn from_bytes(bytes: &[u8; ENTRY_BYTES]) -> SectionEntry {
        SectionEntry {
            offset: u64_at(bytes, 0),
            length: u64_at(bytes, 8),
            rows: u32_at(bytes, 16),
            crc: u32_at(bytes, 20),
        }
    }
}

/// The end of the file, where reading begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Footer {
    pub(super) directory: u64,
    pub(super) section_bits: u32,
    /// How many lengths of prefixes have totals: 0, or 1 more than the number of leading columns of the longest.
    pub(super) levels: u32,
    pub(super) header: u32,
    pub(super) rows: u64,
    pub(super) digest: Digest,
}

impl Footer {
    /// The part that the checksum covers.
    pub(super) fn to_checked_bytes(self) -> [u8; FOOTER_CHECKED] {
        let mut out = [0; FOOTER_CHECKED];
        out[0..8].copy_from_slice(&self.directory.to_le_bytes());
        out[8..12]
            .copy_from_slice(&(self.section_bits | self.levels << LEVELS_SHIFT).to_le_bytes());
        out[12..16].copy_from_slice(&self.header.to_le_bytes());
        out[16..24].copy_from_slice(&self.rows.to_le_bytes());
        out[24..40].copy_from_slice(&self.digest.0.to_le_bytes());
        out
    }

    pub(super) fn from_bytes(bytes: &[u8; FOOTER_BYTES]) -> Footer {
        let mut digest = [0; 16];
        digest.copy_from_slice(&bytes[24..40]);
        Footer {
            directory: u64_at(bytes, 0),
            section_bits: u32_at(bytes, 8) & ((1 << LEVELS_SHIFT) - 1),
            levels: u32_at(bytes, 8) >> LEVELS_SHIFT,
            header: u32_at(bytes, 12),
            rows: u64_at(bytes, 16),
            digest: Digest(u128::from_le_bytes(digest)),
        }
    }
}

/// The integer at `at` in a block whose length the caller has checked.
#[inline]
pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

#[inline]
fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{partition, sort_position};

    #[test]
    fn small_days_have_one_section_and_large_ones_have_all() {
        let expect =
            [(0, 0), (127, 0), (128, 1), (1_000, 3), (16_383, 7), (16_384, 8), (u64::MAX, 8)];
        for (rows, bits) in expect {
            assert_eq!(section_bits(rows), bits, "{rows} rows");
        }
    }

    #[test]
    fn section_and_position_tell_the_partition() {
        let hashes = (0..1_000u64).map(|n| n.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        for hash in hashes.chain([0, u64::MAX]) {
            let position = sort_position(hash);
            for bits in 0..=SECTION_BITS_MAX {
                let section = section_of(position, bits);
                assert!(section < 1 << bits);
                let found = partition_of(section, position_in_section(position, bits), bits);
                assert_eq!(found, partition(hash));
                assert!(partitions_of_section(section, bits).contains(&found));
            }
        }
    }
}
