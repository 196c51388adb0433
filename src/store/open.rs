//! Opens a folder, and begins and ends a run.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::config::{RunState, StoreConfig};
use super::error::StoreError;
use super::folder::{self, Agreed, Folder};
use super::layout::Layout;
use super::manifest;
use super::opened::{PartsState, Store};
use super::proof::LogPosition;
use super::record::{PartState, Record, Run};
use super::recovery;
use super::removal;
use super::said::{self, Said};
use super::storage::{FolderLock, Storage};
use super::{live, zones};
use crate::view::{Retention, is_name};

/// A folder that was checked but not opened yet: it matches the program, and nothing was created or changed. The
/// existing parts that this process writes are locked.
pub(crate) struct Looked {
    storage: Arc<dyn Storage>,
    layout: Layout,
    config: StoreConfig,
    held: Vec<u32>,
    /// Each lock with its file.
    locks: Vec<(PathBuf, FolderLock)>,
    unlocked: Vec<u32>,
    folder: Folder,
    agreed: Agreed,
    /// The parts that exist here, whichever process is responsible for them.
    here: BTreeSet<u32>,
    /// The identity of the folder if it is new.
    proposed: u128,
}

impl Looked {
    /// Checks a folder. In a cluster, parts may be missing here: then call [`Looked::hear`] with the reports of the
    /// other processes. Otherwise all parts must be here.
    ///
    /// # Errors
    /// As [`Store::open`], except the errors of writing.
    pub(crate) fn at(
        storage: Arc<dyn Storage>,
        root: impl Into<PathBuf>,
        config: StoreConfig,
    ) -> Result<Looked, StoreError> {
        check_config(&config)?;
        let layout = Layout::new(root.into());
        let held = held_parts(&*storage, &layout, &config)?;
        let mut locks = Vec::new();
        let mut unlocked = Vec::new();
        for part in held.iter().copied() {
            match lock(&*storage, &layout, part)? {
                Some(lock) => locks.push((layout.lock(part), lock)),
                None => unlocked.push(part),
            }
        }
        let mut folder = Folder::read(&*storage, &layout)?;
        if config.processes > 1 {
            folder.await_others();
        }
        let agreed = folder.check(&config, &config.rebuild, &layout)?;
        let here = folder.parts.keys().copied().collect();
        let proposed = random_id();
        Ok(Looked {
            storage,
            layout,
            config,
            held,
            locks,
            unlocked,
            folder,
            agreed,
            here,
            proposed,
        })
    }

    /// How the last run left the folder.
    pub(crate) fn state(&self) -> RunState {
        run_state(&self.folder, &self.agreed)
    }

    /// The identity of the folder, unless it is new.
    pub(crate) fn identity(&self) -> Option<u128> {
        self.agreed.cluster
    }

    /// Whether the program keeps a log.
    pub(crate) fn is_logged(&self) -> bool {
        self.config.logged
    }

    pub(crate) fn root(&self) -> &Path {
        self.layout.root()
    }

    /// The parts that this process is responsible for: the folder of each, its last run, and the proven positions of
    /// its log.
    pub(crate) fn proven(&self) -> impl Iterator<Item = (PathBuf, u64, Vec<LogPosition>)> {
        self.held.iter().filter_map(|&part| {
            let run = self.folder.state(part)?.run.map_or(0, |run| run.number);
            Some((self.layout.part(part), run, self.folder.proven(part)))
        })
    }

    pub(crate) fn storage(&self) -> &dyn Storage {
        &*self.storage
    }

    /// Checks again: since the last check another program may have changed the folder.
    pub(crate) fn refresh(&mut self) -> Result<(), StoreError> {
        let mut folder = Folder::read(&*self.storage, &self.layout)?;
        self.here = folder.parts.keys().copied().collect();
        std::mem::swap(&mut self.folder, &mut folder);
        match folder.heard() {
            Some(heard) => self.folder.hear(&self.held, heard),
            None if self.config.processes > 1 => self.folder.await_others(),
            None => {}
        }
        self.check()
    }

