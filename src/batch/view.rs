//! Reads a batch view in place.

use std::marker::PhantomData;
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use super::error::Damage;
use super::format::{partition_of, partitions_of_section, position_in_section, section_of};
use super::section::{EncodedRow, Section};
use super::totals::{Prefix, Total, Totals};
use super::{BatchError, BatchMeta, BatchSummary, Bytes, Coverage, Digest, RawBatch};
use crate::aggregate::Aggregate;
use crate::codec;
use crate::key::{Key, KeyRange, sort_position};

/// An opened batch view. Cloning shares it; each takes a few hundred bytes, so that years of days can stay open.
///
/// Only requested rows are decoded. Not checked: that the file was written with the types `K` and `A`. The manifest
/// records them, and rows that do not decode are errors.
#[doc(hidden)]
pub struct BatchView<K, A> {
    raw: Arc<RawBatch>,
    types: PhantomData<fn() -> (K, A)>,
}

impl<K, A> Clone for BatchView<K, A> {
    fn clone(&self) -> BatchView<K, A> {
        BatchView { raw: Arc::clone(&self.raw), types: PhantomData }
    }
}

impl<K, A> std::fmt::Debug for BatchView<K, A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("BatchView").field(&self.raw).finish()
    }
}

impl<K: Key, A: Aggregate> BatchView<K, A> {
    /// Opens a file: verifies header, directory and footer, in constant time.
    ///
    /// # Errors
    /// [`BatchError`] if the bytes are not a batch view, have another version, or are damaged.
    pub fn open(bytes: Bytes) -> Result<BatchView<K, A>, BatchError> {
        BatchView::open_named(bytes, "a batch view in memory")
    }

    /// Opens a file, with a name for error messages.
    ///
    /// # Errors
    /// Those of [`BatchView::open`].
    pub fn open_named(bytes: Bytes, name: &str) -> Result<BatchView<K, A>, BatchError> {
        RawBatch::open(bytes, name).map(|raw| BatchView::from_raw(Arc::new(raw)))
    }

    pub(crate) fn from_raw(raw: Arc<RawBatch>) -> BatchView<K, A> {
        BatchView { raw, types: PhantomData }
    }

    pub(super) fn raw(&self) -> &RawBatch {
        &self.raw
    }

    /// The file's description of itself.
    pub fn meta(&self) -> &BatchMeta {
        self.raw.meta()
    }

    /// The number of rows.
    pub fn rows(&self) -> u64 {
        self.raw.summary().rows
    }

    /// Rows, length and digest, as they were written.
    pub fn summary(&self) -> BatchSummary {
        self.raw.summary()
    }

    /// The aggregate of a key; `hash` is XXH3-64 of its encoding.
    ///
    /// # Errors
    /// [`BatchError::Corrupt`] if the key's section is damaged.
    #[inline]
    pub fn get(&self, hash: u64, encoded_key: &[u8]) -> Result<Option<A>, BatchError> {
        debug_assert_eq!(hash, xxh3_64(encoded_key), "the hash is the key's");
        self.find(hash, encoded_key).map_err(|damage| self.raw.error(damage))
    }

    fn find(&self, hash: u64, encoded_key: &[u8]) -> Result<Option<A>, Damage> {
        let bits = self.raw.bits();
        let position = sort_position(hash);
        let section = self.raw.section(section_of(position, bits))?;
        let position = position_in_section(position, bits);
        for row in section.seek(position)..section.len() {
            if section.position(row) != position {
                break;
            }
            let row = section.row(row)?;
            if row.key == encoded_key {
                return aggregate_of(&row).map(Some);
            }
        }
        Ok(None)
    }

