//! Resources for requests: places to wait, bytes of bodies, threads. Each kind of request has its own, so that pushes
//! and queries do not starve each other.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

use crate::error::ApiError;
use crate::limits::Limits;

/// Threads that make events of bodies.
const READERS: usize = 4;

/// Threads that write answers, and each batch of rows.
const WRITERS: usize = 4;

/// Threads that wait for pushes with a key.
const KEYED: usize = 32;

/// All threads of a server for long work, besides the serving thread.
pub(crate) const THREADS: usize = READERS + WRITERS + KEYED;

/// Limits the use of these threads.
pub(crate) struct Threads {
    pub(crate) readers: Arc<Semaphore>,
    pub(crate) writers: Arc<Semaphore>,
    pub(crate) keyed: Arc<Semaphore>,
}

impl Default for Threads {
    fn default() -> Threads {
        let [readers, writers, keyed] =
            [READERS, WRITERS, KEYED].map(|count| Arc::new(Semaphore::new(count)));
        Threads { readers, writers, keyed }
    }
}

/// Limits on requests that wait for the engine, and on bodies.
pub(crate) struct Places {
    questions: Semaphore,
    pushes: Semaphore,
    streams: Arc<Semaphore>,
    followers: Arc<Semaphore>,
    pub(crate) bodies: Arc<Bodies>,
}

impl Places {
    pub(crate) fn new(limits: &Limits) -> Places {
        Places {
            questions: Semaphore::new(limits.waiting),
            pushes: Semaphore::new(limits.pushes),
            streams: Arc::new(Semaphore::new(limits.streams)),
            followers: Arc::new(Semaphore::new(limits.followers)),
            bodies: Arc::new(Bodies { bytes: limits.bodies, taken: AtomicUsize::new(0) }),
        }
    }

    /// A place among the queries that wait for the engine.
    ///
    /// # Errors
    /// 503 if too many wait.
    pub(crate) fn question(&self) -> Result<SemaphorePermit<'_>, ApiError> {
        self.questions.try_acquire().map_err(|_| busy("as many questions as may wait"))
    }

    /// A place among the pushes that wait for the engine.
    ///
    /// # Errors
    /// 503 if too many wait.
    pub(crate) fn push(&self) -> Result<SemaphorePermit<'_>, ApiError> {
        self.pushes.try_acquire().map_err(|_| busy("as many pushes as may wait"))
    }

    /// A place among the answers with all rows of a view.
    ///
    /// # Errors
    /// 503 if there are too many.
    pub(crate) fn stream(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        Arc::clone(&self.streams).try_acquire_owned().map_err(|_| {
            let message = "as many answers without a limit as may be sent at once are being sent: try again, or ask \
                           page by page (limit)";
            ApiError::unavailable("busy", message)
        })
    }

    /// A permit for a follower of changes; each has a thread.
    ///
    /// # Errors
    /// 429 if there are too many.
    pub(crate) fn follower(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        Arc::clone(&self.followers).try_acquire_owned().map_err(|_| {
            let message = "as many as may follow changes do already: try again";
            ApiError::too_many_subscribers(message.to_owned())
        })
    }
}

fn busy(what: &str) -> ApiError {
    let message = format!("{what} for the engine are waiting already: try again");
    ApiError::unavailable("busy", message)
}

/// The bytes for bodies, over all connections.
pub(crate) struct Bodies {
    bytes: usize,
    taken: AtomicUsize,
}

impl Bodies {
    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }
}

/// A part of these bytes; released when it is dropped.
pub(crate) struct Reserved {
    bodies: Arc<Bodies>,
    bytes: usize,
}

impl Reserved {
    pub(crate) fn nothing(bodies: &Arc<Bodies>) -> Reserved {
        Reserved { bodies: Arc::clone(bodies), bytes: 0 }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Reserves more, if available.
    pub(crate) fn extend(&mut self, more: usize) -> bool {
        let Bodies { bytes, taken } = &*self.bodies;
        let within = |taken: usize| taken.checked_add(more).filter(|taken| taken <= bytes);
        let is_there = taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, within).is_ok();
        self.bytes += if is_there { more } else { 0 };
        is_there
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.bodies.taken.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_take_no_more_than_there_is_and_give_it_back() {
        let bodies = Arc::new(Bodies { bytes: 100, taken: AtomicUsize::new(0) });
        let (mut one, mut other) = (Reserved::nothing(&bodies), Reserved::nothing(&bodies));
        assert!(one.extend(60) && !other.extend(41) && other.extend(40));
        assert!(!one.extend(1) && !one.extend(usize::MAX));
        assert_eq!((one.bytes(), other.bytes(), bodies.taken()), (60, 40, 100));
        drop(one);
        assert_eq!(bodies.taken(), 40);
        assert!(other.extend(60));
        drop(other);
        assert_eq!(bodies.taken(), 0);
    }
}
