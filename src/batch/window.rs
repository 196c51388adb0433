//! Reads a batch view in the order of keys, from any key on; reading can stop and continue later.

use super::error::Damage;
use super::format::partition_of;
use super::view::{decode, touches};
use super::{BatchError, BatchView, Coverage};
use crate::aggregate::Aggregate;
use crate::key::Key;

/// Takes rows in the order of keys, section by section.
pub(crate) trait Takes<K, A> {
    /// Whether the row of the interval with this encoded key is wanted; if not, no later row of its section is.
    fn wants(&self, key: &[u8]) -> bool;
    /// Takes a row. Returns whether to continue.
    fn take(&mut self, key: K, aggregate: A) -> bool;
}

/// How far a file was read in the order of keys: the next row of each section. A file has many sections and an interval
/// has few rows in each, so without this, most time would go into finding them.
#[derive(Debug, Default)]
pub(crate) struct Bookmark {
    sections: Vec<Next>,
}

/// The next row of a section.
#[derive(Clone, Copy, Debug)]
struct Next {
    rank: usize,
    /// No key from there on begins with less.
    least: u64,
}

/// The first eight bytes of a key; where they differ, they compare as the keys do.
fn first_bytes(key: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    let length = key.len().min(8);
    bytes[..length].copy_from_slice(&key[..length]);
    u64::from_be_bytes(bytes)
}

impl<K: Key, A: Aggregate> BatchView<K, A> {
    /// Hands over the rows of some partitions whose encoded keys are in `[from, to)`, one section after the other, each
    /// in the order of keys. Returns whether it reached the end. `bookmark` is new, or the bookmark of the interval
    /// before, which ended where this one begins.
    pub(crate) fn read_interval(
        &self,
        (from, to): (&[u8], Option<&[u8]>),
        coverage: &Coverage,
        bookmark: &mut Bookmark,
        takes: &mut dyn Takes<K, A>,
    ) -> Result<bool, BatchError> {
        let (bits, end) = (self.raw().bits(), to.map_or(u64::MAX, first_bytes));
        let is_new = bookmark.sections.is_empty();
        for (at, number) in
            (0..self.raw().sections()).filter(|&at| touches(at, bits, coverage)).enumerate()
        {
            if is_new {
                let seek = || self.raw().section(number)?.seek_key(from);
                let rank = seek().map_err(|damage| self.raw().error(damage))?;
                bookmark.sections.push(Next { rank, least: 0 });
            }
            let Some(next) = bookmark.sections.get_mut(at) else { continue };
            if next.least > end {
                continue;
            }
            let read = self.read_section(number, next, to, coverage, takes);
            if !read.map_err(|damage| self.raw().error(damage))? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn read_section(
        &self,
        number: usize,
        next: &mut Next,
        to: Option<&[u8]>,
        coverage: &Coverage,
        takes: &mut dyn Takes<K, A>,
    ) -> Result<bool, Damage> {
        let (section, bits) = (self.raw().section(number)?, self.raw().bits());
        while next.rank < section.len() {
            let at = section.in_key_order(next.rank)?;
            let row = section.row(at)?;
            if to.is_some_and(|to| row.key >= to) || !takes.wants(row.key) {
                next.least = first_bytes(row.key);
                return Ok(true);
            }
            next.rank += 1;
            let position = section.position(at);
            if !coverage.contains(partition_of(number, position, bits)) {
                continue;
            }
            let (_, key, aggregate) = decode(&row, number, position, bits)?;
            if !takes.take(key, aggregate) {
                return Ok(false);
            }
        }
        next.least = u64::MAX;
        Ok(true)
    }

    /// Some encoded keys not below `from`, evenly spread: each stands for about `every` rows.
    pub(crate) fn sample(
        &self,
        from: &[u8],
        every: usize,
        coverage: &Coverage,
        sample: &mut Vec<Vec<u8>>,
    ) -> Result<(), BatchError> {
        let bits = self.raw().bits();
        let mut rest = every / 2;
        for number in (0..self.raw().sections()).filter(|&at| touches(at, bits, coverage)) {
            let mut add = || {
                let section = self.raw().section(number)?;
                let mut rank = section.seek_key(from)? + rest;
                while rank < section.len() {
                    sample.push(section.row(section.in_key_order(rank)?)?.key.to_vec());
                    rank += every;
                }
                rest = rank - section.len();
                Ok(())
            };
            add().map_err(|damage| self.raw().error(damage))?;
        }
        Ok(())
    }
}
