//! A view of an engine, and the handle that asks it.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, mpsc};
use std::time::Duration;

use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::Operator;
use timely::dataflow::operators::{Input, Probe};
use timely::dataflow::{InputHandle, ProbeHandle, Scope, StreamVec};

use super::batch::Batch;
use super::log_rows::ViewLog;
use super::maintenance::{Kind, MaintainError, Maintained, Maintenance, Task};
use crate::aggregate::{Aggregate, Decimal};
use crate::archive::{self, Archive, ArchiveError, Finding, Loaded, Place, RebuildJob};
use crate::batch::Coverage;
use crate::cluster::Cluster;
use crate::dataflow::{ViewStatus, fold};
use crate::key::Key;
use crate::log::{EventCodec, LogHandle};
use crate::moment::Moment;
use crate::serve::{Answer, MeasureFn, Query};
use crate::speed::{Combiner, Counts};
use crate::store::{Store, ViewRecord};
use crate::time::{DayRange, EventTime};
use crate::view::View;

/// Queries that may wait to be taken up by a worker, for each view.
const WAITING_MAX: usize = 65_536;

/// The named numbers of a view's aggregate, by which keys can be ranked.
pub struct Measures<A> {
    named: Vec<(String, Arc<MeasureFn<A>>)>,
}

impl<A> Measures<A> {
    /// No measures.
    pub fn none() -> Measures<A> {
        Measures { named: Vec::new() }
    }

    /// These measures and one more.
    #[must_use]
    pub fn with(
        mut self,
        name: &str,
        measure: impl Fn(&A) -> Option<Decimal> + Send + Sync + 'static,
    ) -> Measures<A> {
        self.named.push((name.to_owned(), Arc::new(measure)));
        self
    }
}

/// Asks queries of a view of an engine, from any thread. Clones ask the same view.
pub struct ViewHandle<K: Key, A: Aggregate> {
    view: View,
    measures: Arc<Vec<(String, Arc<MeasureFn<A>>)>>,
    mailbox: Arc<Mailbox<K, A>>,
}

impl<K: Key, A: Aggregate> Clone for ViewHandle<K, A> {
    fn clone(&self) -> Self {
        ViewHandle {
            view: self.view.clone(),
            measures: Arc::clone(&self.measures),
            mailbox: Arc::clone(&self.mailbox),
        }
    }
}

impl<K: Key, A: Aggregate> ViewHandle<K, A> {
    /// The view's definition.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// The place of a measure, for [`Query::top`].
    pub fn measure(&self, name: &str) -> Option<u32> {
        self.measures.iter().position(|(measure, _)| measure == name).map(|place| place as u32)
    }

    /// The named numbers of the view's aggregate, in order.
    pub fn measures(&self) -> impl ExactSizeIterator<Item = (&str, &MeasureFn<A>)> {
        self.measures.iter().map(|(name, measure)| (name.as_str(), measure.as_ref()))
    }

    /// Asks and waits for the answer. It is exact as of a moment that was complete when the worker
    /// took the query up; asking makes no new tick.
    ///
    /// # Errors
    /// [`AskError`]; nothing has happened then.
    pub fn ask(&self, query: Query<K>) -> Result<Answer<K, A>, AskError> {
        self.send(query)?.recv().map_err(|_| AskError::Stopped)
    }

    /// Asks and waits for the answer at most so long.
    ///
    /// # Errors
    /// [`AskError`]; nothing has happened then.
    pub fn ask_timeout(&self, query: Query<K>, limit: Duration) -> Result<Answer<K, A>, AskError> {
        self.send(query)?.recv_timeout(limit).map_err(|error| match error {
            mpsc::RecvTimeoutError::Timeout => AskError::TimedOut { limit },
            mpsc::RecvTimeoutError::Disconnected => AskError::Stopped,
        })
    }

