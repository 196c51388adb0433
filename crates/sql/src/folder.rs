//! Sealed periods of a data folder as tables, without the program that wrote it and without its lock.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::{RecordBatch, RecordBatchOptions};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::Session;
use datafusion::common::{DataFusionError, plan_err};
use datafusion::datasource::{TableProvider, TableType};
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchReceiverStream;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use dayfold::rows::{RowOptions, RowsError, SealedRows};
use dayfold::schema::{Column, Value};
use dayfold::serve::Revision;
use dayfold::store::{Disk, FolderReport, StoreError, ViewReport};
use dayfold::time::{Calendar, Day, DayRange};
use dayfold_arrow::Builder;

use crate::bounds;
use crate::table::{is_sketch, sketches, table_schema};

/// The rows of a batch.
const ROWS: usize = 4_096;
/// The number of batches that wait for the statement.
const BATCHES: usize = 2;

/// The sealed periods of one view.
#[derive(Clone)]
pub(crate) struct SealedTable {
    folder: Arc<FolderReport>,
    /// The index of the view in the folder.
    view: usize,
    revision: Revision,
    /// Of the rows of its files: the columns that the table has, with their places.
    columns: Arc<[(usize, Column)]>,
    schema: SchemaRef,
}

impl SealedTable {
    pub(crate) fn new(folder: Arc<FolderReport>, view: usize) -> SealedTable {
        let (columns, schema) = columns_of(&folder.views[view], false);
        SealedTable { revision: Revision::Now, columns, schema, view, folder }
    }

    /// The same as of a revision, with the columns of its sketches or without.
    pub(crate) fn read_as(&self, revision: Revision, with_sketches: bool) -> SealedTable {
        let (columns, schema) = columns_of(self.report(), with_sketches);
        SealedTable { revision, columns, schema, ..self.clone() }
    }

    /// Measures, and the columns of the sketches that they are computed from.
    pub(crate) fn sketches(&self) -> Vec<(String, String)> {
        self.report().schema.as_ref().map(sketches).unwrap_or_default()
    }

    fn report(&self) -> &ViewReport {
        &self.folder.views[self.view]
    }

    /// The periods that conditions allow; all if the zone is not known here.
    fn periods(&self, filters: &[Expr]) -> DayRange {
        let (Some(schema), record) = (&self.report().schema, &self.report().record) else {
            return DayRange::ALL;
        };
        let calendar = Calendar::new(&record.zone).map(|calendar| calendar.by(record.grain));
        calendar.map_or(DayRange::ALL, |calendar| bounds::periods_of(schema, &calendar, filters))
    }
}

/// The columns of a view, with their positions in its rows.
fn columns_of(view: &ViewReport, with_sketches: bool) -> (Arc<[(usize, Column)]>, SchemaRef) {
    let all = SealedRows::new(&Disk, view, options(DayRange::ALL)).columns();
    let sketches = match &view.schema {
        Some(schema) if !with_sketches => sketches(schema),
        _ => Vec::new(),
    };
    let own = all.into_iter().enumerate().filter(|(_, own)| !is_sketch(&sketches, &own.name));
    let own: Arc<[(usize, Column)]> = own.collect();
    let columns: Vec<Column> = own.iter().map(|(_, column)| column.clone()).collect();
    let schema = table_schema(&columns, view.schema.as_ref());
    (own, schema)
}

/// Sketches are included, for functions that merge them.
fn options(days: DayRange) -> RowOptions {
    RowOptions::default().days(days).sketches(true)
}

impl fmt::Debug for SealedTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedTable")
            .field("view", &self.report().record.name)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl TableProvider for SealedTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        // Conditions on the period narrow what is read, and are checked again.
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let all: Vec<usize> = (0..self.columns.len()).collect();
        let projection = projection.unwrap_or(&all);
        let days = self.periods(filters);
        // Who reads periods without saying from when gets those that are kept, as from a running program.
        let reads_periods = projection.iter().any(|&at| self.columns[at].0 == 0);
        let is_asked = !reads_periods || days.lower > Day::MIN;
        if let Some(from) = self.report().outlived_before(days).filter(|_| is_asked) {
            let view = &self.report().record.name;
            return plan_err!(
                "view {view} is kept from {from} on, and what came before only as rollups, which a running program reads: start \
                 the program, or ask from {from} on"
            );
        }
        let rows = Rows {
            table: self.clone(),
            days,
            projection: projection.clone(),
            schema: Arc::new(self.schema.project(projection)?),
        };
        let schema = Arc::clone(&rows.schema);
        let limit = limit.filter(|_| filters.is_empty());
        let rows: Vec<Arc<dyn PartitionStream>> = vec![Arc::new(rows)];
        Ok(Arc::new(StreamingTableExec::try_new(schema, rows, None, [], false, limit)?))
    }
}

/// Columns of these periods, read when the statement runs.
#[derive(Debug)]
struct Rows {
    table: SealedTable,
    days: DayRange,
    projection: Vec<usize>,
    schema: SchemaRef,
}

impl PartitionStream for Rows {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let mut stream = RecordBatchReceiverStream::builder(Arc::clone(&self.schema), BATCHES);
        let batches = stream.tx();
        let table = self.table.clone();
        let mut columns = Columns::new(&table.columns, &self.projection, &self.schema);
        let days = self.days;
        stream.spawn_blocking(move || {
            let external = |error: StoreError| DataFusionError::External(Box::new(error));
            let report = match table.revision {
                Revision::Now => Cow::Borrowed(table.report()),
                other => Cow::Owned(table.report().as_of(other, days).map_err(external)?),
            };
            let rows = SealedRows::new(&Disk, &report, options(days));
            let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
            let read = rows.each(&mut |row| {
                columns.push(row)?;
                match columns.rows < ROWS {
                    true => Ok(()),
                    false => batches.blocking_send(columns.take()).map_err(gone),
                }
            });
            match read {
                // The statement needs no more rows.
                Err(RowsError::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
                Err(error) => Err(DataFusionError::External(Box::new(error))),
                Ok(()) => {
                    drop(batches.blocking_send(columns.take()));
                    Ok(())
                }
            }
        });
        stream.build()
    }
}

/// Converts rows to columns.
struct Columns {
    /// The position of each column in a row, its name, and its builder.
    of: Vec<(usize, String, Builder)>,
    schema: SchemaRef,
    rows: usize,
}

impl Columns {
    fn new(all: &[(usize, Column)], projection: &[usize], schema: &SchemaRef) -> Columns {
        let of = projection.iter().map(|&at| {
            let (at, column) = &all[at];
            (*at, column.name.clone(), Builder::new(column.kind).scaled(column.scale))
        });
        Columns { of: of.collect(), schema: Arc::clone(schema), rows: 0 }
    }

    fn push(&mut self, row: &[Value]) -> io::Result<()> {
        for (at, name, builder) in &mut self.of {
            let value = &row[*at];
            builder.push(value).map_err(|expected| {
                io::Error::other(format!("'{value}' in column '{name}': expected {expected}"))
            })?;
        }
        self.rows += 1;
        Ok(())
    }

    fn take(&mut self) -> Result<RecordBatch> {
        let arrays = self.of.iter_mut().map(|(_, _, builder)| builder.finish()).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        self.rows = 0;
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options)?)
    }
}
