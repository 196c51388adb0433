//! Rows of a Parquet file as objects of JSON: what a program reads that takes text.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_json::WriterBuilder;
use arrow_json::writer::LineDelimited;
use arrow_schema::{ArrowError, DataType, Fields, Schema, SchemaRef};
use dayfold::schema::Kind;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
    ParquetRecordBatchReaderBuilder,
};
use parquet::errors::ParquetError;

use crate::guard::guarded;

/// Rows that are made text at once.
const BATCH_ROWS: usize = 1_024;

/// The rows of a Parquet file, from the first one or from a later one on, each as an object of JSON with the names of
/// its columns.
///
/// Integers, decimals and floating-point numbers are written as they are, digit by digit; a number that is none (NaN,
/// infinite) is null. Dates and times are written as in RFC 3339, times without a zone without an offset. Bytes are
/// written as hexadecimal digits. Memory: that of 1,024 rows, and of a page of each column.
///
/// ```
/// use std::path::Path;
///
/// use dayfold_lake::{ParquetRows, RowsFileError};
///
/// /// Prints what comes behind so many rows.
/// fn print(path: &Path, read_before: u64) -> Result<(), RowsFileError> {
///     let mut rows = ParquetRows::open(path, read_before)?;
///     println!("{} rows of {:?}", rows.rows(), rows.columns());
///     while let Some(row) = rows.next_row()? {
///         println!("{}", String::from_utf8_lossy(row));
///     }
///     Ok(())
/// }
/// assert!(print(Path::new("there-is-none.parquet"), 0).is_err());
/// ```
pub struct ParquetRows {
    path: PathBuf,
    schema: SchemaRef,
    rows: u64,
    batches: ParquetRecordBatchReader,
    /// Lines of the rows that were read, and where the next one begins.
    text: Vec<u8>,
    next: usize,
    /// Rows before the end of `text`.
    read: u64,
}

impl std::fmt::Debug for ParquetRows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ParquetRows").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Why a Parquet file cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{}: {what}", path.display())]
#[non_exhaustive]
pub struct RowsFileError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub what: String,
}

impl ParquetRows {
    /// Opens a file behind so many of its rows.
    ///
    /// # Errors
    /// [`RowsFileError`] if there is no such file, it is no whole file of Parquet, two of its columns have one name, or
    /// a column is of a type that has no text (an interval).
    pub fn open(path: &Path, skip: u64) -> Result<ParquetRows, RowsFileError> {
        let wrong = |what: String| RowsFileError { path: path.to_owned(), what };
        let damaged = |error: ParquetError| {
            wrong(format!(
                "it cannot be read as Parquet ({error}): it is damaged or not complete; put a whole file in its place, or take \
                 it out of the path of the source"
            ))
        };
        let file = File::open(path).map_err(|error| wrong(error.to_string()))?;
        let found = guarded(|| ArrowReaderMetadata::load(&file, ArrowReaderOptions::new()));
        let schema = in_utc(found.map_err(damaged)?.schema());
        let options = ArrowReaderOptions::new().with_schema(schema);
        let open = || ParquetRecordBatchReaderBuilder::try_new_with_options(file, options);
        let builder = guarded(open).map_err(damaged)?;
        let schema = builder.schema().clone();
        let fields = schema.fields();
        if let Some(field) = fields.iter().find(|field| !has_text(field.data_type())) {
            return Err(wrong(format!(
                "values of its column '{}' are {}, which cannot be read: write the file without the column, or with numbers or \
                 texts in it",
                field.name(),
                field.data_type()
            )));
        }
        let twice = fields
            .iter()
            .enumerate()
            .find(|(at, field)| fields[..*at].iter().any(|before| before.name() == field.name()));
        if let Some((_, field)) = twice {
            return Err(wrong(format!("it has the column '{}' twice", field.name())));
        }
        let rows = u64::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0);
        let skip = usize::try_from(skip).unwrap_or(usize::MAX);
        let build = || builder.with_batch_size(BATCH_ROWS).with_offset(skip).build();
        let batches = guarded(build).map_err(damaged)?;
        let (text, next, read) = (Vec::new(), 0, skip as u64);
        Ok(ParquetRows { path: path.to_owned(), schema, rows, batches, text, next, read })
    }

    /// How many rows the file has, those included that were skipped.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The columns, and what their values are; `None` for lists, objects and what else has no kind of its own.
    pub fn columns(&self) -> Vec<(String, Option<Kind>)> {
        let fields = self.schema.fields().iter();
        fields.map(|field| (field.name().clone(), kind_of(field.data_type()))).collect()
    }

    /// The next row, without an end of line.
    ///
    /// # Errors
    /// [`RowsFileError`] if the file is damaged.
    pub fn next_row(&mut self) -> Result<Option<&[u8]>, RowsFileError> {
        if self.next == self.text.len() {
            let batch = guarded(|| self.batches.next().transpose());
            let read = match batch.transpose() {
                None if self.read < self.rows => Err(ArrowError::ParquetError(format!(
                    "its footer says that it has {} rows",
                    self.rows
                ))),
                None => return Ok(None),
                Some(batch) => batch.and_then(|batch| {
                    self.read += batch.num_rows() as u64;
                    self.text.clear();
                    let explicit = WriterBuilder::new().with_explicit_nulls(true);
                    let mut writer = explicit.build::<_, LineDelimited>(&mut self.text);
                    writer.write(&batch)?;
                    writer.finish()
                }),
            };
            read.map_err(|error| RowsFileError {
                path: self.path.clone(),
                what: format!(
                    "it cannot be read behind row {} ({error}): it is damaged; put a whole copy of it in its place",
                    self.read
                ),
            })?;
            self.next = 0;
        }
        // Ends of lines within texts are escaped.
        let rest = &self.text[self.next..];
        let length = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
        self.next = (self.next + length + 1).min(self.text.len());
        Ok(Some(&rest[..length]))
    }
}

/// The same columns, with times in UTC: a time is the same in every zone, and names of zones need a database.
fn in_utc(schema: &Schema) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| match field.data_type() {
        DataType::Timestamp(unit, Some(_)) => {
            let utc = DataType::Timestamp(*unit, Some("+00:00".into()));
            Arc::new(field.as_ref().clone().with_data_type(utc))
        }
        _ => Arc::clone(field),
    });
    Arc::new(Schema::new_with_metadata(fields.collect::<Fields>(), schema.metadata().clone()))
}

/// Whether values of a type can be written as JSON.
fn has_text(kind: &DataType) -> bool {
    match kind {
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            has_text(item.data_type())
        }
        DataType::Struct(fields) => fields.iter().all(|field| has_text(field.data_type())),
        DataType::Map(entries, _) => has_text(entries.data_type()),
        DataType::Null | DataType::Time32(_) | DataType::Time64(_) | DataType::Duration(_) => true,
        kind => kind_of(kind).is_some(),
    }
}

fn kind_of(kind: &DataType) -> Option<Kind> {
    Some(match kind {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Kind::Text,
        DataType::Dictionary(_, values) => return kind_of(values),
        DataType::Boolean => Kind::Boolean,
        DataType::Date32 | DataType::Date64 => Kind::Date,
        DataType::Timestamp(..) => Kind::Timestamp,
        kind if kind.is_integer() => Kind::Integer,
        kind if kind.is_decimal() || kind.is_floating() => Kind::Decimal,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => Kind::Bytes,
        DataType::FixedSizeBinary(_) => Kind::Bytes,
        _ => return None,
    })
}
