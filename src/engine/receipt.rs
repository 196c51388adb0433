//! Waiting for pushed events: until they are visible, durable, or both.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock};
use std::time::{Duration, Instant};

use super::observer::LogNumbers;
use super::once::Reply;
use crate::log::{Durability, LogError, LogHandle};
use crate::moment::Moment;

/// Tells when events that were pushed together are visible, and when they are durable. Clones tell the
/// same.
#[derive(Clone, Debug)]
pub struct Receipt {
    ticket: Arc<Ticket>,
    waits: Arc<Waits>,
}

/// What a worker writes down when it has entered a batch.
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

/// Why a wait has ended without what was waited for.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WaitError {
    /// The time is over. The events are still on their way: waiting again is fine.
    #[error("not within {limit:?}; the events are still on their way")]
    TimedOut {
        /// How long was waited.
        limit: Duration,
    },
    /// Nothing promises that the events will be durable: the engine has no log, or leaves it to the
    /// operating system when the log is written to the disk. They have entered, or will.
    #[error(
        "nothing promises that events are durable: give the engine a log, with a durability other \
         than Durability::System"
    )]
    NotPromised,
    /// The engine has stopped before it could tell. The events may be in the log; the next run finds
    /// out.
    #[error("the engine has stopped; the events may be in its log, which the next run finds out")]
    Stopped,
    /// The log has failed. The events may be in it; the next run finds out.
    #[error("the log has failed, and the events may be in it, which the next run finds out: {0}")]
    Log(LogError),
}

impl Receipt {
    pub(crate) fn new(waits: &Arc<Waits>) -> (Receipt, Arc<Ticket>) {
        let ticket = Arc::new(Ticket::new());
        (Receipt { ticket: Arc::clone(&ticket), waits: Arc::clone(waits) }, ticket)
    }

    /// Waits, at most so long, until every query that is asked in this process from then on sees the
    /// events.
    ///
    /// # Errors
    /// [`WaitError`].
    pub fn wait_visible(&self, limit: Duration) -> Result<(), WaitError> {
        self.waits.wait(limit, |state| self.is_visible(state).then_some(Ok(())))
    }

    /// Waits, at most so long, until the events survive a crash of the process and of the machine.
    ///
    /// # Errors
    /// [`WaitError`]; [`WaitError::NotPromised`] where that is never so.
    pub fn wait_durable(&self, limit: Duration) -> Result<(), WaitError> {
        self.waits.wait(limit, |state| self.is_durable(state))
    }

    /// Waits, at most so long, until the events are both visible and durable.
    ///
    /// # Errors
    /// As [`Receipt::wait_durable`].
    pub fn wait_both(&self, limit: Duration) -> Result<(), WaitError> {
        self.waits.wait(limit, |state| match self.is_durable(state) {
            Some(Ok(())) if !self.is_visible(state) => None,
            durable => durable,
        })
    }

    fn is_visible(&self, state: &State) -> bool {
        self.ticket.get().is_some_and(|entered| state.shows(entered.moment))
    }

    fn is_durable(&self, state: &State) -> Option<Result<(), WaitError>> {
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

/// What the workers of a process tell those who wait.
#[derive(Debug, Default)]
pub(crate) struct Waits {
    state: Mutex<State>,
    changed: Condvar,
    /// How many threads wait: workers tell nothing if nobody does.
    waiting: AtomicUsize,
}

#[derive(Debug, Default)]
struct State {
    /// Whether durability is promised at all.
    promises: bool,
    /// How far each worker sees that all have come; `None`: it has not said yet, `Some(None)`: to the end.
    frontiers: Vec<Option<Option<Moment>>>,
    logs: Vec<Option<LogHandle>>,
    threads: Vec<std::thread::Thread>,
    stopped: bool,
}

impl State {
    /// Whether a query that is asked now sees what has entered at `moment`.
    fn shows(&self, moment: Moment) -> bool {
        // Any worker of the process may take a query up, as of what it sees itself.
        self.frontiers.iter().all(|frontier| match frontier {
            Some(Some(frontier)) => *frontier > moment,
            // The events have ended, and all of them are in.
            Some(None) => true,
            None => false,
        })
    }
}

impl Waits {
    /// Prepares for so many workers, and the durability of their logs.
    pub(crate) fn open(&self, workers: usize, durability: Option<Durability>) {
        let mut state = self.lock();
        state.frontiers = vec![None; workers];
        state.logs = vec![None; workers];
        state.promises = durability.is_some_and(Durability::is_promise);
    }

    /// Notes the calling worker, and its log if it has one.
    pub(crate) fn register(&self, worker: usize, log: Option<LogHandle>) {
        let mut state = self.lock();
        state.logs[worker] = log;
        state.threads.push(std::thread::current());
    }

    /// Says how far a worker sees that all have come, if anybody waits.
    pub(crate) fn tell(&self, worker: usize, frontier: Option<Moment>) {
        if self.waiting.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut state = self.lock();
        if state.frontiers[worker] != Some(frontier) {
            state.frontiers[worker] = Some(frontier);
            drop(state);
            self.changed.notify_all();
        }
    }

    /// How far the logs of all workers are, together; `None` if there are none.
    pub(crate) fn log_numbers(&self) -> Option<LogNumbers> {
        let state = self.lock();
        let logs = state.logs.iter().flatten();
        logs.map(|log| LogNumbers { appended: log.appended(), durable: log.durable() }).reduce(
            |all, log| LogNumbers {
                appended: all.appended + log.appended,
                durable: all.durable + log.durable,
            },
        )
    }

    /// Says that a worker has ended in order, so that all it entered is visible.
    pub(crate) fn tell_end(&self, worker: usize) {
        self.lock().frontiers[worker] = Some(None);
        self.changed.notify_all();
    }

    /// Says that a log has come on, or has failed.
    pub(crate) fn tell_log(&self) {
        if self.waiting.load(Ordering::Acquire) > 0 {
            // The lock orders this with a waiter that has just looked.
            drop(self.lock());
            self.changed.notify_all();
        }
    }

    /// Says that nothing more will come.
    pub(crate) fn stop(&self) {
        self.lock().stopped = true;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Waits for the answer to a push with a key, and until what it tells of is visible.
    pub(super) fn wait_reply(
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
        mut is_done: impl FnMut(&State) -> Option<Result<T, WaitError>>,
    ) -> Result<T, WaitError> {
        let started = Instant::now();
        self.waiting.fetch_add(1, Ordering::AcqRel);
        let mut state = self.lock();
        // One that sleeps has told nothing, since nobody had waited.
        state.threads.iter().for_each(std::thread::Thread::unpark);
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
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(|poisoned| poisoned.into_inner()).0;
        };
        drop(state);
        self.waiting.fetch_sub(1, Ordering::AcqRel);
        result
    }
}
