//! One worker of an engine: the loop that turns blocks into ticks.

mod answering;
mod changing;
mod inputs;
mod joining;
mod live;
mod once;
mod partitions;
mod recovering;
mod resting;
mod room;

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use timely::worker::Worker;

use super::ask::asking::WorkerView;
use super::change::Order;
use super::clock::TickClock;
use super::cuts::Positions;
use super::error::{Outcome, in_full, outcome_of};
use super::ingest::batch::Batch;
use super::ingest::deal::{Control, Data};
use super::ingest::feed::{Ack, Feed, READER};
use super::ingest::floors::Floors;
use super::ingest::owner::Owner;
use super::ingest::partitions::ShareReader;
use super::ingest::reader::{Feeding, Reader};
use super::recover::replay::FromLog;
use super::shared::Held;
use super::start::Start;
use super::upkeep::log_end::LogEnd;
use super::upkeep::tasks::Tasks;
use crate::log::{Entry, LogError, LogWriter, SourceRange};
use crate::moment::Moment;
use crate::source::{Refused, RowBlock};
use crate::speed::{Counts, Room};
use crate::time::{Day, EventTime};
use inputs::{Fed, Inputs};
use joining::{CLOSED_AHEAD, HELD_MOST, Joining, TICKS_IN_FLIGHT};

/// How often the numbers for [`Running::progress`] are updated.
const PUBLISH_EVERY: Duration = Duration::from_millis(20);

/// How often a worker without events lets the ticks of others pass, if it is not told to.
const IDLE_ADVANCE: Duration = Duration::from_millis(10);

/// The most blocks and floors of a source that a worker deals in one turn.
const DEALT_AT_ONCE: usize = 16;

/// The bytes that may wait to be written to a worker's log before the worker takes in more.
const LOG_WAITING: usize = 64 << 20;

/// A worker at work.
pub(super) struct Turning<'a, E: Send + Sync + 'static> {
    worker: &'a mut Worker,
    start: &'a Start<E>,
    feed: Feed,
    reader: Option<Reader>,
    shares: Vec<ShareReader<E>>,
    log: Option<LogWriter<E>>,
    /// The rest of this worker's share of the log.
    replay: Option<mpsc::Receiver<FromLog<E>>>,
    inputs: Inputs<E>,
    views: Vec<Box<dyn WorkerView>>,
    /// The views that are being added.
    joining: Option<Joining<E>>,
    /// Orders to remove views, and their dataflows that have not ended yet.
    leaving: Vec<(Arc<Order<E>>, Vec<usize>)>,
    /// What is complete on all workers: nothing before this moment can arrive. `None` at the end.
    reached: Option<Moment>,
    tasks: Tasks,
    owner: Option<Owner<E>>,
    clock: TickClock,
    /// The moment at which the next events enter.
    now: Moment,
    floors: Floors,
    /// How much more this worker can take, as last reported to the others; and the floor that it requested last.
    room: Room,
    raised: EventTime,
    /// Whether pushes are held back, on the first worker of a process with a live source.
    holding: bool,
    /// On the first worker of a process with a live source: its number, and the watermark at which the floor moves
    /// next.
    live: Option<(usize, EventTime)>,
    /// The number of queries that this worker had looked up before its last turn.
    answered: u64,
    /// Incomplete ticks, and when they entered.
    in_flight: VecDeque<(Moment, Instant)>,
    /// Whether the run has begun, also in the data folder; nothing enters before.
    begun: bool,
    /// Whether everything from before the start of the program is in, on all workers.
    recovered: bool,
    /// How far the partitions of this worker are, and whether that was told when it began.
    entered: Positions,
    has_told: bool,
    advanced: Instant,
    /// When something last happened here.
    lively: Instant,
    published: Instant,
    finished: bool,
    /// The moment up to which a last line without its end has entered, until it is visible and everything before it is
    /// sealed.
    rested: Option<Moment>,
}

