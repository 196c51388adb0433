//! Rows and errors of views, in DataFusion's forms.

use std::sync::Arc;

use datafusion::arrow::array::{RecordBatch, RecordBatchOptions};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::error::{DataFusionError, Result};
use dayfold::scan::{Batch, ScanError};

/// The rows of a batch as columns of this schema.
pub(crate) fn to_arrow(batch: &Batch, schema: &SchemaRef) -> Result<RecordBatch> {
    if schema.fields().is_empty() {
        let options = RecordBatchOptions::new().with_row_count(Some(batch.rows()));
        return Ok(RecordBatch::try_new_with_options(Arc::clone(schema), Vec::new(), &options)?);
    }
    dayfold_arrow::record_batch(batch, schema)
        .map_err(|error| DataFusionError::External(Box::new(error)))
}

/// The error of a view, in the form of the plan's errors.
pub(crate) fn external(error: ScanError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}
