//! A storage that fails on demand, for tests of this crate and of programs that embed it.
//!
//! It needs the feature `testing`, which is not stable: it may change in any release.
//!
//! The storage separates what a program sees from what would survive, for the content of files (durable after a sync)
//! and for names (durable after a sync of their folder). A test runs a program once and counts the operations that
//! change something. Then it stops the machine, or fails an operation, at each of them in turn, and checks what a
//! restarted program does with the remains.
//!
//! ```
//! use dayfold::store::{Faulty, Storage};
//! use std::io::Write;
//! use std::path::Path;
//!
//! let (dir, path) = (Path::new("/data"), Path::new("/data/log"));
//! let storage = Faulty::new(1);
//! storage.create_dirs(dir)?;
//! let mut file = storage.create(path)?;
//! file.write_all(b"safe")?;
//! file.sync()?;
//! storage.sync_dir(dir)?;
//! file.write_all(b", perhaps")?;
//! assert_eq!(storage.after_kill().read(path)?, b"safe, perhaps");
//! assert!(storage.after_power_loss(7).read(path)?.starts_with(b"safe"));
//!
//! storage.crash_at(storage.operations() + 1);
//! assert!(file.write_all(b"!").is_err());
//! assert!(storage.read(path).is_err(), "the machine has stopped");
//! # Ok::<(), std::io::Error>(())
//! ```

mod content;
mod failure;
mod machine;
mod names;
mod random;

use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::storage::{FolderLock, Storage, StorageFile};
use crate::batch::Bytes;
pub use failure::{Failure, Operation};
use machine::Machine;
use names::{Names, Node};

/// A file system in memory that crashes and fails on demand, and knows what would survive.
///
/// Clones share the files. The seed determines the behaviour, so a failure can be reproduced as long as the operations
/// come in the same order.
///
/// The storage counts the operations of [`Operation`] from 1. It does not count operations that are impossible (the
/// file does not exist) or change nothing (the folder to create exists).
///
/// Files can be renamed only within their folder: systems differ in which folder's sync makes other renames durable.
#[derive(Clone, Debug)]
pub struct Faulty {
    machine: Arc<Mutex<Machine>>,
}

impl Faulty {
    /// An empty storage.
    pub fn new(seed: u64) -> Faulty {
        Faulty::of(Machine::new(seed, Names::default(), Vec::new()))
    }

    fn of(machine: Machine) -> Faulty {
        Faulty { machine: Arc::new(Mutex::new(machine)) }
    }

    /// The number of operations that changed something so far, including failed ones.
    pub fn operations(&self) -> u64 {
        self.enter().operations()
    }

    /// The number of operations of one kind, counted as in [`Faulty::operations`].
    pub fn count(&self, operation: Operation) -> u64 {
        self.enter().count(operation)
    }

    /// Stops the machine at the operation with this number, or at the next one if that has passed. From then on every
    /// operation fails in all threads, reads too. The operation itself happened, happened in part, or did not happen.
    pub fn crash_at(&self, number: u64) {
        self.enter().crash_at = Some(number);
    }

    /// Stops the machine now, between two operations.
    pub fn crash(&self) {
        self.enter().crashed = true;
    }

    /// Whether the machine has stopped.
    pub fn has_crashed(&self) -> bool {
        self.enter().crashed
    }

    /// Makes the operation with this number fail. May be called several times.
    pub fn fail_at(&self, number: u64, failure: Failure) {
        self.enter().failures.insert(number, failure);
    }

    /// Ends the state that [`Failure::DiskFull`] began.
    pub fn free_space(&self) {
        self.enter().full = false;
    }

    /// The storage as it may be found if the machine loses power now. This storage is unchanged.
    ///
    /// Synced changes are there. For each other change of a file or name, the seed decides. Bytes may be there, cut
    /// short, or replaced by zeros or rubbish of the same length, even if later bytes are there. A name that was
    /// created, replaced or removed is in any state that it had since its last sync. A renamed file has its old name or
    /// its new one. Files that no folder leads to are gone, and so are locks. The returned storage has no planned
    /// failures; a full disk is still full. With seed 0, only synced changes are there.
    pub fn after_power_loss(&self, seed: u64) -> Faulty {
        Faulty::of(self.enter().after_power_loss(seed))
    }

    /// The storage as it is found if the program dies now and the machine goes on: all changes, synced or not. Locks
    /// are gone. This storage is unchanged, and the returned one has no planned failures.
    pub fn after_kill(&self) -> Faulty {
        Faulty::of(self.enter().after_kill())
    }

