//! Changes of views, between the thread that requests them and the workers.
//!
//! The first worker announces an order to all workers, in one channel. So all of them build and end dataflows in the
//! same order.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

use super::ChangeError;
use crate::archive::Archive;
use crate::cluster::Cluster;
use crate::engine::ask::mailbox::AskLimits;
use crate::engine::clock::Clock;
use crate::engine::shared::Shared;
use crate::engine::view::EngineView;
use crate::store::Store;

/// What the workers are to do.
pub(crate) enum Order<E> {
    Add(Adding<E>),
    Remove(Removing),
}

/// Views that are being added.
pub(crate) struct Adding<E> {
    pub(crate) views: Vec<Arc<dyn EngineView<E>>>,
    /// The number of workers that have read nearly all of their log.
    pub(crate) near: AtomicUsize,
    /// The number of workers whose views are fed with what enters.
    pub(crate) joined: AtomicUsize,
    /// The number of workers that ask the views.
    pub(crate) ready: AtomicUsize,
    pub(crate) past: Arc<PastNumbers>,
    /// Why it cannot be done.
    pub(crate) error: OnceLock<String>,
    fate: OnceLock<Fate>,
}

/// How much of the past of views was read.
#[derive(Debug, Default)]
pub(crate) struct PastNumbers {
    /// The number of events of the log that were read, by all workers.
    pub(crate) read: AtomicU64,
    /// About how many there are.
    pub(crate) to_read: AtomicU64,
}

/// Whether views that are being added stay. It is decided once, for all workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Stays,
    Goes,
}

impl<E> Adding<E> {
    fn new(views: Vec<Arc<dyn EngineView<E>>>) -> Adding<E> {
        Adding {
            views,
            near: AtomicUsize::default(),
            joined: AtomicUsize::default(),
            ready: AtomicUsize::default(),
            past: Arc::default(),
            error: OnceLock::new(),
            fate: OnceLock::new(),
        }
    }

    /// Decides whether the views stay, if that was not decided before.
    pub(crate) fn decide(&self, fate: Fate) -> Fate {
        *self.fate.get_or_init(|| fate)
    }
}

/// Views that are being removed.
pub(crate) struct Removing {
    pub(crate) names: Vec<String>,
    /// The number of workers that have ended their dataflows.
    pub(crate) gone: AtomicUsize,
}

/// What a change needs of the engine.
pub(crate) struct Place {
    pub(crate) shared: Arc<Shared>,
    pub(crate) archive: Archive,
    pub(crate) store: Arc<Store>,
    pub(crate) cluster: Cluster,
    pub(crate) asking: AskLimits,
}

/// The changes of an engine: one at a time.
pub(crate) struct Changes<E> {
    pub(crate) clock: Clock,
    state: Mutex<ChangesState<E>>,
    changed: Condvar,
    /// There is an order that the first worker has not announced.
    is_ordered: AtomicBool,
}

struct ChangesState<E> {
    /// The engine, once it has started; or why it cannot change.
    place: Option<Result<Arc<Place>, String>>,
    /// All views of the engine, also those that are being added.
    views: Vec<Arc<dyn EngineView<E>>>,
    orders: BTreeMap<u64, Arc<Order<E>>>,
    number: u64,
    unannounced: Vec<u64>,
    is_busy: bool,
    is_closed: bool,
}

impl<E> Changes<E> {
    pub(crate) fn new(clock: Clock) -> Changes<E> {
        let state = ChangesState {
            place: None,
            views: Vec::new(),
            orders: BTreeMap::new(),
            number: 0,
            unannounced: Vec::new(),
            is_busy: false,
            is_closed: false,
        };
        let (state, changed) = (Mutex::new(state), Condvar::new());
        Changes { clock, state, changed, is_ordered: AtomicBool::new(false) }
    }

    fn lock(&self) -> MutexGuard<'_, ChangesState<E>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The engine starts with these views; or why its views cannot change.
    pub(crate) fn open(
        &self,
        views: &[Arc<dyn EngineView<E>>],
        place: Result<Place, &'static str>,
    ) {
        let mut state = self.lock();
        state.views = views.to_vec();
        state.place = Some(place.map(Arc::new).map_err(str::to_owned));
    }

