//! The operations of a storage, and the ways in which one fails.

/// An operation that changes something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Operation {
    /// [`Storage::create_dirs`](crate::store::Storage::create_dirs), if a folder is missing.
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
    /// The operation did not happen. After a sync that failed this way, no later sync makes those changes durable.
    NotDone,
    /// The operation happened, but is reported as failed. (A created folder may not be durable.)
    DoneButReported,
    /// The operation happened in part: of bytes, the first ones; of a sync, some changes; of folders, the upper ones.
    /// An atomic operation either happened or did not.
    Partly,
    /// The disk is full: a write writes only a part. From then on every operation that needs space fails, until
    /// [`Faulty::free_space`](super::Faulty::free_space).
    DiskFull,
}
