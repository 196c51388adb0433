//! Cuts bytes into records, and counts lines and consumed bytes.
//!
//! - A record ends with LF or CRLF outside quotes, or with the file. A CR elsewhere is data.
//! - Empty lines and comments are skipped: they are not records.
//! - A quote at the beginning of a field opens it, a doubled quote inside is one quote, and the next single quote
//!   closes it. A quote inside an unquoted field is data.
//! - A physical line ends with LF, quoted or not.
//!
//! A bad record costs one line. If a quote stays open, to the end of the file or beyond a bound of bytes or lines, or
//! if anything but a delimiter or the line's end follows a closing quote, then the first line is refused, and reading
//! goes on at the next one. A line that is too long is refused, too; its beginning is kept.
//!
//! **Cost.** A line that opens a quote is read up to the point where this is found to be wrong. A later line whose
//! quote is open at one of the line feeds in this range jumps to its end ([`OpenQuote`]). Each byte is read at most
//! three times: in that range, in its own line, and in the record that it belongs to.

mod found;

use super::content::Content;
use super::error::SourceError;
use super::input::Stream;
use super::json::Fields;
use super::options::{CsvOptions, RowFormat};
use super::pending::{Follows, OpenQuote, Partial, Pending, Skipped, Tail};
use super::scan::{Scanned, Scanner};

/// The longest record, in bytes, line ends and quotes included. A longer one is refused.
pub const RECORD_MAX: usize = 16 << 20;

/// How many bytes of a line that is longer than the longest record are kept with its refusal.
const KEPT_MAX: usize = 64 << 10;

const BUFFER: usize = 256 << 10;

/// The records of a stream, one at a time.
pub(super) struct Records {
    content: Content,
    /// The physical line of the first byte that is not consumed, from 1.
    line: u64,
    tail: Tail,
    /// See [`Records::stop_at`].
    stop: u64,
    record_max: usize,
    /// Whether the next record names the columns: nothing is read after one that is too long.
    is_header: bool,
    quoted_lines_max: u64,
    comment: Option<u8>,
    scanner: Scanner,
    /// How far the record at `consumed` was read, also if a followed file ended within it.
    partial: Option<Partial>,
    open_quote: Option<OpenQuote>,
    skipped: Option<Skipped>,
    pending: Option<Pending>,
    /// The selected fields, if records are lines of JSON.
    json: Option<Fields>,
}

/// The result of [`Records::find`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FoundRecord {
    /// A record, which is pending.
    Record,
    /// Nothing yet: the file is followed, and the rest is not a whole record.
    Later,
    /// Nothing: the content ends, or [`Records::stop_at`] is reached.
    End,
}

impl Records {
    /// The records of `stream` from its first byte on, with commas between fields.
    pub(super) fn new(stream: Stream) -> Records {
        Records::with_buffer(stream, BUFFER)
    }

    /// As [`Records::new`], with another initial buffer size.
    pub(super) fn with_buffer(stream: Stream, size: usize) -> Records {
        Records {
            content: Content::new(stream, size),
            line: 1,
            tail: Tail::Line,
            stop: u64::MAX,
            record_max: RECORD_MAX,
            is_header: false,
            quoted_lines_max: u64::MAX,
            comment: None,
            scanner: Scanner::new(b','),
            partial: None,
            open_quote: None,
            skipped: None,
            pending: None,
            json: None,
        }
    }

    /// The same stream, with records in the format of `options`.
    pub(super) fn written_as(mut self, options: &CsvOptions) -> Records {
        self.scanner = Scanner::new(options.delimiter);
        self.comment = options.comment;
        self.quoted_lines_max = options.quoted_lines_max.max(1);
        if options.format == RowFormat::JsonLines {
            self.json = Some(Fields::new(options));
        }
        self
    }

    /// The next record names the columns, and has at most this many bytes.
    pub(super) fn expect_header(&mut self, record_max: usize) {
        self.set_bounds(record_max, usize::MAX);
        self.is_header = true;
    }

