//! A view of an engine, from its definition to its graph on a worker.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use timely::dataflow::operators::{Input, Probe};
use timely::dataflow::{ProbeHandle, Scope, StreamVec};

use super::ask::asking::{Asking, Skewed, WorkerView};
use super::ask::handle::{Measures, Ranks, ViewHandle};
use super::ask::mailbox::{AskLimits, Mailbox};
use super::ask::reply::{Replies, reply};
use super::clock::Clock;
use super::ingest::batch::Batch;
use super::ingest::log_rows::ViewLog;
use super::upkeep::maintenance::Maintenance;
use crate::aggregate::Aggregate;
use crate::archive::{self, Archive, ArchiveError, Finding, Loaded, Place, RebuildJob};
use crate::batch::Coverage;
use crate::cluster::Cluster;
use crate::dataflow::fold;
use crate::fold::Enter;
use crate::key::Key;
use crate::log::{EventCodec, LogHandle};
use crate::moment::Moment;
use crate::scan::ErasedView;
use crate::schema::{KeyCodec, SchemaError, ViewSchema};
use crate::serve::{Call, Rank, by_column, by_measure};
use crate::speed::{Combiner, Counts};
use crate::store::{FormerNames, Store, ViewRecord};
use crate::time::{Day, DayRange, EventTime};
use crate::view::{Retention, View};

/// What each of these views keeps, by name.
pub(super) fn retention<E>(views: &[Arc<dyn EngineView<E>>]) -> BTreeMap<String, Retention> {
    let views = views.iter().map(|view| view.view());
    views.map(|view| (view.name().to_owned(), view.retention())).collect()
}

/// A view of an engine, without the types of its key and aggregate.
pub(crate) trait EngineView<E>: Send + Sync {
    fn view(&self) -> &View;

    /// The record of the definition for the data folder.
    fn record(&self) -> ViewRecord;

    /// The schema of the view.
    fn schema(&self) -> Result<ViewSchema, SchemaError>;

    /// The view for code that does not know its types.
    fn erased(&self) -> Arc<dyn ErasedView>;

    /// The names that a folder of version 0.1 may have instead of ids.
    fn former(&self) -> FormerNames;

    /// Rebuilds the sealed days whose files are damaged, for all partitions; returns the faults.
    fn repair(
        &self,
        store: &Arc<Store>,
        codec: &EventCodec<E>,
    ) -> Result<Vec<Finding>, ArchiveError>;

    /// Accepts queries, within these limits. They wait until the workers have started.
    fn open(&self, limits: AskLimits);

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

    /// Refuses queries from now on; waiting ones get an error.
    fn close(&self);
}

pub(crate) struct TypedView<K: Key, A: Aggregate, F> {
    view: View,
    schema: Result<Arc<ViewSchema>, SchemaError>,
    handle: ViewHandle<K, A>,
    /// How events enter the view.
    enter: Arc<F>,
    mailbox: Arc<Mailbox<K, A>>,
    /// The sealed days of each local worker, until it takes them.
    loaded: Mutex<HashMap<usize, Loaded<K, A>>>,
    /// Tells the time, which determines the last periods.
    clock: Clock,
}

/// The functions that rank keys, with names: the program's own measures, then those of the schema.
fn ranks<A: Aggregate>(
    measures: &Measures<A>,
    schema: &Arc<ViewSchema>,
) -> (Vec<String>, Ranks<A>) {
    let own = measures.named.iter();
    let own = own.map(|(name, measure)| (name.clone(), by_measure(Arc::clone(measure))));
    let columns = schema.measures.iter().enumerate();
    let columns = columns.filter(|(_, measure)| Rank::is_of(measure.kind));
    let columns = columns.map(|(at, measure)| (measure.name.clone(), by_column(schema, at)));
    let (names, ranks): (_, Vec<_>) = own.chain(columns).unzip();
    (names, Arc::new(ranks))
}

impl<K: Key, A: Aggregate, F> TypedView<K, A, F> {
    pub(super) fn new(
        view: View,
        measures: Measures<A>,
        clock: Clock,
        enter: F,
    ) -> (Self, ViewHandle<K, A>) {
        let mailbox = Arc::new(Mailbox::new());
        let schema = ViewSchema::of::<K, A>(&view).map(Arc::new);
        let types = view.row_types::<K, A>();
        let ids = (&types.key[..], &types.aggregate[..]);
        // An engine whose names do not match does not start.
        let unnamed = |_| {
            ViewSchema::unnamed(view.name(), view.calendar().name(), view.calendar().grain(), ids)
                .into()
        };
        let shown = schema.clone().unwrap_or_else(unnamed);
        let ranks = Arc::new(ranks(&measures, &shown));
        let handle = ViewHandle {
            view: view.clone(),
            measures: Arc::new(measures.named),
            codec: Arc::new(KeyCodec::new(ids.0, &shown.key)),
            schema: shown,
            ranks,
            mailbox: Arc::clone(&mailbox),
        };
        let loaded = Mutex::new(HashMap::new());
        let (enter, own) = (Arc::new(enter), handle.clone());
        (TypedView { view, schema, handle: own, enter, mailbox, loaded, clock }, handle)
    }
}

