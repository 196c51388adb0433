//! Events on their way into the views of an engine.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::time::EventTime;

/// Events that enter together; all views read the same ones.
pub(crate) struct Batch<E> {
    pub(crate) events: Arc<Vec<E>>,
    /// Set if they come from the log.
    pub(crate) replayed: Option<Replayed>,
}

impl<E> Clone for Batch<E> {
    fn clone(&self) -> Self {
        Batch { events: Arc::clone(&self.events), replayed: self.replayed.clone() }
    }
}

impl<E> Batch<E> {
    /// Events that have just arrived.
    pub(crate) fn new(events: Arc<Vec<E>>) -> Batch<E> {
        Batch { events, replayed: None }
    }
}

/// The settings in force when replayed events first entered. They determine the closing of each event, which must not
/// change.
#[derive(Clone, Debug)]
pub(crate) struct Replayed {
    pub(crate) floor: EventTime,
    /// The grace of each view, in milliseconds.
    pub(crate) graces: Arc<BTreeMap<String, i64>>,
}
