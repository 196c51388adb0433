//! The data folder: which batch views there are, and which of them count.
//!
//! ```text
//! ROOT/part-<process>/lock                  held while a program runs
//!                     manifest              an append log of records: definitions, commits, facts
//!                     views/<view>/<day>/<closing>-w<worker>.batch
//!                     views/<view>/<day>/<closing>-f<floor>-w<worker>.batch
//!                     views/<view>/<day>/<closing>[-f<floor>]-g<generation>-w<worker>.batch
//!                     rejected/rows.csv     what was refused
//! ```
//!
//! Each process of a group owns one part. The parts of others may be in the same folder, or in folders on other
//! machines, of which it hears (`said.rs`). A program may be started again with
//! another number of processes or workers: files say which partitions they cover, and of each day and
//! partition the rows of the newest revision count ([`Store::live`]).
//!
//! # Sealing
//!
//! 1. A worker writes its files (`Store::write_batch`): under another name, synced, renamed.
//! 2. It registers them (`Store::prepare`), also when it has none.
//! 3. When all workers *of the group* have, each process commits (`Store::commit`): one record with all
//!    its workers' files, synced. It is the moment from which they count.
//!
//! # Rebuilding
//!
//! A revision that was computed again, from the log, is written as the next *generation* of the same
//! closing (`Store::write_rebuilt`) and counts from one record on (`Store::commit_rebuilt`). It holds
//! the same rows, so each process commits by itself: each partition is right, before and after.
//!
//! # Starting
//!
//! 1. [`Store::open`] checks, and then rolls the process's own part forward: if one process committed a
//!    closing, all had prepared it. Then it removes what nobody committed. Nothing is created or
//!    changed before all checks have passed.
//!
//!    Here a view gets a new definition, if [`StoreConfig::rebuild`] names it: each part drops what it has
//!    sealed of the view. Once one part has, the others follow, whatever came between.
//! 2. When all processes of the group have opened theirs, each calls [`Store::begin`], which reads the
//!    other parts again and fails if they do not agree.
//!
//! This module knows no dataflow, and reaches files only through [`Storage`].

mod backup;
mod disk;
mod error;
#[cfg(any(test, feature = "testing"))]
mod faulty;
mod folder;
mod inspect;
mod layout;
mod live;
mod manifest;
mod memory;
mod open;
mod proof;
mod rebuild;
mod record;
mod recovery;
mod said;
mod seal;
mod storage;
mod zones;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use crate::aggregate::Aggregate;
use crate::batch::{BatchView, Bytes, RawBatch};
use crate::closing::Closing;
use crate::key::Key;
use crate::schema::ViewSchema;
use crate::time::{Day, DayRange};

pub use backup::{BackupError, BackupReport, backup};
pub use disk::Disk;
pub use error::{Effect, StoreError};
#[cfg(any(test, feature = "testing"))]
pub use faulty::{Failure, Faulty, Operation};
pub use inspect::{FolderReport, PartReport, RunReport, ViewReport, inspect, verify};
pub(crate) use live::SealedFile;
pub use live::{LiveBatch, Revision};
pub use memory::Memory;
pub(crate) use open::Looked;
pub use proof::LogPosition;
pub(crate) use proof::{LogProof, Share};
pub use record::{BatchEntry, FormerNames, ViewRecord};
pub(crate) use said::Said;
pub use storage::{FolderLock, Storage, StorageFile};

use layout::Layout;
use manifest::Manifest;
use proof::Proofs;
use record::{PartState, Place, Record, Run};

