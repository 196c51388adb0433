//! Events on their way into the views of an engine.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::time::EventTime;

/// Events that enter together; all views read the same ones.
pub(crate) struct Batch<E> {
    pub(crate) events: Arc<Vec<E>>,
    /// Where they come from, if it is the log.
    pub(crate) replayed: Option<Replayed>,
}

impl<E> Clone for Batch<E> {
    fn clone(&self) -> Self {
        Batch { events: Arc::clone(&self.events), replayed: self.replayed.clone() }
    }
}

impl<E> Batch<E> {
    /// Events that have just come.
    pub(crate) fn new(events: Arc<Vec<E>>) -> Batch<E> {
        Batch { events, replayed: None }
    }
}

/// What was in force when replayed events entered: it decides the closing that they belong to, so that
/// it is the same as it was.
#[derive(Clone, Debug)]
pub(crate) struct Replayed {
    pub(crate) floor: EventTime,
    /// The grace of each view, in milliseconds.
    pub(crate) graces: Arc<BTreeMap<String, i64>>,
}