impl<'a, E: Send + Sync + 'static> Turning<'a, E> {
    pub(super) fn new(worker: &'a mut Worker, start: &'a Start<E>) -> Self {
        let mut feed = Feed::new(worker);
        let (index, peers) = (worker.index(), worker.peers());
        let local = index % start.shared.threads;
        let log = start.log.as_ref().map(|log| log.writer(&start.shared, index as u32));
        let place = start.log.as_ref().zip(log.as_ref());
        let place = place.map(|(logging, log)| (log.handle(), logging.codec.clone()));
        start.shared.waits.register(local, place.as_ref().map(|(log, _)| log.clone()));
        let log_end = place.as_ref().zip(start.archive.store()).zip(start.log_kept.clone());
        let log_end = log_end.map(|(((log, _), store), keep)| {
            let views = start.shared.views().to_vec();
            LogEnd::new(keep, store, views, log.clone(), (index, peers))
        });
        let built = start.views.iter();
        let built = built.map(|view| Fed::build(worker, view, &start.archive, place.as_ref()));
        let (fed, views): (Vec<_>, Vec<_>) = built.unzip();
        let mut inputs = Inputs::new(fed);
        if start.live.is_some() {
            views.iter().for_each(|view| view.status().has_door());
        }
        start.shared.register(std::thread::current());
        let reader = open(index, peers, start, &mut feed);
        let shares = open_shares(index, peers, start);
        let replay = start.log.as_ref().map(|log| log.replay(&start.shared, index));
        let mut clock = TickClock::new(start.log.as_ref().map_or(0, |log| log.tick));
        // No day closes before everything in the log is back.
        let floor = if replay.is_some() { EventTime::MIN } else { start.shared.floor };
        let now = Moment::new(floor, clock.next());
        inputs.advance_to(now);
        let process = index / start.shared.threads;
        let floor = start.shared.floor;
        let floors = Floors::new(start.sources(peers / start.shared.threads), floor);
        let live =
            (start.live.is_some() && local == 0).then(|| (start.live_source(process), floor));
        start.live.iter().for_each(|queue| queue.register());
        let (in_flight, turn) = (VecDeque::new(), Instant::now());
        Turning {
            worker,
            start,
            feed,
            reader,
            shares,
            log,
            replay,
            inputs,
            views,
            joining: None,
            leaving: Vec::new(),
            reached: Some(Moment::MIN),
            tasks: Tasks::new(index, peers, log_end),
            owner: start.log.as_ref().map(|log| log.owner(&start.shared, index, peers)),
            clock,
            now,
            floors,
            room: Room::default(),
            raised: EventTime::MIN,
            holding: false,
            live,
            answered: 0,
            in_flight,
            begun: false,
            recovered: false,
            entered: Positions::new(),
            has_told: false,
            advanced: turn,
            lively: turn,
            published: turn,
            finished: false,
            rested: None,
        }
    }

    pub(super) fn run(mut self) -> Outcome {
        let outcome = loop {
            if let Some(outcome) = self.turn() {
                break outcome;
            }
        };
        if outcome.is_orderly() {
            self.settle_changes();
        } else {
            self.start.shared.stopping(&outcome);
            self.start.live.iter().for_each(|queue| queue.close());
        }
        self.publish();
        if !outcome.is_orderly() || self.feed.leave.get() {
            self.views.iter().for_each(|view| view.status().abandon());
        }
        self.feed.close();
        self.inputs.close();
        // No query is answered from an incomplete state.
        let mut is_asked = !outcome.is_orderly() || !self.recovered;
        if is_asked {
            self.views.iter_mut().for_each(|view| view.close(None));
        }
        while outcome.is_orderly() && self.worker.has_dataflows() {
            if !is_asked {
                is_asked = self.answer_last();
            }
            self.worker.step_or_park(Some(IDLE_ADVANCE));
            // If sealing fails on one worker, all others would wait.
            if let Some(error) = self.error() {
                return Outcome::Failed(error);
            }
            if self.start.shared.failed.load(Ordering::Acquire) {
                return Outcome::Failed("another worker failed while stopping".to_owned());
            }
        }
        // The last entries are acknowledged only now.
        if outcome.is_orderly()
            && let Some(reader) = &mut self.reader
            && let Err(error) = reader.settle(&self.feed)
        {
            return outcome_of(&error);
        }
        // Sealing may have ended only now.
        self.note_finished();
        // The log now writes what it has not written yet.
        let log = self.log.as_ref().map(LogWriter::handle);
        self.log = None;
        if outcome.is_orderly()
            && let Some(error) = log.and_then(|log| log.error())
        {
            return Outcome::Failed(in_full(&error));
        }
        if outcome.is_orderly() {
            self.start.shared.waits.tell_end(self.worker.index() % self.start.shared.threads);
        }
        outcome
    }

    /// One turn of the loop. Returns the outcome if the worker has to stop.
    fn turn(&mut self) -> Option<Outcome> {
        let read = self.read() | self.recover();
        if self.feed.begin.take() {
            self.begin();
        }
        let changed = self.change();
        self.watch_clock();
        self.watch_room();
        let entered = self.enter();
        self.advance();
        let asked = self.answer() | self.has_answered();
        self.tasks.step(&mut self.views, &mut self.feed);
        if self.recovered {
            self.tasks.step_log(&mut self.views, &mut self.feed);
        }
        let passed = self.pass_once();
        self.step(read || changed || entered || asked || passed);
        while let Some((moment, entered)) = self.in_flight.front()
            && !self.inputs.less_equal(moment)
        {
            self.start.shared.completed(entered.elapsed());
            self.in_flight.pop_front();
        }
        self.watch();
        self.feed.stop.take()
    }

    /// Deals the blocks that were read, on the worker that has the source: as many as there are, because others have
    /// nothing to do while this one enters its own.
    fn read(&mut self) -> bool {
        let Some(reader) = &mut self.reader else { return false };
        let mut has_dealt = false;
        for _ in 0..DEALT_AT_ONCE {
            match reader.step(&mut self.feed) {
                Ok(true) => has_dealt = true,
                Ok(false) => break,
                Err(error) => {
                    self.feed.ask_to_stop(outcome_of(&error));
                    self.reader = None;
                    return false;
                }
            }
        }
        has_dealt
    }

    /// Enters what was dealt to this worker, as one tick under one floor.
    fn enter(&mut self) -> bool {
        let log_behind = |log: &LogWriter<E>| log.handle().waiting_bytes() > LOG_WAITING;
        if !self.begun
            || self.replay.is_some()
            || self.log.as_ref().is_some_and(log_behind)
            || self.in_flight.len() >= TICKS_IN_FLIGHT
            || self.is_sealing_behind()
            || self.is_full()
        {
            return false;
        }
        if !std::mem::replace(&mut self.has_told, true) {
            self.start.shared.cuts.began(self.worker.index(), self.now.floor);
        }
        let mut rows = 0;
        while rows < self.start.tick_rows {
            let Some(deal) = self.feed.inbox.borrow_mut().pop_front() else { break };
            match deal {
                Data::Rows { number, block, range } => {
                    rows += self.enter_block(number, block, Some(range));
                }
                // It must not be part of a tick that is logged.
                Data::Rest { .. } if rows > 0 => {
                    self.feed.inbox.borrow_mut().push_front(deal);
                    break;
                }
                Data::Rest { number, block } => {
                    rows += self.enter_block(number, block, None);
                    break;
                }
                Data::Rested { tick } => self.rested = Some(Moment::new(self.now.floor, tick)),
                // The tick so far belongs under the old floor.
                Data::Floor { .. } | Data::Quiet { .. } | Data::End { .. } if rows > 0 => {
                    self.feed.inbox.borrow_mut().push_front(deal);
                    break;
                }
                Data::Floor { source, floor } => {
                    let floor = self.floors.allow(source, floor);
                    self.raise_floor(floor);
                }
                Data::Quiet { source, floor } => {
                    let floor = self.floors.quiet(source, floor);
                    self.raise_floor(floor);
                }
                Data::End { source } => match self.ended(source) {
                    None => {
                        self.tell_positions(EventTime::MAX);
                        self.inputs.close();
                    }
                    floor => self.raise_floor(floor),
                },
            }
        }
        // Floors pass all the same, because other workers may wait for them.
        let most = if self.inputs.holds_more_than(HELD_MOST) { 0 } else { self.start.tick_rows };
        rows += self.enter_live(most.saturating_sub(rows));
        rows += self.enter_shares(most.saturating_sub(rows));
        rows += self.enter_once(most.saturating_sub(rows));
        if rows > 0 {
            self.end_tick();
        }
        rows > 0
    }

    /// Whether closed days wait for a disk, on any worker. Sealing them needs no further events, so waiting for it
    /// always ends.
    fn is_sealing_behind(&self) -> bool {
        self.views.iter().any(|view| view.status().closed() > CLOSED_AHEAD)
    }

    /// Ends a tick with events, and makes the others let it pass.
    fn end_tick(&mut self) {
        let tick = self.now;
        self.in_flight.push_back((tick, Instant::now()));
        self.start.shared.wanted.fetch_max(tick.tick, Ordering::AcqRel);
        let next = self.clock.next();
        self.advance_to(Moment::new(tick.floor, next));
        if self.worker.peers() > 1 {
            self.start.shared.wake();
        }
    }

    /// Lets events in from now on.
    fn begin(&mut self) {
        match self.start.shared.begin(self.start.archive.store()) {
            Ok(()) => self.begun = true,
            Err(message) => self.feed.ask_to_stop(Outcome::Failed(message)),
        }
    }

    fn ended(&mut self, source: usize) -> Option<EventTime> {
        tracing::debug!(worker = self.worker.index(), source, "a source has ended");
        self.floors.end(source)
    }

    fn raise_floor(&mut self, floor: Option<EventTime>) {
        if let Some(floor) = floor.filter(|floor| *floor > self.now.floor) {
            tracing::debug!(worker = self.worker.index(), floor, "days up to this floor close");
            self.start.shared.closing.fetch_max(floor, Ordering::AcqRel);
            self.start.shared.readers.wake();
            self.tell_positions(floor);
            let tick = self.clock.next();
            self.advance_to(Moment::new(floor, tick));
        }
    }

    /// Enters the rows of a block; without a range they are not logged.
    fn enter_block(
        &mut self,
        number: u64,
        mut block: RowBlock,
        range: Option<SourceRange>,
    ) -> usize {
        let parse = self.start.parse.as_ref().expect("blocks come from a source that was given");
        let mut events = Vec::with_capacity(block.len());
        let mut refused: Vec<Refused> = std::mem::take(&mut block.refused);
        for row in block.iter() {
            match parse(&row) {
                Ok(event) => events.push(event),
                Err(reason) => refused.push(Refused::new(row, reason)),
            }
        }
        refused.sort_by_key(|refused| refused.line);
        let rows = events.len() + refused.len();
        self.start.shared.events.fetch_add(events.len() as u64, Ordering::Relaxed);
        if !refused.is_empty() {
            self.inputs.count(Counts::refused(refused.len() as u64));
        }
        let events = Arc::new(events);
        let entry = range.map(|range| Entry {
            moment: self.now,
            events: Arc::clone(&events),
            ranges: vec![range],
            extents: Vec::new(),
            refused: refused.clone(),
            refused_elsewhere: 0,
            once: None,
        });
        // If the log has failed, the engine is about to stop, and none of this is acknowledged.
        if entry.is_none_or(|entry| log_entry(&mut self.log, entry).is_ok()) {
            self.inputs.send(&Batch::new(events), self.now.floor);
        }
        self.feed.ack(READER, Ack { number, refused });
        rows
    }

    /// Moves on if another worker waits for this one: it must never hold back the ticks of others.
    fn advance(&mut self) {
        let mut wanted = self.start.shared.wanted.load(Ordering::Acquire);
        for newest in self.views.iter().filter_map(|view| view.status().newest()) {
            if newest.floor == self.now.floor {
                wanted = wanted.max(newest.tick);
            }
        }
        let is_wanted = wanted >= self.now.tick;
        if is_wanted {
            self.lively = Instant::now();
        }
        if is_wanted || self.advanced.elapsed() >= self.idle_advance() {
            let tick = self.clock.beyond(wanted);
            self.advance_to(Moment::new(self.now.floor, tick));
        }
    }

    fn advance_to(&mut self, moment: Moment) {
        self.now = moment;
        self.advanced = Instant::now();
        self.inputs.advance_to(moment);
    }

    /// Why this worker cannot go on, if it cannot.
    fn error(&self) -> Option<String> {
        let of_view = self.views.iter().find_map(|view| view.error());
        let of_log = || self.log.as_ref()?.handle().error().map(|error| in_full(&error));
        let of_run = || self.start.shared.begun().cloned().flatten();
        of_view.map(|error| in_full(error.as_ref())).or_else(of_log).or_else(of_run)
    }

    /// Checks for errors, requests to stop, and the end of sealing.
    fn watch(&mut self) {
        let shared = &self.start.shared;
        if let Some(error) = self.error() {
            shared.failing.get_or_init(|| error.clone());
            self.feed.ask_to_stop(Outcome::Failed(error));
        }
        if shared.failed.load(Ordering::Acquire) {
            let failed = "another worker of this process failed".to_owned();
            self.feed.stop.set(Some(Outcome::Failed(failed)));
        }
        if shared.interrupt_requested.swap(false, Ordering::AcqRel) {
            self.feed.broadcast(Control::Interrupt);
        }
        if self.feed.interrupt.take() {
            shared.interrupt();
            self.start.live.iter().for_each(|queue| queue.close());
        }
        if shared.stop_requested.swap(false, Ordering::AcqRel)
            && let Some(outcome) = shared.requested()
        {
            self.feed.ask_to_stop(outcome);
        }
        // Otherwise a day would be sealed here without its later events. With a log it stays open, unless all is sealed
        // anyway.
        self.feed.stop_if_asked(self.start.log.is_some() && !shared.is_all_sealed());
        self.note_finished();
        self.note_rested();
        if self.published.elapsed() >= PUBLISH_EVERY {
            self.publish();
        }
    }

    fn note_finished(&mut self) {
        if !self.finished && self.views.iter().all(|view| view.status().finished()) {
            self.finished = true;
            self.publish();
            let from = self.views.iter().map(|view| view.status().not_dropped_from());
            self.start.shared.note_not_dropped(from);
            self.start.shared.worker_finished();
        }
    }

    /// Notes that everything is sealed except a last line without its end, and that this line is in the answers.
    fn note_rested(&mut self) {
        let Some(entered) = self.rested.filter(|entered| !self.inputs.less_equal(entered)) else {
            return;
        };
        let is_all_sealed = self.views.iter().all(|view| {
            let through = view.first_open(entered.floor).previous();
            through == Day::MIN || view.status().sealed_through() >= Some(through)
        });
        if is_all_sealed {
            self.rested = None;
            self.publish();
            self.start.shared.worker_rested();
        }
    }

    fn publish(&mut self) {
        self.published = Instant::now();
        self.views.iter().for_each(|view| view.publish());
        if self.worker.index().is_multiple_of(self.start.shared.threads) {
            let views = self.views.iter();
            let numbers = views.map(|view| (view.name().to_owned(), view.status().numbers()));
            let numbers = numbers.collect();
            let shared = &self.start.shared;
            let log_waiting = self.log.as_ref().map_or(0, |log| log.handle().waiting_bytes());
            let (floor, ticks) = (self.now.floor, self.in_flight.len());
            shared.set_held(Held { views: numbers, floor, ticks, log_waiting });
            if let (Some(queue), Some(_)) = (&self.start.live, self.live) {
                shared.set_live(queue.watermark());
            }
        }
    }
}

