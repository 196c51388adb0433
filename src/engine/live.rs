//! A live source: other threads push events, and the wall clock closes days.
//!
//! Its watermark is the wall clock less the allowed disorder, held back by batches that wait: a quiet
//! source does not keep a day open for ever, and a slow engine makes nothing late.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock};

use super::clock::Clock;
use super::once::{Reply, Request, Requests};
use super::receipt::{Receipt, Ticket, Waits};
use crate::log::EventCodec;
use crate::time::EventTime;

/// Batches that may wait before a push does. Small ones cost more than their events.
const BATCHES_WAITING: usize = 64;

/// How a live source tells the time of its events, and which times it believes.
pub struct LiveOptions<E> {
    /// The event time of an event, in milliseconds UTC.
    pub time: fn(&E) -> EventTime,
    /// How far events may come behind the wall clock without being late, in milliseconds. It adds to
    /// the grace of each view.
    pub disorder: i64,
    /// How far ahead of the wall clock an event may be, in milliseconds; one further ahead is refused.
    pub ahead_limit: i64,
    /// How many events may wait for the workers of this process before a push does. A batch that has more
    /// goes when fewer wait, so at most so many and a batch are in memory. Choose it by the size of events.
    pub waiting: usize,
}

impl<E> LiveOptions<E> {
    /// No disorder, a day ahead, and 65,536 events that wait.
    pub fn new(time: fn(&E) -> EventTime) -> LiveOptions<E> {
        LiveOptions { time, disorder: 0, ahead_limit: 86_400_000, waiting: 65_536 }
    }
}

/// Pushes events into a running engine, from any thread. Clones push into the same source; the source
/// ends when the last one is dropped.
pub struct Pusher<E> {
    pub(super) queue: Arc<Queue<E>>,
}

impl<E> Pusher<E> {
    /// Whether an event is not too far ahead of the wall clock. One that is not will not be later.
    pub fn believes(&self, event: &E) -> bool {
        let options = &self.queue.options;
        (options.time)(event) <= self.queue.clock.now().saturating_add(options.ahead_limit)
    }

    /// Hands events to the engine, in one batch; waits while 64 batches wait already, or as many events as
    /// [`LiveOptions::waiting`] allows: an engine that is behind slows those who push. Events too far ahead of
    /// the wall clock are refused and come back; the others enter one tick together. The receipt tells when
    /// they are visible, and when they are durable.
    ///
    /// # Errors
    /// [`PushError`] with all events, if the engine has stopped; nothing has happened then.
    pub fn push(&self, events: Vec<E>) -> Result<Pushed<E>, PushError<E>> {
        let now = self.queue.clock.now();
        let believed = now.saturating_add(self.queue.options.ahead_limit);
        let (accepted, refused): (Vec<E>, Vec<E>) =
            events.into_iter().partition(|event| (self.queue.options.time)(event) <= believed);
        let limit = self.queue.options.waiting;
        let waits = |inner: &mut Inner<E>| !inner.closed && inner.is_full(limit);
        let inner = self.queue.room.wait_while(self.queue.lock(), waits);
        let mut inner = inner.unwrap_or_else(|poisoned| poisoned.into_inner());
        if inner.closed {
            let events = accepted.into_iter().chain(refused).collect();
            return Err(PushError { events });
        }
        let refusals = refused.len() as u64;
        let (receipt, ticket) = Receipt::new(&self.queue.waits);
        let batch = Batch { pushed: now, events: accepted, refused: refusals, ticket };
        inner.events += batch.events.len();
        inner.waiting.push_back(batch);
        inner.workers.iter().for_each(std::thread::Thread::unpark);
        Ok(Pushed { refused, receipt })
    }
}

