//! The worker that reads a source: deals blocks in turn, and says when the floor moves.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::clock::wall_clock;
use super::feed::{Ack, Deal, Feed};
use super::running::{EngineError, Outcome, Shared};
use crate::source::{CsvSource, Read, ReadLimit, Refused, Row};
use crate::store::Store;
use crate::time::EventTime;
use crate::view::View;

/// Rows of a block: large enough that dealing costs little, small enough that workers share a day.
const BLOCK_ROWS: usize = 4_096;

/// Blocks for each worker that are dealt and not yet entered. This bounds what the reader runs ahead.
const BLOCKS_AHEAD: u64 = 4;

type Open = dyn FnOnce(Option<&Store>) -> Result<Option<CsvSource>, EngineError> + Send;
pub(crate) type Parse<E> = dyn Fn(&Row<'_>) -> Result<E, String> + Send + Sync;
type Keep = dyn FnMut(&Refused) -> Result<(), EngineError> + Send;

/// What an engine was given to read.
pub(crate) struct Feeding<E> {
    pub(crate) open: Box<Open>,
    pub(crate) parse: Arc<Parse<E>>,
    pub(crate) refused: Option<Box<Keep>>,
}

/// Reads one source on one worker.
pub(crate) struct Reader {
    source: Option<CsvSource>,
    views: Vec<View>,
    keep: Option<Box<Keep>>,
    /// The source's clock, as far as floors are concerned.
    watermark: EventTime,
    peers: usize,
    dealt: u64,
    acked: u64,
    /// Acknowledged blocks before which others are missing.
    early: BTreeMap<u64, Vec<Refused>>,
    ended: bool,
}

impl Reader {
    pub(crate) fn new(
        source: Option<CsvSource>,
        views: Vec<View>,
        keep: Option<Box<Keep>>,
        floor: EventTime,
        peers: usize,
    ) -> Reader {
        let early = BTreeMap::new();
        Reader { source, views, keep, watermark: floor, peers, dealt: 0, acked: 0, early, ended: false }
    }

    /// Reads and deals one block, if the workers are not behind. Returns whether there is more to do.
    pub(crate) fn step(&mut self, feed: &mut Feed, shared: &Shared) -> Result<bool, EngineError> {
        let acked = std::mem::take(&mut *feed.acked.borrow_mut());
        self.collect(acked)?;
        if self.ended || self.dealt - self.acked >= BLOCKS_AHEAD * self.peers as u64 {
            return Ok(false);
        }
        let Some(source) = &mut self.source else {
            self.end(feed, shared)?;
            return Ok(true);
        };
        let next = self.views.iter().map(|view| view.next_floor(self.watermark)).min();
        let clock = next.unwrap_or(EventTime::MAX);
        let limit = ReadLimit { rows: BLOCK_ROWS, clock, now: wall_clock() };
        match source.read(limit)? {
            Read::Rows(block) => {
                let to = (self.dealt % self.peers as u64) as usize;
                feed.deal(to, Deal::Rows { number: self.dealt, block });
                self.dealt += 1;
            }
            Read::AtClock { clock } => {
                self.watermark = clock;
                let floor = self.views.iter().map(|view| view.floor_at(clock)).max();
                if let Some(floor) = floor {
                    feed.broadcast(&Deal::Floor(floor));
                }
            }
            Read::End => {
                shared.set_consumed(source.consumed());
                self.end(feed, shared)?;
            }
        }
        if let Some(source) = &self.source {
            shared.set_read(source.progress());
        }
        Ok(true)
    }

    /// Ends once every block is entered, so that all refused rows are kept by then.
    fn end(&mut self, feed: &mut Feed, _shared: &Shared) -> Result<(), EngineError> {
        self.source = None;
        if self.acked == self.dealt {
            self.ended = true;
            feed.broadcast(&Deal::End);
        }
        Ok(())
    }

    /// Keeps refused rows in the order of the source, whichever worker refused them first.
    fn collect(&mut self, acked: Vec<Ack>) -> Result<(), EngineError> {
        for ack in acked {
            self.early.insert(ack.number, ack.refused);
        }
        while let Some(refused) = self.early.remove(&self.acked) {
            self.acked += 1;
            if let Some(keep) = &mut self.keep {
                refused.iter().try_for_each(keep)?;
            }
        }
        Ok(())
    }
}

/// What other workers do when the reader fails.
pub(crate) fn outcome_of(error: &EngineError) -> Outcome {
    match error {
        EngineError::Interrupted => Outcome::Interrupted,
        EngineError::Source(_) | EngineError::Input { .. } => Outcome::Input(error.to_string()),
        error => Outcome::Failed(error.to_string()),
    }
}
