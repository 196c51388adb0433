//! The scan of a view as a step of a physical plan.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::internal_datafusion_err;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::EquivalenceProperties;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PhysicalExpr, PlanProperties,
};
use dayfold::scan::{Batches, ErasedView, Scan, Snapshot};
use dayfold::schema::Grain;
use dayfold::serve::Revision;
use dayfold::time::Last;
use futures_util::{Stream, StreamExt, TryStreamExt, stream};

use crate::batches::{external, to_arrow};
use crate::divided::Execution;

/// Reads a view by one scan after the other, at the moment of the [`Snapshot`] that is an extension of the task, if
/// there is one. Past revisions do not change, and are not part of it.
pub(crate) struct ViewExec {
    view: Arc<dyn ErasedView>,
    scans: Vec<Scan>,
    revision: Revision,
    grain: Option<Grain>,
    last: Option<Last>,
    limit: Option<usize>,
    schema: SchemaRef,
    /// Whether several partitions divide a scan in any order among them.
    is_divided: bool,
    properties: Arc<PlanProperties>,
}

impl ViewExec {
    /// Scans whose columns are those of the schema; `partitions` is how many threads divide a scan in any order. If the schema has no columns, one column is read and dropped.
    pub(crate) fn new(
        view: Arc<dyn ErasedView>,
        scans: Vec<Scan>,
        (revision, grain, last): (Revision, Option<Grain>, Option<Last>),
        schema: SchemaRef,
        limit: Option<usize>,
        partitions: Option<usize>,
    ) -> ViewExec {
        let is_divided = partitions.is_some();
        let properties = Arc::new(PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&schema)),
            Partitioning::UnknownPartitioning(partitions.unwrap_or(1)),
            EmissionType::Incremental,
            Boundedness::Bounded,
        ));
        ViewExec { view, scans, revision, grain, last, limit, schema, is_divided, properties }
    }

    /// The number of its scans.
    pub(crate) fn scans(&self) -> usize {
        self.scans.len()
    }
}

impl fmt::Debug for ViewExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ViewExec")
            .field("view", &self.view.name())
            .field("scans", &self.scans)
            .finish_non_exhaustive()
    }
}

impl DisplayAs for ViewExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.schema.fields().iter().map(|field| field.name().as_str());
        let columns = columns.collect::<Vec<_>>().join(", ");
        write!(
            f,
            "ViewExec: view={}, columns=[{columns}], scans={}",
            self.view.name(),
            self.scans.len()
        )?;
        match self.scans.first() {
            Some(scan) => write!(f, ", shape={:?}", scan.shape())?,
            None => write!(f, ", nothing to read")?,
        }
        self.grain.map_or(Ok(()), |grain| write!(f, ", by={grain}"))?;
        self.last.map_or(Ok(()), |last| write!(f, ", last={last}"))
    }
}

impl ViewExec {
    /// Whether several partitions divide a scan among them.
    pub(crate) fn is_divided(&self) -> bool {
        self.is_divided
    }
}

impl ExecutionPlan for ViewExec {
    fn name(&self) -> &str {
        "ViewExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn with_new_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn execute(
        &self,
        partition: usize,
        task: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let view = Arc::clone(&self.view);
        let snapshot: Option<Arc<Snapshot>> = task.session_config().get_extension();
        let snapshot = snapshot.filter(|_| self.revision == Revision::Now);
        let schema = Arc::clone(&self.schema);
        if let (true, Some(scan)) = (self.is_divided, self.scans.first()) {
            let execution: Option<Arc<Execution>> = task.session_config().get_extension();
            let execution = execution.ok_or_else(|| internal_datafusion_err!("no execution"))?;
            // The plan is not moved while it runs.
            let step = (std::ptr::from_ref(self).addr(), partition);
            return execution.rows(step, (view, scan.clone()), snapshot, &schema);
        }
        // A scan begins when the one before it has been read.
        let scans = stream::iter(self.scans.clone());
        let batches =
            scans.map(move |scan| view.scan(&scan, snapshot.as_deref()).map_err(external));
        let rows = batches.map_ok(move |batches| rows(batches, Arc::clone(&schema))).try_flatten();
        let rows = up_to(rows.boxed(), self.limit);
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), rows)))
    }
}

fn rows(batches: Batches, schema: SchemaRef) -> impl Stream<Item = Result<RecordBatch>> {
    StreamExt::map(batches, move |batch| to_arrow(&batch.map_err(external)?, &schema))
}

/// Limits the rows of all scans together.
fn up_to(
    rows: impl Stream<Item = Result<RecordBatch>> + Send,
    limit: Option<usize>,
) -> impl Stream<Item = Result<RecordBatch>> + Send {
    rows.scan(limit, |left, batch| {
        let batch = match (left, batch) {
            (Some(0), Ok(_)) => None,
            (Some(left), Ok(batch)) => {
                let rows = batch.num_rows().min(*left);
                *left -= rows;
                Some(Ok(batch.slice(0, rows)))
            }
            (_, batch) => Some(batch),
        };
        std::future::ready(batch)
    })
}
