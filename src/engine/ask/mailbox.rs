//! What is on its way from other threads to the worker that takes up a view's queries.

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

/// How much may wait for a view in this process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AskLimits {
    /// Queries that were not taken up yet.
    pub(crate) waiting: usize,
    /// Subscriptions.
    pub(crate) subscribers: usize,
}

impl Default for AskLimits {
    fn default() -> AskLimits {
        AskLimits { waiting: 65_536, subscribers: 65_536 }
    }
}

/// An audit or a rebuild, and where its result goes.
pub(crate) type AskedTask = (Task, mpsc::SyncSender<Result<Maintained, MaintainError>>);

/// A query that waits to be taken up.
pub(crate) struct Request<K: Key, A: Aggregate> {
    pub(crate) question: Question<K>,
    pub(crate) reply: Giver<Pieces<K, A>>,
}

/// Pieces of an answer that nobody has taken yet.
pub(crate) type Pieces<K, A> = VecDeque<Piece<K, A>>;

/// What is said of a question that was taken up.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Said {
    /// One more piece is wanted of this worker.
    More(u64),
    /// No more are.
    Cancel,
}

/// A subscription that begins.
pub(crate) struct Joining<K: Key, A: Aggregate> {
    pub(crate) number: u64,
    pub(crate) query: Query<K>,
    pub(crate) every: Duration,
    pub(crate) giver: Giver<Delivered<K, A>>,
}

/// What the worker finds in the mailbox.
pub(crate) struct Mail<K: Key, A: Aggregate> {
    pub(crate) requests: BTreeMap<u64, Request<K, A>>,
    pub(crate) joining: BTreeMap<u64, Joining<K, A>>,
    pub(crate) left: Vec<u64>,
    pub(crate) said: Vec<(u64, Said)>,
}

/// Bytes of rows that may wait to be taken in this process. If there are more, nothing more is asked.
const BYTES_WAITING: usize = 128 << 20;

pub(crate) struct Mailbox<K: Key, A: Aggregate> {
    inner: Mutex<Inner<K, A>>,
    /// Days have gone live on a worker, or nothing more will.
    sealed: Condvar,
    /// How often a worker of this process has seen sealed days go live.
    sealings: AtomicU64,
    /// The threads that read for questions, once there are workers.
    pool: OnceLock<Pool>,
    /// The first period that the view keeps, and the first that can be computed again.
    kept_from: AtomicI32,
    computed_from: AtomicI32,
}

struct Inner<K: Key, A: Aggregate> {
    /// The number of the latest query or subscription.
    number: u64,
    /// By number, so that one can go that nobody wants any more.
    requests: BTreeMap<u64, Request<K, A>>,
    joining: BTreeMap<u64, Joining<K, A>>,
    /// Subscriptions that the worker knows and nobody wants any more.
    left: Vec<u64>,
    /// What was said of questions that the worker knows.
    said: Vec<(u64, Said)>,
    rounds: Rounds,
    /// All that are wanted.
    subscribers: usize,
    tasks: VecDeque<AskedTask>,
    /// What each worker of this process has said of itself.
    numbers: BTreeMap<usize, ViewNumbers>,
    error: Option<ViewError>,
    /// The thread that takes all this up.
    worker: Option<Thread>,
    /// Once the engine has started.
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

    /// The questions that are let in now: those for which much is kept come in rounds.
    fn take_requests(&mut self, outlived: usize, last: bool) -> BTreeMap<u64, Request<K, A>> {
        let keeps_much =
            |_: &u64, request: &mut Request<K, A>| request.question.is_of_many_keys_now();
        let is_awaited =
            self.requests.iter_mut().any(|(number, request)| keeps_much(number, request));
        let rows = self.numbers.values().map(|numbers| numbers.groups).sum();
        // A table has as many free slots as used ones, about.
        let copied = Copied { rows, bytes: 2 * rows * size_of::<(K, A)>(), outlived };
        if last || !is_awaited || self.rounds.begins(copied, Instant::now()) {
            return std::mem::take(&mut self.requests);
        }
        let let_in = |number: &u64, request: &mut Request<K, A>| !keeps_much(number, request);
        self.requests.extract_if(.., let_in).collect()
    }

    /// What may wait, if anything may.
    fn limits(&self) -> Result<AskLimits, AskError> {
        if self.closed {
            return Err(AskError::Stopped);
        }
        self.limits.ok_or(AskError::NotStarted)
    }

