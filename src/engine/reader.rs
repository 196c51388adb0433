//! The worker that reads a source: deals blocks in turn, and says when the floor moves.

use std::collections::BTreeMap;
use std::sync::{Arc, mpsc};

use super::clock::wall_clock;
use super::feed::{Ack, Deal, Feed};
use super::running::{EngineError, Outcome, Shared};
use crate::source::{Consumed, CsvSource, Read, ReadLimit, Refused, Row, RowBlock, SourceError};
use crate::store::Store;
use crate::time::EventTime;
use crate::view::View;

/// The number of the source that is read, if there is one; live sources come after it.
const SOURCE: usize = 0;

/// Rows of a block: large enough that dealing costs little, small enough that workers share a day.
const BLOCK_ROWS: usize = 4_096;

/// What the reading thread may be ahead of the dealing worker.
const FOUND_AHEAD: usize = 8;

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

/// What the reading thread found, in the order of the source.
enum Found {
    /// Rows, and what of the source has been handed out with them.
    Rows(RowBlock, Consumed),
    /// The next row is beyond the end of a day of some view: days up to this floor may close.
    Floor(EventTime),
    End(Consumed),
    Failed(SourceError),
}

/// Deals what a thread of its own reads: reading may block, a worker must not.
pub(crate) struct Reader {
    found: Option<mpsc::Receiver<Found>>,
    shared: Arc<Shared>,
    keep: Option<Box<Keep>>,
    peers: usize,
    dealt: u64,
    acked: u64,
    /// Acknowledged blocks before which others are missing.
    early: BTreeMap<u64, Vec<Refused>>,
    ended: bool,
}

impl Reader {
    /// Starts to read; without a source, there is only an end to deal.
    pub(crate) fn new(
        source: Option<CsvSource>,
        views: Vec<View>,
        keep: Option<Box<Keep>>,
        shared: Arc<Shared>,
        peers: usize,
    ) -> Reader {
        let found = source.map(|source| {
            let (sender, found) = mpsc::sync_channel(FOUND_AHEAD);
            let (worker, shared) = (std::thread::current(), Arc::clone(&shared));
            let read = move || read_all(source, &views, &shared, &sender, &worker);
            std::thread::Builder::new()
                .name("dayfold:read".to_owned())
                .spawn(read)
                .expect("the system gives a thread to the reader");
            found
        });
        let early = BTreeMap::new();
        Reader { found, shared, keep, peers, dealt: 0, acked: 0, early, ended: false }
    }

    /// Deals one block, if there is one and the workers are not behind. Returns whether it did something.
    pub(crate) fn step(&mut self, feed: &mut Feed) -> Result<bool, EngineError> {
        let acked = std::mem::take(&mut *feed.acked.borrow_mut());
        self.collect(acked)?;
        if self.ended || self.dealt - self.acked >= BLOCKS_AHEAD * self.peers as u64 {
            return Ok(false);
        }
        let Some(found) = &self.found else {
            self.end(feed);
            return Ok(self.ended);
        };
        match found.try_recv() {
            Ok(Found::Rows(block, consumed)) => {
                let to = (self.dealt % self.peers as u64) as usize;
                feed.deal(to, Deal::Rows { number: self.dealt, block });
                self.dealt += 1;
                self.shared.set_consumed(consumed);
            }
            Ok(Found::Floor(floor)) => feed.broadcast(&Deal::Floor { source: SOURCE, floor }),
            Ok(Found::Failed(error)) => return Err(error.into()),
            Ok(Found::End(consumed)) => {
                self.shared.set_consumed(consumed);
                self.end(feed);
            }
            // Interrupted: what the thread still finds, if it is not waiting for input, is not taken.
            Err(_) if self.shared.is_interrupted() => self.end(feed),
            Err(mpsc::TryRecvError::Empty) => return Ok(false),
            Err(mpsc::TryRecvError::Disconnected) => {
                let message = "the reading thread ended early".to_owned();
                return Err(EngineError::Failed { message });
            }
        }
        Ok(true)
    }

    /// Ends once every block is entered, so that all refused rows are kept by then.
    fn end(&mut self, feed: &mut Feed) {
        self.found = None;
        if self.acked == self.dealt {
            self.ended = true;
            feed.broadcast(&Deal::End { source: SOURCE });
        }
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

/// Reads a source to its end. Blocks stop where a day of some view ends, so that which events are late
/// depends on the order of the source alone.
fn read_all(
    mut source: CsvSource,
    views: &[View],
    shared: &Shared,
    sender: &mpsc::SyncSender<Found>,
    worker: &std::thread::Thread,
) {
    let mut watermark = shared.floor;
    loop {
        let clock = views.iter().map(|view| view.next_floor(watermark)).min();
        let clock = clock.unwrap_or(EventTime::MAX);
        let found = match source.read(ReadLimit { rows: BLOCK_ROWS, clock, now: wall_clock() }) {
            Ok(Read::Rows(block)) => Found::Rows(block, source.consumed()),
            Ok(Read::AtClock { clock }) => {
                watermark = clock;
                let floors = views.iter().map(|view| view.floor_at(clock));
                Found::Floor(floors.max().unwrap_or(EventTime::MIN))
            }
            Ok(Read::End) => Found::End(source.consumed()),
            Err(error) => Found::Failed(error),
        };
        shared.set_read(source.progress());
        let last = matches!(found, Found::End(_) | Found::Failed(_));
        // Nobody listens any more: the engine is stopping.
        let gone = sender.send(found).is_err();
        worker.unpark();
        if last || gone || shared.is_interrupted() {
            return;
        }
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
