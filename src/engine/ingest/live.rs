//! A live source: other threads push events, and the wall clock closes days.
//!
//! Its watermark is the wall clock less the allowed disorder, held back by batches that wait: a quiet
//! source does not keep a day open for ever, and a slow engine makes nothing late.

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

/// Batches that may wait before a push does. Small ones cost more than their events.
const BATCHES_WAITING: usize = 64;

/// How a live source tells the time of its events, and which times it believes.
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
    /// Events whose time, in milliseconds UTC, this function tells. No disorder, a day ahead, any age, and 65,536 events
    /// that wait.
    pub fn new(time: fn(&E) -> EventTime) -> LiveOptions<E> {
        let (ahead_limit, behind_limit) = (DAY_MS, i64::MAX);
        LiveOptions { time, disorder: 0, ahead_limit, behind_limit, waiting: 65_536 }
    }

    /// The same, where events may come so far behind the wall clock without being late. It adds to the grace of each view.
    #[must_use]
    pub fn disorder(self, disorder: Duration) -> LiveOptions<E> {
        LiveOptions { disorder: milliseconds(disorder), ..self }
    }

    /// The same, where an event may be so far ahead of the wall clock; one further ahead is refused.
    #[must_use]
    pub fn ahead_limit(self, limit: Duration) -> LiveOptions<E> {
        LiveOptions { ahead_limit: milliseconds(limit), ..self }
    }

    /// The same, where an event may be so far behind the wall clock; one that is older is refused.
    #[must_use]
    pub fn behind_limit(self, limit: Duration) -> LiveOptions<E> {
        LiveOptions { behind_limit: milliseconds(limit), ..self }
    }

    /// The same, where so many events may wait for the workers of this process before a push does. A batch that has more
    /// goes when fewer wait, so at most so many and a batch are in memory. Choose it by the size of events.
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

/// Pushes events into a running engine, from any thread. Clones push into the same source; the source
/// ends when the last one is dropped.
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

    /// Whether a live source takes an event.
    ///
    /// # Errors
    /// Why not: [`EventRefusal`].
    pub fn check(&self, event: &E) -> Result<(), EventRefusal> {
        self.queue.options.check(event, self.queue.clock.now())
    }

    /// Hands events to the engine, in one batch; waits while 64 batches wait already, or as many events as
    /// [`LiveOptions::waiting`] allows: an engine that is behind slows those who push. It waits as well while a view is
    /// near a bound of its [`Limits`](crate::view::Limits). Events too far ahead of
    /// the wall clock, or too old, are refused and come back; the others enter one tick together. The receipt tells when
    /// they are visible, and when they are durable.
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

    /// As [`Pusher::push`], but does not wait.
    ///
    /// # Errors
    /// [`PushError`] with all events, if too much waits or the engine has stopped; nothing has happened then.
    pub fn try_push(&self, events: Vec<E>) -> Result<Pushed<E>, PushError<E>> {
        let checked = self.queue.check(events);
        self.queue.enter(self.queue.lock(), checked, PushRefusal::Full)
    }

    /// As [`Pusher::push`], but waits at most so long.
    ///
    /// # Errors
    /// [`PushError`] with all events, if too much waits for so long or the engine has stopped; nothing has
    /// happened then.
    pub fn push_timeout(&self, events: Vec<E>, limit: Duration) -> Result<Pushed<E>, PushError<E>> {
        let checked = self.queue.check(events);
        let waits = |inner: &mut Inner<E>| !inner.closed && self.queue.is_full(inner);
        let waited = self.queue.room.wait_timeout_while(self.queue.lock(), limit, waits);
        let (inner, _) = waited.unwrap_or_else(|poisoned| poisoned.into_inner());
        self.queue.enter(inner, checked, PushRefusal::TimedOut { limit })
    }

    /// As [`Pusher::push`], for a task of any runtime. Dropped before it is done, nothing has happened, and
    /// the events are gone. The source does not end meanwhile.
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

