//! Columns of a view as columns of Parquet and Iceberg.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::builder::{
    BinaryBuilder, BooleanBuilder, Date32Builder, Decimal128Builder, Int64Builder, StringBuilder,
    TimestampMicrosecondBuilder,
};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use dayfold::schema::{Column, Kind, Value};

use crate::LakeError;

/// Where Parquet and Iceberg find the number of a column, which stays when the column is renamed.
const FIELD_ID: &str = "PARQUET:field_id";
/// Digits of a decimal column, and how many of them are after the point: as many as a
/// [`Decimal`](dayfold::aggregate::Decimal) has.
pub(crate) const DECIMAL: (u8, i8) = (38, 9);
/// The greatest number of billionths that 38 digits hold.
const DECIMAL_MAX: u128 = 10u128.pow(38) - 1;

/// A column of a table in a lake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TableColumn {
    /// The number by which Iceberg knows it.
    pub(crate) id: i32,
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) nullable: bool,
}

impl TableColumn {
    /// Columns with numbers from 1.
    pub(crate) fn numbered(columns: &[Column]) -> Vec<TableColumn> {
        let numbered = (1..).zip(columns).map(|(id, column)| TableColumn {
            id,
            name: column.name.clone(),
            kind: column.kind,
            nullable: column.nullable,
        });
        numbered.collect()
    }

    fn field(&self) -> Field {
        let kind = match self.kind {
            Kind::Text => DataType::Utf8,
            Kind::Integer => DataType::Int64,
            Kind::Decimal => DataType::Decimal128(DECIMAL.0, DECIMAL.1),
            Kind::Boolean => DataType::Boolean,
            Kind::Date => DataType::Date32,
            Kind::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            // A kind that this crate does not know yet is shown as its bytes.
            _ => DataType::Binary,
        };
        let id = HashMap::from([(FIELD_ID.to_owned(), self.id.to_string())]);
        Field::new(&self.name, kind, self.nullable).with_metadata(id)
    }
}

/// The columns as an Arrow schema.
pub(crate) fn arrow_schema(columns: &[TableColumn]) -> SchemaRef {
    Arc::new(Schema::new(columns.iter().map(TableColumn::field).collect::<Vec<_>>()))
}

/// Rows that are being built into columns.
pub(crate) struct Builders {
    columns: Vec<TableColumn>,
    schema: SchemaRef,
    builders: Vec<Builder>,
    rows: usize,
}

impl Builders {
    pub(crate) fn new(columns: Vec<TableColumn>) -> Builders {
        let builders = columns.iter().map(|column| Builder::of(column.kind)).collect();
        Builders { schema: arrow_schema(&columns), columns, builders, rows: 0 }
    }

    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Rows that have not been taken yet.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Adds a row.
    ///
    /// # Errors
    /// [`LakeError::Value`] if a value does not fit its column; then the row and everything built so far are useless.
    pub(crate) fn push(&mut self, row: &[Value]) -> Result<(), LakeError> {
        assert_eq!(row.len(), self.columns.len(), "a row has a value for each column");
        for ((builder, column), value) in self.builders.iter_mut().zip(&self.columns).zip(row) {
            let misfit = |expected| LakeError::Value {
                column: column.name.clone(),
                value: value.to_string(),
                expected,
            };
            builder.push(value).map_err(misfit)?;
        }
        self.rows += 1;
        Ok(())
    }

    /// The rows so far, as columns.
    pub(crate) fn take(&mut self) -> Result<RecordBatch, LakeError> {
        self.rows = 0;
        let arrays = self.builders.iter_mut().map(Builder::take).collect();
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), arrays)?)
    }
}

enum Builder {
    Text(StringBuilder),
    Integer(Int64Builder),
    Decimal(Decimal128Builder),
    Boolean(BooleanBuilder),
    Date(Date32Builder),
    Timestamp(TimestampMicrosecondBuilder),
    Bytes(BinaryBuilder),
}

impl Builder {
    fn of(kind: Kind) -> Builder {
        match kind {
            Kind::Text => Builder::Text(StringBuilder::new()),
            Kind::Integer => Builder::Integer(Int64Builder::new()),
            Kind::Decimal => Builder::Decimal(
                Decimal128Builder::new().with_data_type(DataType::Decimal128(DECIMAL.0, DECIMAL.1)),
            ),
            Kind::Boolean => Builder::Boolean(BooleanBuilder::new()),
            Kind::Date => Builder::Date(Date32Builder::new()),
            Kind::Timestamp => {
                Builder::Timestamp(TimestampMicrosecondBuilder::new().with_timezone("UTC"))
            }
            _ => Builder::Bytes(BinaryBuilder::new()),
        }
    }

    /// Adds a value, or says what the column expects.
    fn push(&mut self, value: &Value) -> Result<(), &'static str> {
        match (self, value) {
            (Builder::Text(builder), Value::Text(text)) => builder.append_value(text),
            (Builder::Text(builder), Value::Null) => builder.append_null(),
            (Builder::Integer(builder), Value::Integer(number)) => {
                builder.append_value(i64::try_from(*number).map_err(|_| WIDE)?);
            }
            // How a number beyond 127 bits is presented.
            (Builder::Integer(_), Value::Text(_)) => return Err(WIDE),
            (Builder::Integer(builder), Value::Null) => builder.append_null(),
            (Builder::Decimal(builder), Value::Decimal(number)) => {
                let billionths = number.billionths();
                if billionths.unsigned_abs() > DECIMAL_MAX {
                    return Err("a number of at most 29 digits before the point");
                }
                builder.append_value(billionths);
            }
            (Builder::Decimal(builder), Value::Null) => builder.append_null(),
            (Builder::Boolean(builder), Value::Boolean(is_so)) => builder.append_value(*is_so),
            (Builder::Boolean(builder), Value::Null) => builder.append_null(),
            (Builder::Date(builder), Value::Date(day)) => builder.append_value(day.0),
            (Builder::Date(builder), Value::Null) => builder.append_null(),
            (Builder::Timestamp(builder), Value::Timestamp(time)) => {
                let micros = time.checked_mul(1_000);
                builder.append_value(micros.ok_or("a time whose microseconds fit 64 bits")?);
            }
            (Builder::Timestamp(builder), Value::Null) => builder.append_null(),
            (Builder::Bytes(builder), Value::Bytes(bytes)) => builder.append_value(bytes),
            (Builder::Bytes(builder), Value::Null) => builder.append_null(),
            _ => return Err("a value of the column's kind"),
        }
        Ok(())
    }

    fn take(&mut self) -> ArrayRef {
        match self {
            Builder::Text(builder) => Arc::new(builder.finish()),
            Builder::Integer(builder) => Arc::new(builder.finish()),
            Builder::Decimal(builder) => Arc::new(builder.finish()),
            Builder::Boolean(builder) => Arc::new(builder.finish()),
            Builder::Date(builder) => Arc::new(builder.finish()),
            Builder::Timestamp(builder) => Arc::new(builder.finish()),
            Builder::Bytes(builder) => Arc::new(builder.finish()),
        }
    }
}

/// Readers expect 64-bit integers, Iceberg's `long`.
const WIDE: &str = "an integer of at most 64 bits";
