//! The worker that reads a source: deals blocks in turn, and says when the floor moves.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use crate::archive::Archive;
use crate::engine::error::EngineError;
use crate::engine::ingest::deal::{Control, Data};
use crate::engine::ingest::feed::{Ack, Feed, READER};
use crate::engine::ingest::pacer::Pacer;
use crate::engine::recover::resume::{Known, is_before, range};
use crate::engine::shared::Shared;
use crate::log::SourceRange;
use crate::source::{Blocks, Read, ReadLimit, Refused, Row, RowBlock, SourceError, SourcePosition};
use crate::store::Store;
use crate::time::EventTime;
use crate::view::View;

/// The number of the source that is read, if there is one; live sources come after it.
const SOURCE: usize = 0;

/// Rows of a block: large enough that dealing costs little, small enough that workers share a day.
const BLOCK_ROWS: usize = 4_096;

/// Threads that cut rows, at most.
const CUTTERS_MAX: usize = 8;

/// What the reading thread may be ahead of the dealing worker.
const FOUND_AHEAD: usize = 8;

/// Blocks for each worker that are dealt and not yet entered. This bounds what the reader runs ahead.
const BLOCKS_AHEAD: u64 = 4;

/// So many refused rows are told where nobody keeps them.
const REFUSED_TOLD: u64 = 5;

/// How long the reading thread sleeps at the end of a file that is followed.
const POLL: Duration = Duration::from_millis(50);

