//! A data folder that is open.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use super::batch_file::{check_raw, map_batch, shown};
use super::config::{RunState, StoreConfig};
use super::error::StoreError;
use super::kept::Kept;
use super::layout::Layout;
use super::live::{self, LiveBatch, RollupFile, SealedFile};
use super::lower_end;
use super::manifest::{self, Manifest};
use super::packed::{Packed, part_of};
use super::proof::{LogProof, Proofs};
use super::record::{BatchEntry, FileKey, PartState, Record, Run};
use super::storage::{FolderLock, Storage};
use crate::aggregate::Aggregate;
use crate::batch::{BatchView, Bytes, RawBatch};
use crate::closing::Closing;
use crate::key::Key;
use crate::time::{Day, DayRange};
use crate::view::Lead;

/// An open data folder, shared by the threads of a process. Dropping it unlocks the folder.
///
/// Writing files holds no lock; appending to the manifest does not block readers.
///
/// ```
/// use std::sync::Arc;
///
/// use dayfold::aggregate::Count;
/// use dayfold::store::{Memory, Store, StoreConfig, ViewRecord};
/// use dayfold::view::View;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // What an engine does with its folder; here it is in memory.
/// let record = ViewRecord::of::<String, Count>(&View::new("per-page")?);
/// let config = StoreConfig::new(0, 1, vec![record]);
/// let store = Store::open(Arc::new(Memory::default()), "/data", config)?;
/// store.begin()?;
/// assert_eq!(store.closed_through("per-page"), None);
/// store.complete()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Store {
    pub(super) storage: Arc<dyn Storage>,
    pub(super) layout: Layout,
    pub(super) config: StoreConfig,
    /// The same, with the views that the program has now; see [`Store::add_views`].
    pub(super) defined: RwLock<Arc<StoreConfig>>,
    pub(super) last: RunState,
    /// The run that [`Store::begin`] begins.
    pub(super) next_run: Run,
    /// If both this lock and `state` are taken, this one is taken first.
    pub(super) manifest: Mutex<Manifest>,
    pub(super) state: RwLock<PartsState>,
    /// The packs that have been opened, by path.
    pub(super) packs: Mutex<BTreeMap<PathBuf, Bytes>>,
    /// By view.
    pub(super) leads: Mutex<BTreeMap<String, Lead>>,
    /// Creating a folder of a day failed in this run, but the folder may exist.
    pub(super) days_in_doubt: AtomicBool,
    /// Each lock with its file.
    pub(super) locks: Vec<(PathBuf, FolderLock)>,
}

#[derive(Debug)]
pub(super) struct PartsState {
    pub(super) own: PartState,
    /// The states of the other parts, as they were when this part was opened, or when the run began.
    pub(super) others: BTreeMap<u32, PartState>,
    /// The parts that exist in this process's folder, whichever process is responsible for them.
    pub(super) here: BTreeSet<u32>,
    /// The reports of other processes about their parts, if they were asked.
    pub(super) heard: Option<BTreeMap<u32, PartState>>,
    /// The prepared files, by view.
    pub(super) prepared: BTreeMap<String, BTreeMap<FileKey, BatchEntry>>,
    /// The last closing of each view that each local worker has prepared.
    pub(super) prepared_through: BTreeMap<(String, u32), Closing>,
    /// The positions of the logs that the next record proves.
    pub(super) to_prove: Proofs,
}

/// What manifests have of a view.
struct ReadView {
    batches: Vec<LiveBatch>,
    rollups: Vec<RollupFile>,
    /// Of the periods that have lost revisions, the closing since which their state is known.
    revised: BTreeMap<Day, Closing>,
}

impl PartsState {
    /// The positions in `to_prove` that are not proven yet, as a record.
    pub(super) fn to_be_proven(&self) -> Option<Record> {
        let proofs = self.to_prove.beyond(&self.own.proofs);
        (!proofs.is_empty()).then_some(Record::Proven(proofs))
    }
}

impl Store {
    /// How the last run had left the folder when this part was opened.
    pub fn state(&self) -> RunState {
        self.last
    }

    /// The number of the run that [`Store::begin`] begins, the same in all processes of the cluster. The runs of a
    /// folder are numbered from 1; an interrupted run keeps its number.
    pub(crate) fn run(&self) -> u64 {
        self.next_run.number
    }

    /// Whether events of this folder are logged.
    pub(crate) fn is_logged(&self) -> bool {
        self.config.logged
    }

    /// Whether any view has a closed day.
    pub(crate) fn is_sealed(&self) -> bool {
        !self.read().own.sealed.is_empty()
    }

