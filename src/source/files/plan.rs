//! The definition of what to read from a source of files.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::one::Watching;
use crate::source::options::CsvOptions;
use crate::source::partition_options::PartitionOptions;
use crate::source::row::Row;

/// How often to look for new files, and for finished ones that have grown.
pub(super) const LOOK: Duration = Duration::from_secs(1);

/// A program's options for its files.
pub(super) struct Plan<E> {
    pub(super) name: String,
    pub(super) pattern: String,
    /// The folder that names of partitions leave out.
    pub(super) within: Option<PathBuf>,
    pub(super) rows: CsvOptions,
    pub(super) parse: Box<Parse<E>>,
    pub(super) watches: bool,
    pub(super) changed: Changed,
    pub(super) options: PartitionOptions,
}

impl<E> Plan<E> {
    /// The name of a file's partition. Only files with names in UTF-8 are found.
    pub(super) fn name_of<'p>(&self, path: &'p Path) -> &'p str {
        let inner = self.within.as_ref().and_then(|folder| path.strip_prefix(folder).ok());
        inner.unwrap_or(path).to_str().unwrap_or_default()
    }

    /// Whether files are read on at their ends.
    pub(super) fn watching(&self) -> Watching {
        match (self.watches, self.changed) {
            (false, _) => Watching::No,
            (true, Changed::Stop) => Watching::Growth,
            (true, Changed::ReadAnew) => Watching::Rotation,
        }
    }
}

/// What to do with a file whose content differs from the content that was read.
///
/// ```
/// use dayfold::source::{Changed, CsvOptions, Files};
/// use dayfold::time::EventTime;
///
/// // A file that is written anew every night is read anew.
/// let files = Files::<EventTime>::new("nightly", "exports/*.csv", CsvOptions::new("at"), |row| Ok(row.time()));
/// let files = files.changed(Changed::ReadAnew).watch();
/// # let _ = files;
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Changed {
    /// The engine stops, and reports the error.
    #[default]
    Stop,
    /// The file is read from its beginning. Rows read from it before still count.
    ///
    /// With [`Files::watch`](super::Files::watch), this also handles log rotation: a renamed file is read to its end
    /// while it is open, and the new file with its name is read from its beginning, as soon as it has content.
    ReadAnew,
}

/// Makes an event of a row.
pub(super) type Parse<E> = dyn Fn(&Row<'_>) -> Result<E, String> + Send + Sync;
