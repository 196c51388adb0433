//! A machine that may stop at any operation, and what is found on it afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use crate::batch::Bytes;
use crate::store::{FolderLock, Storage, StorageFile};

/// A file system in memory that separates what is visible from what survives a power loss.
#[derive(Clone, Debug, Default)]
pub(super) struct Fake {
    machine: Arc<(Mutex<Machine>, Condvar)>,
}

#[derive(Clone, Debug, Default)]
struct Machine {
    /// The visible names and the durable ones. Folders have no content.
    names: BTreeMap<PathBuf, Option<usize>>,
    durable_names: BTreeMap<PathBuf, Option<usize>>,
    contents: Vec<Content>,
    /// The operations so far, in order: kind and path.
    done: Vec<(&'static str, PathBuf)>,
    /// The machine stops at this operation; the seed decides how much of it happens.
    crash_at: Option<(usize, u64)>,
    /// This operation fails, and has or has not happened; later ones do not fail.
    fail_at: Option<(usize, bool)>,
    held: bool,
    /// The names that the next listing of a folder returns.
    pretended: Option<Vec<String>>,
}

#[derive(Clone, Debug, Default)]
struct Content {
    seen: Vec<u8>,
    durable: Vec<u8>,
}

/// Pseudo-random numbers.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn below(&mut self, sides: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % sides.max(1) as u64) as usize
    }
}

/// What happens to an operation.
enum Fate {
    Happens,
    /// This many thousandths of its bytes are written, then an error follows.
    Fails(usize),
}

impl Fake {
    pub(super) fn crashing(at: usize, seed: u64) -> Fake {
        let fake = Fake::default();
        fake.lock().crash_at = Some((at, seed));
        fake
    }

    pub(super) fn failing(at: usize, happened: bool) -> Fake {
        let fake = Fake::default();
        fake.lock().fail_at = Some((at, happened));
        fake
    }

    fn lock(&self) -> MutexGuard<'_, Machine> {
        self.machine.0.lock().unwrap()
    }

    /// The same machine, which stops this many operations from now.
    pub(super) fn crash_in(&self, operations: usize, seed: u64) {
        let mut machine = self.lock();
        machine.crash_at = Some((machine.done.len() + operations, seed));
    }

    pub(super) fn done(&self) -> Vec<(&'static str, PathBuf)> {
        self.lock().done.clone()
    }

    /// Syncs of files block from now on, until they are released.
    pub(super) fn hold_syncs(&self, held: bool) {
        self.lock().held = held;
        self.machine.1.notify_all();
    }

    /// Makes the next listing of a folder return these names.
    pub(super) fn pretend(&self, names: &[&str]) {
        self.lock().pretended = Some(names.iter().map(|&name| name.to_owned()).collect());
    }

    /// The number of operations of a kind on paths that contain a text.
    pub(super) fn count(&self, kind: &str, text: &str) -> usize {
        let hit = |(done, path): &&(&str, PathBuf)| {
            *done == kind && path.to_string_lossy().contains(text)
        };
        self.lock().done.iter().filter(hit).count()
    }

    /// The state after the process has ended, while the machine goes on.
    pub(super) fn after_kill(&self) -> Fake {
        let machine = self.lock();
        let (names, contents) = (machine.names.clone(), machine.contents.clone());
        let durable_names = machine.durable_names.clone();
        Fake::of(Machine { names, durable_names, contents, ..Machine::default() })
    }

    /// The state after a power loss: of what was not synced, anything may be there.
    pub(super) fn after_power_loss(&self, seed: u64) -> Fake {
        let dice = &mut Dice(seed);
        let machine = self.lock();
        let all: BTreeSet<_> = machine.names.keys().chain(machine.durable_names.keys()).collect();
        let mut names = BTreeMap::new();
        for path in all {
            let from = if dice.below(2) == 0 { &machine.names } else { &machine.durable_names };
            let inside = path
                .parent()
                .is_none_or(|dir| dir.as_os_str().is_empty() || names.get(dir) == Some(&None));
            if let Some(content) = from.get(path).filter(|_| inside) {
                names.insert(path.clone(), *content);
            }
        }
        let contents = machine.contents.iter().map(|content| {
            let found = found(content, dice);
            Content { seen: found.clone(), durable: found }
        });
        let contents = contents.collect();
        let durable_names = names.clone();
        Fake::of(Machine { names, durable_names, contents, ..Machine::default() })
    }

    fn of(machine: Machine) -> Fake {
        Fake { machine: Arc::new((Mutex::new(machine), Condvar::new())) }
    }

    /// Records an operation, and decides what happens to it.
    fn begin(
        &self,
        kind: &'static str,
        path: &Path,
    ) -> io::Result<(MutexGuard<'_, Machine>, Fate)> {
        let mut machine = self.lock();
        while kind == "sync" && machine.held {
            machine = self.machine.1.wait(machine).unwrap();
        }
        let at = machine.done.len();
        if machine.crash_at.is_some_and(|(crash, _)| crash < at) {
            return Err(io::Error::other("the machine has stopped"));
        }
        machine.done.push((kind, path.to_owned()));
        let fate = match (machine.crash_at, machine.fail_at) {
            (Some((crash, seed)), _) if crash == at => Fate::Fails(Dice(seed).below(1_002)),
            (_, Some((fail, happened))) if fail == at => {
                Fate::Fails(if happened { 1_001 } else { 0 })
            }
            _ => Fate::Happens,
        };
        Ok((machine, fate))
    }

    /// An operation that happens or does not.
    fn act(
        &self,
        kind: &'static str,
        path: &Path,
        act: impl FnOnce(&mut Machine) -> io::Result<()>,
    ) -> io::Result<()> {
        let (mut machine, fate) = self.begin(kind, path)?;
        match fate {
            Fate::Happens => act(&mut machine),
            Fate::Fails(share) => {
                if share > 500 {
                    act(&mut machine)?;
                }
                Err(io::Error::other("as told"))
            }
        }
    }

    fn content(&self, path: &Path) -> io::Result<usize> {
        let machine = self.lock();
        if let Some((at, _)) = machine.crash_at
            && machine.done.len() > at
        {
            return Err(io::Error::other("the machine has stopped"));
        }
        machine.names.get(path).copied().flatten().ok_or_else(not_found)
    }
}

