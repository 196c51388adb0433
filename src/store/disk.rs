//! The file system of the machine.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;

use memmap2::Mmap;

use super::storage::{FolderLock, Storage, StorageFile};
use crate::batch::Bytes;

/// The file system of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk;

impl Storage for Disk {
    fn create_dirs(&self, dir: &Path) -> io::Result<()> {
        if dir.is_dir() {
            return Ok(());
        }
        let parent = dir.parent().unwrap_or(Path::new(""));
        if !parent.as_os_str().is_empty() {
            self.create_dirs(parent)?;
        }
        match fs::create_dir(dir) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => {}
            result => result?,
        }
        self.sync_dir(parent)
    }

    fn remove_empty(&self, dir: &Path) -> io::Result<()> {
        use io::ErrorKind::{DirectoryNotEmpty, NotADirectory, NotFound};
        match fs::remove_dir(dir) {
            Err(error) if matches!(error.kind(), DirectoryNotEmpty | NotADirectory | NotFound) => {
                Ok(())
            }
            result => result,
        }
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(dir)? {
            // A name that is not UTF-8 does not belong to Dayfold; it is shown as well as possible.
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort_unstable();
        Ok(names)
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        check_file(path)?;
        fs::read(path)
    }

    fn map(&self, path: &Path) -> io::Result<Bytes> {
        check_file(path)?;
        let file = File::open(path)?;
        // Some systems cannot map an empty file.
        if file.metadata()?.len() == 0 {
            return Ok(Vec::new().into());
        }
        // SAFETY: the map is sound as long as nobody changes or truncates the file. Sealed files are renamed into place
        // once complete, and never written again. Files of the log only grow, except during a repair, which happens
        // before they are read. The lock of the folder keeps out other programs that use Dayfold. The only defence
        // against a foreign program that edits files would be to read every file into memory.
        #[allow(unsafe_code)]
        let map = unsafe { Mmap::map(&file) }?;
        Ok(Bytes::Mapped(Arc::new(map)))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        let options = OpenOptions::new().write(true).create(true).truncate(true).open(path);
        Ok(Box::new(DiskFile { file: options? }))
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        check_file(path)?;
        Ok(Box::new(DiskFile { file: OpenOptions::new().append(true).open(path)? }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        // The folder of a path that consists of a name only.
        let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
        // Other systems cannot open a folder as a file; names there are durable without a sync.
        if cfg!(unix) { File::open(dir)?.sync_all() } else { Ok(()) }
    }

    fn lock(&self, path: &Path) -> io::Result<FolderLock> {
        check_file(path)?;
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        match file.try_lock() {
            Ok(()) => {
                let (locked, path) = (file.try_clone()?, path.to_owned());
                Ok(FolderLock::watched(file, move || is_at(&locked, &path).unwrap_or(false)))
            }
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

/// Refuses anything that is not a file before it is opened: opening a pipe would block until somebody writes to it.
fn check_file(path: &Path) -> io::Result<()> {
    match fs::metadata(path)?.is_file() {
        true => Ok(()),
        false => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a file")),
    }
}

/// Whether this path still names the open file.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let of = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    match fs::metadata(path) {
        Ok(found) => Ok(of(found) == of(file.metadata()?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Other systems do not remove an open file, or cannot tell.
#[cfg(not(unix))]
fn is_at(_file: &File, path: &Path) -> io::Result<bool> {
    fs::exists(path)
}

#[derive(Debug)]
struct DiskFile {
    file: File,
}

impl Write for DiskFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl StorageFile for DiskFile {
    fn is_at(&self, path: &Path) -> io::Result<bool> {
        is_at(&self.file, path)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.file.set_len(length)?;
        // The write position of a created file stays where it was; without this, the next write would leave a hole.
        self.file.seek(SeekFrom::End(0)).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_cut_goes_on_at_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let mut created = Disk.create(&path).unwrap();
        created.write_all(b"abcdef").unwrap();
        created.truncate(2).unwrap();
        created.write_all(b"x").unwrap();
        assert_eq!(Disk.read(&path).unwrap(), b"abx");
        let mut appended = Disk.append(&path).unwrap();
        appended.truncate(1).unwrap();
        appended.write_all(b"y").unwrap();
        assert_eq!(Disk.read(&path).unwrap(), b"ay");
    }

    #[test]
    fn a_mere_name_is_in_the_current_folder() {
        Disk.sync_dir(Path::new("name").parent().unwrap()).unwrap();
    }
}
