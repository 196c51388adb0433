//! Reads the rows of a batch view without decoding them, some at a time.

use super::error::Damage;
use super::format::partition_of;
use super::view::touches;
use super::{BatchError, BatchView, Coverage};
use crate::aggregate::Aggregate;
use crate::key::Key;

/// The next row of a file: its section, and its number there.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FilePosition {
    section: usize,
    row: usize,
}

impl<K: Key, A: Aggregate> BatchView<K, A> {
    /// Visits up to `most` rows of some partitions in file order, from a position on: the encoded key, and the encoded
    /// aggregate. `visit` returns whether it could decode them. Returns how many it has visited; fewer than `most`
    /// means that it has reached the end.
    ///
    /// # Errors
    /// [`BatchError::Corrupt`] if a needed section is damaged, or a row could not be decoded.
    pub(crate) fn visit_encoded(
        &self,
        coverage: &Coverage,
        at: &mut FilePosition,
        most: usize,
        visit: &mut impl FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<usize, BatchError> {
        let mut visited = 0;
        while at.section < self.raw().sections() && visited < most {
            let of_section = self.visit_section(coverage, at, most - visited, visit);
            visited += of_section.map_err(|damage| self.raw().error(damage))?;
        }
        Ok(visited)
    }

    fn visit_section(
        &self,
        coverage: &Coverage,
        at: &mut FilePosition,
        most: usize,
        visit: &mut impl FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<usize, Damage> {
        let (number, bits) = (at.section, self.raw().bits());
        let mut visited = 0;
        if touches(number, bits, coverage) {
            let section = self.raw().section(number)?;
            let is_whole = self.meta().coverage.difference(*coverage).is_empty();
            while at.row < section.len() && visited < most {
                let row = at.row;
                at.row += 1;
                let partition = || partition_of(number, section.position(row), bits);
                if !is_whole && !coverage.contains(partition()) {
                    continue;
                }
                let row = section.row(row)?;
                if !visit(row.key, row.aggregate) {
                    let what = "a row cannot be decoded as the view's types";
                    return Err(Damage::new(what, row.offset));
                }
                visited += 1;
            }
            if at.row < section.len() {
                return Ok(visited);
            }
        }
        *at = FilePosition { section: number + 1, row: 0 };
        Ok(visited)
    }
}
