//! A running engine, as the rest of the program sees it.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use hdrhistogram::Histogram;

use super::ask::views::Views;
use super::clock::Clock;
use super::error::{EngineError, Outcome};
use super::ingest::logging;
use super::ingest::receipt::Waits;
use super::observer::{Observer, Progress, SourceNumbers};
use super::recover::resume::POSITION;
use crate::archive::Archive;
use crate::cluster::{Notice, Watch};
use crate::scan::ErasedView;
use crate::source::{Consumed, SourcePosition};
use crate::speed::ViewNumbers;
use crate::store::{Store, StoreError};
use crate::time::EventTime;
use crate::view::View;

/// What a worker says when timely has lost a connection, and does not know which.
pub(crate) const CONNECTION_LOST: &str = "another process of the cluster is gone";

/// How long to wait for the name of a process whose connection has ended.
const NAMED_WITHIN: Duration = Duration::from_secs(2);

/// The names of sources in [`Progress::sources`].
const REPLAY: &str = "replay";
const LIVE: &str = "live";

/// State shared by the threads of an engine in one process.
pub(crate) struct Shared {
    pub(crate) views: Vec<View>,
    pub(crate) threads: usize,
    pub(crate) floor: EventTime,
    state: Mutex<State>,
    changed: Condvar,
    /// Workers of this process whose views have nothing left to seal.
    finished: AtomicUsize,
    /// Workers of this process where all is sealed but a last line without its end.
    rested: AtomicUsize,
    /// Checked at every turn of a worker: cheaper than the lock.
    pub(crate) failed: AtomicBool,
    /// This process ends for a reason that the others do not know.
    parted: AtomicBool,
    pub(crate) stop_requested: AtomicBool,
    /// The user wants the sources to end; to be told to all workers.
    pub(crate) interrupt_requested: AtomicBool,
    interrupted: AtomicBool,
    pub(crate) refused: AtomicU64,
    pub(crate) events: AtomicU64,
    pub(crate) replayed: AtomicU64,
    pub(crate) to_replay: u64,
    /// Whether a worker of this process sees that all, of all processes, have replayed their share of the log.
    pub(crate) recovered: AtomicBool,
    pub(crate) clock: Clock,
    pub(crate) waits: Arc<Waits>,
    /// The highest tick in which a worker of this process entered events.
    pub(crate) wanted: AtomicU64,
    /// Why a worker of this process cannot go on. All are about to stop, for this reason or another one that came first.
    pub(crate) failing: OnceLock<String>,
    /// What came of beginning the run in the data folder; `None` is well.
    begun: OnceLock<Option<String>>,
    /// Microseconds from a tick's entering to its being complete.
    freshness: Mutex<Histogram<u64>>,
}

/// What the first worker of a process holds.
pub(crate) struct Held {
    pub(crate) views: Vec<ViewNumbers>,
    pub(crate) floor: EventTime,
    pub(crate) ticks: usize,
    pub(crate) log_waiting: usize,
}

#[derive(Default)]
struct State {
    outcome: Option<Outcome>,
    requested: Option<Outcome>,
    workers: Vec<std::thread::Thread>,
    progress: Progress,
    place: Option<SourcePosition>,
    /// Whether parts of the source have entered, and others before them have not.
    has_holes: bool,
}

impl State {
    /// Whichever source tells first, they stay in the order of their numbers: the one that is read, then the
    /// live one.
    fn set_source(&mut self, name: &str, watermark: EventTime, clock: EventTime) {
        let sources = &mut self.progress.sources;
        match sources.iter_mut().find(|source| source.name == name) {
            Some(source) => (source.watermark, source.clock) = (watermark, clock),
            None => {
                let at = if name == REPLAY { 0 } else { sources.len() };
                let numbers = SourceNumbers::new(name.to_owned());
                sources.insert(at, SourceNumbers { watermark, clock, ..numbers });
            }
        }
    }
}

