//! A source as an engine's reading thread sees it: blocks up to a limit, and a place to go on behind.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::block::{RowBlock, Rows};
use super::csv::{Consumed, CsvSource, Progress, Read, ReadLimit};
use super::error::SourceError;
use super::pending::Tail;
use super::row::Refused;
use crate::time::EventTime;

/// A block is full with so many bytes of memory, whatever the limit of rows.
pub(super) const BLOCK_BYTES: usize = 8 << 20;

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

/// How far a source was handed out: what the log keeps of it, to go on behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SourcePosition {
    /// In rows of text.
    Text(Consumed),
    /// In a source of somebody's own.
    Own(OwnPlace),
}

/// How far a [`Source`](super::Source) was handed out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OwnPlace {
    /// Records since its beginning, refused ones included.
    pub(crate) records: u64,
    /// The clock with the last of them.
    pub(crate) clock: EventTime,
    /// Its position behind them, encoded with bincode.
    pub(crate) position: Vec<u8>,
}

/// What the encoded place of a source of one's own begins with; no text has so many bytes.
const OWN: u64 = u64::MAX;

impl SourcePosition {
    /// What orders the places of a source: bytes of text, or records.
    pub(crate) fn at(&self) -> u64 {
        match self {
            SourcePosition::Text(consumed) => consumed.bytes,
            SourcePosition::Own(own) => own.records,
        }
    }

    /// Whether what stands there may go on in the middle of a line.
    pub(crate) fn is_unfinished(&self) -> bool {
        matches!(self, SourcePosition::Text(consumed) if consumed.tail != Tail::Line)
    }

    /// The clock with the last row.
    pub(crate) fn clock(&self) -> EventTime {
        match self {
            SourcePosition::Text(consumed) => consumed.clock,
            SourcePosition::Own(own) => own.clock,
        }
    }

    /// The bytes that the log keeps.
    pub(crate) fn encode(&self) -> Vec<u8> {
        match self {
            SourcePosition::Text(consumed) => bincode::serialize(consumed),
            SourcePosition::Own(own) => bincode::serialize(&(OWN, own)),
        }
        .expect("a place holds nothing that cannot be encoded")
    }

    /// # Errors
    /// If the bytes are not those of a place.
    pub(crate) fn decode(bytes: &[u8]) -> Result<SourcePosition, bincode::Error> {
        if bytes.starts_with(&OWN.to_le_bytes()) {
            let (_, own): (u64, OwnPlace) = bincode::deserialize(bytes)?;
            return Ok(SourcePosition::Own(own));
        }
        bincode::deserialize(bytes).map(SourcePosition::Text)
    }
}

impl fmt::Display for SourcePosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SourcePosition::Text(Consumed { bytes, digest, .. }) => {
                write!(f, "{bytes} bytes with XXH3-128 {digest:032x}")
            }
            SourcePosition::Own(OwnPlace { records, position, .. }) => {
                write!(f, "{records} records up to the position ")?;
                position.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
    }
}

/// Why a block is not continued.
pub(super) enum Stop {
    Full,
    Clock(EventTime),
    Bytes,
    Later,
    Rest,
    End,
}

/// An error is due after the rows before it, and once.
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

    /// What is handed out of a block that `stop` has ended.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_kept_and_told_apart() {
        let text = Consumed { bytes: 7, digest: 8, line: 9, clock: -1, tail: Tail::Open };
        let own = OwnPlace { records: 7, clock: -1, position: vec![1, 0xAB] };
        for place in [SourcePosition::Text(text), SourcePosition::Own(own.clone())] {
            assert_eq!(SourcePosition::decode(&place.encode()).unwrap(), place);
            assert_eq!((place.at(), place.clock()), (7, -1));
            let cut = &place.encode()[..10];
            assert!(SourcePosition::decode(cut).is_err());
        }
        assert_eq!(bincode::serialize(&text).unwrap(), SourcePosition::Text(text).encode());
        assert_eq!(SourcePosition::Own(own).to_string(), "7 records up to the position 01ab");
    }
}
