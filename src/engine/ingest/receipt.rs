//! Waiting for pushed events: until they are visible, durable, or both.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::engine::ingest::request::Reply;
use crate::engine::ingest::wakers::Wakers;
use crate::engine::progress::LogNumbers;
use crate::engine::restless::RESTLESS;
use crate::log::{Durability, LogError, LogHandle};
use crate::moment::Moment;
use crate::serve::Certificate;

/// Tells when events that were pushed together are visible, and when they are durable. Clones tell the same.
#[derive(Clone, Debug)]
pub struct Receipt {
    ticket: Arc<Ticket>,
    waits: Arc<Waits>,
    /// Makes workers publish their progress, once somebody has looked.
    looked: OnceLock<Told>,
}

/// Filled in by a worker when it has entered a batch.
pub(crate) type Ticket = OnceLock<Entered>;

/// Where and when a batch has entered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entered {
    /// The worker, by its index in this process.
    pub(crate) worker: usize,
    pub(crate) moment: Moment,
    /// Its number in that worker's log, if there is one.
    pub(crate) number: Option<u64>,
}

/// Why a wait ended early.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WaitError {
    /// The time is over. The events are still on their way; the call may be repeated.
    #[error("not within {limit:?}; the events are still on their way")]
    TimedOut {
        /// How long the call waited.
        limit: Duration,
    },
    /// Nothing promises that the events will be durable: the engine has no log, or leaves it to the operating system
    /// when the log is written to the disk. The events have entered, or will.
    #[error(
        "nothing promises that events are durable: give the engine a log, with a durability other \
         than Durability::System"
    )]
    NotPromised,
    /// The engine has stopped before it could tell. The events may be in the log; the next run finds out.
    #[error("the engine has stopped; the events may be in its log, which the next run finds out")]
    Stopped,
    /// The log has failed. The events may be in it; the next run finds out.
    #[error("the log has failed, and the events may be in it, which the next run finds out: {0}")]
    Log(LogError),
}

impl Receipt {
    pub(crate) fn new(waits: &Arc<Waits>) -> (Receipt, Arc<Ticket>) {
        let ticket = Arc::new(Ticket::new());
        let looked = OnceLock::new();
        (Receipt { ticket: Arc::clone(&ticket), waits: Arc::clone(waits), looked }, ticket)
    }

    /// Whether every query that is asked in this process from now on sees the events. This wakes nobody: an idle worker
    /// may report only some 50 ms later.
    pub fn is_visible(&self) -> bool {
        self.looked.get_or_init(|| Told::new(&self.waits));
        self.visible_in(&self.waits.lock())
    }

    /// Whether the events survive a crash of the process and of the machine.
    ///
    /// # Errors
    /// [`WaitError`], if they never will, or it can no longer be known.
    pub fn is_durable(&self) -> Result<bool, WaitError> {
        let state = self.waits.lock();
        match self.durable_in(&state) {
            Some(durable) => durable.map(|()| true),
            None if state.stopped => Err(WaitError::Stopped),
            None => Ok(false),
        }
    }

    /// As [`Receipt::wait_visible`], without a limit, for a task of any runtime.
    pub fn visible(&self) -> impl Future<Output = Result<(), WaitError>> + Send + use<> {
        self.waiting(|receipt, state| receipt.visible_in(state).then_some(Ok(())))
    }

    /// As [`Receipt::wait_durable`], without a limit, for a task of any runtime.
    pub fn durable(&self) -> impl Future<Output = Result<(), WaitError>> + Send + use<> {
        self.waiting(Receipt::durable_in)
    }

    /// As [`Receipt::wait_both`], without a limit, for a task of any runtime.
    pub fn both(&self) -> impl Future<Output = Result<(), WaitError>> + Send + use<> {
        self.waiting(Receipt::both_in)
    }

    fn waiting(
        &self,
        is_done: fn(&Receipt, &WaitState) -> Option<Result<(), WaitError>>,
    ) -> impl Future<Output = Result<(), WaitError>> + Send + use<> {
        let mut waiting = Waiting { receipt: self.clone(), told: None, place: None };
        async move { std::future::poll_fn(|context| waiting.poll(is_done, context)).await }
    }

