//! Why a scan has no answer, or no more of it.

use std::time::Duration;

use crate::engine::AskError;
use crate::schema::Kind;
use crate::time::{Day, Grain};

/// Why a scan is wrong, or failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScanError {
    /// Rows of this shape do not have this column.
    #[error("view '{view}' has no column '{name}' in this shape: expected some of {expected}")]
    Column {
        /// The view.
        view: String,
        /// The requested one.
        name: String,
        /// The available columns.
        expected: String,
    },
    /// No columns were asked for.
    #[error("a scan without columns: name at least one, or leave the choice out for all")]
    NoColumns,
    /// A limit of no rows.
    #[error("a limit of 0 rows: expected at least 1")]
    Limit,
    /// The number of values differs from the number of key columns.
    #[error("{found} values for the key of view '{view}', which is {columns}: expected {expected}")]
    Values {
        /// The view.
        view: String,
        /// The number of them.
        found: usize,
        /// The columns of the key.
        columns: String,
        /// How many are expected.
        expected: String,
    },
    /// A value that a column of the key cannot have.
    #[error(
        "'{found}' is no value of column '{column}' of the key of view '{view}': expected {expected}"
    )]
    Value {
        /// The view.
        view: String,
        /// The column.
        column: String,
        /// The value, as text.
        found: String,
        /// The expected values.
        expected: Kind,
    },
    /// The encoding of the key is unknown, so keys cannot be chosen by their values.
    #[error(
        "keys of view '{view}' cannot be chosen by values: its type does not say how it is encoded; ask for all keys"
    )]
    Keys {
        /// The view.
        view: String,
    },
    /// The measure does not exist, or keys cannot be ranked by it.
    #[error("view '{view}' has no measure '{by}' to rank keys by: expected one of {expected}")]
    Rank {
        /// The view.
        view: String,
        /// The requested one.
        by: String,
        /// The available ones.
        expected: String,
    },
    /// The days were removed because of [`View::keep`](crate::view::View::keep).
    #[error(
        "view '{view}' keeps days from {kept_from} on: ask from there on, or without a beginning for all that is kept"
    )]
    Removed {
        /// The view.
        view: String,
        /// The first day that is kept.
        kept_from: Day,
    },
    /// The revision was removed because of [`View::keep_revisions`](crate::view::View::keep_revisions).
    #[error(
        "the revisions of {day} before the closing of {since} were removed: ask for a later revision"
    )]
    Superseded {
        /// The day.
        day: Day,
        /// The closing after which its state is known.
        since: Day,
    },
    /// The periods do not consist of whole periods of the view.
    #[error("view '{view}' by {asked}: it is kept by {grain}; expected one of {expected}")]
    Grain {
        /// The view.
        view: String,
        /// The requested one.
        asked: Grain,
        /// The grain of the view.
        grain: Grain,
        /// The grains that can be asked for.
        expected: String,
    },
    /// Unsealed rows only were asked for, in a shape that combines keys.
    #[error(
        "view '{view}': rows that are not sealed can be asked for by period and key, or by key"
    )]
    Unsealed {
        /// The view.
        view: String,
    },
    /// A cursor of another scan.
    #[error("a cursor that cannot be used here: {why}")]
    Cursor {
        /// Why.
        why: String,
    },
    /// Another revision than the newest was asked for in a snapshot.
    #[error(
        "view '{view}' as of a snapshot has the newest revision of each day: expected no other one; without a \
         snapshot, others can be asked for, which do not change"
    )]
    Revision {
        /// The view.
        view: String,
    },
    /// A value does not match its column in the schema: the definition of the view is wrong.
    #[error("view '{view}' shows something that is no {expected} in column '{column}'")]
    Presented {
        /// The view.
        view: String,
        /// The column.
        column: String,
        /// The kind in the schema.
        expected: Kind,
    },
    /// A sealed file could not be read.
    #[error("view '{view}': {why}")]
    Unreadable {
        /// The view.
        view: String,
        /// What is wrong with the file.
        why: String,
    },
    /// The engine has not started.
    #[error("the engine has not started")]
    NotStarted,
    /// The engine has stopped.
    #[error("the engine has stopped")]
    Stopped,
    /// There are too many questions already; nothing was done. Ask again later.
    #[error("too much is asked at once: {why}")]
    Busy {
        /// The exceeded limit.
        why: String,
    },
    /// Nothing came in time; you may wait again.
    #[error("no rows within {limit:?}")]
    TimedOut {
        /// The time waited.
        limit: Duration,
    },
    /// The moment of the scan or of its snapshot could not be kept any longer. The rows before are correct but
    /// incomplete.
    #[error("{why}: ask again, from behind the last row or as of a new snapshot")]
    Expired {
        /// Why it ended.
        why: String,
    },
}

impl From<AskError> for ScanError {
    fn from(error: AskError) -> ScanError {
        match error {
            AskError::NotStarted => ScanError::NotStarted,
            AskError::Stopped => ScanError::Stopped,
            AskError::Expired => ScanError::Expired { why: "the snapshot has expired".to_owned() },
            AskError::TimedOut { limit } => ScanError::TimedOut { limit },
            AskError::Removed { view, kept_from } => ScanError::Removed { view, kept_from },
            AskError::Superseded { day, since } => ScanError::Superseded { day, since },
            AskError::Full { .. }
            | AskError::FullOfRows { .. }
            | AskError::TooManySubscribers { .. }
            | AskError::NoMeasure { .. }
            | AskError::Grain { .. } => ScanError::Busy { why: error.to_string() },
        }
    }
}
