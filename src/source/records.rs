//! Cuts bytes into records, by RFC 4180, and keeps count of lines and of what was consumed.
//!
//! - A record ends with LF or CRLF outside quotes, or with the file. A CR elsewhere is data.
//! - Lines that have nothing at all are skipped: they are not records.
//! - A quote at the beginning of a field opens it, a doubled one inside is a quote, the next one closes
//!   it. A quote inside an unquoted field is data, and so is what follows a closing quote (as csv-core
//!   has it).
//! - A physical line ends with LF, quoted or not.
//!
//! ```text
//! buffer:  | hashed | consumed, to be hashed | record, if pending | read ahead | free |
//!                   ^ hashed                 ^ consumed                        ^ filled
//! ```

use csv_core::{ReadRecordResult, Reader, ReaderBuilder, Terminator};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use super::error::SourceError;
use super::input::Stream;
#[cfg(feature = "json")]
use super::json::Fields;

/// The longest record, in bytes, line ends and quotes included.
pub const RECORD_MAX: usize = 16 << 20;

const BUFFER: usize = 256 << 10;

/// How the consumed part of a source ends, which decides how it may go on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tail {
    /// With the end of a line (or with nothing at all). Anything may follow.
    #[default]
    Line,
    /// With a record that the end of the file has ended. Only the end of its line may follow.
    Open,
    /// Within a quote, or with what may be half a CRLF. Whatever follows counts as a change of the last
    /// record.
    Unfinished,
}

/// The records of a stream, one at a time.
pub(super) struct Records {
    stream: Stream,
    core: Reader,
    buffer: Vec<u8>,
    hashed: usize,
    consumed: usize,
    filled: usize,
    /// Whether the stream has ended.
    ended: bool,
    hasher: Xxh3,
    /// The position of `buffer[0]` in the content.
    offset: u64,
    /// The physical line at `consumed`, from 1.
    line: u64,
    tail: Tail,
    /// See [`Records::stop_at`].
    stop: u64,
    record_max: usize,
    /// Ends of fields in `unescaped` are kept for so many of them; the rest is only counted.
    ends_max: usize,
    unescaped: Vec<u8>,
    ends: Vec<usize>,
    /// What of the record at `consumed` csv-core has seen, where a followed file ended within it.
    partial: Step,
    pending: Option<Pending>,
    /// What is asked for, if records are lines of JSON.
    #[cfg(feature = "json")]
    json: Option<Fields>,
    /// Why the pending line of JSON is no row.
    #[cfg(feature = "json")]
    refusal: Option<String>,
}

/// What [`Records::find`] has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A record, which is pending.
    Record,
    /// Nothing yet: the file is followed, and what is there has no whole record.
    Later,
    /// Nothing: the content ends, or [`Records::stop_at`] is reached.
    End,
}

/// The record that lies at `consumed`.
#[derive(Clone, Copy)]
struct Pending {
    /// Bytes with the end of the line.
    length: usize,
    /// Bytes without it.
    raw: usize,
    fields: usize,
    tail: Tail,
    /// Whether a quote is open at the end of the file.
    open_quote: bool,
}

impl Records {
    /// The records of `stream` from its first byte on.
    pub(super) fn new(stream: Stream) -> Records {
        Records::with_buffer(stream, BUFFER)
    }

    /// As [`Records::new`], with a buffer of another size at first.
    pub(super) fn with_buffer(stream: Stream, size: usize) -> Records {
        let mut core = ReaderBuilder::new().terminator(Terminator::Any(b'\n')).build();
        // With its first bytes, csv-core looks for a byte order mark, which would be data where a
        // reader begins in the middle. So they are these.
        let (result, ..) = core.read_record(b"\n", &mut [0], &mut [0]);
        assert!(matches!(result, ReadRecordResult::InputEmpty), "a blank line is no record");
        Records {
            stream,
            core,
            buffer: vec![0; size.max(1)],
            hashed: 0,
            consumed: 0,
            filled: 0,
            ended: false,
            hasher: Xxh3::new(),
            offset: 0,
            line: 1,
            tail: Tail::Line,
            stop: u64::MAX,
            record_max: RECORD_MAX,
            ends_max: usize::MAX,
            unescaped: vec![0; 1 << 12],
            ends: vec![0; 16],
            partial: Step::default(),
            pending: None,
            #[cfg(feature = "json")]
            json: None,
            #[cfg(feature = "json")]
            refusal: None,
        }
    }