    /// Computes sealed days again from the log, with the operators that made them, and compares them key
    /// by key with the files that count; returns when all workers have. `share` is how much of a
    /// processor's time each worker may take for it, from 0 to 1: ingest and queries go on meanwhile.
    ///
    /// # Errors
    /// [`MaintainError`]; nothing was changed.
    pub fn audit(&self, days: DayRange, share: f64) -> Result<Maintained, MaintainError> {
        self.maintain(Task { kind: Kind::Audit, days, share })
    }

    /// Computes sealed days again from the log, each as a new revision that takes the place of the old one
    /// in one step; returns when all workers have. `share` is as in [`ViewHandle::audit`]. Queries see the
    /// old revision or the new one; late events of a day that is being computed wait for it to be sealed.
    ///
    /// # Errors
    /// [`MaintainError`]; days before it were rebuilt.
    pub fn rebuild(&self, days: DayRange, share: f64) -> Result<Maintained, MaintainError> {
        self.maintain(Task { kind: Kind::Rebuild, days, share })
    }

    fn maintain(&self, task: Task) -> Result<Maintained, MaintainError> {
        let (reply, result) = mpsc::sync_channel(1);
        {
            let mut inner = self.mailbox.lock();
            if inner.closed {
                return Err(MaintainError::Stopped);
            }
            inner.tasks.push_back((task, reply));
            inner.worker.iter().for_each(std::thread::Thread::unpark);
        }
        result.recv().unwrap_or(Err(MaintainError::Stopped))
    }

    fn send(&self, query: Query<K>) -> Result<mpsc::Receiver<Answer<K, A>>, AskError> {
        let (reply, answer) = mpsc::sync_channel(1);
        let mut inner = self.mailbox.lock();
        if inner.closed {
            return Err(AskError::Stopped);
        }
        if inner.waiting.len() >= WAITING_MAX {
            return Err(AskError::Full { limit: WAITING_MAX });
        }
        inner.waiting.push_back(Request { query, reply });
        if let Some(worker) = &inner.worker {
            worker.unpark();
        }
        Ok(answer)
    }
}

/// Why a query has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// The engine has stopped, or it stopped before it could answer.
    #[error("the engine has stopped")]
    Stopped,
    /// Too many queries wait.
    #[error("{limit} queries are waiting already")]
    Full {
        /// How many may wait.
        limit: usize,
    },
    /// The answer did not come in time.
    #[error("no answer within {limit:?}")]
    TimedOut {
        /// How long was waited.
        limit: Duration,
    },
}

struct Request<K: Key, A: Aggregate> {
    query: Query<K>,
    reply: mpsc::SyncSender<Answer<K, A>>,
}

/// Queries on their way from other threads to a worker.
struct Mailbox<K: Key, A: Aggregate> {
    inner: Mutex<Inner<K, A>>,
}

struct Inner<K: Key, A: Aggregate> {
    waiting: VecDeque<Request<K, A>>,
    tasks: VecDeque<(Task, mpsc::SyncSender<Result<Maintained, MaintainError>>)>,
    /// The thread that takes them up.
    worker: Option<std::thread::Thread>,
    closed: bool,
}

impl<K: Key, A: Aggregate> Mailbox<K, A> {
    fn lock(&self) -> MutexGuard<'_, Inner<K, A>> {
        self.inner.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// A view of an engine whose key and aggregate have been forgotten.
pub(crate) trait EngineView<E>: Send + Sync {
    fn view(&self) -> &View;

    /// What the data folder keeps of the definition.
    fn record(&self) -> ViewRecord;

    /// Rebuilds the sealed days whose files are damaged, of all partitions; returns what was found.
    fn repair(
        &self,
        store: &Arc<Store>,
        codec: &EventCodec<E>,
    ) -> Result<Vec<Finding>, ArchiveError>;

    /// Opens the sealed days of all workers of this process.
    fn load(&self, archive: &Archive, cluster: &Cluster) -> Result<(), ArchiveError>;