    /// Whether this worker takes up what is here: the first one of this process does, of all views, so that what is
    /// said to several of them at once comes before what is asked of them later.
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
        let [kept_from, computed_from] = [(); 2].map(|()| AtomicI32::new(Day::MIN.0));
        Mailbox { inner, sealed, sealings, pool, kept_from, computed_from }
    }

    /// Says which period is the first one that the view keeps. It never goes back.
    pub(crate) fn keeps_from(&self, kept: Day) {
        self.kept_from.fetch_max(kept.0, Ordering::Relaxed);
    }

    /// Says which period is the first one that can be computed again from the log.
    pub(crate) fn computes_from(&self, computed: Day) {
        self.computed_from.fetch_max(computed.0, Ordering::Relaxed);
    }

    /// The first period that the view keeps, as far as this process has heard: a question of it may be refused later, when a
    /// worker takes it up.
    pub(crate) fn kept_from(&self) -> Day {
        Day(self.kept_from.load(Ordering::Relaxed))
    }

    /// The first period that can be computed again from the log.
    pub(crate) fn computed_from(&self) -> Day {
        Day(self.computed_from.load(Ordering::Relaxed))
    }

    fn lock(&self) -> MutexGuard<'_, Inner<K, A>> {
        self.inner.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// The threads that read for questions.
    pub(crate) fn read_with(&self, pool: &Pool) {
        self.pool.get_or_init(|| pool.clone());
    }

    /// Puts a question in; returns its number and where the pieces of its answer will be.
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

    /// Says something of a question. One that no worker has taken up is cancelled by taking it out again.
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

    /// Begins a subscription; returns its number and where the latest answer will be.
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

    /// How many queries wait to be taken up, and how many subscriptions there are.
    pub(crate) fn waiting(&self) -> (usize, usize) {
        let inner = self.lock();
        (inner.requests.len(), inner.subscribers)
    }

    /// Puts in an audit or a rebuild.
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

    /// All that is here, if the calling thread is the worker that takes it up; `last` if it will not come again.
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

    /// The oldest audit or rebuild, if the calling thread is the worker that takes it up.
    pub(crate) fn take_task(&self) -> Option<AskedTask> {
        let mut inner = self.lock();
        let this = std::thread::current().id();
        inner.worker.as_ref().filter(|worker| worker.id() == this)?;
        inner.tasks.pop_front()
    }

    /// Lets queries in, so many at a time. They wait for the workers, which are still to start.
    pub(crate) fn open(&self, limits: AskLimits) {
        self.lock().limits = Some(limits);
    }

    /// Expects a worker of this process.
    pub(crate) fn expect(&self, worker: usize) {
        self.lock().numbers.insert(worker, ViewNumbers::default());
    }

    /// Has the worker look at what there is.
    pub(crate) fn wake(&self) {
        self.lock().wake();
    }

    /// Says that sealed days have gone live on a worker.
    pub(crate) fn note_sealing(&self, worker: usize, numbers: ViewNumbers) {
        self.sealings.fetch_add(1, Ordering::AcqRel);
        self.publish(worker, numbers, None);
        self.lock().wake();
    }

    /// Says how the view is on a worker.
    pub(crate) fn publish(&self, worker: usize, numbers: ViewNumbers, error: Option<ViewError>) {
        let mut inner = self.lock();
        inner.numbers.insert(worker, numbers);
        if inner.error.is_none() {
            inner.error = error;
        }
        drop(inner);
        self.sealed.notify_all();
    }

    /// How the view is on all workers of this process.
    pub(crate) fn status(&self) -> ViewState {
        let inner = self.lock();
        let numbers = inner.numbers.values().copied().reduce(ViewNumbers::with);
        ViewState { numbers: numbers.unwrap_or_default(), error: inner.error.clone() }
    }

    /// Waits until a day, and those before it, are sealed on all workers of this process.
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

    /// How often that was said.
    pub(crate) fn sealings(&self) -> u64 {
        self.sealings.load(Ordering::Acquire)
    }

    /// Refuses everything from now on; who waits learns that nothing comes.
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
        // Their ends may run code of the program's, a waker's, which may ask again.
        drop(inner);
        drop(gone);
    }
}

/// How a view of an engine is, in this process.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ViewState {
    /// Those of all workers together. Days are sealed that all have sealed; days are counted by the worker that has
    /// most of them. Other processes have other keys, and may have other days.
    pub numbers: ViewNumbers,
    /// Why the view has stopped, and with it the engine.
    pub error: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

/// An answer that all with the same query share, and a number that rises whenever it has changed.
pub(crate) type Delivered<K, A> = (u64, Arc<Answer<K, A>>);
