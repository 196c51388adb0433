//! Requests of other threads, on their way to the worker that takes the queries of a view.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, mpsc};
use std::thread::Thread;
use std::time::{Duration, Instant};

use crate::aggregate::Aggregate;
use crate::archive::Pool;
use crate::engine::ask::error::{AskError, ViewError};
use crate::engine::ask::rounds::{Copied, Rounds};
use crate::engine::ask::slot::{Giver, Taker, slot};
use crate::engine::upkeep::maintenance::{MaintainError, Maintained, Task};
use crate::key::Key;
use crate::serve::{Answer, Piece, Query, Question};
use crate::speed::ViewNumbers;
use crate::time::Day;
use crate::view::KeptFrom;

/// How much may wait for a view in this process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AskLimits {
    /// The number of queries that no worker has taken yet.
    pub(crate) waiting: usize,
    /// The number of subscriptions.
    pub(crate) subscribers: usize,
}

impl Default for AskLimits {
    fn default() -> AskLimits {
        AskLimits { waiting: 65_536, subscribers: 65_536 }
    }
}

/// An audit or a rebuild, and where its result goes.
pub(crate) type AskedTask = (Task, mpsc::SyncSender<Result<Maintained, MaintainError>>);

/// A query that waits for a worker.
pub(crate) struct Request<K: Key, A: Aggregate> {
    pub(crate) question: Question<K>,
    pub(crate) reply: Giver<Pieces<K, A>>,
}

/// Pieces of an answer that were not taken yet.
pub(crate) type Pieces<K, A> = VecDeque<Piece<K, A>>;

/// A message about a question that a worker has taken.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Said {
    /// This worker may send one more piece.
    More(u64),
    /// No more pieces are wanted.
    Cancel,
}

/// A subscription that begins.
pub(crate) struct Joining<K: Key, A: Aggregate> {
    pub(crate) number: u64,
    pub(crate) query: Query<K>,
    pub(crate) every: Duration,
    pub(crate) giver: Giver<Delivered<K, A>>,
}

/// The content of the mailbox, for the worker.
pub(crate) struct Mail<K: Key, A: Aggregate> {
    pub(crate) requests: BTreeMap<u64, Request<K, A>>,
    pub(crate) joining: BTreeMap<u64, Joining<K, A>>,
    pub(crate) left: Vec<u64>,
    pub(crate) said: Vec<(u64, Said)>,
}

/// The bytes of rows that may wait to be taken in this process. While there are more, no questions are accepted.
const BYTES_WAITING: usize = 128 << 20;

pub(crate) struct Mailbox<K: Key, A: Aggregate> {
    inner: Mutex<Inner<K, A>>,
    /// Signals that days have become live on a worker, or that no more will.
    sealed: Condvar,
    /// How often a worker of this process has seen sealed days become live.
    sealings: AtomicU64,
    /// The threads that read for questions, once there are workers.
    pool: OnceLock<Pool>,
    /// What the view keeps, and the first period that can be computed again.
    kept: Mutex<KeptFrom>,
    computed_from: AtomicI32,
}

struct Inner<K: Key, A: Aggregate> {
    /// The number of the latest query or subscription.
    number: u64,
    /// By number, so that a cancelled one can be removed.
    requests: BTreeMap<u64, Request<K, A>>,
    joining: BTreeMap<u64, Joining<K, A>>,
    /// Subscriptions that the worker knows and that have ended.
    left: Vec<u64>,
    /// Messages about questions that the worker knows.
    said: Vec<(u64, Said)>,
    rounds: Rounds,
    /// The number of active subscriptions.
    subscribers: usize,
    tasks: VecDeque<AskedTask>,
    /// The numbers that each worker of this process has published.
    numbers: BTreeMap<usize, ViewNumbers>,
    error: Option<ViewError>,
    /// The thread of the worker that takes all this.
    worker: Option<Thread>,
    /// Set once the engine has started.
    limits: Option<AskLimits>,
    closed: bool,
}

impl<K: Key, A: Aggregate> Inner<K, A> {
    fn next_number(&mut self) -> u64 {
        self.number += 1;
        self.number
    }

    fn wake(&self) {
        self.worker.iter().for_each(Thread::unpark);
    }

    /// The questions that are let in now. Questions that keep much state enter in rounds.
    fn take_requests(&mut self, outlived: usize, last: bool) -> BTreeMap<u64, Request<K, A>> {
        let keeps_much =
            |_: &u64, request: &mut Request<K, A>| request.question.is_of_many_keys_now();
        let is_awaited =
            self.requests.iter_mut().any(|(number, request)| keeps_much(number, request));
        let rows = self.numbers.values().map(|numbers| numbers.groups).sum();
        // A table has about as many free slots as used ones.
        let copied = Copied { rows, bytes: 2 * rows * size_of::<(K, A)>(), outlived };
        if last || !is_awaited || self.rounds.begins(copied, Instant::now()) {
            return std::mem::take(&mut self.requests);
        }
        let let_in = |number: &u64, request: &mut Request<K, A>| !keeps_much(number, request);
        self.requests.extract_if(.., let_in).collect()
    }

