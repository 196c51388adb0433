//! A live source: other threads push events, and the wall clock closes days.
//!
//! Its watermark is the wall clock minus the allowed disorder, held back by waiting batches. So a quiet source does not
//! keep a day open for ever, and a slow engine makes no event late.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::engine::clock::Clock;
use crate::engine::ingest::receipt::{Receipt, Ticket, Waits};
use crate::engine::ingest::request::{Reply, Request, Requests};
use crate::engine::ingest::wakers::Wakers;
use crate::log::EventCodec;
use crate::time::{DAY_MS, EventTime, duration, milliseconds};

/// The number of batches that may wait before a push blocks. Small batches cost more than their events.
const BATCHES_WAITING: usize = 64;

/// How a live source determines the time of its events, and which times it accepts.
pub struct LiveOptions<E> {
    pub(crate) time: fn(&E) -> EventTime,
    pub(crate) disorder: i64,
    pub(crate) ahead_limit: i64,
    pub(crate) behind_limit: i64,
    pub(crate) waiting: usize,
}

impl<E> std::fmt::Debug for LiveOptions<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LiveOptions")
            .field("disorder", &self.disorder)
            .field("ahead_limit", &self.ahead_limit)
            .field("behind_limit", &self.behind_limit)
            .field("waiting", &self.waiting)
            .finish_non_exhaustive()
    }
}

impl<E> LiveOptions<E> {
    /// Options for events whose time, in milliseconds UTC, this function returns. By default there is no disorder,
    /// events may be a day ahead and of any age, and 65,536 events may wait.
    pub fn new(time: fn(&E) -> EventTime) -> LiveOptions<E> {
        let (ahead_limit, behind_limit) = (DAY_MS, i64::MAX);
        LiveOptions { time, disorder: 0, ahead_limit, behind_limit, waiting: 65_536 }
    }

    /// Sets how far events may come behind the wall clock without being late. This adds to the grace of each view.
    #[must_use]
    pub fn disorder(self, disorder: Duration) -> LiveOptions<E> {
        LiveOptions { disorder: milliseconds(disorder), ..self }
    }

    /// Sets how far ahead of the wall clock an event may be; one further ahead is refused.
    #[must_use]
    pub fn ahead_limit(self, limit: Duration) -> LiveOptions<E> {
        LiveOptions { ahead_limit: milliseconds(limit), ..self }
    }

    /// Sets how far behind the wall clock an event may be; an older one is refused.
    #[must_use]
    pub fn behind_limit(self, limit: Duration) -> LiveOptions<E> {
        LiveOptions { behind_limit: milliseconds(limit), ..self }
    }

    /// Sets how many events may wait for the workers of this process before a push blocks. A larger batch is accepted
    /// once fewer events wait, so memory holds at most this many events and one batch. Choose it by the size of events.
    #[must_use]
    pub fn waiting(self, events: usize) -> LiveOptions<E> {
        LiveOptions { waiting: events, ..self }
    }
}

impl<E> LiveOptions<E> {
    fn check(&self, event: &E, now: EventTime) -> Result<(), EventRefusal> {
        let (time, limit) = ((self.time)(event), self.behind_limit);
        if time > now.saturating_add(self.ahead_limit) {
            return Err(EventRefusal::Ahead);
        }
        if time < now.saturating_sub(limit) {
            let (behind, limit) = (duration(now.saturating_sub(time)), duration(limit));
            return Err(EventRefusal::Old { behind, limit });
        }
        Ok(())
    }
}

/// Pushes events into a running engine, from any thread. Clones push into the same source; the source ends when the
/// last one is dropped.
///
/// ```
/// use std::time::Duration;
///
/// use dayfold::engine::{EventRefusal, PushError, PushRefusal, Pushed, Pusher, Receipt, WaitError};
///
/// /// Pushes events, and returns those that have to be pushed again later.
/// fn push(pusher: &Pusher<u64>, events: Vec<u64>) -> Result<Vec<u64>, Box<dyn std::error::Error>> {
///     if let Some(Err(EventRefusal::Old { behind, .. })) = events.first().map(|e| pusher.check(e)) {
///         eprintln!("the first event is {behind:?} old and will be refused");
///     }
///     match pusher.push_timeout(events, Duration::from_secs(1)) {
///         Ok(Pushed { receipt, .. }) => Ok(are_kept(&receipt).map(|()| Vec::new())?),
///         // Nothing has happened.
///         Err(PushError { events, refusal: PushRefusal::TimedOut { .. }, .. }) => Ok(events),
///         Err(error) => Err(error.refusal.into()),
///     }
/// }
///
/// /// Waits until nothing can take the events away any more.
/// fn are_kept(receipt: &Receipt) -> Result<(), WaitError> {
///     receipt.wait_both(Duration::from_secs(10))
/// }
/// ```
pub struct Pusher<E> {
    pub(crate) queue: Arc<Queue<E>>,
}