    fn check(&mut self) -> Result<(), StoreError> {
        let cluster = self.agreed.cluster;
        self.agreed = self.folder.check(&self.config, &self.config.rebuild, &self.layout)?;
        self.agreed.cluster = self.agreed.cluster.or(cluster);
        Ok(())
    }

    /// The report of this process about the parts that it is responsible for; `threads` is the number of workers of
    /// each process.
    pub(crate) fn says(&self, threads: usize) -> Said {
        let parts = self.folder.parts.iter().filter(|(part, _)| self.held.contains(part));
        let parts = parts.map(|(&part, replayed)| (part, replayed.state.clone()));
        Said::new(&self.config, threads, self.proposed, self.folder.ever, parts.collect())
    }

    /// Takes the reports of all other processes about their parts, by process. Nothing is written.
    ///
    /// # Errors
    /// As [`Store::open`], for all parts; [`StoreError::Unreachable`] if this process needs a part that is not here.
    pub(crate) fn hear(&mut self, said: Vec<Said>) -> Result<(), StoreError> {
        let needed = said::needed(&said, self.config.process);
        let proposed = said.first().map(|first| first.proposed);
        let proposed = proposed.filter(|_| self.config.process > 0).unwrap_or(self.proposed);
        let ever = said.iter().map(|said| said.ever).max().unwrap_or(0);
        self.folder.ever = self.folder.ever.max(ever);
        self.folder.hear(&self.held, said::states(said));
        self.check()?;
        self.agreed.cluster.get_or_insert(proposed);
        said::check_needs(&*self.storage, &self.layout, &self.config, &needed)
    }

    /// Checks that the parts of this process are not older than the others. Call it once all parts are known, and
    /// before any is opened.
    ///
    /// # Errors
    /// [`StoreError::PartBehind`]; nothing was changed.
    pub(crate) fn check_prepared(&self) -> Result<(), StoreError> {
        let Looked { storage, layout, folder, agreed, held, .. } = self;
        let check = |&part| recovery::check_prepared(&**storage, layout, folder, agreed, part);
        held.iter().try_for_each(check)
    }

    /// Renames the parts that this process is responsible for to names that are not parts: nothing in them counts any
    /// more, and everything is kept. Afterwards the folder must be checked anew.
    ///
    /// # Errors
    /// [`StoreError::Io`]; some parts may already have their new names.
    pub(crate) fn set_aside(self) -> Result<(Arc<dyn Storage>, PathBuf, StoreConfig), StoreError> {
        let Looked { storage, layout, config, held, .. } = self;
        let root = layout.root();
        let names = storage.list(root).map_err(StoreError::harmless("list", root))?;
        for part in held {
            let (from, name) = (layout.part(part), format!("part-{part}"));
            if !names.contains(&name) {
                continue;
            }
            let free =
                (1u64..).map(|n| format!("set-aside-{n}-{name}")).find(|n| !names.contains(n));
            let to = root.join(free.unwrap_or_default());
            let renamed = storage.rename(&from, &to).and_then(|()| storage.sync_dir(root));
            renamed.map_err(StoreError::perhaps("rename", &from))?;
            tracing::warn!(from = %from.display(), to = %to.display(), "set aside");
        }
        let root = root.to_owned();
        Ok((storage, root, config))
    }