/// What a program says about itself when it opens a folder.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// The index of this process.
    pub process: usize,
    /// The number of processes of the group.
    pub processes: usize,
    /// The views of the program.
    pub views: Vec<ViewRecord>,
    /// Whether the program appends every accepted event to a log before it is acknowledged. A folder
    /// keeps to what its first run said: a log that began later, or paused, would not hold all events of
    /// what is sealed.
    pub logged: bool,
    /// Names of views that may be defined otherwise than in the folder: what is sealed of such a view is
    /// dropped on opening, and it is closed through no day again, to be computed from the log. Where the
    /// definition has not changed, nothing happens.
    pub rebuild: Vec<String>,
    /// What the views look like. The folder keeps it for those who do not know their types; it may be another in each run.
    pub schemas: Vec<ViewSchema>,
    /// By view, what a folder of version 0.1 may say in the place of the ids of its types. Where it does, it says the ids
    /// from now on.
    #[doc(hidden)]
    pub former: BTreeMap<String, FormerNames>,
}

impl StoreConfig {
    /// Process `process` of `processes`, with these views, without a log and with nothing to rebuild.
    pub fn new(process: usize, processes: usize, views: Vec<ViewRecord>) -> StoreConfig {
        let (logged, rebuild, schemas, former) = Default::default();
        StoreConfig { process, processes, views, logged, rebuild, schemas, former }
    }
}

/// How the last run left the folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunState {
    /// No run has begun.
    Fresh,
    /// Every process of the last run said that it was complete.
    Complete,
    /// The last run was cut short.
    Incomplete,
}

/// An open data folder. Shared by the threads of a process; dropping it unlocks the folder.
///
/// Writing files holds no lock; appending to the manifest does not stop readers.
#[derive(Debug)]
pub struct Store {
    storage: Arc<dyn Storage>,
    layout: Layout,
    config: StoreConfig,
    last: RunState,
    /// The run that [`Store::begin`] begins.
    next_run: Run,
    /// Taken before `state`, where both are.
    manifest: Mutex<Manifest>,
    state: RwLock<State>,
    /// A folder of a day could not be made in this run, but may be there.
    days_in_doubt: AtomicBool,
    /// Each with its file.
    locks: Vec<(PathBuf, FolderLock)>,
}

#[derive(Debug)]
struct State {
    own: PartState,
    /// As they were when this part was opened, or began.
    others: BTreeMap<u32, PartState>,
    /// The parts that there are in this process's folder, whoever sees to them.
    here: BTreeSet<u32>,
    /// What other processes say of the parts that they see to, if they were asked.
    heard: Option<BTreeMap<u32, PartState>>,
    /// By view.
    prepared: BTreeMap<String, BTreeMap<Place, BatchEntry>>,
    /// Up to which closing each local worker has prepared each view.
    prepared_through: BTreeMap<(String, u32), Closing>,
    /// What is to be proven of the logs with the next record.
    to_prove: Proofs,
}

impl State {
    /// What of that is not proven yet, as a record.
    fn to_be_proven(&self) -> Option<Record> {
        let proofs = self.to_prove.beyond(&self.own.proofs);
        (!proofs.is_empty()).then_some(Record::Proven(proofs))
    }
}

impl Store {
    /// How the last run left the folder, as it was when this part was opened.
    pub fn state(&self) -> RunState {
        self.last
    }

    /// The number of the run that [`Store::begin`] begins, the same in all processes of the group. Runs of
    /// a folder are numbered upwards from 1; a run that was cut short keeps its number.
    pub(crate) fn run(&self) -> u64 {
        self.next_run.number
    }

    /// Whether events of this folder are logged.
    pub(crate) fn is_logged(&self) -> bool {
        self.config.logged
    }

    /// Whether any view is closed through some day.
    pub(crate) fn is_sealed(&self) -> bool {
        !self.read().own.sealed.is_empty()
    }

    /// Up to which day a view is closed, the day included: what this process has committed or, when it
    /// opened the folder, was found committed by any process of the last run and rolled forward.
    ///
    /// A commit goes to every process's manifest. After [`Store::begin`] all agree, so this is both the
    /// least and the greatest; during a run, another process may be one commit behind or ahead.
    pub fn closed_through(&self, view: &str) -> Option<Day> {
        self.sealed_through(view).map(Closing::last_closed)
    }