    /// Builds the view's graph on one worker.
    fn build<'scope>(
        &self,
        scope: Scope<'scope, Moment>,
        events: StreamVec<'scope, Moment, Batch<E>>,
        refused: StreamVec<'scope, Moment, Counts>,
        archive: &Archive,
        log: Option<&(LogHandle, EventCodec<E>)>,
        probe: &ProbeHandle<Moment>,
    ) -> Box<dyn WorkerView>;

    /// Refuses queries from now on; those that wait learn that there is no answer.
    fn close(&self);
}

/// A view on one worker.
pub(crate) trait WorkerView {
    /// Moves the query input to a moment that is complete, and sends the waiting queries at it, unless
    /// what was before the program started is not all in yet.
    fn ask_at(&mut self, moment: Moment, recovered: bool);
    fn status(&self) -> &ViewStatus;
    /// Takes up an audit or a rebuild that the program asks for.
    fn asked_task(&mut self)
    -> Option<(Task, mpsc::SyncSender<Result<Maintained, MaintainError>>)>;
    /// Begins this worker's part of an audit or a rebuild.
    fn begin_task(&mut self, id: u64, task: Task);
    /// Goes on with it; returns what has ended.
    fn step_task(&mut self) -> Option<(u64, Result<Maintained, String>)>;
    /// Why the view cannot go on, if so.
    fn error(&self) -> Option<Arc<dyn std::error::Error + Send + Sync>>;
    /// Ends the query input.
    fn close(&mut self);
}

pub(crate) struct TypedView<K: Key, A: Aggregate, F> {
    view: View,
    measures: Vec<Arc<MeasureFn<A>>>,
    event: Arc<F>,
    mailbox: Arc<Mailbox<K, A>>,
    /// The sealed days of each local worker, until it takes them.
    loaded: Mutex<HashMap<usize, Loaded<K, A>>>,
}

impl<K: Key, A: Aggregate, F> TypedView<K, A, F> {
    pub(crate) fn new(view: View, measures: Measures<A>, event: F) -> (Self, ViewHandle<K, A>) {
        let (waiting, tasks) = (VecDeque::new(), VecDeque::new());
        let inner = Inner { waiting, tasks, worker: None, closed: false };
        let mailbox = Arc::new(Mailbox { inner: Mutex::new(inner) });
        let named = Arc::new(measures.named);
        let measures = named.iter().map(|(_, measure)| Arc::clone(measure)).collect();
        let handle =
            ViewHandle { view: view.clone(), measures: named, mailbox: Arc::clone(&mailbox) };
        let loaded = Mutex::new(HashMap::new());
        (TypedView { view, measures, event: Arc::new(event), mailbox, loaded }, handle)
    }
}

impl<K: Key, A: Aggregate, F> TypedView<K, A, F> {
    /// The log as this view sees it.
    fn log_rows<E>(&self, codec: &EventCodec<E>, store: &Arc<Store>) -> ViewLog<E, F> {
        ViewLog::new(self.view.clone(), codec.clone(), Arc::clone(&self.event), Arc::clone(store))
    }

    /// How batches become rows. With a log, an event is where the log will look for it, or it is noted.
    fn reading<E>(
        &self,
        codec: Option<EventCodec<E>>,
        skewed: Rc<Cell<Option<(EventTime, EventTime)>>>,
    ) -> impl Fn(&mut Vec<Batch<E>>, &mut Combiner<K, A>) + 'static
    where
        E: 'static,
        F: Fn(&E) -> Option<(EventTime, K, A)> + 'static,
    {
        let event = Arc::clone(&self.event);
        let (name, skew) = (self.view.name().to_owned(), self.view.skew() as u64);
        move |batches, combiner| {
            for Batch { events, replayed } in batches.drain(..) {
                if let Some(replayed) = replayed {
                    combiner.begin_replay(replayed.floor, replayed.graces.get(&name).copied());
                }
                for e in events.iter() {
                    let Some((time, key, aggregate)) = event(e) else { continue };
                    if let Some(codec) = &codec
                        && codec.time(e).abs_diff(time) > skew
                    {
                        skewed.set(Some((time, codec.time(e))));
                    }
                    combiner.add(time, key, aggregate);
                }
            }
        }
    }
}

