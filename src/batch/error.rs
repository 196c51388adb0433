//! What can be wrong with a batch view.

use std::sync::Arc;

/// Errors in the bytes of a batch view. Reading changes nothing.
///
/// ```
/// use dayfold::batch::BatchError;
///
/// /// Whether a later version of the program could read the file.
/// fn is_newer(error: &BatchError) -> bool {
///     matches!(error, BatchError::Version { found, known, .. } if found > known)
/// }
/// let error = BatchError::Version { file: "d.batch".into(), found: 9, known: 2 };
/// assert!(is_newer(&error));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BatchError {
    /// Neither the first nor the last bytes are those of a batch view.
    #[error("{file} is not a batch view: it does not begin with 'DAYFOLDB'")]
    NotABatch {
        /// The file.
        file: Arc<str>,
    },
    /// Written by a program with another format.
    #[error(
        "{file} has format version {found}, and this program reads {known}: use the one that wrote it"
    )]
    Version {
        /// The file.
        file: Arc<str>,
        /// The version in the file.
        found: u32,
        /// The version that this program reads.
        known: u32,
    },
    /// The bytes differ from what was written, or do not have the expected key and aggregate types.
    #[error(
        "{file} is damaged at byte {offset}: {what}; restore it from a copy or rebuild the views from the log"
    )]
    Corrupt {
        /// The file.
        file: Arc<str>,
        /// What is wrong.
        what: &'static str,
        /// Where, from the beginning of the file.
        offset: u64,
    },
}

/// Damage, found where the name of the file is not known.
#[derive(Debug, Clone, Copy)]
pub(super) struct Damage {
    pub(super) what: &'static str,
    pub(super) offset: u64,
}

impl Damage {
    pub(super) fn new(what: &'static str, offset: usize) -> Damage {
        Damage { what, offset: offset as u64 }
    }

    pub(super) fn of(self, file: &Arc<str>) -> BatchError {
        BatchError::Corrupt { file: Arc::clone(file), what: self.what, offset: self.offset }
    }
}
