//! How an engine ends: in order, or for a reason.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::archive::ArchiveError;
use crate::cluster::ClusterError;
use crate::log::LogError;
use crate::schema::SchemaError;
use crate::source::SourceError;
use crate::store::StoreError;

/// How an engine stops, the same in every process of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Outcome {
    /// In order.
    #[default]
    Done,
    /// In order, but by the user: the sources had not ended.
    Interrupted,
    /// Because of its input.
    Input(String),
    /// Because of anything else.
    Failed(String),
}

impl Outcome {
    /// Whether everything that entered is sealed before the workers end.
    pub(crate) fn is_orderly(&self) -> bool {
        matches!(self, Outcome::Done | Outcome::Interrupted)
    }
}

/// Why an engine did not start, or stopped early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The source could not be read. Events that entered before are in the views.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The input, or its description, is not what the program expects.
    #[error("{message}")]
    Input {
        /// What is wrong.
        message: String,
    },
    /// An error of the data folder.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An error of a sealed day.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// An error of the log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// An error of the cluster.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// A run that did not finish left the folder.
    #[error(
        "{folder} was left by a run that did not finish and kept no log, and events of its open days are \
         lost: remove the folder and run again"
    )]
    Incomplete {
        /// The folder.
        folder: PathBuf,
    },
    /// The column names of a view do not match its types. Nothing has been read or written.
    #[error("view '{view}': {error}")]
    Schema {
        /// The view.
        view: String,
        /// What is wrong.
        #[source]
        error: SchemaError,
    },
    /// The definition of the engine is not valid. Nothing has been read or written.
    #[error("{0}")]
    Definition(String),
    /// A folder without a log has sealed days, and does not record how far the source was read for them. If it were
    /// read again, its events would count twice. Folders of version 0.1 do not record it.
    #[error(
        "{folder} has sealed days and no log, and does not say how far the source was read: \
         use another folder, or remove this one, and the source is read from its beginning"
    )]
    NoPosition {
        /// The folder.
        folder: PathBuf,
    },
    /// The log has rows that were read in another way than this engine reads: see
    /// [`Engine::refuse_former_source`](crate::Engine::refuse_former_source). Nothing has been read.
    #[error(
        "the data folder was written by a program that read {place}; this one reads its sources otherwise, and would \
         count the same rows again: use another folder, and they are read from their beginning"
    )]
    FormerSource {
        /// What was read, and how far.
        place: String,
    },
    /// The data folder is closed up to a time in the future: all events until then would be late. A run with a wrong
    /// system clock can cause this.
    #[error(
        "the data folder is closed up to {floor}, and the wall clock says {now}: all events before would be late; \
         correct the wall clock, use another folder, or accept it \
         with Engine::accept_floor_ahead (--accept-floor-ahead of replay)"
    )]
    FloorAhead {
        /// The time up to which days are closed, UTC.
        floor: String,
        /// The wall clock, UTC.
        now: String,
    },
    /// The program interrupted it, in this process or another one. [`Running`](super::Running) says what happens to
    /// open days.
    #[error("interrupted")]
    Interrupted,
    /// A worker of some process stopped.
    #[error("{message}")]
    Failed {
        /// What happened, as that worker reported it.
        message: String,
    },
}

impl From<Outcome> for EngineError {
    fn from(outcome: Outcome) -> EngineError {
        match outcome {
            Outcome::Done => unreachable!("an orderly end is no error"),
            Outcome::Interrupted => EngineError::Interrupted,
            Outcome::Input(message) => EngineError::Input { message },
            Outcome::Failed(message) => EngineError::Failed { message },
        }
    }
}

/// What other workers do when the reader fails.
pub(crate) fn outcome_of(error: &EngineError) -> Outcome {
    match error {
        EngineError::Interrupted => Outcome::Interrupted,
        EngineError::Source(_) | EngineError::Input { .. } => Outcome::Input(in_full(error)),
        error => Outcome::Failed(in_full(error)),
    }
}

/// An error with its causes, unless it names them itself: only text reaches other processes.
pub(crate) fn in_full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let because = error.to_string();
        if !text.contains(&because) {
            text = format!("{text}: {because}");
        }
        cause = error.source();
    }
    text
}
