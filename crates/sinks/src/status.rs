//! How far sinks are.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How far a view is in a store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SinkStatus {
    /// Rows written by this program.
    pub written: u64,
    /// Rows removed by this program, as far as the store says.
    pub removed: u64,
    /// Rows that the store has refused, and that were kept aside.
    pub refused: u64,
    /// Events that entered since the moment that the store has: so many rows may have changed at most.
    pub lag_events: u64,
    /// How old that moment is; nothing, if the store has all.
    pub lag: Duration,
    /// Whether the store has had the whole answer of a moment since it was last opened.
    pub is_in_step: bool,
    /// How often in a row it has failed; 0 while all is well.
    pub failures: u32,
    /// Why it failed last, if it has not succeeded since.
    pub error: Option<String>,
}

/// What the thread of a sink writes, and others read.
#[derive(Debug, Default)]
pub(crate) struct Board {
    views: Mutex<BTreeMap<String, SinkStatus>>,
}

impl Board {
    pub(crate) fn new(views: &[String]) -> Arc<Board> {
        let views = views.iter().map(|view| (view.clone(), SinkStatus::default())).collect();
        Arc::new(Board { views: Mutex::new(views) })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, SinkStatus>> {
        self.views.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn all(&self) -> BTreeMap<String, SinkStatus> {
        self.lock().clone()
    }

    pub(crate) fn change(&self, view: &str, change: impl FnOnce(&mut SinkStatus)) {
        change(self.lock().entry(view.to_owned()).or_default());
    }
}