    /// Whether an answer with this certificate includes the events; `None` as long as they have not entered.
    pub fn is_in(&self, certificate: &Certificate) -> Option<bool> {
        self.ticket.get().map(|entered| entered.moment <= certificate.as_of)
    }

    /// Waits, at most for `limit`, until every query that is asked in this process from then on sees the events.
    ///
    /// # Errors
    /// [`WaitError`].
    pub fn wait_visible(&self, limit: Duration) -> Result<(), WaitError> {
        self.waits.wait(limit, |state| self.visible_in(state).then_some(Ok(())))
    }

    /// Waits, at most for `limit`, until the events survive a crash of the process and of the machine.
    ///
    /// # Errors
    /// [`WaitError`]; [`WaitError::NotPromised`] if durability is not promised.
    pub fn wait_durable(&self, limit: Duration) -> Result<(), WaitError> {
        self.waits.wait(limit, |state| self.durable_in(state))
    }

    /// Waits, at most for `limit`, until the events are both visible and durable.
    ///
    /// # Errors
    /// As [`Receipt::wait_durable`].
    pub fn wait_both(&self, limit: Duration) -> Result<(), WaitError> {
        self.waits.wait(limit, |state| self.both_in(state))
    }

    fn both_in(&self, state: &WaitState) -> Option<Result<(), WaitError>> {
        match self.durable_in(state) {
            Some(Ok(())) if !self.visible_in(state) => None,
            durable => durable,
        }
    }

    fn visible_in(&self, state: &WaitState) -> bool {
        self.ticket.get().is_some_and(|entered| state.shows(entered.moment))
    }

    fn durable_in(&self, state: &WaitState) -> Option<Result<(), WaitError>> {
        if !state.promises {
            return Some(Err(WaitError::NotPromised));
        }
        let entered = self.ticket.get()?;
        let log = state.logs.get(entered.worker)?.as_ref()?;
        if log.durable() >= entered.number? {
            return Some(Ok(()));
        }
        log.error().map(|error| Err(WaitError::Log(error)))
    }
}

/// While one of these exists, workers publish their progress.
#[derive(Debug)]
struct Told {
    waits: Arc<Waits>,
}

impl Told {
    fn new(waits: &Arc<Waits>) -> Told {
        waits.waiting.fetch_add(1, Ordering::AcqRel);
        Told { waits: Arc::clone(waits) }
    }
}

