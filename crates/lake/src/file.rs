//! One sealed period of a view as a Parquet file.

use std::io::{Read, Seek, SeekFrom, Write};
use std::sync::Arc;

use arrow_schema::SchemaRef;
use dayfold::schema::{Kind, Value};
use parquet::arrow::ArrowSchemaConverter;
use parquet::arrow::arrow_writer::{ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves};
use parquet::basic::Compression;
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesPtr};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{ColumnPath, TypePtr};
use tempfile::SpooledTempFile;

use crate::LakeError;
use crate::bounds::Bounds;
use crate::columns::{Builders, TableColumn, arrow_schema};

/// Rows of a row group. Rows are sorted by key, so a lookup of one key needs one group.
const GROUP_ROWS: usize = 65_536;
/// Rows that are built into columns at once. A group has a whole number of them.
const BATCH_ROWS: usize = 4_096;
/// A file stays in memory up to this size, and is written to a temporary file beyond it.
const IN_MEMORY: usize = 8 << 20;
/// Rows of a page, at most. A file with no more has one page of each column: an index of pages and bloom filters would
/// say what the statistics of the columns say.
const PAGE_ROWS: u64 = 20_000;
/// Files with fewer rows have no dictionaries: one that is used a few times costs more than it saves.
const DICTIONARY_ROWS: u64 = 1_000;

/// What the files of a table have in common.
pub(crate) struct FileFormat {
    columns: Vec<TableColumn>,
    /// The schema for Arrow, and for Parquet.
    arrow: SchemaRef,
    parquet: TypePtr,
    /// Of files with few rows, with the rows of a page, and with more.
    few: WriterPropertiesPtr,
    page: WriterPropertiesPtr,
    pages: WriterPropertiesPtr,
}

impl FileFormat {
    /// Files with these columns, sorted by the first `keys` of them.
    pub(crate) fn new(columns: &[TableColumn], keys: usize) -> Result<FileFormat, LakeError> {
        let arrow = arrow_schema(columns);
        let parquet = ArrowSchemaConverter::new().convert(&arrow)?.root_schema_ptr();
        let properties = |rows| Arc::new(properties(columns, keys, rows));
        let (few, page, pages) = (properties(1), properties(PAGE_ROWS), properties(PAGE_ROWS + 1));
        Ok(FileFormat { columns: columns.to_vec(), arrow, parquet, few, page, pages })
    }

    fn properties(&self, rows: u64) -> WriterPropertiesPtr {
        Arc::clone(match rows {
            ..DICTIONARY_ROWS => &self.few,
            DICTIONARY_ROWS..=PAGE_ROWS => &self.page,
            _ => &self.pages,
        })
    }
}

/// How files of this many rows are written.
fn properties(columns: &[TableColumn], keys: usize, rows: u64) -> WriterProperties {
    let has_pages = rows > PAGE_ROWS;
    let statistics = if has_pages { EnabledStatistics::Page } else { EnabledStatistics::Chunk };
    let sorted = columns.iter().take(keys).enumerate().map(|(at, _)| SortingColumn {
        column_idx: at as i32,
        descending: false,
        nulls_first: true,
    });
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_max_row_group_row_count(Some(GROUP_ROWS))
        .set_statistics_enabled(statistics)
        .set_offset_index_disabled(!has_pages)
        .set_dictionary_enabled(rows >= DICTIONARY_ROWS)
        .set_sorting_columns(Some(sorted.collect()))
        .set_created_by(concat!("dayfold ", env!("CARGO_PKG_VERSION")).to_owned());
    for column in columns {
        let path = ColumnPath::from(column.name.as_str());
        let is_key = column.id > 1 && column.id as usize <= keys;
        if column.kind == Kind::Bytes {
            // Sketches have no statistics: nobody filters by them, and statistics would repeat them.
            properties = properties
                .set_column_statistics_enabled(path.clone(), EnabledStatistics::None)
                .set_column_dictionary_enabled(path.clone(), false);
            if rows < DICTIONARY_ROWS {
                // Hashes do not get smaller, and there are few.
                properties = properties.set_column_compression(path, Compression::UNCOMPRESSED);
            }
        } else if is_key && column.kind == Kind::Text && has_pages {
            properties = properties.set_column_bloom_filter_enabled(path, true);
        }
    }
    properties.build()
}

/// Writes the rows of one period.
pub(crate) struct FileWriter {
    writer: SerializedFileWriter<SpooledTempFile>,
    groups: ArrowRowGroupWriterFactory,
    /// The columns of the row group that is being written, and their rows.
    group: Vec<ArrowColumnWriter>,
    group_rows: usize,
    builders: Builders,
    bounds: Vec<Bounds>,
    rows: u64,
}

/// A file that is complete, and not in the lake yet.
pub(crate) struct Written {
    pub(crate) file: SpooledTempFile,
    pub(crate) bytes: u64,
    pub(crate) rows: u64,
    pub(crate) bounds: Vec<Bounds>,
}

impl FileWriter {
    /// Begins a file of about this many rows.
    pub(crate) fn new(
        format: &FileFormat,
        expected_rows: u64,
        about: &[(&str, String)],
    ) -> Result<FileWriter, LakeError> {
        let properties = format.properties(expected_rows);
        let file = SpooledTempFile::new(IN_MEMORY);
        let mut writer = SerializedFileWriter::new(file, Arc::clone(&format.parquet), properties)?;
        for (key, value) in about {
            writer.append_key_value_metadata(KeyValue::new((*key).to_owned(), value.clone()));
        }
        Ok(FileWriter {
            groups: ArrowRowGroupWriterFactory::new(&writer, Arc::clone(&format.arrow)),
            writer,
            group: Vec::new(),
            group_rows: 0,
            builders: Builders::new(&format.columns, Arc::clone(&format.arrow)),
            bounds: vec![Bounds::default(); format.columns.len()],
            rows: 0,
        })
    }

    pub(crate) fn push(&mut self, row: &[Value]) -> Result<(), LakeError> {
        self.builders.push(row)?;
        self.rows += 1;
        if self.builders.rows() == BATCH_ROWS { self.write_batch() } else { Ok(()) }
    }

    /// Writes the rows that were built into columns.
    fn write_batch(&mut self) -> Result<(), LakeError> {
        let batch = self.builders.take()?;
        if self.group.is_empty() {
            self.group =
                self.groups.create_column_writers(self.writer.flushed_row_groups().len())?;
        }
        let mut writers = self.group.iter_mut();
        for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
            for leaf in compute_leaves(field, column)? {
                let writer = writers.next().expect("each column has a writer");
                writer.write(&leaf)?;
            }
        }
        self.bounds.iter_mut().zip(batch.columns()).for_each(|(bounds, column)| bounds.add(column));
        self.group_rows += batch.num_rows();
        if self.group_rows >= GROUP_ROWS { self.write_group() } else { Ok(()) }
    }

    fn write_group(&mut self) -> Result<(), LakeError> {
        self.group_rows = 0;
        let mut group = self.writer.next_row_group()?;
        for writer in self.group.drain(..) {
            writer.close()?.append_to_row_group(&mut group)?;
        }
        group.close()?;
        Ok(())
    }

    pub(crate) fn finish(mut self) -> Result<Written, LakeError> {
        if self.builders.rows() > 0 {
            self.write_batch()?;
        }
        if self.group_rows > 0 {
            self.write_group()?;
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
        let mut bytes = Vec::with_capacity(most.min(self.bytes as usize));
        (&mut self.file).take(most as u64).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}
