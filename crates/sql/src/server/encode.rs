//! Encodes rows for a client.

use std::sync::Arc;

use arrow_pg::encoder::{Encoder, encode_value};
use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Decimal128Type, Field};
use pgwire::api::results::FieldInfo;
use pgwire::error::PgWireResult;

use crate::numeric::Numeric;

/// Appends a row to an encoder.
pub(super) fn row<E: Encoder>(
    encoder: &mut E,
    batch: &RecordBatch,
    at: usize,
    fields: &Arc<Vec<FieldInfo>>,
) -> PgWireResult<E::Item> {
    let schema = batch.schema_ref();
    for (column, (array, field)) in batch.columns().iter().zip(fields.iter()).enumerate() {
        value(encoder, array, at, schema.field(column), field)?;
    }
    Ok(encoder.take_row())
}

fn value<E: Encoder>(
    encoder: &mut E,
    array: &ArrayRef,
    at: usize,
    arrow: &Field,
    field: &FieldInfo,
) -> PgWireResult<()> {
    match array.data_type() {
        // Other types stop at 28 digits.
        DataType::Decimal128(_, scale) => {
            let number = array.as_primitive::<Decimal128Type>();
            let number = array.is_valid(at).then(|| Numeric::new(number.value(at), *scale));
            encoder.encode_field(&number, field)
        }
        _ => encode_value(encoder, array, at, arrow, field),
    }
}