/// What came of a push.
#[derive(Debug)]
#[must_use = "events that were refused are in here"]
pub struct Pushed<E> {
    /// The events that were refused: too far ahead of the wall clock.
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

/// The engine has stopped; nothing of the batch has entered.
#[derive(Debug, thiserror::Error)]
#[error("the engine has stopped: none of {} events has entered", events.len())]
pub struct PushError<E> {
    /// All events of the batch.
    pub events: Vec<E>,
}

/// What waits between pushers and the workers of this process.
pub(crate) struct Queue<E> {
    pub(super) options: LiveOptions<E>,
    pub(super) clock: Clock,
    pub(super) waits: Arc<Waits>,
    /// How events of requests with a key travel, once the engine has started with a log that promises that
    /// the key will be known later.
    pub(super) once_codec: OnceLock<EventCodec<E>>,
    inner: Mutex<Inner<E>>,
    pub(super) room: Condvar,
}

pub(super) struct Inner<E> {
    waiting: VecDeque<Batch<E>>,
    /// Of all batches that wait.
    events: usize,
    /// Pushes with a key that have no answer.
    pub(super) once: Requests,
    pushers: usize,
    pub(super) closed: bool,
    pub(super) workers: Vec<std::thread::Thread>,
}

impl<E> Inner<E> {
    /// Whether a push has to wait; `limit` is in events.
    fn is_full(&self, limit: usize) -> bool {
        self.waiting.len() >= BATCHES_WAITING || self.events >= limit.max(1)
    }
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
        let once = Requests::default();
        let inner = Inner { waiting, events: 0, once, pushers: 1, closed: false, workers };
        let (inner, room, once_codec) = (Mutex::new(inner), Condvar::new(), OnceLock::new());
        let queue = Arc::new(Queue { options, clock, waits, once_codec, inner, room });
        (Arc::clone(&queue), Pusher { queue })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner<E>> {
        self.inner.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Takes pushes with a key from now on.
    pub(crate) fn keep_keys(&self, codec: EventCodec<E>) {
        self.once_codec.get_or_init(|| codec);
    }

    /// Has the calling worker woken when something is pushed.
    pub(crate) fn register(&self) {
        self.lock().workers.push(std::thread::current());
    }

    /// The oldest batch that waits.
    pub(crate) fn take(&self) -> Option<Batch<E>> {
        let mut inner = self.lock();
        let batch = inner.waiting.pop_front()?;
        inner.events -= batch.events.len();
        drop(inner);
        // A large batch makes room for several.
        self.room.notify_all();
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

    /// Refuses pushes from now on.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.room.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::super::once::OnceError;
    use super::super::receipt::WaitError;
    use super::*;

    fn queue() -> (Arc<Queue<EventTime>>, Pusher<EventTime>) {
        Queue::new(LiveOptions::new(|time| *time), Clock::default(), Arc::default())
    }

    #[test]
    fn an_event_from_the_future_comes_back() {
        let (queue, pusher) = queue();
        let now = Clock::default().now();
        let future = now + 3 * 86_400_000;
        assert_eq!(pusher.push(vec![now, future, 5]).unwrap().refused, [future]);
        let batch = queue.take().unwrap();
        assert_eq!((batch.events, batch.refused), (vec![now, 5], 1));
    }

    #[test]
    fn the_clock_goes_on_without_events_and_waits_for_those_that_wait() {
        let (queue, pusher) = queue();
        let before = Clock::default().now();
        assert!(queue.watermark() >= Some(before), "a quiet source's watermark is the clock");
        assert!(pusher.push(vec![before]).unwrap().refused.is_empty());
        let held = queue.watermark().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(5));
        assert_eq!(queue.watermark(), Some(held), "what waits holds the watermark");
        drop(pusher);
        assert_eq!(queue.watermark(), Some(held), "the source ends when all has entered");
        assert!(queue.take().is_some());
        assert_eq!(queue.watermark(), None);
    }

    #[test]
    fn a_request_with_a_key_holds_the_clock_until_it_is_answered() {
        let (queue, pusher) = queue();
        queue.keep_keys(EventCodec::new(|time: &EventTime| *time));
        let limit = std::time::Duration::from_millis(1);
        let asked = pusher.push_once("key", vec![1, 2], limit);
        assert!(matches!(asked, Err(OnceError::Unknown { error: WaitError::TimedOut { .. } })));
        let request = queue.take_request().unwrap();
        assert_eq!((&request.key[..], request.count), ("key", 2));
        let held = queue.watermark().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(5));
        drop(pusher);
        queue.close();
        assert_eq!(queue.watermark(), Some(held), "nobody waits, but its events may yet enter");
        queue.answer(request.id, Reply::Reused);
        assert_eq!(queue.watermark(), None);
    }

    #[test]
    fn requests_with_a_key_wait_for_room_of_their_own() {
        let options = LiveOptions { waiting: 2, ..LiveOptions::new(|time: &EventTime| *time) };
        let (queue, pusher) = Queue::new(options, Clock::default(), Arc::default());
        queue.keep_keys(EventCodec::new(|time: &EventTime| *time));
        let limit = std::time::Duration::from_millis(1);
        let ask = |key| pusher.push_once(key, vec![1, 2], limit).unwrap_err();
        assert!(matches!(ask("a"), OnceError::Unknown { .. }));
        assert!(matches!(ask("b"), OnceError::Full { events, .. } if events == [1, 2]));
        let request = queue.take_request().unwrap();
        assert!(matches!(ask("b"), OnceError::Full { .. }), "it has no answer");
        queue.answer(request.id, Reply::Unreadable);
        assert!(matches!(ask("b"), OnceError::Unknown { .. }));
    }

    #[test]
    fn pushes_wait_for_room_by_events_too() {
        let options = LiveOptions { waiting: 10, ..LiveOptions::new(|time: &EventTime| *time) };
        let (queue, pusher) = Queue::new(options, Clock::default(), Arc::default());
        let push = |events| assert!(pusher.push(events).unwrap().refused.is_empty());
        let is_full = || queue.lock().is_full(queue.options.waiting);
        push(vec![1; 9]);
        assert!(!is_full());
        push(vec![2; 50]);
        assert!(is_full());
        queue.take().unwrap();
        assert!(is_full(), "50 events wait");
        queue.take().unwrap();
        assert!(!is_full());
    }

    #[test]
    fn pushes_wait_for_room_and_end_with_the_engine() {
        let (queue, pusher) = queue();
        for _ in 0..BATCHES_WAITING {
            assert!(pusher.push(vec![1]).unwrap().refused.is_empty());
        }
        let waiting =
            std::thread::spawn(move || pusher.push(vec![2, 3]).map_err(|e| e.events).err());
        queue.close();
        assert_eq!(waiting.join().unwrap(), Some(vec![2, 3]));
    }
}
