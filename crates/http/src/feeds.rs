//! The feeds of views, which all followers share.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use dayfold_sinks::{Feed, SinkError};

/// Starts the feed of a view.
pub(crate) type StartFeed = dyn Fn(&str) -> Result<Feed, SinkError> + Send + Sync;

/// The feeds of views, each started by its first follower.
pub(crate) struct Feeds {
    start: Box<StartFeed>,
    started: Mutex<HashMap<String, Arc<Feed>>>,
}

impl Feeds {
    pub(crate) fn new(start: Box<StartFeed>) -> Feeds {
        Feeds { start, started: Mutex::default() }
    }

    /// Ends the feed of a view that is served no more.
    pub(crate) fn end(&self, view: &str) {
        let ended = self.started.lock().unwrap_or_else(PoisonError::into_inner).remove(view);
        drop(ended);
    }

    pub(crate) fn of(&self, view: &str) -> Result<Arc<Feed>, SinkError> {
        let mut started = self.started.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(feed) = started.get(view) {
            return Ok(Arc::clone(feed));
        }
        let feed = Arc::new((self.start)(view)?);
        started.insert(view.to_owned(), Arc::clone(&feed));
        Ok(feed)
    }
}