    /// A panic of another thread does no harm: no invariant spans a panic here.
    fn enter(&self) -> MutexGuard<'_, Machine> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn running(&self) -> io::Result<MutexGuard<'_, Machine>> {
        let machine = self.enter();
        match machine.crashed {
            true => Err(machine::stopped()),
            false => Ok(machine),
        }
    }
}

impl Storage for Faulty {
    fn create_dirs(&self, dir: &Path) -> io::Result<()> {
        let mut machine = self.running()?;
        let missing = machine.names.missing_dirs(dir)?;
        if missing.is_empty() {
            return Ok(());
        }
        let outcome = machine.admit(Operation::CreateDirs);
        let made = outcome.extent.of(missing.len(), &mut machine.random);
        machine.names.make_dirs(&missing[..made], outcome.report.is_none());
        outcome.into_result()
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.running()?.names.list(dir)
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let machine = self.running()?;
        Ok(machine.files[machine.names.file(path)?].live().to_vec())
    }

    fn map(&self, path: &Path) -> io::Result<Bytes> {
        let machine = self.running()?;
        Ok(Bytes::Owned(Arc::clone(machine.files[machine.names.file(path)?].live())))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        let mut machine = self.running()?;
        let known = machine.names.file_or_none(path)?;
        let outcome = machine.admit(Operation::Create);
        let file = known.unwrap_or(machine.files.len());
        if outcome.extent.in_one_step(&mut machine.random) {
            match known {
                // As on a disk: the file stays, and its bytes go.
                Some(file) => machine.files[file].cut(0),
                None => {
                    machine.files.push(Default::default());
                    machine.names.change(None, Some((path.to_owned(), Node::File(file))));
                }
            }
        }
        outcome.into_result()?;
        Ok(Box::new(FaultyFile { faulty: self.clone(), file }))
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        let file = self.running()?.names.file(path)?;
        Ok(Box::new(FaultyFile { faulty: self.clone(), file }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut machine = self.running()?;
        let file = Node::File(machine.names.file(from)?);
        machine.names.file_or_none(to)?;
        if from.parent() != to.parent() {
            return Err(io::ErrorKind::CrossesDevices.into());
        }
        let outcome = machine.admit(Operation::Rename);
        if outcome.extent.in_one_step(&mut machine.random) {
            machine.names.change(Some(from.to_owned()), Some((to.to_owned(), file)));
        }
        outcome.into_result()
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut machine = self.running()?;
        machine.names.file(path)?;
        let outcome = machine.admit(Operation::Remove);
        if outcome.extent.in_one_step(&mut machine.random) {
            machine.names.change(Some(path.to_owned()), None);
        }
        outcome.into_result()
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut machine = self.running()?;
        machine.names.check_dir(dir)?;
        let outcome = machine.admit(Operation::SyncDir);
        let Machine { names, random, .. } = &mut *machine;
        names.sync(dir, outcome.extent, random);
        outcome.into_result()
    }

    fn lock(&self, path: &Path) -> io::Result<FolderLock> {
        let mut machine = self.running()?;
        let file = machine.names.file(path)?;
        match machine.locked.insert(file) {
            true => Ok(FolderLock::new(Unlock { faulty: self.clone(), file })),
            false => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

struct Unlock {
    faulty: Faulty,
    file: usize,
}

impl Drop for Unlock {
    fn drop(&mut self) {
        self.faulty.enter().locked.remove(&self.file);
    }
}

#[derive(Debug)]
struct FaultyFile {
    faulty: Faulty,
    /// The number of the file; the file stays open after its name is gone.
    file: usize,
}

impl Write for FaultyFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut machine = self.faulty.running()?;
        if bytes.is_empty() {
            return Ok(0);
        }
        let outcome = machine.admit(Operation::Write);
        let written = outcome.extent.of(bytes.len(), &mut machine.random);
        machine.files[self.file].write(&bytes[..written]);
        outcome.into_result()?;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.faulty.running().map(drop)
    }
}

impl StorageFile for FaultyFile {
    fn sync(&mut self) -> io::Result<()> {
        let mut machine = self.faulty.running()?;
        let outcome = machine.admit(Operation::Sync);
        let Machine { files, random, .. } = &mut *machine;
        files[self.file].sync(outcome.extent, random);
        outcome.into_result()
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        let mut machine = self.faulty.running()?;
        let outcome = machine.admit(Operation::Truncate);
        if outcome.extent.in_one_step(&mut machine.random) {
            machine.files[self.file].cut(length as usize);
        }
        outcome.into_result()
    }
}

#[cfg(test)]
mod tests;
