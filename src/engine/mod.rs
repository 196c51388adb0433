//! The engine, for programs that want views of a source of events without dataflow code.
//!
//! An [`Engine`] gets views, a source and, if days are to be kept, a data folder. [`Engine::start`] runs it on its own
//! threads and returns a [`Running`], with which a program watches, waits and stops. The [`ViewHandle`]s that
//! [`Engine::view`] returned answer queries from any thread.
//!
//! # Events of your own, and a log
//!
//! ```
//! use std::time::Duration;
//!
//! use dayfold::aggregate::Count;
//! use dayfold::engine::{LiveOptions, Measures};
//! use dayfold::log::Durability;
//! use dayfold::serve::Query;
//! use dayfold::time::{DayRange, EventTime};
//! use dayfold::view::View;
//! use dayfold::{Cluster, Engine};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! type Visit = (EventTime, String); // Whatever derives serde's traits can be logged.
//! # let temporary = tempfile::tempdir()?;
//! # let folder = temporary.path().join("data");
//!
//! let mut engine = Engine::<Visit>::new();
//! let per_page = engine.view(View::new("per-page")?, Measures::none(), |(time, page)| {
//!     Some((*time, page.clone(), Count::one()))
//! });
//! let pusher = engine.live(LiveOptions::new(|visit: &Visit| visit.0));
//! let every = Durability::Every(Duration::from_millis(10));
//! let engine = engine.data(folder).log(every, |visit| visit.0);
//! let running = engine.start(Cluster::workers(1))?;
//!
//! let limit = Duration::from_secs(10);
//! let pushed = pusher.push(vec![(0, "/home".to_owned()), (1, "/home".to_owned())])?;
//! pushed.receipt.wait_both(limit)?; // Visible, and nothing can take it away any more.
//! let answer = per_page.ask(Query::point("/home".to_owned(), DayRange::ALL))?;
//! assert_eq!(answer.value(), Some(Count(2)));
//! assert!(per_page.audit(DayRange::ALL, 0.1)?.findings.is_empty());
//! drop(pusher);
//! running.finish()?;
//! # Ok(())
//! # }
//! ```

mod accepted;
mod ask;
mod change;
mod clock;
mod cuts;
mod error;
mod ingest;
mod launch;
mod mistakes;
mod observer;
mod partitioned;
mod progress;
mod recover;
mod refusals;
mod restless;
mod running;
mod shared;
mod spawn;
mod start;
mod terms;
mod upkeep;
mod view;
mod worker;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use ask::error::AskError;
pub(crate) use ask::handle::Named;
pub use ask::handle::{Asked, Measures, ViewHandle};
pub(crate) use ask::kept::Kept as KeptSnapshot;
pub use ask::mailbox::ViewState;
pub(crate) use ask::mailbox::{Mailbox, Pieces, Said};
pub(crate) use ask::slot::{Closed, Taker};
pub(crate) use ask::subscription::SharedAnswers;
pub use ask::subscription::Subscription;
pub use ask::views::Views;
pub use change::{ChangeError, Changing, ViewChange, ViewChanger};
pub use error::EngineError;
pub use ingest::live::{EventRefusal, LiveOptions, PushError, PushRefusal, Pushed, Pusher};
pub use ingest::once::{Once, OnceError};
pub use ingest::receipt::{Receipt, WaitError};
pub use observer::{EngineState, Observer};
pub use progress::{LogNumbers, Progress, SourceNumbers};
pub use recover::resume::Resume;
pub use running::{Running, Stopped};
pub use upkeep::log_release::LogRelease;
pub use upkeep::maintenance::{MaintainError, Maintained};

use crate::aggregate::Aggregate;
use crate::archive::{ArchiveError, Finding};
use crate::cluster::Cluster;
use crate::fold::{Enter, Fold, InPlace, Whole};
use crate::key::Key;
use crate::log::{Durability, EventCodec};
use crate::source::{Blocks, CsvOptions, CsvSource, Input, Own, Reread, Row, Source};
use crate::store::{Disk, Packing, Storage, Store};
use crate::time::EventTime;
use crate::view::View;
use ask::mailbox::AskLimits;
use change::Changes;
use clock::Clock;
use ingest::live::Queue;
use ingest::logging::{self, KeepBefore, LogConfig};
use ingest::partitions::Partitioning;
use ingest::reader::{self, Feeding, Keep};
use ingest::receipt::Waits;
use recover::joining::{self, LostLog};
use recover::resume::{self, Known};
use upkeep::log_release::KeptLog;
use view::{EngineView, TypedView};