    /// The same stream, as lines of JSON with these fields.
    #[cfg(feature = "json")]
    pub(super) fn json(mut self, fields: Fields) -> Records {
        self.json = Some(fields);
        self
    }

    /// Why the pending record is no row, whatever its fields are.
    #[cfg(feature = "json")]
    pub(super) fn refusal(&self) -> Option<&str> {
        self.refusal.as_deref()
    }

    /// Finds the fields of the line of JSON with `raw` bytes that lies at `consumed`.
    #[cfg(feature = "json")]
    fn find_fields(&mut self, raw: usize) -> Option<usize> {
        let fields = self.json.as_ref()?;
        self.unescaped.clear();
        self.ends.clear();
        let line = &self.buffer[self.consumed..self.consumed + raw];
        self.refusal = fields.find(line, &mut self.unescaped, &mut self.ends).err();
        Some(fields.count())
    }

    #[cfg(not(feature = "json"))]
    fn find_fields(&mut self, _raw: usize) -> Option<usize> {
        None
    }

    /// Bounds the next records: their bytes, and the fields that can be asked for.
    pub(super) fn set_bounds(&mut self, record_max: usize, ends_max: usize) {
        self.record_max = record_max;
        self.ends_max = ends_max;
    }

    /// Consumes no blank line behind this position, and no end of a line behind it: where the content may have
    /// ended before it grew, it is cut as if it still did.
    pub(super) fn stop_at(&mut self, stop: u64) {
        self.stop = stop;
    }

    #[cfg(test)]
    pub(super) fn buffer_len(&self) -> usize {
        self.buffer.len()
    }

    /// The stream below.
    pub(super) fn stream(&self) -> &Stream {
        &self.stream
    }

    /// The position in the content up to which everything is consumed.
    pub(super) fn position(&self) -> u64 {
        self.offset + self.consumed as u64
    }

    /// XXH3-128 of the content up to [`Records::position`].
    pub(super) fn digest(&self) -> u128 {
        let mut hasher = self.hasher.clone();
        hasher.update(&self.buffer[self.hashed..self.consumed]);
        hasher.digest128()
    }

    /// The physical line at [`Records::position`]; that of the pending record, if there is one.
    pub(super) fn line(&self) -> u64 {
        self.line
    }

    /// How the consumed content ends.
    pub(super) fn tail(&self) -> Tail {
        self.tail
    }

    /// Consumes a byte order mark at the beginning of the content. Returns whether it is known if there
    /// is one.
    pub(super) fn skip_byte_order_mark(&mut self) -> Result<bool, SourceError> {
        const MARK: &[u8] = b"\xEF\xBB\xBF";
        if self.position() > 0 {
            return Ok(true);
        }
        let ahead = self.ahead(MARK.len())?;
        if ahead == MARK {
            self.consumed += MARK.len();
        } else if MARK.starts_with(ahead) {
            return Ok(!self.stream.is_followed());
        }
        Ok(true)
    }

    /// Consumes content up to the position `until`, or the end. Returns the first bytes, `keep` at most.
    pub(super) fn skip_to(&mut self, until: u64, keep: usize) -> Result<Vec<u8>, SourceError> {
        assert!(self.pending.is_none(), "skipping begins between records");
        let mut kept = Vec::new();
        while self.position() < until {
            if self.consumed == self.filled && !self.fill()? {
                break;
            }
            let left = usize::try_from(until - self.position()).unwrap_or(usize::MAX);
            let skipped = left.min(self.filled - self.consumed);
            let chunk = &self.buffer[self.consumed..self.consumed + skipped];
            kept.extend_from_slice(&chunk[..skipped.min(keep - kept.len())]);
            self.consumed += skipped;
        }
        Ok(kept)
    }

    /// Sets the line and the tail of content that [`Records::skip_to`] has passed over. Returns
    /// whether what follows leaves the last record of it as it was; of a followed file, of which more
    /// may follow, [`Records::find`] says it.
    pub(super) fn continue_from(&mut self, line: u64, tail: Tail) -> Result<bool, SourceError> {
        self.line = line;
        self.tail = tail;
        Ok(self.goes_on()? != Some(false))
    }

