//! The CSV reader: blocks of rows, the source's clock, and where to go on.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::blocks::{BLOCK_BYTES, State, Stop};
use super::clock::{AHEAD_LIMIT_MS, Advance, Reading, advance, check_behind};
use super::error::SourceError;
use super::header::{Columns, HEADER_MAX, Header};
use super::input::{Input, Stream};
use super::pending::Tail;
use super::records::{Found, RECORD_MAX, Records, content};
use super::row::{Refused, RowBlock};
use super::time::TimeParser;
use crate::time::EventTime;

/// Columns may be selected repeatedly: so many bytes of one row at most.
pub(super) const SELECTED_BYTES: usize = 64 << 20;

/// Which columns of a CSV source are read, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CsvOptions {
    /// The column of the event time.
    pub time: String,
    /// The column that is the source's clock; without one, the largest event time is.
    pub arrival: Option<String>,
    /// The selected columns, in the order of [`Row::field`](super::Row::field); they may repeat.
    pub fields: Vec<String>,
    /// An event may be so many milliseconds ahead of its arrival, or of the wall clock.
    pub ahead_limit: i64,
    /// An event may be so many milliseconds behind the source's clock; one that is older is refused. Any age is accepted,
    /// unless said otherwise.
    pub behind_limit: i64,
    /// How the rows are written.
    pub format: Format,
    /// How times are written, in both columns.
    pub times: TimeParser,
    /// The byte between fields of CSV: a comma, unless it says otherwise.
    pub delimiter: u8,
    /// Where the columns of CSV have their names from: the header, unless it says otherwise.
    pub names: ColumnNames,
    /// Lines that begin with this byte are skipped, also before the header. Without it, no line is a comment.
    pub comment: Option<u8>,
    /// Accepts rows of CSV with fewer fields than there are columns, whose other ones are empty then, and with
    /// more, if these are empty.
    pub ragged: bool,
    /// A record of CSV that opens a quote in its first line has to close it within so many lines; otherwise this
    /// line is refused. 1,000, unless it says otherwise; there is also [`RECORD_MAX`](super::RECORD_MAX).
    pub quoted_lines_max: u64,
}

/// Where the columns of CSV have their names from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ColumnNames {
    /// From the first record.
    #[default]
    Header,
    /// There is no header. They are numbers, from 1; the first record says how many columns there are.
    Numbers,
    /// There is no header. These are the names.
    Given(Vec<String>),
}

/// How the rows of a source are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// RFC 4180, with a header.
    #[default]
    Csv,
    /// JSON lines: an object on each line, whose fields take the place of columns.
    ///
    /// A string is its contents, a number its text as it is written, `true` and `false` are these words, `null`
    /// and a field that is missing are empty, an array or object is its JSON text. A name is that of a
    /// field; where there is none such, its dots lead into objects (`user.id`). A line that is no JSON, no
    /// object, not UTF-8, or has a field twice in an object that is looked at, is refused with its column.
    JsonLines,
}

impl CsvOptions {
    /// Event times in the column `time`, no arrival, no fields, and one day ahead at most.
    pub fn new(time: impl Into<String>) -> CsvOptions {
        CsvOptions {
            time: time.into(),
            arrival: None,
            fields: Vec::new(),
            ahead_limit: AHEAD_LIMIT_MS,
            behind_limit: i64::MAX,
            format: Format::Csv,
            times: TimeParser::new(),
            delimiter: b',',
            names: ColumnNames::Header,
            comment: None,
            ragged: false,
            quoted_lines_max: 1_000,
        }
    }

    /// Whether they can be meant. Returns what cannot.
    pub(super) fn check(&self) -> Result<(), String> {
        let reserved = |byte: u8| matches!(byte, b'"' | b'\r' | b'\n');
        if reserved(self.delimiter) {
            return Err("a quote or the end of a line cannot be the delimiter".to_owned());
        }
        match self.comment {
            Some(byte) if reserved(byte) || byte == self.delimiter => {
                Err("a quote, the delimiter or the end of a line cannot begin a comment".to_owned())
            }
            _ => Ok(()),
        }
    }
}