    /// Opens the part of this process.
    pub(crate) fn open(mut self) -> Result<Store, StoreError> {
        if !self.unlocked.is_empty() {
            for part in std::mem::take(&mut self.unlocked) {
                let lock = create_lock(&*self.storage, &self.layout, part)?;
                self.locks.push((self.layout.lock(part), lock));
            }
            self.refresh()?;
        }
        if self.config.processes > 1 && self.folder.heard().is_none() {
            // All parts must be here: no process reported others.
            self.folder = Folder::read(&*self.storage, &self.layout)?;
            self.check()?;
        }
        let Looked { storage, layout, config, held, locks, folder, here, .. } = self;
        let (mut folder, mut agreed, proposed) = (folder, self.agreed, self.proposed);
        let process = config.process as u32;
        let last = run_state(&folder, &agreed);
        let next_run = next_run(&config, agreed.run);
        if process == 0 {
            agreed.cluster.get_or_insert(proposed);
        }

        let replayed = folder.parts.remove(&process);
        let (manifest, mut own) =
            recovery::open_part(&*storage, &layout, &config, &agreed, process, replayed)?;
        let heard = folder.heard();
        let mut others = heard.clone().unwrap_or_default();
        for (part, replayed) in folder.parts {
            // A part whose process left the cluster earlier took no part in the newest run. It has nothing to do,
            // unless it has a view that was redefined.
            let is_due = agreed.is_member(part)
                || agreed.is_behind(&replayed.state)
                || agreed.is_longer(&replayed.state)
                || config.retention.values().any(Retention::removes);
            let mut state = if held.contains(&part) && is_due {
                let part = (part, Some(replayed));
                recovery::open_part(&*storage, &layout, &config, &agreed, part.0, part.1)?.1
            } else {
                replayed.state
            };
            state.forget_batches();
            others.insert(part, state);
        }
        own.forget_batches();
        let (prepared, prepared_through, to_prove) = Default::default();
        Ok(Store {
            storage,
            layout,
            defined: RwLock::new(Arc::new(config.clone())),
            config,
            last,
            next_run,
            manifest: Mutex::new(manifest),
            state: RwLock::new(PartsState {
                own,
                others,
                here,
                heard,
                prepared,
                prepared_through,
                to_prove,
            }),
            packs: Mutex::default(),
            leads: Mutex::default(),
            days_in_doubt: false.into(),
            locks,
        })
    }
}

impl Store {
    /// Opens the process's part of a folder, and creates it if necessary. Process 0 is also responsible for the parts
    /// of processes that the cluster no longer has.
    ///
    /// # Errors
    /// [`StoreError::InUse`], [`StoreError::Corrupt`], [`StoreError::Version`], [`StoreError::IdentityMismatch`],
    /// [`StoreError::MissingPart`], [`StoreError::LogMismatch`], one of the errors of views, or [`StoreError::Config`]:
    /// nothing was created or changed. [`StoreError::Io`] names the operation that failed.
    pub fn open(
        storage: Arc<dyn Storage>,
        root: impl Into<PathBuf>,
        config: StoreConfig,
    ) -> Result<Store, StoreError> {
        Looked::at(storage, root, config)?.open()
    }

