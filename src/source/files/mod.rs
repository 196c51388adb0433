//! Files of rows as partitions of one source: one file, the files of a folder, or all files that a pattern matches.

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
use super::partitions::{Partitioned, Partitions};
use super::row::Row;
use super::share::Share;
pub use find::files_of;
pub use plan::Changed;
use plan::Plan;
use reading::Reading;

/// Files of CSV or JSON lines; each file is a partition. They are one file, the files of a folder, or the files that a
/// pattern matches (`logs/*.jsonl.gz`).
///
/// ```no_run
/// # use dayfold::source::{CsvOptions, Files, RowFormat};
/// # use dayfold::{Engine, time::EventTime};
/// let options = CsvOptions::new("at").format(RowFormat::JsonLines);
/// let logs = Files::new("logs", "logs/*.jsonl.gz", options, |row| Ok(row.time())).watch();
/// let engine = Engine::<EventTime>::new().partitioned(logs);
/// ```
///
/// **Which files.** `*` and `?` match characters of a name, `[ab]` one of several characters, `**` any folders. A
/// folder means all files in it, at any depth. Names that begin with a dot are skipped, unless the pattern has the dot.
/// The name of a partition is its path as the pattern finds it (see [`Files::within`]): a renamed file is another file,
/// and is read from its beginning. Without [`Files::watch`], the source ends when the files that were there at the
/// start are read.
///
/// **Who reads what.** A hash of its path assigns a file to one worker of one process; all processes must see the same
/// files under the same paths. A worker reads its files side by side, in the order of their clocks: it continues with
/// the file whose next row is the earliest, so that many old files do not keep all their days open. Files with
/// overlapping times are open at once, at most 64 for each worker; beyond that, files are closed and opened again,
/// which reads them from their beginning each time.
///
/// **Positions.** The log records how far each file was read, in bytes of its decompressed content, and a digest of
/// these bytes. A file that has grown is read on. A finished file whose size and modification time are unchanged is not
/// opened again. A file whose content before that position has changed stops the engine, unless [`Files::changed`] says
/// otherwise. A removed file keeps its position in the log.
///
/// **Lines without an end.** With [`Files::watch`], the last line of a plain file waits for its end. Otherwise it is
/// read as it is. A truncated compressed file stops the engine; with `watch`, it waits until it changes, and
/// [`SourceNumbers::trouble`](crate::engine::SourceNumbers::trouble) reports it.
pub struct Files<E> {
    plan: Arc<Plan<E>>,
}

impl<E: Send + Sync + 'static> Files<E> {
    /// The files that `pattern` matches. `name` names the source in the log and in messages. `parse` makes an event of
    /// a row; its error is the reason why the row is refused.
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

    /// Keeps looking for new files, and for new rows in known ones: the source has no end.
    #[must_use]
    pub fn watch(self) -> Self {
        self.with(|plan| plan.watches = true)
    }

    /// Leaves this folder out of the names of partitions, so that files stay the same when they are moved together with
    /// the folder or found from elsewhere. The pattern must begin with it.
    #[must_use]
    pub fn within(self, folder: impl Into<PathBuf>) -> Self {
        self.with(|plan| plan.within = Some(folder.into()))
    }

    /// What to do with a file whose content before its position has changed.
    #[must_use]
    pub fn changed(self, changed: Changed) -> Self {
        self.with(|plan| plan.changed = changed)
    }

    /// When a file is quiet, and how far it may be ahead of others. Limits on the age of events are in the options of
    /// rows.
    #[must_use]
    pub fn options(self, options: PartitionOptions) -> Self {
        self.with(|plan| plan.options = options)
    }

    /// Compares the content of files before their positions in the log with what was read, as a run does before it reads
    /// on. Files whose size and modification time are unchanged since they were read to their end are not opened.
    ///
    /// # Errors
    /// The error that a run would report, of the first file by name.
    pub fn check(&self, share: &Share) -> io::Result<()> {
        reading::check(&self.plan, share)
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
