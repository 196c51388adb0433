//! A block of rows, as it travels from the worker that reads to the workers that parse.

use serde::{Deserialize, Serialize};

use crate::time::EventTime;

/// Rows of one source, in its order, with the rows among them that the reader refused.
///
/// Each row has the event time that the reader found, the selected fields (quotes resolved), and its
/// raw bytes, for the case that a worker has to refuse it. All bytes of a block lie one after the
/// other; a block is a dozen allocations whatever the number of its rows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RowBlock {
    /// Selected fields of each row.
    width: u32,
    #[serde(with = "packed")]
    fields: Vec<u8>,
    /// Where each field of each row ends in `fields`.
    field_ends: Vec<u32>,
    #[serde(with = "packed")]
    raw: Vec<u8>,
    /// Where each row ends in `raw`.
    raw_ends: Vec<u32>,
    lines: Vec<u64>,
    times: Vec<EventTime>,
    /// Rows that the reader refused, in order; they are not among the rows of the block.
    pub refused: Vec<Refused>,
}

impl RowBlock {
    /// A block for rows of `width` selected fields.
    pub(super) fn new(width: usize) -> RowBlock {
        let width = u32::try_from(width).expect("fewer selected fields than u32 can count");
        RowBlock { width, ..RowBlock::default() }
    }

    /// Appends a row. The caller bounds the bytes of a block far below what `u32` can count.
    pub(super) fn push<'a>(
        &mut self,
        line: u64,
        time: EventTime,
        raw: &[u8],
        fields: impl Iterator<Item = &'a [u8]>,
    ) {
        for field in fields {
            self.fields.extend_from_slice(field);
            self.field_ends.push(end(&self.fields));
        }
        self.raw.extend_from_slice(raw);
        self.raw_ends.push(end(&self.raw));
        self.lines.push(line);
        self.times.push(time);
        assert_eq!(self.field_ends.len(), self.len() * self.width as usize, "fields of a row");
    }

    /// Bytes of memory that the rows take, about.
    pub(super) fn memory(&self) -> usize {
        self.fields.len() + 4 * self.field_ends.len() + self.raw.len() + 20 * self.len()
    }

    /// The number of rows, without the refused ones.
    pub(crate) fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether the block has no rows. It may still have refused ones.
    pub(crate) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// The rows, in the order of the source.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = Row<'_>> + '_ {
        (0..self.len()).map(|index| Row { block: self, index })
    }
}

fn end(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).expect("the reader bounds the bytes of a block")
}

/// The `index`-th of consecutive slices of `bytes` that end at `ends`.
fn slice<'a>(bytes: &'a [u8], ends: &[u32], index: usize) -> &'a [u8] {
    let start = if index == 0 { 0 } else { ends[index - 1] as usize };
    &bytes[start..ends[index] as usize]
}

/// One row of a source, or one record of a source of one's own.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    block: &'a RowBlock,
    index: usize,
}

impl<'a> Row<'a> {
    /// The physical line on which the row begins; the header's is 1.
    pub fn line(&self) -> u64 {
        self.block.lines[self.index]
    }

    /// When it happened.
    pub fn time(&self) -> EventTime {
        self.block.times[self.index]
    }

    /// The `i`-th of the selected fields, without its quotes.
    ///
    /// # Panics
    /// If fewer fields were selected.
    #[inline]
    pub fn field(&self, i: usize) -> &'a [u8] {
        let width = self.block.width as usize;
        assert!(i < width, "field {i} of {width} selected ones");
        slice(&self.block.fields, &self.block.field_ends, self.index * width + i)
    }

    /// The row as it stands in the source, quotes included, without the end of the line.
    pub fn raw(&self) -> &'a [u8] {
        slice(&self.block.raw, &self.block.raw_ends, self.index)
    }
}

/// A row that is not counted, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// The physical line on which the row begins; the header's is 1.
    pub line: u64,
    /// Why, on one line.
    pub reason: String,
    /// The row as it stands in the source, without the end of the line.
    #[serde(with = "packed")]
    pub row: Vec<u8>,
}

impl Refused {
    /// The refusal of `row` for `reason`.
    pub(crate) fn new(row: Row<'_>, reason: impl Into<String>) -> Refused {
        Refused { line: row.line(), reason: reason.into(), row: row.raw().to_vec() }
    }
}

/// Bytes as one run of bytes; serde takes a `Vec<u8>` for a sequence of numbers, one at a time.
mod packed {
    use std::fmt;

    use serde::de::{Deserializer, Error, SeqAccess, Visitor};
    use serde::ser::Serializer;

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(bytes)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        from.deserialize_byte_buf(Bytes)
    }

    struct Bytes;

    impl<'de> Visitor<'de> for Bytes {
        type Value = Vec<u8>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("bytes")
        }

        fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
            Ok(bytes.to_vec())
        }

        fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
            Ok(bytes)
        }

        // Formats without a type for bytes, such as JSON.
        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<u8>, A::Error> {
            let mut bytes = Vec::new();
            while let Some(byte) = seq.next_element()? {
                bytes.push(byte);
            }
            Ok(bytes)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_travel() {
        let mut block = RowBlock::new(2);
        block.push(2, -5, b"a,\"b\"", [&b"a"[..], b"b"].into_iter());
        block.push(4, 7, b",", [&b""[..], b""].into_iter());
        let refusal = block.iter().nth(1).map(|row| Refused::new(row, "no")).unwrap();
        block.refused.push(refusal);
        let bytes = bincode::serialize(&block).unwrap();
        let back: RowBlock = bincode::deserialize(&bytes).unwrap();
        assert_eq!(back, block);
        assert_eq!(back.refused[0], Refused { line: 4, reason: "no".into(), row: b",".into() });
        let rows: Vec<_> = back.iter().collect();
        assert_eq!((rows[0].line(), rows[0].time(), rows[0].raw()), (2, -5, &b"a,\"b\""[..]));
        assert_eq!((rows[0].field(0), rows[0].field(1)), (&b"a"[..], &b"b"[..]));
        assert_eq!((rows[1].field(0), rows[1].field(1)), (&b""[..], &b""[..]));
    }

    #[test]
    fn an_empty_block_travels() {
        let bytes = bincode::serialize(&RowBlock::default()).unwrap();
        let back: RowBlock = bincode::deserialize(&bytes).unwrap();
        assert!(back.is_empty() && back.iter().next().is_none());
    }
}
