//! Reads ahead of the rows handed out so far: other threads cut whole lines of the content, and the results come back
//! in order.
//!
//! Nothing of the content is consumed here. So if a chunk is not clear to its end, everything read ahead is dropped,
//! and the records from there on are read one after the other.

use std::collections::VecDeque;
use std::sync::Arc;

use memchr::{memchr, memchr_iter, memrchr};

use super::chunk::pool::{Flight, Pool};
use super::chunk::{Chunk, Parsed, Parser, RefusedAt};
use super::clock::Reading;
use super::content::Content;
use super::options::RowFormat;
use super::row::Rows;
use super::row::{Refused, Row};

/// About how many bytes a chunk has.
const CHUNK: usize = 1 << 20;

/// The most rows of a chunk, because each row takes memory besides its bytes.
const CHUNK_ROWS: usize = 32 << 10;

/// How many chunks may wait to be handed out, beside one for each thread.
const WAITING: usize = 2;

/// How much is read ahead, and by how many threads it is cut.
#[derive(Clone, Copy, Debug)]
pub(super) struct AheadOptions {
    pub(super) threads: usize,
    pub(super) chunk: usize,
    pub(super) rows: usize,
}

impl AheadOptions {
    /// Cuts chunks on this many threads.
    pub(super) fn with_threads(threads: usize) -> AheadOptions {
        AheadOptions { threads, chunk: CHUNK, rows: CHUNK_ROWS }
    }
}

/// The content read ahead of a source.
pub(super) struct Ahead {
    options: AheadOptions,
    has_quotes: bool,
    pool: Pool,
    /// Chunks handed to the cutting threads, in order.
    away: VecDeque<(Flight, usize)>,
    /// How many of them are allowed at present.
    most: usize,
    /// The chunk that is being handed out.
    current: Option<Current>,
    /// Bytes of all these that are not consumed.
    taken: usize,
    /// Up to this position the records are read one after the other.
    one_by_one: u64,
}

/// A chunk that was cut and is not entirely handed out.
pub(super) struct Current {
    pub(super) rows: Arc<Rows>,
    readings: Vec<Reading>,
    refused: VecDeque<RefusedAt>,
    /// The next row.
    pub(super) next: usize,
    /// Where it ends, in bytes and in lines of the content.
    length: usize,
    line: u64,
    /// How much of it is consumed.
    consumed: usize,
}

/// What comes next in a chunk.
pub(super) enum NextRecord<'a> {
    Row(Row<'a>, Reading),
    Refused(&'a Refused),
    End,
}

impl Current {
    fn new(mut parsed: Parsed, line: u64) -> Current {
        parsed.rows.move_lines(line);
        let Parsed { rows, readings, mut refused, length, lines } = parsed;
        refused.iter_mut().for_each(|at| at.refused.line += line);
        let (rows, refused) = (Arc::new(rows), refused.into());
        Current { rows, readings, refused, next: 0, length, line: line + lines, consumed: 0 }
    }

    fn is_refused_next(&self) -> bool {
        self.refused.front().is_some_and(|at| at.rows == self.next)
    }

    fn is_done(&self) -> bool {
        self.next == self.rows.len() && self.refused.is_empty()
    }

    /// The next item.
    #[inline]
    pub(super) fn peek(&self) -> NextRecord<'_> {
        if let Some(at) = self.refused.front()
            && at.rows == self.next
        {
            return NextRecord::Refused(&at.refused);
        }
        if self.next == self.rows.len() {
            return NextRecord::End;
        }
        let reading = self.readings.get(self.next).copied().unwrap_or(Reading::Event);
        NextRecord::Row(self.rows.row(self.next), reading)
    }

    /// Skips the next item.
    pub(super) fn pass(&mut self) {
        if self.is_refused_next() {
            self.refused.pop_front();
        } else {
            self.next += 1;
        }
    }

    /// Drops what is not next. Returns the position up to which to consume the content, and the line there.
    pub(super) fn settle(&mut self) -> (usize, u64) {
        let (to, line) = match self.refused.front() {
            Some(at) if self.is_refused_next() => (at.start, at.refused.line),
            _ if self.next < self.rows.len() => {
                (self.rows.start(self.next), self.rows.line(self.next))
            }
            _ => (self.length, self.line),
        };
        (to - std::mem::replace(&mut self.consumed, to), line)
    }
}

