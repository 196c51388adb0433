//! Merges rows of several files in the order of their encoded keys.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use xxhash_rust::xxh3::xxh3_64;

use super::error::Damage;
use super::format::{partition_of, position_in_section, section_of};
use super::section::{EncodedRow, Section};
use super::view::touches;
use super::{BatchError, Coverage, RawBatch};
use crate::key::sort_position;

/// The remaining rows of a section, in the order of keys.
struct Cursor<'a> {
    file: &'a RawBatch,
    coverage: &'a Coverage,
    number: usize,
    section: Section<'a>,
    rank: usize,
}

impl<'a> Cursor<'a> {
    /// The next row that counts.
    fn next(&mut self) -> Result<Option<EncodedRow<'a>>, BatchError> {
        self.find().map_err(|damage| self.file.error(damage))
    }

    fn find(&mut self) -> Result<Option<EncodedRow<'a>>, Damage> {
        let bits = self.file.bits();
        while self.rank < self.section.len() {
            let at = self.section.in_key_order(self.rank)?;
            self.rank += 1;
            let (row, position) = (self.section.row(at)?, self.section.position(at));
            if !self.coverage.contains(partition_of(self.number, position, bits)) {
                continue;
            }
            let belongs = sort_position(xxh3_64(row.key));
            let place = (section_of(belongs, bits), position_in_section(belongs, bits));
            if place != (self.number, position) {
                return Err(Damage::new("a key is not where its hash belongs", row.offset));
            }
            return Ok(Some(row));
        }
        Ok(None)
    }
}

/// Visits the rows of files in the order of their keys; from each file, only those in the partitions for which it
/// counts. Only a position in each section is held in memory, not the rows.
pub(crate) fn in_key_order<E: From<BatchError>>(
    files: &[(RawBatch, Coverage)],
    mut visit: impl FnMut(&RawBatch, &[u8], &[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let mut cursors = Vec::new();
    let mut heads = BinaryHeap::new();
    for (file, coverage) in files {
        for number in (0..file.sections()).filter(|&at| touches(at, file.bits(), coverage)) {
            let section = file.section(number).map_err(|damage| file.error(damage))?;
            let mut cursor = Cursor { file, coverage, number, section, rank: 0 };
            if let Some(row) = cursor.next()? {
                heads.push(Reverse((row.key, row.aggregate, row.offset, cursors.len())));
                cursors.push(cursor);
            }
        }
    }
    let mut last: Option<&[u8]> = None;
    while let Some(Reverse((key, aggregate, offset, at))) = heads.pop() {
        let cursor = &mut cursors[at];
        if last.is_some_and(|last| key <= last) {
            return Err(cursor
                .file
                .error(Damage::new("the order of keys is wrong", offset))
                .into());
        }
        visit(cursor.file, key, aggregate)?;
        last = Some(key);
        if let Some(row) = cursor.next()? {
            heads.push(Reverse((row.key, row.aggregate, row.offset, at)));
        }
    }
    Ok(())
}
