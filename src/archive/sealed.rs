//! Sealed parts that are read outside their worker, and the sources of their files.

use std::fmt;
use std::sync::Arc;

use super::{ArchiveError, LivePart};
use crate::aggregate::Aggregate;
use crate::batch::{BatchView, Coverage};
use crate::closing::Closing;
use crate::key::Key;
use crate::store::{Packed, Revision, SealedFile, Store};
use crate::time::{Day, DayRange};

/// The source of a file: its writer, its generation, its partitions, and those of them for which it counts here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    pub(super) generation: u32,
    pub(super) process: u32,
    pub(super) worker: u32,
    pub(super) written: Coverage,
    pub(super) counts: Coverage,
}

impl Source {
    /// An open file of this source.
    pub(super) fn part<K, A>(
        self,
        (day, closing, packed): (Day, Closing, Option<Packed>),
        view: BatchView<K, A>,
    ) -> LivePart<K, A> {
        let Source { generation, process, worker, counts: coverage, .. } = self;
        LivePart { day, closing, generation, coverage, process, worker, packed, view }
    }
}

/// A live revision that is read outside its worker. It does not change, whatever happens to the shelf.
#[derive(Clone, Debug)]
pub(crate) enum Sealed<K, A> {
    /// An open file.
    Open(LivePart<K, A>),
    /// A file that is opened when it is needed.
    Closed {
        store: Arc<Store>,
        view: Arc<str>,
        file: Closed,
        source: Source,
        _pin: Pin,
        /// Receives the open file.
        keeper: Option<Keeper<K, A>>,
    },
}

/// Keeps files open that are opened elsewhere, so that the next reader need not open and verify them again.
pub(crate) struct Keeper<K, A>(Arc<dyn Fn(LivePart<K, A>) + Send + Sync>);

impl<K, A> Keeper<K, A> {
    pub(crate) fn new(keep: impl Fn(LivePart<K, A>) + Send + Sync + 'static) -> Self {
        Keeper(Arc::new(keep))
    }
}

impl<K, A> Clone for Keeper<K, A> {
    fn clone(&self) -> Self {
        Keeper(Arc::clone(&self.0))
    }
}

impl<K, A> fmt::Debug for Keeper<K, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeper").finish_non_exhaustive()
    }
}

/// Keeps files in place: no file that was on the shelf when the pin was taken is removed while the pin is held.
pub(crate) type Pin = Arc<()>;

/// A file that is not open.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Closed {
    pub(super) day: Day,
    pub(super) closing: Closing,
    pub(super) check: u64,
    pub(super) packed: Option<Packed>,
}

impl Closed {
    pub(super) fn open<K: Key, A: Aggregate>(
        self,
        store: &Store,
        view: &str,
        source: Source,
    ) -> Result<BatchView<K, A>, ArchiveError> {
        Ok(store.reopen(&SealedFile {
            view,
            day: self.day,
            closing: self.closing,
            generation: source.generation,
            process: source.process,
            worker: source.worker,
            coverage: source.written,
            check: self.check,
            packed: self.packed,
        })?)
    }
}

impl<K: Key, A: Aggregate> Sealed<K, A> {
    pub(crate) fn day(&self) -> Day {
        match self {
            Sealed::Open(part) => part.day,
            Sealed::Closed { file, .. } => file.day,
        }
    }

    /// The partitions for which it counts.
    pub(crate) fn coverage(&self) -> &Coverage {
        match self {
            Sealed::Open(part) => &part.coverage,
            Sealed::Closed { source, .. } => &source.counts,
        }
    }

    /// The number of rows, if it is known without opening the file.
    pub(crate) fn rows(&self) -> Option<u64> {
        match self {
            Sealed::Open(part) => Some(part.view.rows()),
            Sealed::Closed { .. } => None,
        }
    }

    /// The file, opened if necessary.
    pub(crate) fn open(&self) -> Result<LivePart<K, A>, ArchiveError> {
        match self {
            Sealed::Open(part) => Ok(part.clone()),
            Sealed::Closed { store, view, file, source, keeper, .. } => {
                let name = (file.day, file.closing, file.packed);
                let part = source.part(name, file.open(store, view, *source)?);
                keeper.iter().for_each(|Keeper(keep)| keep(part.clone()));
                Ok(part)
            }
        }
    }

    /// The same; once it is open, `keeper` receives it.
    pub(crate) fn kept_by(mut self, with: &Keeper<K, A>) -> Self {
        if let Sealed::Closed { keeper, .. } = &mut self {
            *keeper = Some(with.clone());
        }
        self
    }
}

/// Another revision than the live one.
#[derive(Clone, Debug)]
pub(crate) enum Past<K, A> {
    /// The parts.
    Kept(Vec<LivePart<K, A>>),
    /// What is needed to find the files.
    Folder {
        store: Arc<Store>,
        view: Arc<str>,
        revision: Revision,
        days: DayRange,
        wanted: Coverage,
        _pin: Pin,
    },
}

impl<K: Key, A: Aggregate> Past<K, A> {
    /// The parts. In a folder, the files are looked up in the manifests, and opened for this use only.
    pub(crate) fn open(self) -> Result<Vec<Sealed<K, A>>, ArchiveError> {
        match self {
            Past::Kept(parts) => Ok(parts.into_iter().map(Sealed::Open).collect()),
            Past::Folder { store, view, revision, days, wanted, _pin } => {
                let holds = |day, closing| revision.holds(day, closing);
                let live = store.sealed(&view, days, holds)?;
                let parts = live.iter().map(|live| LivePart::open(&store, live, wanted));
                let parts = parts.filter_map(Result::transpose);
                parts.map(|part| Ok(Sealed::Open(part?))).collect()
            }
        }
    }
}