/// Where one call of [`CsvSource::read`] stops.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadLimit {
    /// Rows of a block, refused ones included; at least one is read.
    pub rows: usize,
    /// It stops before the row with which the clock would reach this. [`EventTime::MAX`] is no limit.
    pub clock: EventTime,
    /// It stops where so many bytes of content have been handed out: the end of an earlier block, as
    /// [`CsvSource::consumed`] told it. [`u64::MAX`] is no limit.
    pub bytes: u64,
    /// The wall clock; it decides only which events are too far ahead.
    pub now: EventTime,
}

/// What one call of [`CsvSource::read`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Read {
    /// The next rows or refusals, at least one of either.
    Rows(RowBlock),
    /// The next row would take the clock to the limit or beyond. It will be the first of the next
    /// block; nothing was consumed.
    AtClock {
        /// Where that row will take the clock.
        clock: EventTime,
    },
    /// The limit of bytes is reached; nothing was consumed.
    AtBytes,
    /// The file is followed, and has no whole row that was not read. Ask again a little later.
    Later,
    /// What is left is a last line without its end, and is held; nothing was consumed.
    Rest,
    /// There are no more rows.
    End,
}

/// How far a reader has come since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Accepted rows.
    pub rows: u64,
    /// Refused rows.
    pub refused: u64,
    /// Bytes taken from the file (of compressed data, if it is), with what is read ahead.
    pub bytes_read: u64,
    /// The size of the file when it was opened; `None` for anything but a file.
    pub bytes_total: Option<u64>,
}

/// What of a source was handed out: all that is needed to go on behind it, when the file has grown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consumed {
    /// Bytes of decompressed content, the header included.
    pub bytes: u64,
    /// XXH3-128 (seed 0) of these.
    pub digest: u128,
    /// The physical line that they end on.
    pub line: u64,
    /// The clock with the last row of them.
    pub clock: EventTime,
    /// How they end.
    pub tail: Tail,
}

/// Reads the rows of a CSV file, or of one in another [`Format`], in order.
///
/// RFC 4180 with commas, LF or CRLF, an optional byte order mark and a header. Blank lines are
/// skipped (a line of `""` is a row), nothing is trimmed, a CR that no LF follows is data. A row that is
/// no good is refused and the rest goes on: too many or too few fields, no event time, an arrival that is no time,
/// an event too far ahead.
///
/// **Quotes.** Where a quote stays open to the end of the file, or beyond the bounds of a record, or where a quoted
/// field goes on behind its closing quote, the first line of the record is refused, and reading goes on at the next
/// one. A line that is longer than a record may be is refused; its first 64 KiB are kept. If a file ends within
/// a quote and grows later, what was read of it stays as it was.
///
/// **The clock** moves with accepted rows only; it begins at [`EventTime::MIN`], and never goes back.
/// With an arrival column it is the row's arrival; one that is empty or smaller counts as the one
/// before, and the first of these is reported through `tracing`. Without that column it is the largest
/// event time. An event more than the limit ahead of the clock with its own row is refused; of the wall
/// clock, if there is no arrival column or no arrival yet.
///
/// Guarantee: which rows are handed out, in which order and with which clock, depends on the content
/// and (for events ahead of it) the wall clock only, not on limits or on the sizes of reads.
/// Memory: a few times the longest record, which is bounded by [`RECORD_MAX`](super::RECORD_MAX).
pub struct CsvSource {
    records: Records,
    options: CsvOptions,
    /// None as long as a followed file has no header.
    columns: Option<Columns>,
    clock: EventTime,
    /// The greatest event time of the rows.
    latest: EventTime,
    holds_rest: bool,
    rows: u64,
    refused: u64,
    /// See [`CsvSource::paced`].
    pace: Option<f64>,
    /// Whether an arrival that fell back was reported.
    warned: bool,
    state: State,
}