impl<E> std::fmt::Debug for Pusher<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pusher").field("options", &self.queue.options).finish_non_exhaustive()
    }
}

impl<E> Pusher<E> {
    /// Whether an event is neither too far ahead of the wall clock nor too old.
    pub fn believes(&self, event: &E) -> bool {
        self.check(event).is_ok()
    }

    /// Checks whether the source would accept an event.
    ///
    /// # Errors
    /// [`EventRefusal`] with the reason.
    pub fn check(&self, event: &E) -> Result<(), EventRefusal> {
        self.queue.options.check(event, self.queue.clock.now())
    }

    /// Passes events to the engine, in one batch. Blocks while 64 batches wait already, or as many events as
    /// [`LiveOptions::waiting`] allows: an engine that is behind slows down those who push. It also blocks while a view
    /// is near one of its [`Limits`](crate::view::Limits). Events that are too far ahead of the wall clock, or too old,
    /// are refused and returned; the others enter one tick together. The receipt tells when they are visible, and when
    /// they are durable.
    ///
    /// # Errors
    /// [`PushError`] with all events, if the engine has stopped or could not start; nothing has happened then.
    pub fn push(&self, events: Vec<E>) -> Result<Pushed<E>, PushError<E>> {
        let checked = self.queue.check(events);
        let waits = |inner: &mut Inner<E>| !inner.closed && self.queue.is_full(inner);
        let inner = self.queue.room.wait_while(self.queue.lock(), waits);
        let inner = inner.unwrap_or_else(|poisoned| poisoned.into_inner());
        self.queue.enter(inner, checked, PushRefusal::Full)
    }

    /// As [`Pusher::push`], but does not block.
    ///
    /// # Errors
    /// [`PushError`] with all events, if too much waits or the engine has stopped; nothing has happened then.
    pub fn try_push(&self, events: Vec<E>) -> Result<Pushed<E>, PushError<E>> {
        let checked = self.queue.check(events);
        self.queue.enter(self.queue.lock(), checked, PushRefusal::Full)
    }

    /// As [`Pusher::push`], but blocks at most for `limit`.
    ///
    /// # Errors
    /// [`PushError`] with all events, if too much waits all this time or the engine has stopped; nothing has happened
    /// then.
    pub fn push_timeout(&self, events: Vec<E>, limit: Duration) -> Result<Pushed<E>, PushError<E>> {
        let checked = self.queue.check(events);
        let waits = |inner: &mut Inner<E>| !inner.closed && self.queue.is_full(inner);
        let waited = self.queue.room.wait_timeout_while(self.queue.lock(), limit, waits);
        let (inner, _) = waited.unwrap_or_else(|poisoned| poisoned.into_inner());
        self.queue.enter(inner, checked, PushRefusal::TimedOut { limit })
    }

    /// As [`Pusher::push`], for a task of any runtime. If the future is dropped before it is done, nothing has
    /// happened, and the events are dropped too. The source does not end while the future exists.
    pub fn push_async(
        &self,
        events: Vec<E>,
    ) -> impl Future<Output = Result<Pushed<E>, PushError<E>>> + Send + use<E>
    where
        E: Send,
    {
        let pushing = Pushing { pusher: self.clone(), place: None };
        let mut checked = Some(self.queue.check(events));
        async move {
            let mut pushing = pushing;
            std::future::poll_fn(|context| pushing.poll(&mut checked, context)).await
        }
    }
}

/// A task that waits for room.
struct Pushing<E> {
    pusher: Pusher<E>,
    place: Option<u64>,
}

