//! The state that the threads of an engine share in one process: its progress, and how it ends.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use hdrhistogram::Histogram;

use super::ask::snapshots::Desk;
use super::clock::Clock;
use super::cuts::{Cuts, Positions};
use super::error::Outcome;
use super::ingest::readers::Readers;
use super::ingest::receipt::Waits;
use super::progress::{LogNumbers, Progress, SourceNumbers};
use crate::closing::Closing;
use crate::cluster::Notice;
use crate::log::Extents;
use crate::scan::ErasedView;
use crate::source::SourcePosition;
use crate::speed::ViewNumbers;
use crate::store::Store;
use crate::time::{Day, EventTime};
use crate::view::View;

/// The message of a worker when timely has lost a connection and does not know which.
pub(crate) const CONNECTION_LOST: &str = "another process of the cluster is gone";

/// How long to wait for the name of a process whose connection has ended.
const NAMED_WITHIN: Duration = Duration::from_secs(2);

/// The names of sources in [`Progress::sources`].
const REPLAY: &str = "replay";
const LIVE: &str = "live";

/// The state that the threads of an engine share in one process.
pub(crate) struct Shared {
    views: RwLock<Arc<[View]>>,
    /// The same, for those who ask. A view that is added comes when it answers.
    offered: RwLock<Arc<[Arc<dyn ErasedView>]>>,
    pub(crate) threads: usize,
    /// The floor under which the engine begins.
    pub(crate) floor: EventTime,
    /// The floor up to which days close now.
    pub(crate) closing: AtomicI64,
    pub(crate) readers: Readers,
    state: Mutex<RunState>,
    changed: Condvar,
    /// The number of workers of this process whose views have nothing left to seal.
    finished: AtomicUsize,
    /// For each view, the first period of which no event was dropped, when the first worker has finished.
    not_dropped: OnceLock<Vec<Option<Day>>>,
    /// The number of workers of this process that have sealed everything except a last line without its end.
    rested: AtomicUsize,
    /// Checked at every turn of a worker: cheaper than the lock.
    pub(crate) failed: AtomicBool,
    /// This process ends for a reason that the others do not know.
    parted: AtomicBool,
    pub(crate) stop_requested: AtomicBool,
    /// The user wants the sources to end; all workers are to be told.
    pub(crate) interrupt_requested: AtomicBool,
    interrupted: AtomicBool,
    pub(crate) refused: AtomicU64,
    pub(crate) events: AtomicU64,
    pub(crate) replayed: AtomicU64,
    pub(crate) to_replay: u64,
    /// Whether a worker of this process sees that all workers, of all processes, have replayed their share of the log.
    pub(crate) recovered: AtomicBool,
    pub(crate) clock: Clock,
    pub(crate) waits: Arc<Waits>,
    /// The highest tick in which a worker of this process entered events.
    pub(crate) wanted: AtomicU64,
    /// Why a worker of this process cannot go on. All are about to stop, for this reason or another one that came
    /// first.
    pub(crate) failing: OnceLock<String>,
    /// The result of beginning the run in the data folder; `None` is success.
    begun: OnceLock<Option<String>>,
    /// Takes requests for snapshots.
    pub(crate) desk: Desk,
    /// How far partitions had been entered when floors rose.
    pub(crate) cuts: Cuts,
    /// How far earlier runs had read them.
    pub(crate) extents: Arc<Extents>,
    /// Whether all that enters comes from partitions of this process.
    pub(crate) has_cuts: bool,
    /// The microseconds from entering a tick to its completion.
    freshness: Mutex<Histogram<u64>>,
}

/// What the first worker of a process holds.
pub(crate) struct Held {
    pub(crate) views: Vec<(String, ViewNumbers)>,
    pub(crate) floor: EventTime,
    pub(crate) ticks: usize,
    pub(crate) log_waiting: usize,
}

#[derive(Default)]
struct RunState {
    outcome: Option<Outcome>,
    requested: Option<Outcome>,
    workers: Vec<std::thread::Thread>,
    progress: Progress,
    /// By source and worker.
    partitions: BTreeMap<(String, usize), Vec<SourceNumbers>>,
    place: Option<SourcePosition>,
    /// Whether parts of the source have entered before earlier parts.
    has_holes: bool,
}

impl RunState {
    /// The progress with all sources: the one that is read, then partitions in the order of their names, then the live
    /// one.
    fn progress(&self) -> Progress {
        let mut progress = self.progress.clone();
        let mut partitions: Vec<SourceNumbers> =
            self.partitions.values().flatten().cloned().collect();
        partitions.sort_by(|one, other| one.name.cmp(&other.name));
        // Several workers may have no partition of a source.
        partitions.dedup_by(|later, one| later.name == one.name && later.position.is_none());
        let at = usize::from(progress.sources.first().is_some_and(|source| source.name == REPLAY));
        progress.sources.splice(at..at, partitions);
        progress
    }

