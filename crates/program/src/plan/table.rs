//! Files that are tables: read whole, before a statement can name them.

use std::path::Path;

use dayfold::schema::{Column, Value};
use dayfold::source::{Input, RawRecord, RawRecords};
use dayfold_sql::Sql;

use super::columns::{SourceColumns, options};
use super::source::Reader;
use super::values::value;
use crate::config::{Config, FileError, SourceConfig, TableConfig, TableRows};

/// How much text the rows of a table may have. They are kept in memory.
const TEXT_MAX: usize = 64 << 20;

/// Makes the files of a configuration tables of `sql`.
///
/// # Errors
/// [`FileError`]: one of them cannot be read, with the place in it.
pub(crate) fn add_tables(config: &Config, sql: &Sql) -> Result<(), FileError> {
    config.tables.iter().try_for_each(|table| {
        let error = |message: String| table.file.error(&config.document, message);
        match &table.rows {
            TableRows::Parquet => {
                let path = config.path(&table.file.value);
                if !path.is_file() {
                    return Err(error(format!("there is no file '{}'", table.file.value)));
                }
                let added = sql.parquet_blocking(&table.name.value, &path.to_string_lossy());
                added.map_err(|found| error(format!("{}: {found}", path.display())))
            }
            TableRows::Csv(source) => {
                let (columns, rows) = read(config, table, source)?;
                let added = sql.rows(&table.name.value, &columns, rows);
                added.map_err(|found| error(found.to_string()))
            }
        }
    })
}

/// The columns and rows of a CSV file.
fn read(
    config: &Config,
    table: &TableConfig,
    source: &SourceConfig,
) -> Result<(Vec<Column>, Vec<Vec<Value>>), FileError> {
    let found = SourceColumns::of(config, source, None)?;
    let mut scope = found.scope();
    scope.use_all();
    let reader = Reader::new(source, &found, &scope);
    let kind = |name: &str| found.format(name).kind.kind();
    let columns =
        reader.slots.iter().map(|slot| Column::new(&slot.name, kind(&slot.name)).nullable());
    let columns = columns.collect();
    let (mut rows, mut text) = (Vec::new(), 0);
    for path in &found.files {
        let error = |message: String| table.file.error(&config.document, message);
        let mut records = RawRecords::open(Input::file(path), options(&source.format, ""))
            .map_err(|found| error(found.to_string()))?;
        loop {
            let at = |line: u64, reason: &str| error(format!("{}:{line}: {reason}", shown(path)));
            match records.read(false).map_err(|found| error(found.to_string()))? {
                RawRecord::Record { line, bytes } => {
                    text += bytes.len();
                    if text > TEXT_MAX {
                        let most = TEXT_MAX >> 20;
                        let more = format!(
                            "a table may have {most} MiB, and this one has more: write it as Parquet"
                        );
                        return Err(at(line, &more));
                    }
                    let cells = reader.cells(bytes).map_err(|reason| at(line, &reason))?;
                    rows.push(cells.into_iter().map(|cell| value(cell).to_value()).collect());
                }
                RawRecord::Refused { line, reason, .. } => return Err(at(line, reason)),
                _ => break,
            }
        }
    }
    Ok((columns, rows))
}

fn shown(path: &Path) -> std::borrow::Cow<'_, str> {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy()
}
