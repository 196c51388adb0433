//! A statement: planned, and run within its limits at one moment.

use std::any::Any;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::ParamValues;
use datafusion::execution::context::SQLOptions;
use datafusion::execution::{SendableRecordBatchStream, SessionState, TaskContext};
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::physical_plan::execution_plan::reset_plan_states;
use datafusion::physical_plan::streaming::StreamingTableExec;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::sql::parser::Statement as Parsed;
use datafusion::sql::sqlparser::ast;
use dayfold::schema::Value;
use futures_util::{FutureExt, Stream, StreamExt, TryStreamExt};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Sleep, sleep, timeout};

use crate::cache::Planned;
use crate::divided::{self, Execution};
use crate::exec::ViewExec;
use crate::shared::{Shared, runtime};
use crate::threads::Threads;
use crate::{SqlError, last, predicates, values};

/// How much longer than its statement a snapshot may live.
const SPARE: Duration = Duration::from_secs(1);

/// A planned statement.
#[derive(Clone)]
pub struct Statement {
    inner: Arc<Shared>,
    planned: Planned,
}

/// Plans a statement that reads.
pub(crate) async fn plan(
    inner: Arc<Shared>,
    statement: ast::Statement,
) -> Result<Statement, SqlError> {
    let state = inner.context.state();
    let what = statement.to_string();
    let parsed = Parsed::Statement(Box::new(statement));
    let plan = state.statement_to_plan(parsed).await.map_err(SqlError::plan)?;
    // The plan decides this, not the text of the statement.
    let read_only =
        SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    if read_only.verify_plan(&plan).is_err() {
        let what = what.split_whitespace().next().unwrap_or("nothing").to_uppercase();
        return Err(SqlError::ReadOnly { what });
    }
    predicates::check(&plan).map_err(SqlError::plan)?;
    Ok(Statement { inner, planned: Planned::new(plan) })
}

/// A statement that was planned before, if its plan was kept.
pub(crate) fn kept(inner: &Arc<Shared>, text: &str) -> Option<Statement> {
    let planned = inner.cache.get(text)?;
    Some(Statement { inner: Arc::clone(inner), planned })
}

impl Statement {
    /// The columns of its rows.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(self.planned.logical.schema().inner())
    }

    /// Keeps its plan for the same text, if it is the same at any time.
    pub(crate) fn keep(&self, text: &str) {
        self.inner.cache.keep(text, &self.planned);
    }

    /// The physical plan with these values.
    async fn physical(
        &self,
        state: &SessionState,
        values: Option<ParamValues>,
    ) -> Result<Arc<dyn ExecutionPlan>, SqlError> {
        let Planned { logical, physical: kept } = &self.planned;
        let logical = logical.clone();
        let logical = match values {
            Some(values) => {
                let logical = last::with_values(logical, &values).map_err(SqlError::plan)?;
                logical.with_param_values(values).map_err(SqlError::plan)?
            }
            None => match kept.as_ref().and_then(|kept| kept.get()) {
                // Its steps have states, such as what was read of the other side of a join.
                Some(plan) => return reset_plan_states(Arc::clone(plan)).map_err(SqlError::plan),
                None => logical,
            },
        };
        let physical = state.create_physical_plan(&logical).await.map_err(SqlError::plan)?;
        let Some(kept) = kept else { return Ok(physical) };
        let kept = kept.get_or_init(|| physical);
        reset_plan_states(Arc::clone(kept)).map_err(SqlError::plan)
    }

    /// The types of its parameters `$1`, `$2` and so on, as far as the statement determines them.
    ///
    /// # Errors
    /// [`SqlError::Plan`]: a parameter has two types.
    pub fn parameters(&self) -> Result<Vec<Option<DataType>>, SqlError> {
        let mut types = self.planned.logical.get_parameter_types().map_err(SqlError::plan)?;
        // The planner does not infer that these are numbers.
        for name in limits(&self.planned.logical) {
            types.insert(name, Some(DataType::Int64));
        }
        // The planner does not look into tables.
        for name in last::parameters(&self.planned.logical).map_err(SqlError::plan)? {
            types.insert(name, Some(DataType::Utf8));
        }
        // PostgreSQL's protocol has no more parameters than these.
        let number = |name: &str| name.strip_prefix('$')?.parse::<u16>().ok();
        let mut all = Vec::new();
        for (name, of) in types {
            let Some(at) = number(&name).and_then(|number| number.checked_sub(1)) else { continue };
            let at = usize::from(at);
            // A number may be missing in the statement; the parameter has a value all the same.
            if all.len() <= at {
                all.resize(at + 1, None);
            }
            all[at] = of;
        }
        Ok(all)
    }

    /// Runs it with these values of its parameters. A text is converted to the type that the statement expects.
    ///
    /// ```
    /// use dayfold::schema::Value;
    /// use dayfold_sql::{Rows, Sql, SqlError};
    ///
    /// async fn of_shop(sql: &Sql, shop: &str) -> Result<Rows, SqlError> {
    ///     let statement = sql.prepare("SELECT day, cents FROM sales WHERE shop = $1").await?;
    ///     statement.run_with(&[Value::Text(shop.to_owned())]).await
    /// }
    /// ```
    ///
    /// # Errors
    /// [`SqlError::Parameters`]: there are too many or too few, or one does not match. And those of [`Statement::run`].
    pub async fn run_with(&self, values: &[Value]) -> Result<Rows, SqlError> {
        self.run(values::bind(values, &self.parameters()?)?).await
    }

    /// Runs it, with values of its parameters if it has any.
    ///
    /// # Errors
    /// [`SqlError`]: it cannot be planned with these values, or cannot run now.
    pub async fn run(&self, values: Option<ParamValues>) -> Result<Rows, SqlError> {
        let Shared { running, limits, .. } = &*self.inner;
        let permit = Arc::clone(running).try_acquire_owned();
        let permit = permit.map_err(|_| SqlError::Busy { running: limits.statements })?;
        let limit = limits.time;
        let deadline = Box::pin(sleep(limit));
        let begun = timeout(limit, self.begin(values)).await;
        let rows = begun.map_err(|_| SqlError::TimedOut { limit })??;
        let schema = rows.schema();
        Ok(Rows {
            schema,
            rows,
            deadline,
            time: limit,
            left: limits.rows,
            rows_max: limits.rows,
            _permit: permit,
        })
    }

    async fn begin(
        &self,
        values: Option<ParamValues>,
    ) -> Result<SendableRecordBatchStream, SqlError> {
        let Shared { context, views, limits, .. } = &*self.inner;
        let state = context.state();
        let plan = self.physical(&state, values).await?;
        let task = TaskContext::from(&state).with_runtime(Arc::new(runtime(limits.memory)?));
        let config =
            state.config().clone().with_extension(Arc::new(Execution::new(&self.inner.readers)));
        // A single scan has one moment anyway.
        let config = match (views, scans(&plan)) {
            (None, _) | (_, 0 | 1) => config,
            (Some(views), _) => {
                let snapshot = views.snapshot_async(limits.time + SPARE).await;
                config.with_extension(Arc::new(snapshot.map_err(SqlError::View)?))
            }
        };
        let task = Arc::new(task.with_session_config(config));
        // What reads many rows also computes with them at a low priority.
        let rows = match is_divided(&plan) {
            true => divided::execute(&self.inner.readers, plan, task),
            false => execute_stream(plan, task),
        };
        rows.map_err(SqlError::run)
    }
}

