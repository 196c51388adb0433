//! An opened file without its types: its frame, checked at opening, and its sections.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::error::Damage;
use super::format::{
    ENTRY_BYTES, FOOTER_BYTES, FOOTER_CHECKED, FOOTER_MAGIC, FORMAT_VERSION, Footer, HEADER_FIXED,
    HEADER_MAGIC, META_BYTES_MAX, ROW_INDEX_BYTES, SECTION_BITS_MAX, SectionEntry,
    VERSION_WITHOUT_TOTALS, padding, u32_at,
};
use super::section::Section;
use super::totals::LEVELS_MAX;
use super::{BatchError, BatchMeta, BatchSummary, Bytes};
use crate::codec;
use crate::key::PARTITIONS;

/// A batch view without its types. Besides the bytes, it holds only the name, the meta and a few words.
#[derive(Debug)]
pub(crate) struct RawBatch {
    bytes: Bytes,
    name: Arc<str>,
    meta: BatchMeta,
    footer: Footer,
    /// Sections whose checksum has been verified.
    verified: [AtomicU64; PARTITIONS / 64],
    /// Whether the directory has an entry for totals after those of the sections.
    has_totals: bool,
    /// Whether the checksum of the totals has been verified.
    totals_verified: AtomicBool,
}

impl RawBatch {
    /// Checks header, directory and footer.
    pub(crate) fn open(bytes: Bytes, name: &str) -> Result<RawBatch, BatchError> {
        let name: Arc<str> = name.into();
        let has_totals = check_kind(&bytes, &name)? > VERSION_WITHOUT_TOTALS;
        let frame = check_frame(&bytes, has_totals);
        let (meta, footer) = frame.map_err(|damage| damage.of(&name))?;
        let verified = std::array::from_fn(|_| AtomicU64::new(0));
        let totals_verified = AtomicBool::new(false);
        let raw = RawBatch { bytes, name, meta, footer, verified, has_totals, totals_verified };
        raw.check_directory().map_err(|damage| damage.of(&raw.name))?;
        Ok(raw)
    }

    pub(crate) fn meta(&self) -> &BatchMeta {
        &self.meta
    }

    pub(crate) fn summary(&self) -> BatchSummary {
        BatchSummary {
            rows: self.footer.rows,
            bytes: self.bytes.len() as u64,
            digest: self.footer.digest,
        }
    }

    /// The name that errors show.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn bits(&self) -> u32 {
        self.footer.section_bits
    }

    pub(super) fn sections(&self) -> usize {
        1 << self.footer.section_bits
    }

    pub(super) fn error(&self, damage: Damage) -> BatchError {
        damage.of(&self.name)
    }

    #[inline]
    fn entry(&self, section: usize) -> SectionEntry {
        let at = self.footer.directory as usize + section * ENTRY_BYTES;
        let (entries, _) = self.bytes[at..].as_chunks();
        SectionEntry::from_bytes(&entries[0])
    }

    /// The section, once its checksum has been verified.
    #[inline]
    pub(super) fn section(&self, number: usize) -> Result<Section<'_>, Damage> {
        let entry = self.entry(number);
        let bytes = &self.bytes[entry.offset as usize..(entry.offset + entry.length) as usize];
        // If two threads verify the same section, they find the same result, so no ordering is needed.
        let (word, bit) = (&self.verified[number / 64], 1 << (number % 64));
        if word.load(Ordering::Relaxed) & bit == 0 {
            check_section(bytes, &entry)?;
            word.fetch_or(bit, Ordering::Relaxed);
        }
        Ok(Section::new(bytes, &entry))
    }

    /// How many lengths of prefixes have totals.
    pub(super) fn levels(&self) -> usize {
        self.footer.levels as usize
    }

    /// The totals, in the form of a section, once their checksum has been verified.
    pub(super) fn totals(&self) -> Result<Section<'_>, Damage> {
        let entry = self.entry(self.sections());
        let bytes = &self.bytes[entry.offset as usize..(entry.offset + entry.length) as usize];
        if !self.totals_verified.load(Ordering::Relaxed) {
            check_section(bytes, &entry)?;
            self.totals_verified.store(true, Ordering::Relaxed);
        }
        Ok(Section::new(bytes, &entry))
    }

    /// How many sections have been read since the file was opened.
    pub(super) fn touched(&self) -> usize {
        self.verified.iter().map(|word| word.load(Ordering::Relaxed).count_ones() as usize).sum()
    }

    /// The section, with its checksum and the zeros after it verified again. The number after the last section means
    /// the totals.
    pub(super) fn section_afresh(&self, number: usize) -> Result<Section<'_>, Damage> {
        let entry = self.entry(number);
        let end = (entry.offset + entry.length) as usize;
        let bytes = &self.bytes[entry.offset as usize..end];
        check_section(bytes, &entry)?;
        if self.bytes[end..end + padding(end)].iter().any(|&byte| byte != 0) {
            return Err(Damage::new("the bytes between two sections are not zero", end));
        }
        Ok(Section::new(bytes, &entry))
    }

    /// Verifies all checksums. The content of rows can be checked only with their types.
    pub(crate) fn verify(&self) -> Result<(), BatchError> {
        for number in 0..self.sections() + usize::from(self.has_totals) {
            self.section_afresh(number).map_err(|damage| self.error(damage))?;
        }
        Ok(())
    }

    /// Sections follow each other without a gap, from the header to the directory.
    fn check_directory(&self) -> Result<(), Damage> {
        let directory = self.footer.directory as usize;
        let (mut offset, mut rows) = (u64::from(self.footer.header), 0u64);
        for section in 0..self.sections() + usize::from(self.has_totals) {
            let at = directory + section * ENTRY_BYTES;
            let entry = self.entry(section);
            let index = u64::from(entry.rows) * ROW_INDEX_BYTES as u64;
            if entry.offset != offset || entry.length < index {
                return Err(Damage::new("the directory names a section that cannot be", at));
            }
            offset = offset
                .checked_add(entry.length)
                .filter(|&end| end <= directory as u64)
                .map(|end| end + padding(end as usize) as u64)
                .ok_or(Damage::new("a section reaches beyond the directory", at))?;
            if section < self.sections() {
                rows += u64::from(entry.rows);
            }
        }
        if offset != directory as u64 {
            return Err(Damage::new("the sections do not reach the directory", directory));
        }
        if rows != self.footer.rows {
            return Err(Damage::new("the sections' rows do not add up", directory));
        }
        Ok(())
    }
}

