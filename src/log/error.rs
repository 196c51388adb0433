//! What can go wrong with the log.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::store::Effect;

/// What can go wrong with the log.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// The system refused an operation.
    #[error("cannot {operation} {}: {effect}", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// Whether it may have happened.
        effect: Effect,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// Writing failed. The log takes nothing more in this run.
    #[error(
        "cannot {operation} {}: {}; nothing more is logged until the program is started again",
        path.display(), fate(*effect)
    )]
    Write {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// Whether entries that were not reported as committed may be in the log all the same.
        effect: Effect,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// What was committed is missing or is not what was written. Nothing was changed.
    #[error(
        "{} is damaged at byte {offset}: {what}; restore it from a copy, or have the data folder set aside and everything \
         read again (Engine::accept_lost_log, --accept-lost-log)",
        path.display()
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where, from the beginning of the file.
        offset: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// The log ends before what sealed days rest on, so that their rows would be read again and count
    /// twice. Nothing was changed.
    #[error(
        "{} {}, and the manifest proves {proven} bytes of it, on which sealed days rest: restore the whole data folder \
         from one copy, or have it set aside and everything read again (Engine::accept_lost_log, --accept-lost-log)",
        path.display(), what_is_left(*found, *proven)
    )]
    Lost {
        /// The commit stream.
        path: PathBuf,
        /// How many bytes of it are left; `None` if it is missing.
        found: Option<u64>,
        /// How many bytes it had, at least.
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
        /// Its run.
        run: u64,
        /// The last run of the manifest; 0 if it knows none.
        known: u64,
    },
    /// A file of another format. Nothing was changed.
    #[error("{} has format version {found}, and this program reads {known}: use the one that wrote it", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// The version in the file.
        found: u32,
        /// The version that this program reads.
        known: u32,
    },
    /// One event, refused row or commit has more bytes than the log takes. It was not written.
    #[error("an entry for {} has {bytes} bytes, more than {limit}: make it smaller", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its length.
        bytes: usize,
        /// The greatest length.
        limit: usize,
    },
    /// The event type's serialization failed. The entry was not written.
    #[error("an event for {} cannot be encoded: {what}; correct how its type is serialized", path.display())]
    Encode {
        /// The file.
        path: PathBuf,
        /// What the serialization said.
        what: Arc<str>,
    },
    /// The thread of the log has ended before this was durable.
    #[error("the log in {} has stopped: {what}; what was not reported as durable may or may not be there, start again to find out", path.display())]
    Stopped {
        /// The folder of the log.
        path: PathBuf,
        /// Why.
        what: &'static str,
    },
}

impl LogError {
    /// Reading failed, or a change that does not matter if it happened.
    pub(super) fn harmless(
        operation: &'static str,
        path: &Path,
    ) -> impl FnOnce(io::Error) -> LogError {
        let path = path.to_owned();
        let effect = Effect::None;
        move |source| LogError::Io { operation, path, effect, source: Arc::new(source) }
    }

    /// Writing failed, or a sync. With [`Effect::None`] nothing more counts than before.
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

/// Damage found where the file's name is not known.
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
