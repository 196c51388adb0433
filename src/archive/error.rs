//! The errors of sealed days.

use crate::batch::BatchError;
use crate::log::LogError;
use crate::store::StoreError;
use crate::time::Day;

/// An error in sealing a day or in reading a sealed day.
///
/// ```
/// use dayfold::archive::ArchiveError;
///
/// /// What the program's user can do.
/// fn advice(error: &ArchiveError) -> &'static str {
///     match error {
///         ArchiveError::NoFolder => "name a data folder",
///         ArchiveError::NoLog => "the folder was made without a log: make a new one",
///         ArchiveError::Store(_) | ArchiveError::Log(_) => "look at the disk",
///         _ => "look at the message",
///     }
/// }
/// assert_eq!(advice(&ArchiveError::NoFolder), "name a data folder");
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// The data folder could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A sealed day is damaged.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// The log has failed. Only what the log holds durably can be sealed.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The thread that seals has panicked.
    #[error("the thread that seals days has panicked")]
    Panicked,
    /// There is no log from which to compute sealed days. Nothing was changed.
    #[error("there is no log: sealed days can be computed again only from one")]
    NoLog,
    /// A day is damaged, and the log no longer has all its events. Nothing was changed.
    #[error(
        "day {day} of view '{view}' is damaged and cannot be computed again: the log has all events of days from {from} on only; restore the file from a copy"
    )]
    LogShortened {
        /// The view.
        view: String,
        /// The day.
        day: Day,
        /// The first day that can be computed.
        from: Day,
    },
    /// A view with rollups that outlive its periods, over a folder that does not know them.
    #[error(
        "the folder does not know of the rollups of view '{view}' that outlive its periods: only an engine keeps them          (View::keep_rollup)"
    )]
    Outliving {
        /// The view.
        view: String,
    },
    /// The archive is in memory, and has no sealed days to import.
    #[error("the archive is in memory: sealed days can be imported only from a data folder")]
    NoFolder,
    /// The engine was stopped while days were computed. The days before this one are done.
    #[error("the engine was stopped")]
    Stopped,
    /// An aggregate cannot be encoded.
    #[error("an aggregate cannot be encoded: {what}")]
    Encode {
        /// The error of its serialization.
        what: String,
    },
    /// A sealed day could not be written in memory.
    #[error("day {day} of view '{view}' could not be sealed in memory")]
    Memory {
        /// The view.
        view: String,
        /// The day.
        day: Day,
        /// The error of the writer.
        source: std::io::Error,
    },
}