    /// The rows of the partitions in `coverage`, in file order. Sections outside it are not read.
    ///
    /// After an error the iterator ends.
    pub fn scan(&self, coverage: &Coverage) -> Scan<'_, K, A> {
        Scan { raw: &self.raw, coverage: *coverage, number: 0, section: None, types: PhantomData }
    }

    /// Visits the rows of `range` in the partitions of `coverage`, section by section; within a section in order of
    /// encoded keys, or in file order if the range is of all keys.
    ///
    /// # Errors
    /// [`BatchError::Corrupt`] if a needed section is damaged; rows before it were visited.
    pub fn range(
        &self,
        range: &KeyRange,
        coverage: &Coverage,
        mut visit: impl FnMut(u64, K, A),
    ) -> Result<(), BatchError> {
        if range.is_all() {
            return self.scan(coverage).try_for_each(|row| {
                let (hash, key, aggregate) = row?;
                visit(hash, key, aggregate);
                Ok(())
            });
        }
        (0..self.raw.sections())
            .filter(|&number| touches(number, self.raw.bits(), coverage))
            .try_for_each(|number| self.range_in_section(number, range, coverage, &mut visit))
            .map_err(|damage| self.raw.error(damage))
    }

    fn range_in_section(
        &self,
        number: usize,
        range: &KeyRange,
        coverage: &Coverage,
        visit: &mut impl FnMut(u64, K, A),
    ) -> Result<(), Damage> {
        let section = self.raw.section(number)?;
        for rank in section.seek_key(range.lower())?..section.len() {
            let at = section.in_key_order(rank)?;
            let row = section.row(at)?;
            if range.upper().is_some_and(|upper| row.key >= upper) {
                break;
            }
            let position = section.position(at);
            if coverage.contains(partition_of(number, position, self.raw.bits())) {
                let (hash, key, aggregate) = decode(&row, number, position, self.raw.bits())?;
                visit(hash, key, aggregate);
            }
        }
        Ok(())
    }

    /// The total of the keys with a prefix, if the file keeps totals of such prefixes. `coverage` is the part of the
    /// file that counts. A total is over all rows of the file, so it cannot be used if only a part of them counts.
    pub(crate) fn total(
        &self,
        prefix: Prefix<'_>,
        coverage: &Coverage,
    ) -> Result<Total<A>, BatchError> {
        let is_whole = self.meta().coverage.difference(*coverage).is_empty();
        if !is_whole || prefix.columns >= self.raw.levels() {
            return Ok(Total::NotKept);
        }
        let find = || {
            let totals = self.raw.totals()?;
            let rank = totals.seek_key(prefix.bytes)?;
            if rank == totals.len() {
                return Ok(None);
            }
            let row = totals.row(totals.in_key_order(rank)?)?;
            if row.key == prefix.bytes { aggregate_of(&row).map(Some) } else { Ok(None) }
        };
        find().map(Total::Kept).map_err(|damage| self.raw.error(damage))
    }

    /// Reads and checks everything: checksums, order, that each key decodes and is where it belongs, and that digest
    /// and totals match the rows.
    ///
    /// # Errors
    /// [`BatchError::Corrupt`] for the first damage.
    pub fn verify(&self) -> Result<(), BatchError> {
        let mut digest = Digest::default();
        for number in 0..self.raw.sections() {
            digest += self.verify_section(number).map_err(|damage| self.raw.error(damage))?;
        }
        if digest != self.raw.summary().digest {
            let end = self.raw.summary().bytes as usize;
            return Err(self.raw.error(Damage::new("the rows do not give the digest", end)));
        }
        self.raw.verify()?;
        self.verify_totals().map_err(|damage| self.raw.error(damage))
    }

    /// Adds the rows up again.
    fn verify_totals(&self) -> Result<(), Damage> {
        if self.raw.levels() == 0 {
            return Ok(());
        }
        let section = self.raw.totals()?;
        let mut totals = Totals::<A>::of_levels::<K>(self.raw.levels(), usize::MAX);
        for number in 0..self.raw.sections() {
            let rows = self.raw.section(number)?;
            for at in 0..rows.len() {
                let row = rows.row(at)?;
                totals.add(row.key, &aggregate_of(&row)?);
            }
        }
        let (levels, totals) = totals.into_sorted();
        let damage = |row: Option<EncodedRow<'_>>| {
            let end = self.raw.summary().bytes as usize;
            Damage::new("the rows do not give the totals", row.map_or(end, |row| row.offset))
        };
        if (levels, totals.len()) != (self.raw.levels(), section.len()) {
            return Err(damage(None));
        }
        for (rank, (prefix, total)) in totals.iter().enumerate() {
            let row = section.row(section.in_key_order(rank)?)?;
            if *row.key != **prefix || aggregate_of::<A>(&row)? != *total {
                return Err(damage(Some(row)));
            }
        }
        Ok(())
    }

    fn verify_section(&self, number: usize) -> Result<Digest, Damage> {
        let section = self.raw.section_afresh(number)?;
        let bits = self.raw.bits();
        let mut digest = Digest::default();
        let mut last: Option<(u64, &[u8])> = None;
        let mut last_key: Option<&[u8]> = None;
        for at in 0..section.len() {
            let row = section.row(at)?;
            let damage = |what| Damage::new(what, row.offset);
            let (hash, _, _) = decode::<K, A>(&row, number, section.position(at), bits)?;
            let here = Some((sort_position(hash), row.key));
            if here <= last {
                return Err(damage("the rows are not in order"));
            }
            if !self.meta().coverage.contains(crate::key::partition(hash)) {
                return Err(damage("a row is in a partition that the file does not cover"));
            }
            last = here;
            // There are as many ranks as rows, and they are strictly ascending, so each row has exactly one.
            let ranked = Some(section.row(section.in_key_order(at)?)?.key);
            if ranked <= last_key {
                return Err(damage("the order of keys is wrong"));
            }
            last_key = ranked;
            digest += Digest::of_row(row.body);
        }
        Ok(digest)
    }
}