    /// Bounds the next records: their bytes, and the number of fields that can be selected.
    pub(super) fn set_bounds(&mut self, record_max: usize, ends_max: usize) {
        self.is_header = false;
        self.record_max = record_max;
        self.scanner.ends_max = ends_max;
    }

    /// Consumes nothing after this position: if the content ended there before it grew, it is cut as if it still did. A
    /// record that would continue beyond it is not a record.
    pub(super) fn stop_at(&mut self, stop: u64) {
        self.stop = stop;
    }

    #[cfg(test)]
    pub(super) fn buffer_len(&self) -> usize {
        self.content.buffer_len()
    }

    /// The stream below.
    pub(super) fn stream(&self) -> &Stream {
        self.content.stream()
    }

    /// The position in the content up to which everything is consumed.
    pub(super) fn position(&self) -> u64 {
        self.skipped.as_ref().map_or(self.content.position(), |line| line.position)
    }

    /// XXH3-128 of the content up to [`Records::position`].
    pub(super) fn digest(&self) -> u128 {
        if let Some(line) = &self.skipped {
            return line.digest;
        }
        self.content.digest()
    }

    /// The physical line at [`Records::position`], which is the line of the pending record if there is one.
    pub(super) fn line(&self) -> u64 {
        self.line
    }

    /// How the consumed content ends.
    pub(super) fn tail(&self) -> Tail {
        self.tail
    }

    /// Consumes a byte order mark at the beginning of the content. Returns `false` if it is not known yet whether there
    /// is one.
    pub(super) fn skip_byte_order_mark(&mut self) -> Result<bool, SourceError> {
        const MARK: &[u8] = b"\xEF\xBB\xBF";
        if self.position() > 0 {
            return Ok(true);
        }
        let ahead = self.content.ahead(MARK.len())?;
        if ahead == MARK {
            self.content.consume(MARK.len());
        } else if MARK.starts_with(ahead) {
            return Ok(!self.stream().is_followed());
        }
        Ok(true)
    }

    /// Consumes content up to the position `until`, or the end. Returns the first bytes, at most `keep`.
    pub(super) fn skip_to(&mut self, until: u64, keep: usize) -> Result<Vec<u8>, SourceError> {
        assert!(self.pending.is_none(), "skipping begins between records");
        self.content.skip_to(until, keep)
    }

    /// Sets the line and the tail of the content that [`Records::skip_to`] has skipped. Returns whether its last record
    /// is unchanged by what follows; for a followed file that may still grow, [`Records::find`] checks it later.
    pub(super) fn continue_from(&mut self, line: u64, tail: Tail) -> Result<bool, SourceError> {
        self.line = line;
        self.tail = tail;
        Ok(self.goes_on()? != Some(false))
    }

    /// Whether the last record is unchanged by what follows; `None` if that is not known yet.
    fn goes_on(&mut self) -> Result<Option<bool>, SourceError> {
        let (tail, followed) = (self.tail, self.stream().is_followed());
        Ok(tail.goes_on_with(self.content.ahead(2)?, followed))
    }

    /// Finds the next record before [`Records::stop_at`]; it is pending until [`Records::accept`]. In a followed file,
    /// a record includes the end of its line, unless it ends at the stop.
    pub(super) fn find(&mut self) -> Result<FoundRecord, SourceError> {
        while self.pending.is_none() {
            if self.partial.is_none()
                && let Some(nothing) = self.begin()?
            {
                return Ok(nothing);
            }
            self.pending = self.read_record()?;
            match &self.pending {
                None => return Ok(FoundRecord::Later),
                Some(pending) if pending.is_comment => self.accept(),
                Some(_) => {}
            }
        }
        Ok(FoundRecord::Record)
    }

