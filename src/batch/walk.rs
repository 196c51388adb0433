//! Walks a batch view in file order, with jumps, as a cursor of differential does.

use super::error::Damage;
use super::format::{partition_of, position_in_section, section_of};
use super::view::{aggregate_of, decode, touches};
use super::{BatchError, BatchView, Coverage};
use crate::aggregate::Aggregate;
use crate::key::{Key, sort_position};
use xxhash_rust::xxh3::xxh3_64;

/// A row of a batch view: its section, its number there, and its position in file order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spot {
    section: usize,
    row: usize,
    pub(crate) position: u64,
}

impl<K: Key, A: Aggregate> BatchView<K, A> {
    /// The first row in the partitions of `coverage`.
    pub(crate) fn first(&self, coverage: &Coverage) -> Result<Option<Spot>, BatchError> {
        self.settle(0, 0, coverage).map_err(|damage| self.raw().error(damage))
    }

    /// The row after `spot`.
    pub(crate) fn after(
        &self,
        spot: Spot,
        coverage: &Coverage,
    ) -> Result<Option<Spot>, BatchError> {
        self.settle(spot.section, spot.row + 1, coverage).map_err(|damage| self.raw().error(damage))
    }

    /// The first row at or after a key. Only the section that would hold the key is read, and the following ones if it
    /// has no such row.
    pub(crate) fn seek(
        &self,
        (position, key): (u64, &[u8]),
        coverage: &Coverage,
    ) -> Result<Option<Spot>, BatchError> {
        self.find_from(position, key, coverage).map_err(|damage| self.raw().error(damage))
    }

    fn find_from(
        &self,
        position: u64,
        key: &[u8],
        coverage: &Coverage,
    ) -> Result<Option<Spot>, Damage> {
        let bits = self.raw().bits();
        let number = section_of(position, bits);
        if !touches(number, bits, coverage) {
            return self.settle(number + 1, 0, coverage);
        }
        let section = self.raw().section(number)?;
        let wanted = position_in_section(position, bits);
        let mut row = section.seek(wanted);
        while row < section.len() && section.position(row) == wanted {
            let found = section.row(row)?.key;
            if (sort_position(xxh3_64(found)), found) >= (position, key) {
                break;
            }
            row += 1;
        }
        self.settle(number, row, coverage)
    }

    /// The first row at or after a position that is in the partitions of `coverage`. Checks that its key and aggregate
    /// decode and belong there.
    fn settle(
        &self,
        mut number: usize,
        mut row: usize,
        coverage: &Coverage,
    ) -> Result<Option<Spot>, Damage> {
        let bits = self.raw().bits();
        while number < self.raw().sections() {
            if touches(number, bits, coverage) {
                let section = self.raw().section(number)?;
                let counts = |&row: &usize| {
                    coverage.contains(partition_of(number, section.position(row), bits))
                };
                if let Some(row) = (row..section.len()).find(counts) {
                    let place = section.position(row);
                    let (hash, ..) = decode::<K, A>(&section.row(row)?, number, place, bits)?;
                    let position = sort_position(hash);
                    return Ok(Some(Spot { section: number, row, position }));
                }
            }
            (number, row) = (number + 1, 0);
        }
        Ok(None)
    }

    /// The encoded key at a spot of this view.
    pub(crate) fn key_at(&self, spot: Spot) -> &[u8] {
        self.row_at(spot).key
    }

    /// The aggregate at a spot of this view.
    pub(crate) fn aggregate_at(&self, spot: Spot) -> A {
        let found = aggregate_of(&self.row_at(spot)).ok();
        found.expect("the row was decoded when the spot was found")
    }

    fn row_at(&self, spot: Spot) -> super::section::EncodedRow<'_> {
        let row = self.raw().section(spot.section).and_then(|section| section.row(spot.row)).ok();
        row.expect("the row was read when the spot was found")
    }

    /// How many sections have been read.
    pub(crate) fn touched(&self) -> usize {
        self.raw().touched()
    }
}
