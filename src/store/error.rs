//! What can go wrong with a data folder.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::batch::BatchError;
use crate::closing::Closing;
use crate::time::Day;

/// What is known of the effect of an operation that failed.
///
/// ```
/// use dayfold::store::{Effect, StoreError};
///
/// /// Whether the same operation may simply be tried again.
/// fn may_be_repeated(error: &StoreError) -> bool {
///     matches!(error, StoreError::Io { effect: Effect::None, .. })
/// }
/// ```
#[expect(clippy::exhaustive_enums, reason = "who handles an error decides for each of the two")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It did not happen: nothing that counts was changed.
    None,
    /// It may have happened; opening the folder again finds out.
    Perhaps,
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Effect::None => "nothing was changed; put that right and start again",
            Effect::Perhaps => "it may have happened; open the folder again to find out",
        })
    }
}

/// What can go wrong with a data folder.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
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
        source: io::Error,
    },
    /// Another program, or another store of this one, holds the folder.
    #[error("{} is in use by another program: stop it, or choose another folder", folder.display())]
    InUse {
        /// The part that is held.
        folder: PathBuf,
    },
    /// A manifest is damaged before its end. Nothing was changed.
    #[error("{} is damaged at byte {offset}: {what}; restore it from a copy", path.display())]
    Corrupt {
        /// The manifest.
        path: PathBuf,
        /// Where.
        offset: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// A manifest of another format. Nothing was changed.
    #[error("{} has format version {found}, and this program reads {known}: use the one that wrote it", path.display())]
    Version {
        /// The manifest.
        path: PathBuf,
        /// The version in the file.
        found: u32,
        /// The version that this program reads.
        known: u32,
    },
    /// A part belongs to another folder, or was written under other rules. Nothing was changed.
    #[error("{} has {field} {on_disk}, expected {asked}: use the folder's own parts and program", path.display())]
    IdentityMismatch {
        /// The manifest.
        path: PathBuf,
        /// What differs.
        field: &'static str,
        /// What the manifest says.
        on_disk: String,
        /// What the program, or the folder's other parts, say.
        asked: String,
    },
    /// The folder's runs were logged and this one is not to be, or the other way round: its log would not
    /// hold all events of what is sealed. Nothing was changed.
    #[error("{} {} and this program {}: {}", folder.display(),
        if *on_disk { "has a log" } else { "was written without a log" },
        if *asked { "keeps one" } else { "keeps none" },
        if *on_disk { "start it with the log" } else { "start it without one, or use a new folder" })]
    LogMismatch {
        /// The folder.
        folder: PathBuf,
        /// Whether the runs of the folder were logged.
        on_disk: bool,
        /// Whether this one is to be.
        asked: bool,
    },
    /// A view is defined otherwise than when its days were sealed. Nothing was changed.
    #[error(
        "view '{view}' has {field} '{on_disk}' on disk and '{asked}' in the program: {}give the changed view a new name or use a new folder",
        if *logged { format!("have it rebuilt from the log with Engine::redefine(\"{view}\"), ") } else { String::new() }
    )]
    ViewMismatch {
        /// The view.
        view: String,
        /// What differs: zone, key, aggregate or definition.
        field: &'static str,
        /// What the folder says.
        on_disk: String,
        /// What the program says.
        asked: String,
        /// Whether the folder has a log, from which the view can be rebuilt.
        logged: bool,
    },
    /// A view of the folder is not in the program. Nothing was changed.
    #[error(
        "view '{view}' is in the folder but not in the program: define it, remove it from the folder with Engine::remove_view(\"{view}\"), or use a new folder"
    )]
    ViewMissing {
        /// The view.
        view: String,
    },
    /// A view of the program is not in a folder that has sealed days and no log. Nothing was changed.
    #[error(
        "view '{view}' is new, and the folder has sealed days but no log to compute its past from: use a new folder and read the events again"
    )]
    ViewAdded {
        /// The view.
        view: String,
    },
    /// The asked view is in neither the folder nor the program.
    #[error("there is no view '{view}': define it before the folder is opened")]
    UnknownView {
        /// The view.
        view: String,
    },
    /// The configuration cannot be. Nothing was changed.
    #[error("{what}: '{value}'")]
    Config {
        /// What is wrong, and what is expected.
        what: &'static str,
        /// What was given.
        value: String,
    },
    /// A part of the folder is not there, or has no manifest. Nothing was changed.
    #[error("{} is missing: restore it, or start with an empty folder", path.display())]
    MissingPart {
        /// The manifest that is expected.
        path: PathBuf,
    },
    /// A part is not where it has to be, in the folder of another process. Nothing was changed.
    #[error(
        "part-{part} is missing in the data folder of process {process}: restore it there, or start with empty \
         folders everywhere"
    )]
    LostPart {
        /// The part.
        part: usize,
        /// The process that sees to it.
        process: usize,
    },
    /// A process needs sealed days of a part that it does not see: the number of processes or workers is
    /// another one than when they were sealed. Nothing was changed.
    #[error(
        "process {process} needs sealed days of {}, which is not there, or not as process {holder} has it: \
         copy or share that part, or start as many processes and workers as before",
        part.display()
    )]
    Unreachable {
        /// The process that needs it.
        process: usize,
        /// The process that has it.
        holder: usize,
        /// Where it is looked for.
        part: PathBuf,
    },
    /// What is asked for needs the parts of all processes, and one is on another machine. Nothing was changed.
    #[error(
        "{} is written by another process and cannot be read here: this needs a folder that all processes share",
        part.display()
    )]
    Elsewhere {
        /// Where it is looked for.
        part: PathBuf,
    },
    /// Parts do not agree on what is closed. Nothing was changed.
    #[error(
        "view '{view}' is closed through {} in {} and through {} in this process: open every process's part before beginning",
        day_or_nothing(*through), path.display(), day_or_nothing(*own)
    )]
    PartsDisagree {
        /// The view.
        view: String,
        /// The manifest of the other part.
        path: PathBuf,
        /// Up to where the other part is closed.
        through: Option<Closing>,
        /// Up to where this process's part is closed.
        own: Option<Closing>,
    },
    /// A part is older than the others: it lacks files that its process had written when another one committed
    /// them. Nothing was changed.
    #[error(
        "{} is older than the other parts: of view '{view}' it has {found} of the {expected} files up to {through} that \
         it had when they were sealed; restore all parts from one copy, or have the data folder set aside and everything \
         read again (Engine::accept_lost_log, --accept-lost-log)",
        part.display()
    )]
    PartBehind {
        /// The part.
        part: PathBuf,
        /// The view.
        view: String,
        /// The day through which the other parts are closed.
        through: Closing,
        /// How many files it has that it has not committed.
        found: u64,
        /// How many its process had written.
        expected: u64,
    },
    /// A state of a day that a view keeps no longer. Nothing was changed.
    #[error(
        "of {day} of view '{view}', what it was before the closing of {since} was removed: ask for a later revision"
    )]
    Superseded {
        /// The view.
        view: String,
        /// The day.
        day: Day,
        /// The closing after which its state is known.
        since: Closing,
    },
    /// Of a view that is defined anew, days would be lost: the log does not go back so far any more. Nothing was changed.
    #[error(
        "view '{view}' cannot be defined anew: it has days before {first}, and the log has all events from {log_from} on only; \
         give the changed view a new name, which begins there"
    )]
    LogShortened {
        /// The view.
        view: String,
        /// The first day that can be computed.
        first: Day,
        /// The first UTC day of which the log has all events.
        log_from: Day,
    },
    /// A batch view is damaged.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// A batch view is not the one that the manifest names.
    #[error("{} has {field} {found}, and the manifest says {expected}: restore it from a copy or rebuild the views from the log", path.display())]
    WrongBatch {
        /// The file.
        path: PathBuf,
        /// What differs.
        field: &'static str,
        /// What the file says.
        found: String,
        /// What the manifest says.
        expected: String,
    },
    /// A sealed file never changes. Nothing was changed.
    #[error("view '{view}' is closed through {through}: closing {closing} cannot be written again")]
    AlreadyClosed {
        /// The view.
        view: String,
        /// The closing that was to be written.
        closing: Closing,
        /// Up to where the view is closed.
        through: Closing,
    },
    /// Only what is sealed can be rebuilt. Nothing was changed.
    #[error(
        "view '{view}' is closed through {}: closing {closing} cannot be rebuilt yet",
        day_or_nothing(*through)
    )]
    NotClosed {
        /// The view.
        view: String,
        /// The closing that was to be rebuilt.
        closing: Closing,
        /// Up to where the view is closed.
        through: Option<Closing>,
    },
    /// A manifest record of more bytes than one may have. Nothing was changed.
    #[error("a manifest record has {bytes} bytes, more than {limit}: commit fewer days at a time")]
    TooLarge {
        /// Its length.
        bytes: usize,
        /// The greatest length.
        limit: usize,
    },
    /// A file that this program holds was removed while it runs, or another one is in its place. What was to be written was
    /// not.
    #[error(
        "{} was removed or replaced while this program runs, and another one may be writing the folder: stop all of \
         them, restore the file if it is a manifest, and start one",
        path.display()
    )]
    Vanished {
        /// The lock or the manifest.
        path: PathBuf,
    },
    /// A sealed file is missing, or something else is in its place.
    #[error(
        "cannot open {}: {source}; restore it from a copy, or have it computed again from the log (Engine::repair)",
        path.display()
    )]
    NoBatch {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// An earlier write to the manifest failed, so that its end is not known. Nothing was changed.
    #[error("{} failed earlier and cannot be written: open the folder again", path.display())]
    Failed {
        /// The manifest.
        path: PathBuf,
    },
}

fn day_or_nothing(day: Option<Closing>) -> String {
    day.map_or_else(|| "no day".to_owned(), |day| day.to_string())
}

impl StoreError {
    /// An operation that changes nothing that counts when it fails.
    pub(super) fn harmless(
        operation: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> StoreError {
        let path = path.into();
        move |source| StoreError::Io { operation, path, effect: Effect::None, source }
    }

    /// An operation that may have happened when it fails.
    pub(super) fn perhaps(
        operation: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> StoreError {
        let path = path.into();
        move |source| StoreError::Io { operation, path, effect: Effect::Perhaps, source }
    }
}