/// Appends to the log, if there is one; returns the number of the entry.
fn log_entry<E: Send + Sync + 'static>(
    log: &mut Option<LogWriter<E>>,
    entry: Entry<E>,
) -> Result<Option<u64>, LogError> {
    let Some(log) = log else { return Ok(None) };
    log.append(entry)?;
    Ok(Some(log.handle().appended()))
}

/// Starts to read the source, on the worker that does.
fn open<E>(worker: usize, peers: usize, start: &Start<E>, feed: &mut Feed) -> Option<Reader> {
    if worker != READER {
        return None;
    }
    let mut feeding = start.feeding.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let Some(Feeding { open, refused, .. }) = feeding.take() else {
        feed.broadcast(Control::Begin);
        return None;
    };
    let (shared, archive) = (Arc::clone(&start.shared), start.archive.clone());
    let known = Arc::clone(&start.known);
    // Without a log, nothing would remain of open days.
    let alone = start.live.is_none() && start.partitioned.is_empty();
    let hold_rest = start.log.is_some() && alone;
    Some(Reader::new(open, archive, known, refused, shared, peers, hold_rest))
}

/// Starts to read the shares of a worker.
fn open_shares<E: Send + Sync + 'static>(
    worker: usize,
    peers: usize,
    start: &Start<E>,
) -> Vec<ShareReader<E>> {
    let processes = peers / start.shared.threads;
    let share = |(index, source)| {
        let number = start.share_source(index, worker, processes);
        ShareReader::new(
            number,
            source,
            &start.extents,
            start.reread.as_ref(),
            &start.shared,
            (worker, peers),
        )
    };
    start.partitioned.iter().enumerate().map(share).collect()
}
