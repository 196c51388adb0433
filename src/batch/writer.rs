//! Writing a batch view, front to back.

use std::io::{self, Write};

use super::format::{
    self, FORMAT_VERSION, Footer, HEADER_MAGIC, META_BYTES_MAX, SectionEntry, padding,
    position_in_section, section_bits, section_of,
};
use super::order::{prefix, sort_by_number};
use super::totals::Totals;
use super::{BatchMeta, BatchSummary, Digest};
use crate::aggregate::Aggregate;
use crate::codec;
use crate::key::{Key, partition, sort_position};

/// The most bytes that are reserved before it is known that they are needed.
const EXPECTED_MAX: usize = 1 << 18;

/// Writes one batch view to a sink: rows ascending, then [`finish`](BatchWriter::finish).
///
/// Holds one section in memory. After an error, the writer and its output are useless. Not guaranteed: anything about
/// the sink before `finish` has returned, nor that the sink is flushed or synced after it.
#[doc(hidden)]
#[derive(Debug)]
pub struct BatchWriter<W: Write> {
    sink: W,
    meta: BatchMeta,
    bits: u32,
    /// Bytes written so far.
    offset: usize,
    header: usize,
    /// Of header, then directory, then footer.
    crc: crc32fast::Hasher,
    directory: Vec<SectionEntry>,
    section: Section,
    last_position: Option<u64>,
    rows: u64,
    /// How many rows are expected in a section.
    expected: usize,
    digest: Digest,
}

/// The section that is being collected; its number is the length of the directory.
#[derive(Debug, Default)]
struct Section {
    index: Vec<u8>,
    /// The position of each row's key in `rows`.
    keys: Vec<(u32, u32)>,
    rows: Vec<u8>,
    /// Rows in order of keys, each with the prefix of its key.
    order: Vec<(u64, u32)>,
    order_bytes: Vec<u8>,
}

