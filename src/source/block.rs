//! Rows in columns, and blocks of them, as they travel from the reader to the workers that make events of them.

use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::row::{Refused, Row};
use crate::time::EventTime;

/// A place in [`Rows`]' bytes.
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
/// Each row has the event time that the reader found, the places of the selected fields, and that of the whole row, for
/// the case that a worker has to refuse it. Fields that stand in the source as they are, are not copied.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Rows {
    /// Selected fields of each row.
    width: u32,
    /// The rows as they stand in the source; behind them, fields with doubled quotes or escapes, without these.
    #[serde(with = "super::row::packed")]
    bytes: Vec<u8>,
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

    /// Room for so many rows.
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

    /// The bytes that the rows are places in.
    pub(super) fn set_bytes(&mut self, bytes: Vec<u8>) {
        self.bytes = bytes;
    }

    fn copy(&mut self, bytes: &[u8]) -> Span {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        Span::new(start, self.bytes.len())
    }

    /// Adds so many lines before the first row.
    pub(super) fn move_lines(&mut self, lines: u64) {
        self.lines.iter_mut().for_each(|line| *line += lines);
    }

    /// The number of rows.
    pub(super) fn len(&self) -> usize {
        self.lines.len()
    }

    /// Bytes of memory that a block of these rows takes, about.
    pub(super) fn memory(&self) -> usize {
        self.bytes.len() + 8 * self.fields.len() + 24 * self.len()
    }

    /// Bytes of memory that the row at `index` takes, about.
    pub(super) fn memory_of(&self, index: usize) -> usize {
        self.raw[index].range().len() + 8 * self.width as usize + 24
    }

    /// Where the row at `index` begins.
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

/// Some rows of a source, in its order, with the rows among them that the reader refused.
///
/// Blocks may be parts of the same [`Rows`]. Only what is in a block travels to another process.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(from = "Packed", into = "Packed")]
pub(crate) struct RowBlock {
    rows: Arc<Rows>,
    picked: Picked,
    /// Rows that the reader refused, in order; they are not among the rows of the block.
    pub(crate) refused: Vec<Refused>,
}

/// Which rows a block has.
#[derive(Clone, Debug)]
enum Picked {
    Range(Range<usize>),
    /// Rows between them were refused.
    Some(Vec<usize>),
}

impl Default for Picked {
    fn default() -> Picked {
        Picked::Range(0..0)
    }
}

impl RowBlock {
    /// All of these rows.
    pub(super) fn of(rows: Rows, refused: Vec<Refused>) -> RowBlock {
        let picked = Picked::Range(0..rows.len());
        RowBlock { rows: Arc::new(rows), picked, refused }
    }

    /// The rows in a range, except for some, in order, that were refused.
    pub(super) fn part(
        rows: &Arc<Rows>,
        range: Range<usize>,
        except: &[usize],
        refused: Vec<Refused>,
    ) -> RowBlock {
        let picked = match except {
            [] => Picked::Range(range),
            _ => Picked::Some(range.filter(|at| except.binary_search(at).is_err()).collect()),
        };
        RowBlock { rows: Arc::clone(rows), picked, refused }
    }

    /// The number of rows, without the refused ones.
    pub(crate) fn len(&self) -> usize {
        match &self.picked {
            Picked::Range(range) => range.len(),
            Picked::Some(rows) => rows.len(),
        }
    }

    /// Whether the block has no rows. It may still have refused ones.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The rows, in the order of the source.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = Row<'_>> + '_ {
        (0..self.len()).map(|at| {
            let index = match &self.picked {
                Picked::Range(range) => range.start + at,
                Picked::Some(rows) => rows[at],
            };
            self.rows.row(index)
        })
    }
}

/// The same rows, whatever else lies beside them.
impl PartialEq for RowBlock {
    fn eq(&self, other: &RowBlock) -> bool {
        let fields = |row: Row<'_>| (0..row.width()).map(|i| row.field(i).to_vec()).collect();
        let of = |row: Row<'_>| -> (u64, EventTime, Vec<u8>, Vec<Vec<u8>>) {
            (row.line(), row.time(), row.raw().to_vec(), fields(row))
        };
        self.refused == other.refused && self.iter().map(of).eq(other.iter().map(of))
    }
}

impl Eq for RowBlock {}

/// A block as it travels to another process: its rows alone.
#[derive(Serialize, Deserialize)]
struct Packed {
    rows: Rows,
    refused: Vec<Refused>,
}

impl From<RowBlock> for Packed {
    fn from(block: RowBlock) -> Packed {
        let mut rows = Rows::new(block.rows.width());
        rows.reserve(block.len());
        for row in block.iter() {
            let fields = (0..row.width()).map(|i| row.field(i));
            rows.push(row.line(), row.time(), row.raw(), fields);
        }
        Packed { rows, refused: block.refused }
    }
}

impl From<Packed> for RowBlock {
    fn from(packed: Packed) -> RowBlock {
        RowBlock::of(packed.rows, packed.refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_travel() {
        let mut rows = Rows::new(2);
        rows.push(2, -5, b"a,\"b\"", [&b"a"[..], b"b"].into_iter());
        rows.push(3, 6, b"c,d", [&b"c"[..], b"d"].into_iter());
        rows.push(4, 7, b",", [&b""[..], b""].into_iter());
        let rows = Arc::new(rows);
        let refusal = Refused::new(rows.row(1), "no");
        let block = RowBlock::part(&rows, 0..3, &[1], vec![refusal]);
        let bytes = bincode::serialize(&block).unwrap();
        let back: RowBlock = bincode::deserialize(&bytes).unwrap();
        assert_eq!(back, block);
        assert_eq!(back.rows.bytes.len(), 8, "what is not in the block does not travel");
        assert_eq!(back.refused[0], Refused { line: 3, reason: "no".into(), row: b"c,d".into() });
        let rows: Vec<_> = back.iter().collect();
        assert_eq!((rows[0].line(), rows[0].time(), rows[0].raw()), (2, -5, &b"a,\"b\""[..]));
        assert_eq!((rows[0].field(0), rows[0].field(1)), (&b"a"[..], &b"b"[..]));
        assert_eq!((rows[1].field(0), rows[1].field(1)), (&b""[..], &b""[..]));
        assert_eq!(rows[1].line(), 4);
    }

    #[test]
    fn an_empty_block_travels() {
        let bytes = bincode::serialize(&RowBlock::default()).unwrap();
        let back: RowBlock = bincode::deserialize(&bytes).unwrap();
        assert!(back.is_empty() && back.iter().next().is_none());
    }
}