/// Views over one source of events, ready to be started.
pub struct Engine<E> {
    views: Vec<Arc<dyn EngineView<E>>>,
    feeding: Option<Feeding<E>>,
    live: Option<Arc<Queue<E>>>,
    partitioned: Vec<Partitioning<E>>,
    reread: Option<Reread<E>>,
    data: Option<(Arc<dyn Storage>, PathBuf)>,
    log: Option<LogConfig<E>>,
    /// See [`Engine::keep_log`].
    log_kept: Option<KeptLog>,
    redefined: Vec<String>,
    removed: Vec<String>,
    lost: LostLog,
    tick_rows: usize,
    asking: AskLimits,
    clock: Clock,
    changes: Arc<Changes<E>>,
    refused: Option<Box<Keep>>,
    /// See [`Engine::refused_before`].
    refused_before: Option<Box<KeepBefore>>,
    waits: Arc<Waits>,
    /// The first mistake in the definition, if any.
    mistake: Option<String>,
    /// See [`Engine::accept_floor_ahead`].
    floor_ahead: bool,
    refuses_former: bool,
    packing: Packing,
}

impl<E> std::fmt::Debug for Engine<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("views", &self.views.len())
            .field("data", &self.data.as_ref().map(|(_, folder)| folder))
            .finish_non_exhaustive()
    }
}

impl<E: Send + Sync + 'static> Default for Engine<E> {
    fn default() -> Self {
        Engine::new()
    }
}

