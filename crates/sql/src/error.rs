//! Why a statement has no result.

use std::time::Duration;

use datafusion::error::DataFusionError;
use dayfold::scan::ScanError;
use dayfold::store::StoreError;

/// An error of a statement, or of its execution.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SqlError {
    /// It is not SQL, or names something that does not exist.
    #[error("{}", told(.0))]
    Plan(DataFusionError),
    /// It would change something.
    #[error(
        "{what} is refused: views are read-only, and are made from events alone; expected SELECT, VALUES or EXPLAIN"
    )]
    ReadOnly {
        /// The change.
        what: String,
    },
    /// The text is not exactly one statement.
    #[error("{found} statements: expected one")]
    NotOne {
        /// The number of statements.
        found: usize,
    },
    /// The name is already used.
    #[error("there is a table '{name}' already")]
    Taken {
        /// The name.
        name: String,
    },
    /// The values of the parameters do not match.
    #[error("{message}")]
    Parameters {
        /// The parameter, and what was expected.
        message: String,
    },
    /// It failed while it ran: for example, a number out of range, or too much memory.
    #[error("{}", told(.0))]
    Failed(DataFusionError),
    /// An error of a view.
    #[error("{0}")]
    View(ScanError),
    /// An error of a data folder.
    #[error("{0}")]
    Folder(Box<StoreError>),
    /// The system has no threads for it.
    #[error("no threads to run statements on: {error}")]
    Threads {
        /// The error of the system.
        error: std::io::Error,
    },
    /// It took too long.
    #[error("the statement was stopped after {limit:?}, which is all the time it may take")]
    TimedOut {
        /// The limit.
        limit: Duration,
    },
    /// Its result has too many rows.
    #[error("the result has more than {limit} rows: narrow the statement, or add a LIMIT")]
    TooManyRows {
        /// The limit.
        limit: u64,
    },
    /// Too many statements run already.
    #[error("{running} statements are running, which is all that may: ask again later")]
    Busy {
        /// The limit.
        running: usize,
    },
}

impl SqlError {
    /// The error of planning.
    pub(crate) fn plan(error: DataFusionError) -> SqlError {
        SqlError::of(error, SqlError::Plan)
    }

    /// The error of running.
    pub(crate) fn run(error: DataFusionError) -> SqlError {
        SqlError::of(error, SqlError::Failed)
    }

    /// The position of the mistake in the statement, a line and a column from 1, if it is known.
    pub fn position(&self) -> Option<(u64, u64)> {
        let SqlError::Plan(error) = self else { return None };
        let span = error.diagnostic().and_then(|diagnostic| diagnostic.span);
        if let Some(span) = span.filter(|span| span.start.line > 0) {
            return Some((span.start.line, span.start.column));
        }
        // The parser has the position only in its message.
        let DataFusionError::SQL(..) = error.find_root() else { return None };
        let message = error.to_string();
        let (_, place) = message.rsplit_once(" at Line: ")?;
        let (line, column) = place.split_once(", Column: ")?;
        let digits = column.find(|c: char| !c.is_ascii_digit()).unwrap_or(column.len());
        Some((line.parse().ok()?, column[..digits].parse().ok()?))
    }

    fn of(error: DataFusionError, otherwise: fn(DataFusionError) -> SqlError) -> SqlError {
        match error.find_root() {
            DataFusionError::External(inner) => match inner.downcast_ref::<ScanError>() {
                Some(scan) => SqlError::View(scan.clone()),
                None => otherwise(error),
            },
            _ => otherwise(error),
        }
    }
}

/// An error of ours as we say it: DataFusion calls it external.
fn told(error: &DataFusionError) -> String {
    match error.find_root() {
        DataFusionError::External(ours) => ours.to_string(),
        _ => error.to_string(),
    }
}

impl From<DataFusionError> for SqlError {
    fn from(error: DataFusionError) -> SqlError {
        SqlError::run(error)
    }
}