impl Shared {
    pub(crate) fn new(
        views: Vec<View>,
        threads: usize,
        floor: EventTime,
        to_replay: u64,
        clock: Clock,
        waits: Arc<Waits>,
    ) -> Shared {
        Shared {
            views,
            threads,
            floor,
            state: Mutex::default(),
            changed: Condvar::new(),
            finished: AtomicUsize::new(0),
            rested: AtomicUsize::new(0),
            failed: AtomicBool::new(false),
            parted: AtomicBool::new(false),
            stop_requested: AtomicBool::new(false),
            interrupt_requested: AtomicBool::new(false),
            interrupted: AtomicBool::new(false),
            refused: AtomicU64::new(0),
            events: AtomicU64::new(0),
            replayed: AtomicU64::new(0),
            to_replay,
            clock,
            recovered: AtomicBool::new(false),
            waits,
            wanted: AtomicU64::new(0),
            failing: OnceLock::new(),
            begun: OnceLock::new(),
            freshness: Mutex::new(
                Histogram::new_with_bounds(1, 3_600_000_000, 3)
                    .expect("three digits up to an hour are valid bounds"),
            ),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub(crate) fn progress(&self) -> Progress {
        let mut progress = self.lock().progress.clone();
        progress.refused = self.refused.load(Ordering::Relaxed);
        progress.events = self.events.load(Ordering::Relaxed);
        progress.replayed = self.replayed.load(Ordering::Relaxed);
        progress.to_replay = self.to_replay;
        progress.recovered = self.recovered.load(Ordering::Acquire);
        progress.view_names = self.views.iter().map(|view| view.name().to_owned()).collect();
        progress.log = self.waits.log_numbers();
        progress
    }

    pub(crate) fn fresh(&self) -> MutexGuard<'_, Histogram<u64>> {
        self.freshness.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// A tick was complete so long after it had entered.
    pub(crate) fn completed(&self, took: Duration) {
        self.fresh().saturating_record(took.as_micros() as u64);
    }

    /// Says in the data folder that the run has begun: once in each process, whichever worker comes
    /// first; the others wait for it.
    pub(crate) fn begin(&self, store: Option<&Arc<Store>>) -> Result<(), String> {
        let begin = || store.and_then(|store| store.begin().err()).map(|error| error.to_string());
        self.begun.get_or_init(begin).clone().map_or(Ok(()), Err)
    }

    /// What came of that: `None` if it was not tried yet, or why it failed.
    pub(crate) fn begun(&self) -> Option<&Option<String>> {
        self.begun.get()
    }

    /// Whether the engine has stopped, for whatever reason.
    pub(crate) fn has_stopped(&self) -> bool {
        self.outcome().is_some()
    }

    /// Whether the views of all workers of this process have nothing left to seal, ever.
    pub(crate) fn is_all_sealed(&self) -> bool {
        self.finished.load(Ordering::Acquire) == self.threads
    }

    /// Whether all that can be sealed is: all, or all but a last line without its end.
    fn is_settled(&self) -> bool {
        self.is_all_sealed() || self.rested.load(Ordering::Acquire) == self.threads
    }

    pub(crate) fn register(&self, worker: std::thread::Thread) {
        self.lock().workers.push(worker);
    }

    pub(crate) fn wake(&self) {
        self.lock().workers.iter().for_each(std::thread::Thread::unpark);
    }

    pub(crate) fn requested(&self) -> Option<Outcome> {
        self.lock().requested.clone()
    }

    /// Ends this process's sources where they are.
    pub(crate) fn interrupt(&self) {
        self.interrupted.store(true, Ordering::Release);
    }

    pub(crate) fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Acquire)
    }

    pub(crate) fn outcome(&self) -> Option<Outcome> {
        self.lock().outcome.clone()
    }

    /// Tells those who wait why the engine stops, before its threads have ended: what is being written may take a while.
    pub(crate) fn stopping(&self, outcome: &Outcome) {
        self.lock().outcome.get_or_insert_with(|| outcome.clone());
        self.changed.notify_all();
    }

    /// Records why the engine stopped; the first reason stays, but for a failure on the way to an orderly end.
    pub(crate) fn stopped(&self, outcome: Outcome) {
        let failed = !outcome.is_orderly();
        let mut state = self.lock();
        if state.outcome.as_ref().is_none_or(|first| failed && first.is_orderly()) {
            state.outcome = Some(outcome);
        }
        drop(state);
        // Only now: who sees the flag reports a failure of its own, and the first reason stays.
        if failed {
            self.failed.store(true, Ordering::Release);
            self.waits.stop();
        }
        self.changed.notify_all();
        self.wake();
    }

