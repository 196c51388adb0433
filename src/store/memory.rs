//! A file system in memory, for tests. (An archive without a folder does not need it: see
//! [`Archive::in_memory`](crate::Archive::in_memory).)

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::storage::{FolderLock, Storage, StorageFile};
use crate::batch::Bytes;

/// A file system in memory. Clones share the files.
///
/// ```
/// use std::sync::Arc;
///
/// use dayfold::Engine;
/// use dayfold::store::Memory;
/// use dayfold::time::EventTime;
///
/// // For a test: a folder in memory, and a clock that stands still.
/// let engine = Engine::<EventTime>::new()
///     .data_in(Arc::new(Memory::default()), "/data")
///     .clock(|| 1_700_000_000_000);
/// # let _ = engine;
/// ```
#[derive(Clone, Debug, Default)]
pub struct Memory {
    files: Arc<Mutex<Files>>,
}

#[derive(Debug, Default)]
struct Files {
    dirs: BTreeSet<PathBuf>,
    contents: BTreeMap<PathBuf, Content>,
    locked: BTreeSet<PathBuf>,
}

/// A name and all handles opened under it share this; its bytes are shared with maps of the file.
type Content = Arc<Mutex<Arc<Vec<u8>>>>;

/// A panic of another thread does no harm: no invariant spans a panic here.
fn enter<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn not_found(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("no {}", path.display()))
}

impl Memory {
    fn content(&self, path: &Path) -> io::Result<Content> {
        enter(&self.files).contents.get(path).cloned().ok_or_else(|| not_found(path))
    }
}

impl Storage for Memory {
    fn create_dirs(&self, dir: &Path) -> io::Result<()> {
        enter(&self.files).dirs.extend(dir.ancestors().map(Path::to_owned));
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let files = enter(&self.files);
        if !files.dirs.contains(dir) {
            return Err(not_found(dir));
        }
        // Paths are ordered by their components: the content of a folder follows the folder.
        let dirs = files.dirs.range(dir.to_owned()..);
        let contents = files.contents.range(dir.to_owned()..).map(|(path, _)| path);
        let below = |path: &&PathBuf| path.starts_with(dir);
        let paths = dirs.take_while(below).chain(contents.take_while(below));
        let inside = paths.filter(|path| path.parent() == Some(dir));
        let names =
            inside.filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
        Ok(names.collect::<BTreeSet<_>>().into_iter().collect())
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        Ok(enter(&*self.content(path)?).to_vec())
    }

    fn map(&self, path: &Path) -> io::Result<Bytes> {
        Ok(Bytes::Owned(Arc::clone(&*enter(&*self.content(path)?))))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        let mut files = enter(&self.files);
        if !path.parent().is_some_and(|dir| files.dirs.contains(dir)) {
            return Err(not_found(path));
        }
        let content = Content::default();
        files.contents.insert(path.to_owned(), Arc::clone(&content));
        Ok(Box::new(MemoryFile { content }))
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        Ok(Box::new(MemoryFile { content: self.content(path)? }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut files = enter(&self.files);
        if files.dirs.contains(from) {
            let moved = |path: PathBuf| match path.strip_prefix(from) {
                Ok(rest) => to.join(rest),
                Err(_) => path,
            };
            files.dirs = std::mem::take(&mut files.dirs).into_iter().map(&moved).collect();
            let contents = std::mem::take(&mut files.contents).into_iter();
            files.contents = contents.map(|(path, content)| (moved(path), content)).collect();
            return Ok(());
        }
        let content = files.contents.remove(from).ok_or_else(|| not_found(from))?;
        files.contents.insert(to.to_owned(), content);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        enter(&self.files).contents.remove(path).map(drop).ok_or_else(|| not_found(path))
    }

    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<FolderLock> {
        let mut files = enter(&self.files);
        if !files.contents.contains_key(path) {
            return Err(not_found(path));
        }
        if !files.locked.insert(path.to_owned()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(FolderLock::new(Unlock { memory: self.clone(), path: path.to_owned() }))
    }
}

struct Unlock {
    memory: Memory,
    path: PathBuf,
}

impl Drop for Unlock {
    fn drop(&mut self) {
        enter(&self.memory.files).locked.remove(&self.path);
    }
}

#[derive(Debug)]
struct MemoryFile {
    content: Content,
}

impl Write for MemoryFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Arc::make_mut(&mut enter(&self.content)).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl StorageFile for MemoryFile {
    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        Arc::make_mut(&mut enter(&self.content)).truncate(length as usize);
        Ok(())
    }
}