fn not_found() -> io::Error {
    ErrorKind::NotFound.into()
}

/// The bytes of a file after a power loss.
fn found(content: &Content, dice: &mut Dice) -> Vec<u8> {
    let Content { seen, durable } = content;
    if !seen.starts_with(durable) {
        // The file was cut.
        return if dice.below(2) == 0 { seen.clone() } else { durable.clone() };
    }
    let kept = durable.len() + dice.below(seen.len() - durable.len() + 1);
    let mut found = seen[..kept].to_vec();
    match dice.below(6) {
        0 => found.truncate(durable.len()),
        1 => found = seen.clone(),
        2 => found.resize(seen.len(), 0),
        3 => found.extend((kept..seen.len()).map(|_| dice.below(256) as u8)),
        4 => {
            // A page in the middle was not written.
            let end = kept + dice.below(seen.len() - kept + 1);
            found.resize(end, 0);
            found.extend_from_slice(&seen[end..]);
        }
        _ => {}
    }
    found
}

impl Storage for Fake {
    fn create_dirs(&self, dir: &Path) -> io::Result<()> {
        if self.lock().names.get(dir) == Some(&None) {
            return Ok(());
        }
        for dir in dir.ancestors().collect::<Vec<_>>().into_iter().rev() {
            if self.lock().names.contains_key(dir) {
                continue;
            }
            self.act("make", dir, |machine| {
                machine.names.insert(dir.to_owned(), None);
                Ok(())
            })?;
            self.act("sync_dir", dir.parent().unwrap_or(dir), |machine| {
                machine.durable_names.insert(dir.to_owned(), None);
                Ok(())
            })?;
        }
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut machine = self.lock();
        if let Some(names) = machine.pretended.take() {
            return Ok(names);
        }
        if machine.names.get(dir) != Some(&None) {
            return Err(not_found());
        }
        let inside = machine.names.keys().filter(|path| path.parent() == Some(dir));
        Ok(inside.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect())
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let content = self.content(path)?;
        Ok(self.lock().contents[content].seen.clone())
    }

    fn map(&self, path: &Path) -> io::Result<Bytes> {
        self.read(path).map(Bytes::from)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        self.act("create", path, |machine| {
            if machine.names.get(path.parent().unwrap()) != Some(&None) {
                return Err(not_found());
            }
            machine.names.insert(path.to_owned(), Some(machine.contents.len()));
            machine.contents.push(Content::default());
            Ok(())
        })?;
        self.append(path)
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        let content = self.content(path)?;
        Ok(Box::new(FakeFile { fake: self.clone(), content, path: path.to_owned() }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.act("rename", to, |machine| {
            let content = machine.names.remove(from).ok_or_else(not_found)?;
            machine.names.insert(to.to_owned(), content);
            Ok(())
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.act("remove", path, |machine| {
            machine.names.remove(path).map(drop).ok_or_else(not_found)
        })
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.act("sync_dir", dir, |machine| {
            let inside = |path: &Path| path.parent() == Some(dir);
            machine.durable_names.retain(|path, _| !inside(path));
            let seen = machine.names.iter().filter(|(path, _)| inside(path));
            machine.durable_names.extend(seen.map(|(path, content)| (path.clone(), *content)));
            Ok(())
        })
    }

    fn lock(&self, _: &Path) -> io::Result<FolderLock> {
        Ok(FolderLock::new(()))
    }
}

#[derive(Debug)]
struct FakeFile {
    fake: Fake,
    content: usize,
    path: PathBuf,
}

impl Write for FakeFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (mut machine, fate) = self.fake.begin("write", &self.path)?;
        let seen = &mut machine.contents[self.content].seen;
        match fate {
            Fate::Happens => {
                seen.extend_from_slice(bytes);
                Ok(bytes.len())
            }
            Fate::Fails(share) => {
                seen.extend_from_slice(&bytes[..bytes.len() * share.min(1_000) / 1_000]);
                Err(io::Error::other("as told"))
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl StorageFile for FakeFile {
    fn sync(&mut self) -> io::Result<()> {
        self.fake.act("sync", &self.path, |machine| {
            let content = &mut machine.contents[self.content];
            content.durable = content.seen.clone();
            Ok(())
        })
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.fake.act("truncate", &self.path, |machine| {
            machine.contents[self.content].seen.truncate(length as usize);
            Ok(())
        })
    }
}