    /// The last closed day of a view. This is the last commit of this process. Right after opening, it is the last
    /// commit of any process of the last run, to which this part rolled forward.
    ///
    /// A commit is written to every process's manifest. After [`Store::begin`] all agree; during a run, another process
    /// may be one commit behind or ahead.
    pub fn closed_through(&self, view: &str) -> Option<Day> {
        self.sealed_through(view).map(Closing::last_closed)
    }

    /// As [`Store::closed_through`], but the last sealed closing, which may be one of late events.
    pub(crate) fn sealed_through(&self, view: &str) -> Option<Closing> {
        self.read().own.through(view)
    }

    /// The batch views that count, of all parts: for each day and partition those of the newest revision that covers
    /// it, by closing and then generation. They are sorted by day, then closing and generation.
    ///
    /// This reads the manifests: no list of files is kept in memory. During a run, the part of another process may be
    /// one commit behind or ahead.
    ///
    /// # Errors
    /// [`StoreError::Io`] or [`StoreError::Corrupt`] if a manifest can no longer be read.
    pub fn live(&self, view: &str) -> Result<Vec<LiveBatch>, StoreError> {
        Ok(live::live(self.batches(view, |_| true)?))
    }

    /// As [`Store::live`], and the rollups that the manifests name, whether they still count or not.
    ///
    /// # Errors
    /// As [`Store::live`].
    pub(crate) fn live_and_rollups(
        &self,
        view: &str,
    ) -> Result<(Vec<LiveBatch>, Vec<RollupFile>), StoreError> {
        let ReadView { batches, rollups, .. } = self.read_view(view, |_| true)?;
        Ok((live::live(batches), rollups))
    }

    /// As [`Store::live`], for the days of a range, if only the closings selected by `holds` were sealed. This reads
    /// all manifests once; it is for the rare query about the past.
    ///
    /// # Errors
    /// As [`Store::live`], and [`StoreError::Superseded`] if a needed revision was removed.
    pub(crate) fn sealed(
        &self,
        view: &str,
        days: DayRange,
        holds: impl Fn(Day, Closing) -> bool,
    ) -> Result<Vec<LiveBatch>, StoreError> {
        let ReadView { mut batches, revised, .. } =
            self.read_view(view, |day| days.contains(day))?;
        if let Some((day, since)) = revised.into_iter().find(|(day, since)| !holds(*day, *since)) {
            return Err(StoreError::Superseded { view: view.to_owned(), day, since });
        }
        batches.retain(|batch| holds(batch.day, batch.revision()));
        Ok(live::live(batches))
    }

    /// All revisions of a day, of all parts, each with the whole coverage of its file. Sorted by closing and
    /// generation.
    ///
    /// # Errors
    /// As [`Store::live`].
    pub fn revisions(&self, view: &str, day: Day) -> Result<Vec<LiveBatch>, StoreError> {
        let mut batches = self.batches(view, |found| found == day)?;
        batches.sort_by_key(|b| (b.revision(), b.generation, b.process, b.worker));
        Ok(batches)
    }

    pub(super) fn batches(
        &self,
        view: &str,
        wanted: impl Fn(Day) -> bool,
    ) -> Result<Vec<LiveBatch>, StoreError> {
        Ok(self.read_view(view, wanted)?.batches)
    }

    /// What the manifests have of some days.
    fn read_view(&self, view: &str, wanted: impl Fn(Day) -> bool) -> Result<ReadView, StoreError> {
        // The lock prevents appends to our own manifest while it is read.
        let _manifest = self.manifest();
        let (mut parts, edition) = {
            let state = self.read();
            (state.here.clone(), state.own.edition(view))
        };
        parts.insert(self.config.process as u32);
        let (mut batches, mut rollups, mut kept) = (Vec::new(), Vec::new(), Kept::default());
        for process in parts {
            let path = self.layout.manifest(process);
            let Some(part) = manifest::read(&*self.storage, &path)? else {
                return Err(StoreError::MissingPart { path });
            };
            // A part whose process has not opened it yet may have an earlier definition of the view.
            if part.state.edition(view) != edition {
                continue;
            }
            if let Some(of) = part.state.kept.get(view) {
                let revised = of.revised.iter().map(|(day, since)| (*day, *since));
                kept.add(of.from, revised.filter(|(day, _)| wanted(*day)));
            }
            let sealed = live::batches(&part.state, &self.layout, view, process);
            batches.extend(sealed.filter(|batch| wanted(batch.day)));
            let found = live::rollups(&part.state, &self.layout, view, process);
            rollups.extend(found.filter(|rollup| wanted(rollup.file.day)));
        }
        // What one part has removed counts in no part.
        batches.retain(|batch| batch.day >= kept.from);
        Ok(ReadView { batches, rollups, revised: kept.revised })
    }