impl<E> Pushing<E> {
    fn poll(
        &mut self,
        checked: &mut Option<Checked<E>>,
        context: &mut Context<'_>,
    ) -> Poll<Result<Pushed<E>, PushError<E>>> {
        let queue = &self.pusher.queue;
        let mut inner = queue.lock();
        if !inner.closed && queue.is_full(&inner) {
            inner.tasks.wait(&mut self.place, context.waker());
            return Poll::Pending;
        }
        let checked = checked.take().expect("a future is not polled again once it is ready");
        Poll::Ready(queue.enter(inner, checked, PushRefusal::Full))
    }
}

impl<E> Drop for Pushing<E> {
    fn drop(&mut self) {
        self.pusher.queue.lock().tasks.leave(self.place);
    }
}

/// The result of a push.
#[derive(Debug)]
#[must_use = "events that were refused are in here"]
#[non_exhaustive]
pub struct Pushed<E> {
    /// The events that were refused: too far ahead of the wall clock, or too old.
    pub refused: Vec<E>,
    /// When the others are visible and durable.
    pub receipt: Receipt,
}

impl<E> Clone for Pusher<E> {
    fn clone(&self) -> Self {
        self.queue.lock().pushers += 1;
        Pusher { queue: Arc::clone(&self.queue) }
    }
}

impl<E> Drop for Pusher<E> {
    fn drop(&mut self) {
        let mut inner = self.queue.lock();
        inner.pushers -= 1;
        inner.workers.iter().for_each(std::thread::Thread::unpark);
    }
}

/// Why nothing of a batch has entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PushRefusal {
    /// The engine has stopped.
    #[error("the engine has stopped")]
    Stopped,
    /// Too much waits already, or a view is near a limit. Push again later.
    #[error("too much waits already, or a view is near a bound of its limits")]
    Full,
    /// Too much waited all the time, or a view was near a limit.
    #[error("too much waited for {limit:?}, or a view was near a bound of its limits")]
    TimedOut {
        /// How long the call waited.
        limit: Duration,
    },
}

/// Why a live source refuses an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EventRefusal {
    /// The event is further ahead of the wall clock than [`LiveOptions::ahead_limit`] allows.
    #[error("the event is too far ahead of the wall clock")]
    Ahead,
    /// The event is further behind the wall clock than [`LiveOptions::behind_limit`] allows.
    #[error(
        "the event is too old: it is {} ms behind the wall clock, and at most {} ms are accepted",
        behind.as_millis(),
        limit.as_millis()
    )]
    Old {
        /// How far behind the event is.
        behind: Duration,
        /// How far behind it may be.
        limit: Duration,
    },
}

/// Nothing of the batch has entered.
#[derive(Debug, thiserror::Error)]
#[error("{refusal}: none of {} events has entered", events.len())]
#[non_exhaustive]
pub struct PushError<E> {
    /// All events of the batch; those that would have been refused come last.
    pub events: Vec<E>,
    /// The reason.
    pub refusal: PushRefusal,
}

/// The queue between pushers and the workers of this process.
pub(crate) struct Queue<E> {
    pub(crate) options: LiveOptions<E>,
    pub(crate) clock: Clock,
    pub(crate) waits: Arc<Waits>,
    /// The encoding of events of pushes with a key. Set once the engine has started with a log that promises
    /// durability, so that keys will be known later.
    pub(crate) once_codec: OnceLock<EventCodec<E>>,
    inner: Mutex<Inner<E>>,
    pub(crate) room: Condvar,
}

pub(crate) struct Inner<E> {
    waiting: VecDeque<Batch<E>>,
    /// The number of events of all waiting batches.
    events: usize,
    /// Pushes with a key that have no answer yet.
    pub(crate) once: Requests,
    pushers: usize,
    pub(crate) closed: bool,
    /// A view is near a limit: nothing is let in.
    pub(crate) held: bool,
    pub(crate) workers: Vec<std::thread::Thread>,
    /// Tasks that wait for room.
    tasks: Wakers,
}

/// A batch whose events have been compared with the clock.
struct Checked<E> {
    now: EventTime,
    events: Vec<E>,
    refused: Vec<E>,
}

/// Events that were pushed together.
pub(crate) struct Batch<E> {
    pushed: EventTime,
    pub(crate) events: Vec<E>,
    /// The number of refused events of the batch.
    pub(crate) refused: u64,
    /// Filled in when the batch enters.
    pub(crate) ticket: Arc<Ticket>,
}

