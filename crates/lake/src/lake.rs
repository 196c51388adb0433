//! Updates the tables of a lake to the sealed days of a data folder.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;

use dayfold::time::Day;
use dayfold::view::Closing;
use futures_util::TryStreamExt;
use object_store::ObjectStore;

use crate::columns::TableColumn;
use crate::commit::Commit;
use crate::cut::Cut;
use crate::folder::{Looked, Sealed, View};
use crate::hive::Hive;
use crate::iceberg::Iceberg;
use crate::store::Location;
use crate::table::Table;
use crate::{LakeError, audit, days};

/// The most days of one commit, unless the options say otherwise. Each commit has its own cost, and after a kill
/// uncommitted days are sent again.
const COMMIT_DAYS: usize = 512;
/// And about this many bytes.
const COMMIT_BYTES: u64 = 256 << 20;

/// The layout of a view's table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Layout {
    /// An Iceberg table, version 2. Readers have all days as of one moment.
    #[default]
    Iceberg,
    /// A folder for each day with one file in it, for readers that know no tables.
    Hive,
}

/// The destination of exports, and their options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LakeOptions {
    pub(crate) layout: Layout,
    pub(crate) sketches: bool,
    pub(crate) states: bool,
    pub(crate) snapshots: usize,
    days_per_commit: usize,
    /// Columns that are left out, by view.
    pub(crate) without: BTreeMap<String, BTreeSet<String>>,
}

impl Default for LakeOptions {
    fn default() -> LakeOptions {
        LakeOptions {
            layout: Layout::default(),
            sketches: true,
            states: false,
            snapshots: 100,
            days_per_commit: COMMIT_DAYS,
            without: BTreeMap::new(),
        }
    }
}

impl LakeOptions {
    /// The same, with this layout of tables. The default is Iceberg.
    #[must_use]
    pub fn layout(self, layout: Layout) -> LakeOptions {
        LakeOptions { layout, ..self }
    }

    /// The same, with or without sketches beside their numbers; engines can merge sketches. The default is with
    /// sketches.
    #[must_use]
    pub fn sketches(self, sketches: bool) -> LakeOptions {
        LakeOptions { sketches, ..self }
    }

    /// The same, without these measures of a view: sketches, for instance, that nobody merges there.
    ///
    /// ```
    /// use dayfold_lake::LakeOptions;
    ///
    /// let options = LakeOptions::default().without("visits", ["users_sketch"]);
    /// # let _ = options;
    /// ```
    #[must_use]
    pub fn without(
        mut self,
        view: &str,
        measures: impl IntoIterator<Item = impl Into<String>>,
    ) -> LakeOptions {
        let of_view = self.without.entry(view.to_owned()).or_default();
        of_view.extend(measures.into_iter().map(Into::into));
        self
    }

    /// The same, with or without the exact state of each row in a column `_state`, from which a data folder that is
    /// lost can be started again: see [`Lake::past`]. The default is without states.
    #[must_use]
    pub fn states(self, states: bool) -> LakeOptions {
        LakeOptions { states, ..self }
    }

    /// The same, which keeps this many snapshots of an Iceberg table. The default is 100.
    #[must_use]
    pub fn snapshots(self, snapshots: usize) -> LakeOptions {
        LakeOptions { snapshots, ..self }
    }

    /// The same, with at most this many days in one commit, which is one snapshot of an Iceberg table. A commit has at
    /// most about 256 MiB in any case. The default is 512 days.
    ///
    /// ```
    /// use dayfold_lake::LakeOptions;
    ///
    /// // Readers see the first days of a long export earlier.
    /// let options = LakeOptions::default().days_per_commit(31);
    /// # let _ = options;
    /// ```
    #[must_use]
    pub fn days_per_commit(self, days: usize) -> LakeOptions {
        LakeOptions { days_per_commit: days.max(1), ..self }
    }
}

/// Tables of views below a URL. Only one program at a time may write a table; readers do not interfere.
pub struct Lake {
    place: Location,
    options: LakeOptions,
    positions: Option<Box<PositionsOf>>,
    late_events: Option<Box<LateEventsOf>>,
}

/// How far sources had been read when a closing of a view was complete.
type PositionsOf = dyn Fn(&str, Closing) -> Option<BTreeMap<String, u64>> + Send + Sync;
/// How many late events a view has had.
type LateEventsOf = dyn Fn(&str) -> Option<u64> + Send + Sync;

impl fmt::Debug for Lake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lake").field("options", &self.options).finish_non_exhaustive()
    }
}

