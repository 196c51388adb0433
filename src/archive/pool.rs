//! Threads that read for whoever asks, so that no worker does.
//!
//! A job is done in steps of a few milliseconds, in turn with all others: one that reads everything does not keep one from its
//! answer that reads a little. A job that has to wait for its asker lies with the asker, and takes no thread.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use crate::table::Outlived;

/// More threads would not read faster, and leave less to the workers.
const THREADS_MAX: usize = 4;

/// What is to be read, in steps.
pub(crate) trait Step: Send {
    /// Reads on for a while. Gives itself back if it wants to go on at once.
    fn step(self: Box<Self>) -> Option<Box<dyn Step>>;
}

/// Threads that do steps of jobs in turn. Clones share them; they end with the last clone.
#[derive(Clone)]
pub(crate) struct Pool {
    owner: Arc<Owner>,
}

struct Owner {
    shared: Arc<PoolShared>,
}

struct PoolShared {
    state: Mutex<PoolState>,
    work: Condvar,
    /// Bytes of rows that jobs have made and nobody has taken, about.
    bytes: AtomicUsize,
    /// Bytes of tables that readers alone hold.
    outlived: Outlived,
}

#[derive(Default)]
struct PoolState {
    jobs: VecDeque<Box<dyn Step>>,
    threads: usize,
    /// Threads that have nothing to do.
    idle: usize,
    closed: bool,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("bytes", &self.bytes()).finish_non_exhaustive()
    }
}

impl PoolShared {
    fn lock(&self) -> MutexGuard<'_, PoolState> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn push(&self, job: Box<dyn Step>) {
        self.lock().jobs.push_back(job);
        self.work.notify_one();
    }

    fn run(&self) {
        let mut state = self.lock();
        loop {
            if state.closed {
                return;
            }
            let Some(job) = state.jobs.pop_front() else {
                state.idle += 1;
                state = self.work.wait(state).unwrap_or_else(|poisoned| poisoned.into_inner());
                state.idle -= 1;
                continue;
            };
            drop(state);
            // A job that panics tells its asker when it is dropped; the others go on.
            let again = std::panic::catch_unwind(AssertUnwindSafe(|| job.step())).ok().flatten();
            state = self.lock();
            state.jobs.extend(again);
        }
    }
}

impl Pool {
    /// A pool without threads: they come with the first jobs.
    pub(crate) fn new() -> Pool {
        let (state, work) = (Mutex::default(), Condvar::new());
        let shared = Arc::new(PoolShared {
            state,
            work,
            bytes: AtomicUsize::new(0),
            outlived: Outlived::default(),
        });
        Pool { owner: Arc::new(Owner { shared }) }
    }

    /// Does a job, in turn with the others.
    pub(crate) fn submit(&self, job: Box<dyn Step>) {
        let shared = &self.owner.shared;
        shared.push(job);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let mut state = shared.lock();
        if state.idle == 0 && state.threads < (cores / 2).clamp(1, THREADS_MAX) {
            let running = Arc::clone(shared);
            let name = "dayfold:look-up".to_owned();
            let spawned = std::thread::Builder::new().name(name).spawn(move || {
                // Less than a lane does: somebody waits for what is read.
                super::give_way(5);
                running.run();
            });
            match spawned {
                Ok(_) => state.threads += 1,
                // Those that there are do it.
                Err(error) if state.threads > 0 => tracing::warn!(%error, "no thread to read"),
                Err(error) => panic!("the system gives no thread to read with: {error}"),
            }
        }
    }

    /// Does something short, in turn with the others.
    pub(crate) fn run(&self, job: impl FnOnce() + Send + 'static) {
        struct Once<F>(F);
        impl<F: FnOnce() + Send> Step for Once<F> {
            fn step(self: Box<Self>) -> Option<Box<dyn Step>> {
                (self.0)();
                None
            }
        }
        self.submit(Box::new(Once(job)));
    }

    /// Bytes of rows that jobs have made and nobody has taken, about.
    pub(crate) fn bytes(&self) -> usize {
        self.owner.shared.bytes.load(Ordering::Relaxed)
    }

    /// Bytes of tables that readers alone hold: those who read here, and snapshots.
    pub(crate) fn outlived(&self) -> &Outlived {
        &self.owner.shared.outlived
    }

    /// Counts bytes of rows, as long as what is returned is there.
    pub(crate) fn hold(&self, bytes: usize) -> Held {
        self.owner.shared.bytes.fetch_add(bytes, Ordering::Relaxed);
        Held { shared: Arc::clone(&self.owner.shared), bytes }
    }
}

/// Bytes that are counted.
pub(crate) struct Held {
    shared: Arc<PoolShared>,
    bytes: usize,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.shared.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.closed = true;
        let jobs = std::mem::take(&mut state.jobs);
        drop(state);
        drop(jobs);
        self.shared.work.notify_all();
    }
}