impl Clone for Told {
    fn clone(&self) -> Told {
        Told::new(&self.waits)
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        self.waits.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A task that waits.
struct Waiting {
    receipt: Receipt,
    told: Option<Told>,
    place: Option<u64>,
}

impl Waiting {
    fn poll(
        &mut self,
        is_done: fn(&Receipt, &WaitState) -> Option<Result<(), WaitError>>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), WaitError>> {
        let waits = &self.receipt.waits;
        let is_first = self.told.is_none();
        self.told.get_or_insert_with(|| Told::new(waits));
        let mut state = waits.lock();
        if is_first {
            state.wake_workers();
        }
        if let Some(done) = is_done(&self.receipt, &state) {
            return Poll::Ready(done);
        }
        if state.stopped {
            return Poll::Ready(Err(WaitError::Stopped));
        }
        state.tasks.wait(&mut self.place, context.waker());
        Poll::Pending
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.receipt.waits.lock().tasks.leave(self.place);
    }
}

/// The progress that the workers of a process publish to those who wait.
#[derive(Debug, Default)]
pub(crate) struct Waits {
    state: Mutex<WaitState>,
    changed: Condvar,
    /// The number of threads and tasks that wait or look; workers publish nothing if there are none.
    waiting: AtomicUsize,
}

#[derive(Debug, Default)]
struct WaitState {
    /// Whether durability is promised at all.
    promises: bool,
    /// The frontier that each worker sees; `None`: not published yet, `Some(None)`: the end.
    frontiers: Vec<Option<Option<Moment>>>,
    logs: Vec<Option<LogHandle>>,
    threads: Vec<std::thread::Thread>,
    stopped: bool,
    tasks: Wakers,
}

impl WaitState {
    /// A sleeping worker has published nothing if nobody was waiting.
    fn wake_workers(&self) {
        self.threads.iter().for_each(std::thread::Thread::unpark);
    }
}

impl WaitState {
    /// Whether a query that is asked now sees what has entered at `moment`.
    fn shows(&self, moment: Moment) -> bool {
        // Any worker of the process may take a query, at the moment that it sees itself.
        self.frontiers.iter().all(|frontier| match frontier {
            Some(Some(frontier)) => *frontier > moment,
            // The events have ended, and all of them are in.
            Some(None) => true,
            None => false,
        })
    }
}

impl Waits {
    /// Prepares for this many workers, and the durability of their logs.
    pub(crate) fn open(&self, workers: usize, durability: Option<Durability>) {
        let mut state = self.lock();
        state.frontiers = vec![None; workers];
        state.logs = vec![None; workers];
        state.promises = durability.is_some_and(Durability::is_promise);
    }

    /// Registers the calling worker, and its log if it has one.
    pub(crate) fn register(&self, worker: usize, log: Option<LogHandle>) {
        let mut state = self.lock();
        state.logs[worker] = log;
        state.threads.push(std::thread::current());
    }

    /// Publishes the frontier that a worker sees, if anybody waits.
    pub(crate) fn tell(&self, worker: usize, frontier: Option<Moment>) {
        if self.waiting.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut state = self.lock();
        if state.frontiers[worker] != Some(frontier) {
            state.frontiers[worker] = Some(frontier);
            self.notify(state);
        }
    }

    /// The progress of each worker's log.
    pub(crate) fn log_numbers(&self) -> Vec<LogNumbers> {
        let state = self.lock();
        let logs = state.logs.iter().flatten();
        logs.map(|log| LogNumbers { appended: log.appended(), durable: log.durable() }).collect()
    }

    /// Notes that a worker has ended in order, so that all it entered is visible.
    pub(crate) fn tell_end(&self, worker: usize) {
        let mut state = self.lock();
        state.frontiers[worker] = Some(None);
        self.notify(state);
    }

    /// Notes that a log has made progress, or has failed.
    pub(crate) fn tell_log(&self) {
        if self.waiting.load(Ordering::Acquire) > 0 {
            // The lock orders this after the check of a waiter.
            self.notify(self.lock());
        }
    }

    /// Notes that nothing more will come.
    pub(crate) fn stop(&self) {
        let mut state = self.lock();
        state.stopped = true;
        self.notify(state);
    }

    fn notify(&self, mut state: MutexGuard<'_, WaitState>) {
        let tasks = state.tasks.take();
        drop(state);
        self.changed.notify_all();
        tasks.into_values().for_each(Waker::wake);
    }

    fn lock(&self) -> MutexGuard<'_, WaitState> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Waits for the answer to a push with a key, and until its events are visible.
    pub(crate) fn wait_reply(
        &self,
        limit: Duration,
        slot: &OnceLock<Reply>,
    ) -> Result<Reply, WaitError> {
        self.wait(limit, |state| match *slot.get()? {
            Reply::In { moment: Some(moment), .. } if !state.shows(moment) => None,
            reply => Some(Ok(reply)),
        })
    }

    fn wait<T>(
        &self,
        limit: Duration,
        mut is_done: impl FnMut(&WaitState) -> Option<Result<T, WaitError>>,
    ) -> Result<T, WaitError> {
        let started = Instant::now();
        self.waiting.fetch_add(1, Ordering::AcqRel);
        let mut state = self.lock();
        state.wake_workers();
        let result = loop {
            if let Some(result) = is_done(&state) {
                break result;
            }
            if state.stopped {
                break Err(WaitError::Stopped);
            }
            let left = limit.saturating_sub(started.elapsed());
            if left.is_zero() {
                break Err(WaitError::TimedOut { limit });
            }
            if started.elapsed() < RESTLESS {
                drop(state);
                std::thread::yield_now();
                state = self.lock();
                continue;
            }
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(|poisoned| poisoned.into_inner()).0;
        };
        drop(state);
        self.waiting.fetch_sub(1, Ordering::AcqRel);
        result
    }
}
