//! A source as an engine's reading thread sees it: blocks up to a limit, and a place to go on behind.

use std::time::Duration;

use super::csv::CsvSource;
use super::error::SourceError;
use super::position::SourcePosition;
use super::reading::{Progress, Read, ReadLimit};
use crate::time::EventTime;

/// What is read in blocks. Called once for each block, so that nothing is dynamic for each row.
pub(crate) trait Blocks {
    /// The name in messages.
    fn name(&self) -> &str;
    /// See [`CsvSource::read`]; [`ReadLimit::bytes`] is a limit of [`SourcePosition::at`].
    fn read(&mut self, limit: ReadLimit) -> Result<Read, SourceError>;
    /// Behind what was handed out.
    fn place(&self) -> SourcePosition;
    /// The clock with the last row handed out.
    fn clock(&self) -> EventTime;
    /// How far it has come since it was opened.
    fn progress(&self) -> Progress;
    /// See [`CsvSource::paced`].
    fn pace(&self) -> Option<f64>;
    /// After so long without rows, days close by the wall clock, less this.
    fn quiet_after(&self) -> Option<Duration>;
    /// Whether a last line without its end is left for [`Read::Rest`]: it may be half of what will stand there.
    fn hold_rest(&mut self, hold: bool);
    /// The greatest event time handed out since it was opened.
    fn latest(&self) -> EventTime;
    /// Has so many threads do what can be done of each part alone.
    fn share(&mut self, threads: usize);
    /// Whether what was read once is there at once when it is read again, and does not come later.
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