impl<E, K, A, F> EngineView<E> for TypedView<K, A, F>
where
    E: 'static,
    K: Key,
    A: Aggregate,
    F: Fn(&E) -> Option<(EventTime, K, A)> + Send + Sync + 'static,
{
    fn view(&self) -> &View {
        &self.view
    }

    fn record(&self) -> ViewRecord {
        ViewRecord {
            name: self.view.name().to_owned(),
            zone: self.view.calendar().name().to_owned(),
            key: std::any::type_name::<K>().to_owned(),
            aggregate: std::any::type_name::<A>().to_owned(),
            definition: self.view.definition().to_owned(),
        }
    }

    fn repair(
        &self,
        store: &Arc<Store>,
        codec: &EventCodec<E>,
    ) -> Result<Vec<Finding>, ArchiveError> {
        let name = self.view.name();
        let live = store.live(name)?;
        let findings = archive::damaged(store, name, &live)?;
        let Some(through) = store.closed_through(name) else { return Ok(findings) };
        for finding in &findings {
            let closing =
                live.iter().filter(|live| live.day == finding.day).map(|live| live.closing);
            let sealed = closing.max().map(|closing| (finding.day, closing));
            let job = RebuildJob {
                view: name.to_owned(),
                worker: 0,
                coverage: Coverage::ALL,
                through,
                days: DayRange::only(finding.day),
                sealed: sealed.into_iter().collect(),
            };
            job.run::<K, A>(&Place::Folder(Arc::clone(store)), &self.log_rows(codec, store), 1.0)?;
        }
        Ok(findings)
    }

    fn load(&self, archive: &Archive, cluster: &Cluster) -> Result<(), ArchiveError> {
        let mut loaded = self.loaded.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        for worker in cluster.local_workers() {
            loaded.insert(worker, archive.load(self.view.name(), worker, cluster.peers())?);
        }
        Ok(())
    }

    fn build<'scope>(
        &self,
        scope: Scope<'scope, Moment>,
        events: StreamVec<'scope, Moment, Batch<E>>,
        refused: StreamVec<'scope, Moment, Counts>,
        archive: &Archive,
        log: Option<&(LogHandle, EventCodec<E>)>,
        probe: &ProbeHandle<Moment>,
    ) -> Box<dyn WorkerView> {
        let worker = scope.index();
        let loaded =
            self.loaded.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).remove(&worker);
        let loaded =
            loaded.expect("sealed days are loaded for every local worker before it starts");
        let skewed = Rc::new(Cell::new(None));
        let read = self.reading(log.map(|(_, codec)| codec.clone()), Rc::clone(&skewed));
        let place = (archive, log.map(|(log, _)| log.clone()));
        let mut view = fold(events, Some(refused), self.view.clone(), place, loaded, read);
        for measure in &self.measures {
            let measure = Arc::clone(measure);
            view = view.measure(move |aggregate| measure(aggregate));
        }
        view.progress().probe_with(probe);
        let shared = Rc::clone(view.shared());
        let status = view.status();

        let (input, queries) = scope.new_input::<Vec<Query<K>>>();
        let replies: Replies<K, A> = Rc::default();
        let answered = Rc::clone(&replies);
        view.serve(queries).sink(Pipeline, "Reply", move |(input, _frontier)| {
            input.for_each(|_, answers| {
                for mut answer in answers.drain(..) {
                    if let Some((id, reply)) = answered.borrow_mut().remove(&answer.id) {
                        answer.id = id;
                        // Whoever asked may have given up; the answer is nobody's then.
                        let _ = reply.try_send(answer);
                    }
                }
            });
        });
        let mailbox = Arc::clone(&self.mailbox);
        let maintenance = log.zip(archive.store()).map(|((_, codec), store)| {
            let rows = Arc::new(self.log_rows(codec, store));
            Maintenance::new(shared, archive.clone(), rows, worker, scope.peers())
        });
        let name = self.view.name().to_owned();
        let skewed = Skewed { view: name, limit: self.view.skew(), found: skewed };
        let input = Some(input);
        Box::new(Asking { input, mailbox, replies, number: 0, status, skewed, maintenance })
    }

    fn close(&self) {
        let mut inner = self.mailbox.lock();
        inner.closed = true;
        inner.waiting.clear();
        inner.tasks.clear();
    }
}

