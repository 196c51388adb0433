//! What a source hands out at a time: its limits, and why it stopped.

use super::block::RowBlock;
use super::error::SourceError;
use super::row::{Refused, Rows};
use crate::time::EventTime;

/// Where one call of [`CsvSource::read`](super::CsvSource::read) stops.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadLimit {
    /// Rows of a block, refused ones included; at least one is read.
    pub rows: usize,
    /// It stops before the row that would move the clock to this time or beyond. [`EventTime::MAX`] is no limit.
    pub clock: EventTime,
    /// It stops when this many bytes of content have been handed out: the end of an earlier block, from
    /// [`CsvSource::consumed`](super::CsvSource::consumed). [`u64::MAX`] is no limit.
    pub bytes: u64,
    /// The wall clock; it decides only which events are too far ahead.
    pub now: EventTime,
}

/// What one call of [`CsvSource::read`](super::CsvSource::read) found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Read {
    /// The next rows or refusals, at least one of either.
    Rows(RowBlock),
    /// The next row would take the clock to the limit or beyond. It will be the first of the next
    /// block; nothing was consumed.
    AtClock {
        /// The clock after that row.
        clock: EventTime,
    },
    /// The limit of bytes is reached; nothing was consumed.
    AtBytes,
    /// The file is followed, and all whole rows were read. Ask again a little later.
    Later,
    /// Only a last line without its end is left, and it is held back; nothing was consumed.
    Rest,
    /// There are no more rows.
    End,
}

/// The progress of a reader since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Accepted rows.
    pub rows: u64,
    /// Refused rows.
    pub refused: u64,
    /// Bytes taken from the file (of compressed data, if it is compressed), including bytes read ahead.
    pub bytes_read: u64,
    /// The size of the file when it was opened; `None` for anything but a file.
    pub bytes_total: Option<u64>,
}

/// A block is full at this many bytes of memory, whatever the limit of rows.
pub(super) const BLOCK_BYTES: usize = 8 << 20;

/// Why a block is not continued.
pub(super) enum Stop {
    Full,
    Clock(EventTime),
    Bytes,
    Later,
    Rest,
    End,
}

/// An error is reported after the rows before it, and only once.
pub(super) enum ReadState {
    Good,
    Failing(SourceError),
    Failed,
}

impl ReadState {
    /// Whether there is anything to read.
    pub(super) fn check(&mut self, name: &str) -> Result<(), SourceError> {
        match std::mem::replace(self, ReadState::Failed) {
            ReadState::Good => *self = ReadState::Good,
            ReadState::Failing(error) => return Err(error),
            ReadState::Failed => return Err(SourceError::Failed { name: name.to_owned() }),
        }
        Ok(())
    }

    /// The result for a block that ended with `stop`.
    pub(super) fn end(
        &mut self,
        rows: Rows,
        refused: Vec<Refused>,
        stop: Result<Stop, SourceError>,
    ) -> Result<Read, SourceError> {
        self.end_block(RowBlock::of(rows, refused), stop)
    }

    /// The same for a block.
    pub(super) fn end_block(
        &mut self,
        block: RowBlock,
        stop: Result<Stop, SourceError>,
    ) -> Result<Read, SourceError> {
        let nothing = block.is_empty() && block.refused.is_empty();
        match stop {
            Err(error) if nothing => {
                *self = ReadState::Failed;
                Err(error)
            }
            Err(error) => {
                *self = ReadState::Failing(error);
                Ok(Read::Rows(block))
            }
            Ok(Stop::Clock(clock)) if nothing => Ok(Read::AtClock { clock }),
            Ok(Stop::Bytes) if nothing => Ok(Read::AtBytes),
            Ok(Stop::Later) if nothing => Ok(Read::Later),
            Ok(Stop::Rest) if nothing => Ok(Read::Rest),
            Ok(Stop::End) if nothing => Ok(Read::End),
            Ok(_) => Ok(Read::Rows(block)),
        }
    }
}
