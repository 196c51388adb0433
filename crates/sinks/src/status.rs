//! The progress of sinks.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The progress of a view in a store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SinkStatus {
    /// Rows written by this program.
    pub written: u64,
    /// Rows removed by this program, as far as the store reports it.
    pub removed: u64,
    /// Rows that the store has refused, and that were kept aside.
    pub refused: u64,
    /// Events that entered since the moment that the store has: at most this many rows may have changed.
    pub lag_events: u64,
    /// The age of that moment; zero if the store has everything.
    pub lag: Duration,
    /// Whether the store has had the whole answer of a moment since it was last opened.
    pub is_in_step: bool,
    /// The number of failures in a row.
    pub failures: u32,
    /// The last error, unless it has succeeded since.
    pub error: Option<String>,
}

/// The status, which the thread of a sink writes and others read.
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
