//! Rows of a view as columns of [Apache Arrow](https://arrow.apache.org).
//!
//! [`schema`] gives the types of a scan's columns, and [`record_batch`] converts a [`Batch`] of the scan to a
//! [`RecordBatch`]. [`Builder`] does it for values one by one.
//!
//! | a column of a view | in Arrow |
//! |---|---|
//! | text | `Utf8` |
//! | integer | `Int64` |
//! | decimal | `Decimal128(38, 9)`, or with as many digits after the point as its [`Column`] is known to have |
//! | boolean | `Boolean` |
//! | date | `Date32` |
//! | timestamp | `Timestamp(Microsecond, "UTC")` |
//! | bytes | `Binary` |
//!
//! An integer beyond 64 bits, or a decimal with more than 29 digits before its point, does not fit: an [`ArrowError`]
//! names the column and the value.
//!
//! ```
//! use dayfold::aggregate::Sum;
//! use dayfold::engine::{LiveOptions, Measures};
//! use dayfold::scan::{ErasedView, Scan};
//! use dayfold::view::View;
//! use dayfold::{Cluster, Engine};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut engine = Engine::<(i64, &str, u32)>::new();
//! let view = View::new("sales")?.key_columns(["shop"])?.measure_names([["cents"]])?;
//! engine.view(view, Measures::none(), |&(time, shop, cents)| {
//!     Some((time, shop.to_owned(), Sum::of(cents)))
//! });
//! let pusher = engine.live(LiveOptions::new(|sale: &(i64, &str, u32)| sale.0));
//! let running = engine.start(Cluster::workers(1))?;
//! let pushed = pusher.push(vec![(0, "Oslo", 50), (1, "Rome", 70)])?;
//! pushed.receipt.wait_visible(std::time::Duration::from_secs(10))?;
//!
//! let sales = running.view("sales").ok_or("no such view")?;
//! let batches = sales.scan(&Scan::rows(), None)?;
//! let schema = dayfold_arrow::schema(batches.columns());
//! for batch in batches {
//!     let batch = dayfold_arrow::record_batch(&batch?, &schema)?;
//!     assert_eq!((batch.num_rows(), batch.num_columns()), (2, 4));
//! }
//! drop(pusher);
//! running.finish()?;
//! # Ok(())
//! # }
//! ```

mod builder;

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Int64Array, RecordBatch,
    RecordBatchOptions, StringArray, TimestampMicrosecondArray,
};
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use dayfold::aggregate::Decimal;
use dayfold::scan::{Batch, Cell, Cells, Strings};
use dayfold::schema::{Column, Kind};

pub use builder::Builder;

/// Digits of a decimal column, and how many of them are after the point: as many as a [`Decimal`] has.
pub const DECIMAL: (u8, i8) = (38, 9);

/// What a column with fewer digits after the point expects.
pub(crate) const FINE: &str =
    "no more digits after the point than the column has: rebuild the view, or state more digits";

/// The type of decimals with this many digits after the point, or of all of them.
pub(crate) fn decimal_type(scale: Option<u8>) -> DataType {
    DataType::Decimal128(DECIMAL.0, scale.map_or(DECIMAL.1, |scale| scale.min(9) as i8))
}

/// Billionths in a unit of decimals with this many digits after the point.
pub(crate) fn step(scale: Option<u8>) -> i128 {
    10i128.pow(9 - u32::from(scale.unwrap_or(9).min(9)))
}

/// The greatest number of billionths that 38 digits hold.
pub(crate) const BILLIONTHS_MAX: u128 = 10u128.pow(38) - 1;

/// A value that does not fit Arrow's type.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArrowError {
    /// A value beyond the type of its column.
    #[error("'{value}' in column '{column}': expected {expected}")]
    Value {
        /// The column.
        column: String,
        /// The value, as text.
        value: String,
        /// The values that the column can hold.
        expected: &'static str,
    },
    /// The columns of the batch differ from the schema.
    #[error("a batch with columns that are not those of the schema: {0}")]
    Schema(#[from] arrow_schema::ArrowError),
}

/// The type of a column.
///
/// ```
/// use arrow_schema::DataType;
/// use dayfold::schema::{Column, Kind};
///
/// let price = Column::new("price", Kind::Decimal).scaled(Some(2));
/// assert_eq!(dayfold_arrow::column_type(&price), DataType::Decimal128(38, 2));
/// ```
pub fn column_type(column: &Column) -> DataType {
    match column.kind {
        Kind::Decimal => decimal_type(column.scale),
        kind => data_type(kind),
    }
}