/// The parameters in `LIMIT` and `OFFSET`.
fn limits(plan: &LogicalPlan) -> Vec<String> {
    let mut found = Vec::new();
    if let LogicalPlan::Limit(limit) = plan {
        let both = [&limit.skip, &limit.fetch].into_iter().flatten();
        found.extend(both.filter_map(|expr| match &**expr {
            Expr::Placeholder(parameter) => Some(parameter.id.clone()),
            _ => None,
        }));
    }
    found.extend(plan.inputs().into_iter().flat_map(limits));
    found
}

/// Whether several threads divide a scan of the plan among them.
fn is_divided(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let own = (plan.as_ref() as &dyn Any).downcast_ref::<ViewExec>();
    own.is_some_and(ViewExec::is_divided) || plan.children().into_iter().any(is_divided)
}

/// The number of times that a plan reads views.
fn scans(plan: &Arc<dyn ExecutionPlan>) -> usize {
    let own = plan.as_ref() as &dyn Any;
    let own = match own.downcast_ref::<ViewExec>() {
        Some(view) => view.scans(),
        // Each view is asked for its certificate.
        None if own.is::<StreamingTableExec>() => 2,
        None => 0,
    };
    own + plan.children().into_iter().map(scans).sum::<usize>()
}

/// The rows of a statement, which are made as they are taken. Dropping them stops the statement.
#[must_use = "dropped, it stops the statement"]
pub struct Rows {
    schema: SchemaRef,
    rows: SendableRecordBatchStream,
    deadline: Pin<Box<Sleep>>,
    time: Duration,
    left: u64,
    rows_max: u64,
    _permit: OwnedSemaphorePermit,
}

impl Rows {
    /// The columns.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// All rows.
    ///
    /// # Errors
    /// The first [`SqlError`].
    pub async fn collect(self) -> Result<Vec<RecordBatch>, SqlError> {
        self.try_collect().await
    }
}

impl Stream for Rows {
    type Item = Result<RecordBatch, SqlError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.deadline.poll_unpin(context).is_ready() {
            return Poll::Ready(Some(Err(SqlError::TimedOut { limit: self.time })));
        }
        let batch = match std::task::ready!(self.rows.poll_next_unpin(context)) {
            None => return Poll::Ready(None),
            Some(Err(error)) => return Poll::Ready(Some(Err(SqlError::run(error)))),
            Some(Ok(batch)) => batch,
        };
        let rows = batch.num_rows() as u64;
        Poll::Ready(Some(match self.left.checked_sub(rows) {
            None => Err(SqlError::TooManyRows { limit: self.rows_max }),
            Some(left) => {
                self.left = left;
                Ok(batch)
            }
        }))
    }
}

/// The rows of a statement for programs without a runtime, as an iterator of batches that blocks. Dropping it stops the
/// statement.
#[must_use = "dropped, it stops the statement"]
pub struct Batches {
    rows: Rows,
    threads: Threads,
}

impl Batches {
    pub(crate) fn new(rows: Rows, threads: Threads) -> Batches {
        Batches { rows, threads }
    }

    /// The columns.
    pub fn schema(&self) -> &SchemaRef {
        self.rows.schema()
    }
}

impl Iterator for Batches {
    type Item = Result<RecordBatch, SqlError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.threads.block_on(self.rows.next())
    }
}
