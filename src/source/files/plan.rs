//! What is to be read of a source of files.

use std::time::Duration;

use crate::source::options::CsvOptions;
use crate::source::partitions::PartitionOptions;
use crate::source::row::Row;

/// How often is looked for files that are new, and for finished ones that have grown.
pub(super) const LOOK: Duration = Duration::from_secs(1);

/// What a program says of its files.
pub(super) struct Plan<E> {
    pub(super) name: String,
    pub(super) pattern: String,
    pub(super) rows: CsvOptions,
    pub(super) parse: Box<Parse<E>>,
    pub(super) watches: bool,
    pub(super) changed: Changed,
    pub(super) options: PartitionOptions,
}

/// What to do with a file whose content is another one than the one that was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Changed {
    /// The engine stops, and says what it has found.
    #[default]
    Stop,
    /// The file is read from its beginning. What was read of it before still counts.
    ReadAnew,
}

/// Makes an event of a row.
pub(super) type Parse<E> = dyn Fn(&Row<'_>) -> Result<E, String> + Send + Sync;