/// The rows of some partitions of a batch view, in file order; see [`BatchView::scan`].
#[doc(hidden)]
pub struct Scan<'a, K, A> {
    raw: &'a RawBatch,
    coverage: Coverage,
    /// The section to open next.
    number: usize,
    /// The open section, and its next row.
    section: Option<(Section<'a>, usize)>,
    types: PhantomData<fn() -> (K, A)>,
}

impl<K, A> std::fmt::Debug for Scan<'_, K, A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scan")
            .field("coverage", &self.coverage)
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

impl<K: Key, A: Aggregate> Scan<'_, K, A> {
    fn step(&mut self) -> Result<Option<(u64, K, A)>, Damage> {
        let bits = self.raw.bits();
        loop {
            if let Some((section, next)) = &mut self.section {
                let number = self.number - 1;
                while *next < section.len() {
                    let at = *next;
                    *next += 1;
                    let position = section.position(at);
                    if self.coverage.contains(partition_of(number, position, bits)) {
                        return decode(&section.row(at)?, number, position, bits).map(Some);
                    }
                }
            }
            let more = self.number..self.raw.sections();
            let Some(number) = more.into_iter().find(|&at| touches(at, bits, &self.coverage))
            else {
                self.stop();
                return Ok(None);
            };
            self.number = number + 1;
            self.section = Some((self.raw.section(number)?, 0));
        }
    }

    fn stop(&mut self) {
        self.number = self.raw.sections();
        self.section = None;
    }
}

impl<K: Key, A: Aggregate> Iterator for Scan<'_, K, A> {
    type Item = Result<(u64, K, A), BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.step() {
            Ok(row) => row.map(Ok),
            Err(damage) => {
                self.stop();
                Some(Err(self.raw.error(damage)))
            }
        }
    }
}

impl<K: Key, A: Aggregate> std::iter::FusedIterator for Scan<'_, K, A> {}

/// Whether a section holds partitions of `coverage`.
pub(super) fn touches(section: usize, bits: u32, coverage: &Coverage) -> bool {
    partitions_of_section(section, bits).any(|partition| coverage.contains(partition))
}

/// Decodes a row, and checks that its key belongs where it was found.
pub(super) fn decode<K: Key, A: Aggregate>(
    row: &EncodedRow<'_>,
    section: usize,
    position: u32,
    bits: u32,
) -> Result<(u64, K, A), Damage> {
    let hash = xxh3_64(row.key);
    let belongs = sort_position(hash);
    if section_of(belongs, bits) != section || position_in_section(belongs, bits) != position {
        return Err(Damage::new("a key is not where its hash belongs", row.offset));
    }
    let mut bytes = row.key;
    match K::decode(&mut bytes) {
        Ok(key) if bytes.is_empty() => Ok((hash, key, aggregate_of(row)?)),
        _ => Err(Damage::new("a key cannot be decoded as the view's type", row.offset)),
    }
}

pub(super) fn aggregate_of<A: Aggregate>(row: &EncodedRow<'_>) -> Result<A, Damage> {
    codec::decode(row.aggregate)
        .map_err(|_| Damage::new("an aggregate cannot be decoded as the view's type", row.offset))
}