    /// As [`Store::closed_through`]: the last closing that is sealed, which may be one of late events.
    pub(crate) fn sealed_through(&self, view: &str) -> Option<Closing> {
        self.read().own.through(view)
    }

    /// The batch views that count, of all parts: of each day and partition those of the newest revision
    /// that covers it, by closing and then generation. By day, then closing and generation.
    ///
    /// This reads the manifests: memory holds no list of files. During a run, the part of another
    /// process may be one commit behind or ahead.
    ///
    /// # Errors
    /// [`StoreError::Io`] or [`StoreError::Corrupt`] if a manifest cannot be read any more.
    pub fn live(&self, view: &str) -> Result<Vec<LiveBatch>, StoreError> {
        Ok(live::live(self.batches(view, |_| true)?))
    }

    /// The batch views that counted when only some closings were sealed, of the days of a range: as [`Store::live`], of
    /// what `holds` says. This reads the manifests once; it is for the rare query that asks for the past.
    ///
    /// # Errors
    /// As [`Store::live`].
    pub(crate) fn sealed(
        &self,
        view: &str,
        days: DayRange,
        holds: impl Fn(Day, Closing) -> bool,
    ) -> Result<Vec<LiveBatch>, StoreError> {
        let mut batches = self.batches(view, |day| days.contains(day))?;
        batches.retain(|batch| holds(batch.day, batch.revision()));
        Ok(live::live(batches))
    }

    /// All revisions of a day, of all parts, each with the whole coverage of its file; by closing and
    /// generation.
    ///
    /// # Errors
    /// As [`Store::live`].
    pub fn revisions(&self, view: &str, day: Day) -> Result<Vec<LiveBatch>, StoreError> {
        let mut batches = self.batches(view, |found| found == day)?;
        batches.sort_by_key(|b| (b.revision(), b.generation, b.process, b.worker));
        Ok(batches)
    }

    fn batches(
        &self,
        view: &str,
        wanted: impl Fn(Day) -> bool,
    ) -> Result<Vec<LiveBatch>, StoreError> {
        // Nothing is appended to our own while it is read.
        let _manifest = self.manifest();
        let (mut parts, edition) = {
            let state = self.read();
            (state.here.clone(), state.own.edition(view))
        };
        parts.insert(self.config.process as u32);
        let mut batches = Vec::new();
        for process in parts {
            let path = self.layout.manifest(process);
            let Some(part) = manifest::read(&*self.storage, &path)? else {
                return Err(StoreError::MissingPart { path });
            };
            // One whose process has not opened it yet may have the view as it was defined before.
            if part.state.edition(view) != edition {
                continue;
            }
            let sealed = part.state.batches(&self.layout, view, process);
            batches.extend(sealed.filter(|batch| wanted(batch.day)));
        }
        Ok(batches)
    }

    /// Opens a batch view of the folder, by a map of its file: open it when it is first needed.
    ///
    /// # Errors
    /// [`StoreError::Batch`] if it is damaged, [`StoreError::WrongBatch`] if it is not the one that the
    /// manifest names, [`StoreError::Io`] if it cannot be read.
    #[doc(hidden)]
    pub fn open_batch<K: Key, A: Aggregate>(
        &self,
        batch: &LiveBatch,
    ) -> Result<BatchView<K, A>, StoreError> {
        Ok(BatchView::from_raw(Arc::new(open_raw(&*self.storage, batch)?)))
    }

    /// Opens a batch view again that was open before.
    pub(crate) fn reopen<K: Key, A: Aggregate>(
        &self,
        file: &SealedFile<'_>,
    ) -> Result<BatchView<K, A>, StoreError> {
        let path = file.path(&self.layout);
        let bytes = map_batch(&*self.storage, &path)?;
        let raw = RawBatch::open(bytes, &path.display().to_string())?;
        match file.difference(&raw) {
            Some((field, found, expected)) => {
                Err(StoreError::WrongBatch { path, field, found, expected })
            }
            None => Ok(BatchView::from_raw(Arc::new(raw))),
        }
    }

