//! The operations of a storage, and how one of them fails.

/// An operation that changes something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Operation {
    /// [`Storage::create_dirs`](crate::store::Storage::create_dirs), where a folder is missing.
    CreateDirs,
    /// [`Storage::create`](crate::store::Storage::create).
    Create,
    /// A write to a file.
    Write,
    /// [`StorageFile::sync`](crate::store::StorageFile::sync).
    Sync,
    /// [`StorageFile::truncate`](crate::store::StorageFile::truncate).
    Truncate,
    /// [`Storage::rename`](crate::store::Storage::rename).
    Rename,
    /// [`Storage::remove`](crate::store::Storage::remove).
    Remove,
    /// [`Storage::sync_dir`](crate::store::Storage::sync_dir).
    SyncDir,
}

/// How an operation fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// It did not happen. After a sync that failed so, no later sync makes durable what was to be synced.
    NotDone,
    /// It happened, and is reported as failed. (A folder that was made may not be durable.)
    DoneButReported,
    /// A part of it happened: of bytes, the first ones; of what was to be synced, some; of folders, the
    /// upper ones. What is done in one step happened or not.
    Partly,
    /// The disk is full: a part of what was to be written is. From here on all that takes space fails,
    /// until [`Faulty::free_space`](super::Faulty::free_space).
    DiskFull,
}
