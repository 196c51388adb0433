//! Writes files atomically, and lists folders.

use std::io;
use std::path::Path;

use super::error::StoreError;
use super::layout;
use super::storage::{Storage, StorageFile};

/// Writes a file atomically: under a temporary name, synced, then renamed.
pub(super) fn write_whole<T>(
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
        // At worst the file stays until the next opening.
        let _ = storage.remove(&temporary);
        StoreError::harmless("write", path)(error)
    })?;
    let dir = path.parent().unwrap_or(Path::new(""));
    let renamed = storage.rename(&temporary, path).and_then(|()| storage.sync_dir(dir));
    renamed.map_err(StoreError::perhaps("rename to", path))?;
    Ok(value)
}

/// The names in a folder; none if it does not exist, or is a file.
pub(super) fn names_in(storage: &dyn Storage, dir: &Path) -> Result<Vec<String>, StoreError> {
    match storage.list(dir) {
        Ok(names) => Ok(names),
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            Ok(Vec::new())
        }
        Err(error) => Err(StoreError::harmless("list", dir)(error)),
    }
}