impl Ahead {
    pub(super) fn new(parser: Parser, format: RowFormat, options: AheadOptions) -> Ahead {
        let pool = Pool::new(parser, options.threads);
        Ahead {
            has_quotes: format == RowFormat::Csv,
            pool,
            away: VecDeque::new(),
            most: 1,
            current: None,
            taken: 0,
            one_by_one: 0,
            options,
        }
    }

    /// Drops everything read ahead.
    pub(super) fn forget(&mut self) {
        self.away.clear();
        self.current = None;
        self.taken = 0;
    }

    /// Reads the records up to this position one after the other: no chunk before it may be handed out.
    pub(super) fn one_by_one(&self) -> u64 {
        self.one_by_one
    }

    /// The chunk that begins with the next byte of the content, on `line`, if there is one.
    pub(super) fn chunk(&mut self, content: &mut Content, line: u64) -> Option<&mut Current> {
        if self.current.as_ref().is_some_and(Current::is_done) {
            self.current = None;
        }
        if self.current.is_none() {
            if content.position() < self.one_by_one {
                return None;
            }
            self.give(content);
            let (flight, length) = self.away.pop_front()?;
            let parsed = self.pool.take(flight);
            if parsed.length < length {
                // The following chunks were cut on the assumption that this one ends cleanly.
                self.away.clear();
                (self.taken, self.most) = (parsed.length, 1);
                self.one_by_one = content.position() + length as u64;
            } else {
                self.most = (2 * self.most).min(self.options.threads + WAITING);
                self.give(content);
            }
            if parsed.length == 0 {
                return None;
            }
            self.current = Some(Current::new(parsed, line));
        }
        self.current.as_mut()
    }

    /// This much of the current chunk was consumed.
    pub(super) fn consumed(&mut self, bytes: usize) {
        self.taken -= bytes;
    }

    /// Hands out as many chunks to the cutting threads as are there and allowed.
    fn give(&mut self, content: &mut Content) {
        while self.away.len() < self.most {
            let wanted = self.taken + self.options.chunk;
            // The writer of a pipe may take long for the rest of a chunk, or for the next line, so what is there is
            // handed out first.
            let is_waiting = content.stream().may_wait();
            let has_lines = || self.taken > 0 || memchr(b'\n', content.unread()).is_some();
            if !(is_waiting && has_lines()) {
                content.read_ahead(wanted, is_waiting);
            }
            let unread = content.unread();
            let unread = &unread[self.taken.min(unread.len())..wanted.min(unread.len())];
            let Some(chunk) = self.cut(unread) else { return };
            let length = chunk.bytes.len();
            self.taken += length;
            self.away.push_back((self.pool.give(chunk), length));
        }
    }

    /// The whole lines at the beginning of `unread`, if there are any.
    fn cut(&self, unread: &[u8]) -> Option<Chunk> {
        let mut end = memrchr(b'\n', unread)? + 1;
        let mut lines = memchr_iter(b'\n', &unread[..end]).count();
        while lines > self.options.rows {
            let half = end / 2;
            end = memrchr(b'\n', &unread[..half]).map_or_else(
                || memchr_iter(b'\n', unread).next().map_or(end, |at| at + 1),
                |at| at + 1,
            );
            lines = memchr_iter(b'\n', &unread[..end]).count();
        }
        let mut quotes = 0;
        if self.has_quotes {
            quotes = memchr_iter(b'"', &unread[..end]).count();
            // With an odd number of quotes, the last line probably ends within a quoted field.
            let even = before_odd_quote(&unread[..end], quotes);
            if let Some(even) = even {
                end = even;
            }
        }
        let bytes = unread[..end].to_vec();
        Some(Chunk { bytes, lines, has_quotes: quotes > 0 })
    }
}

/// The end of the last line that has an even number of quotes before it, searched within the last lines only.
fn before_odd_quote(lines: &[u8], mut quotes: usize) -> Option<usize> {
    let mut end = lines.len();
    while quotes % 2 == 1 {
        let at = memrchr(b'\n', &lines[..end - 1])? + 1;
        quotes -= memchr_iter(b'"', &lines[at..end]).count();
        end = at;
    }
    Some(end)
}