    /// The engine ends: nothing changes any more.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.is_closed = true;
        // The data folder is free for the next engine, whoever still has a changer of this one.
        state.place = None;
        state.orders.clear();
        let views = std::mem::take(&mut state.views);
        drop(state);
        views.iter().for_each(|view| view.close());
        self.changed.notify_all();
    }

    /// Waits until no change is being made: it still has the data folder. Call it when the engine is closed.
    pub(crate) fn wait_idle(&self) {
        let waited = self.changed.wait_while(self.lock(), |state| state.is_busy);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    /// Begins a change, the only one until [`Changes::end`].
    pub(super) fn begin(&self) -> Result<Arc<Place>, ChangeError> {
        let mut state = self.lock();
        if state.is_closed {
            return Err(ChangeError::Stopped);
        }
        let place = match &state.place {
            None => return Err(ChangeError::NotStarted),
            Some(Err(why)) => return Err(ChangeError::NotPossible { why: why.clone() }),
            Some(Ok(place)) => Arc::clone(place),
        };
        if !place.shared.recovered.load(Ordering::Acquire) {
            return Err(ChangeError::NotStarted);
        }
        if std::mem::replace(&mut state.is_busy, true) {
            return Err(ChangeError::Busy);
        }
        Ok(place)
    }

    pub(super) fn end(&self) {
        self.lock().is_busy = false;
        self.changed.notify_all();
    }

    /// Gives the workers an order, and waits until `is_done` is so for it.
    pub(super) fn order(
        &self,
        place: &Place,
        order: Order<E>,
        is_done: impl Fn(&Order<E>) -> bool,
    ) -> Result<Arc<Order<E>>, ChangeError> {
        let order = Arc::new(order);
        let mut state = self.lock();
        if let Order::Add(adding) = &*order {
            state.views.extend(adding.views.iter().cloned());
        }
        state.number += 1;
        let number = state.number;
        state.orders.insert(number, Arc::clone(&order));
        state.unannounced.push(number);
        self.is_ordered.store(true, Ordering::Release);
        place.shared.wake();
        while !state.is_closed && !is_done(&order) {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.is_closed {
            return Err(ChangeError::Stopped);
        }
        Ok(order)
    }

    /// An order to add views.
    pub(super) fn adding(views: &[Arc<dyn EngineView<E>>]) -> Order<E> {
        Order::Add(Adding::new(views.to_vec()))
    }

    /// Closes views that are removed: what waits for an answer is told.
    pub(super) fn close_views(&self, names: &[String]) {
        let is_gone = |view: &Arc<dyn EngineView<E>>| names.iter().any(|n| n == view.view().name());
        let gone: Vec<_> = self.lock().views.extract_if(.., |view| is_gone(view)).collect();
        gone.iter().for_each(|view| view.close());
    }

    /// How much of the log was read for views that are being added, and about how much there is.
    pub(super) fn progress(&self) -> (u64, u64) {
        let state = self.lock();
        let adding = state.orders.values().rev().find_map(|order| match &**order {
            Order::Add(adding) => Some(adding),
            Order::Remove(_) => None,
        });
        adding.map_or((0, 0), |adding| {
            let PastNumbers { read, to_read } = &*adding.past;
            (read.load(Ordering::Relaxed), to_read.load(Ordering::Relaxed))
        })
    }

    /// The orders that the first worker has to announce.
    pub(crate) fn unannounced(&self) -> Vec<u64> {
        if !self.is_ordered.swap(false, Ordering::AcqRel) {
            return Vec::new();
        }
        std::mem::take(&mut self.lock().unannounced)
    }

    /// An order that was announced.
    pub(crate) fn announced(&self, number: u64) -> Option<Arc<Order<E>>> {
        self.lock().orders.get(&number).cloned()
    }

    /// Forgets orders that all workers have carried out.
    pub(super) fn forget_orders(&self) {
        self.lock().orders.clear();
    }

    /// Notes that a worker is further with an order.
    pub(crate) fn note(&self) {
        // The lock orders this after the check of a waiter.
        drop(self.lock());
        self.changed.notify_all();
    }
}