    /// Whether what follows leaves the last record as it was; `None` if that is not known yet.
    fn goes_on(&mut self) -> Result<Option<bool>, SourceError> {
        let (tail, followed) = (self.tail, self.stream.is_followed());
        Ok(match (tail, self.ahead(2)?) {
            (Tail::Line, _) => Some(true),
            (_, []) => (!followed).then_some(true),
            (Tail::Open, [b'\r']) if followed => None,
            (Tail::Open, next) => Some(matches!(next, [b'\n', ..] | [b'\r', b'\n'])),
            (Tail::Unfinished, _) => Some(false),
        })
    }

    /// Finds the next record, which is pending until [`Records::accept`]. There is one to be
    /// found only before [`Records::stop_at`]. In a followed file a record has the end of its line, but
    /// for one that ends at the stop.
    pub(super) fn find(&mut self) -> Result<Found, SourceError> {
        if self.pending.is_some() {
            return Ok(Found::Record);
        }
        let followed = self.stream.is_followed();
        let Step { read: mut length, mut written, mut fields } = self.partial;
        if length == 0 {
            if followed && self.position() < self.stop {
                match self.goes_on()? {
                    Some(true) => {}
                    Some(false) => return Err(self.longer_record()),
                    None => return Ok(Found::Later),
                }
            }
            self.skip_blank_lines()?;
            if self.position() >= self.stop {
                return Ok(Found::End);
            }
            match self.ahead(2)? {
                [] if followed => return Ok(Found::Later),
                [] => return Ok(Found::End),
                [b'\r'] if followed => return Ok(Found::Later),
                _ => {}
            }
        }
        loop {
            if self.consumed + length == self.filled && !self.fill()? {
                if followed && self.position() + length as u64 != self.stop {
                    self.partial = Step { read: length, written, fields };
                    return Ok(Found::Later);
                }
                self.partial = Step::default();
                let pending = self.end_by_file(length, written, fields);
                self.pending = Some(pending);
                return Ok(Found::Record);
            }
            let input = self.consumed + length..self.filled;
            let (result, step) = self.step(Some(input), written, fields);
            length += step.read;
            written += step.written;
            fields += step.fields;
            if length > self.record_max {
                let (name, line) = (self.stream.name().to_owned(), self.line);
                return Err(SourceError::RecordTooLong { name, line, limit: self.record_max });
            }
            if matches!(result, ReadRecordResult::Record) {
                break;
            }
        }
        self.partial = Step::default();
        let bytes = &self.buffer[self.consumed..self.consumed + length];
        let is_crlf = bytes.ends_with(b"\r\n");
        let raw = length - 1 - usize::from(is_crlf);
        // The CR cannot have been quoted, as then the LF would not have ended the record. So csv-core
        // took it for the last byte of the last field.
        if let Some(found) = self.find_fields(raw) {
            fields = found;
        } else if is_crlf && let Some(end) = self.ends.get_mut(fields - 1) {
            *end -= 1;
        }
        self.pending = Some(Pending { length, raw, fields, tail: Tail::Line, open_quote: false });
        Ok(Found::Record)
    }

    /// The record that the file ended with, when it was read before, has grown.
    pub(super) fn longer_record(&self) -> SourceError {
        SourceError::Changed {
            name: self.stream.name().to_owned(),
            expected: content(self.position(), self.digest()),
            found: format!("the same and more of line {}", self.line),
        }
    }

    /// The pending record as the end of the file has left it. Only a state within quotes does not take
    /// an LF for the end of the record.
    fn end_by_file(&mut self, length: usize, written: usize, mut fields: usize) -> Pending {
        let (result, step) = self.step(None, written, fields);
        fields += step.fields;
        let open_quote = !matches!(result, ReadRecordResult::Record);
        if let Some(found) = self.find_fields(length) {
            fields = found;
        }
        let half_line_end = self.buffer[self.filled - 1] == b'\r';
        let tail = if open_quote || half_line_end { Tail::Unfinished } else { Tail::Open };
        Pending { length, raw: length, fields, tail, open_quote }
    }