impl CsvSource {
    /// Opens a source and reads its header.
    ///
    /// # Errors
    /// [`SourceError`]: it cannot be read, has no header (or one that is too long, not closed, not
    /// UTF-8), has a column twice, or lacks a column of `options`.
    pub fn open(input: Input, options: CsvOptions) -> Result<CsvSource, SourceError> {
        CsvSource::from_records(Records::new(input.open()?), options)
    }

    fn from_records(records: Records, options: CsvOptions) -> Result<CsvSource, SourceError> {
        let mut source = CsvSource::new(records, options, EventTime::MIN)?;
        source.read_header()?;
        Ok(source)
    }

    /// A reader of what follows in `records`; the header is still to be read.
    fn new(
        records: Records,
        options: CsvOptions,
        clock: EventTime,
    ) -> Result<CsvSource, SourceError> {
        if let Err(what) = options.check() {
            let name = records.stream().name().to_owned();
            return Err(SourceError::Options { name, what });
        }
        let records = records.written_as(&options);
        Ok(CsvSource {
            records,
            options,
            columns: None,
            clock,
            latest: EventTime::MIN,
            holds_rest: false,
            rows: 0,
            refused: 0,
            pace: None,
            warned: false,
            state: State::Good,
        })
    }

    fn read_header(&mut self) -> Result<(), SourceError> {
        if self.options.format == Format::JsonLines {
            if self.records.skip_byte_order_mark()? {
                self.set_columns(Columns::named(&self.options));
            }
            return Ok(());
        }
        if let Some(header) = Header::read(&mut self.records, &self.options)? {
            self.set_columns(Columns::find(&header, &self.options, self.name())?);
        }
        Ok(())
    }

    /// The rows have these columns.
    fn set_columns(&mut self, columns: Columns) {
        self.records.set_bounds(RECORD_MAX, columns.count);
        self.columns = Some(columns);
    }

    /// Opens a source again, checks that it begins with what was `consumed` of it, and goes on there.
    ///
    /// If that content did not end in the end of a line, that is all that may follow it: otherwise the
    /// file's last row is not any more the one that was read. Progress counts from here.
    ///
    /// # Errors
    /// [`SourceError::Changed`], naming both sides, if the content is shorter, is different, or goes on
    /// in the middle of the last row; else as [`CsvSource::open`].
    pub fn resume_after(
        input: Input,
        options: CsvOptions,
        consumed: Consumed,
    ) -> Result<CsvSource, SourceError> {
        CsvSource::resume_records(Records::new(input.open()?), options, consumed)
    }

    fn resume_records(
        mut records: Records,
        options: CsvOptions,
        consumed: Consumed,
    ) -> Result<CsvSource, SourceError> {
        // The content comes first: of a changed header, it is to be said that it has changed.
        let beginning = records.skip_to(consumed.bytes, HEADER_MAX)?;
        let name = records.stream().name().to_owned();
        let expected = content(consumed.bytes, consumed.digest);
        if (records.position(), records.digest()) != (consumed.bytes, consumed.digest) {
            let found = content(records.position(), records.digest());
            return Err(SourceError::Changed { name, expected, found });
        }
        if !records.continue_from(consumed.line, consumed.tail)? {
            return Err(records.longer_record());
        }
        let mut source = CsvSource::new(records, options, consumed.clock)?;
        if source.options.format != Format::Csv {
            source.read_header()?;
            return Ok(source);
        }
        let mut records =
            Records::new(Stream::memory(&name, beginning)).written_as(&source.options);
        match Header::read(&mut records, &source.options)? {
            Some(header) => source.set_columns(Columns::find(&header, &source.options, &name)?),
            None => return Err(SourceError::NoHeader { name }),
        }
        Ok(source)
    }

