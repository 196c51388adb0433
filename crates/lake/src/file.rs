//! One sealed period of a view as a Parquet file.

use std::io::{Read, Seek, SeekFrom, Write};
use std::sync::Arc;

use dayfold::schema::{Kind, Value};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use tempfile::SpooledTempFile;

use crate::LakeError;
use crate::columns::{Builders, TableColumn};

/// Rows of a row group. Rows are sorted by key, so a lookup of one key needs one group.
const GROUP_ROWS: usize = 65_536;
/// Rows that are built into columns at once.
const BATCH_ROWS: usize = 4_096;
/// A file stays in memory up to this size, and is written to a temporary file beyond it.
const IN_MEMORY: usize = 8 << 20;
/// A bloom filter pays if a group has more rows than a page.
const BLOOM_ROWS: u64 = 20_000;

/// Writes the rows of one period.
pub(crate) struct FileWriter {
    writer: ArrowWriter<SpooledTempFile>,
    builders: Builders,
    bounds: Vec<Bounds>,
    rows: u64,
}

/// The least and the greatest value of a column, and the number of nulls.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Bounds {
    pub(crate) least: Option<Value>,
    pub(crate) greatest: Option<Value>,
    pub(crate) nulls: u64,
}

/// A file that is complete, and not in the lake yet.
pub(crate) struct Written {
    pub(crate) file: SpooledTempFile,
    pub(crate) bytes: u64,
    pub(crate) rows: u64,
    pub(crate) bounds: Vec<Bounds>,
}

impl FileWriter {
    /// Begins a file of about this many rows, sorted by its first `keys` columns.
    pub(crate) fn new(
        columns: &[TableColumn],
        keys: usize,
        expected_rows: u64,
        about: &[(&str, String)],
    ) -> Result<FileWriter, LakeError> {
        let mut properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_max_row_group_row_count(Some(GROUP_ROWS))
            .set_statistics_enabled(EnabledStatistics::Page)
            .set_created_by(concat!("dayfold ", env!("CARGO_PKG_VERSION")).to_owned());
        let about = about.iter();
        let about = about.map(|(key, value)| KeyValue::new((*key).to_owned(), value.clone()));
        properties = properties.set_key_value_metadata(Some(about.collect()));
        let sorted = columns.iter().take(keys).enumerate().map(|(at, _)| SortingColumn {
            column_idx: at as i32,
            descending: false,
            nulls_first: true,
        });
        properties = properties.set_sorting_columns(Some(sorted.collect()));
        for column in columns {
            let path = ColumnPath::from(column.name.as_str());
            let is_key = column.id > 1 && column.id as usize <= keys;
            if column.kind == Kind::Bytes {
                // Sketches have no statistics: nobody filters by them, and statistics would repeat them.
                properties = properties
                    .set_column_statistics_enabled(path.clone(), EnabledStatistics::None)
                    .set_column_dictionary_enabled(path, false);
            } else if is_key && column.kind == Kind::Text && expected_rows > BLOOM_ROWS {
                properties = properties.set_column_bloom_filter_enabled(path, true);
            }
        }
        let builders = Builders::new(columns.to_vec());
        let file = SpooledTempFile::new(IN_MEMORY);
        let schema = Arc::clone(builders.schema());
        let writer = ArrowWriter::try_new(file, schema, Some(properties.build()))?;
        Ok(FileWriter { writer, builders, bounds: vec![Bounds::default(); columns.len()], rows: 0 })
    }

    pub(crate) fn push(&mut self, row: &[Value]) -> Result<(), LakeError> {
        self.builders.push(row)?;
        self.bounds.iter_mut().zip(row).for_each(|(bounds, value)| bounds.add(value));
        self.rows += 1;
        if self.builders.rows() == BATCH_ROWS {
            self.writer.write(&self.builders.take()?)?;
        }
        Ok(())
    }

    pub(crate) fn finish(mut self) -> Result<Written, LakeError> {
        if self.builders.rows() > 0 {
            self.writer.write(&self.builders.take()?)?;
        }
        let mut file = self.writer.into_inner()?;
        file.flush()?;
        let bytes = file.seek(SeekFrom::End(0))?;
        file.seek(SeekFrom::Start(0))?;
        Ok(Written { file, bytes, rows: self.rows, bounds: self.bounds })
    }
}

impl Written {
    /// The next bytes, at most this many; none at the end.
    pub(crate) fn next(&mut self, most: usize) -> Result<Vec<u8>, LakeError> {
        let mut bytes = Vec::new();
        (&mut self.file).take(most as u64).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

impl Bounds {
    fn add(&mut self, value: &Value) {
        let (is_less, is_greater) = match (&self.least, &self.greatest) {
            _ if *value == Value::Null => {
                self.nulls += 1;
                return;
            }
            (Some(least), Some(greatest)) => (less(value, least), less(greatest, value)),
            _ => (true, true),
        };
        // Nobody filters by the order of sketches.
        if matches!(value, Value::Bytes(_)) {
            return;
        }
        if is_less {
            self.least = Some(value.clone());
        }
        if is_greater {
            self.greatest = Some(value.clone());
        }
    }
}

/// Whether a value of a column is less than another one of it.
fn less(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Text(a), Value::Text(b)) => a < b,
        (Value::Integer(a), Value::Integer(b)) => a < b,
        (Value::Decimal(a), Value::Decimal(b)) => a.billionths() < b.billionths(),
        (Value::Boolean(a), Value::Boolean(b)) => a < b,
        (Value::Date(a), Value::Date(b)) => a < b,
        (Value::Timestamp(a), Value::Timestamp(b)) => a < b,
        _ => false,
    }
}
