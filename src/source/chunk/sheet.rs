//! The rows of a chunk, as they are found.

use crate::source::cells::Cells;
use crate::source::clock::Reading;
use crate::source::judge::Judge;
use crate::source::row::{Refused, Rows, Span};

/// The content of a chunk. Lines are counted from 0.
pub(in crate::source) struct Parsed {
    pub(in crate::source) rows: Rows,
    /// What each row says about the clock, if there is a column of arrivals.
    pub(in crate::source) readings: Vec<Reading>,
    /// Records that are not rows, in order.
    pub(in crate::source) refused: Vec<RefusedAt>,
    /// Bytes and lines up to which the chunk is clear. A record or a blank line begins there.
    pub(in crate::source) length: usize,
    pub(in crate::source) lines: u64,
}

/// A record that is not a row.
pub(in crate::source) struct RefusedAt {
    /// Rows before it.
    pub(in crate::source) rows: usize,
    /// Where it begins.
    pub(in crate::source) start: usize,
    pub(in crate::source) refused: Refused,
}

/// The rows of a chunk that were found so far.
pub(super) struct Sheet<'a> {
    pub(super) judge: &'a Judge,
    parsed: Parsed,
    /// Fields whose text differs from the bytes in the chunk; their positions count on from the end of its bytes.
    pub(super) extra: Vec<u8>,
}

impl<'a> Sheet<'a> {
    pub(super) fn new(judge: &'a Judge, rows: usize) -> Sheet<'a> {
        let mut sheet = Rows::new(judge.columns.selected.len());
        sheet.reserve(rows);
        let readings = Vec::with_capacity(if judge.has_arrivals() { rows } else { 0 });
        let parsed = Parsed { rows: sheet, readings, refused: Vec::new(), length: 0, lines: 0 };
        Sheet { judge, parsed, extra: Vec::new() }
    }

    /// The line at which the next record begins.
    pub(super) fn line(&self) -> u64 {
        self.parsed.lines
    }

    /// Everything is clear up to here, which is this many lines further.
    pub(super) fn pass(&mut self, length: usize, lines: u64) {
        self.parsed.length = length;
        self.parsed.lines += lines;
    }

    /// Takes a record that may be a row. Its fields are positions in `bytes`, or beyond their end in the extra bytes.
    pub(super) fn take(&mut self, bytes: &[u8], raw: Span, fields: &Fields) {
        let cells = Placed { bytes, extra: &self.extra, raw, fields };
        match self.judge.judge(&cells) {
            Ok((time, reading)) => {
                let spans = self.judge.columns.selected.iter().map(|i| fields.span(*i));
                self.parsed.rows.push_spans(self.parsed.lines, time, raw, spans);
                if let Reading::Arrival(_) = reading {
                    self.parsed.readings.push(reading);
                }
            }
            Err(reason) => self.refuse(bytes, raw, reason),
        }
    }

    /// Takes a record that is not a row.
    pub(super) fn refuse(&mut self, bytes: &[u8], raw: Span, reason: String) {
        let (line, rows, start) = (self.line(), self.parsed.rows.len(), raw.start as usize);
        let refused = Refused { line, reason, row: bytes[raw.range()].to_vec() };
        self.parsed.refused.push(RefusedAt { rows, start, refused });
    }

    pub(super) fn end(mut self, mut bytes: Vec<u8>) -> Parsed {
        bytes.extend_from_slice(&self.extra);
        self.parsed.rows.set_bytes(bytes);
        self.parsed
    }
}

/// The positions of a record's fields. Fields that cannot be selected are only counted.
pub(super) struct Fields {
    pub(super) spans: Vec<Span>,
    pub(super) count: usize,
    /// Bytes of fields that cannot be selected.
    behind: usize,
}

impl Fields {
    /// Fields of which the first `most` can be selected.
    pub(super) fn new(most: usize) -> Fields {
        Fields { spans: vec![Span::default(); most], count: 0, behind: 0 }
    }

    pub(super) fn clear(&mut self) {
        (self.count, self.behind) = (0, 0);
    }

    #[inline]
    pub(super) fn push(&mut self, start: usize, end: usize) {
        match self.spans.get_mut(self.count) {
            Some(span) => *span = Span::new(start, end),
            None => self.behind += end - start,
        }
        self.count += 1;
    }

    pub(super) fn span(&self, i: usize) -> Span {
        if i < self.count { self.spans[i] } else { Span::default() }
    }
}

/// Fields, and the bytes in which they are positions.
struct Placed<'a> {
    bytes: &'a [u8],
    extra: &'a [u8],
    raw: Span,
    fields: &'a Fields,
}

impl Cells for Placed<'_> {
    fn count(&self) -> usize {
        self.fields.count
    }

    fn is_empty_behind(&self, count: usize) -> bool {
        let kept = self.fields.spans.len().min(self.fields.count);
        let is_empty = |i| self.fields.span(i).range().is_empty();
        self.fields.behind == 0 && (count..kept).all(is_empty)
    }

    #[inline]
    fn cell(&self, i: usize) -> &[u8] {
        let range = self.fields.span(i).range();
        match range.start.checked_sub(self.bytes.len()) {
            None => &self.bytes[range],
            Some(start) => &self.extra[start..start + range.len()],
        }
    }

    fn raw(&self) -> &[u8] {
        &self.bytes[self.raw.range()]
    }
}

/// A line without its end: `LF`, or `CR LF`.
pub(super) fn without_end(bytes: &[u8], start: usize, line_feed: usize) -> Span {
    let has_return = line_feed > start && bytes[line_feed - 1] == b'\r';
    Span::new(start, line_feed - usize::from(has_return))
}