    /// Records that this process fails by itself. If a connection has ended, whose it was is known in a
    /// moment, and is the better reason.
    pub(crate) fn parted(&self, message: String) {
        let mut state = self.lock();
        if message == CONNECTION_LOST {
            let is_open = |state: &mut State| state.outcome.is_none();
            let waited = self.changed.wait_timeout_while(state, NAMED_WITHIN, is_open);
            state = waited.unwrap_or_else(|poisoned| poisoned.into_inner()).0;
        }
        let is_first = state.outcome.is_none();
        drop(state);
        if is_first {
            self.parted.store(true, Ordering::Release);
        }
        self.stopped(Outcome::Failed(message));
    }

    /// What the watch has noticed of a peer.
    pub(crate) fn noticed(&self, peer: usize, address: &str, notice: &Notice) {
        match notice {
            Notice::Lost => {
                let message = format!(
                    "process {peer} at {address} is gone: start all processes again, and they go on \
                     from what is in the data folder"
                );
                // The others notice it as well: this process leaves them in order.
                self.stopped(Outcome::Failed(message));
            }
            Notice::Silent(silence) => {
                let silence = silence.as_secs();
                tracing::warn!(
                    "process {peer} at {address} has said nothing for {silence} s; all wait for it"
                );
            }
            Notice::Back => tracing::warn!("process {peer} at {address} is back"),
        }
    }

    pub(crate) fn worker_rested(&self) {
        self.rested.fetch_add(1, Ordering::AcqRel);
        drop(self.lock());
        self.changed.notify_all();
    }

    pub(crate) fn worker_finished(&self) {
        self.finished.fetch_add(1, Ordering::AcqRel);
        // The lock orders this with a waiter that has just looked.
        drop(self.lock());
        self.changed.notify_all();
    }

    pub(crate) fn set_read(
        &self,
        read: crate::source::Progress,
        clock: EventTime,
        floor: EventTime,
    ) {
        let mut state = self.lock();
        // A source whose clock has passed a floor has told so.
        let watermark = clock.max(floor);
        state.set_source(REPLAY, watermark, watermark);
        state.progress.rows = read.rows + read.refused;
        state.progress.bytes_read = read.bytes_read;
        state.progress.bytes_total = read.bytes_total;
    }

    /// All of the source before this has entered.
    pub(crate) fn set_place(&self, place: SourcePosition) {
        self.lock().place = Some(place);
    }

    /// Parts of the source have entered, and others before them have not.
    pub(crate) fn leave_holes(&self) {
        self.lock().has_holes = true;
    }

    pub(crate) fn set_live(&self, watermark: Option<EventTime>) {
        let now = self.clock.now();
        match watermark {
            Some(watermark) => self.lock().set_source(LIVE, watermark, now),
            None => self.end_source(LIVE),
        }
    }

    /// Notes that the source that is read has ended.
    pub(crate) fn end_read(&self) {
        self.end_source(REPLAY);
    }

    fn end_source(&self, name: &str) {
        let mut state = self.lock();
        let sources = &mut state.progress.sources;
        sources.iter_mut().filter(|source| source.name == name).for_each(|s| s.ended = true);
    }

    /// How far partitions are, in the order of their names, before a live source.
    pub(crate) fn set_partitions(&self, numbers: Vec<SourceNumbers>) {
        let sources = &mut self.lock().progress.sources;
        for numbers in numbers {
            match sources.iter_mut().find(|source| source.name == numbers.name) {
                Some(source) => *source = numbers,
                None => {
                    let is_behind = |source: &SourceNumbers| {
                        source.name == LIVE || source.name > numbers.name && source.name != REPLAY
                    };
                    let at = sources.iter().position(is_behind).unwrap_or(sources.len());
                    sources.insert(at, numbers);
                }
            }
        }
    }

    /// A source of which nothing was known has partitions now.
    pub(crate) fn forget_source(&self, name: &str) {
        self.lock().progress.sources.retain(|source| source.name != name);
    }

    /// What the first worker of this process holds.
    pub(crate) fn set_held(&self, held: Held) {
        let progress = &mut self.lock().progress;
        let Held { views, floor, ticks, log_waiting } = held;
        (progress.views, progress.floor) = (views, floor);
        (progress.ticks, progress.log_waiting) = (ticks, log_waiting);
    }
}

