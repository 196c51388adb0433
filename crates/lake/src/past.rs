//! The past of a view in a lake, from which a data folder that is lost is started again.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};

use arrow_array::Array;
use arrow_array::cast::AsArray;
use dayfold::time::Day;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::errors::ParquetError;

use crate::guard::guarded;
use crate::store::Location;
use crate::{Lake, LakeError, iceberg};

/// Rows whose states are read at once.
const BATCH_ROWS: usize = 1_024;
const STATE: &str = "_state";

/// All that was sealed of a view when its sources had been read up to some positions, in a snapshot of its table.
///
/// ```
/// use dayfold_lake::{Lake, LakeError, Past, PastFile, PastRows};
///
/// /// How many rows can be started from.
/// async fn rows(lake: &Lake, view: &str) -> Result<u64, LakeError> {
///     let Some(past): Option<Past> = lake.past(view).await? else { return Ok(0) };
///     println!("{view} is sealed through {}", past.through());
///     let mut rows = 0;
///     let files: &[PastFile] = past.files();
///     for file in files {
///         let mut states: PastRows = lake.past_rows(view, file.path()).await?;
///         while states.next_state()?.is_some() {
///             rows += 1;
///         }
///     }
///     Ok(rows)
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Past {
    about: BTreeMap<String, String>,
    through: Day,
    positions: BTreeMap<String, u64>,
    files: Vec<PastFile>,
}

/// The rows of one period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastFile {
    day: Day,
    path: String,
    rows: u64,
}

impl Past {
    /// The last sealed period.
    pub fn through(&self) -> Day {
        self.through
    }

    /// How far each partition of its sources had been read: those are all of its events of sealed periods among the
    /// records before.
    pub fn positions(&self) -> &BTreeMap<String, u64> {
        &self.positions
    }

    /// The ids of its keys and its aggregates, as a [`ViewRecord`](dayfold::store::ViewRecord) has them.
    pub fn ids(&self) -> (&str, &str) {
        let of = |name: &str| self.about.get(name).map_or("", String::as_str);
        (of("dayfold.key"), of("dayfold.aggregate"))
    }

    /// Its zone, and the name of its grain.
    pub fn calendar(&self) -> (&str, &str) {
        let of = |name: &str| self.about.get(name).map_or("", String::as_str);
        (of("dayfold.zone"), of("dayfold.grain"))
    }

    /// Its files, in the order of periods.
    pub fn files(&self) -> &[PastFile] {
        &self.files
    }
}

impl PastFile {
    /// The period.
    pub fn day(&self) -> Day {
        self.day
    }

    /// The name of the object, within the table.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// How many rows it has.
    pub fn rows(&self) -> u64 {
        self.rows
    }
}

impl Lake {
    /// What a view can be started from: the newest snapshot of its table with the [positions](Lake::positions) of its
    /// sources. `None` if there is none.
    ///
    /// # Errors
    /// [`LakeError`] if the table cannot be read.
    pub async fn past(&self, view: &str) -> Result<Option<Past>, LakeError> {
        let found = iceberg::past(&self.place().within(view)).await?;
        let file = |(day, path, rows)| PastFile { day, path, rows };
        Ok(found.map(|found| Past {
            about: found.cut.about,
            through: found.through,
            positions: found.cut.positions,
            files: found.files.into_iter().map(file).collect(),
        }))
    }

    /// The states of the rows of a file of a view's past. The file is copied to a temporary file first.
    ///
    /// # Errors
    /// [`LakeError`] if it cannot be read, or has no states.
    pub async fn past_rows(&self, view: &str, path: &str) -> Result<PastRows, LakeError> {
        let place = self.place().within(view);
        let mut file = tempfile::tempfile()?;
        if !place.copy(path, &mut file).await? {
            let what = "it is gone: a snapshot that named it has expired".to_owned();
            return Err(LakeError::Table { path: place.url_of(path), what });
        }
        file.flush()?;
        file.seek(SeekFrom::Start(0))?;
        PastRows::open(&place, path, file)
    }
}

/// The states of the rows of one period, in the order of keys.
pub struct PastRows {
    batches: ParquetRecordBatchReader,
    states: Option<arrow_array::BinaryArray>,
    next: usize,
    path: String,
}

impl std::fmt::Debug for PastRows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PastRows").field("path", &self.path).finish_non_exhaustive()
    }
}

impl PastRows {
    fn open(place: &Location, path: &str, file: File) -> Result<PastRows, LakeError> {
        let path = place.url_of(path);
        let wrong = |error: ParquetError| LakeError::Table {
            path: path.clone(),
            what: format!("it cannot be read as Parquet ({error}): it is damaged"),
        };
        let builder = guarded(|| ParquetRecordBatchReaderBuilder::try_new(file)).map_err(wrong)?;
        if builder.schema().field_with_name(STATE).is_err() {
            let what = format!("it has no column {STATE}: it was exported without states");
            return Err(LakeError::Table { path, what });
        }
        let mask = ProjectionMask::columns(builder.parquet_schema(), [STATE]);
        let build = || builder.with_projection(mask).with_batch_size(BATCH_ROWS).build();
        let batches = guarded(build).map_err(wrong)?;
        Ok(PastRows { batches, states: None, next: 0, path })
    }

    /// The state of the next row, for [`RowBuilder::set_state`](dayfold::dynamic::RowBuilder::set_state).
    ///
    /// # Errors
    /// [`LakeError::Table`] if the file is damaged.
    pub fn next_state(&mut self) -> Result<Option<&[u8]>, LakeError> {
        let wrong = |what: String| LakeError::Table { path: self.path.clone(), what };
        while self.states.as_ref().is_none_or(|states| self.next == states.len()) {
            let batch = guarded(|| self.batches.next().transpose());
            let batch = batch.map_err(|error| wrong(format!("it is damaged: {error}")))?;
            let Some(batch) = batch else { return Ok(None) };
            let states = batch.columns().first().and_then(|column| column.as_binary_opt::<i32>());
            let states = states.ok_or_else(|| wrong(format!("its column {STATE} has no bytes")))?;
            (self.states, self.next) = (Some(states.clone()), 0);
        }
        let (at, states) = (self.next, self.states.as_ref());
        self.next += 1;
        Ok(states.map(|states| states.value(at)))
    }
}