    /// The last value of a fact of this process's part.
    pub fn fact(&self, name: &str) -> Option<Vec<u8>> {
        self.read().own.facts.get(name).cloned()
    }

    /// The last values of a fact in all parts that have it, by process; the parts of other processes
    /// are as they were when the run began.
    #[cfg(test)]
    pub(crate) fn facts(&self, name: &str) -> Vec<(usize, Vec<u8>)> {
        let state = self.read();
        let own = (self.config.process as u32, &state.own);
        let parts = state.others.iter().map(|(&process, part)| (process, part)).chain([own]);
        let found = parts
            .filter_map(|(process, part)| Some((process as usize, part.facts.get(name)?.clone())));
        let mut facts: Vec<_> = found.collect();
        facts.sort_by_key(|&(process, _)| process);
        facts
    }

    /// Remembers a small named value in this process's part; the last one counts.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`] or [`StoreError::Failed`]: nothing was written. [`StoreError::Io`] if
    /// it may not have been.
    pub fn set_fact(&self, name: &str, bytes: Vec<u8>) -> Result<(), StoreError> {
        let fact = Record::Fact { name: name.to_owned(), bytes };
        self.append(&mut self.manifest(), Some(fact))
    }

    /// The storage that the folder is in.
    pub(crate) fn storage(&self) -> &Arc<dyn Storage> {
        &self.storage
    }

    /// The index of this process, which is the number of its part.
    pub(crate) fn process(&self) -> u32 {
        self.config.process as u32
    }

    /// The folder of this process's part.
    pub(crate) fn part_path(&self) -> PathBuf {
        self.layout.part(self.config.process as u32)
    }

    /// The folders of the parts in this process's folder, by process, as they were when the run began.
    pub(crate) fn part_paths(&self) -> Vec<(usize, PathBuf)> {
        let mut parts = self.read().here.clone();
        parts.insert(self.config.process as u32);
        parts.into_iter().map(|part| (part as usize, self.layout.part(part))).collect()
    }

    /// The folders of the parts that this process sees to, by process: its own and, if it is the first,
    /// those of processes that the group no longer has.
    pub(crate) fn held_parts(&self) -> Vec<(u32, PathBuf)> {
        let (process, processes) = (self.config.process, self.config.processes);
        let is_held = |part: usize| part == process || (process == 0 && part >= processes);
        let parts = self.part_paths().into_iter().filter(|(part, _)| is_held(*part));
        parts.map(|(part, path)| (part as u32, path)).collect()
    }

    /// The folders of all parts that the folder has ever had, by process, as other processes write them now.
    ///
    /// # Errors
    /// [`StoreError::Elsewhere`] if one is not here, or only as a copy of it.
    pub(crate) fn all_parts(&self) -> Result<Vec<(u32, PathBuf)>, StoreError> {
        said::all_parts(self)
    }

    /// Where this process's refused rows go. The folder on the way to it may not exist yet.
    pub fn rejected_path(&self) -> PathBuf {
        self.layout.rejected(self.config.process as u32)
    }

    /// Appends records, and before them what is to be proven of the logs, with one sync.
    fn append(
        &self,
        manifest: &mut Manifest,
        records: impl IntoIterator<Item = Record>,
    ) -> Result<(), StoreError> {
        self.check_locks()?;
        let proven = self.read().to_be_proven();
        let records: Vec<Record> = proven.into_iter().chain(records).collect();
        // Synced before `state` is locked: readers do not wait for the disk.
        manifest.append(&records)?;
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        for record in records {
            state.own.apply(record).expect("our own records follow each other");
        }
        state.own.forget_batches();
        let State { own, to_prove, .. } = &mut *state;
        to_prove.forget(&own.proofs);
        Ok(())
    }