/// A running engine.
///
/// # How it ends
///
/// What becomes of the days that are open depends on what ends it, and on whether there is a log:
///
/// | | with a log | in a data folder without one |
/// |---|---|---|
/// | [`finish`](Running::finish), before all is sealed | they stay open: the next run has them back | they are sealed as they are |
/// | [`interrupt`](Running::interrupt), [`wait_sealed`](Running::wait_sealed), `finish` | they are sealed as they are | they are sealed as they are |
/// | `interrupt` and `finish` at once | as `finish` alone, or as after `wait_sealed` | they are sealed as they are |
/// | [`abandon`](Running::abandon), a drop, a panic, a failure, a kill | they stay open: the next run has them back | they are lost: the next run is refused ([`EngineError::Incomplete`]) |
///
/// Without a folder, nothing is left of any. If the source goes on later, what comes of a day that was sealed as it
/// was is late, and amends it.
///
/// `finish` returns [`Stopped`] or, if any process was interrupted by then, [`EngineError::Interrupted`]; both are
/// orderly ends. Batches that were pushed and have not entered when `finish` is called are not let in any more, and
/// their receipts say so; an interruption lets them in first.
///
/// Of the examples, Ctrl-C interrupts `flights` and `replay`, which end with exit code 130, and finishes `dashboard`.
pub struct Running {
    pub(crate) shared: Arc<Shared>,
    pub(crate) archive: Option<Archive>,
    pub(crate) views: Views,
    pub(crate) main: Option<std::thread::JoinHandle<()>>,
    pub(crate) watch: Option<Watch>,
    pub(crate) close: Arc<dyn Fn() + Send + Sync>,
    /// Whether this process has asked for an interruption; it takes a while until all know of it.
    pub(crate) interrupting: AtomicBool,
}

impl Running {
    /// How far the engine is.
    pub fn progress(&self) -> Progress {
        self.shared.progress()
    }

    /// The views, for those who do not know their types.
    pub fn views(&self) -> Views {
        self.views.clone()
    }

    /// The view of this name, for those who do not know its types.
    pub fn view(&self, name: &str) -> Option<Arc<dyn ErasedView>> {
        self.views.get(name).cloned()
    }

    /// The data folder, if there is one.
    pub fn store(&self) -> Option<&Store> {
        self.archive.as_ref().and_then(Archive::store).map(Arc::as_ref)
    }

    /// What was read of a [`CsvSource`](crate::source::CsvSource), once it has ended, on the process that read it.
    pub fn consumed(&self) -> Option<Consumed> {
        match self.shared.lock().place {
            Some(SourcePosition::Text(consumed)) => Some(consumed),
            Some(SourcePosition::Own(_)) | None => None,
        }
    }

    /// A look at the engine that other threads can take.
    pub fn observer(&self) -> Observer {
        Observer::new(Arc::clone(&self.shared))
    }

    /// Waits until the source has ended and every day is sealed (but for a last line of a file without its end, see
    /// [`Engine::file`](crate::Engine::file)), or the engine has stopped, or `limit`
    /// is over. Returns whether all is sealed. When another process has stopped the engine before, it never will
    /// be: this says no at once then, and [`Running::wait_stopped`] says yes.
    ///
    /// # Errors
    /// [`EngineError`] if the engine stopped for a reason that is none.
    pub fn wait_sealed(&self, limit: Duration) -> Result<bool, EngineError> {
        let sealed = || self.shared.is_settled();
        let state = self.shared.lock();
        let wait = self
            .shared
            .changed
            .wait_timeout_while(state, limit, |state| state.outcome.is_none() && !sealed());
        let (state, _) = wait.unwrap_or_else(|poisoned| poisoned.into_inner());
        match &state.outcome {
            None | Some(Outcome::Done) => Ok(sealed()),
            Some(outcome) => Err(outcome.clone().into()),
        }
    }

    /// Waits until process 0, or a failure anywhere, stops the engine, at most so long. Returns whether it stopped.
    pub fn wait_stopped(&self, limit: Duration) -> bool {
        let state = self.shared.lock();
        let wait = self.shared.changed.wait_timeout_while(state, limit, |s| s.outcome.is_none());
        wait.unwrap_or_else(|poisoned| poisoned.into_inner()).0.outcome.is_some()
    }

    /// Ends all sources of all processes where they are, as if they had no more. Then every day closes:
    /// [`Running::wait_sealed`] says when all are sealed, and [`Running::finish`] is to be called after it.
    pub fn interrupt(&self) {
        self.interrupting.store(true, Ordering::Release);
        self.shared.interrupt_requested.store(true, Ordering::Release);
        self.shared.wake();
    }

    /// Whether any process was interrupted.
    pub fn is_interrupted(&self) -> bool {
        self.shared.is_interrupted()
    }

