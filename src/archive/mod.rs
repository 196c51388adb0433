//! The archive: the storage of sealed days, in a data folder or in memory, and the threads that write it.
//!
//! Sealing sorts, merges, writes and syncs; none of this happens on a worker. A worker freezes a closed table and goes
//! on. When the revision is live, it replaces the table with the file.

mod audit;
mod error;
mod load;
mod pool;
mod rebuild;
mod recompute;
mod rollup;
mod seal;
mod sealed;
mod shelf;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

pub(crate) use audit::{AuditJob, Audited, FaultyRollup, damaged};
pub use audit::{Fault, Finding, KeyDifference};
pub use error::ArchiveError;
pub(crate) use load::Loaded;
pub(crate) use pool::{Held, Pool, Step};
pub(crate) use rebuild::{RebuildJob, Rebuilt};
pub(crate) use recompute::LogRows;
pub(crate) use rollup::{Rollup, RollupCheck, with_rollups};
pub(crate) use seal::{LivePart, SealJob};
pub(crate) use sealed::{Keeper, Past, Sealed};
pub(crate) use shelf::{Shelf, TakenOff};

use crate::closing::Closing;
use crate::store::{Share, Store};
use crate::time::{Day, Grain};
use crate::view::{RevisionLimit, RollupsFrom};
use crate::yielding::Sealing;

/// The storage of the sealed days of all views of a program. Clones share it.
///
/// ```
/// use std::sync::Arc;
///
/// use dayfold::Archive;
/// use dayfold::aggregate::Count;
/// use dayfold::store::{Memory, Store, StoreConfig, ViewRecord};
/// use dayfold::view::View;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let view = View::new("per-page")?;
/// let config = StoreConfig::new(0, 1, vec![ViewRecord::of::<String, Count>(&view)]);
/// let store = Store::open(Arc::new(Memory::default()), "/data", config)?;
/// let archive = Archive::folder(Arc::new(store));
/// assert!(archive.store().is_some() && Archive::in_memory().store().is_none());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Archive {
    place: Place,
    /// The number of shelves, which share the limit of open files.
    shelves: Arc<AtomicUsize>,
    /// The threads that read for questions.
    pool: Pool,
}

/// The storage itself, as the archive's threads use it.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// Sealed days are held in memory, in the same form as in files, and are lost when the program ends.
    Memory,
    /// Sealed days are files of a data folder.
    Folder(Arc<Store>),
}

impl Archive {
    /// An archive in memory, for programs that need no folder. As in a folder, superseded revisions are kept: each
    /// amendment of a day takes the size of the day again.
    pub fn in_memory() -> Archive {
        Archive { place: Place::Memory, shelves: Arc::default(), pool: Pool::new() }
    }

    /// An archive in an open data folder.
    ///
    /// The caller must call [`Store::begin`] before events enter, and [`Store::complete`] once every view is finished.
    /// An [`Engine`](crate::Engine) does both.
    pub fn folder(store: Arc<Store>) -> Archive {
        Archive { place: Place::Folder(store), shelves: Arc::default(), pool: Pool::new() }
    }

    /// The data folder, if there is one.
    pub fn store(&self) -> Option<&Arc<Store>> {
        match &self.place {
            Place::Memory => None,
            Place::Folder(store) => Some(store),
        }
    }

    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// The threads that read for questions.
    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }

    pub(crate) fn shelves(&self) -> usize {
        self.shelves.load(Ordering::Relaxed)
    }

    /// Whether worker `worker` of `peers` removes files for its process; one worker of each process does.
    pub(crate) fn removes(&self, worker: usize, peers: usize) -> bool {
        match &self.place {
            Place::Memory => false,
            Place::Folder(store) => {
                worker == store.process() as usize * (peers / store.processes())
            }
        }
    }

    /// Notes that a worker has nothing to write for the closings of a view up to `through`.
    pub(crate) fn prepare_nothing(
        &self,
        view: &str,
        worker: usize,
        through: Closing,
    ) -> Result<(), ArchiveError> {
        if let Place::Folder(store) = &self.place {
            store.prepare(view, through, worker, Vec::new())?;
        }
        Ok(())
    }

    /// A lane of this archive: a thread that runs its jobs one after the other.
    pub(crate) fn lane(&self, name: &str) -> Lane {
        let (jobs, receiver) = mpsc::channel::<Job>();
        let place = self.place.clone();
        let thread = std::thread::Builder::new()
            .name(format!("seal:{name}"))
            .spawn(move || {
                give_way(10);
                for job in receiver {
                    let _sealing = Sealing::begin();
                    job(&place);
                }
            })
            .expect("the system gives a thread to the archive");
        Lane { jobs: Some(jobs), thread: Some(thread) }
    }
}

/// Lowers the priority of this thread, a lane or one that reads for questions, below that of workers: a delayed worker
/// delays all others. A lane still gets at least a tenth of a processor, and the amount that is closed and not sealed
/// is bounded. The priority is relative to that of the process.
fn give_way(by: i32) {
    // On other systems this would set the priority of the whole process.
    #[cfg(not(target_os = "linux"))]
    let _ = by;
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{getpriority_process, setpriority_process};
        let give_way =
            getpriority_process(None).and_then(|own| setpriority_process(None, (own + by).min(19)));
        if let Err(error) = give_way {
            tracing::debug!(%error, "a thread keeps the priority of workers");
        }
    }
}

/// A thread of an archive. Each view has one on each worker. It mostly waits for the disk, which serves several waiting
/// lanes together.
#[derive(Debug)]
pub(crate) struct Lane {
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

type Job = Box<dyn FnOnce(&Place) + Send>;

impl Lane {
    /// Runs `job` after the jobs before it.
    pub(crate) fn spawn(&self, job: impl FnOnce(&Place) + Send + 'static) {
        if let Some(jobs) = &self.jobs {
            // The thread lives as long as this sender. A panic in a job is noticed where its result is awaited.
            let _ = jobs.send(Box::new(job));
        }
    }
}

impl Drop for Lane {
    /// Waits for jobs that have begun: a program that ends leaves no half-written day behind.
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Makes what all workers have prepared live, in one record for all workers of this process. `shares` has the share of
/// each worker of the cluster.
pub(crate) fn commit(
    place: &Place,
    view: &str,
    (through, shares): (Closing, &[Share]),
    not_dropped_from: Option<Day>,
) -> Result<(), ArchiveError> {
    let Place::Folder(store) = place else { return Ok(()) };
    // What is dropped of a closing is not read from the log again when the closing is live.
    if let Some(from) = not_dropped_from {
        store.note_not_dropped(view, from)?;
    }
    Ok(store.commit(view, through, shares)?)
}

/// What a process removes of a view from its part. Nobody reads or writes it any more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Removal {
    /// Remove the periods before this one.
    pub(crate) before: Option<Day>,
    /// Remove what closings up to this one have superseded, except these revisions.
    pub(crate) superseded: Option<(Closing, RevisionLimit)>,
    /// Remove the rollups before these days, by grain.
    pub(crate) rollups: RollupsFrom,
}

impl Removal {
    pub(crate) fn run(self, place: &Place, view: &str) -> Result<(), ArchiveError> {
        let Place::Folder(store) = place else { return Ok(()) };
        if let Some(from) = self.before {
            store.remove_before(view, from)?;
        }
        if let Some((through, limit)) = self.superseded {
            store.remove_superseded(view, through, limit)?;
        }
        for grain in Grain::ALL {
            if let Some(before) = self.rollups[grain as usize] {
                store.remove_rollups(view, grain, before)?;
            }
        }
        Ok(())
    }
}
