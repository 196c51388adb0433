//! A disk that records what the log does to its files of events.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use dayfold::batch::Bytes;
use dayfold::store::{Disk, FolderLock, Storage, StorageFile};

/// The operations on a file of events.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Write(PathBuf, usize),
    Sync(PathBuf),
}

/// The disk. It records all operations on the log's files of events, so that a plain writer can repeat them.
#[derive(Debug, Default)]
pub(super) struct Traced {
    steps: Arc<Mutex<Vec<Step>>>,
}

impl Traced {
    pub(super) fn take(&self) -> Vec<Step> {
        std::mem::take(&mut self.steps.lock().unwrap())
    }

    fn file(&self, path: &Path, file: Box<dyn StorageFile>) -> Box<dyn StorageFile> {
        let is_of_events = path.parent().and_then(Path::parent).is_some_and(|d| d.ends_with("log"))
            && !path.parent().is_some_and(|d| d.ends_with("commits"));
        if !is_of_events {
            return file;
        }
        Box::new(TracedFile { file, path: path.to_owned(), steps: Arc::clone(&self.steps) })
    }
}

impl Storage for Traced {
    fn create_dirs(&self, dir: &Path) -> io::Result<()> {
        Disk.create_dirs(dir)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        Disk.list(dir)
    }
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        Disk.read(path)
    }
    fn map(&self, path: &Path) -> io::Result<Bytes> {
        Disk.map(path)
    }
    fn create(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        Ok(self.file(path, Disk.create(path)?))
    }
    fn append(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        Ok(self.file(path, Disk.append(path)?))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        Disk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        Disk.remove(path)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        Disk.sync_dir(dir)
    }
    fn lock(&self, path: &Path) -> io::Result<FolderLock> {
        Disk.lock(path)
    }
}

#[derive(Debug)]
struct TracedFile {
    file: Box<dyn StorageFile>,
    path: PathBuf,
    steps: Arc<Mutex<Vec<Step>>>,
}

impl Write for TracedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.steps.lock().unwrap().push(Step::Write(self.path.clone(), written));
        Ok(written)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl StorageFile for TracedFile {
    fn sync(&mut self) -> io::Result<()> {
        self.steps.lock().unwrap().push(Step::Sync(self.path.clone()));
        self.file.sync()
    }
    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.file.truncate(length)
    }
}
