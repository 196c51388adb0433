//! Why the program ends, and with which exit code.

use std::io;

use dayfold::cluster::ClusterError;
use dayfold::engine::EngineError;
use dayfold::store::StoreError;

use crate::config::FileError;

/// Why the program ends before its work is done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProgramError {
    /// The file is wrong.
    #[error(transparent)]
    File(#[from] FileError),
    /// Arguments or input are wrong.
    #[error("{0}")]
    Input(String),
    /// More rows were refused than the limit allows.
    #[error(
        "{refused} of {rows} rows were refused, more than max_refused allows{}",
        listed(reasons)
    )]
    TooManyRefused {
        /// The number of refused rows.
        refused: u64,
        /// The number of all rows.
        rows: u64,
        /// The most common reasons.
        reasons: Vec<String>,
    },
    /// The engine has stopped.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Something cannot be read or written.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Anything else.
    #[error("{0}")]
    Failed(String),
}

fn listed(reasons: &[String]) -> String {
    reasons.iter().map(|reason| format!("\n  {reason}")).collect()
}

impl ProgramError {
    /// 1 if it failed while running, 2 for wrong arguments, files or input, 3 for too many refused rows, 130 if it was
    /// interrupted before it had begun.
    pub fn exit_code(&self) -> u8 {
        match self {
            ProgramError::File(_) | ProgramError::Input(_) => 2,
            ProgramError::TooManyRefused { .. } => 3,
            ProgramError::Engine(EngineError::Interrupted) => 130,
            ProgramError::Engine(
                EngineError::Input { .. }
                | EngineError::Source(_)
                | EngineError::Definition(_)
                | EngineError::FormerSource { .. }
                | EngineError::Incomplete { .. }
                | EngineError::Store(
                    StoreError::ViewMismatch { .. }
                    | StoreError::ViewMissing { .. }
                    | StoreError::ViewAdded { .. },
                )
                | EngineError::Cluster(
                    ClusterError::Index { .. }
                    | ClusterError::HostFile { .. }
                    | ClusterError::Secret { .. }
                    | ClusterError::SecretFile { .. }
                    | ClusterError::Mismatch { .. },
                ),
            ) => 2,
            ProgramError::Engine(_) | ProgramError::Io(_) | ProgramError::Failed(_) => 1,
        }
    }

    /// The message with its causes.
    pub fn in_full(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            let said = error.to_string();
            if !text.contains(&said) {
                text = format!("{text}: {said}");
            }
            cause = error.source();
        }
        text
    }
}