    /// Sets the numbers of a source. Sources stay in the same order whichever reports first: the one that is read, then
    /// the live one.
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
        (extents, has_cuts): (Arc<Extents>, bool),
    ) -> Shared {
        Shared {
            views: RwLock::new(views.into()),
            offered: RwLock::default(),
            threads,
            floor,
            closing: AtomicI64::new(floor),
            readers: Readers::default(),
            state: Mutex::default(),
            changed: Condvar::new(),
            finished: AtomicUsize::new(0),
            not_dropped: OnceLock::new(),
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
            desk: Desk::default(),
            cuts: Cuts::default(),
            extents,
            has_cuts,
            freshness: Mutex::new(
                Histogram::new_with_bounds(1, 3_600_000_000, 3)
                    .expect("three digits up to an hour are valid bounds"),
            ),
        }
    }

    /// The views as they are now.
    pub(crate) fn views(&self) -> Arc<[View]> {
        Arc::clone(&self.views.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Views that are there from now on; those that are known already stay.
    pub(crate) fn define<'a>(&self, added: impl Iterator<Item = &'a View>) {
        let mut views = self.views.write().unwrap_or_else(PoisonError::into_inner);
        let is_new = |view: &&View| views.iter().all(|known| known.name() != view.name());
        let added: Vec<View> = added.filter(is_new).cloned().collect();
        *views = views.iter().cloned().chain(added).collect();
    }

    /// The views for those who ask.
    pub(crate) fn offered(&self) -> Arc<[Arc<dyn ErasedView>]> {
        Arc::clone(&self.offered.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Offers further views to those who ask.
    pub(crate) fn offer(&self, added: impl Iterator<Item = Arc<dyn ErasedView>>) {
        let mut offered = self.offered.write().unwrap_or_else(PoisonError::into_inner);
        *offered = offered.iter().cloned().chain(added).collect();
    }

    /// Views that are there no more.
    pub(crate) fn withdraw(&self, names: &[String]) {
        let is_gone = |name: &str| names.iter().any(|gone| gone == name);
        let mut offered = self.offered.write().unwrap_or_else(PoisonError::into_inner);
        *offered = offered.iter().filter(|view| !is_gone(view.name())).cloned().collect();
        let mut views = self.views.write().unwrap_or_else(PoisonError::into_inner);
        *views = views.iter().filter(|view| !is_gone(view.name())).cloned().collect();
    }

    fn lock(&self) -> MutexGuard<'_, RunState> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub(crate) fn progress(&self) -> Progress {
        let mut progress = self.lock().progress();
        progress.refused = self.refused.load(Ordering::Relaxed);
        progress.events = self.events.load(Ordering::Relaxed);
        progress.replayed = self.replayed.load(Ordering::Relaxed);
        progress.to_replay = self.to_replay;
        progress.recovered = self.recovered.load(Ordering::Acquire);
        if progress.view_names.is_empty() {
            progress.view_names = self.views().iter().map(|view| view.name().to_owned()).collect();
        }
        progress.logs = self.waits.log_numbers();
        progress.log = LogNumbers::together(&progress.logs);
        progress
    }

    pub(crate) fn fresh(&self) -> MutexGuard<'_, Histogram<u64>> {
        self.freshness.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Notes how long a tick took from entering to completion.
    pub(crate) fn completed(&self, took: Duration) {
        self.fresh().saturating_record(took.as_micros() as u64);
    }

    /// Records in the data folder that the run has begun: once in each process, by the worker that comes first; the
    /// others wait for it.
    pub(crate) fn begin(&self, store: Option<&Arc<Store>>) -> Result<(), String> {
        let begin = || store.and_then(|store| store.begin().err()).map(|error| error.to_string());
        self.begun.get_or_init(begin).clone().map_or(Ok(()), Err)
    }

    /// The result of that: `None` if it was not tried yet; otherwise `None` inside, or why it failed.
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

    /// Whether everything that can be sealed is sealed: all, or all except a last line without its end.
    pub(crate) fn is_settled(&self) -> bool {
        self.is_all_sealed() || self.rested.load(Ordering::Acquire) == self.threads
    }

    /// Waits, at most for `limit`, until that is so, or the engine has stopped. Returns whether it is so, or why the
    /// engine stopped.
    pub(crate) fn wait_settled(&self, limit: Duration) -> Result<bool, Outcome> {
        let waits = |state: &mut RunState| state.outcome.is_none() && !self.is_settled();
        let wait = self.changed.wait_timeout_while(self.lock(), limit, waits);
        let (state, _) = wait.unwrap_or_else(|poisoned| poisoned.into_inner());
        match &state.outcome {
            None | Some(Outcome::Done) => Ok(self.is_settled()),
            Some(outcome) => Err(outcome.clone()),
        }
    }

    /// Waits, at most for `limit`, until the engine has stopped. Returns whether it has.
    pub(crate) fn wait_stopped(&self, limit: Duration) -> bool {
        let wait = self.changed.wait_timeout_while(self.lock(), limit, |s| s.outcome.is_none());
        wait.unwrap_or_else(|poisoned| poisoned.into_inner()).0.outcome.is_some()
    }

    /// The position up to which the source was read, and whether parts of it have entered before earlier parts.
    pub(crate) fn place(&self) -> (Option<SourcePosition>, bool) {
        let state = self.lock();
        (state.place.clone(), state.has_holes)
    }

    /// Whether this process ends for a reason that the others do not know.
    pub(crate) fn has_parted(&self) -> bool {
        self.parted.load(Ordering::Acquire)
    }

    pub(crate) fn register(&self, worker: std::thread::Thread) {
        self.lock().workers.push(worker);
    }

    pub(crate) fn wake(&self) {
        self.lock().workers.iter().for_each(std::thread::Thread::unpark);
    }

    /// Requests that the workers stop with this outcome, unless another one was requested before.
    pub(crate) fn request(&self, outcome: Outcome) {
        self.lock().requested.get_or_insert(outcome);
        self.stop_requested.store(true, Ordering::Release);
        self.wake();
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

    /// Tells waiting threads why the engine stops, before its threads have ended: the last writes may take a while.
    pub(crate) fn stopping(&self, outcome: &Outcome) {
        self.lock().outcome.get_or_insert_with(|| outcome.clone());
        self.changed.notify_all();
    }

    /// Records why the engine stopped. The first reason stays, unless a failure follows an orderly end.
    pub(crate) fn stopped(&self, outcome: Outcome) {
        let failed = !outcome.is_orderly();
        let mut state = self.lock();
        if state.outcome.as_ref().is_none_or(|first| failed && first.is_orderly()) {
            state.outcome = Some(outcome);
        }
        drop(state);
        // Set last: a thread that sees the flag reports a failure of its own, and the first reason must stay.
        if failed {
            self.failed.store(true, Ordering::Release);
            self.waits.stop();
        }
        self.changed.notify_all();
        self.wake();
    }

    /// How far partitions had been entered when a closing of a view was complete; see [`Cuts`].
    pub(crate) fn positions(&self, view: &str, closing: Closing) -> Option<Positions> {
        let views = self.views();
        let view = views.iter().find(|known| known.name() == view)?;
        let floor = view.floor_after(closing);
        self.cuts.at(floor, self.threads, &self.extents).filter(|_| self.has_cuts)
    }

    /// Records that this process fails on its own. If a connection has ended, its process will be known shortly, and is
    /// the better reason.
    pub(crate) fn parted(&self, message: String) {
        let mut state = self.lock();
        if message == CONNECTION_LOST {
            let is_open = |state: &mut RunState| state.outcome.is_none();
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

    /// Takes a notice of the watch about a peer.
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

    /// Notes the first period of each view of which no event was dropped. All workers know the same.
    pub(crate) fn note_not_dropped(&self, from: impl Iterator<Item = Option<Day>>) {
        self.not_dropped.get_or_init(|| from.collect());
    }

    /// The views of which events were dropped, with the first period of which none was.
    pub(crate) fn not_dropped(&self) -> Vec<(String, Day)> {
        let from = self.not_dropped.get().into_iter().flatten();
        let (views, of) = (self.views(), |(view, from): (&View, &Option<Day>)| {
            Some((view.name().to_owned(), (*from)?))
        });
        views.iter().zip(from).filter_map(of).collect()
    }

    pub(crate) fn worker_finished(&self) {
        self.finished.fetch_add(1, Ordering::AcqRel);
        // The lock orders this after the check of a waiter.
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
        // If the clock of a source has passed a floor, the source has reported it.
        let watermark = clock.max(floor);
        state.set_source(REPLAY, watermark, watermark);
        state.progress.rows = read.rows + read.refused;
        state.progress.bytes_read = read.bytes_read;
        state.progress.bytes_total = read.bytes_total;
    }

    /// Notes that all of the source before this position has entered.
    pub(crate) fn set_place(&self, place: SourcePosition) {
        self.lock().place = Some(place);
    }

    /// Notes that parts of the source have entered before earlier parts.
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

    /// Notes that the log has positions of these sources, which are not read.
    pub(crate) fn set_former(&self, sources: Vec<String>) {
        self.lock().progress.former_sources = sources;
    }

    /// Sets the progress of the partitions of a worker's share of a source.
    pub(crate) fn set_partitions(&self, source: &str, worker: usize, numbers: Vec<SourceNumbers>) {
        self.lock().partitions.insert((source.to_owned(), worker), numbers);
    }

    /// Sets what the first worker of this process holds.
    pub(crate) fn set_held(&self, held: Held) {
        let progress = &mut self.lock().progress;
        let Held { views, floor, ticks, log_waiting } = held;
        (progress.view_names, progress.views) = views.into_iter().unzip();
        progress.floor = floor;
        (progress.ticks, progress.log_waiting) = (ticks, log_waiting);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_in_order_whichever_tells_first() {
        for order in [[REPLAY, LIVE], [LIVE, REPLAY]] {
            let mut state = RunState::default();
            for name in order.into_iter().chain(order) {
                state.set_source(name, EventTime::MIN, EventTime::MIN);
            }
            let names: Vec<&str> =
                state.progress.sources.iter().map(|source| source.name.as_str()).collect();
            assert_eq!(names, [REPLAY, LIVE]);
        }
    }
}