    /// Records that the run has begun. Call it once every process of the cluster has opened its part.
    ///
    /// # Errors
    /// [`StoreError::MissingPart`] or [`StoreError::PartsDisagree`] if a process has not, [`StoreError::LogMismatch`]
    /// or [`StoreError::ViewMismatch`] if a part contradicts this one; nothing was written. [`StoreError::Io`] if the
    /// record may not have been written.
    ///
    /// # Panics
    /// If it was called before.
    pub fn begin(&self) -> Result<(), StoreError> {
        let mut manifest = self.manifest();
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        assert!(!self.has_begun(&state), "a run begins once");
        self.check_locks()?;
        // Views were redefined when the parts were opened. One that differs now is not the cluster's.
        let process = self.config.process as u32;
        let mut folder = Folder::read(&*self.storage, &self.layout)?;
        state.here = folder.parts.keys().copied().collect();
        if let Some(heard) = state.heard.clone() {
            folder.hear(&held_parts(&*self.storage, &self.layout, &self.config)?, heard);
        }
        let agreed = folder.check(&self.config, &[], &self.layout)?;
        folder.check_group(&self.config, &self.layout, &state.own)?;
        if state.own.run.is_none() {
            self.sync_root()?;
        }
        // Folders of days that were created just before a crash become durable here.
        for view in &self.config.views {
            let views = self.layout.views(process);
            let dir = views.join(&view.name);
            let made = self.storage.create_dirs(&dir);
            let made = made.and_then(|()| self.storage.sync_dir(&dir));
            let made = made.and_then(|()| self.storage.sync_dir(&views));
            made.map_err(StoreError::harmless("make", &dir))?;
        }
        let mut records = Vec::new();
        if state.own.identity.is_none() {
            // In a new folder, process 0 has chosen the identity in the meantime.
            let path = self.layout.manifest(0);
            let cluster = agreed.cluster.ok_or(StoreError::MissingPart { path })?;
            records.push(Record::Identity(folder::identity(cluster, process)));
        }
        // Definitions are recorded only now: a program that was stopped because of its options leaves none.
        records.extend(recovery::definitions(&self.config, &agreed, &state.own));
        records.extend(removal::first_records(&self.config, &agreed, &state.own));
        records.extend(state.to_be_proven());
        // The state that was read just now has the sealed days, which are not kept in memory.
        let part = folder.parts.get(&process).map_or(&state.own, |replayed| &replayed.state);
        let days = |view: &str| {
            live::batches(part, &self.layout, view, process).map(|batch| batch.day).collect()
        };
        records.extend(zones::records(&self.config, part, days));
        records.push(Record::State(self.next_run));
        recovery::append(&mut manifest, &mut state.own, records)?;
        folder.parts.remove(&process);
        state.others = folder.into_states();
        state.others.values_mut().for_each(PartState::forget_batches);
        Ok(())
    }

    /// The report of this process about the parts that it is responsible for, after opening them.
    ///
    /// # Errors
    /// [`StoreError::Io`] or [`StoreError::Corrupt`] if a manifest can no longer be read.
    pub(crate) fn says(&self, threads: usize) -> Result<Said, StoreError> {
        let _manifest = self.manifest();
        let mut parts = BTreeMap::new();
        for part in held_parts(&*self.storage, &self.layout, &self.config)? {
            if let Some(found) = manifest::read(&*self.storage, &self.layout.manifest(part))? {
                parts.insert(part, found.state);
            }
        }
        Ok(Said::new(&self.config, threads, 0, 0, parts))
    }

    /// Takes the reports of all other processes about their parts, by process, after opening.
    ///
    /// # Errors
    /// [`StoreError::Unreachable`] if this process needs a part that is not here.
    pub(crate) fn hear(&self, said: Vec<Said>) -> Result<(), StoreError> {
        let needed = said::needed(&said, self.config.process);
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.heard = Some(said::states(said));
        said::check_needs(&*self.storage, &self.layout, &self.config, &needed)
    }

    /// Makes the names on the path to a part durable before its first run: a crash may have come between creating one
    /// of its folders and the sync.
    fn sync_root(&self) -> Result<(), StoreError> {
        for dir in self.layout.root().ancestors() {
            match self.storage.sync_dir(dir) {
                Ok(()) => {}
                // The folder existed before: another user's, or on a system that never syncs a folder.
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidInput
                    ) => {}
                Err(error) => return Err(StoreError::harmless("sync", dir)(error)),
            }
        }
        Ok(())
    }

    /// Records that the run is complete: its sources have ended and everything is sealed.
    ///
    /// # Errors
    /// [`StoreError::Io`] if the record may not have been written.
    ///
    /// # Panics
    /// If the run has not begun.
    pub fn complete(&self) -> Result<(), StoreError> {
        let mut manifest = self.manifest();
        assert!(self.has_begun(&self.read()), "a run begins before it is complete");
        let run = Run { complete: true, ..self.next_run };
        self.append(&mut manifest, Some(Record::State(run)))
    }

    pub(super) fn has_begun(&self, state: &PartsState) -> bool {
        state.own.run.is_some_and(|run| run.number >= self.next_run.number)
    }
}

