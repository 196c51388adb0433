//! Rows in columns, one row as the function that makes an event of it sees it, and one refused row.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::time::EventTime;

/// One row of a source, or one record of your own source.
///
/// ```
/// use dayfold::Engine;
/// use dayfold::source::{CsvOptions, Row};
/// use dayfold::time::EventTime;
///
/// /// Makes an event of a row, or says why it is none.
/// fn visit(row: &Row<'_>) -> Result<(EventTime, String), String> {
///     let page = std::str::from_utf8(row.field(0)).map_err(|error| error.to_string())?;
///     if page.is_empty() { Err("no page".to_owned()) } else { Ok((row.time(), page.to_owned())) }
/// }
///
/// let options = CsvOptions::new("at").fields(["page"]);
/// let engine = Engine::new().file("visits.csv", options, visit);
/// # let _ = engine;
/// ```
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

    /// About how many bytes of memory it takes.
    pub(super) fn memory(&self) -> usize {
        self.rows.memory_of(self.index)
    }

    /// The number of selected fields.
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
#[non_exhaustive]
pub struct Refused {
    /// The physical line on which the row begins; the header's is 1.
    pub line: u64,
    /// The reason, on one line.
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

/// A position in the bytes of [`Rows`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Span {
    pub(super) start: u32,
    pub(super) end: u32,
}

impl Span {
    /// The caller bounds the bytes of rows far below what `u32` can count.
    pub(super) fn new(start: usize, end: usize) -> Span {
        let place = |at| u32::try_from(at).expect("the reader bounds the bytes of a block");
        Span { start: place(start), end: place(end) }
    }

    pub(super) fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// Rows of one source, in its order: a dozen allocations whatever their number.
///
/// Each row has the event time that the reader found, the positions of the selected fields, and the position of the
/// whole row, in case a worker has to refuse it. Fields whose text is in the source unchanged are not copied.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Rows {
    /// Selected fields of each row.
    width: u32,
    /// The rows as they are in the source, followed by the resolved text of fields with doubled quotes or escapes.
    #[serde(with = "packed")]
    pub(super) bytes: Vec<u8>,
    raw: Vec<Span>,
    /// `width` for each row.
    fields: Vec<Span>,
    lines: Vec<u64>,
    times: Vec<EventTime>,
}

impl Rows {
    /// No rows yet, of `width` selected fields.
    pub(super) fn new(width: usize) -> Rows {
        let width = u32::try_from(width).expect("fewer selected fields than u32 can count");
        Rows { width, ..Rows::default() }
    }

    /// Reserves room for this many rows.
    pub(super) fn reserve(&mut self, rows: usize) {
        self.raw.reserve(rows);
        self.fields.reserve(rows * self.width as usize);
        self.lines.reserve(rows);
        self.times.reserve(rows);
    }

    /// Appends a row, and copies it.
    pub(super) fn push<'a>(
        &mut self,
        line: u64,
        time: EventTime,
        raw: &[u8],
        fields: impl Iterator<Item = &'a [u8]>,
    ) {
        for field in fields {
            let field = self.copy(field);
            self.fields.push(field);
        }
        let raw = self.copy(raw);
        self.push_row(line, time, raw);
    }

    /// Appends a row of bytes that [`Rows::set_bytes`] will give.
    pub(super) fn push_spans(
        &mut self,
        line: u64,
        time: EventTime,
        raw: Span,
        fields: impl Iterator<Item = Span>,
    ) {
        self.fields.extend(fields);
        self.push_row(line, time, raw);
    }

    fn push_row(&mut self, line: u64, time: EventTime, raw: Span) {
        self.raw.push(raw);
        self.lines.push(line);
        self.times.push(time);
        assert_eq!(self.fields.len(), self.len() * self.width as usize, "fields of a row");
    }

    /// The bytes in which the rows are positions.
    pub(super) fn set_bytes(&mut self, bytes: Vec<u8>) {
        self.bytes = bytes;
    }

    fn copy(&mut self, bytes: &[u8]) -> Span {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        Span::new(start, self.bytes.len())
    }

    /// Adds this many lines before the first row.
    pub(super) fn move_lines(&mut self, lines: u64) {
        self.lines.iter_mut().for_each(|line| *line += lines);
    }

    /// The number of rows.
    pub(super) fn len(&self) -> usize {
        self.lines.len()
    }

    /// About how many bytes of memory a block of these rows takes.
    pub(super) fn memory(&self) -> usize {
        self.bytes.len() + 8 * self.fields.len() + 24 * self.len()
    }

    /// About how many bytes of memory the row at `index` takes.
    pub(super) fn memory_of(&self, index: usize) -> usize {
        self.raw[index].range().len() + 8 * self.width as usize + 24
    }

    /// The beginning of the row at `index`.
    pub(super) fn start(&self, index: usize) -> usize {
        self.raw[index].start as usize
    }

    pub(super) fn line(&self, index: usize) -> u64 {
        self.lines[index]
    }

    pub(super) fn time(&self, index: usize) -> EventTime {
        self.times[index]
    }

    /// The `i`-th selected field of the row at `index`.
    #[inline]
    pub(super) fn field(&self, index: usize, i: usize) -> &[u8] {
        let width = self.width as usize;
        assert!(i < width, "field {i} of {width} selected ones");
        &self.bytes[self.fields[index * width + i].range()]
    }

    pub(super) fn width(&self) -> usize {
        self.width as usize
    }

    pub(super) fn raw(&self, index: usize) -> &[u8] {
        &self.bytes[self.raw[index].range()]
    }

    pub(super) fn row(&self, index: usize) -> Row<'_> {
        Row { rows: self, index }
    }
}