impl<E: Send + Sync + 'static> Engine<E> {
    /// An engine without views, source or folder.
    pub fn new() -> Engine<E> {
        let clock = Clock::default();
        Engine {
            views: Vec::new(),
            feeding: None,
            live: None,
            partitioned: Vec::new(),
            reread: None,
            data: None,
            log: None,
            log_kept: None,
            redefined: Vec::new(),
            removed: Vec::new(),
            lost: LostLog::Refuse,
            tick_rows: 65_536,
            asking: AskLimits::default(),
            changes: Arc::new(Changes::new(clock.clone())),
            clock,
            refused: None,
            refused_before: None,
            waits: Arc::default(),
            mistake: None,
            floor_ahead: false,
            refuses_former: false,
            packing: Packing::default(),
        }
    }

    /// Keeps sealed days in `folder`, and starts from those that are there.
    #[must_use]
    pub fn data(self, folder: impl Into<PathBuf>) -> Self {
        self.data_in(Arc::new(Disk), folder)
    }

    /// As [`Engine::data`], in another file system: for example, one in memory for tests.
    #[must_use]
    pub fn data_in(mut self, storage: Arc<dyn Storage>, folder: impl Into<PathBuf>) -> Self {
        self.data = Some((storage, folder.into()));
        self
    }

    /// Appends every accepted event to a log in the data folder, before anything acknowledges it. A run that is killed
    /// continues from the log, and views can be computed from it again. `time` is the event time, and the log is kept
    /// by its UTC day; the event time of a view may differ by its [`View::skew`]. A log needs a data folder; without
    /// one, [`Engine::start`] fails.
    ///
    /// Once a folder has a log, it can only be opened with one, and a folder without a log can never get one.
    #[must_use]
    pub fn log(
        mut self,
        durability: Durability,
        time: impl Fn(&E) -> EventTime + Send + Sync + 'static,
    ) -> Self
    where
        E: Serialize + DeserializeOwned,
    {
        self.log = Some(LogConfig { durability, codec: EventCodec::new(time) });
        self
    }

    /// Keeps the log for `span` behind the last period that every view has sealed. Older UTC days of it are removed
    /// while the engine runs, once all views have sealed their events. Whatever would need them is refused: rebuilds
    /// and audits of earlier days, and new definitions of views that have such days. A new view begins where the log is
    /// complete.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use dayfold::Engine;
    /// use dayfold::log::Durability;
    ///
    /// const DAY: Duration = Duration::from_secs(86_400);
    /// let engine = Engine::<i64>::new().data("data").log(Durability::System, |time| *time);
    /// let engine = engine.keep_log(90 * DAY);
    /// ```
    #[must_use]
    pub fn keep_log(mut self, span: Duration) -> Self {
        self.log_kept.get_or_insert_default().span = span;
        self
    }

    /// Keeps events of the log until the program releases them, for example because their periods are exported. What
    /// is released is removed while the engine runs, as [`Engine::keep_log`] says, and with the same consequences.
    /// Both together: an event is removed when it is released and older than the span. After a start nothing is
    /// released, until the program says so.
    #[must_use]
    pub fn keep_log_until(mut self, released: LogRelease) -> Self {
        self.log_kept.get_or_insert_default().released = Some(released);
        self
    }

    /// Accepts that the view of this name has another definition than in the data folder: its sealed days are dropped,
    /// and its whole past is computed again from the log when the engine starts. Without this, such a folder is
    /// refused.
    #[must_use]
    pub fn redefine(mut self, view: &str) -> Self {
        self.redefined.push(view.to_owned());
        self
    }

    /// Replaces the wall clock, for tests: milliseconds UTC.
    #[must_use]
    pub fn clock(self, now: impl Fn() -> EventTime + Send + Sync + 'static) -> Self {
        self.clock.set(now);
        self
    }

    /// Lets at most about this many rows enter in one tick of a worker. The events of a tick become visible together:
    /// larger ticks are cheaper per event, smaller ones are visible sooner. The default is 65,536. A tick is also
    /// bounded by what is dealt ahead: four blocks of 4,096 rows for each worker.
    #[must_use]
    pub fn tick_rows(mut self, rows: usize) -> Self {
        self.tick_rows = rows.max(1);
        self
    }

    /// Limits what may wait for each view in this process: the queries that no worker has taken yet, and the
    /// subscriptions. More are refused with an error. The default is 65,536 of each.
    #[must_use]
    pub fn asking(mut self, queries: usize, subscribers: usize) -> Self {
        self.asking = AskLimits { waiting: queries, subscribers };
        self
    }

    /// Adds a view. For each event, `event` returns its event time, key and aggregate, or `None` if the view does not
    /// want it. The handle queries the view while the engine runs.
    pub fn view<K: Key, A: Aggregate>(
        &mut self,
        view: View,
        measures: Measures<A>,
        event: impl Fn(&E) -> Option<(EventTime, K, A)> + Send + Sync + 'static,
    ) -> ViewHandle<K, A> {
        self.add_view(view, measures, Whole(event))
    }

    /// As [`Engine::view`], with a [`Fold`], which adds events to states in place. This is faster if keys or states use
    /// heap memory. The view is the same, and so is its data folder.
    pub fn fold<F: Fold<E> + Send + Sync>(
        &mut self,
        view: View,
        measures: Measures<F::State>,
        fold: F,
    ) -> ViewHandle<F::Key, F::State> {
        self.add_view(view, measures, InPlace(fold))
    }

    /// Adds a view whose events enter in any way.
    pub(crate) fn add_view<K: Key, A: Aggregate>(
        &mut self,
        view: View,
        measures: Measures<A>,
        enter: impl Enter<E, K, A> + Send + Sync,
    ) -> ViewHandle<K, A> {
        let (typed, handle) = TypedView::new(view, measures, self.clock.clone(), enter);
        self.views.push(Arc::new(typed));
        handle
    }

    /// Reads events from a file of CSV or JSON lines, or from any other [`Input`]. It continues where earlier runs of
    /// the same data folder stopped: with a log, behind what is in the log; without one, behind what complete runs have
    /// read. If a file has grown, its new rows are read; if its beginning has changed, it is refused.
    ///
    /// A last line without its end may be incomplete. With a log it counts in the answers of this run, is neither
    /// logged nor sealed, and is read again from its beginning by the next run. (An engine that also has a live source,
    /// and one without a log, take it as a complete line.)
    ///
    /// `parse` makes an event of a row, on all workers; its error is the reason for which the row is refused.
    ///
    /// ```
    /// # use std::time::Duration;
    /// use dayfold::aggregate::Count;
    /// use dayfold::engine::Measures;
    /// use dayfold::serve::Query;
    /// use dayfold::source::CsvOptions;
    /// use dayfold::time::{DayRange, EventTime};
    /// use dayfold::view::View;
    /// use dayfold::{Cluster, Engine};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let place = tempfile::tempdir()?;
    /// # let (folder, file) = (place.path().join("data"), place.path().join("visits.csv"));
    /// std::fs::write(&file, "at\n2024-05-01T10:00:00Z\n2024-05-01T11:00:00Z\n")?;
    /// for _ in 0..3 {
    ///     let mut engine = Engine::<EventTime>::new().data(&folder);
    ///     let visits =
    ///         engine.view(View::new("visits")?, Measures::none(), |at| Some((*at, 0u64, Count::one())));
    ///     let engine = engine.file(file.as_path(), CsvOptions::new("at"), |row| Ok(row.time()));
    ///     let running = engine.start(Cluster::workers(1))?;
    ///     while !running.wait_sealed(Duration::from_secs(1))? {}
    ///     let answer = visits.ask(Query::point(0, DayRange::ALL))?;
    ///     assert_eq!(answer.value(), Some(Count(2))); // In each run.
    ///     running.finish()?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn file(
        self,
        file: impl Into<Input>,
        options: CsvOptions,
        parse: impl Fn(&Row<'_>) -> Result<E, String> + Send + Sync + 'static,
    ) -> Self {
        let file = file.into();
        let open = move |resume: &Resume<'_>| {
            Ok(Some(match resume.consumed() {
                Some(consumed) => CsvSource::resume_after(file, options, consumed)?,
                None => CsvSource::open(file, options)?,
            }))
        };
        self.csv(open, parse)
    }

    /// As [`Engine::file`], for a program that opens the source itself. `open` is called once, in process 0, when all
    /// processes are connected, and learns what earlier runs have read of the source. If it returns `None`, there is
    /// nothing to read. A source opened before that point is read up to it and compared; a source opened behind it is
    /// refused. So no row counts twice and none is left out. `open` may block; if it fails, all processes stop, no run
    /// has begun, and the folder is unchanged. `parse` makes an event of a row, on all workers; its error is the reason
    /// for which the row is refused.
    #[must_use]
    pub fn csv(
        mut self,
        open: impl FnOnce(&Resume<'_>) -> Result<Option<CsvSource>, EngineError> + Send + 'static,
        parse: impl Fn(&Row<'_>) -> Result<E, String> + Send + Sync + 'static,
    ) -> Self {
        let open = move |store: Option<&Store>, known: &Known| {
            let resume = Resume::new(store, known, resume::of_text)?;
            let mut source = open(&resume)?;
            if let (Some(source), Some(consumed)) = (&mut source, resume.consumed()) {
                source.go_on_behind(consumed)?;
            }
            Ok(source.map(|source| Box::new(source) as Box<dyn Blocks>))
        };
        self.feed(Box::new(open), Arc::new(parse));
        self
    }

    /// Reads events from a source of your own, in place of [`Engine::csv`] and in the same way. `open` learns the
    /// position at which the source has to be opened ([`Resume::consumed`]; `None` is its beginning). `parse` makes an
    /// event of each record ([`Row::raw`]), on all workers.
    ///
    /// With a log, the run after a killed one continues at that position, and each record counts once. Without a log,
    /// the data folder stores the position up to which complete runs have read. A source at another position is
    /// refused.
    #[must_use]
    pub fn source<S: Source + 'static>(
        mut self,
        open: impl FnOnce(&Resume<'_, S::Position>) -> Result<Option<S>, EngineError> + Send + 'static,
        parse: impl Fn(&Row<'_>) -> Result<E, String> + Send + Sync + 'static,
    ) -> Self {
        let open = move |store: Option<&Store>, known: &Known| {
            let resume = Resume::new(store, known, resume::of_own)?;
            let source = open(&resume)?.map(|source| Own::new(source, known.own())).transpose()?;
            Ok(source.map(|source| Box::new(source) as Box<dyn Blocks>))
        };
        self.feed(Box::new(open), Arc::new(parse));
        self
    }

    fn feed(&mut self, open: Box<reader::OpenSource>, parse: Arc<reader::Parse<E>>) {
        if self.feeding.is_some() {
            self.mistaken(
                "an engine deals the rows of one source to all workers, and was given two: call Engine::file, Engine::csv or \
                 Engine::source once, and give others to Engine::partitioned (source::Files reads files)",
            );
        }
        self.feeding = Some(Feeding { open, parse, refused: None });
    }

    /// Records a mistake; [`Engine::start`] reports the first one.
    fn mistaken(&mut self, what: impl Into<String>) {
        self.mistake.get_or_insert(what.into());
    }

    /// Takes events that other threads push; their clock is the wall clock. There can be one such source, and other
    /// threads get clones of its [`Pusher`]. If one process of a cluster has one, each must have one. It ends when
    /// every [`Pusher`] is dropped.
    pub fn live(&mut self, options: LiveOptions<E>) -> Pusher<E> {
        let (queue, pusher) = Queue::new(options, self.clock.clone(), Arc::clone(&self.waits));
        if self.live.is_some() {
            self.mistaken(
                "an engine has one live source, and Engine::live was called twice: clone the first pusher",
            );
            queue.close();
        } else {
            self.live = Some(queue);
        }
        pusher
    }

    /// Reads every sealed file of the data folder, and computes damaged days again from the log. Call it before the
    /// engine is started, in one process only, if [`Engine::start`] has refused the folder or an audit has found a
    /// fault. Returns the faults.
    ///
    /// # Errors
    /// [`EngineError`] if the folder cannot be opened, has no log, or the log itself is damaged.
    pub fn repair(&self) -> Result<Vec<Finding>, EngineError> {
        let alone = Cluster::workers(1);
        let Some((place, log)) = self.data.clone().zip(self.log.as_ref()) else {
            return Err(ArchiveError::NoLog.into());
        };
        let looked = joining::look(place, self.store_config(&alone), LostLog::Refuse)?;
        let store = Arc::new(looked.open()?);
        logging::repair(&store)?;
        let mut findings = Vec::new();
        for view in &self.views {
            findings.extend(view.repair(&store, &log.codec)?);
        }
        Ok(findings)
    }
}
