//! Rows of sealed days, read without the program that wrote them, for people and tools.
//!
//! A data folder has the schemas of its views ([`ViewSchema`]) and the encodings of their keys and aggregates (their
//! ids). With these, the keys and aggregates of this crate, and structs of such keys, can be read. A key with an
//! unknown encoding is shown as its bytes; an unknown aggregate is not shown ([`SealedRows::has_measures`]).
//!
//! ```
//! use dayfold::aggregate::Count;
//! use dayfold::engine::{LiveOptions, Measures};
//! use dayfold::rows::{Format, RowOptions, SealedRows};
//! use dayfold::store::{self, Disk};
//! use dayfold::time::{Day, DayRange};
//! use dayfold::view::View;
//! use dayfold::{Cluster, Engine};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let temporary = tempfile::tempdir()?;
//! # let folder = temporary.path().join("data");
//! let mut engine = Engine::<(i64, String)>::new();
//! let view = View::new("visits")?.key_columns(["page"])?.measure_names([["visits"]])?;
//! engine.view(view, Measures::none(), |(time, page)| Some((*time, page.clone(), Count::one())));
//! let pusher = engine.live(LiveOptions::new(|event: &(i64, String)| event.0));
//! let running = engine.data(&folder).start(Cluster::workers(1))?;
//! let pushed = pusher.push(vec![(0, "/home".to_owned()), (1, "/home".to_owned())])?;
//! assert!(pushed.refused.is_empty());
//! drop(pusher);
//! running.finish()?;
//!
//! // Another program, which knows nothing of the view.
//! let report = store::inspect(&Disk, &folder)?;
//! let mut csv = Vec::new();
//! SealedRows::new(&Disk, &report.views[0], RowOptions::default()).write(Format::Csv, &mut csv)?;
//! assert_eq!(String::from_utf8(csv)?, "day,page,visits,sealed\n1970-01-01,/home,2,true\n");
//!
//! let later = RowOptions::default().days(DayRange::new("1970-01-02".parse()?, Day::MAX));
//! let mut none = Vec::new();
//! SealedRows::new(&Disk, &report.views[0], later).write(Format::Csv, &mut none)?;
//! assert_eq!(String::from_utf8(none)?, "day,page,visits,sealed\n");
//! # Ok(())
//! # }
//! ```

mod format;
#[cfg(test)]
mod tests;

use std::io::{self, Write};
use std::path::PathBuf;

use crate::batch::{BatchError, in_key_order};
use crate::codec::pack_row;
use crate::schema::{Column, Kind, Measure, Row, RowReader, Unread, Value, ViewSchema};
use crate::store::{Storage, StoreError, ViewReport};
use crate::time::{Day, DayRange};

pub use crate::schema::push_json;
pub use format::{Format, Writer};

/// Which rows and columns to read.
#[derive(Clone, Copy, Debug)]
pub struct RowOptions {
    days: DayRange,
    sketches: bool,
    states: bool,
}

impl Default for RowOptions {
    /// All days, without sketches and states.
    fn default() -> RowOptions {
        RowOptions { days: DayRange::ALL, sketches: false, states: false }
    }
}

impl RowOptions {
    /// The same, of these days.
    #[must_use]
    pub fn days(self, days: DayRange) -> RowOptions {
        RowOptions { days, ..self }
    }

    /// The same, with or without sketches: measures that are bytes, from which others are computed.
    #[must_use]
    pub fn sketches(self, sketches: bool) -> RowOptions {
        RowOptions { sketches, ..self }
    }

    /// The same, with or without a last column `_state`: the key and the aggregate of the row as they are in the
    /// folder, so that a dynamic view can take them in again
    /// ([`RowBuilder::set_state`](crate::dynamic::RowBuilder::set_state)).
    #[must_use]
    pub fn states(self, states: bool) -> RowOptions {
        RowOptions { states, ..self }
    }
}

/// The rows of a view's sealed days, by day, then in the order of keys. For each day and partition, they are the rows
/// of the newest revision that [`inspect`](crate::store::inspect) found.
pub struct SealedRows<'a> {
    storage: &'a dyn Storage,
    view: &'a ViewReport,
    days: DayRange,
    states: bool,
    reader: RowReader,
}

impl std::fmt::Debug for SealedRows<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SealedRows").field("days", &self.days).finish_non_exhaustive()
    }
}

