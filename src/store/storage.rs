//! The interface of a file system that the store needs. Tests can replace it.

use std::any::Any;
use std::fmt::Debug;
use std::io;
use std::path::Path;

use crate::batch::Bytes;

/// A file system, as far as the store needs one.
///
/// Errors are those of the system. An operation that reports an error may still have happened, unless its documentation
/// says otherwise; the store assumes the worst.
pub trait Storage: Debug + Send + Sync + 'static {
    /// Creates a folder and the folders above it, durably. A folder that exists is left alone; it may not be durable if
    /// a crash came between its creation and its sync.
    ///
    /// # Errors
    /// Those of the system.
    fn create_dirs(&self, dir: &Path) -> io::Result<()>;

    /// The names of files and folders in `dir`, sorted.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] if there is no such folder.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// All bytes of a file.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] if there is no such file.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// The bytes of a file whose present bytes will not change (though it may grow), mapped if possible. Without a map,
    /// the bytes take anonymous memory while they are in use.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] if there is no such file.
    fn map(&self, path: &Path) -> io::Result<Bytes>;

    /// Creates a new, empty file for writing, which replaces any file of this name.
    ///
    /// # Errors
    /// Those of the system.
    fn create(&self, path: &Path) -> io::Result<Box<dyn StorageFile>>;

    /// Opens an existing file for appending.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] if there is no such file.
    fn append(&self, path: &Path) -> io::Result<Box<dyn StorageFile>>;

    /// Renames a file atomically and replaces any file of the new name; or renames a folder, which replaces nothing.
    /// Durable after [`Storage::sync_dir`] of its folder.
    ///
    /// # Errors
    /// Those of the system.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file. Durable after [`Storage::sync_dir`] of its folder.
    ///
    /// # Errors
    /// Those of the system.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Removes a folder if it is empty, and does nothing otherwise. An implementation may also do nothing at all: an
    /// empty folder is harmless, though it takes a block of the disk.
    ///
    /// # Errors
    /// Those of the system.
    fn remove_empty(&self, dir: &Path) -> io::Result<()> {
        let _ = dir;
        Ok(())
    }

    /// Makes the names in a folder durable.
    ///
    /// # Errors
    /// Those of the system.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Locks an existing file until the returned lock is dropped or the program ends.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if it is locked, by this program or another one; [`io::ErrorKind::NotFound`] if
    /// there is no such file.
    fn lock(&self, path: &Path) -> io::Result<FolderLock>;
}

/// An open file that is written at its end.
///
/// ```
/// use std::io::{self, Write};
/// use std::path::Path;
///
/// use dayfold::store::{Memory, Storage, StorageFile};
///
/// /// Writes a file so that it is there whole after a crash, or not at all.
/// fn write(storage: &dyn Storage, folder: &Path, bytes: &[u8]) -> io::Result<()> {
///     let draft = folder.join("draft");
///     let mut file: Box<dyn StorageFile> = storage.create(&draft)?;
///     file.write_all(bytes)?;
///     file.sync()?;
///     storage.rename(&draft, &folder.join("whole"))?;
///     storage.sync_dir(folder)
/// }
///
/// let memory = Memory::default();
/// memory.create_dirs(Path::new("/data"))?;
/// write(&memory, Path::new("/data"), b"hello")?;
/// assert_eq!(memory.read(Path::new("/data/whole"))?, b"hello");
/// # Ok::<(), io::Error>(())
/// ```
pub trait StorageFile: io::Write + Debug + Send {
    /// Makes what was written durable.
    ///
    /// # Errors
    /// Those of the system. After an error it is unknown whether the bytes are durable, and a later success says
    /// nothing about them.
    fn sync(&mut self) -> io::Result<()>;

    /// Whether `path` still names this file: it may have been removed or replaced. True if the file system cannot tell.
    ///
    /// # Errors
    /// Those of the system.
    fn is_at(&self, path: &Path) -> io::Result<bool> {
        let _ = path;
        Ok(true)
    }

    /// Cuts the file; later writes go to its new end.
    ///
    /// # Errors
    /// Those of the system.
    fn truncate(&mut self, length: u64) -> io::Result<()>;
}

/// A lock that is held until it is dropped.
///
/// ```
/// use std::fs::File;
/// use std::io;
/// use std::path::Path;
///
/// use dayfold::store::FolderLock;
///
/// /// What a storage of one's own returns: whatever holds the lock, until it is dropped.
/// fn lock(path: &Path) -> io::Result<FolderLock> {
///     let file = File::create(path)?;
///     file.try_lock()?;
///     Ok(FolderLock::new(file))
/// }
/// ```
pub struct FolderLock {
    _held: Box<dyn Any + Send + Sync>,
    holds: Box<dyn Fn() -> bool + Send + Sync>,
}

impl FolderLock {
    /// A lock that ends when `held` is dropped.
    pub fn new(held: impl Any + Send + Sync) -> FolderLock {
        FolderLock::watched(held, || true)
    }

    /// As [`FolderLock::new`]; `holds` says whether the lock still keeps others out. A lock whose file was removed does
    /// not.
    pub fn watched(
        held: impl Any + Send + Sync,
        holds: impl Fn() -> bool + Send + Sync + 'static,
    ) -> FolderLock {
        FolderLock { _held: Box::new(held), holds: Box::new(holds) }
    }

    /// Whether the lock still keeps others out.
    pub(super) fn holds(&self) -> bool {
        (self.holds)()
    }
}

impl Debug for FolderLock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FolderLock")
    }
}