    /// A lock whose file was removed keeps nobody out.
    fn check_locks(&self) -> Result<(), StoreError> {
        match self.locks.iter().find(|(_, lock)| !lock.holds()) {
            Some((path, _)) => Err(StoreError::Vanished { path: path.clone() }),
            None => Ok(()),
        }
    }

    /// Says up to where logs are durable. In memory only: it is proven by what is written next to the
    /// manifest, together with that.
    pub(crate) fn note_logs(&self, proofs: impl IntoIterator<Item = LogProof>) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        proofs.into_iter().for_each(|proof| state.to_prove.add(proof));
    }

    /// Proves what was noted, if it is not proven yet.
    ///
    /// # Errors
    /// [`StoreError::Io`] if it may not have been recorded.
    pub(crate) fn prove_logs(&self) -> Result<(), StoreError> {
        self.append(&mut self.manifest(), None)
    }

    fn check_view(&self, view: &str) -> Result<(), StoreError> {
        if self.read().own.views.contains_key(view) {
            return Ok(());
        }
        Err(StoreError::UnknownView { view: view.to_owned() })
    }

    /// A panic while it was held ends the process; what a lock guards is changed in one step.
    fn manifest(&self) -> MutexGuard<'_, Manifest> {
        self.manifest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The bytes of a sealed file.
fn map_batch(storage: &dyn Storage, path: &Path) -> Result<Bytes, StoreError> {
    storage.map(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::InvalidInput => {
            StoreError::NoBatch { path: path.to_owned(), source }
        }
        _ => StoreError::harmless("open", path)(source),
    })
}

/// Opens a file and compares it with what the manifest says of it.
pub(crate) fn open_raw(storage: &dyn Storage, batch: &LiveBatch) -> Result<RawBatch, StoreError> {
    let path = &batch.path;
    let bytes = map_batch(storage, path)?;
    let raw = RawBatch::open(bytes, &path.display().to_string())?;
    match difference(&raw, batch) {
        Some((field, found, expected)) => {
            Err(StoreError::WrongBatch { path: path.clone(), field, found, expected })
        }
        None => Ok(raw),
    }
}

/// What differs between a file and what the manifest says of it: both sides, as texts.
fn difference(raw: &RawBatch, batch: &LiveBatch) -> Option<(&'static str, String, String)> {
    let (meta, summary) = (raw.meta(), raw.summary());
    let found = (&meta.view, meta.day, meta.closing, meta.coverage);
    let expected = (&batch.view, batch.day, batch.closing, batch.file_coverage);
    if found != expected {
        return Some(("revision", format!("{found:?}"), format!("{expected:?}")));
    }
    let found = (summary.rows, summary.bytes, summary.digest);
    let expected = (batch.rows, batch.bytes, batch.digest);
    let differ = found != expected;
    differ.then(|| ("rows, length and digest", format!("{found:?}"), format!("{expected:?}")))
}

/// Writes a file so that it is there whole or not at all: under another name, synced, renamed.
fn write_whole<T>(
    storage: &dyn Storage,
    path: &Path,
    write: impl FnOnce(&mut dyn StorageFile) -> io::Result<T>,
) -> Result<T, StoreError> {
    let temporary = layout::temporary(path);
    let written = storage.create(&temporary).and_then(|mut file| {
        let value = write(&mut *file)?;
        file.sync()?;
        Ok(value)
    });
    let value = written.map_err(|error| {
        // At worst it stays until the next opening.
        let _ = storage.remove(&temporary);
        StoreError::harmless("write", path)(error)
    })?;
    let dir = path.parent().unwrap_or(Path::new(""));
    let renamed = storage.rename(&temporary, path).and_then(|()| storage.sync_dir(dir));
    renamed.map_err(StoreError::perhaps("rename to", path))?;
    Ok(value)
}

#[cfg(test)]
mod tests;
