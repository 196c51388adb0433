//! The CSV reader: blocks of rows, the source's clock, and the position to continue from.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::ahead::{Ahead, AheadOptions, Current, NextRecord};
use super::block::RowBlock;
use super::chunk::Parser;
use super::clock::{Advance, Reading, advance, check_behind};
use super::error::SourceError;
use super::header::{Columns, HEADER_MAX, Header};
use super::input::{Input, Stream};
use super::judge::Judge;
use super::options::{CsvOptions, RowFormat};
use super::position::Consumed;
use super::reading::{BLOCK_BYTES, Progress, Read, ReadLimit, ReadState, Stop};
use super::records::{FoundRecord, RECORD_MAX, Records, content};
use super::row::Refused;
use super::row::Rows;
use crate::time::EventTime;

/// Reads the rows of a CSV file, or of one in another [`RowFormat`], in order.
///
/// The format is RFC 4180 with commas, LF or CRLF, an optional byte order mark and a header. Blank lines are skipped (a
/// line of `""` is a row), nothing is trimmed, and a CR without an LF after it is data. A bad row is refused, and
/// reading goes on: too many or too few fields, no event time, an arrival that is not a time, an event too far ahead.
///
/// **Quotes.** If a quote stays open to the end of the file or beyond the bounds of a record, or if a quoted field goes
/// on after its closing quote, the first line of the record is refused, and reading goes on at the next line. A line
/// that is longer than the longest record is refused; its first 64 KiB are kept. If a file ends within a quote and
/// grows later, the rows read before stay as they were.
///
/// **The clock** moves with accepted rows only; it begins at [`EventTime::MIN`] and never goes back. With an arrival
/// column, the clock is the row's arrival; an arrival that is empty or smaller counts as the one before, and the first
/// such case is reported through `tracing`. Without that column, the clock is the largest event time. An event is
/// refused if it is more than the limit ahead of the clock after its own row, or ahead of the wall clock if there is no
/// arrival column or no arrival yet.
///
/// Guarantee: which rows are handed out, in which order and with which clock, depends only on the content and (for
/// events ahead of it) the wall clock, not on limits or the sizes of reads. Memory: a few times the longest record,
/// which is bounded by [`RECORD_MAX`](super::RECORD_MAX).
///
/// ```
/// use dayfold::source::{CsvOptions, CsvSource, Input, SourceError};
///
/// // The year of the file in a minute and a half, as if it happened now.
/// let text = "at,page\n2024-05-01,/home\n";
/// let options = CsvOptions::new("at").fields(["page"]);
/// let source = CsvSource::open(Input::reader("visits", text.as_bytes()), options)?.paced(350_000.0);
///
/// let other = CsvOptions::new("when");
/// let error = CsvSource::open(Input::reader("visits", text.as_bytes()), other).unwrap_err();
/// assert!(matches!(error, SourceError::MissingColumn { .. }));
/// # let _ = source;
/// # Ok::<(), SourceError>(())
/// ```
pub struct CsvSource {
    records: Records,
    options: CsvOptions,
    /// `None` as long as a followed file has no header.
    judge: Option<Arc<Judge>>,
    /// The chunks read ahead, once the judge is known.
    ahead: Option<Ahead>,
    ahead_options: AheadOptions,
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
    state: ReadState,
}

impl CsvSource {
    /// Opens a source and reads its header.
    ///
    /// # Errors
    /// [`SourceError`] if it cannot be read, has no header (or one that is too long, not closed, not
    /// UTF-8), has a column twice, or lacks a column of `options`.
    pub fn open(input: Input, options: CsvOptions) -> Result<CsvSource, SourceError> {
        CsvSource::from_records(Records::new(input.open()?), options)
    }

    fn from_records(records: Records, options: CsvOptions) -> Result<CsvSource, SourceError> {
        let mut source = CsvSource::new(records, options, EventTime::MIN)?;
        source.read_header()?;
        Ok(source)
    }