    /// Stops all processes because of something about the input, with a message that each will show.
    pub fn fail_input(&self, message: &str) {
        self.request(Outcome::Input(message.to_owned()));
    }

    /// Stops all processes because of something that went wrong around the engine, with a message that
    /// each will show.
    pub fn fail(&self, message: &str) {
        self.request(Outcome::Failed(message.to_owned()));
    }

    fn request(&self, outcome: Outcome) {
        self.shared.lock().requested.get_or_insert(outcome);
        self.shared.stop_requested.store(true, Ordering::Release);
        self.shared.wake();
    }

    /// Stops the engine in order, in all processes: to be called by process 0 when it has asked what it
    /// wanted to ask, and by the others when [`Running::wait_stopped`] says so. What becomes of open days is
    /// said [above](Running#how-it-ends). Marks the data folder as complete if all of it is sealed, whatever
    /// stopped the engine after that.
    ///
    /// # Errors
    /// [`EngineError`] if the engine had stopped early, or the folder cannot be marked.
    /// [`EngineError::Interrupted`] after an interruption; the folder is marked then, too, if all is sealed.
    pub fn finish(self) -> Result<Stopped, EngineError> {
        self.end(true)
    }

    /// As [`Running::finish`], but never marks the data folder as complete: for a program that could not
    /// record there what it has to know of this run to go on from it. Without a log, the next run is refused.
    ///
    /// # Errors
    /// As [`Running::finish`].
    pub fn abandon(self) -> Result<Stopped, EngineError> {
        self.end(false)
    }

    fn end(mut self, complete: bool) -> Result<Stopped, EngineError> {
        let interrupted = self.is_interrupted() || self.interrupting.load(Ordering::Acquire);
        self.request(if interrupted { Outcome::Interrupted } else { Outcome::Done });
        self.join();
        let progress = self.progress();
        let outcome = self.shared.lock().outcome.clone();
        let sealed = self.shared.is_all_sealed();
        let settled = self.shared.is_settled();
        // One that was told to finish before its source was open never began.
        let begun = matches!(self.shared.begun(), Some(None));
        let is_orderly = outcome.as_ref().is_some_and(Outcome::is_orderly);
        let proven = match self.store() {
            Some(store) if begun && is_orderly && store.is_logged() => logging::prove(store),
            _ => Ok(()),
        };
        let completed = match self.store() {
            Some(store) if begun && settled && complete => {
                self.keep_position(store).and_then(|()| store.complete())
            }
            _ => Ok(()),
        };
        match outcome {
            Some(Outcome::Done) => {}
            Some(outcome) => return Err(outcome.into()),
            None => return Err(EngineError::Failed { message: "a worker ended early".to_owned() }),
        }
        proven?;
        completed?;
        Ok(Stopped { progress, sealed })
    }

    /// Without a log, the folder remembers how far the source was read. What a run does not complete, it need not
    /// know: such a folder is refused.
    fn keep_position(&self, store: &Store) -> Result<(), StoreError> {
        let state = self.shared.lock();
        match &state.place {
            _ if store.is_logged() => Ok(()),
            // No position says what has entered, so nobody goes on from this folder.
            _ if state.has_holes => store.set_fact(POSITION, Vec::new()),
            Some(place) => store.set_fact(POSITION, place.encode()),
            None => Ok(()),
        }
    }

    fn join(&mut self) {
        if let Some(main) = self.main.take() {
            // Its outcome is in the shared state; it catches the panics of workers.
            let _ = main.join();
        }
        if let Some(watch) = self.watch.take() {
            watch.leave(!self.shared.parted.load(Ordering::Acquire));
        }
        (self.close)();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.main.is_some() {
            self.request(Outcome::Failed(
                "the engine was dropped before it was finished".to_owned(),
            ));
            self.join();
        }
    }
}

/// What a finished engine leaves behind.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Stopped {
    /// Its last numbers.
    pub progress: Progress,
    /// Whether every day is sealed: the sources had ended, or there is no log and what was open was sealed.
    pub sealed: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_in_order_whichever_tells_first() {
        for order in [[REPLAY, LIVE], [LIVE, REPLAY]] {
            let mut state = State::default();
            for name in order.into_iter().chain(order) {
                state.set_source(name, EventTime::MIN, EventTime::MIN);
            }
            let names: Vec<&str> =
                state.progress.sources.iter().map(|source| source.name.as_str()).collect();
            assert_eq!(names, [REPLAY, LIVE]);
        }
    }
}