    /// The first kept period of a view; [`Day::MIN`] if nothing was removed. It is the same in all parts when the run
    /// begins.
    pub(crate) fn kept_from(&self, view: &str) -> Day {
        let state = self.read();
        let parts = state.others.values().chain([&state.own]);
        let edition = state.own.edition(view);
        let current = parts.filter(|part| part.edition(view) == edition);
        current.map(|part| part.kept_from(view)).max().unwrap_or(Day::MIN)
    }

    /// What is kept of a view, as far as any part has recorded it.
    pub(crate) fn kept(&self, view: &str) -> crate::view::KeptFrom {
        let kept_from = self.kept_from(view);
        let state = self.read();
        let edition = state.own.edition(view);
        let mut kept = crate::view::KeptFrom::of(kept_from);
        for part in state.others.values().chain([&state.own]) {
            let from = part.outliving.get(view).filter(|_| part.edition(view) == edition);
            for (day, found) in kept.rollups.iter_mut().zip(from.into_iter().flatten()) {
                *day = (*day).max(*found);
            }
        }
        // The first run of a view records it when it begins.
        for (grain, from) in lower_end::first_rollups(&self.defined(), view, kept_from) {
            kept.rollups[grain as usize].get_or_insert(from);
        }
        kept
    }

    /// The first UTC day whose events are all in the log; `None` if nothing of the log was removed.
    pub(crate) fn log_from(&self) -> Option<Day> {
        let state = self.read();
        state.others.values().chain([&state.own]).filter_map(|part| part.log_from).max()
    }

    /// Records that the log will have all events only from this UTC day on. This must be called before anything of the
    /// log is removed.
    ///
    /// # Errors
    /// [`StoreError::Io`] if the record may not have been written.
    pub(crate) fn keep_log_from(&self, from: Day) -> Result<(), StoreError> {
        if self.read().own.log_from >= Some(from) {
            return Ok(());
        }
        self.append(&mut self.manifest(), Some(Record::Shortened(from)))
    }

    /// The first period of a view that can be computed from the log.
    pub(crate) fn computed_from(&self, view: &str) -> Day {
        self.log_from().map_or(Day::MIN, |log_from| self.computed_of(view, log_from))
    }

    /// The first period of a view that can be computed from a log that begins with this UTC day.
    pub(crate) fn computed_of(&self, view: &str, log_from: Day) -> Day {
        let config = self.defined();
        let record = config.views.iter().find(|record| record.name == view);
        let first = |record| lower_end::first_of_log(&config, record, log_from);
        record.map_or(Day::MIN, first)
    }

    /// Opens a batch view of the folder by mapping its file. Call it when the batch view is first needed.
    ///
    /// # Errors
    /// [`StoreError::Batch`] if the file is damaged, [`StoreError::WrongBatch`] if it is not the one that the manifest
    /// names, [`StoreError::Io`] if it cannot be read.
    #[doc(hidden)]
    pub fn open_batch<K: Key, A: Aggregate>(
        &self,
        batch: &LiveBatch,
    ) -> Result<BatchView<K, A>, StoreError> {
        let bytes = self.bytes_of(&batch.path, batch.packed)?;
        Ok(BatchView::from_raw(Arc::new(check_raw(bytes, batch)?)))
    }

    /// The bytes of a sealed file, which may be in a pack. Packs stay open: there are few.
    fn bytes_of(&self, path: &Path, packed: Option<Packed>) -> Result<Bytes, StoreError> {
        let Some(packed) = packed else { return map_batch(&*self.storage, path) };
        let known = |packs: &BTreeMap<PathBuf, Bytes>| packs.get(path).cloned();
        let packs = || self.packs.lock().unwrap_or_else(PoisonError::into_inner);
        let pack = known(&packs());
        let pack = match pack {
            Some(pack) => pack,
            None => {
                let pack = map_batch(&*self.storage, path)?;
                packs().insert(path.to_owned(), pack.clone());
                pack
            }
        };
        part_of(&pack, packed, path)
    }