    /// A reader of `records`, whose header is still to be read.
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
            judge: None,
            ahead: None,
            ahead_options: AheadOptions::with_threads(0),
            clock,
            latest: EventTime::MIN,
            holds_rest: false,
            rows: 0,
            refused: 0,
            pace: None,
            warned: false,
            state: ReadState::Good,
        })
    }

    fn read_header(&mut self) -> Result<(), SourceError> {
        if self.options.format == RowFormat::JsonLines {
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
        self.judge = Some(Arc::new(Judge::new(self.options.clone(), columns)));
        self.read_ahead_with(self.ahead_options);
    }

    /// Uses this many threads to cut rows. The rows do not depend on it.
    pub(crate) fn share(&mut self, threads: usize) {
        self.read_ahead_with(AheadOptions::with_threads(threads));
    }

    fn read_ahead_with(&mut self, options: AheadOptions) {
        self.ahead_options = options;
        self.ahead = self.judge.as_ref().map(|judge| {
            let parser = Parser::new(&self.options, Arc::clone(judge));
            Ahead::new(parser, self.options.format, options)
        });
    }

    /// Opens a source again, checks that it begins with the `consumed` content, and continues from there.
    ///
    /// If that content did not end with the end of a line, only the end of the line may follow: otherwise the last row
    /// of the file is no longer the row that was read. Progress counts from here.
    ///
    /// # Errors
    /// [`SourceError::Changed`], naming both sides, if the content is shorter, is different, or goes on in the middle
    /// of the last row; otherwise the errors of [`CsvSource::open`].
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
        // The content is compared first, so that a changed header is reported as a change.
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
        if source.options.format != RowFormat::Csv {
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

    /// Continues after the content `consumed` in earlier runs, wherever the source was opened: it is read up to there
    /// and compared.
    ///
    /// # Errors
    /// [`SourceError::OpenedBehind`] if it was opened after that position; [`SourceError::Changed`] as in
    /// [`CsvSource::resume_after`].
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
        // A followed file without its header has none of the consumed content.
        if (found.bytes, found.digest) != (consumed.bytes, consumed.digest) || self.judge.is_none()
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

    /// Makes an engine play the source back at this pace: milliseconds of its clock for each millisecond of the wall
    /// clock, from the first row on. Anything but a positive number means as fast as possible, which is the default.
    #[must_use]
    pub fn paced(mut self, pace: f64) -> CsvSource {
        self.pace = (pace.is_finite() && pace > 0.0).then_some(pace);
        self
    }

    /// The pace at which an engine plays the source back, if one is set.
    pub(crate) fn pace(&self) -> Option<f64> {
        self.pace
    }

    /// See [`CsvOptions::quiet_after`].
    pub(crate) fn quiet_after(&self) -> Option<Duration> {
        self.options.quiet_after
    }

    /// The name of the source in messages.
    pub(crate) fn name(&self) -> &str {
        self.records.stream().name()
    }

    /// The clock after the last row handed out; [`EventTime::MIN`] before the first.
    pub(crate) fn clock(&self) -> EventTime {
        self.clock
    }

    /// The greatest event time handed out since it was opened; [`EventTime::MIN`] before the first.
    pub(crate) fn latest(&self) -> EventTime {
        self.latest
    }

    /// Whether a last line without its end is held back, and reported as [`Read::Rest`].
    pub(crate) fn hold_rest(&mut self, hold: bool) {
        self.holds_rest = hold;
    }

    /// The progress of the reader.
    pub(crate) fn progress(&self) -> Progress {
        let stream = self.records.stream();
        let (bytes_read, bytes_total) = (stream.position(), stream.total());
        Progress { rows: self.rows, refused: self.refused, bytes_read, bytes_total }
    }

    /// The content handed out so far, with skipped blank lines after it.
    pub(crate) fn consumed(&self) -> Consumed {
        Consumed {
            bytes: self.records.position(),
            digest: self.records.digest(),
            line: self.records.line(),
            clock: self.clock,
            tail: self.records.tail(),
        }
    }

    /// Reads the next rows up to a limit. A block may be shorter than the limit.
    ///
    /// It blocks while its input does.
    ///
    /// # Errors
    /// [`SourceError`], after all rows before the error were handed out; the source is not read any further.
    pub(crate) fn read(&mut self, limit: ReadLimit) -> Result<Read, SourceError> {
        self.state.check(self.records.stream().name())?;
        if let Some((block, stop)) = self.hand_out(limit) {
            return self.state.end_block(block, Ok(stop));
        }
        let (mut rows, mut refused) = (Rows::new(self.options.fields.len()), Vec::new());
        let stop = self.read_records(&mut rows, &mut refused, limit);
        self.state.end(rows, refused, stop)
    }

    /// A block of rows read ahead; `None` if the records must be read one by one.
    fn hand_out(&mut self, limit: ReadLimit) -> Option<(RowBlock, Stop)> {
        let mut ahead = self.ahead.take()?;
        let found = self.hand_out_of(&mut ahead, limit);
        self.ahead = Some(ahead);
        found
    }

    fn hand_out_of(&mut self, ahead: &mut Ahead, limit: ReadLimit) -> Option<(RowBlock, Stop)> {
        if !self.records.is_between() {
            return None;
        }
        if limit.bytes < u64::MAX {
            // The content may have ended within what was read ahead.
            ahead.forget();
            return None;
        }
        let mut block = Taken::default();
        loop {
            let line = self.records.line();
            let current = ahead.chunk(self.records.content(), line)?;
            let first = current.next;
            let stop = self.take_next(current, &mut block, limit);
            let (bytes, line) = current.settle();
            self.records.pass(bytes, line);
            let (rows, range) = (Arc::clone(&current.rows), first..current.next);
            ahead.consumed(bytes);
            if block.records > 0 || matches!(stop, Stop::Clock(_)) {
                let Taken { except, refused, .. } = block;
                return Some((RowBlock::part(&rows, range, &except, refused), stop));
            }
        }
    }

    /// Takes what comes next in a chunk, and returns what ends the block.
    fn take_next(&mut self, current: &mut Current, block: &mut Taken, limit: ReadLimit) -> Stop {
        while block.may_grow(limit) {
            match current.peek() {
                NextRecord::End => break,
                NextRecord::Refused(refused) => {
                    block.refuse(refused.clone());
                    self.refused += 1;
                }
                NextRecord::Row(row, reading) => {
                    match step(&self.options, self.clock, row.time(), reading, limit.now) {
                        Ok(step) if step.clock >= limit.clock => return Stop::Clock(step.clock),
                        Ok(step) => {
                            block.bytes += row.memory();
                            self.move_clock(row.line(), row.time(), step);
                        }
                        Err(reason) => {
                            block.refuse(Refused::new(row, reason));
                            block.except.push(current.next);
                            self.refused += 1;
                        }
                    }
                }
            }
            current.pass();
            block.records += 1;
        }
        Stop::Full
    }

    /// Appends rows until something stops it, one record after the other.
    fn read_records(
        &mut self,
        block: &mut Rows,
        refused: &mut Vec<Refused>,
        limit: ReadLimit,
    ) -> Result<Stop, SourceError> {
        let (mut rows, mut refused_bytes) = (0, 0);
        self.records.stop_at(limit.bytes);
        if self.judge.is_none() {
            self.read_header()?;
        }
        let Some(judge) = self.judge.clone() else { return Ok(Stop::Later) };
        let one_by_one = match &self.ahead {
            Some(ahead) if limit.bytes == u64::MAX => ahead.one_by_one(),
            _ => u64::MAX,
        };
        while rows == 0
            || (rows < limit.rows
                && self.records.position() < one_by_one
                && block.memory() + refused_bytes < BLOCK_BYTES)
        {
            // A block may have ended before or after the blank lines that are skipped here.
            if self.records.position() >= limit.bytes {
                return Ok(Stop::Bytes);
            }
            let found = self.records.find()?;
            if self.records.position() >= limit.bytes {
                return Ok(Stop::Bytes);
            }
            match found {
                FoundRecord::Record => {}
                FoundRecord::Later => return Ok(Stop::Later),
                FoundRecord::End => return Ok(Stop::End),
            }
            // In a part that was handed out before, the end that the file had then is a stop.
            if self.holds_rest && limit.bytes == u64::MAX && !self.records.has_line_end() {
                return Ok(Stop::Rest);
            }
            let judged = self.judge(&judge).and_then(|(time, reading)| {
                let step = step(&self.options, self.clock, time, reading, limit.now)?;
                Ok((time, step))
            });
            match judged {
                Ok((_, step)) if step.clock >= limit.clock => return Ok(Stop::Clock(step.clock)),
                Ok((time, step)) => self.take(&judge.columns, block, time, step),
                Err(reason) => {
                    let row = self.records.raw().to_vec();
                    refused_bytes += row.len() + reason.len();
                    refused.push(Refused { line: self.records.line(), reason, row });
                    self.refused += 1;
                }
            }
            self.records.accept();
            rows += 1;
        }
        Ok(Stop::Full)
    }

    /// The event time and the arrival of the pending record, or why it is not a row.
    fn judge(&self, judge: &Judge) -> Result<(EventTime, Reading), String> {
        match self.records.refusal() {
            Some(reason) => Err(reason.to_owned()),
            None => judge.judge(&self.records),
        }
    }

    /// Takes the pending record into the block, and moves the clock.
    fn take(&mut self, columns: &Columns, block: &mut Rows, time: EventTime, step: Advance) {
        let records = &self.records;
        let fields = columns.selected.iter().map(|i| records.field(*i));
        block.push(records.line(), time, records.raw(), fields);
        self.move_clock(records.line(), time, step);
    }

    /// Moves the clock with an accepted row.
    fn move_clock(&mut self, line: u64, time: EventTime, step: Advance) {
        self.latest = self.latest.max(time);
        if step.fell_back && !self.warned {
            self.warned = true;
            tracing::warn!(
                source = self.records.stream().name(),
                line,
                "an arrival is empty or smaller than the one before, which counts instead; \
                 reported once"
            );
        }
        assert!(self.clock <= step.clock, "a source's clock never goes back");
        self.clock = step.clock;
        self.rows += 1;
    }
}

/// A block that is being made from rows read ahead.
#[derive(Default)]
struct Taken {
    records: usize,
    /// About how many bytes of memory it takes.
    bytes: usize,
    refused: Vec<Refused>,
    /// Rows that do not fit the clock.
    except: Vec<usize>,
}

impl Taken {
    fn may_grow(&self, limit: ReadLimit) -> bool {
        self.records == 0 || (self.records < limit.rows && self.bytes < BLOCK_BYTES)
    }

    fn refuse(&mut self, refused: Refused) {
        self.bytes += refused.row.len() + refused.reason.len();
        self.refused.push(refused);
    }
}

/// The clock after a row, or why the row is refused.
fn step(
    options: &CsvOptions,
    clock: EventTime,
    time: EventTime,
    reading: Reading,
    now: EventTime,
) -> Result<Advance, String> {
    let step = advance(clock, time, reading, now, options.ahead_limit)?;
    check_behind(time, step.clock, options.behind_limit)?;
    Ok(step)
}

impl fmt::Debug for CsvSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CsvSource").field("name", &self.name()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
