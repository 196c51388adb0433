//! Columns of a view as columns of Parquet and Iceberg.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{Field, Schema, SchemaRef};
use dayfold::schema::{Column, Kind, Value};
use dayfold_arrow::{Builder, data_type};

use crate::LakeError;

/// Where Parquet and Iceberg find the number of a column, which stays when the column is renamed.
const FIELD_ID: &str = "PARQUET:field_id";

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
        let id = HashMap::from([(FIELD_ID.to_owned(), self.id.to_string())]);
        Field::new(&self.name, data_type(self.kind), self.nullable).with_metadata(id)
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
        let builders = columns.iter().map(|column| Builder::new(column.kind)).collect();
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
        let arrays = self.builders.iter_mut().map(Builder::finish).collect();
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), arrays)?)
    }
}