/// Who waits for the answer to each query sent, by the number it was given here; and the asker's own.
type Replies<K, A> = Rc<RefCell<HashMap<u64, (u64, mpsc::SyncSender<Answer<K, A>>)>>>;

struct Asking<K: Key, A: Aggregate> {
    input: Option<InputHandle<Moment, timely::container::CapacityContainerBuilder<Vec<Query<K>>>>>,
    mailbox: Arc<Mailbox<K, A>>,
    replies: Replies<K, A>,
    number: u64,
    status: ViewStatus,
    skewed: Skewed,
    /// Where there is a log.
    maintenance: Option<Maintenance<K, A>>,
}

/// An event whose event time in the view is further from the log's than the view allows.
struct Skewed {
    view: String,
    limit: i64,
    found: Rc<Cell<Option<(EventTime, EventTime)>>>,
}

/// See [`View::skew_ms`].
#[derive(Clone, Debug, thiserror::Error)]
#[error(
    "view '{view}' gives an event the time {time}, and the log {logged}: more than {limit} ms apart; \
     say with View::skew_ms how far they may be"
)]
struct SkewError {
    view: String,
    time: EventTime,
    logged: EventTime,
    limit: i64,
}

impl<K: Key, A: Aggregate> WorkerView for Asking<K, A> {
    fn ask_at(&mut self, moment: Moment, recovered: bool) {
        let Some(input) = &mut self.input else { return };
        if *input.time() < moment {
            input.advance_to(moment);
        }
        if !recovered {
            return;
        }
        let mut inner = self.mailbox.lock();
        let this = std::thread::current();
        // The first worker that comes by takes the queries up, and is the one to wake.
        if inner.worker.get_or_insert_with(|| this.clone()).id() != this.id() {
            return;
        }
        let waiting = std::mem::take(&mut inner.waiting);
        drop(inner);
        for Request { query, reply } in waiting {
            self.number += 1;
            self.replies.borrow_mut().insert(self.number, (query.id, reply));
            input.send(query.id(self.number));
        }
        input.flush();
    }

    fn status(&self) -> &ViewStatus {
        &self.status
    }

    fn asked_task(
        &mut self,
    ) -> Option<(Task, mpsc::SyncSender<Result<Maintained, MaintainError>>)> {
        let mut inner = self.mailbox.lock();
        let this = std::thread::current().id();
        if inner.worker.as_ref().is_none_or(|worker| worker.id() != this) {
            return None;
        }
        let (task, reply) = inner.tasks.pop_front()?;
        drop(inner);
        if self.maintenance.is_none() {
            // Whoever asked may have given up.
            let _ = reply.try_send(Err(MaintainError::NoLog));
            return None;
        }
        Some((task, reply))
    }

    fn begin_task(&mut self, id: u64, task: Task) {
        self.maintenance.iter_mut().for_each(|maintenance| maintenance.push(id, task));
    }

    fn step_task(&mut self) -> Option<(u64, Result<Maintained, String>)> {
        self.maintenance.as_mut()?.step()
    }

    fn error(&self) -> Option<Arc<dyn std::error::Error + Send + Sync>> {
        let skewed = self.skewed.found.get().map(|(time, logged)| {
            let (view, limit) = (self.skewed.view.clone(), self.skewed.limit);
            Arc::new(SkewError { view, time, logged, limit }) as Arc<_>
        });
        self.status.error().or(skewed)
    }

    fn close(&mut self) {
        self.input = None;
    }
}