/// The type of columns of a kind. [`column_type`] knows the digits of decimals.
pub fn data_type(kind: Kind) -> DataType {
    match kind {
        Kind::Text => DataType::Utf8,
        Kind::Integer => DataType::Int64,
        Kind::Decimal => decimal_type(None),
        Kind::Boolean => DataType::Boolean,
        Kind::Date => DataType::Date32,
        Kind::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        // A kind that this crate does not know yet is shown as its bytes.
        _ => DataType::Binary,
    }
}

/// Columns of a scan as fields of a schema.
pub fn schema(columns: &[Column]) -> SchemaRef {
    let field = |column: &Column| Field::new(&column.name, column_type(column), column.nullable);
    Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()))
}

/// The rows of a batch, as columns of the [`schema`] of its columns.
///
/// # Errors
/// [`ArrowError`] if a value does not fit its column.
pub fn record_batch(batch: &Batch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let columns = batch.columns().iter().enumerate();
    let arrays = columns.map(|(at, column)| array(batch.cells(at), column));
    let arrays = arrays.collect::<Result<Vec<_>, _>>()?;
    // Without columns, the batch has only a number of rows.
    let options = RecordBatchOptions::new().with_row_count(Some(batch.rows()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), arrays, &options)?)
}

fn array(cells: &Cells, column: &Column) -> Result<ArrayRef, ArrowError> {
    let is_null = cells.nulls();
    let nulls = is_null.map(|nulls| NullBuffer::from_iter(nulls.iter().map(|is_null| !is_null)));
    let misfit = |value: String, expected| ArrowError::Value {
        column: column.name.clone(),
        value,
        expected,
    };
    Ok(match cells.values() {
        Cell::Text(texts) => {
            let (offsets, bytes) = parts(texts, column)?;
            Arc::new(StringArray::try_new(offsets, bytes, nulls)?)
        }
        Cell::Bytes(strings) => {
            let (offsets, bytes) = parts(strings, column)?;
            Arc::new(BinaryArray::try_new(offsets, bytes, nulls)?)
        }
        Cell::Integer(numbers) => Arc::new(Int64Array::try_new(numbers.clone().into(), nulls)?),
        Cell::LongInteger(numbers) => {
            let wide = numbers.iter().find(|number| i64::try_from(**number).is_err());
            let value = wide.map_or_else(String::new, i128::to_string);
            return Err(misfit(value, "an integer of at most 64 bits"));
        }
        Cell::Decimal(numbers) => {
            let wide = |number: &&Decimal| number.billionths().unsigned_abs() > BILLIONTHS_MAX;
            if let Some(wide) = numbers.iter().find(wide) {
                return Err(misfit(wide.to_string(), "at most 29 digits before the point"));
            }
            let step = step(column.scale);
            // Without this, numbers with all digits would be divided by one.
            let units: ScalarBuffer<i128> = match step {
                1 => numbers.iter().map(|number| number.billionths()).collect(),
                step => {
                    let fine = |number: &&Decimal| number.billionths() % step != 0;
                    if let Some(fine) = numbers.iter().find(fine) {
                        return Err(misfit(fine.to_string(), FINE));
                    }
                    numbers.iter().map(|number| number.billionths() / step).collect()
                }
            };
            Arc::new(Decimal128Array::try_new(units, nulls)?.with_data_type(column_type(column)))
        }
        Cell::Boolean(values) => {
            Arc::new(BooleanArray::new(BooleanBuffer::from(&values[..]), nulls))
        }
        Cell::Date(days) => {
            let days: ScalarBuffer<i32> = days.iter().map(|day| day.0).collect();
            Arc::new(Date32Array::try_new(days, nulls)?)
        }
        Cell::Timestamp(times) => {
            let micros = times.iter().map(|time| {
                let wide = || misfit(time.to_string(), "a time whose microseconds have 64 bits");
                time.checked_mul(1_000).ok_or_else(wide)
            });
            let micros: ScalarBuffer<i64> = micros.collect::<Result<Vec<_>, _>>()?.into();
            let array = TimestampMicrosecondArray::try_new(micros, nulls)?;
            Arc::new(array.with_timezone("UTC"))
        }
        _ => return Err(misfit(String::new(), "a kind of values that this version knows")),
    })
}

/// Texts or bytes, and the beginning of each.
fn parts(strings: &Strings, column: &Column) -> Result<(OffsetBuffer<i32>, Buffer), ArrowError> {
    let wide = |_| ArrowError::Value {
        column: column.name.clone(),
        value: format!("{} bytes", strings.bytes().len()),
        expected: "at most 2 GiB in a batch",
    };
    let offsets = strings.offsets().iter().map(|&at| i32::try_from(at).map_err(wide));
    let offsets = offsets.collect::<Result<Vec<i32>, _>>()?;
    Ok((OffsetBuffer::new(offsets.into()), Buffer::from(strings.bytes().to_vec())))
}
