//! What the store asks of a file system, so that tests can stand in for one.

use std::any::Any;
use std::fmt::Debug;
use std::io;
use std::path::Path;

use crate::batch::Bytes;

/// A file system, as far as the store needs one.
///
/// Errors are those of the system. An operation that reports an error may still have happened, except
/// where it says otherwise; the store assumes the worse.
pub trait Storage: Debug + Send + Sync + 'static {
    /// Makes a folder and those above it, durably; one that is there is left alone, and may not be
    /// durable if a crash came between its making and its sync.
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

    /// The bytes of a file that will not change any more (though it may grow), mapped where that is possible: what is read
    /// takes anonymous memory for as long as it is in use.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] if there is no such file.
    fn map(&self, path: &Path) -> io::Result<Bytes>;

    /// A new, empty file for writing; what was there under this name is gone.
    ///
    /// # Errors
    /// Those of the system.
    fn create(&self, path: &Path) -> io::Result<Box<dyn StorageFile>>;

    /// A file that is there, for appending.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] if there is no such file.
    fn append(&self, path: &Path) -> io::Result<Box<dyn StorageFile>>;

    /// Gives a file another name, replacing what had it, in one step; or a folder, which replaces nothing. Durable after
    /// [`Storage::sync_dir`] of its folder.
    ///
    /// # Errors
    /// Those of the system.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file. Durable after [`Storage::sync_dir`] of its folder.
    ///
    /// # Errors
    /// Those of the system.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Removes a folder if it is empty, and does nothing otherwise. It need not do it at all: an empty folder is harmless, and takes
    /// a block of a disk.
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

    /// Locks a file that is there, until what is returned is dropped or the program ends.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if it is locked, by this program or another one;
    /// [`io::ErrorKind::NotFound`] if there is no such file.
    fn lock(&self, path: &Path) -> io::Result<FolderLock>;
}

/// An open file: written at its end.
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
    /// Those of the system. What was written may or may not be durable then, and a later success says
    /// nothing about it.
    fn sync(&mut self) -> io::Result<()>;

    /// Whether this is still the file of that name: someone may have removed it, or put another one in its place. Yes, if
    /// the file system cannot tell.
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

    /// As [`FolderLock::new`]; `holds` says whether it still keeps others out. One whose file was removed does not.
    pub fn watched(
        held: impl Any + Send + Sync,
        holds: impl Fn() -> bool + Send + Sync + 'static,
    ) -> FolderLock {
        FolderLock { _held: Box::new(held), holds: Box::new(holds) }
    }

    /// Whether it still keeps others out.
    pub(super) fn holds(&self) -> bool {
        (self.holds)()
    }
}

impl Debug for FolderLock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FolderLock")
    }
}
