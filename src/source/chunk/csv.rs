//! Chunks of RFC 4180. It gives the same results as [`Scanner`](crate::source::scan::Scanner), but moves from one
//! delimiter, quote or line feed to the next instead of byte by byte.

use memchr::{memchr2_iter, memchr3_iter};

use super::sheet::{Fields, Sheet, without_end};
use crate::source::options::CsvOptions;
use crate::source::records::STRAY;
use crate::source::row::Span;

/// The format of the rows.
pub(super) struct Dialect {
    delimiter: u8,
    comment: Option<u8>,
    quoted_lines_max: u64,
}

impl Dialect {
    pub(super) fn new(options: &CsvOptions) -> Dialect {
        let quoted_lines_max = options.quoted_lines_max.max(1);
        Dialect { delimiter: options.delimiter, comment: options.comment, quoted_lines_max }
    }
}

/// Cuts a chunk up to where it is clear.
pub(super) fn cut(dialect: &Dialect, bytes: &[u8], has_quotes: bool, sheet: &mut Sheet<'_>) {
    let fields = Fields::new(sheet.judge.columns.count);
    let escaped = Vec::new();
    let mut cutter = Cutter { dialect, bytes, fields, escaped };
    match has_quotes {
        true => cutter.cut(memchr3_iter(dialect.delimiter, b'\n', b'"', bytes), sheet),
        false => cutter.cut(memchr2_iter(dialect.delimiter, b'\n', bytes), sheet),
    }
}

struct Cutter<'a> {
    dialect: &'a Dialect,
    bytes: &'a [u8],
    fields: Fields,
    /// The fields with doubled quotes.
    escaped: Vec<usize>,
}

/// The item at a position.
enum CutRecord {
    /// A record with its line feed, and the number of its lines.
    Record { line_feed: usize, lines: u64 },
    /// A line in which a quote closes too early.
    Stray { line_feed: usize },
    /// A case that cannot be decided here: a quote stays open, or closes too early after the first line.
    Unclear,
}

impl Cutter<'_> {
    /// Cuts records; `hits` are the positions of all delimiters, line feeds and quotes.
    fn cut(&mut self, mut hits: impl Iterator<Item = usize>, sheet: &mut Sheet<'_>) {
        let (bytes, mut start) = (self.bytes, 0);
        while start < bytes.len() {
            let is_comment = self.dialect.comment == Some(bytes[start]);
            let found =
                if is_comment { self.line(None, &mut hits) } else { self.fields(start, &mut hits) };
            let (line_feed, lines) = match found {
                CutRecord::Record { line_feed, lines } => (line_feed, lines),
                CutRecord::Stray { line_feed } => (line_feed, 1),
                CutRecord::Unclear => return,
            };
            let raw = without_end(bytes, start, line_feed);
            match found {
                CutRecord::Stray { .. } if !is_comment => {
                    sheet.refuse(bytes, raw, STRAY.to_owned())
                }
                CutRecord::Record { .. } if !raw.range().is_empty() => {
                    self.unescape(sheet);
                    sheet.take(bytes, raw, &self.fields);
                }
                _ => {}
            }
            start = line_feed + 1;
            sheet.pass(start, lines);
        }
    }

    /// A line of which only the end matters.
    fn line(&self, from: Option<usize>, hits: &mut impl Iterator<Item = usize>) -> CutRecord {
        match from.into_iter().chain(hits).find(|at| self.bytes[*at] == b'\n') {
            Some(line_feed) => CutRecord::Stray { line_feed },
            None => CutRecord::Unclear,
        }
    }

    /// Finds the fields of the record that begins at `start`.
    #[inline]
    fn fields(&mut self, start: usize, hits: &mut impl Iterator<Item = usize>) -> CutRecord {
        let (bytes, mut field, mut lines) = (self.bytes, start, 1);
        self.fields.clear();
        self.escaped.clear();
        while let Some(at) = hits.next() {
            match bytes[at] {
                b'\n' => {
                    let has_return = at > field && bytes[at - 1] == b'\r';
                    self.fields.push(field, at - usize::from(has_return));
                    return CutRecord::Record { line_feed: at, lines };
                }
                // Within a field, a quote is data.
                b'"' if at > field => {}
                b'"' => match self.quoted(at, &mut lines, hits) {
                    Ok(end) if bytes[end] == b'\n' => {
                        return CutRecord::Record { line_feed: end, lines };
                    }
                    Ok(end) => field = end + 1,
                    Err(found) => return found,
                },
                _ => {
                    self.fields.push(field, at);
                    field = at + 1;
                }
            }
        }
        CutRecord::Unclear
    }

    /// Finds a quoted field, and the delimiter or line feed after it.
    fn quoted(
        &mut self,
        open: usize,
        lines: &mut u64,
        hits: &mut impl Iterator<Item = usize>,
    ) -> Result<usize, CutRecord> {
        let (bytes, mut is_escaped) = (self.bytes, false);
        let close = loop {
            let at = hits.next().ok_or(CutRecord::Unclear)?;
            match bytes[at] {
                b'\n' => {
                    if *lines >= self.dialect.quoted_lines_max {
                        return Err(CutRecord::Unclear);
                    }
                    *lines += 1;
                }
                b'"' if bytes.get(at + 1) == Some(&b'"') => {
                    is_escaped = true;
                    hits.next();
                }
                b'"' => break at,
                _ => {}
            }
        };
        let end = hits.next().ok_or(CutRecord::Unclear)?;
        match (&bytes[close + 1..end], bytes[end]) {
            ([], byte) if byte != b'"' => {}
            (b"\r", b'\n') => {}
            _ if *lines > 1 => return Err(CutRecord::Unclear),
            _ => return Err(self.line(Some(end), hits)),
        }
        if is_escaped {
            self.escaped.push(self.fields.count);
        }
        self.fields.push(open + 1, close);
        Ok(end)
    }

    /// Appends fields with doubled quotes after the chunk, with the quotes resolved.
    fn unescape(&mut self, sheet: &mut Sheet<'_>) {
        for field in self.escaped.drain(..) {
            let Some(span) = self.fields.spans.get_mut(field) else { continue };
            let start = sheet.extra.len();
            let mut is_second = false;
            sheet.extra.extend(self.bytes[span.range()].iter().filter(|byte| {
                is_second = **byte == b'"' && !is_second;
                **byte != b'"' || is_second
            }));
            let at = |place| self.bytes.len() + place;
            *span = Span::new(at(start), at(sheet.extra.len()));
        }
    }
}