impl<W: Write> BatchWriter<W> {
    /// Begins a file. `expected_rows` decides the number of sections; it need not be exact, but memory
    /// for a section grows with the number of rows beyond it.
    ///
    /// # Errors
    /// Errors of the sink, and [`io::ErrorKind::InvalidInput`] if the view's name has more than 60,000 bytes.
    pub fn new(sink: W, meta: BatchMeta, expected_rows: u64) -> io::Result<BatchWriter<W>> {
        let mut header = HEADER_MAGIC.to_vec();
        header.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        header.extend_from_slice(&[0; 4]);
        codec::encode(&meta, &mut header).map_err(io::Error::other)?;
        let meta_bytes = header.len() - format::HEADER_FIXED;
        if meta_bytes > META_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the view's name is too long"));
        }
        header[12..16].copy_from_slice(&(meta_bytes as u32).to_le_bytes());
        header.resize(header.len() + padding(header.len()), 0);
        let mut writer = BatchWriter {
            sink,
            meta,
            bits: section_bits(expected_rows),
            offset: 0,
            header: header.len(),
            crc: crc32fast::Hasher::new(),
            directory: Vec::new(),
            section: Section::default(),
            last_position: None,
            rows: 0,
            expected: usize::try_from(expected_rows >> section_bits(expected_rows)).unwrap_or(0),
            digest: Digest::default(),
        };
        writer.crc.update(&header);
        writer.put(&header)?;
        Ok(writer)
    }

    /// Appends a row. `hash` is the key's [`Key::hash64`].
    ///
    /// # Errors
    /// Errors of the sink; an aggregate that cannot be serialised; a section of more than 4 GiB.
    ///
    /// # Panics
    /// If the row is not after the row before it, in order of sort position and encoded key, or not in a partition that
    /// the file covers. (A debug assertion checks that the hash is the key's.)
    pub fn push<K: Key, A: Aggregate>(
        &mut self,
        hash: u64,
        key: &K,
        aggregate: &A,
    ) -> io::Result<()> {
        debug_assert_eq!(hash, key.hash64(), "the hash of {key:?}");
        let position = sort_position(hash);
        assert!(
            self.meta.coverage.contains(partition(hash)),
            "{key:?} is in partition {}, which the file does not cover",
            partition(hash)
        );
        let number = section_of(position, self.bits);
        while self.directory.len() < number {
            self.end_section()?;
        }
        assert_eq!(self.directory.len(), number, "{key:?} is out of order");

        let start = self.section.rows.len();
        let (key_range, body) = self.section.put_row(|out| key.encode(out), aggregate)?;
        if self.section.keys.is_empty() {
            self.section.expect(self.expected);
        }
        let rows = &self.section.rows;
        if rows.len() > u32::MAX as usize || self.section.keys.len() == u32::MAX as usize {
            let message = "a section of a batch view is larger than 4 GiB: expect more rows";
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
        }
        let ascending = match (self.last_position, self.section.keys.last()) {
            (Some(last), Some(&(from, to))) if last == position => {
                rows[from as usize..to as usize] < rows[key_range.clone()]
            }
            (last, _) => last.is_none_or(|last| last < position),
        };
        assert!(ascending, "{key:?} is out of order");

        self.digest += Digest::of_row(&rows[body..]);
        self.section.index_row(position_in_section(position, self.bits), start, key_range);
        self.last_position = Some(position);
        self.rows += 1;
        Ok(())
    }

    /// The encoded key of the row that was appended last.
    pub(super) fn last_key(&self) -> &[u8] {
        let last = self.section.keys.last();
        last.map_or(&[], |&(from, to)| &self.section.rows[from as usize..to as usize])
    }

    /// Writes the rest, the directory and the footer, without totals, and returns the sink.
    ///
    /// # Errors
    /// Errors of the sink.
    pub fn finish(mut self) -> io::Result<(W, BatchSummary)> {
        self.end_rows()?;
        self.end_section()?;
        self.end(0)
    }

    /// As [`BatchWriter::finish`], with totals of the rows.
    pub(super) fn finish_with<A: Aggregate>(
        mut self,
        totals: Totals<A>,
    ) -> io::Result<(W, BatchSummary)> {
        self.end_rows()?;
        let (mut levels, totals) = totals.finish(self.rows);
        for (prefix, total) in totals {
            let start = self.section.rows.len();
            let (key, _) = self.section.put_row(|out| out.extend_from_slice(&prefix), &total)?;
            self.section.index_row(0, start, key);
        }
        // The rows give the same result.
        if self.section.rows.len() > u32::MAX as usize {
            self.section.clear();
            levels = 0;
        }
        self.end_section()?;
        self.end(levels as u32)
    }

    fn end_rows(&mut self) -> io::Result<()> {
        while self.directory.len() < 1 << self.bits {
            self.end_section()?;
        }
        Ok(())
    }

    fn end(mut self, levels: u32) -> io::Result<(W, BatchSummary)> {
        let directory: Vec<u8> = self.directory.iter().flat_map(|entry| entry.to_bytes()).collect();
        let footer = Footer {
            directory: self.offset as u64,
            section_bits: self.bits,
            levels,
            header: self.header as u32,
            rows: self.rows,
            digest: self.digest,
        }
        .to_checked_bytes();
        self.crc.update(&directory);
        self.crc.update(&footer);
        let crc = self.crc.clone().finalize();
        self.put(&directory)?;
        self.put(&footer)?;
        self.put(&crc.to_le_bytes())?;
        self.put(&format::FOOTER_MAGIC)?;
        let summary =
            BatchSummary { rows: self.rows, bytes: self.offset as u64, digest: self.digest };
        Ok((self.sink, summary))
    }

    fn end_section(&mut self) -> io::Result<()> {
        let mut section = std::mem::take(&mut self.section);
        section.sort_keys();
        let parts: [&[u8]; 3] = [&section.index, &section.order_bytes, &section.rows];
        let mut crc = crc32fast::Hasher::new();
        let offset = self.offset as u64;
        let mut length = 0;
        for part in parts {
            crc.update(part);
            length += part.len();
            self.put(part)?;
        }
        let rows = section.keys.len() as u32;
        self.put(&[0; format::ALIGNMENT][..padding(length)])?;
        self.directory.push(SectionEntry {
            offset,
            length: length as u64,
            rows,
            crc: crc.finalize(),
        });
        section.clear();
        self.section = section;
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.sink.write_all(bytes)?;
        self.offset += bytes.len();
        Ok(())
    }
}

