//! `dayfold_certificate()`: the moment of the answers.

use std::sync::Arc;

use datafusion::arrow::array::{
    Date32Array, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray,
};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::catalog::streaming::StreamingTable;
use datafusion::catalog::{TableFunctionArgs, TableFunctionImpl};
use datafusion::common::plan_err;
use datafusion::datasource::TableProvider;
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use dayfold::engine::Views;
use dayfold::scan::{Scan, Snapshot};
use dayfold::serve::Certificate;
use dayfold::time::EventTime;
use futures_util::stream;

use crate::batches::external;

/// The function.
#[derive(Clone)]
pub(super) struct Certificates {
    views: Views,
}

impl Certificates {
    pub(super) fn new(views: &Views) -> Certificates {
        Certificates { views: views.clone() }
    }
}

impl std::fmt::Debug for Certificates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("dayfold_certificate")
    }
}

impl TableFunctionImpl for Certificates {
    fn call_with_args(&self, args: TableFunctionArgs) -> Result<Arc<dyn TableProvider>> {
        if !args.exprs().is_empty() {
            return plan_err!("dayfold_certificate() takes no arguments");
        }
        let rows: Arc<dyn PartitionStream> =
            Arc::new(Rows { views: self.views.clone(), schema: schema() });
        Ok(Arc::new(StreamingTable::try_new(schema(), vec![rows])?))
    }
}

/// One row for each view, made when the statement runs.
struct Rows {
    views: Views,
    schema: SchemaRef,
}

impl std::fmt::Debug for Rows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("certificates")
    }
}

impl PartitionStream for Rows {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, task: Arc<TaskContext>) -> SendableRecordBatchStream {
        let snapshot: Option<Arc<Snapshot>> = task.session_config().get_extension();
        let views = self.views.clone();
        let rows = stream::once(async move { rows(&views, snapshot.as_deref()).await });
        Box::pin(RecordBatchStreamAdapter::new(schema(), rows))
    }
}

async fn rows(views: &Views, snapshot: Option<&Snapshot>) -> Result<RecordBatch> {
    let mut certificates: Vec<(String, Certificate)> = Vec::new();
    for view in views.now().iter() {
        let scan = Scan::total().columns(["sealed"]);
        let mut batches = view.scan(&scan, snapshot).map_err(external)?;
        let certificate = batches.certificate_async().await.map_err(external)?;
        certificates.push((view.name().to_owned(), certificate));
    }
    let of = |number: fn(&Certificate) -> u64| {
        let numbers = certificates.iter().map(|(_, certificate)| number(certificate));
        Int64Array::from_iter_values(numbers.map(|n| i64::try_from(n).unwrap_or(i64::MAX)))
    };
    let floors = certificates.iter().map(|(_, certificate)| certificate.as_of.floor);
    let floors = floors.map(|floor| (floor != EventTime::MIN).then_some(floor));
    let names = certificates.iter().map(|(name, _)| name);
    let sealed = certificates.iter().map(|(_, c)| c.sealed_through.map(|day| day.0));
    Ok(RecordBatch::try_new(
        schema(),
        vec![
            Arc::new(StringArray::from_iter_values(names)),
            Arc::new(of(|certificate| certificate.as_of.tick)),
            Arc::new(TimestampMillisecondArray::from_iter(floors).with_timezone("UTC")),
            Arc::new(Date32Array::from_iter(sealed)),
            Arc::new(of(|certificate| certificate.late)),
            Arc::new(of(|certificate| certificate.refused)),
        ],
    )?)
}

/// The view, the moment (a tick, and the event time up to which days may be sealed), the last sealed day, and how many
/// events were late or refused.
fn schema() -> SchemaRef {
    let utc = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        Field::new("view", DataType::Utf8, false),
        Field::new("tick", DataType::Int64, false),
        Field::new("floor", utc, true),
        Field::new("sealed_through", DataType::Date32, true),
        Field::new("late", DataType::Int64, false),
        Field::new("refused", DataType::Int64, false),
    ]))
}
