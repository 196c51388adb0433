//! Columns of a view as columns of Parquet and Iceberg.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{Field, Schema, SchemaRef};
use dayfold::schema::{Column, Kind, Value};
use dayfold_arrow::{Builder, column_type};

use crate::LakeError;

/// Where Parquet and Iceberg find the number of a column, which stays when the column is renamed.
const FIELD_ID: &str = "PARQUET:field_id";

/// Digits of decimals after the point, if no column says that it has fewer.
pub(crate) const DIGITS_MAX: u8 = dayfold_arrow::DECIMAL.1 as u8;

/// A column of a table in a lake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TableColumn {
    /// The number by which Iceberg knows it.
    pub(crate) id: i32,
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) nullable: bool,
    /// Digits of decimals after the point, if they are known.
    pub(crate) scale: Option<u8>,
}

impl TableColumn {
    /// Columns with numbers from 1.
    pub(crate) fn numbered(columns: &[Column]) -> Vec<TableColumn> {
        let numbered = (1..).zip(columns).map(|(id, column)| TableColumn {
            id,
            name: column.name.clone(),
            kind: column.kind,
            nullable: column.nullable,
            scale: column.scale,
        });
        numbered.collect()
    }

    /// The digits after the point of the column's type, if it has decimals.
    pub(crate) fn digits(&self) -> Option<u8> {
        (self.kind == Kind::Decimal).then(|| self.scale.unwrap_or(DIGITS_MAX))
    }

    /// The same column of a view.
    pub(crate) fn column(&self) -> Column {
        Column::new(&self.name, self.kind).scaled(self.scale)
    }

    fn field(&self) -> Field {
        let id = HashMap::from([(FIELD_ID.to_owned(), self.id.to_string())]);
        Field::new(&self.name, column_type(&self.column()), self.nullable).with_metadata(id)
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
    /// Builders of these columns, whose Arrow schema this is.
    pub(crate) fn new(columns: &[TableColumn], schema: SchemaRef) -> Builders {
        let builders =
            columns.iter().map(|column| Builder::new(column.kind).scaled(column.scale)).collect();
        Builders { columns: columns.to_vec(), schema, builders, rows: 0 }
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
        let arrays = self.builders.iter_mut().map(Builder::finish).collect();
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), arrays)?)
    }
}
