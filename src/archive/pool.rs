//! Threads that read for questions, so that no worker does.
//!
//! A job runs in steps of a few milliseconds, in turn with all others, so a job that reads everything does not delay
//! one that reads a little. A job that has to wait for its asker is kept by the asker, and takes no thread.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use crate::table::Outlived;

/// More threads would not read faster, and would leave less to the workers.
const THREADS_MAX: usize = 4;

/// A job that reads in steps.
pub(crate) trait Step: Send {
    /// Reads for a while. Returns itself if it wants to continue at once.
    fn step(self: Box<Self>) -> Option<Box<dyn Step>>;
}

/// Threads that run steps of jobs in turn. Clones share them; they end with the last clone.
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
    /// The approximate bytes of rows that jobs have made and that were not taken yet.
    bytes: AtomicUsize,
    /// The bytes of tables that only readers hold.
    outlived: Outlived,
}

#[derive(Default)]
struct PoolState {
    jobs: VecDeque<Box<dyn Step>>,
    threads: usize,
    /// The number of idle threads.
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
            // When a job that panicked is dropped, its asker is notified; the other jobs go on.
            let again = std::panic::catch_unwind(AssertUnwindSafe(|| job.step())).ok().flatten();
            state = self.lock();
            state.jobs.extend(again);
        }
    }
}

impl Pool {
    /// A pool without threads: they start with the first jobs.
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

    /// Runs a job, in turn with the others.
    pub(crate) fn submit(&self, job: Box<dyn Step>) {
        let shared = &self.owner.shared;
        shared.push(job);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let mut state = shared.lock();
        if state.idle == 0 && state.threads < (cores / 2).clamp(1, THREADS_MAX) {
            let running = Arc::clone(shared);
            let name = "dayfold:look-up".to_owned();
            let spawned = std::thread::Builder::new().name(name).spawn(move || {
                // The priority is lowered less than that of a lane, because somebody waits for the result.
                super::give_way(5);
                running.run();
            });
            match spawned {
                Ok(_) => state.threads += 1,
                // The existing threads run the job.
                Err(error) if state.threads > 0 => tracing::warn!(%error, "no thread to read"),
                Err(error) => panic!("the system gives no thread to read with: {error}"),
            }
        }
    }

    /// Runs something short, in turn with the others.
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

    /// The approximate bytes of rows that jobs have made and that were not taken yet.
    pub(crate) fn bytes(&self) -> usize {
        self.owner.shared.bytes.load(Ordering::Relaxed)
    }

    /// The bytes of tables that only readers hold: readers of the pool, and snapshots.
    pub(crate) fn outlived(&self) -> &Outlived {
        &self.owner.shared.outlived
    }

    /// Counts bytes of rows until the returned value is dropped.
    pub(crate) fn hold(&self, bytes: usize) -> Held {
        self.owner.shared.bytes.fetch_add(bytes, Ordering::Relaxed);
        Held { shared: Arc::clone(&self.owner.shared), bytes }
    }
}

/// Counted bytes.
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
