//! The archive: where sealed days go, a data folder or memory, and the thread that writes them.
//!
//! Sealing sorts, merges, writes and syncs; none of this happens on a worker. A worker freezes a closed
//! table, goes on, and swaps the file for it when the revision is live.

mod seal;

use std::sync::{Arc, Mutex, mpsc};

pub(crate) use seal::{LivePart, SealJob};

use crate::aggregate::Aggregate;
use crate::batch::BatchError;
use crate::key::Key;
use crate::store::{Store, StoreError};
use crate::time::Day;

/// Where the sealed days of all views of a program are kept. Clones share it.
#[derive(Clone, Debug)]
pub struct Archive {
    thread: Arc<Thread>,
    place: Place,
}

/// The place itself, as the archive's thread uses it.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// Sealed days are held in memory, in the form they have in files, and gone with the program.
    Memory,
    /// Sealed days are files of a data folder.
    Folder(Arc<Store>),
}

#[derive(Debug)]
struct Thread {
    jobs: Mutex<Option<mpsc::Sender<Job>>>,
    handle: Mutex<Option<std::thread::JoinHandle<()>>>,
}

/// The live revisions of a worker's partitions, and the last closing that is sealed.
pub(crate) type Loaded<K, A> = (Vec<LivePart<K, A>>, Option<Day>);

type Job = Box<dyn FnOnce() + Send>;

impl Archive {
    /// An archive in memory, for programs that need no folder.
    pub fn in_memory() -> Archive {
        Archive::new(Place::Memory)
    }

    /// An archive in an opened data folder.
    pub fn folder(store: Arc<Store>) -> Archive {
        Archive::new(Place::Folder(store))
    }

    fn new(place: Place) -> Archive {
        let (sender, receiver) = mpsc::channel::<Job>();
        let run = move || receiver.into_iter().for_each(|job| job());
        let handle = std::thread::Builder::new()
            .name("dayfold:archive".to_owned())
            .spawn(run)
            .expect("the system gives a thread to the archive");
        let thread = Thread { jobs: Mutex::new(Some(sender)), handle: Mutex::new(Some(handle)) };
        Archive { thread: Arc::new(thread), place }
    }

    /// The data folder, if there is one.
    pub fn store(&self) -> Option<&Arc<Store>> {
        match &self.place {
            Place::Memory => None,
            Place::Folder(store) => Some(store),
        }
    }

    /// Makes what all workers have prepared live: one record for all workers of this process.
    pub(crate) fn spawn_commit(
        &self,
        view: &str,
        through: Day,
        done: impl FnOnce(Result<(), ArchiveError>) + Send + 'static,
    ) {
        let view = view.to_owned();
        self.spawn(move |place| match place {
            Place::Memory => done(Ok(())),
            Place::Folder(store) => done(store.commit(&view, through).map_err(ArchiveError::from)),
        });
    }

    /// Runs `job` on the archive's thread, after those before it.
    pub(crate) fn spawn(&self, job: impl FnOnce(&Place) + Send + 'static) {
        let place = self.place.clone();
        let jobs = self.thread.jobs.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(jobs) = jobs.as_ref() {
            // The thread lives as long as this sender; a panic in a job is reported where it waits.
            let _ = jobs.send(Box::new(move || job(&place)));
        }
    }

    /// The live revisions of a worker's partitions, and the last closing that is sealed.
    pub(crate) fn load<K: Key, A: Aggregate>(
        &self,
        view: &str,
        worker: usize,
        peers: usize,
    ) -> Result<Loaded<K, A>, ArchiveError> {
        match &self.place {
            Place::Memory => Ok((Vec::new(), None)),
            Place::Folder(store) => {
                Ok((seal::load(store, view, worker, peers)?, store.closed_through(view)))
            }
        }
    }
}

impl Drop for Thread {
    /// Waits for what was begun: a program that ends leaves no half-written day behind.
    fn drop(&mut self) {
        let lock = |poisoned: std::sync::PoisonError<_>| poisoned.into_inner();
        drop(self.jobs.lock().unwrap_or_else(lock).take());
        let handle = self.handle.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
        if let Some(handle) = handle {
            let _ = handle.join();
        }
    }
}

/// What can go wrong when a day is sealed or a sealed day is read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// The data folder could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A sealed day is damaged.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// A sealed day in memory could not be written.
    #[error("day {day} of view '{view}' could not be sealed in memory")]
    Memory {
        /// The view.
        view: String,
        /// The day.
        day: Day,
        /// What the writer said.
        source: std::io::Error,
    },
}