    /// Goes on behind what was `consumed` in earlier runs, wherever the source was opened: it is read up to there,
    /// and compared.
    ///
    /// # Errors
    /// [`SourceError::OpenedBehind`] if it was opened behind that; [`SourceError::Changed`] as
    /// [`CsvSource::resume_after`] has it.
    pub(crate) fn go_on_behind(&mut self, consumed: Consumed) -> Result<(), SourceError> {
        let here = self.consumed();
        if here == consumed {
            return Ok(());
        }
        let name = self.name().to_owned();
        let text = |at: &Consumed| content(at.bytes, at.digest);
        if here.bytes > consumed.bytes {
            let (expected, found) = (text(&consumed), text(&here));
            return Err(SourceError::OpenedBehind { name, expected, found });
        }
        self.records.skip_to(consumed.bytes, 0)?;
        let found = self.consumed();
        // A followed file without its header has nothing of what was consumed.
        if (found.bytes, found.digest) != (consumed.bytes, consumed.digest)
            || self.columns.is_none()
        {
            let (expected, found) = (text(&consumed), text(&found));
            return Err(SourceError::Changed { name, expected, found });
        }
        if !self.records.continue_from(consumed.line, consumed.tail)? {
            return Err(self.records.longer_record());
        }
        self.clock = consumed.clock;
        Ok(())
    }

    /// Has an engine play the source back: so many milliseconds of its clock in one of the wall clock,
    /// beginning with the first row that is read. Anything but a positive number is as fast as it goes,
    /// which is the default.
    #[must_use]
    pub fn paced(mut self, pace: f64) -> CsvSource {
        self.pace = (pace.is_finite() && pace > 0.0).then_some(pace);
        self
    }

    /// The pace at which an engine plays it back, if it has one.
    pub(crate) fn pace(&self) -> Option<f64> {
        self.pace
    }

    /// The name of the source in messages.
    pub(crate) fn name(&self) -> &str {
        self.records.stream().name()
    }

    /// The clock with the last row handed out; [`EventTime::MIN`] before the first.
    pub(crate) fn clock(&self) -> EventTime {
        self.clock
    }

    /// The greatest event time handed out since it was opened; [`EventTime::MIN`] before the first.
    pub(crate) fn latest(&self) -> EventTime {
        self.latest
    }

    /// Whether a last line without its end is held back, and told as [`Read::Rest`].
    pub(crate) fn hold_rest(&mut self, hold: bool) {
        self.holds_rest = hold;
    }

    /// How far the reader has come.
    pub(crate) fn progress(&self) -> Progress {
        let stream = self.records.stream();
        let (bytes_read, bytes_total) = (stream.position(), stream.total());
        Progress { rows: self.rows, refused: self.refused, bytes_read, bytes_total }
    }

    /// What was handed out so far, with blank lines that were skipped behind it.
    pub(crate) fn consumed(&self) -> Consumed {
        Consumed {
            bytes: self.records.position(),
            digest: self.records.digest(),
            line: self.records.line(),
            clock: self.clock,
            tail: self.records.tail(),
        }
    }

    /// Reads the next rows up to a limit. A block may be shorter than the limit says.
    ///
    /// It blocks while its input does.
    ///
    /// # Errors
    /// [`SourceError`], after all rows before it were handed out; the source is not read any further.
    pub(crate) fn read(&mut self, limit: ReadLimit) -> Result<Read, SourceError> {
        self.state.check(self.records.stream().name())?;
        let mut block = RowBlock::new(self.options.fields.len());
        let stop = self.fill(&mut block, limit);
        self.state.end(block, stop)
    }