/// What an opened source is, if there is one.
pub(crate) type Opened = Result<Option<Box<dyn Blocks>>, EngineError>;
pub(crate) type OpenSource = dyn FnOnce(Option<&Store>, &Known) -> Opened + Send;
pub(crate) type Parse<E> = dyn Fn(&Row<'_>) -> Result<E, String> + Send + Sync;
pub(crate) type Keep = dyn FnMut(&Refused) -> Result<(), EngineError> + Send;

/// What an engine was given to read.
pub(crate) struct Feeding<E> {
    pub(crate) open: Box<OpenSource>,
    pub(crate) parse: Arc<Parse<E>>,
    pub(crate) refused: Option<Box<Keep>>,
}

/// What the reading thread found, in the order of the source.
enum FromReader {
    /// It is open, or there is none.
    Opened,
    /// Rows, the range that they take up, and what of the source has been handed out with them.
    Rows(RowBlock, SourceRange, SourcePosition),
    /// The log has what follows: the rows of it that were refused, and how the source stands behind it.
    Known(Vec<Refused>, SourcePosition),
    /// The next row is beyond the end of a day of some view: days up to this floor may close.
    Floor(EventTime),
    /// The last line, which has no end: it may be half of what will stand there.
    Rest(RowBlock),
    End(Option<SourcePosition>),
    Failed(EngineError),
}

/// Deals what a thread of its own reads: reading may block, a worker must not.
pub(crate) struct Reader {
    found: mpsc::Receiver<FromReader>,
    keep: Option<Box<Keep>>,
    shared: Arc<Shared>,
    peers: usize,
    dealt: u64,
    acked: u64,
    /// Acknowledged blocks before which others are missing.
    early: BTreeMap<u64, Vec<Refused>>,
    /// How the source stands behind each block that is not acknowledged; behind a last line without its end, nobody
    /// goes on.
    places: VecDeque<Option<SourcePosition>>,
    /// How it stands at its end.
    last: Option<SourcePosition>,
    /// Whether a last line without its end was dealt.
    rest: bool,
    /// Refused rows that nobody keeps.
    unkept: u64,
    stage: Stage,
}

enum Stage {
    Opening,
    Reading,
    /// The source has ended, well or not; that is said once every block is entered, so that all refused
    /// rows before it are kept by then.
    Ending(Result<(), EngineError>),
    Ended,
}

impl Reader {
    /// Starts to open and to read.
    pub(crate) fn new(
        open: Box<OpenSource>,
        archive: Archive,
        known: Arc<Known>,
        keep: Option<Box<Keep>>,
        shared: Arc<Shared>,
        peers: usize,
        hold_rest: bool,
    ) -> Reader {
        let (sender, found) = mpsc::sync_channel(FOUND_AHEAD);
        let worker = std::thread::current();
        let reading = Arc::clone(&shared);
        let read = move || {
            // Nobody listens any more: the engine is stopping.
            let send = |found| {
                let gone = sender.send(found).is_err();
                worker.unpark();
                !gone
            };
            let source = open(archive.store().map(Arc::as_ref), &known);
            // Reading may block for long after the engine has ended, and the folder is to be free by then.
            drop(archive);
            match source {
                Ok(mut source) => {
                    if let Some(source) = &mut source {
                        source.hold_rest(hold_rest);
                        source.share(cutters(reading.threads));
                    }
                    if send(FromReader::Opened) {
                        read_all(source, &reading, &known, send);
                    }
                }
                Err(error) => drop(send(FromReader::Failed(error))),
            }
        };
        std::thread::Builder::new()
            .name("dayfold:read".to_owned())
            .spawn(read)
            .expect("the system gives a thread to the reader");
        let (early, places, stage) = (BTreeMap::new(), VecDeque::new(), Stage::Opening);
        let (dealt, acked, rest, last, unkept) = (0, 0, false, None, 0);
        Reader {
            found,
            keep,
            shared,
            peers,
            dealt,
            acked,
            early,
            places,
            last,
            rest,
            unkept,
            stage,
        }
    }

    /// Deals one block, if there is one and the workers are not behind. Returns whether it did something.
    pub(crate) fn step(&mut self, feed: &mut Feed) -> Result<bool, EngineError> {
        let acked = std::mem::take(&mut *feed.acked.borrow_mut());
        self.collect(acked)?;
        match &self.stage {
            Stage::Opening => {}
            Stage::Reading if self.dealt - self.acked < BLOCKS_AHEAD * self.peers as u64 => {}
            Stage::Ending(_) if self.dealt == self.acked => return self.end(feed),
            _ => return Ok(false),
        }
        match self.found.try_recv() {
            Ok(FromReader::Opened) => {
                self.stage = Stage::Reading;
                feed.broadcast(Control::Begin);
            }
            Ok(FromReader::Rows(block, range, place)) => {
                let to = (self.dealt % self.peers as u64) as usize;
                feed.deal(to, Data::Rows { number: self.dealt, block, range });
                self.dealt += 1;
                self.places.push_back(Some(place));
            }
            Ok(FromReader::Known(refused, place)) => {
                // As if a worker had entered it, so that refused rows are kept in the order of the source.
                self.early.insert(self.dealt, refused);
                self.dealt += 1;
                self.places.push_back(Some(place));
                self.collect(Vec::new())?;
            }
            Ok(FromReader::Rest(block)) => {
                feed.deal(READER, Data::Rest { number: self.dealt, block });
                self.dealt += 1;
                self.places.push_back(None);
                self.rest = true;
            }
            Ok(FromReader::Floor(floor)) => feed.broadcast(Data::Floor { source: SOURCE, floor }),
            Ok(FromReader::Failed(error)) => self.stage = Stage::Ending(Err(error)),
            Ok(FromReader::End(place)) => {
                self.last = place;
                self.stage = Stage::Ending(Ok(()));
            }
            // Interrupted: what the thread still finds, if it is not waiting for input, is not taken.
            Err(_) if self.shared.is_interrupted() => {
                if matches!(self.stage, Stage::Opening) {
                    feed.broadcast(Control::Begin);
                }
                self.stage = Stage::Ending(Ok(()));
            }
            Err(mpsc::TryRecvError::Empty) => return Ok(false),
            Err(mpsc::TryRecvError::Disconnected) => {
                let message = "the reading thread ended early".to_owned();
                self.stage = Stage::Ending(Err(EngineError::Failed { message }));
            }
        }
        Ok(true)
    }

    /// Collects what had entered when the workers stopped. Without an end of the source, one of them may have entered a
    /// block that comes behind one which another has not.
    pub(crate) fn settle(&mut self, feed: &Feed) -> Result<(), EngineError> {
        let acked = std::mem::take(&mut *feed.acked.borrow_mut());
        self.collect(acked)?;
        if !self.early.is_empty() {
            self.shared.leave_holes();
        }
        Ok(())
    }

    fn end(&mut self, feed: &mut Feed) -> Result<bool, EngineError> {
        if let Stage::Ending(result) = std::mem::replace(&mut self.stage, Stage::Ended) {
            if self.unkept > 0 {
                let refused = self.unkept;
                tracing::warn!(
                    refused,
                    "rows were refused, and are kept nowhere: Engine::refused takes them"
                );
            }
            result?;
            self.last.take().into_iter().for_each(|place| self.shared.set_place(place));
            // It has entered: it was acknowledged.
            let tick = self.shared.wanted.load(Ordering::Acquire);
            let end = if self.rest { Data::Rested { tick } } else { Data::End { source: SOURCE } };
            feed.broadcast(end);
        }
        Ok(true)
    }

    /// Keeps refused rows in the order of the source, whichever worker refused them first.
    fn collect(&mut self, acked: Vec<Ack>) -> Result<(), EngineError> {
        for ack in acked {
            self.early.insert(ack.number, ack.refused);
        }
        while let Some(refused) = self.early.remove(&self.acked) {
            self.acked += 1;
            let place = self.places.pop_front().expect("each block that was dealt has a place");
            place.into_iter().for_each(|place| self.shared.set_place(place));
            self.shared.refused.fetch_add(refused.len() as u64, Ordering::Relaxed);
            match &mut self.keep {
                Some(keep) => refused.iter().try_for_each(keep)?,
                None => self.tell(&refused),
            }
        }
        Ok(())
    }

    /// Tells the first refused rows where nobody keeps them.
    fn tell(&mut self, refused: &[Refused]) {
        let untold = REFUSED_TOLD.saturating_sub(self.unkept) as usize;
        for Refused { line, reason, .. } in refused.iter().take(untold) {
            tracing::warn!(line, reason, "a row is refused, and kept nowhere");
        }
        self.unkept += refused.len() as u64;
    }
}

/// How many threads cut rows beside so many workers: more would wait for the one that reads.
fn cutters(workers: usize) -> usize {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    workers.min(processors).min(CUTTERS_MAX)
}

/// Reads a source to its end, if there is one. Blocks stop where a day of some view ends, so that which
/// events are late depends on the order of the source alone. What the log has already is read and not
/// dealt: it moves the clock as it did.
fn read_all(
    source: Option<Box<dyn Blocks>>,
    shared: &Shared,
    known: &Known,
    send: impl Fn(FromReader) -> bool,
) {
    let Some(source) = source else {
        send(FromReader::End(None));
        return;
    };
    let mut reading = Reading::new(source, shared, known);
    // What lies before a part that the log has is held back until that part is found to be the same.
    let mut held = Vec::new();
    loop {
        let found = reading.next().unwrap_or_else(|error| {
            held.clear();
            Some(FromReader::Failed(error.into()))
        });
        let (clock, floor) = (reading.source.clock(), reading.watermark);
        shared.set_read(reading.source.progress(), clock, floor);
        let Some(found) = found else {
            // One that waits for its time has nothing to send, and would not learn that nobody listens.
            if shared.is_interrupted() || shared.failed.load(Ordering::Acquire) {
                return;
            }
            continue;
        };
        let last = matches!(found, FromReader::End(_) | FromReader::Failed(_));
        if last {
            shared.end_read();
        }
        held.push(found);
        if reading.awaits_known() && !last {
            continue;
        }
        let gone = held.drain(..).any(|found| !send(found));
        if gone || last || shared.is_interrupted() {
            return;
        }
    }
}

/// A source that is being read, and what the log has of it.
struct Reading<'a> {
    source: Box<dyn Blocks>,
    shared: &'a Shared,
    known: &'a Known,
    watermark: EventTime,
    /// When rows came last, on the wall clock.
    heard: EventTime,
    /// Where the next block begins.
    from: u64,
    /// The next committed part, and the next committed refusal.
    part: usize,
    refusal: usize,
    /// How far the last line without its end has come, if there is one.
    rest: Rest,
    pacer: Pacer,
}