impl<K: Key, A: Aggregate, F> TypedView<K, A, F> {
    /// The log as this view sees it.
    fn log_rows<E>(&self, codec: &EventCodec<E>, store: &Arc<Store>) -> ViewLog<E, F> {
        ViewLog::new(self.view.clone(), codec.clone(), Arc::clone(&self.enter), Arc::clone(store))
    }

    /// How batches become rows. With a log, notes an event whose time differs too much from its time in the log.
    fn reading<E>(
        &self,
        codec: Option<EventCodec<E>>,
        skewed: Rc<Cell<Option<(EventTime, EventTime)>>>,
    ) -> impl Fn(&mut Vec<Batch<E>>, &mut Combiner<K, A>) + 'static
    where
        E: 'static,
        F: Enter<E, K, A>,
    {
        let enter = Arc::clone(&self.enter);
        let (name, skew) = (self.view.name().to_owned(), self.view.skew_ms() as u64);
        move |batches, combiner| {
            for Batch { events, replayed } in batches.drain(..) {
                if let Some(replayed) = replayed {
                    combiner.begin_replay(replayed.floor, replayed.graces.get(&name).copied());
                }
                enter.enter(events.iter(), combiner, |event, time| {
                    if let Some(codec) = &codec
                        && codec.time(event).abs_diff(time) > skew
                    {
                        skewed.set(Some((time, codec.time(event))));
                    }
                });
            }
        }
    }
}

impl<E, K, A, F> EngineView<E> for TypedView<K, A, F>
where
    E: 'static,
    K: Key,
    A: Aggregate,
    F: Enter<E, K, A> + Send + Sync,
{
    fn view(&self) -> &View {
        &self.view
    }

    fn record(&self) -> ViewRecord {
        ViewRecord::of::<K, A>(&self.view)
    }

    fn schema(&self) -> Result<ViewSchema, SchemaError> {
        self.schema.as_deref().cloned().map_err(Clone::clone)
    }

    fn erased(&self) -> Arc<dyn ErasedView> {
        Arc::new(self.handle.clone())
    }

    fn former(&self) -> FormerNames {
        FormerNames::of::<K, A>()
    }

    fn repair(
        &self,
        store: &Arc<Store>,
        codec: &EventCodec<E>,
    ) -> Result<Vec<Finding>, ArchiveError> {
        let name = self.view.name();
        let live = store.live(name)?;
        let findings = archive::damaged(store, name, &live)?;
        let Some(through) = store.sealed_through(name) else { return Ok(findings) };
        let from = store.computed_from(name);
        if let Some(finding) = findings.iter().find(|finding| finding.day < from) {
            let (view, day) = (name.to_owned(), finding.day);
            return Err(ArchiveError::LogShortened { view, day, from });
        }
        for finding in &findings {
            let closing =
                live.iter().filter(|live| live.day == finding.day).map(|live| live.revision());
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

    fn open(&self, limits: AskLimits) {
        self.mailbox.open(limits);
    }

    fn load(&self, archive: &Archive, cluster: &Cluster) -> Result<(), ArchiveError> {
        let mut loaded = self.loaded.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        for worker in cluster.local_workers() {
            self.mailbox.expect(worker);
            let (shelf, through) = archive.load(&self.view, worker, cluster.peers())?;
            let computed = archive.store().map(|store| store.computed_from(self.view.name()));
            self.mailbox.keeps(&shelf.keeps());
            self.mailbox.computes_from(computed.unwrap_or(Day::MIN));
            loaded.insert(worker, (shelf, through));
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
        let view = fold(events, Some(refused), self.view.clone(), place, loaded, read);
        let ranks = self.handle.ranked();
        view.progress().probe_with(probe);
        let shared = Rc::clone(view.shared());
        shared.borrow_mut().is_raised = true;
        let status = view.status();

        let (input, calls) = scope.new_input::<Vec<Call<K>>>();
        let replies = Replies::new(&self.mailbox, archive.pool());
        self.mailbox.read_with(archive.pool());
        reply(view.serve_calls(calls, Arc::clone(&ranks)), &replies);
        let mailbox = Arc::clone(&self.mailbox);
        let maintenance = log.zip(archive.store()).map(|((_, codec), store)| {
            let rows = Arc::new(self.log_rows(codec, store));
            Maintenance::new(shared, archive.clone(), rows, worker, scope.peers())
        });
        let name = self.view.name().to_owned();
        let skewed = Skewed { view: name, limit: self.view.skew_ms(), found: skewed };
        let (input, sealed) = (Some(input), None);
        let number = 0;
        Box::new(Asking {
            input,
            mailbox,
            replies,
            worker,
            number,
            ranks,
            sealed,
            status,
            skewed,
            maintenance,
            view: self.view.clone(),
            clock: self.clock.clone(),
        })
    }

    fn close(&self) {
        self.mailbox.close();
    }
}