    /// Begins the next record after blank lines, if there is one.
    fn begin(&mut self) -> Result<Option<FoundRecord>, SourceError> {
        let followed = self.stream().is_followed();
        if self.position() < self.stop {
            match self.goes_on()? {
                Some(true) => {}
                Some(false) => return Err(self.longer_record()),
                None => return Ok(Some(FoundRecord::Later)),
            }
        }
        self.skip_blank_lines()?;
        if self.position() >= self.stop {
            return Ok(Some(FoundRecord::End));
        }
        let comment = self.comment;
        let is_comment = match self.content.ahead(2)? {
            [] if followed => return Ok(Some(FoundRecord::Later)),
            [] => return Ok(Some(FoundRecord::End)),
            [b'\r'] if followed => return Ok(Some(FoundRecord::Later)),
            ahead => comment.is_some() && ahead.first().copied() == comment,
        };
        self.partial = Some(self.begin_at_first_byte(is_comment));
        Ok(None)
    }

    /// Reads a good record again because its fields were jumped over. It is consumed after this, so this happens once.
    fn begin_again(&mut self) -> Partial {
        self.open_quote = None;
        self.begin_at_first_byte(false)
    }

    /// How many bytes of content may still be consumed.
    fn left(&self) -> usize {
        usize::try_from(self.stop.saturating_sub(self.content.position())).unwrap_or(usize::MAX)
    }

    fn begin_at_first_byte(&mut self, is_comment: bool) -> Partial {
        let is_json = self.json.is_some();
        self.scanner.begin(is_comment || is_json);
        Partial { is_comment, ..Partial::default() }
    }

    /// Reads the partial record to its end. `None` if the file is followed and has no more of it yet.
    fn read_record(&mut self) -> Result<Option<Pending>, SourceError> {
        let mut partial = self.partial.take().expect("a record that was begun");
        loop {
            if self.skipped.is_some() {
                return self.skip_line(partial);
            }
            match self.what_follows(partial.length)? {
                Follows::More => {}
                Follows::Later => {
                    self.partial = Some(partial);
                    return Ok(None);
                }
                Follows::Nothing if partial.jumped && self.scanner.may_end() => {
                    partial = self.begin_again();
                    continue;
                }
                Follows::Nothing => return self.end_at_stop(partial).map(Some),
                Follows::TooMuch => match self.refuse_too_long(partial) {
                    Ok(pending) => return Ok(Some(pending)),
                    Err(first_line) => {
                        partial = first_line;
                        continue;
                    }
                },
            }
            let unread = self.content.unread();
            let until = unread.len().min(self.left()).min(self.record_max);
            let (read, scanned) = self.scanner.scan(&unread[partial.length..until]);
            partial.length += read;
            match scanned {
                Scanned::All => {}
                Scanned::QuotedLine => {
                    if let Some(stray) = self.end_of_quoted_line(&mut partial) {
                        return Ok(Some(self.refuse_first_line(partial, stray)));
                    }
                }
                Scanned::Stray => match self.refuse_stray(partial) {
                    Ok(pending) => return Ok(Some(pending)),
                    Err(first_line) => partial = first_line,
                },
                Scanned::Record if partial.jumped => partial = self.begin_again(),
                Scanned::Record => return Ok(Some(self.end_by_line(partial))),
            }
        }
    }

    /// What follows `length` bytes of a record.
    fn what_follows(&mut self, length: usize) -> Result<Follows, SourceError> {
        if length >= self.left() {
            return Ok(Follows::Nothing);
        }
        if self.content.unread().len() == length && !self.content.fill()? {
            let followed = self.stream().is_followed();
            return Ok(if followed { Follows::Later } else { Follows::Nothing });
        }
        Ok(if length < self.record_max { Follows::More } else { Follows::TooMuch })
    }

    /// A line ends within quotes. If it is known that this is not a record, returns whether the quote closes illegally
    /// or stays open.
    fn end_of_quoted_line(&mut self, partial: &mut Partial) -> Option<bool> {
        partial.lines += 1;
        if partial.first_line.is_none() {
            partial.first_line = Some(partial.length);
            let (at, before) = (self.position() + partial.length as u64, self.line);
            if let Some(known) = self.open_quote.filter(|known| at < known.to) {
                partial.length = (known.to - self.position()) as usize;
                partial.lines = known.lines - before;
                partial.jumped = true;
                if known.stray {
                    return Some(true);
                }
                self.scanner.jump_into_quotes();
            }
        }
        partial.last_line = partial.length;
        (partial.lines >= self.quoted_lines_max).then_some(false)
    }

