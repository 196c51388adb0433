//! The worker that reads a source: it deals blocks in turn, and decides when the floor moves.

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

/// The number of rows of a block: large enough that dealing costs little, small enough that workers share a day.
const BLOCK_ROWS: usize = 4_096;

/// The maximum number of threads that cut rows.
const CUTTERS_MAX: usize = 8;

/// How far the reading thread may be ahead of the dealing worker, in messages.
const FOUND_AHEAD: usize = 8;

/// The number of blocks per worker that are dealt and not yet entered. It bounds how far the reader runs ahead.
const BLOCKS_AHEAD: u64 = 4;

/// The number of refused rows that are logged as messages if nobody keeps them.
const REFUSED_TOLD: u64 = 5;

/// How long the reading thread sleeps at the end of a file that is followed.
const POLL: Duration = Duration::from_millis(50);

/// An opened source, if there is one.
pub(crate) type Opened = Result<Option<Box<dyn Blocks>>, EngineError>;
pub(crate) type OpenSource = dyn FnOnce(Option<&Store>, &Known) -> Opened + Send;
pub(crate) type Parse<E> = dyn Fn(&Row<'_>) -> Result<E, String> + Send + Sync;
pub(crate) type Keep = dyn FnMut(&Refused) -> Result<(), EngineError> + Send;

/// The input that an engine was given to read.
pub(crate) struct Feeding<E> {
    pub(crate) open: Box<OpenSource>,
    pub(crate) parse: Arc<Parse<E>>,
    pub(crate) refused: Option<Box<Keep>>,
}

/// The messages of the reading thread, in the order of the source.
enum FromReader {
    /// The source is open, or there is none.
    Opened,
    /// Rows, their range, and the position of the source after them.
    Rows(RowBlock, SourceRange, SourcePosition),
    /// The log has what follows: its refused rows, and the position of the source after it.
    Known(Vec<Refused>, SourcePosition),
    /// The next row is beyond the end of a day of some view: days up to this floor may close.
    Floor(EventTime),
    /// The last line, which has no end: more of it may still be written.
    Rest(RowBlock),
    End(Option<SourcePosition>),
    Failed(EngineError),
}

/// Deals what its own thread reads: reading may block, and a worker must not.
pub(crate) struct Reader {
    found: mpsc::Receiver<FromReader>,
    keep: Option<Box<Keep>>,
    shared: Arc<Shared>,
    peers: usize,
    dealt: u64,
    acked: u64,
    /// Acknowledged blocks that come after ones that are not.
    early: BTreeMap<u64, Vec<Refused>>,
    /// The position of the source after each block that is not acknowledged; `None` after a last line without its end,
    /// from which no run continues.
    places: VecDeque<Option<SourcePosition>>,
    /// The position at its end.
    last: Option<SourcePosition>,
    /// Whether a last line without its end was dealt.
    rest: bool,
    /// The number of refused rows that nobody keeps.
    unkept: u64,
    stage: Stage,
}

enum Stage {
    Opening,
    Reading,
    /// The source has ended, with or without an error. This is announced once every block has entered, so that all
    /// refused rows before it are kept by then.
    Ending(Result<(), EngineError>),
    Ended,
}

impl Reader {
    /// Starts to open and read.
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
            // If nobody listens any more, the engine is stopping.
            let send = |found| {
                let gone = sender.send(found).is_err();
                worker.unpark();
                !gone
            };
            let source = open(archive.store().map(Arc::as_ref), &known);
            // Reading may block long after the engine has ended, and the folder must be free by then.
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
                // Treated as if a worker had entered it, so that refused rows are kept in the order of the source.
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
            // After an interruption, nothing more is taken from the thread, whether it waits for input or not.
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

    /// Collects what had entered when the workers stopped. If the source has not ended, a worker may have entered a
    /// block that comes after one that another worker has not entered.
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
            // It was acknowledged, so it has entered.
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

    /// Logs the first refused rows as messages if nobody keeps them.
    fn tell(&mut self, refused: &[Refused]) {
        let untold = REFUSED_TOLD.saturating_sub(self.unkept) as usize;
        for Refused { line, reason, .. } in refused.iter().take(untold) {
            tracing::warn!(line, reason, "a row is refused, and kept nowhere");
        }
        self.unkept += refused.len() as u64;
    }
}

/// The number of threads that cut rows for this many workers: on the processors that workers leave free, but at least
/// half as many as workers, which have more to do for each row. More would only wait, or keep workers waiting.
fn cutters(workers: usize) -> usize {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let free = processors.saturating_sub(workers).max(workers / 2);
    workers.min(free).clamp(1, CUTTERS_MAX)
}

/// Reads a source to its end, if there is one. A block ends where a day of some view ends, so that the order of the
/// source alone determines which events are late. Rows that the log has already are read and not dealt: they move the
/// clock as they did before.
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
            // A thread that waits for the time of a row sends nothing, so it would not notice that nobody listens.
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
    /// When rows came last, by the wall clock.
    heard: EventTime,
    /// The beginning of the next block.
    from: u64,
    /// The next committed part, and the next committed refusal.
    part: usize,
    refusal: usize,
    /// The state of the last line without its end, if there is one.
    rest: Rest,
    pacer: Pacer,
}

