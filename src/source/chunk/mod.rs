//! Whole lines of a source, cut into rows: by any thread, as nothing before or behind them is asked.
//!
//! A chunk begins where a record does, as far as its quotes let one guess, and ends with the end of a line. Whoever
//! puts chunks in order sees whether that was right: a chunk is read up to where a quote stays open, or what it
//! says is not clear from it alone, and what follows is read by [`Records`](super::records::Records), which decides.

mod csv;
mod json;
pub(super) mod pool;

use std::sync::Arc;

use super::block::{Rows, Span};
use super::clock::Reading;
use super::judge::{Cells, Judge};
use super::options::{CsvOptions, Format};
use super::row::Refused;
use csv::Dialect;
use json::Names;

/// Whole lines of a source.
pub(super) struct Chunk {
    pub(super) bytes: Vec<u8>,
    /// Line feeds.
    pub(super) lines: usize,
    pub(super) has_quotes: bool,
}

/// What a chunk says. Lines are counted from 0.
pub(super) struct Parsed {
    pub(super) rows: Rows,
    /// What each row says about the clock, if there is a column of arrivals.
    pub(super) readings: Vec<Reading>,
    /// Records that are no rows, in order.
    pub(super) refused: Vec<RefusedAt>,
    /// Bytes and lines up to where it is clear. A record begins there, or a blank line.
    pub(super) length: usize,
    pub(super) lines: u64,
}

/// A record that is no row.
pub(super) struct RefusedAt {
    /// Rows before it.
    pub(super) rows: usize,
    /// Where it begins.
    pub(super) start: usize,
    pub(super) refused: Refused,
}

/// Cuts the chunks of a source.
pub(super) struct Parser {
    judge: Arc<Judge>,
    form: Form,
}

enum Form {
    Csv(Dialect),
    JsonLines { names: Names, comment: Option<u8> },
}

impl Parser {
    pub(super) fn new(options: &CsvOptions, judge: Arc<Judge>) -> Parser {
        let form = match options.format {
            Format::Csv => Form::Csv(Dialect::new(options)),
            Format::JsonLines => {
                Form::JsonLines { names: Names::new(options), comment: options.comment }
            }
        };
        Parser { judge, form }
    }

    pub(super) fn parse(&self, chunk: Chunk) -> Parsed {
        let Chunk { bytes, lines, has_quotes } = chunk;
        let mut sheet = Sheet::new(&self.judge, lines);
        match &self.form {
            Form::Csv(dialect) => csv::cut(dialect, &bytes, has_quotes, &mut sheet),
            Form::JsonLines { names, comment } => json::cut(names, *comment, &bytes, &mut sheet),
        }
        sheet.end(bytes)
    }
}

/// The rows of a chunk that were found so far.
struct Sheet<'a> {
    judge: &'a Judge,
    parsed: Parsed,
    /// Fields that do not stand in the chunk as they are; their places are counted from behind its bytes.
    extra: Vec<u8>,
}

impl<'a> Sheet<'a> {
    fn new(judge: &'a Judge, rows: usize) -> Sheet<'a> {
        let mut sheet = Rows::new(judge.columns.selected.len());
        sheet.reserve(rows);
        let readings = Vec::with_capacity(if judge.columns.arrival.is_some() { rows } else { 0 });
        let parsed = Parsed { rows: sheet, readings, refused: Vec::new(), length: 0, lines: 0 };
        Sheet { judge, parsed, extra: Vec::new() }
    }

    /// The line at which the next record begins.
    fn line(&self) -> u64 {
        self.parsed.lines
    }

    /// Everything is clear up to here, which is so many lines further.
    fn pass(&mut self, length: usize, lines: u64) {
        self.parsed.length = length;
        self.parsed.lines += lines;
    }

    /// Takes a record that may be a row. Its fields are places in `bytes`, or behind these in the extra ones.
    fn take(&mut self, bytes: &[u8], raw: Span, fields: &Fields) {
        let cells = Placed { bytes, extra: &self.extra, fields };
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

    /// Takes a record that is no row.
    fn refuse(&mut self, bytes: &[u8], raw: Span, reason: String) {
        let (line, rows, start) = (self.line(), self.parsed.rows.len(), raw.start as usize);
        let refused = Refused { line, reason, row: bytes[raw.range()].to_vec() };
        self.parsed.refused.push(RefusedAt { rows, start, refused });
    }

    fn end(mut self, mut bytes: Vec<u8>) -> Parsed {
        bytes.extend_from_slice(&self.extra);
        self.parsed.rows.set_bytes(bytes);
        self.parsed
    }
}

/// Where the fields of a record are. Those that nobody can ask for are counted.
struct Fields {
    spans: Vec<Span>,
    count: usize,
    /// Bytes of fields that nobody can ask for.
    behind: usize,
}

impl Fields {
    /// Fields of which the first `most` can be asked for.
    fn new(most: usize) -> Fields {
        Fields { spans: vec![Span::default(); most], count: 0, behind: 0 }
    }

    fn clear(&mut self) {
        (self.count, self.behind) = (0, 0);
    }

    #[inline]
    fn push(&mut self, start: usize, end: usize) {
        match self.spans.get_mut(self.count) {
            Some(span) => *span = Span::new(start, end),
            None => self.behind += end - start,
        }
        self.count += 1;
    }

    fn span(&self, i: usize) -> Span {
        if i < self.count { self.spans[i] } else { Span::default() }
    }
}

/// Fields and what they are places in.
struct Placed<'a> {
    bytes: &'a [u8],
    extra: &'a [u8],
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
}

/// A line without its end: `LF`, or `CR LF`.
fn without_end(bytes: &[u8], start: usize, line_feed: usize) -> Span {
    let has_return = line_feed > start && bytes[line_feed - 1] == b'\r';
    Span::new(start, line_feed - usize::from(has_return))
}
