//! The engine: for programs that want views of a source of events and no dataflow code.
//!
//! An [`Engine`] is given views, a source and, if days are to be kept, a data folder. [`Engine::start`]
//! puts it on threads of its own and returns a [`Running`], through which a program watches, waits and
//! stops; the [`ViewHandle`]s that [`Engine::view`] returned ask queries from any thread.

mod clock;
mod feed;
mod floors;
mod live;
mod reader;
mod running;
mod view;
mod worker;

use std::path::PathBuf;
use std::sync::Arc;

pub use live::{LiveOptions, PushError, Pusher};
pub use running::{EngineError, Progress, Running, Stopped};
pub use view::{AskError, Measures, ViewHandle};

use crate::aggregate::Aggregate;
use crate::archive::Archive;
use crate::cluster::Cluster;
use crate::key::Key;
use crate::source::{CsvSource, Refused, Row};
use crate::store::{Disk, RunState, Store, StoreConfig};
use crate::time::EventTime;
use crate::view::View;
use live::Queue;
use reader::Feeding;
use running::{Outcome, Shared};
use view::{EngineView, TypedView};

/// Views over one source of events, ready to be started.
pub struct Engine<E> {
    views: Vec<Arc<dyn EngineView<E>>>,
    feeding: Option<Feeding<E>>,
    live: Option<Arc<Queue<E>>>,
    data: Option<PathBuf>,
    tick_rows: usize,
}

impl<E: Send + Sync + 'static> Default for Engine<E> {
    fn default() -> Self {
        Engine::new()
    }
}

impl<E: Send + Sync + 'static> Engine<E> {
    /// An engine without views, source or folder.
    pub fn new() -> Engine<E> {
        Engine { views: Vec::new(), feeding: None, live: None, data: None, tick_rows: 65_536 }
    }

    /// Keeps sealed days in `folder`, and starts from those that are there.
    #[must_use]
    pub fn data(mut self, folder: impl Into<PathBuf>) -> Self {
        self.data = Some(folder.into());
        self
    }

    /// Lets at most about this many rows enter in one tick of a worker. A tick is what becomes visible
    /// at once: larger ones are cheaper for each event, smaller ones are visible sooner. The default is
    /// 65,536. A tick is also bounded by what is dealt ahead, four blocks of 4,096 rows for each worker.
    #[must_use]
    pub fn tick_rows(mut self, rows: usize) -> Self {
        self.tick_rows = rows.max(1);
        self
    }

    /// Adds a view: `event` says for each event its event time, key and aggregate, or `None` if the
    /// view does not want it. The handle asks queries of it while the engine runs.
    pub fn view<K: Key, A: Aggregate>(
        &mut self,
        view: View,
        measures: Measures<A>,
        event: impl Fn(&E) -> Option<(EventTime, K, A)> + Send + Sync + 'static,
    ) -> ViewHandle<K, A> {
        let (typed, handle) = TypedView::new(view, measures, event);
        self.views.push(Arc::new(typed));
        handle
    }

    /// Reads events from a CSV source. `open` is called once, in process 0, when all processes have
    /// found together, with the data folder if there is one; `None` means that there is nothing to read.
    /// It may block, and if it fails, all processes stop and no run has begun: the folder is as it was.
    /// `parse` makes an event of a row, on all workers; its error is the reason for which the row is
    /// refused.
    #[must_use]
    pub fn csv(
        mut self,
        open: impl FnOnce(Option<&Store>) -> Result<Option<CsvSource>, EngineError> + Send + 'static,
        parse: impl Fn(&Row<'_>) -> Result<E, String> + Send + Sync + 'static,
    ) -> Self {
        let refused = self.feeding.take().and_then(|feeding| feeding.refused);
        self.feeding = Some(Feeding { open: Box::new(open), parse: Arc::new(parse), refused });
        self
    }

    /// Takes events that other threads push; their clock is the wall clock. Every process of a cluster
    /// has such a source of its own if one has. It ends when every [`Pusher`] is dropped.
    pub fn live(&mut self, options: LiveOptions<E>) -> Pusher<E> {
        let (queue, pusher) = Queue::new(options);
        self.live = Some(queue);
        pusher
    }

    /// Hands each refused row to `keep`, in the order of the source, on worker 0 of process 0. An error
    /// of `keep` stops the engine. To be called after [`Engine::csv`]; before it, it does nothing.
    #[must_use]
    pub fn refused(
        mut self,
        keep: impl FnMut(&Refused) -> Result<(), EngineError> + Send + 'static,
    ) -> Self {
        if let Some(feeding) = &mut self.feeding {
            feeding.refused = Some(Box::new(keep));
        }
        self
    }

    /// Starts the engine on threads of its own.
    ///
    /// # Errors
    /// [`EngineError`] if the folder cannot be opened or does not fit the views, if it is what an
    /// unfinished run left behind, or if the processes of the cluster do not find together. Nothing has
    /// been read or written then.
    pub fn start(self, cluster: Cluster) -> Result<Running, EngineError> {
        let store = self.data.as_ref().map(|root| self.open_store(root, &cluster)).transpose()?;
        let archive = match &store {
            Some(store) => Archive::folder(Arc::clone(store)),
            None => Archive::in_memory(),
        };
        let mut floor = EventTime::MIN;
        for view in &self.views {
            view.load(&archive, &cluster)?;
            if let Some(through) =
                store.as_ref().and_then(|store| store.closed_through(view.view().name()))
            {
                floor = floor.max(view.view().upper(through));
            }
        }
        let joined = cluster.join(&self.definition(), floor)?;
        let floor = joined.floor();
        tracing::info!(
            views = self.views.len(),
            threads = joined.threads(),
            floor,
            "the engine starts"
        );
        let views = self.views.iter().map(|view| view.view().clone()).collect();
        let shared = Arc::new(Shared::new(views, joined.threads(), floor));
        let sources = (self.feeding, self.live);
        worker::spawn(joined, shared, self.views, sources, archive, self.tick_rows)
    }

    fn open_store(
        &self,
        root: &std::path::Path,
        cluster: &Cluster,
    ) -> Result<Arc<Store>, EngineError> {
        let views = self.views.iter().map(|view| view.record()).collect();
        let config = StoreConfig::new(cluster.process(), cluster.processes(), views);
        let store = Store::open(Arc::new(Disk), root, config)?;
        if store.state() == RunState::Incomplete {
            return Err(EngineError::Incomplete { folder: root.to_owned() });
        }
        Ok(Arc::new(store))
    }

    /// What the processes of a cluster must agree on.
    fn definition(&self) -> String {
        // With another grace, a process would put the same late event into another closing.
        let definition = |view: &Arc<dyn EngineView<E>>| {
            format!("{:?}, grace {} ms", view.record(), view.view().grace())
        };
        let views: Vec<String> = self.views.iter().map(definition).collect();
        views.join("\n")
    }
}

impl From<Outcome> for EngineError {
    fn from(outcome: Outcome) -> EngineError {
        match outcome {
            Outcome::Done => unreachable!("an orderly end is no error"),
            Outcome::Interrupted => EngineError::Interrupted,
            Outcome::Input(message) => EngineError::Input { message },
            Outcome::Failed(message) => EngineError::Failed { message },
        }
    }
}
