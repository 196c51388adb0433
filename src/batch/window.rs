//! Reading a batch view in the order of keys, from any key on: what can be left off and gone on with.

use super::error::Damage;
use super::format::partition_of;
use super::view::{decode, touches};
use super::{BatchError, BatchView, Coverage};
use crate::aggregate::Aggregate;
use crate::key::Key;

/// Who takes rows in the order of keys, section by section.
pub(crate) trait Takes<K, A> {
    /// Whether a row with this encoded key is wanted; if not, none of its section behind it is.
    fn wants(&self, key: &[u8]) -> bool;
    /// Takes a row. Says whether to go on.
    fn take(&mut self, key: K, aggregate: A) -> bool;
}

impl<K: Key, A: Aggregate> BatchView<K, A> {
    /// Hands over the rows of some partitions whose encoded keys are not below `from`: each section in the order of
    /// keys, one section after the other. Returns whether it went on to the end.
    pub(crate) fn read_from(
        &self,
        from: &[u8],
        coverage: &Coverage,
        takes: &mut dyn Takes<K, A>,
    ) -> Result<bool, BatchError> {
        let bits = self.raw().bits();
        for number in (0..self.raw().sections()).filter(|&at| touches(at, bits, coverage)) {
            let read = self.read_section(number, from, coverage, takes);
            if !read.map_err(|damage| self.raw().error(damage))? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn read_section(
        &self,
        number: usize,
        from: &[u8],
        coverage: &Coverage,
        takes: &mut dyn Takes<K, A>,
    ) -> Result<bool, Damage> {
        let (section, bits) = (self.raw().section(number)?, self.raw().bits());
        for rank in section.seek_key(from)?..section.len() {
            let at = section.in_key_order(rank)?;
            let row = section.row(at)?;
            if !takes.wants(row.key) {
                break;
            }
            let position = section.position(at);
            if !coverage.contains(partition_of(number, position, bits)) {
                continue;
            }
            let (_, key, aggregate) = decode(&row, number, position, bits)?;
            if !takes.take(key, aggregate) {
                return Ok(false);
            }
        }
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
