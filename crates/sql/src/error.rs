//! Why a statement has no answer.

use std::time::Duration;

use datafusion::error::DataFusionError;
use dayfold::scan::ScanError;
use dayfold::store::StoreError;

/// What is wrong with a statement, or came between.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SqlError {
    /// It is no SQL, or refers to what is not there.
    #[error("{0}")]
    Plan(DataFusionError),
    /// It would change something.
    #[error(
        "{what} is refused: views are read-only, and are made from events alone; expected SELECT, VALUES or EXPLAIN"
    )]
    ReadOnly {
        /// What it would do.
        what: String,
    },
    /// It is not one statement.
    #[error("{found} statements: expected one")]
    NotOne {
        /// How many there are.
        found: usize,
    },
    /// A name that is taken.
    #[error("there is a table '{name}' already")]
    Taken {
        /// The name.
        name: String,
    },
    /// The values of its parameters do not fit.
    #[error("{message}")]
    Parameters {
        /// Which one, and what was expected.
        message: String,
    },
    /// It failed while it ran: a number out of range, more memory than it may have.
    #[error("{0}")]
    Failed(DataFusionError),
    /// What a view says.
    #[error("{0}")]
    View(ScanError),
    /// What is wrong with a data folder.
    #[error("{0}")]
    Folder(Box<StoreError>),
    /// The system has no threads for it.
    #[error("no threads to run statements on: {error}")]
    Threads {
        /// Why.
        error: std::io::Error,
    },
    /// It took too long.
    #[error("the statement was stopped after {limit:?}, which is all the time it may take")]
    TimedOut {
        /// How long it may take.
        limit: Duration,
    },
    /// Its result is too large.
    #[error("the result has more than {limit} rows: narrow the statement, or add a LIMIT")]
    TooManyRows {
        /// How many rows it may have.
        limit: u64,
    },
    /// So many statements run already that this one is refused.
    #[error("{running} statements are running, which is all that may: ask again later")]
    Busy {
        /// How many may run.
        running: usize,
    },
}

impl SqlError {
    /// What came of planning.
    pub(crate) fn plan(error: DataFusionError) -> SqlError {
        SqlError::of(error, SqlError::Plan)
    }

    /// What came of running.
    pub(crate) fn run(error: DataFusionError) -> SqlError {
        SqlError::of(error, SqlError::Failed)
    }

    /// The place in the statement that is wrong, a line and a column from 1, where that is known.
    pub fn position(&self) -> Option<(u64, u64)> {
        let SqlError::Plan(error) = self else { return None };
        let span = error.diagnostic().and_then(|diagnostic| diagnostic.span);
        if let Some(span) = span.filter(|span| span.start.line > 0) {
            return Some((span.start.line, span.start.column));
        }
        // The parser has it in its message alone.
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

impl From<DataFusionError> for SqlError {
    fn from(error: DataFusionError) -> SqlError {
        SqlError::run(error)
    }
}
