//! Files of rows as partitions of one source: a file, the files of a folder, or all that a pattern matches.

mod find;
mod one;
mod plan;
mod reading;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::options::CsvOptions;
use super::partition_options::PartitionOptions;
use super::partitions::{Partitioned, Partitions, Share};
use super::row::Row;
pub use find::files_of;
pub use plan::Changed;
use plan::Plan;
use reading::Reading;

/// Files of CSV or JSON lines, each of which is a partition: one file, the files of a folder, or what a pattern matches
/// (`logs/*.jsonl.gz`).
///
/// ```no_run
/// # use dayfold::source::{CsvOptions, Files, RowFormat};
/// # use dayfold::{Engine, time::EventTime};
/// let options = CsvOptions::new("at").format(RowFormat::JsonLines);
/// let logs = Files::new("logs", "logs/*.jsonl.gz", options, |row| Ok(row.time())).watch();
/// let engine = Engine::<EventTime>::new().partitioned(logs);
/// ```
///
/// **Which files.** `*` and `?` stand for characters of a name, `[ab]` for one of several, `**` for any folders. A folder stands for
/// all files in it, at any depth. What begins with a dot is passed over, unless the pattern says the dot. The name of a partition
/// is its path, as the pattern finds it (see [`Files::within`]): a file under another name is another file, and is read from its beginning. Without
/// [`Files::watch`], the source ends when the files that were there at the start are read.
///
/// **Who reads what.** A file belongs to one worker of one process, which a hash of its path decides; all processes have to see
/// the same files under the same paths. A worker reads its files side by side, in the order of their clocks: it goes on with the one
/// whose next row is the earliest. So many old files do not keep all their days open. Many files of the same time are held open at
/// once, at most 64 for each worker; more are closed and opened again, which reads them from their beginning each time.
///
/// **Positions.** The log has how far each file was read, in bytes of its decompressed content, and a digest of them. A file that has
/// grown is read on. One that has the size and the time of modification with which it was finished is not opened again.
/// One whose content before that position is another stops the engine, unless [`Files::changed`] says otherwise. A file that is
/// gone keeps its position in the log.
///
/// **Lines without an end.** With [`Files::watch`], the last line of a plain file waits for its end. Otherwise it is read as it is.
/// Compressed files that are cut off stop the engine; with `watch`, they wait until they change, which
/// [`SourceNumbers::trouble`](crate::engine::SourceNumbers::trouble) says.
pub struct Files<E> {
    plan: Arc<Plan<E>>,
}

impl<E: Send + Sync + 'static> Files<E> {
    /// The files that `pattern` matches. `name` is that of the source in the log and in messages. `parse` makes an event of a row; its
    /// error is the reason for which the row is refused.
    pub fn new(
        name: impl Into<String>,
        pattern: impl Into<String>,
        options: CsvOptions,
        parse: impl Fn(&Row<'_>) -> Result<E, String> + Send + Sync + 'static,
    ) -> Files<E> {
        Files {
            plan: Arc::new(Plan {
                name: name.into(),
                pattern: pattern.into(),
                within: None,
                rows: options,
                parse: Box::new(parse),
                watches: false,
                changed: Changed::default(),
                options: PartitionOptions::default(),
            }),
        }
    }

    fn with(mut self, set: impl FnOnce(&mut Plan<E>)) -> Self {
        set(Arc::get_mut(&mut self.plan).expect("the plan is shared once it is read"));
        self
    }

    /// Goes on looking for new files, and for new rows in those there are: the source has no end.
    #[must_use]
    pub fn watch(self) -> Self {
        self.with(|plan| plan.watches = true)
    }

    /// Leaves this folder out of the names of partitions: files may be moved together with it, or found from elsewhere, and are the
    /// same ones. The pattern has to begin with it.
    #[must_use]
    pub fn within(self, folder: impl Into<PathBuf>) -> Self {
        self.with(|plan| plan.within = Some(folder.into()))
    }

    /// What to do with a file whose content has changed below its position.
    #[must_use]
    pub fn changed(self, changed: Changed) -> Self {
        self.with(|plan| plan.changed = changed)
    }

    /// When a file is quiet, and how far one may be ahead of others. Which events are too old or too far ahead, the options of rows
    /// say.
    #[must_use]
    pub fn options(self, options: PartitionOptions) -> Self {
        self.with(|plan| plan.options = options)
    }
}

impl<E> fmt::Debug for Files<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Plan { name, pattern, .. } = &*self.plan;
        f.debug_struct("Files")
            .field("name", name)
            .field("pattern", pattern)
            .finish_non_exhaustive()
    }
}

impl<E: Send + Sync + 'static> Partitioned<E> for Files<E> {
    fn name(&self) -> &str {
        &self.plan.name
    }

    fn open(&self, share: &Share) -> io::Result<Box<dyn Partitions<E>>> {
        Ok(Box::new(Reading::new(&self.plan, share)))
    }

    fn options(&self) -> PartitionOptions {
        self.plan.options
    }
}
