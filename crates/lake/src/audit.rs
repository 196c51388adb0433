//! Compares a day in the lake with the day in the folder.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::ArrowError;
use dayfold::time::Day;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use crate::LakeError;
use crate::columns::{Builders, arrow_schema};
use crate::commit::Exported;
use crate::folder::View;
use crate::guard::guarded;
use crate::store::Location;
use crate::table::Table;

/// Rows that are compared at once.
const BATCH_ROWS: usize = 4_096;

/// The error of a day in the lake, if there is one.
pub(crate) async fn compare(
    place: &Location,
    view: &View,
    table: &Table,
    day: Day,
    exported: &Exported,
) -> Result<Option<String>, LakeError> {
    let Some(found) = place.head(&exported.path).await? else {
        return Ok(Some("the file is gone".to_owned()));
    };
    if found.size != exported.bytes {
        let (is, was) = (found.size, exported.bytes);
        return Ok(Some(format!("the file has {is} bytes, and had {was} when it was written")));
    }
    let Some(bytes) = place.get(&exported.path).await? else {
        return Ok(Some("the file is gone".to_owned()));
    };
    let reader = guarded(|| {
        ParquetRecordBatchReaderBuilder::try_new(bytes)?.with_batch_size(BATCH_ROWS).build()
    });
    let mut batches = match reader {
        Ok(batches) => batches,
        Err(error) => return Ok(Some(format!("the file cannot be read: {error}"))),
    };

    let skipped = view.columns().len() - table.columns().len();
    let mut builders = Builders::new(table.columns(), arrow_schema(table.columns()));
    let mut wrong = None;
    let mut rows = 0;
    view.each(day, |row| {
        builders.push(&row[skipped..])?;
        rows += 1;
        if builders.rows() == BATCH_ROWS && wrong.is_none() {
            wrong = difference(&builders.take()?, next(&mut batches), rows);
        }
        Ok(())
    })?;
    if wrong.is_none() && builders.rows() > 0 {
        wrong = difference(&builders.take()?, next(&mut batches), rows);
    }
    if wrong.is_none() && next(&mut batches).is_some() {
        wrong = Some("the file has more rows than the day".to_owned());
    }
    Ok(wrong)
}

/// The next rows of the file.
fn next(batches: &mut ParquetRecordBatchReader) -> Option<Result<RecordBatch, ArrowError>> {
    guarded(|| batches.next().transpose()).transpose()
}

/// The difference between rows of the folder and rows of the file, if there is one.
fn difference(
    expected: &RecordBatch,
    found: Option<Result<RecordBatch, ArrowError>>,
    rows: usize,
) -> Option<String> {
    let found = match found {
        Some(Ok(found)) => found,
        Some(Err(error)) => return Some(format!("the file cannot be read: {error}")),
        None => return Some("the file has fewer rows than the day".to_owned()),
    };
    let is_same = expected.num_rows() == found.num_rows()
        && expected.num_columns() == found.num_columns()
        && expected
            .columns()
            .iter()
            .zip(found.columns())
            .all(|(a, b)| Arc::as_ref(a) == Arc::as_ref(b));
    (!is_same).then(|| format!("rows before row {rows} are different"))
}