    /// The limits, if requests are accepted.
    fn limits(&self) -> Result<AskLimits, AskError> {
        if self.closed {
            return Err(AskError::Stopped);
        }
        self.limits.ok_or(AskError::NotStarted)
    }

    /// Whether this worker takes the requests. For all views, the first worker of this process takes them. So a message
    /// to several views comes before what they are asked later.
    fn is_taken_up_by(&mut self, worker: usize) -> bool {
        let is_first = self.numbers.keys().next().is_none_or(|first| *first == worker);
        if is_first && self.worker.is_none() {
            self.worker = Some(std::thread::current());
        }
        is_first
    }
}

impl<K: Key, A: Aggregate> Mailbox<K, A> {
    pub(crate) fn new() -> Mailbox<K, A> {
        let inner = Inner {
            number: 0,
            requests: BTreeMap::new(),
            joining: BTreeMap::new(),
            left: Vec::new(),
            said: Vec::new(),
            rounds: Rounds::default(),
            subscribers: 0,
            tasks: VecDeque::new(),
            numbers: BTreeMap::new(),
            error: None,
            worker: None,
            limits: None,
            closed: false,
        };
        let (inner, sealed) = (Mutex::new(inner), Condvar::new());
        let (pool, sealings) = (OnceLock::new(), AtomicU64::new(0));
        let (kept, computed_from) = (Mutex::new(KeptFrom::ALL), AtomicI32::new(Day::MIN.0));
        Mailbox { inner, sealed, sealings, pool, kept, computed_from }
    }

    /// Says what the view keeps. It never goes back.
    pub(crate) fn keeps(&self, kept: &KeptFrom) {
        let mut known = self.kept.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        *known = kept.max(*known);
    }

    /// Records the first period that can be computed again from the log.
    pub(crate) fn computes_from(&self, computed: Day) {
        self.computed_from.fetch_max(computed.0, Ordering::Relaxed);
    }

