//! A row as the function that makes an event of it sees it, and a row that is not counted.

use serde::{Deserialize, Serialize};

use super::block::Rows;
use crate::time::EventTime;

/// One row of a source, or one record of a source of one's own.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    pub(super) rows: &'a Rows,
    pub(super) index: usize,
}

impl<'a> Row<'a> {
    /// The physical line on which the row begins; the header's is 1.
    pub fn line(&self) -> u64 {
        self.rows.line(self.index)
    }

    /// When it happened.
    pub fn time(&self) -> EventTime {
        self.rows.time(self.index)
    }

    /// The `i`-th of the selected fields, without its quotes.
    ///
    /// # Panics
    /// If fewer fields were selected.
    #[inline]
    pub fn field(&self, i: usize) -> &'a [u8] {
        self.rows.field(self.index, i)
    }

    /// Bytes of memory that it takes, about.
    pub(super) fn memory(&self) -> usize {
        self.rows.memory_of(self.index)
    }

    /// How many fields are selected.
    pub(super) fn width(&self) -> usize {
        self.rows.width()
    }

    /// The row as it stands in the source, quotes included, without the end of the line.
    pub fn raw(&self) -> &'a [u8] {
        self.rows.raw(self.index)
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
pub(super) mod packed {
    use std::fmt;

    use serde::de::{Deserializer, Error, SeqAccess, Visitor};
    use serde::ser::Serializer;

    pub(in super::super) fn serialize<S: Serializer>(
        bytes: &[u8],
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(bytes)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Vec<u8>, D::Error> {
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
