//! The open files of a log. Their number is bounded; the least recently written one is closed for another.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::LogError;
use crate::store::{Effect, Storage, StorageFile};

/// The maximum number of open files.
const OPEN_MAX: usize = 64;

#[derive(Debug)]
struct OpenFile {
    path: PathBuf,
    file: Box<dyn StorageFile>,
    /// Bytes were written since the last sync.
    dirty: bool,
}

#[derive(Debug)]
pub(super) struct Files {
    storage: Arc<dyn Storage>,
    /// The most recently written file is last.
    open: Vec<OpenFile>,
    /// Folders with names that are not durable yet.
    folders: BTreeSet<PathBuf>,
}

impl Files {
    pub(super) fn new(storage: Arc<dyn Storage>) -> Files {
        Files { storage, open: Vec::new(), folders: BTreeSet::new() }
    }

    /// Appends to a file; creates a new file together with its folder.
    pub(super) fn write(&mut self, path: &Path, new: bool, bytes: &[u8]) -> Result<(), LogError> {
        let open = match self.open.iter().position(|open| open.path == path) {
            Some(at) => self.open.remove(at),
            None => self.open(path.to_owned(), new)?,
        };
        self.open.push(open);
        let open = self.open.last_mut().expect("one was pushed");
        open.dirty = true;
        open.file.write_all(bytes).map_err(LogError::write("append to", &open.path, Effect::None))
    }

    /// Closes a file that is removed: later writes go to a new one.
    pub(super) fn forget(&mut self, path: &Path) {
        self.open.retain(|open| open.path != path);
    }

    fn open(&mut self, path: PathBuf, new: bool) -> Result<OpenFile, LogError> {
        if self.open.len() >= OPEN_MAX {
            // Synced first: once it is closed, a failure to write it back would go unnoticed.
            sync(&mut self.open.remove(0))?;
        }
        let file = if new {
            self.make_folder(&path)?;
            self.storage.create(&path).map_err(LogError::write("create", &path, Effect::None))?
        } else {
            self.storage.append(&path).map_err(LogError::write("open", &path, Effect::None))?
        };
        Ok(OpenFile { path, file, dirty: false })
    }

    fn make_folder(&mut self, path: &Path) -> Result<(), LogError> {
        let folder = path.parent().unwrap_or(Path::new(""));
        let made = self.storage.create_dirs(folder);
        made.map_err(LogError::write("create", folder, Effect::None))?;
        // Another worker may have just created it, and not synced its name yet.
        self.folders.extend(folder.parent().map(Path::to_owned));
        self.folders.insert(folder.to_owned());
        Ok(())
    }

    /// Makes everything that was written durable, including names.
    pub(super) fn sync(&mut self) -> Result<(), LogError> {
        self.open.iter_mut().filter(|open| open.dirty).try_for_each(sync)?;
        while let Some(folder) = self.folders.pop_first() {
            self.storage.sync_dir(&folder).map_err(LogError::write(
                "sync",
                &folder,
                Effect::None,
            ))?;
        }
        Ok(())
    }
}

fn sync(open: &mut OpenFile) -> Result<(), LogError> {
    if open.dirty {
        open.file.sync().map_err(LogError::write("sync", &open.path, Effect::None))?;
        open.dirty = false;
    }
    Ok(())
}