impl<E> Queue<E> {
    pub(crate) fn new(
        options: LiveOptions<E>,
        clock: Clock,
        waits: Arc<Waits>,
    ) -> (Arc<Queue<E>>, Pusher<E>) {
        let (waiting, workers) = (VecDeque::new(), Vec::new());
        let inner = Inner {
            waiting,
            events: 0,
            once: Requests::default(),
            pushers: 1,
            closed: false,
            held: false,
            workers,
            tasks: Wakers::default(),
        };
        let (inner, room, once_codec) = (Mutex::new(inner), Condvar::new(), OnceLock::new());
        let queue = Arc::new(Queue { options, clock, waits, once_codec, inner, room });
        (Arc::clone(&queue), Pusher { queue })
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner<E>> {
        self.inner.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Whether a push has to wait.
    fn is_full(&self, inner: &Inner<E>) -> bool {
        inner.held
            || inner.waiting.len() >= BATCHES_WAITING
            || inner.events >= self.options.waiting.max(1)
    }

    /// Separates the events that are refused.
    fn check(&self, mut events: Vec<E>) -> Checked<E> {
        let now = self.clock.now();
        let refused =
            events.extract_if(.., |event| self.options.check(event, now).is_err()).collect();
        Checked { now, events, refused }
    }

    /// Accepts a batch if there is room, and otherwise returns it with this reason.
    fn enter(
        &self,
        mut inner: MutexGuard<'_, Inner<E>>,
        checked: Checked<E>,
        full: PushRefusal,
    ) -> Result<Pushed<E>, PushError<E>> {
        let Checked { now, mut events, refused } = checked;
        let is_full = self.is_full(&inner);
        if inner.closed || is_full {
            let refusal = if inner.closed { PushRefusal::Stopped } else { full };
            drop(inner);
            events.extend(refused);
            return Err(PushError { events, refusal });
        }
        let (receipt, ticket) = Receipt::new(&self.waits);
        inner.events += events.len();
        inner.waiting.push_back(Batch {
            pushed: now,
            events,
            refused: refused.len() as u64,
            ticket,
        });
        inner.workers.iter().for_each(std::thread::Thread::unpark);
        Ok(Pushed { refused, receipt })
    }

    /// Accepts pushes with a key from now on.
    pub(crate) fn keep_keys(&self, codec: EventCodec<E>) {
        self.once_codec.get_or_init(|| codec);
    }

    /// Registers the calling worker to be woken when something is pushed.
    pub(crate) fn register(&self) {
        self.lock().workers.push(std::thread::current());
    }

    fn wake(&self, mut inner: MutexGuard<'_, Inner<E>>) {
        let tasks = inner.tasks.take();
        drop(inner);
        self.room.notify_all();
        tasks.into_values().for_each(Waker::wake);
    }

    /// The oldest waiting batch.
    pub(crate) fn take(&self) -> Option<Batch<E>> {
        let mut inner = self.lock();
        let batch = inner.waiting.pop_front()?;
        inner.events -= batch.events.len();
        // A large batch makes room for several.
        self.wake(inner);
        Some(batch)
    }

    /// The next push with a key to pass on.
    pub(crate) fn take_request(&self) -> Option<Request> {
        self.lock().once.take()
    }

    /// Notes the answer to a push with a key.
    pub(crate) fn answer(&self, id: u64, reply: Reply) {
        self.lock().once.answer(id, reply);
        self.room.notify_all();
        self.waits.tell_log();
    }

    /// The watermark, or `None` if nothing waits and nothing can come.
    pub(crate) fn watermark(&self) -> Option<EventTime> {
        let inner = self.lock();
        let oldest = inner.waiting.front().map(|batch| batch.pushed);
        let oldest = oldest.into_iter().chain(inner.once.oldest()).min();
        if oldest.is_none() && (inner.pushers == 0 || inner.closed) {
            return None;
        }
        let clock = oldest.unwrap_or_else(|| self.clock.now());
        Some(clock.saturating_sub(self.options.disorder))
    }

    /// Pauses or resumes the intake.
    pub(crate) fn hold(&self, held: bool) {
        let mut inner = self.lock();
        inner.held = held;
        if !held {
            self.wake(inner);
        }
    }

    /// Refuses pushes from now on.
    pub(crate) fn close(&self) {
        let mut inner = self.lock();
        inner.closed = true;
        self.wake(inner);
    }
}

#[cfg(test)]
mod tests;