impl<'a> SealedRows<'a> {
    /// Rows of a view of a folder. A folder of version 0.1 has no names of columns, and values of vectors are not
    /// shown, until its program has opened it again.
    pub fn new(
        storage: &'a dyn Storage,
        view: &'a ViewReport,
        options: RowOptions,
    ) -> SealedRows<'a> {
        let (key, aggregate) = view.record.ids();
        let unnamed = || {
            ViewSchema::unnamed(
                &view.record.name,
                &view.record.zone,
                view.record.grain,
                (&key, &aggregate),
            )
        };
        let schema = view.schema.clone().unwrap_or_else(unnamed);
        let reader = RowReader::new(schema, (&key, &aggregate), |measure| {
            options.sketches || measure.kind != Kind::Bytes
        });
        SealedRows { storage, view, days: options.days, states: options.states, reader }
    }

    /// The same rows without these columns of measures.
    ///
    /// ```
    /// use dayfold::rows::{RowOptions, SealedRows};
    /// use dayfold::store::{Disk, ViewReport};
    ///
    /// fn without_mean<'a>(view: &'a ViewReport) -> SealedRows<'a> {
    ///     SealedRows::new(&Disk, view, RowOptions::default()).without(["mean"])
    /// }
    /// ```
    #[must_use]
    pub fn without<'n>(mut self, names: impl IntoIterator<Item = &'n str>) -> SealedRows<'a> {
        self.reader.leave_out(&names.into_iter().collect::<Vec<_>>());
        self
    }

    /// Whether the type of the aggregates is known here. If not, rows have the columns of the key only.
    pub fn has_measures(&self) -> bool {
        self.reader.measures().is_some()
    }

    /// The columns of each row: the day, the columns of the key, the measures, and whether the row is sealed, which is
    /// always true; then the state, if it was asked for.
    pub fn columns(&self) -> Vec<Column> {
        let mut columns = vec![self.reader.period()];
        columns.extend_from_slice(self.reader.key_columns());
        let measures = self.reader.measures().into_iter().flatten();
        columns.extend(measures.map(Measure::column));
        columns.push(Column::new("sealed", Kind::Boolean));
        columns.extend(self.states.then(|| Column::new("_state", Kind::Bytes)));
        columns
    }

    /// Visits each row. One day's files are open at a time.
    ///
    /// # Errors
    /// [`RowsError`] for the first file that is damaged or missing, or the first row that does not match the folder's
    /// description; the rows before it were visited. [`RowsError::Write`] with the error of `visit`.
    pub fn each(&self, visit: &mut dyn FnMut(&[Value]) -> io::Result<()>) -> Result<(), RowsError> {
        let live = |batch: &&crate::store::LiveBatch| {
            self.days.contains(batch.day) && !batch.coverage.is_empty()
        };
        let live: Vec<_> = self.view.revisions.iter().filter(live).collect();
        let mut row = Row::default();
        for files in live.chunk_by(|a, b| a.day == b.day) {
            let day = files[0].day;
            let open = |batch: &&crate::store::LiveBatch| {
                let raw = crate::store::open_once(self.storage, batch)?;
                Ok((raw, batch.coverage))
            };
            let opened = files.iter().map(open).collect::<Result<Vec<_>, StoreError>>()?;
            in_key_order(&opened, |file, key, state| {
                row.clear();
                row.push(Value::period(day));
                self.reader.read(key, state, &mut row).map_err(|what| {
                    let what = match what {
                        Unread::Key => "key",
                        Unread::State => "aggregate",
                    };
                    let file = PathBuf::from(file.name());
                    RowsError::Row { file, day, what, key: Value::Bytes(key.to_vec()).to_string() }
                })?;
                row.push(Value::Boolean(true));
                if self.states {
                    row.push(Value::Bytes(pack_row(key, state)));
                }
                visit(row.values()).map_err(RowsError::Write)
            })?;
        }
        Ok(())
    }

    /// Writes all rows.
    ///
    /// # Errors
    /// As [`SealedRows::each`].
    pub fn write(&self, format: Format, out: &mut dyn Write) -> Result<(), RowsError> {
        let mut writer = Writer::new(format, &self.columns(), out);
        writer.begin().map_err(RowsError::Write)?;
        let read = self.each(&mut |row| writer.row(row));
        // Rows before an unreadable one are shown all the same.
        writer.end().map_err(RowsError::Write)?;
        read
    }
}

/// Why rows cannot be shown.
///
/// ```
/// use dayfold::rows::RowsError;
///
/// /// Whether whoever reads the rows has gone away, as `head` does.
/// fn is_cut_off(error: &RowsError) -> bool {
///     matches!(error, RowsError::Write(io) if io.kind() == std::io::ErrorKind::BrokenPipe)
/// }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RowsError {
    /// A file is damaged or missing.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file is damaged.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// A row does not match the view's types in the folder.
    #[error(
        "{}: the {what} of a row of {day} is not what the folder says of the view's types; its key is '{key}'. Is \
         the file of this folder, and was this program made for folders like it?",
        file.display()
    )]
    Row {
        /// The file.
        file: PathBuf,
        /// The day.
        day: Day,
        /// Key or aggregate.
        what: &'static str,
        /// The encoded key.
        key: String,
    },
    /// The rows cannot be written.
    #[error("cannot write rows: {0}")]
    Write(#[source] io::Error),
}
