//! A source as an engine's reading thread sees it: blocks up to a limit, and a position to continue from.

use std::time::Duration;

use super::csv::CsvSource;
use super::error::SourceError;
use super::position::SourcePosition;
use super::reading::{Progress, Read, ReadLimit};
use crate::time::EventTime;

/// A source that is read in blocks. It is called once for each block, so that there is no dynamic call for each row.
pub(crate) trait Blocks {
    /// The name in messages.
    fn name(&self) -> &str;
    /// See [`CsvSource::read`]; [`ReadLimit::bytes`] is a limit of [`SourcePosition::at`].
    fn read(&mut self, limit: ReadLimit) -> Result<Read, SourceError>;
    /// The position after the rows handed out.
    fn place(&self) -> SourcePosition;
    /// The clock after the last row handed out.
    fn clock(&self) -> EventTime;
    /// Its progress since it was opened.
    fn progress(&self) -> Progress;
    /// See [`CsvSource::paced`].
    fn pace(&self) -> Option<f64>;
    /// After this long without rows, days close by the wall clock less this duration.
    fn quiet_after(&self) -> Option<Duration>;
    /// Whether to hold back a last line without its end, as [`Read::Rest`]: the rest of it may still be written.
    fn hold_rest(&mut self, hold: bool);
    /// The greatest event time handed out since it was opened.
    fn latest(&self) -> EventTime;
    /// Uses this many threads for work that each part allows on its own.
    fn share(&mut self, threads: usize);
    /// Whether content that was read once is available at once when it is read again, rather than arriving later.
    fn has_its_past(&self) -> bool;
}

impl Blocks for CsvSource {
    fn name(&self) -> &str {
        CsvSource::name(self)
    }

    fn read(&mut self, limit: ReadLimit) -> Result<Read, SourceError> {
        CsvSource::read(self, limit)
    }

    fn place(&self) -> SourcePosition {
        SourcePosition::Text(self.consumed())
    }

    fn clock(&self) -> EventTime {
        CsvSource::clock(self)
    }

    fn progress(&self) -> Progress {
        CsvSource::progress(self)
    }

    fn pace(&self) -> Option<f64> {
        CsvSource::pace(self)
    }

    fn quiet_after(&self) -> Option<Duration> {
        CsvSource::quiet_after(self)
    }

    fn hold_rest(&mut self, hold: bool) {
        CsvSource::hold_rest(self, hold);
    }

    fn latest(&self) -> EventTime {
        CsvSource::latest(self)
    }

    fn share(&mut self, threads: usize) {
        CsvSource::share(self, threads);
    }

    fn has_its_past(&self) -> bool {
        true
    }
}
