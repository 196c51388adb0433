//! The tables that statements can name: views, in each way in which they can be read, and files.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use datafusion::arrow::array::{RecordBatch, RecordBatchOptions};
use datafusion::catalog::{MemorySchemaProvider, SchemaProvider};
use datafusion::common::{plan_datafusion_err, plan_err};
use datafusion::datasource::{MemTable, TableProvider, TableType};
use datafusion::error::Result;
use dayfold::schema::{Column, Value};
use dayfold_arrow::Builder;

use crate::folder::SealedTable;
use crate::functions::revision;
use crate::reading::{Reading, Sketches};
use crate::table::{ViewTable, table_schema};

/// A view that can be read.
#[derive(Debug)]
pub(crate) enum Readable {
    /// Of an engine that runs.
    Running(ViewTable),
    /// Of a folder.
    Sealed(SealedTable),
}

impl Readable {
    fn read(&self, reading: &Reading) -> Result<Arc<dyn TableProvider>> {
        let revision = reading.revision.as_deref().map(revision).transpose()?;
        Ok(match self {
            Readable::Running(table) => {
                Arc::new(table.read_as(revision.unwrap_or_default(), reading.sketches))
            }
            Readable::Sealed(table) => {
                Arc::new(table.read_as(revision.unwrap_or_default(), reading.sketches))
            }
        })
    }

    fn sketches(&self) -> Vec<(String, String)> {
        match self {
            Readable::Running(table) => table.sketches(),
            Readable::Sealed(table) => table.sketches(),
        }
    }
}

/// All tables. A view has more names than are listed: those of [`Reading`]s.
#[derive(Debug)]
pub(crate) struct Tables {
    listed: MemorySchemaProvider,
    views: RwLock<Arc<ReadableViews>>,
}

/// The views that can be read.
#[derive(Debug)]
struct ReadableViews {
    views: BTreeMap<String, Readable>,
    sketches: Arc<Sketches>,
}

impl ReadableViews {
    fn new(views: BTreeMap<String, Readable>) -> ReadableViews {
        let sketches = views.iter().map(|(name, view)| (name.clone(), view.sketches())).collect();
        ReadableViews { views, sketches: Arc::new(sketches) }
    }
}

impl Tables {
    pub(crate) fn new(views: BTreeMap<String, Readable>) -> Result<Tables> {
        let listed = MemorySchemaProvider::new();
        for (name, view) in &views {
            let plain = view.read(&Reading::of(name))?;
            listed.register_table(name.clone(), plain)?;
        }
        Ok(Tables { listed, views: RwLock::new(Arc::new(ReadableViews::new(views))) })
    }

    /// Has these views from now on; files stay.
    pub(crate) fn change_views(&self, views: BTreeMap<String, Readable>) -> Result<()> {
        let before = self.readable();
        // A view may have been replaced by another one of the same name.
        for name in before.views.keys() {
            self.listed.deregister_table(name)?;
        }
        for (name, view) in &views {
            self.listed.register_table(name.clone(), view.read(&Reading::of(name))?)?;
        }
        let views = Arc::new(ReadableViews::new(views));
        *self.views.write().unwrap_or_else(PoisonError::into_inner) = views;
        Ok(())
    }

    fn readable(&self) -> Arc<ReadableViews> {
        Arc::clone(&self.views.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What sketches views have.
    pub(crate) fn sketches(&self) -> Arc<Sketches> {
        Arc::clone(&self.readable().sketches)
    }
}

#[async_trait]
impl SchemaProvider for Tables {
    fn table_names(&self) -> Vec<String> {
        self.listed.table_names()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let reading = Reading::of(name);
        if reading.is_plain() {
            return self.listed.table(name).await;
        }
        let readable = self.readable();
        let view = readable.views.get(&reading.view).ok_or_else(|| {
            let names: Vec<&str> = readable.views.keys().map(String::as_str).collect();
            let names = names.join(", ");
            plan_datafusion_err!(
                "'{}' is no view, and AS OF is for views: expected one of {names}",
                reading.view
            )
        })?;
        view.read(&reading).map(Some)
    }

    fn table_exist(&self, name: &str) -> bool {
        self.listed.table_exist(name)
    }

    fn register_table(
        &self,
        name: String,
        table: Arc<dyn TableProvider>,
    ) -> Result<Option<Arc<dyn TableProvider>>> {
        self.listed.register_table(name, table)
    }

    async fn table_type(&self, name: &str) -> Result<Option<TableType>> {
        self.listed.table_type(name).await
    }
}

/// Rows of a batch.
const ROWS: usize = 8_192;

/// Rows that are kept.
pub(crate) fn in_memory(
    columns: &[Column],
    rows: impl IntoIterator<Item = Vec<Value>>,
) -> Result<Arc<dyn TableProvider>> {
    let schema = table_schema(columns, None);
    let builders = columns.iter().map(|own| Builder::new(own.kind).scaled(own.scale));
    let mut builders: Vec<Builder> = builders.collect();
    let (mut batches, mut count) = (Vec::new(), 0);
    let mut rows = rows.into_iter().peekable();
    while let Some(row) = rows.next() {
        if row.len() != columns.len() {
            return plan_err!("a row of {} values: expected {}", row.len(), columns.len());
        }
        for ((column, builder), value) in columns.iter().zip(&mut builders).zip(&row) {
            builder.push(value).map_err(|expected| {
                plan_datafusion_err!("'{value}' in column '{}': expected {expected}", column.name)
            })?;
        }
        count += 1;
        if count == ROWS || rows.peek().is_none() {
            let arrays = builders.iter_mut().map(Builder::finish).collect();
            let options = RecordBatchOptions::new().with_row_count(Some(count));
            batches.push(RecordBatch::try_new_with_options(Arc::clone(&schema), arrays, &options)?);
            count = 0;
        }
    }
    Ok(Arc::new(MemTable::try_new(schema, vec![batches])?))
}