    /// Appends rows to `block` until something stops it.
    fn fill(&mut self, block: &mut RowBlock, limit: ReadLimit) -> Result<Stop, SourceError> {
        let (mut rows, mut refused_bytes) = (0, 0);
        self.records.stop_at(limit.bytes);
        if self.columns.is_none() {
            self.read_header()?;
        }
        let Some(columns) = self.columns.clone() else { return Ok(Stop::Later) };
        while rows == 0 || (rows < limit.rows && block.memory() + refused_bytes < BLOCK_BYTES) {
            // A block may have ended before or after the blank lines that are skipped here.
            if self.records.position() >= limit.bytes {
                return Ok(Stop::Bytes);
            }
            let found = self.records.find()?;
            if self.records.position() >= limit.bytes {
                return Ok(Stop::Bytes);
            }
            match found {
                Found::Record => {}
                Found::Later => return Ok(Stop::Later),
                Found::End => return Ok(Stop::End),
            }
            // Of a part that was handed out before, the end of the file then is a stop.
            if self.holds_rest && limit.bytes == u64::MAX && !self.records.has_line_end() {
                return Ok(Stop::Rest);
            }
            match self.judge(&columns, limit.now) {
                Ok((_, step)) if step.clock >= limit.clock => return Ok(Stop::Clock(step.clock)),
                Ok((time, step)) => self.take(&columns, block, time, step),
                Err(reason) => {
                    let row = self.records.raw().to_vec();
                    refused_bytes += row.len() + reason.len();
                    block.refused.push(Refused { line: self.records.line(), reason, row });
                    self.refused += 1;
                }
            }
            self.records.accept();
            rows += 1;
        }
        Ok(Stop::Full)
    }

    /// The event time of the pending record and where it takes the clock, or why it is refused.
    fn judge(&self, columns: &Columns, now: EventTime) -> Result<(EventTime, Advance), String> {
        let records = &self.records;
        if let Some(reason) = records.refusal() {
            return Err(reason.to_owned());
        }
        let (fields, expected) = (records.fields(), columns.count);
        let fits = fields == expected
            || self.options.ragged && (fields < expected || records.is_empty_behind(expected));
        if !fits {
            let place = match self.options.names {
                ColumnNames::Header => "the header has",
                ColumnNames::Numbers => "the first row has",
                ColumnNames::Given(_) => "the columns are",
            };
            return Err(format!("{fields} fields where {place} {expected}"));
        }
        let selected = columns.selected.iter().map(|i| records.field(*i).len());
        if selected.sum::<usize>() > SELECTED_BYTES {
            return Err(format!("selected fields of more than {SELECTED_BYTES} bytes"));
        }
        let times = &self.options.times;
        let time = times
            .parse(records.field(columns.time))
            .map_err(|refusal| format!("'{}': {refusal}", self.options.time))?;
        let reading = self.arrival(columns)?;
        let step = advance(self.clock, time, reading, now, self.options.ahead_limit)?;
        check_behind(time, step.clock, self.options.behind_limit)?;
        Ok((time, step))
    }

    /// What the pending record says about the clock. An arrival that is there and is no time is more
    /// likely a damaged row than one without arrival.
    fn arrival(&self, columns: &Columns) -> Result<Reading, String> {
        let (Some(column), Some(name)) = (columns.arrival, &self.options.arrival) else {
            return Ok(Reading::Event);
        };
        match self.records.field(column) {
            [] => Ok(Reading::Arrival(None)),
            cell => (self.options.times)
                .parse(cell)
                .map(|arrival| Reading::Arrival(Some(arrival)))
                .map_err(|refusal| format!("'{name}': {refusal}")),
        }
    }

    /// Takes the pending record into the block, and moves the clock.
    fn take(&mut self, columns: &Columns, block: &mut RowBlock, time: EventTime, step: Advance) {
        self.latest = self.latest.max(time);
        let records = &self.records;
        let fields = columns.selected.iter().map(|i| records.field(*i));
        block.push(records.line(), time, records.raw(), fields);
        if step.fell_back && !self.warned {
            self.warned = true;
            tracing::warn!(
                source = records.stream().name(),
                line = records.line(),
                "an arrival is empty or smaller than the one before, which counts instead; \
                 reported once"
            );
        }
        assert!(self.clock <= step.clock, "a source's clock never goes back");
        self.clock = step.clock;
        self.rows += 1;
    }
}

impl fmt::Debug for CsvSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CsvSource").field("name", &self.name()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