/// What came of a push.
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
    /// Too much waits already, or a view is near a bound. Push again later.
    #[error("too much waits already, or a view is near a bound of its limits")]
    Full,
    /// Too much waited all the time, or a view was near a bound.
    #[error("too much waited for {limit:?}, or a view was near a bound of its limits")]
    TimedOut {
        /// How long was waited.
        limit: Duration,
    },
}

/// Why a live source does not take an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EventRefusal {
    /// It is further ahead of the wall clock than [`LiveOptions::ahead_limit`] allows.
    #[error("the event is too far ahead of the wall clock")]
    Ahead,
    /// It is further behind the wall clock than [`LiveOptions::behind_limit`] allows.
    #[error(
        "the event is too old: it is {} ms behind the wall clock, and at most {} ms are accepted",
        behind.as_millis(),
        limit.as_millis()
    )]
    Old {
        /// How far behind it is.
        behind: Duration,
        /// How far it may be.
        limit: Duration,
    },
}

/// Nothing of the batch has entered.
#[derive(Debug, thiserror::Error)]
#[error("{refusal}: none of {} events has entered", events.len())]
#[non_exhaustive]
pub struct PushError<E> {
    /// All events of the batch; those that would have been refused last.
    pub events: Vec<E>,
    /// Why.
    pub refusal: PushRefusal,
}

/// What waits between pushers and the workers of this process.
pub(crate) struct Queue<E> {
    pub(crate) options: LiveOptions<E>,
    pub(crate) clock: Clock,
    pub(crate) waits: Arc<Waits>,
    /// How events of requests with a key travel, once the engine has started with a log that promises that
    /// the key will be known later.
    pub(crate) once_codec: OnceLock<EventCodec<E>>,
    inner: Mutex<Inner<E>>,
    pub(crate) room: Condvar,
}

pub(crate) struct Inner<E> {
    waiting: VecDeque<Batch<E>>,
    /// Of all batches that wait.
    events: usize,
    /// Pushes with a key that have no answer.
    pub(crate) once: Requests,
    pushers: usize,
    pub(crate) closed: bool,
    /// A view is near a bound: nothing is let in.
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
    /// How many of the batch were refused.
    pub(crate) refused: u64,
    /// To be filled in when the batch enters.
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

    /// Tells events apart that are not believed.
    fn check(&self, mut events: Vec<E>) -> Checked<E> {
        let now = self.clock.now();
        let refused =
            events.extract_if(.., |event| self.options.check(event, now).is_err()).collect();
        Checked { now, events, refused }
    }

    /// Lets a batch in if there is room, and gives it back with this reason if not.
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

    /// Takes pushes with a key from now on.
    pub(crate) fn keep_keys(&self, codec: EventCodec<E>) {
        self.once_codec.get_or_init(|| codec);
    }

    /// Has the calling worker woken when something is pushed.
    pub(crate) fn register(&self) {
        self.lock().workers.push(std::thread::current());
    }

    fn wake(&self, mut inner: MutexGuard<'_, Inner<E>>) {
        let tasks = inner.tasks.take();
        drop(inner);
        self.room.notify_all();
        tasks.into_values().for_each(Waker::wake);
    }

    /// The oldest batch that waits.
    pub(crate) fn take(&self) -> Option<Batch<E>> {
        let mut inner = self.lock();
        let batch = inner.waiting.pop_front()?;
        inner.events -= batch.events.len();
        // A large batch makes room for several.
        self.wake(inner);
        Some(batch)
    }

    /// The next request with a key, to be passed on.
    pub(crate) fn take_request(&self) -> Option<Request> {
        self.lock().once.take()
    }

    /// Notes the answer to one.
    pub(crate) fn answer(&self, id: u64, reply: Reply) {
        self.lock().once.answer(id, reply);
        self.room.notify_all();
        self.waits.tell_log();
    }

    /// The watermark, or `None` when nothing waits and nothing can come.
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

    /// Lets nothing in for now, or lets in again.
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
