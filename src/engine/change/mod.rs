//! Views of a running engine come and go, while its sources, pushes, subscriptions and queries go on.
//!
//! Each worker follows its own log for a new view: first what earlier runs have left, then what it has written itself,
//! a limited number of events in each turn. Near the end it holds what enters meanwhile, and joins the view to its
//! input when it has caught up. The floor and the moment are then those of the worker. When all workers have joined the
//! view, it is asked.

mod orders;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

pub(crate) use orders::{Adding, Changes, Fate, Order, PastNumbers, Place, Removing};

use super::ask::handle::{Measures, ViewHandle};
use super::view::{self, EngineView, TypedView};
use crate::aggregate::Aggregate;
use crate::archive::ArchiveError;
use crate::fold::{Enter, Whole};
use crate::key::Key;
use crate::schema::SchemaError;
use crate::store::{StoreConfig, StoreError};
use crate::time::EventTime;
use crate::view::View;

/// Why the views of a running engine do not change. After an error of the data folder some of the changes may have been
/// made: [`Views::now`](super::Views::now) has the views that are there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// Views of this engine change only with its start.
    #[error("the views of this engine cannot change while it runs: {why}")]
    NotPossible {
        /// The reason.
        why: String,
    },
    /// The engine has not started, or what earlier runs have left in its log is not in yet.
    #[error("the engine is not running yet")]
    NotStarted,
    /// Another change is being made.
    #[error("another change is being made: wait for it")]
    Busy,
    /// The change is not one of these views.
    #[error("{0}")]
    Definition(String),
    /// Names of columns do not match the types of a view.
    #[error("view '{view}': {error}")]
    Schema {
        /// The view.
        view: String,
        /// The error.
        #[source]
        error: SchemaError,
    },
    /// An error of the data folder.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An error of a sealed day.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// A view cannot be computed. The views that were to be added are not there.
    #[error("{message}")]
    Failed {
        /// The reason.
        message: String,
    },
    /// The engine has stopped. The data folder has the views before the change, or those after it.
    #[error("the engine has stopped")]
    Stopped,
}

/// Changes the views of a running engine; see [`Engine::changer`](crate::Engine::changer). Clones change the same
/// engine.
pub struct ViewChanger<E> {
    changes: Arc<Changes<E>>,
}

impl<E> Clone for ViewChanger<E> {
    fn clone(&self) -> Self {
        ViewChanger { changes: Arc::clone(&self.changes) }
    }
}

impl<E> std::fmt::Debug for ViewChanger<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ViewChanger").finish_non_exhaustive()
    }
}

impl<E: Send + Sync + 'static> ViewChanger<E> {
    pub(super) fn new(changes: &Arc<Changes<E>>) -> ViewChanger<E> {
        ViewChanger { changes: Arc::clone(changes) }
    }

    /// A change without views.
    pub fn change(&self) -> ViewChange<E> {
        ViewChange { changes: Arc::clone(&self.changes), added: Vec::new(), removed: Vec::new() }
    }
}

/// Views to be added to a running engine, and views to be removed.
pub struct ViewChange<E> {
    changes: Arc<Changes<E>>,
    added: Vec<Arc<dyn EngineView<E>>>,
    removed: Vec<String>,
}

impl<E> std::fmt::Debug for ViewChange<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ViewChange").field("removed", &self.removed).finish_non_exhaustive()
    }
}