/// What has been announced about a last line without its end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rest {
    None,
    /// All days before it close, as at the end.
    Found,
    /// It is announced.
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

    /// Whether a part that the log has is still to come. The content before it is what workers had not committed: a few
    /// blocks for each.
    fn awaits_known(&self) -> bool {
        self.part < self.known.committed.len()
    }

    /// Reads on. `None`: what was read needs no message.
    fn next(&mut self) -> Result<Option<FromReader>, SourceError> {
        if self.rest == Rest::Found {
            return Ok(Some(self.rest()?));
        }
        let views: &[View] = &self.shared.views();
        let clock = views.iter().map(|view| view.next_floor(self.watermark)).min();
        let clock = clock.unwrap_or(EventTime::MAX);
        let part = self.known.committed.get(self.part);
        let inside = part.is_some_and(|part| part.from <= self.from);
        let bytes = part.map_or(u64::MAX, |part| if inside { part.to.at() } else { part.from });
        // What the log has was played back already.
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
            // The rows of the log were complete, and are not there.
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

    /// Notes that days before this may close.
    fn allow(&mut self, watermark: EventTime) -> FromReader {
        self.watermark = watermark;
        let views = self.shared.views();
        let floors = views.iter().map(|view| view.floor_at(watermark));
        FromReader::Floor(floors.max().unwrap_or(EventTime::MIN))
    }

    /// The floor up to which days close by the wall clock, if the source has brought nothing for a while.
    fn quiet(&self, now: EventTime) -> Option<EventTime> {
        let after = i64::try_from(self.source.quiet_after()?.as_millis()).unwrap_or(i64::MAX);
        (now.saturating_sub(self.heard) >= after).then(|| now.saturating_sub(after))
    }

    /// Closes the days that have events before a last line without its end. The rest of the content before the line
    /// comes first.
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
        let floor = self.shared.views().iter().map(closing).max()?;
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

    /// The end. Before it comes the rest of the content: a header without rows, or blank lines.
    fn end(&mut self) -> FromReader {
        let place = self.source.place();
        if place.at() == self.from {
            return FromReader::End(Some(place));
        }
        // A header without the end of its line may be incomplete, and is read again.
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

    /// The error that the source has changed since it was logged.
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

    /// What a program that already has the rows with times 2 and 3 finds in `content`.
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
        let read = (Arc::default(), false);
        let shared =
            Shared::new(vec![], 1, EventTime::MIN, 0, Clock::default(), Arc::default(), read);
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
        // The changes are in the hole, in the known part, and a cut within it.
        for changed in
            ["t,k\n0,x\n1,b\n2,c\n3,d\n4,e\n", "t,k\n0,a\n1,b\n2,c\n3,x\n", "t,k\n0,a\n1,b\n2,c\n"]
        {
            let found = found(changed);
            let [only] = &found[..] else { panic!("{found:?}") };
            assert!(only.contains("has changed"), "{only}");
        }
    }
}