    /// Opens a batch view that was open before.
    pub(crate) fn reopen<K: Key, A: Aggregate>(
        &self,
        file: &SealedFile<'_>,
    ) -> Result<BatchView<K, A>, StoreError> {
        let path = file.path(&self.layout);
        let bytes = self.bytes_of(&path, file.packed)?;
        let raw = RawBatch::open(bytes, &shown(&path, (file.day, file.packed)))?;
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

    /// The last values of a fact in all parts that have it, by process. Other processes' parts are as they were when
    /// the run began.
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

    /// Records a small named value in this process's part. The last value counts.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`] or [`StoreError::Failed`]: nothing was written. [`StoreError::Io`] if it may not have
    /// been.
    pub fn set_fact(&self, name: &str, bytes: Vec<u8>) -> Result<(), StoreError> {
        let fact = Record::Fact { name: name.to_owned(), bytes };
        self.append(&mut self.manifest(), Some(fact))
    }

    /// The first period of a view of which no event was dropped that belongs to sealed periods.
    pub(crate) fn not_dropped_from(&self, view: &str) -> Option<Day> {
        let told = self.facts(&not_dropped(view)).into_iter();
        told.filter_map(|(_, bytes)| Some(Day(i32::from_le_bytes(bytes.try_into().ok()?)))).max()
    }

    /// Records the first period of a view of which no event was dropped.
    ///
    /// # Errors
    /// As [`Store::set_fact`].
    pub(crate) fn note_not_dropped(&self, view: &str, from: Day) -> Result<(), StoreError> {
        if self.not_dropped_from(view) == Some(from) {
            return Ok(());
        }
        self.set_fact(&not_dropped(view), from.0.to_le_bytes().to_vec())
    }

    /// The storage that the folder is in.
    pub(crate) fn storage(&self) -> &Arc<dyn Storage> {
        &self.storage
    }

    /// The index of this process, which is also the number of its part.
    pub(crate) fn process(&self) -> u32 {
        self.config.process as u32
    }

    /// The number of processes of the cluster.
    pub(crate) fn processes(&self) -> usize {
        self.config.processes
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

    /// The folders of the parts that this process is responsible for, by process: its own and, if it is the first,
    /// those of processes that the cluster no longer has.
    pub(crate) fn held_parts(&self) -> Vec<(u32, PathBuf)> {
        let (process, processes) = (self.config.process, self.config.processes);
        let is_held = |part: usize| part == process || (process == 0 && part >= processes);
        let parts = self.part_paths().into_iter().filter(|(part, _)| is_held(*part));
        parts.map(|(part, path)| (part as u32, path)).collect()
    }

    /// The file for this process's refused rows. The folder on the path to it may not exist yet.
    pub fn rejected_path(&self) -> PathBuf {
        self.layout.rejected(self.config.process as u32)
    }

    /// Appends records with one sync. Positions of the logs that are to be proven come before them.
    pub(super) fn append(
        &self,
        manifest: &mut Manifest,
        records: impl IntoIterator<Item = Record>,
    ) -> Result<(), StoreError> {
        self.check_locks()?;
        let proven = self.read().to_be_proven();
        let records: Vec<Record> = proven.into_iter().chain(records).collect();
        // The sync happens before `state` is locked, so readers do not wait for the disk.
        manifest.append(&records)?;
        manifest.shorten(&*self.storage);
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        for record in records {
            state.own.apply(record).expect("our own records follow each other");
        }
        state.own.forget_batches();
        let PartsState { own, to_prove, .. } = &mut *state;
        to_prove.forget(&own.proofs);
        Ok(())
    }

    /// Checks that the lock files still exist: a lock whose file was removed keeps nobody out.
    pub(super) fn check_locks(&self) -> Result<(), StoreError> {
        match self.locks.iter().find(|(_, lock)| !lock.holds()) {
            Some((path, _)) => Err(StoreError::Vanished { path: path.clone() }),
            None => Ok(()),
        }
    }

    /// Notes the durable ends of logs, in memory only. They are proven together with the next record that is written to
    /// the manifest.
    pub(crate) fn note_logs(&self, proofs: impl IntoIterator<Item = LogProof>) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        proofs.into_iter().for_each(|proof| state.to_prove.add(proof));
    }

    /// Proves the noted positions that are not proven yet.
    ///
    /// # Errors
    /// [`StoreError::Io`] if the record may not have been written.
    pub(crate) fn prove_logs(&self) -> Result<(), StoreError> {
        self.append(&mut self.manifest(), None)
    }

    pub(super) fn check_view(&self, view: &str) -> Result<(), StoreError> {
        if self.read().own.views.get(view).is_some_and(|known| !known.view.is_removed()) {
            return Ok(());
        }
        Err(StoreError::UnknownView { view: view.to_owned() })
    }

    /// A panic while the lock was held ends the process; the guarded state changes in one step.
    pub(super) fn manifest(&self) -> MutexGuard<'_, Manifest> {
        self.manifest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, PartsState> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The name of the fact that says which events of a view were dropped.
fn not_dropped(view: &str) -> String {
    format!("no event is dropped from: {view}")
}