/// The result of an export.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Export {
    /// Days that were written, amended ones included.
    pub written: u64,
    /// Days that were removed, because the view no longer has them.
    pub removed: u64,
    /// Days that were already in the lake in their present version.
    pub unchanged: u64,
    /// Days that a process is committing now; they are left for the next export.
    pub unsettled: u64,
    /// Rows of the days that were written.
    pub rows: u64,
    /// Bytes of their files.
    pub bytes: u64,
}

/// The result of an audit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Audit {
    /// Days that were compared, row by row.
    pub compared: u64,
    /// Days whose files are missing, damaged or different, with the error.
    pub wrong: Vec<(Day, String)>,
}

impl Lake {
    /// Opens the lake below a URL: `file:///folder`, or `s3://bucket/path`, `gs://…`, `az://…` and `hdfs://…` with the
    /// features of these stores. Credentials come from the environment variables of each store's tools, such as
    /// `AWS_ACCESS_KEY_ID`.
    ///
    /// # Errors
    /// [`LakeError::Url`] if the URL cannot be used. It does not check whether the store can be reached.
    pub fn open(url: &str, options: LakeOptions) -> Result<Lake, LakeError> {
        Ok(Lake { place: Location::open(url)?, options, positions: None, late_events: None })
    }

    /// Exports the sealed days of a view that are missing in the lake, or that were amended since. Existing files are
    /// not written again, so an export that was killed continues where it stopped.
    ///
    /// Another program may be writing the folder meanwhile. Small days are written on all processors and sent side by
    /// side. Memory: one row group of 65,536 rows, and 8 MiB of each file that is sent. It must be called within a
    /// runtime of tokio.
    ///
    /// # Errors
    /// [`LakeError`]; earlier commits are in the lake.
    pub async fn export(&self, folder: &Path, view: &str) -> Result<Export, LakeError> {
        let looked = Looked::at(folder)?;
        let view = self.view_of(&looked, view)?;
        let mut table = self.table(&view).await?;
        self.bring_in_step(&view, &mut table).await
    }

    /// Compares the lake with the folder, row by row, and returns the differences. Days that the lake does not have yet
    /// are not differences. With `mend`, wrong days are written again.
    ///
    /// # Errors
    /// [`LakeError`] if the folder or the table cannot be read.
    pub async fn audit(&self, folder: &Path, view: &str, mend: bool) -> Result<Audit, LakeError> {
        let looked = Looked::at(folder)?;
        let view = self.view_of(&looked, view)?;
        let mut table = self.table(&view).await?;
        let place = self.place_of(&view);
        let mut audit = Audit::default();
        let mut wrong = BTreeMap::new();
        for (day, sealed) in view.days() {
            let Some(exported) = table.days().get(&day).filter(|e| e.version == sealed.version)
            else {
                continue;
            };
            audit.compared += 1;
            if let Some(what) = audit::compare(&place, &view, &table, day, exported).await? {
                audit.wrong.push((day, what));
                wrong.insert(day, sealed);
            }
        }
        if mend && !wrong.is_empty() {
            let mut done = Export::default();
            self.write(&view, &mut table, wrong, &mut done).await?;
        }
        Ok(audit)
    }

    /// Opens a lake in your own store. `url` is its name for readers.
    pub fn with_store(store: Arc<dyn ObjectStore>, url: &str, options: LakeOptions) -> Lake {
        Lake { place: Location::of(store, url), options, positions: None, late_events: None }
    }

    /// The same, which records with its exports how far sources had been read when the last exported period of a view
    /// closed, as far as `positions` knows it: [`Observer::positions`](dayfold::engine::Observer::positions). A table
    /// of Iceberg with [states](LakeOptions::states) has a [past](Lake::past) then.
    #[must_use]
    pub fn positions(
        self,
        positions: impl Fn(&str, Closing) -> Option<BTreeMap<String, u64>> + Send + Sync + 'static,
    ) -> Lake {
        Lake { positions: Some(Box::new(positions)), ..self }
    }