    /// Refuses a record for what follows a closing quote, at once or when its first line has ended.
    fn refuse_stray(&mut self, mut partial: Partial) -> Result<Pending, Partial> {
        if partial.first_line.is_some() {
            return Ok(self.refuse_first_line(partial, true));
        }
        partial.refusal = Some(STRAY.to_owned());
        self.scanner.find_line_end();
        Err(partial)
    }

    /// Refuses a record that is too long; if its first line is too long, that line is skipped first.
    fn refuse_too_long(&mut self, partial: Partial) -> Result<Pending, Partial> {
        if partial.first_line.is_some() {
            return Ok(self.refuse_first_line(partial, false));
        }
        if self.is_header {
            let length = partial.length;
            let pending = Pending { length, raw: length, is_too_long: true, ..Pending::default() };
            return Ok(pending);
        }
        let (position, digest) = (self.position(), self.digest());
        let kept = self.content.unread()[..self.kept_max()].to_vec();
        self.content.consume(partial.length);
        self.skipped = Some(Skipped { position, digest, kept });
        Err(partial)
    }

    /// Skips a line that is too long to its end.
    fn skip_line(&mut self, mut partial: Partial) -> Result<Option<Pending>, SourceError> {
        loop {
            let unread = self.content.unread();
            let most = unread.len().min(self.left());
            let end = unread[..most].iter().position(|byte| *byte == b'\n');
            self.content.consume(end.map_or(most, |end| end + 1));
            let has_end = end.is_some();
            if !has_end && self.left() > 0 {
                if self.content.fill()? {
                    continue;
                }
                if self.stream().is_followed() {
                    self.partial = Some(partial);
                    return Ok(None);
                }
            }
            let bytes = self.content.position() - self.position() - u64::from(has_end);
            let (kept, most) = (self.kept_max(), self.record_max);
            let too_long = || {
                format!(
                    "a line of {bytes} bytes, of which {kept} are kept; at most {most} are read"
                )
            };
            return Ok(Some(Pending {
                lines: u64::from(has_end),
                tail: if has_end { Tail::Line } else { Tail::Open },
                refusal: Some(partial.refusal.take().unwrap_or_else(too_long)),
                is_comment: partial.is_comment,
                ..Pending::default()
            }));
        }
    }

    /// How many bytes of a too long line are kept.
    fn kept_max(&self) -> usize {
        KEPT_MAX.min(self.record_max)
    }

    /// Refuses the first line of a partial record whose quote stays open, and remembers how far it was read.
    fn refuse_first_line(&mut self, partial: Partial, stray: bool) -> Pending {
        let length = partial.first_line.expect("its first line has ended");
        let to = self.position() + if stray { partial.length } else { partial.last_line } as u64;
        if self.open_quote.is_none_or(|known| known.to < to) {
            self.open_quote = Some(OpenQuote { to, lines: self.line + partial.lines, stray });
        }
        // The same reason for all such records, because the file may be read again when it has grown.
        let reason = OPEN.to_owned();
        let raw = self.without_line_end(length);
        Pending { length, raw, lines: 1, refusal: Some(reason), ..Pending::default() }
    }

    /// The partial record, ended by the end of its line.
    fn end_by_line(&mut self, partial: Partial) -> Pending {
        let Partial { length, lines, refusal, is_comment, .. } = partial;
        let raw = self.without_line_end(length);
        let (fields, refusal) = self.fields_of(raw, refusal, is_comment);
        let (lines, tail) = (lines + 1, Tail::Line);
        Pending { length, raw, lines, fields, tail, refusal, is_comment, is_too_long: false }
    }