/// What has been told of a last line without its end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rest {
    None,
    /// All days before it close, as they do at the end.
    Found,
    /// It is told.
    Told,
}

impl<'a> Reading<'a> {
    fn new(source: Box<dyn Blocks>, shared: &'a Shared, known: &'a Known) -> Reading<'a> {
        let from = known.prefix.as_ref().map_or(0, SourcePosition::at);
        let refusal = known.refused_in_prefix;
        let pacer = Pacer::new(source.pace());
        let (watermark, rest, heard) = (shared.floor, Rest::None, shared.clock.now());
        Reading { source, shared, known, watermark, heard, from, part: 0, refusal, rest, pacer }
    }

    /// Whether the log has a part that is still to come. What lies before it is as much as workers had not
    /// committed: a few blocks for each.
    fn awaits_known(&self) -> bool {
        self.part < self.known.committed.len()
    }

    /// Reads on. `None`: there was nothing to tell of what was read.
    fn next(&mut self) -> Result<Option<FromReader>, SourceError> {
        if self.rest == Rest::Found {
            return Ok(Some(self.rest()?));
        }
        let views: &[View] = &self.shared.views;
        let clock = views.iter().map(|view| view.next_floor(self.watermark)).min();
        let clock = clock.unwrap_or(EventTime::MAX);
        let part = self.known.committed.get(self.part);
        let inside = part.is_some_and(|part| part.from <= self.from);
        let bytes = part.map_or(u64::MAX, |part| if inside { part.to.at() } else { part.from });
        // What the log has was played already.
        let due = if part.is_some() { EventTime::MAX } else { self.pacer.due() };
        let now = self.shared.clock.now();
        let limit = ReadLimit { rows: BLOCK_ROWS, clock: clock.min(due), bytes, now };
        let read = self.source.read(limit)?;
        if let Read::Rows(_) = read {
            self.heard = now;
        }
        Ok(match read {
            Read::Rows(_) if inside => None,
            Read::Rows(block) => {
                let place = self.source.place();
                let range = range(SOURCE, self.from, &place);
                self.from = place.at();
                Some(FromReader::Rows(block, range, place))
            }
            Read::AtClock { clock } if clock >= due => {
                self.pacer.wait(clock);
                None
            }
            Read::AtClock { clock } => Some(self.allow(clock)),
            Read::AtBytes => self.pass_known()?,
            // Those of the log were whole rows, and are not there.
            Read::Later
                if let Some(part) = part
                    && self.source.has_its_past() =>
            {
                return Err(self.changed(&part.to));
            }
            Read::Later => match self.quiet(now) {
                Some(watermark) if watermark >= clock => Some(self.allow(watermark)),
                _ => {
                    std::thread::sleep(POLL);
                    None
                }
            },
            Read::Rest => self.before_rest(),
            Read::End if self.rest == Rest::Told => Some(FromReader::End(None)),
            Read::End => match part {
                Some(part) => return Err(self.changed(&part.to)),
                None => Some(self.end()),
            },
        })
    }

    /// Days before this may close.
    fn allow(&mut self, watermark: EventTime) -> FromReader {
        self.watermark = watermark;
        let floors = self.shared.views.iter().map(|view| view.floor_at(watermark));
        FromReader::Floor(floors.max().unwrap_or(EventTime::MIN))
    }

    /// Up to where days close by the wall clock, if the source has brought nothing for a while.
    fn quiet(&self, now: EventTime) -> Option<EventTime> {
        let after = i64::try_from(self.source.quiet_after()?.as_millis()).unwrap_or(i64::MAX);
        (now.saturating_sub(self.heard) >= after).then(|| now.saturating_sub(after))
    }

    /// Closes what has events before a last line without its end; first, what is left of the content before it.
    fn before_rest(&mut self) -> Option<FromReader> {
        let place = self.source.place();
        if place.at() != self.from {
            return Some(self.blank(place));
        }
        self.rest = Rest::Found;
        let latest = self.source.latest();
        let closing = |view: &View| {
            view.upper(view.closing(view.calendar().day_of(latest), self.watermark).day)
        };
        let floor = self.shared.views.iter().map(closing).max()?;
        (latest > EventTime::MIN).then_some(FromReader::Floor(floor))
    }

    /// The last line without its end.
    fn rest(&mut self) -> Result<FromReader, SourceError> {
        self.rest = Rest::Told;
        self.source.hold_rest(false);
        let now = self.shared.clock.now();
        let limit = ReadLimit { rows: 1, clock: EventTime::MAX, bytes: u64::MAX, now };
        Ok(match self.source.read(limit)? {
            Read::Rows(block) => FromReader::Rest(block),
            _ => FromReader::End(None),
        })
    }

    /// The end; before it, what is left of the content: a header without rows, or blank lines.
    fn end(&mut self) -> FromReader {
        let place = self.source.place();
        if place.at() == self.from {
            return FromReader::End(Some(place));
        }
        // A header without the end of its line may be half of one, and is read again.
        if place.is_unfinished() {
            return FromReader::End(None);
        }
        self.blank(place)
    }

    /// Content without rows: a header, or blank lines.
    fn blank(&mut self, place: SourcePosition) -> FromReader {
        let range = range(SOURCE, self.from, &place);
        self.from = place.at();
        FromReader::Rows(RowBlock::default(), range, place)
    }

    /// Passes the beginning or the end of a part that the log has.
    fn pass_known(&mut self) -> Result<Option<FromReader>, SourceError> {
        let part = &self.known.committed[self.part];
        if self.from < part.from {
            self.from = part.from;
            return Ok(None);
        }
        let place = self.source.place();
        if place != part.to {
            return Err(self.changed(&part.to));
        }
        let refused = &self.known.refused[self.refusal..];
        let count = refused.partition_point(|row| is_before(row, &place));
        self.refusal += count;
        self.part += 1;
        self.from = place.at();
        Ok(Some(FromReader::Known(refused[..count].to_vec(), place)))
    }

    /// The source is not any more what the log has of it.
    fn changed(&self, expected: &SourcePosition) -> SourceError {
        SourceError::Changed {
            name: self.source.name().to_owned(),
            expected: expected.to_string(),
            found: self.source.place().to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::clock::Clock;
    use crate::engine::recover::resume::Known;
    use crate::source::{CsvOptions, CsvSource, Input};

    fn open(content: &str) -> CsvSource {
        let bytes = std::io::Cursor::new(content.to_owned().into_bytes());
        CsvSource::open(Input::reader("test", bytes), CsvOptions::new("t")).unwrap()
    }

    /// What is found in `content` by those who have the rows with times 2 and 3 already.
    fn found(content: &str) -> Vec<String> {
        let mut source = open("t,k\n0,a\n1,b\n2,c\n3,d\n4,e\n");
        let mut read = |rows| {
            let limit =
                ReadLimit { rows, clock: EventTime::MAX, bytes: u64::MAX, now: EventTime::MAX };
            assert!(matches!(source.read(limit), Ok(Read::Rows(_))));
            source.place()
        };
        let (begin, end) = (read(2), read(2));
        let ranges = [range(SOURCE, begin.at(), &end)];
        let refused = Refused { line: 4, reason: "no".to_owned(), row: Vec::new() };
        let known = Known::new(&ranges, vec![refused]).unwrap();
        let shared = Shared::new(vec![], 1, EventTime::MIN, 0, Clock::default(), Arc::default());
        let told = std::cell::RefCell::new(Vec::new());
        read_all(Some(Box::new(open(content))), &shared, &known, |found| {
            told.borrow_mut().push(match found {
                FromReader::Rows(block, range, _) => {
                    format!("{} rows, {} to {}", block.len(), range.from, range.to)
                }
                FromReader::Known(refused, consumed) => {
                    format!("{} refused, known to {}", refused.len(), consumed.at())
                }
                FromReader::Failed(error) => error.to_string(),
                FromReader::End(_) => "end".to_owned(),
                FromReader::Opened | FromReader::Floor(_) | FromReader::Rest(_) => {
                    panic!("neither is found here")
                }
            });
            true
        });
        told.into_inner()
    }

    #[test]
    fn what_the_log_has_is_read_and_not_dealt() {
        assert_eq!(
            found("t,k\n0,a\n1,b\n2,c\n3,d\n4,e\n5,f\n"),
            ["2 rows, 0 to 12", "1 refused, known to 20", "2 rows, 20 to 28", "end"]
        );
    }

    #[test]
    fn nothing_is_dealt_before_what_the_log_has_is_found_to_be_the_same() {
        // In the hole, in the known part, and cut short within it.
        for changed in
            ["t,k\n0,x\n1,b\n2,c\n3,d\n4,e\n", "t,k\n0,a\n1,b\n2,c\n3,x\n", "t,k\n0,a\n1,b\n2,c\n"]
        {
            let found = found(changed);
            let [only] = &found[..] else { panic!("{found:?}") };
            assert!(only.contains("has changed"), "{only}");
        }
    }
}