pub(super) fn check_config(config: &StoreConfig) -> Result<(), StoreError> {
    let refuse = |what, value: String| Err(StoreError::Config { what, value });
    if config.process >= config.processes || config.processes > 1 << 16 {
        let value = format!("{} of {}", config.process, config.processes);
        return refuse("a process has an index below the number of processes", value);
    }
    for (at, view) in config.views.iter().enumerate() {
        if !is_name(&view.name) {
            let what = "a view's name is 1 to 64 of a-z, 0-9, - and _";
            return refuse(what, view.name.clone());
        }
        if config.views[..at].iter().any(|other| other.name == view.name) {
            return refuse("two views have the same name", view.name.clone());
        }
    }
    for name in &config.rebuild {
        if !config.views.iter().any(|view| view.name == *name) {
            return refuse("a view that is to be rebuilt is not in the program", name.clone());
        }
        if !config.logged {
            return refuse(
                "a view is rebuilt from a log, and the program keeps none",
                name.clone(),
            );
        }
    }
    for view in &config.views {
        let retention = config.retention.get(&view.name).copied().unwrap_or_default();
        if let Some((finer, coarser)) = retention.misfit(view.grain) {
            return refuse(
                "rollups that outlive their periods are made of each other, and a coarser one is kept at least as long",
                format!("{finer} and {coarser} of view {}", view.name),
            );
        }
    }
    let in_program = |name: &&String| config.views.iter().any(|view| view.name == **name);
    if let Some(name) = config.removed.iter().find(in_program) {
        return refuse("a view that is to be removed is in the program", name.clone());
    }
    Ok(())
}

/// The parts that this process is responsible for: its own and, if it is the first, those without a process.
fn held_parts(
    storage: &dyn Storage,
    layout: &Layout,
    config: &StoreConfig,
) -> Result<Vec<u32>, StoreError> {
    let mut held = vec![config.process as u32];
    if config.process == 0 {
        let found = folder::processes(storage, layout)?;
        held.extend(found.into_iter().filter(|&part| part >= config.processes as u32));
    }
    Ok(held)
}

/// Locks a part; `None` if it has no lock file yet.
fn lock(
    storage: &dyn Storage,
    layout: &Layout,
    part: u32,
) -> Result<Option<FolderLock>, StoreError> {
    let path = layout.lock(part);
    match storage.lock(&path) {
        Ok(lock) => Ok(Some(lock)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            Err(StoreError::InUse { folder: layout.part(part) })
        }
        Err(error) => Err(StoreError::harmless("lock", path)(error)),
    }
}

fn create_lock(
    storage: &dyn Storage,
    layout: &Layout,
    part: u32,
) -> Result<FolderLock, StoreError> {
    let (dir, path) = (layout.part(part), layout.lock(part));
    storage.create_dirs(&dir).map_err(StoreError::harmless("make", dir))?;
    storage.create(&path).map_err(StoreError::harmless("make", &path))?;
    match lock(storage, layout, part)? {
        Some(lock) => Ok(lock),
        None => Err(StoreError::harmless("lock", path)(io::ErrorKind::NotFound.into())),
    }
}

pub(super) fn run_state(folder: &Folder, agreed: &Agreed) -> RunState {
    let Some(last) = agreed.run else { return RunState::Fresh };
    let is_complete = |process: u32| {
        let run = folder.state(process).and_then(|state| state.run);
        run.is_some_and(|run| run.number == last.number && run.complete)
    };
    match (0..last.processes).all(is_complete) {
        true => RunState::Complete,
        false => RunState::Incomplete,
    }
}

fn next_run(config: &StoreConfig, last: Option<Run>) -> Run {
    let processes = config.processes as u32;
    Run {
        number: last.map_or(1, |last| last.number + 1),
        processes,
        parts: last.map_or(processes, |last| last.parts.max(processes)),
        complete: false,
        logged: config.logged,
    }
}

/// An identity for a new folder. It comes from the system's entropy, because only the engine reads clocks.
fn random_id() -> u128 {
    let word = || u128::from(RandomState::new().build_hasher().finish());
    word() << 64 | word()
}