    /// The same, whose snapshots say how many late events a view has had, as far as `late_events` knows it: a data
    /// folder does not keep their number, but [`Observer::progress`](dayfold::engine::Observer::progress) has it.
    ///
    /// ```
    /// use dayfold_lake::{Lake, LakeError, LakeOptions};
    ///
    /// # fn main() -> Result<(), LakeError> {
    /// let lake = Lake::open("memory:///lake", LakeOptions::default())?;
    /// let lake = lake.late_events(|view| (view == "by-carrier").then_some(17));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn late_events(
        self,
        late_events: impl Fn(&str) -> Option<u64> + Send + Sync + 'static,
    ) -> Lake {
        Lake { late_events: Some(Box::new(late_events)), ..self }
    }

    /// The state of the sealed days now, for the description of a table or snapshot.
    fn certificate(&self, view: &View) -> BTreeMap<String, String> {
        let mut certificate = view.certificate();
        let late = self.late_events.as_ref().and_then(|late| late(view.name()));
        if let Some(late) = late {
            certificate.insert("dayfold.late-events".to_owned(), late.to_string());
        }
        certificate
    }

    pub(crate) fn view_of(&self, looked: &Looked, view: &str) -> Result<Arc<View>, LakeError> {
        let without = self.options.without.get(view).cloned().unwrap_or_default();
        let view = looked.view(view, (self.options.sketches, self.options.states), without)?;
        Ok(Arc::new(view))
    }

    fn place_of(&self, view: &View) -> Location {
        self.place.within(view.name())
    }

    /// What the view can be started from when all of it that is sealed is exported.
    fn cut(&self, view: &View) -> Option<Cut> {
        let positions = self.positions.as_ref().filter(|_| self.options.states)?;
        let positions = positions(view.name(), view.last_closing()?)?;
        Some(Cut::new(view.about(), view.through()?, positions))
    }

    /// The location of its tables.
    pub(crate) fn place(&self) -> &Location {
        &self.place
    }

    pub(crate) async fn table(&self, view: &View) -> Result<Table, LakeError> {
        let place = self.place_of(view);
        let columns = TableColumn::numbered(&view.columns());
        Ok(match self.options.layout {
            Layout::Hive => Table::Hive(Hive::open(place, columns, view.about()).await?),
            Layout::Iceberg => Table::Iceberg(Box::new(
                Iceberg::open(place, columns, view.about(), self.options.snapshots).await?,
            )),
        })
    }

    /// Updates a table from its view.
    pub(crate) async fn bring_in_step(
        &self,
        view: &Arc<View>,
        table: &mut Table,
    ) -> Result<Export, LakeError> {
        let mut done = Export::default();
        let cut = self.cut(view);
        let days = view.days();
        let mut changed = BTreeMap::new();
        for (day, sealed) in &days {
            if table.days().get(day).is_some_and(|exported| exported.version == sealed.version) {
                done.unchanged += 1;
            } else if view.is_settled(*day)? {
                changed.insert(*day, sealed.clone());
            } else {
                done.unsettled += 1;
            }
        }
        // Periods that the view has sealed, but that have no rows any more. A recomputed view is behind for a while.
        let is_gone = |day: &&Day| !days.contains_key(day) && view.through() >= Some(**day);
        let gone: Vec<Day> = table.days().keys().filter(is_gone).copied().collect();
        if !gone.is_empty() {
            done.removed = gone.len() as u64;
            let commit =
                Commit { removed: gone, certificate: self.certificate(view), ..Commit::default() };
            table.commit(&commit).await?;
        }
        self.write(view, table, changed, &mut done).await?;
        // Only now the table is what the folder was when the sources had been read so far. It has more while a folder
        // that was started from it takes its periods over.
        let has_more = table.days().keys().any(|day| Some(*day) > view.through());
        if let Some(cut) = cut.filter(|_| done.unsettled == 0 && !has_more)
            && table.is_behind(&cut)
        {
            let certificate = self.certificate(view);
            table.commit(&Commit { certificate, cut: Some(cut), ..Commit::default() }).await?;
        }
        Ok(done)
    }

    /// Writes days, in as few commits as their number and size allow.
    async fn write(
        &self,
        view: &Arc<View>,
        table: &mut Table,
        days: BTreeMap<Day, Sealed>,
        done: &mut Export,
    ) -> Result<(), LakeError> {
        if days.is_empty() {
            return Ok(());
        }
        let place = self.place_of(view);
        let mut files = pin!(days::written(view, table, &place, days)?);
        let mut commit = Commit { certificate: self.certificate(view), ..Commit::default() };
        let mut bytes = 0;
        while let Some(file) = files.try_next().await? {
            (done.written, done.rows, done.bytes) =
                (done.written + 1, done.rows + file.rows, done.bytes + file.bytes);
            bytes += file.bytes;
            commit.added.push(file);
            if commit.added.len() >= self.options.days_per_commit || bytes > COMMIT_BYTES {
                table.commit(&commit).await?;
                (bytes, commit.added) = (0, Vec::new());
            }
        }
        if !commit.added.is_empty() {
            table.commit(&commit).await?;
        }
        // The commits themselves.
        place.settle().await
    }
}
