//! The errors of a data folder.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::batch::BatchError;
use crate::closing::Closing;
use crate::time::Day;

/// What is known about the effect of a failed operation.
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
    /// The operation did not happen: nothing that counts was changed.
    None,
    /// The operation may have happened; opening the folder again finds out.
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

/// An error of a data folder.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
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
        source: io::Error,
    },
    /// Another program, or another store in this program, has locked the folder.
    #[error("{} is in use by another program: stop it, or choose another folder", folder.display())]
    InUse {
        /// The locked part.
        folder: PathBuf,
    },
    /// A manifest is damaged before its end. Nothing was changed.
    #[error("{} is damaged at byte {offset}: {what}; restore it from a copy", path.display())]
    Corrupt {
        /// The manifest.
        path: PathBuf,
        /// The offset of the damage, in bytes.
        offset: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// A manifest has another format version. Nothing was changed.
    #[error("{} has format version {found}, and this program reads {known}: use the one that wrote it", path.display())]
    Version {
        /// The manifest.
        path: PathBuf,
        /// The version in the file.
        found: u32,
        /// The version that this program reads.
        known: u32,
    },
    /// A part belongs to another folder, or was written with other rules for placing keys. Nothing was changed.
    #[error("{} has {field} {on_disk}, expected {asked}: use the folder's own parts and program", path.display())]
    IdentityMismatch {
        /// The manifest.
        path: PathBuf,
        /// The field that differs.
        field: &'static str,
        /// The value in the manifest.
        on_disk: String,
        /// The value in the program, or in the other parts of the folder.
        asked: String,
    },
    /// The runs of the folder had a log and this one has none, or the reverse: its log would lack events of sealed
    /// days. Nothing was changed.
    #[error("{} {} and this program {}: {}", folder.display(),
        if *on_disk { "has a log" } else { "was written without a log" },
        if *asked { "keeps one" } else { "keeps none" },
        if *on_disk { "start it with the log" } else { "start it without one, or use a new folder" })]
    LogMismatch {
        /// The folder.
        folder: PathBuf,
        /// Whether the runs of the folder were logged.
        on_disk: bool,
        /// Whether this run is to be logged.
        asked: bool,
    },
    /// The definition of a view differs from the one with which its days were sealed. Nothing was changed.
    #[error(
        "view '{view}' has {field} '{on_disk}' on disk and '{asked}' in the program: {}give the changed view a new name or use a new folder",
        if *logged { format!("have it rebuilt from the log with Engine::redefine(\"{view}\"), ") } else { String::new() }
    )]
    ViewMismatch {
        /// The view.
        view: String,
        /// The field that differs: zone, key, aggregate or definition.
        field: &'static str,
        /// The value in the folder.
        on_disk: String,
        /// The value in the program.
        asked: String,
        /// Whether the folder has a log from which the view can be rebuilt.
        logged: bool,
    },
    /// The folder has a view that the program does not define. Nothing was changed.
    #[error(
        "view '{view}' is in the folder but not in the program: define it, remove it from the folder with Engine::remove_view(\"{view}\"), or use a new folder"
    )]
    ViewMissing {
        /// The view.
        view: String,
    },
    /// The program has a view that the folder lacks, and the folder has sealed days but no log. Nothing was changed.
    #[error(
        "view '{view}' is new, and the folder has sealed days but no log to compute its past from: use a new folder and read the events again"
    )]
    ViewAdded {
        /// The view.
        view: String,
    },
    /// Neither the folder nor the program has the requested view.
    #[error("there is no view '{view}': define it before the folder is opened")]
    UnknownView {
        /// The view.
        view: String,
    },
    /// The configuration is not valid. Nothing was changed.
    #[error("{what}: '{value}'")]
    Config {
        /// What is wrong, and what is expected.
        what: &'static str,
        /// The value that was given.
        value: String,
    },
    /// A part of the folder, or its manifest, is missing. Nothing was changed.
    #[error("{} is missing: restore it, or start with an empty folder", path.display())]
    MissingPart {
        /// The expected manifest.
        path: PathBuf,
    },
    /// A part is missing in the folder of another process, which should have it. Nothing was changed.
    #[error(
        "part-{part} is missing in the data folder of process {process}: restore it there, or start with empty \
         folders everywhere"
    )]
    LostPart {
        /// The part.
        part: usize,
        /// The process responsible for the part.
        process: usize,
    },
    /// A process needs sealed days from a part that is not in its folder: the number of processes or workers has
    /// changed since they were sealed. Nothing was changed.
    #[error(
        "process {process} needs sealed days of {}, which is not there, or not as process {holder} has it: \
         copy or share that part, or start as many processes and workers as before",
        part.display()
    )]
    Unreachable {
        /// The process that needs the part.
        process: usize,
        /// The process that has the part.
        holder: usize,
        /// Where the part is expected.
        part: PathBuf,
    },
    /// The request needs the parts of all processes, and one is on another machine. Nothing was changed.
    #[error(
        "{} is written by another process and cannot be read here: this needs a folder that all processes share",
        part.display()
    )]
    Elsewhere {
        /// Where the part is expected.
        part: PathBuf,
    },
    /// Two parts disagree about which days are closed. Nothing was changed.
    #[error(
        "view '{view}' is closed through {} in {} and through {} in this process: open every process's part before beginning",
        day_or_nothing(*through), path.display(), day_or_nothing(*own)
    )]
    PartsDisagree {
        /// The view.
        view: String,
        /// The manifest of the other part.
        path: PathBuf,
        /// The last closing of the other part.
        through: Option<Closing>,
        /// The last closing of this process's part.
        own: Option<Closing>,
    },
    /// A part is older than the others: it lacks files that its process had written when another process committed
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
        /// The closing through which the other parts are closed.
        through: Closing,
        /// The number of files in the part that it has not committed.
        found: u64,
        /// The number of files that its process had written.
        expected: u64,
    },
    /// The requested state of a day is no longer kept by the view. Nothing was changed.
    #[error(
        "view '{view}': the revisions of {day} before the closing of {since} were removed: ask for a later revision"
    )]
    Superseded {
        /// The view.
        view: String,
        /// The day.
        day: Day,
        /// The first closing after which the day's state is known.
        since: Closing,
    },
    /// A new definition of a view would lose days, because the log no longer goes back that far. Nothing was changed.
    #[error(
        "view '{view}' cannot be defined anew: it has days before {first}, and the log has all events from {log_from} on only; \
         give the changed view a new name, which begins there"
    )]
    LogShortened {
        /// The view.
        view: String,
        /// The first day that can be computed.
        first: Day,
        /// The first UTC day whose events are all in the log.
        log_from: Day,
    },
    /// A batch view is damaged.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// A file of a batch view is not the one that the manifest names.
    #[error("{} has {field} {found}, and the manifest says {expected}: restore it from a copy or rebuild the views from the log", path.display())]
    WrongBatch {
        /// The file.
        path: PathBuf,
        /// The field that differs.
        field: &'static str,
        /// The value in the file.
        found: String,
        /// The value in the manifest.
        expected: String,
    },
    /// The closing is already sealed, and a sealed file never changes. Nothing was changed.
    #[error("view '{view}' is closed through {through}: closing {closing} cannot be written again")]
    AlreadyClosed {
        /// The view.
        view: String,
        /// The closing to be written.
        closing: Closing,
        /// The closing through which the view is closed.
        through: Closing,
    },
    /// The closing is not sealed, so it cannot be rebuilt. Nothing was changed.
    #[error(
        "view '{view}' is closed through {}: closing {closing} cannot be rebuilt yet",
        day_or_nothing(*through)
    )]
    NotClosed {
        /// The view.
        view: String,
        /// The closing to be rebuilt.
        closing: Closing,
        /// The closing through which the view is closed.
        through: Option<Closing>,
    },
    /// A manifest record exceeds the size limit. Nothing was changed.
    #[error("a manifest record has {bytes} bytes, more than {limit}: commit fewer days at a time")]
    TooLarge {
        /// The length of the record.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// A file that this program holds was removed or replaced while the program runs. The write did not happen.
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
        /// The error of the system.
        source: io::Error,
    },
    /// An earlier write to the manifest failed, so its end is unknown. Nothing was changed.
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
    /// An error of an operation whose failure changes nothing that counts.
    pub(super) fn harmless(
        operation: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> StoreError {
        let path = path.into();
        move |source| StoreError::Io { operation, path, effect: Effect::None, source }
    }

    /// An error of an operation that may have happened although it failed.
    pub(super) fn perhaps(
        operation: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> StoreError {
        let path = path.into();
        move |source| StoreError::Io { operation, path, effect: Effect::Perhaps, source }
    }
}