fn check_section(bytes: &[u8], entry: &SectionEntry) -> Result<(), Damage> {
    if crc32fast::hash(bytes) == entry.crc {
        Ok(())
    } else {
        Err(Damage::new("the checksum of a section does not match", entry.offset as usize))
    }
}

/// Whether this is a batch view, and its version.
fn check_kind(bytes: &[u8], name: &Arc<str>) -> Result<u32, BatchError> {
    let file = || Arc::clone(name);
    if !bytes.starts_with(&HEADER_MAGIC) {
        // A valid end without a valid beginning is damage.
        if bytes.ends_with(&FOOTER_MAGIC) {
            return Err(Damage::new("the beginning is missing", 0).of(name));
        }
        return Err(BatchError::NotABatch { file: file() });
    }
    if bytes.len() < HEADER_FIXED + FOOTER_BYTES {
        return Err(Damage::new("the file is cut short", bytes.len()).of(name));
    }
    match u32_at(bytes, 8) {
        version @ VERSION_WITHOUT_TOTALS..=FORMAT_VERSION => Ok(version),
        found => Err(BatchError::Version { file: file(), found, known: FORMAT_VERSION }),
    }
}

/// Header and footer, and the checksum over both and the directory.
fn check_frame(bytes: &[u8], has_totals: bool) -> Result<(BatchMeta, Footer), Damage> {
    let end = bytes.len() - FOOTER_BYTES;
    let (footers, _) = bytes[end..].as_chunks::<FOOTER_BYTES>();
    let footer_bytes = &footers[0];
    if !footer_bytes.ends_with(&FOOTER_MAGIC) {
        return Err(Damage::new("the end is missing: the file is cut short", bytes.len()));
    }
    let footer = Footer::from_bytes(footer_bytes);
    let header = footer.header as usize;
    let levels = if has_totals { LEVELS_MAX } else { 0 };
    if footer.section_bits > SECTION_BITS_MAX || footer.levels as usize > levels {
        return Err(Damage::new("the footer names too many sections", end));
    }
    let entries = (1usize << footer.section_bits) + usize::from(has_totals);
    let directory_bytes = entries * ENTRY_BYTES;
    let directory = end.checked_sub(directory_bytes).filter(|&at| at as u64 == footer.directory);
    let directory =
        directory.ok_or(Damage::new("the footer does not follow the directory", end))?;
    if header < HEADER_FIXED || directory < header || padding(header) != 0 {
        return Err(Damage::new("the footer names a header that cannot be", end));
    }
    let mut crc = crc32fast::Hasher::new();
    crc.update(&bytes[..header]);
    crc.update(&bytes[directory..end + FOOTER_CHECKED]);
    if crc.finalize() != u32_at(footer_bytes, FOOTER_CHECKED) {
        return Err(Damage::new(
            "the checksum of header, directory and footer does not match",
            end,
        ));
    }
    let meta_bytes = u32_at(bytes, 12) as usize;
    if meta_bytes > META_BYTES_MAX
        || (HEADER_FIXED + meta_bytes).next_multiple_of(super::format::ALIGNMENT) != header
    {
        return Err(Damage::new("the meta does not fill the header", 12));
    }
    let meta = codec::decode(&bytes[HEADER_FIXED..HEADER_FIXED + meta_bytes])
        .map_err(|_| Damage::new("the meta cannot be decoded", HEADER_FIXED))?;
    Ok((meta, footer))
}