impl Section {
    /// Appends a row. Returns the range of its key, and where key and aggregate begin.
    fn put_row<A: Aggregate>(
        &mut self,
        encode_key: impl FnOnce(&mut Vec<u8>),
        aggregate: &A,
    ) -> io::Result<(std::ops::Range<usize>, usize)> {
        // The length comes first and is not known yet. So the key is encoded after room for a length of one byte, and
        // moved in the rare case of a longer one.
        let start = self.rows.len();
        self.rows.push(0);
        encode_key(&mut self.rows);
        let key_bytes = self.rows.len() - start - 1;
        let body = match u8::try_from(key_bytes) {
            Ok(short) if short < 0x80 => {
                self.rows[start] = short;
                start + 1
            }
            _ => {
                let mut length = Vec::new();
                codec::put_varint(key_bytes as u64, &mut length);
                self.rows.splice(start..start + 1, length.iter().copied());
                start + length.len()
            }
        };
        codec::encode(aggregate, &mut self.rows).map_err(io::Error::other)?;
        Ok((body..body + key_bytes, body))
    }

    /// Reserves memory for so many rows, if they are like the first one, which it has.
    fn expect(&mut self, rows: usize) {
        let more = rows.saturating_sub(1);
        self.rows.reserve(more.saturating_mul(self.rows.len()).min(EXPECTED_MAX));
        let more = more.min(EXPECTED_MAX / 16);
        self.index.reserve(8 * (more + 1));
        self.keys.reserve(more + 1);
    }

    fn index_row(&mut self, position: u32, start: usize, key: std::ops::Range<usize>) {
        self.index.extend_from_slice(&position.to_le_bytes());
        self.index.extend_from_slice(&(start as u32).to_le_bytes());
        self.keys.push((key.start as u32, key.end as u32));
    }

    fn sort_keys(&mut self) {
        let key = |row: u32| {
            let (from, to) = self.keys[row as usize];
            &self.rows[from as usize..to as usize]
        };
        self.order.extend((0..self.keys.len() as u32).map(|row| (prefix(key(row)), row)));
        sort_by_number(
            &mut self.order,
            |(prefix, _)| *prefix,
            |(_, a), (_, b)| key(*a).cmp(key(*b)),
        );
        self.order_bytes.extend(self.order.iter().flat_map(|(_, row)| row.to_le_bytes()));
    }

    /// Empties the section and keeps its memory.
    fn clear(&mut self) {
        self.index.clear();
        self.keys.clear();
        self.rows.clear();
        self.order.clear();
        self.order_bytes.clear();
    }
}

/// Writes rows and their totals.
pub(crate) fn write_rows<W: Write, K: Key, A: Aggregate>(
    sink: W,
    meta: BatchMeta,
    expected_rows: u64,
    rows: impl IntoIterator<Item = (u64, K, A)>,
) -> io::Result<(W, BatchSummary)> {
    let mut writer = BatchWriter::new(sink, meta, expected_rows)?;
    let mut totals = Totals::new::<K>(expected_rows);
    for (hash, key, aggregate) in rows {
        writer.push(hash, &key, &aggregate)?;
        totals.add(writer.last_key(), &aggregate);
    }
    writer.finish_with(totals)
}
