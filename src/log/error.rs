//! The errors of the log.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::store::Effect;

/// An error of the log.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// The system refused an operation.
    #[error("cannot {operation} {}: {effect}", path.display())]
    Io {
        /// The operation that failed.
        operation: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Whether the operation may have happened.
        effect: Effect,
        /// The error of the system.
        source: Arc<io::Error>,
    },
    /// A write failed. The log accepts nothing more in this run.
    #[error(
        "cannot {operation} {}: {}; nothing more is logged until the program is started again",
        path.display(), fate(*effect)
    )]
    Write {
        /// The operation that failed.
        operation: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Whether entries that were not reported as committed may still be in the log.
        effect: Effect,
        /// The error of the system.
        source: Arc<io::Error>,
    },
    /// Committed bytes are missing or damaged. Nothing was changed.
    #[error(
        "{} is damaged at byte {offset}: {what}; restore it from a copy, or have the data folder set aside and everything \
         read again (Engine::accept_lost_log, --accept-lost-log)",
        path.display()
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// The offset from the beginning of the file.
        offset: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// The log ends before the events of sealed days. Their rows would be read again and count twice. Nothing was
    /// changed.
    #[error(
        "{} {}, and the manifest proves {proven} bytes of it, on which sealed days rest: restore the whole data folder \
         from one copy, or have it set aside and everything read again (Engine::accept_lost_log, --accept-lost-log)",
        path.display(), what_is_left(*found, *proven)
    )]
    Lost {
        /// The commit stream.
        path: PathBuf,
        /// The number of bytes that are left; `None` if the stream is missing.
        found: Option<u64>,
        /// The number of bytes that it had at least.
        proven: u64,
    },
    /// The log has a run that the manifest of its part does not know: the manifest is older. Nothing was
    /// changed.
    #[error(
        "{} is of run {run}, and the manifest beside it knows of no run after {known}: it is older than its log; restore \
         the whole data folder from one copy, or have it set aside and everything read again \
         (Engine::accept_lost_log, --accept-lost-log)",
        path.display()
    )]
    Ahead {
        /// A commit stream.
        path: PathBuf,
        /// The run of the stream.
        run: u64,
        /// The last run in the manifest; 0 if there is none.
        known: u64,
    },
    /// A file has another format version. Nothing was changed.
    #[error("{} has format version {found}, and this program reads {known}: use the one that wrote it", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// The version in the file.
        found: u32,
        /// The version that this program reads.
        known: u32,
    },
    /// An event, refused row or commit exceeds the size limit of the log. It was not written.
    #[error("an entry for {} has {bytes} bytes, more than {limit}: make it smaller", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// An event could not be serialized. The entry was not written.
    #[error("an event for {} cannot be encoded: {what}; correct how its type is serialized", path.display())]
    Encode {
        /// The file.
        path: PathBuf,
        /// The error of the serialization.
        what: Arc<str>,
    },
    /// The thread of the log ended before this was durable.
    #[error("the log in {} has stopped: {what}; what was not reported as durable may or may not be there, start again to find out", path.display())]
    Stopped {
        /// The folder of the log.
        path: PathBuf,
        /// The reason.
        what: &'static str,
    },
}

impl LogError {
    /// An error of reading, or of a change that does no harm if it happened.
    pub(super) fn harmless(
        operation: &'static str,
        path: &Path,
    ) -> impl FnOnce(io::Error) -> LogError {
        let path = path.to_owned();
        let effect = Effect::None;
        move |source| LogError::Io { operation, path, effect, source: Arc::new(source) }
    }

    /// An error of a write or a sync. With [`Effect::None`] nothing more counts than before.
    pub(super) fn write(
        operation: &'static str,
        path: &Path,
        effect: Effect,
    ) -> impl FnOnce(io::Error) -> LogError {
        let path = path.to_owned();
        move |source| LogError::Write { operation, path, effect, source: Arc::new(source) }
    }

    pub(super) fn corrupt(path: &Path, damage: Damage) -> LogError {
        LogError::Corrupt { path: path.to_owned(), offset: damage.offset, what: damage.what }
    }
}

fn what_is_left(found: Option<u64>, proven: u64) -> String {
    match found {
        None => "is missing".to_owned(),
        Some(found) if found < proven => format!("ends at byte {found}"),
        Some(_) => "is not the one that was written".to_owned(),
    }
}

fn fate(effect: Effect) -> &'static str {
    match effect {
        Effect::None => "what was not committed before is not in the log",
        Effect::Perhaps => "what was last appended may or may not be in the log",
    }
}

/// Damage, found where the name of the file is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Damage {
    pub(super) offset: u64,
    pub(super) what: &'static str,
}

impl Damage {
    pub(super) fn new(offset: u64, what: &'static str) -> Damage {
        Damage { offset, what }
    }
}