    /// The partial record, ended by the end of the content, or by its end before it grew.
    fn end_at_stop(&mut self, partial: Partial) -> Result<Pending, SourceError> {
        let length = partial.length;
        let pending = self.end_by_content(partial);
        let followed = self.stream().is_followed();
        let next = &self.content.ahead(length + 2)?[length..];
        match pending.tail.goes_on_with(next, followed) {
            Some(false) => Err(self.longer_record()),
            _ => Ok(pending),
        }
    }

    /// The partial record at the end of the content.
    fn end_by_content(&mut self, mut partial: Partial) -> Pending {
        match self.scanner.end() {
            Ok(()) => {}
            Err(Scanned::QuotedLine) => {
                if partial.first_line.is_some() {
                    return self.refuse_first_line(partial, false);
                }
                partial.refusal = Some(OPEN.to_owned());
            }
            Err(_) => match self.refuse_stray(partial) {
                Ok(pending) => return pending,
                Err(first_line) => partial = first_line,
            },
        }
        let Partial { length, lines, refusal, is_comment, .. } = partial;
        let half_line_end = self.content.unread()[length - 1] == b'\r';
        let tail = if half_line_end { Tail::Unfinished } else { Tail::Open };
        let (fields, refusal) = self.fields_of(length, refusal, is_comment);
        let raw = length;
        Pending { length, raw, lines, fields, tail, refusal, is_comment, is_too_long: false }
    }

    /// How many of the `length` bytes at `consumed` precede the line end that they include.
    fn without_line_end(&self, length: usize) -> usize {
        let bytes = &self.content.unread()[..length];
        length - 1 - usize::from(bytes.ends_with(b"\r\n"))
    }

    /// The number of fields in the `raw` bytes at `consumed`, and why they are not a row.
    fn fields_of(
        &mut self,
        raw: usize,
        refusal: Option<String>,
        is_comment: bool,
    ) -> (usize, Option<String>) {
        if refusal.is_none()
            && !is_comment
            && let Some(found) = self.fields_of_json(raw)
        {
            return found;
        }
        (self.scanner.fields, refusal)
    }

    fn fields_of_json(&mut self, raw: usize) -> Option<(usize, Option<String>)> {
        let fields = self.json.as_ref()?;
        let Scanner { text, ends, .. } = &mut self.scanner;
        Some((fields.count(), fields.find(&self.content.unread()[..raw], text, ends).err()))
    }

    /// The last record of the file has grown since it was read.
    pub(super) fn longer_record(&self) -> SourceError {
        SourceError::Changed {
            name: self.stream().name().to_owned(),
            expected: content(self.position(), self.digest()),
            found: format!("the same and more of line {}", self.line),
        }
    }

    /// Whether nothing of what follows was read, or only its bytes.
    pub(super) fn is_between(&self) -> bool {
        self.pending.is_none() && self.partial.is_none() && self.tail == Tail::Line
    }

    /// The content, for reading ahead.
    pub(super) fn content(&mut self) -> &mut Content {
        assert!(self.is_between(), "nobody reads on within a record");
        &mut self.content
    }

    /// Consumes whole lines that were read ahead; the next one is `line`.
    pub(super) fn pass(&mut self, bytes: usize, line: u64) {
        self.content().consume(bytes);
        self.line = line;
    }

    fn skip_blank_lines(&mut self) -> Result<(), SourceError> {
        while self.position() < self.stop {
            let blank = match self.content.ahead(2)? {
                [b'\n', ..] => 1,
                [b'\r', b'\n'] => 2,
                _ => break,
            };
            self.content.consume(blank);
            self.line += 1;
            self.tail = Tail::Line;
        }
        Ok(())
    }
}

/// Why a line is refused if a quote is open at its end.
const OPEN: &str = "a quote stays open: none that follows closes the field";

/// Why a line is refused if a quote closes too early in it.
pub(super) const STRAY: &str =
    "a quoted field goes on behind its closing quote; expected a delimiter or the end of the line";

/// A number of bytes and their digest, for errors.
pub(super) fn content(bytes: u64, digest: u128) -> String {
    format!("{bytes} bytes with XXH3-128 {digest:032x}")
}