    /// One step of csv-core over a part of the buffer, or over a line feed that is not there.
    fn step(
        &mut self,
        input: Option<std::ops::Range<usize>>,
        written: usize,
        fields: usize,
    ) -> (ReadRecordResult, Step) {
        #[cfg(feature = "json")]
        if self.json.is_some() {
            let input = input.map_or(&b"\n"[..], |range| &self.buffer[range]);
            let end = input.iter().position(|byte| *byte == b'\n');
            let read = end.map_or(input.len(), |end| end + 1);
            let result = end.map_or(ReadRecordResult::InputEmpty, |_| ReadRecordResult::Record);
            return (result, Step { read, written, fields });
        }
        if written == self.unescaped.len() {
            self.unescaped.resize(2 * written, 0);
        }
        if fields == self.ends.len() && fields < self.ends_max {
            self.ends.resize((2 * fields).min(self.ends_max), 0);
        }
        let mut uncounted = [0; 16];
        let ends = if fields < self.ends.len() { &mut self.ends[fields..] } else { &mut uncounted };
        let input = input.map_or(&b"\n"[..], |range| &self.buffer[range]);
        let unescaped = &mut self.unescaped[written..];
        let (result, read, written, fields) = self.core.read_record(input, unescaped, ends);
        (result, Step { read, written, fields })
    }

    fn pending(&self) -> &Pending {
        self.pending.as_ref().expect("asked for a record that was not found")
    }

    /// The pending record's bytes, without the end of the line.
    pub(super) fn raw(&self) -> &[u8] {
        &self.buffer[self.consumed..self.consumed + self.pending().raw]
    }

    /// The number of the pending record's fields.
    pub(super) fn fields(&self) -> usize {
        self.pending().fields
    }

    /// The `i`-th field of the pending record, quotes resolved.
    pub(super) fn field(&self, i: usize) -> &[u8] {
        assert!(i < self.fields(), "field {i} of {}", self.fields());
        let start = if i == 0 { 0 } else { self.ends[i - 1] };
        &self.unescaped[start..self.ends[i]]
    }

    /// Whether the file ends within a quote of the pending record.
    pub(super) fn open_quote(&self) -> bool {
        self.pending().open_quote
    }

    /// Consumes the pending record.
    pub(super) fn accept(&mut self) {
        let mut pending = *self.pending();
        if self.position() + pending.raw as u64 == self.stop && pending.raw < pending.length {
            (pending.length, pending.tail) = (pending.raw, Tail::Open);
        }
        let bytes = &self.buffer[self.consumed..self.consumed + pending.length];
        self.line += bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
        self.consumed += pending.length;
        self.tail = pending.tail;
        self.pending = None;
    }

    fn skip_blank_lines(&mut self) -> Result<(), SourceError> {
        while self.position() < self.stop {
            self.consumed += match self.ahead(2)? {
                [b'\n', ..] => 1,
                [b'\r', b'\n'] => 2,
                _ => break,
            };
            self.line += 1;
            self.tail = Tail::Line;
        }
        Ok(())
    }

    /// The next `count` bytes; fewer at the end.
    fn ahead(&mut self, count: usize) -> Result<&[u8], SourceError> {
        while self.filled - self.consumed < count {
            if !self.fill()? {
                break;
            }
        }
        Ok(&self.buffer[self.consumed..self.filled.min(self.consumed + count)])
    }

    /// Reads more bytes; `false` at the end. What is consumed may leave the buffer, so that positions
    /// are good only relative to `consumed`.
    fn fill(&mut self) -> Result<bool, SourceError> {
        if self.ended {
            return Ok(false);
        }
        if self.filled == self.buffer.len() {
            self.forget_consumed();
            if self.filled > self.buffer.len() / 2 {
                self.buffer.resize(2 * self.buffer.len(), 0);
            }
        }
        let read = self.stream.read(&mut self.buffer[self.filled..])?;
        self.filled += read;
        self.ended = read == 0 && !self.stream.is_followed();
        Ok(read > 0)
    }

    fn forget_consumed(&mut self) {
        self.hasher.update(&self.buffer[self.hashed..self.consumed]);
        self.buffer.copy_within(self.consumed..self.filled, 0);
        self.offset += self.consumed as u64;
        self.filled -= self.consumed;
        self.consumed = 0;
        self.hashed = 0;
    }
}

/// So many bytes, and their digest, as errors say it.
pub(super) fn content(bytes: u64, digest: u128) -> String {
    format!("{bytes} bytes with XXH3-128 {digest:032x}")
}

/// What csv-core has read, written, and ended, in one step or in those that made up a record so far.
#[derive(Clone, Copy, Default)]
struct Step {
    read: usize,
    written: usize,
    fields: usize,
}