impl<E: Send + Sync + 'static> ViewChange<E> {
    /// Adds a view, as [`Engine::view`](crate::Engine::view) does. Its past is computed from the log. The handle answers
    /// when the change is done.
    pub fn view<K: Key, A: Aggregate>(
        &mut self,
        view: View,
        measures: Measures<A>,
        event: impl Fn(&E) -> Option<(EventTime, K, A)> + Send + Sync + 'static,
    ) -> ViewHandle<K, A> {
        self.add_view(view, measures, Whole(event))
    }

    /// Adds a view whose events enter in any way.
    pub(crate) fn add_view<K: Key, A: Aggregate>(
        &mut self,
        view: View,
        measures: Measures<A>,
        enter: impl Enter<E, K, A> + Send + Sync,
    ) -> ViewHandle<K, A> {
        let (typed, handle) = TypedView::new(view, measures, self.changes.clock.clone(), enter);
        self.added.push(Arc::new(typed));
        handle
    }

    /// Removes a view with its sealed days. Its events stay in the log.
    pub fn remove_view(&mut self, name: &str) {
        self.removed.push(name.to_owned());
    }

    /// Begins the change. Views are added first, all or none of them, and then the others are removed.
    ///
    /// # Errors
    /// [`ChangeError`], if it cannot begin.
    pub fn begin(self) -> Result<Changing, ChangeError> {
        for view in &self.added {
            if let Err(error) = view.schema() {
                return Err(ChangeError::Schema { view: view.view().name().to_owned(), error });
            }
        }
        let place = self.changes.begin()?;
        if let Err(mistake) = self.check(&place) {
            self.changes.end();
            return Err(ChangeError::Definition(mistake));
        }
        let result: Arc<Outcome> = Arc::default();
        let (told, changes) = (Arc::clone(&result), Arc::clone(&self.changes));
        let run = move || {
            // Whoever waits for the change, or for the end of the engine, is told in any case.
            let done = catch_unwind(AssertUnwindSafe(|| self.run(&place)));
            let failed = || ChangeError::Failed { message: "the change has panicked".to_owned() };
            let done = done.unwrap_or_else(|_| Err(failed()));
            let changes = Arc::clone(&self.changes);
            // Nothing of the data folder is held when the change is over.
            drop((self, place));
            changes.forget_orders();
            changes.end();
            told.tell(done);
        };
        let spawned = std::thread::Builder::new().name("dayfold:change".to_owned()).spawn(run);
        if let Err(error) = spawned {
            changes.end();
            return Err(ChangeError::Failed {
                message: format!("the system gives no thread: {error}"),
            });
        }
        Ok(Changing { result, progress: Box::new(move || changes.progress()) })
    }

    fn check(&self, place: &Place) -> Result<(), String> {
        let views = place.shared.views();
        let mut names: Vec<&str> = views.iter().map(View::name).collect();
        for name in &self.removed {
            let at = names.iter().position(|known| known == name);
            let at = at.ok_or_else(|| format!("there is no view '{name}' to be removed"))?;
            names.swap_remove(at);
        }
        for view in &self.added {
            let name = view.view().name();
            // A view that is replaced would be there twice for a while.
            if names.contains(&name) || self.removed.iter().any(|removed| removed == name) {
                return Err(format!("there is a view '{name}' already"));
            }
            names.push(name);
        }
        if names.is_empty() {
            return Err("an engine needs a view".to_owned());
        }
        Ok(())
    }

    fn run(&self, place: &Place) -> Result<(), ChangeError> {
        if !self.added.is_empty() {
            self.add(place)?;
        }
        if !self.removed.is_empty() {
            self.remove(place, &self.removed)?;
        }
        Ok(())
    }

    fn add(&self, place: &Place) -> Result<(), ChangeError> {
        let records = self.added.iter().map(|view| view.record()).collect();
        let config = StoreConfig {
            schemas: self.added.iter().filter_map(|view| view.schema().ok()).collect(),
            retention: view::retention(&self.added),
            logged: true,
            ..StoreConfig::new(0, 1, records)
        };
        // From here on, a start after a crash has the views, and computes their past.
        place.store.add_views(&config)?;
        let names: Vec<String> =
            self.added.iter().map(|view| view.view().name().to_owned()).collect();
        let computed = self.compute(place);
        if computed.is_err() {
            // Whoever asks these views already must not wait for ever.
            self.added.iter().for_each(|view| view.close());
        }
        match computed {
            Ok(()) => {
                place.shared.offer(self.added.iter().map(|view| view.erased()));
                tracing::info!(views = ?names, "views are added");
                Ok(())
            }
            Err(ChangeError::Stopped) => Err(ChangeError::Stopped),
            Err(error) => {
                self.remove(place, &names)?;
                Err(error)
            }
        }
    }

    /// Has all workers compute the past of the views, and waits until they ask them.
    fn compute(&self, place: &Place) -> Result<(), ChangeError> {
        for view in &self.added {
            view.open(place.asking);
            if let Some(store) = place.archive.store() {
                store.note_lead(view.view(), place.shared.floor);
            }
            view.load(&place.archive, &place.cluster)?;
        }
        let peers = place.cluster.peers();
        let is_done = |order: &Order<E>| match order {
            Order::Add(adding) => {
                adding.error.get().is_some() || adding.ready.load(Ordering::Acquire) == peers
            }
            Order::Remove(_) => true,
        };
        let order = self.changes.order(place, Changes::adding(&self.added), is_done)?;
        match &*order {
            Order::Add(Adding { error, .. }) => match error.get() {
                Some(message) => Err(ChangeError::Failed { message: message.clone() }),
                None => Ok(()),
            },
            Order::Remove(_) => Ok(()),
        }
    }

    /// Ends the views on all workers; then nobody writes files of them any more, and they go.
    fn remove(&self, place: &Place, names: &[String]) -> Result<(), ChangeError> {
        place.shared.withdraw(names);
        let order = Removing { names: names.to_vec(), gone: 0.into() };
        let peers = place.cluster.peers();
        let is_done = |order: &Order<E>| match order {
            Order::Remove(removing) => removing.gone.load(Ordering::Acquire) == peers,
            Order::Add(_) => true,
        };
        self.changes.order(place, Order::Remove(order), is_done)?;
        // A worker may have been about to define them when they were withdrawn.
        place.shared.withdraw(names);
        self.changes.close_views(names);
        for name in names {
            place.store.drop_view(name)?;
        }
        Ok(())
    }
}

/// How a change has ended, for those who wait for it.
#[derive(Debug, Default)]
struct Outcome {
    result: Mutex<(bool, Option<ChangeError>)>,
    told: Condvar,
}

impl Outcome {
    fn tell(&self, done: Result<(), ChangeError>) {
        *self.result.lock().unwrap_or_else(PoisonError::into_inner) = (true, done.err());
        self.told.notify_all();
    }
}

/// A change that is being made. It goes on if this is dropped.
pub struct Changing {
    result: Arc<Outcome>,
    progress: Box<dyn Fn() -> (u64, u64) + Send + Sync>,
}

impl std::fmt::Debug for Changing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Changing").field("progress", &self.progress()).finish()
    }
}

impl Changing {
    /// Waits, at most for `limit`, until the change is done. Returns whether it is.
    ///
    /// # Errors
    /// [`ChangeError`] if it cannot be made. It is returned once.
    pub fn wait(&self, limit: Duration) -> Result<bool, ChangeError> {
        let result = self.result.result.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.result.told.wait_timeout_while(result, limit, |(is_over, _)| !*is_over);
        let (mut result, _) = waited.unwrap_or_else(PoisonError::into_inner);
        match result.1.take() {
            Some(error) => Err(error),
            None => Ok(result.0),
        }
    }

    /// The number of events of the log that were read for the added views, and about how many there are.
    pub fn progress(&self) -> (u64, u64) {
        (self.progress)()
    }
}