    /// What the view keeps, as far as this process has heard: a question of it may be refused later, when a worker takes it
    /// up.
    pub(crate) fn kept(&self) -> KeptFrom {
        *self.kept.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// The first period that can be computed again from the log.
    pub(crate) fn computed_from(&self) -> Day {
        Day(self.computed_from.load(Ordering::Relaxed))
    }

    fn lock(&self) -> MutexGuard<'_, Inner<K, A>> {
        self.inner.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Sets the threads that read for questions.
    pub(crate) fn read_with(&self, pool: &Pool) {
        self.pool.get_or_init(|| pool.clone());
    }

    /// Adds a question; returns its number and the place where the pieces of its answer will be.
    pub(crate) fn send(
        &self,
        question: Question<K>,
    ) -> Result<(u64, Taker<Pieces<K, A>>), AskError> {
        let (reply, answer) = slot();
        let mut inner = self.lock();
        let limit = inner.limits()?.waiting;
        if inner.requests.len() >= limit {
            return Err(AskError::Full { limit });
        }
        if self.pool.get().is_some_and(|pool| pool.bytes() > BYTES_WAITING) {
            return Err(AskError::FullOfRows { limit: BYTES_WAITING });
        }
        let number = inner.next_number();
        inner.requests.insert(number, Request { question, reply });
        inner.wake();
        Ok((number, answer))
    }

    /// Sends a message about a question. If no worker has taken the question yet, cancelling removes it.
    pub(crate) fn say(&self, number: u64, said: Said) {
        let mut inner = self.lock();
        let is_waiting = inner.requests.contains_key(&number);
        match said {
            Said::Cancel if is_waiting => {
                let request = inner.requests.remove(&number);
                drop(inner);
                drop(request);
            }
            _ if inner.closed => {}
            _ => {
                inner.said.push((number, said));
                inner.wake();
            }
        }
    }

    /// Begins a subscription; returns its number and the place where the latest answer will be.
    pub(crate) fn subscribe(
        &self,
        query: Query<K>,
        every: Duration,
    ) -> Result<(u64, Taker<Delivered<K, A>>), AskError> {
        let (giver, taker) = slot();
        let mut inner = self.lock();
        let limit = inner.limits()?.subscribers;
        if inner.subscribers >= limit {
            return Err(AskError::TooManySubscribers { limit });
        }
        inner.subscribers += 1;
        let number = inner.next_number();
        inner.joining.insert(number, Joining { number, query, every, giver });
        inner.wake();
        Ok((number, taker))
    }

    /// Ends a subscription.
    pub(crate) fn unsubscribe(&self, number: u64) {
        let mut inner = self.lock();
        inner.subscribers -= 1;
        let joining = inner.joining.remove(&number);
        if joining.is_none() && !inner.closed {
            inner.left.push(number);
            inner.wake();
        }
    }

    /// The number of queries that wait for a worker, and the number of subscriptions.
    pub(crate) fn waiting(&self) -> (usize, usize) {
        let inner = self.lock();
        (inner.requests.len(), inner.subscribers)
    }

    /// Adds an audit or a rebuild.
    pub(crate) fn send_task(&self, task: AskedTask) -> Result<(), MaintainError> {
        let mut inner = self.lock();
        match inner.limits {
            _ if inner.closed => return Err(MaintainError::Stopped),
            None => return Err(MaintainError::NotStarted),
            Some(_) => {}
        }
        inner.tasks.push_back(task);
        inner.wake();
        Ok(())
    }

    /// All requests, if the calling thread belongs to the worker that takes them; `last` if it will not come again.
    pub(crate) fn take(&self, worker: usize, last: bool) -> Option<Mail<K, A>> {
        let mut inner = self.lock();
        if !inner.is_taken_up_by(worker) {
            return None;
        }
        inner.closed |= last;
        let outlived = self.pool.get().map_or(0, |pool| pool.outlived().bytes());
        Some(Mail {
            requests: inner.take_requests(outlived, last),
            joining: std::mem::take(&mut inner.joining),
            left: std::mem::take(&mut inner.left),
            said: std::mem::take(&mut inner.said),
        })
    }

    /// The oldest audit or rebuild, if the calling thread belongs to the worker that takes it.
    pub(crate) fn take_task(&self) -> Option<AskedTask> {
        let mut inner = self.lock();
        let this = std::thread::current().id();
        inner.worker.as_ref().filter(|worker| worker.id() == this)?;
        inner.tasks.pop_front()
    }

    /// Accepts queries, within these limits. They wait for the workers, which have not started yet.
    pub(crate) fn open(&self, limits: AskLimits) {
        self.lock().limits = Some(limits);
    }

    /// Notes that this process will have this worker.
    pub(crate) fn expect(&self, worker: usize) {
        self.lock().numbers.insert(worker, ViewNumbers::default());
    }

    /// Wakes the worker to check the mailbox.
    pub(crate) fn wake(&self) {
        self.lock().wake();
    }

    /// Notes that sealed days have become live on a worker.
    pub(crate) fn note_sealing(&self, worker: usize, numbers: ViewNumbers) {
        self.sealings.fetch_add(1, Ordering::AcqRel);
        self.publish(worker, numbers, None);
        self.lock().wake();
    }

    /// Publishes the state of the view on a worker.
    pub(crate) fn publish(&self, worker: usize, numbers: ViewNumbers, error: Option<ViewError>) {
        let mut inner = self.lock();
        inner.numbers.insert(worker, numbers);
        if inner.error.is_none() {
            inner.error = error;
        }
        drop(inner);
        self.sealed.notify_all();
    }

    /// The state of the view on all workers of this process.
    pub(crate) fn status(&self) -> ViewState {
        let inner = self.lock();
        let numbers = inner.numbers.values().copied().reduce(ViewNumbers::with);
        ViewState { numbers: numbers.unwrap_or_default(), error: inner.error.clone() }
    }

    /// Waits until a day, and all days before it, are sealed on all workers of this process.
    pub(crate) fn wait_sealed(&self, day: Day, limit: Duration) -> Result<(), AskError> {
        let is_sealed = |inner: &Inner<K, A>| {
            let mut workers = inner.numbers.values();
            workers.len() > 0 && workers.all(|numbers| numbers.sealed_through >= Some(day))
        };
        let waits = |inner: &mut Inner<K, A>| !inner.closed && !is_sealed(inner);
        let waited = self.sealed.wait_timeout_while(self.lock(), limit, waits);
        let (inner, _) = waited.unwrap_or_else(|poisoned| poisoned.into_inner());
        match is_sealed(&inner) {
            true => Ok(()),
            false if inner.closed => Err(AskError::Stopped),
            false => Err(AskError::TimedOut { limit }),
        }
    }

    /// How often sealed days have become live.
    pub(crate) fn sealings(&self) -> u64 {
        self.sealings.load(Ordering::Acquire)
    }

    /// Refuses everything from now on; waiting threads and tasks are told.
    pub(crate) fn close(&self) {
        let mut inner = self.lock();
        inner.closed = true;
        let gone = (
            std::mem::take(&mut inner.requests),
            std::mem::take(&mut inner.joining),
            std::mem::take(&mut inner.tasks),
        );
        inner.left.clear();
        self.sealed.notify_all();
        // Dropping them may run code of the program, such as a waker, which may ask again.
        drop(inner);
        drop(gone);
    }
}

/// The state of a view of an engine in this process.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ViewState {
    /// The numbers of all workers together. A day is sealed if all have sealed it; days are counted by the worker that
    /// has most of them. Other processes have other keys, and may have other days.
    pub numbers: ViewNumbers,
    /// Why the view, and with it the engine, has stopped.
    pub error: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

/// An answer shared by all subscribers of the same query, and a number that rises whenever the answer has changed.
pub(crate) type Delivered<K, A> = (u64, Arc<Answer<K, A>>);
