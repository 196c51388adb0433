//! A view as a table.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::catalog::Session;
use datafusion::common::{DFSchema, DataFusionError, plan_err};
use datafusion::datasource::{DefaultTableSource, TableProvider, TableType};
use datafusion::error::Result;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, LogicalPlan, TableProviderFilterPushDown, TableScan};
use datafusion::physical_expr::expressions as physical;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};
use dayfold::scan::{ErasedView, Scan};
use dayfold::schema::{Column, Grain, Kind, Measure, ViewSchema};
use dayfold::serve::Revision;
use dayfold::time::Last;

use crate::bounds::{Bounds, Pushed};
use crate::exec::ViewExec;
use crate::window::Window;

/// In the metadata of an estimate: the name of the column with its sketch.
pub(crate) const SKETCH: &str = "dayfold.sketch";

/// In the metadata of a field: adding up its values over rows has no meaning, as for means and extremes.
pub(crate) const NOT_ADDITIVE: &str = "dayfold.not_additive";

/// The column that says whether a row has only sealed values.
pub(crate) const SEALED: &str = "sealed";

/// The form in which a table is read: depending on its use of rows, a plan may need fewer of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// One row for each period and key.
    Rows,
    /// Keys combined. The columns of the key are not read.
    ByPeriod,
    /// All combined. Neither the period nor the columns of the key are read.
    Total,
    /// Periods combined. The period is not read.
    ByKey,
    /// The keys with the greatest values of a measure, periods combined.
    Top { n: u32, by: String },
}

/// A view as a table.
#[derive(Clone)]
pub(crate) struct ViewTable {
    view: Arc<dyn ErasedView>,
    schema: SchemaRef,
    revision: Revision,
    form: Form,
    /// Longer periods than those of the view, if set.
    grain: Option<Grain>,
    /// The last periods, if it is limited to them.
    window: Option<Window>,
    /// Whether the statement does not depend on the order of rows.
    in_any_order: bool,
}

impl ViewTable {
    pub(crate) fn new(view: Arc<dyn ErasedView>, revision: Revision) -> ViewTable {
        let schema = schema_of(&view, false);
        let (form, grain, window) = (Form::Rows, None, None);
        ViewTable { view, schema, revision, form, grain, window, in_any_order: false }
    }

    /// The same, limited to a window.
    pub(crate) fn within(self, window: Window) -> ViewTable {
        ViewTable { window: Some(window), ..self }
    }

    pub(crate) fn window(&self) -> Option<&Window> {
        self.window.as_ref()
    }

    /// The same as of a revision, with the columns of its sketches or without.
    pub(crate) fn read_as(&self, revision: Revision, sketches: bool) -> ViewTable {
        ViewTable { revision, schema: schema_of(&self.view, sketches), ..self.clone() }
    }

    /// Measures, and the columns of the sketches that they are computed from.
    pub(crate) fn sketches(&self) -> Vec<(String, String)> {
        sketches(self.view.schema())
    }

    pub(crate) fn view(&self) -> &Arc<dyn ErasedView> {
        &self.view
    }

    pub(crate) fn form(&self) -> &Form {
        &self.form
    }

    pub(crate) fn in_form(&self, form: Form, grain: Option<Grain>) -> ViewTable {
        ViewTable { form, grain, ..self.clone() }
    }

    /// The same, read in any order; `None` if it is already.
    pub(crate) fn in_any_order(&self) -> Option<ViewTable> {
        (!self.in_any_order).then(|| ViewTable { in_any_order: true, ..self.clone() })
    }

    /// Whether rows of longer periods can replace those of the view: both are named by dates, and no past revision is
    /// read.
    pub(crate) fn has_periods_of(&self, grain: Grain) -> bool {
        let own = self.view.schema().grain;
        self.revision == Revision::Now
            && own != Grain::Hour
            && own.coarser().any(|one| one == grain)
    }

    /// The scans that read these columns within these bounds: one for each set of keys.
    fn scans(
        &self,
        columns: &[usize],
        bounds: Bounds,
        last: Option<Last>,
        limit: Option<usize>,
    ) -> Vec<Scan> {
        let period = self.view.schema().period().name;
        let names = columns.iter().map(|&at| match (self.schema.field(at).name(), self.grain) {
            (name, Some(grain)) if *name == period => grain.name().to_owned(),
            (name, _) => name.clone(),
        });
        let scan = match &self.form {
            Form::Rows => Scan::rows(),
            Form::ByPeriod => Scan::by_period(),
            Form::Total => Scan::total(),
            Form::ByKey => Scan::by_key(),
            Form::Top { n, by } => Scan::top(*n, by),
        };
        let scan = scan.columns(names).periods(bounds.periods).revision(self.revision);
        let scan = match self.grain {
            Some(grain) => scan.by(grain),
            None => scan,
        };
        let scan = match last {
            Some(last) => scan.last(last),
            None => scan,
        };
        let scan = match limit {
            Some(limit) if !matches!(self.form, Form::Top { .. }) => scan.limit(limit as u64),
            _ => scan,
        };
        bounds.keys.into_iter().map(|keys| scan.clone().keys(keys)).collect()
    }
}

impl fmt::Debug for ViewTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ViewTable")
            .field("view", &self.view.name())
            .field("form", &self.form)
            .field("grain", &self.grain)
            .field("window", &self.window)
            .field("revision", &self.revision)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl TableProvider for ViewTable {
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
        let pushed = Bounds::of(&*self.view, filters).1;
        Ok(pushed.into_iter().map(Pushed::into).collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let all: Vec<usize> = (0..self.schema.fields().len()).collect();
        let projection = projection.unwrap_or(&all);
        let of_filters: Vec<&Expr> = filters.iter().collect();
        let (bounds, pushed) = Bounds::of(&*self.view, &of_filters);
        // The optimizer asks about conditions one by one. Conditions that a scan accepts one by one may not be accepted
        // together.
        let left = filters.iter().zip(&pushed).filter(|(_, pushed)| **pushed == Pushed::No);
        let left: Vec<Expr> = left.map(|(filter, _)| filter.clone()).collect();
        let Some(predicate) = conjunction(left) else {
            // Rows that a filter above removes do not count.
            let limit = limit.filter(|_| pushed.iter().all(|pushed| *pushed == Pushed::Exact));
            return self.read(state, projection, bounds, limit);
        };
        let mut columns = projection.clone();
        for column in predicate.column_refs() {
            let at = self.schema.index_of(&column.name)?;
            if !columns.contains(&at) {
                columns.push(at);
            }
        }
        let read = self.read(state, &columns, bounds, None)?;
        let schema = DFSchema::try_from(read.schema())?;
        let predicate = state.create_physical_expr(predicate, &schema)?;
        let filtered = Arc::new(FilterExec::try_new(predicate, read)?);
        let projected = projection.iter().enumerate().map(|(at, &column)| {
            let name = self.schema.field(column).name().clone();
            ProjectionExpr { expr: Arc::new(physical::Column::new(&name, at)), alias: name }
        });
        Ok(Arc::new(ProjectionExec::try_new(projected.collect::<Vec<_>>(), filtered)?))
    }
}

impl ViewTable {
    /// Reads these columns within these bounds.
    fn read(
        &self,
        state: &dyn Session,
        columns: &[usize],
        bounds: Bounds,
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = Arc::new(self.schema.project(columns)?);
        // Rows without columns are counted by a column that costs nothing.
        let columns = match columns {
            [] => vec![self.cheapest()?],
            columns => columns.to_vec(),
        };
        let last = match &self.window {
            None => None,
            Some(Window::Last(last)) => Some(*last),
            Some(Window::Parameter(name)) => {
                return plan_err!("{name}: expected a value, a window such as '7 days'");
            }
        };
        let mut scans = self.scans(&columns, bounds, last, limit);
        let is_divided = self.in_any_order
            && self.form == Form::Rows
            && self.revision == Revision::Now
            && self.grain.is_none()
            && limit.is_none()
            && scans.len() == 1;
        let partitions = is_divided.then(|| state.config().target_partitions());
        if is_divided {
            scans = scans.into_iter().map(Scan::in_any_order).collect();
        }
        let view = Arc::clone(&self.view);
        let read = (self.revision, self.grain, last);
        Ok(Arc::new(ViewExec::new(view, scans, read, schema, limit, partitions)))
    }

    /// A column that exists in this form.
    fn cheapest(&self) -> Result<usize> {
        let missing = |_| DataFusionError::Internal(format!("no column '{SEALED}'"));
        self.schema.index_of(SEALED).map_err(missing)
    }
}

impl From<Pushed> for TableProviderFilterPushDown {
    fn from(pushed: Pushed) -> Self {
        match pushed {
            Pushed::Exact => TableProviderFilterPushDown::Exact,
            Pushed::Inexact => TableProviderFilterPushDown::Inexact,
            Pushed::No => TableProviderFilterPushDown::Unsupported,
        }
    }
}

/// The columns of a view for Arrow: the period, those of the key, the measures, with their sketches or without, and whether the
/// row is sealed.
fn schema_of(view: &Arc<dyn ErasedView>, with_sketches: bool) -> SchemaRef {
    let view = view.schema();
    let sketches = if with_sketches { Vec::new() } else { sketches(view) };
    let measures = view.measures.iter();
    let measures = measures.filter(|measure| !is_sketch(&sketches, &measure.name));
    let mut columns = vec![view.period()];
    columns.extend(view.key.iter().cloned());
    columns.extend(measures.map(Measure::column));
    columns.push(Column::new(SEALED, Kind::Boolean));
    table_schema(&columns, Some(view))
}

/// The measures of a view that are computed from sketches which are columns too, with these.
pub(crate) fn sketches(view: &ViewSchema) -> Vec<(String, String)> {
    let measures = view.measures.iter();
    let found = measures.filter_map(|measure| {
        let sketch = sketch_of(view, &measure.name)?;
        Some((measure.name.clone(), sketch.to_owned()))
    });
    found.collect()
}

/// Whether a column is one of these sketches.
pub(crate) fn is_sketch(sketches: &[(String, String)], column: &str) -> bool {
    sketches.iter().any(|(_, sketch)| sketch == column)
}

/// The Arrow schema of a view's columns. The metadata of a measure that is computed from a sketch names the sketch.
pub(crate) fn table_schema(columns: &[Column], view: Option<&ViewSchema>) -> SchemaRef {
    let plain = dayfold_arrow::schema(columns);
    let fields = plain.fields().iter().map(|field| {
        let measure = view.and_then(|view| {
            let measure = view.measures.iter().find(|measure| measure.name == *field.name());
            measure.filter(|measure| !measure.additive).map(|measure| (view, measure))
        });
        let metadata = measure.map(|(view, measure)| match sketch_of(view, &measure.name) {
            Some(sketch) => (SKETCH.to_owned(), sketch.to_owned()),
            None => (NOT_ADDITIVE.to_owned(), String::new()),
        });
        Field::clone(field).with_metadata(metadata.into_iter().collect())
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// The column with the sketch from which a measure is computed: `users_sketch` for `users`, `delay_sketch` for
/// `delay_p99`.
fn sketch_of<'a>(view: &'a ViewSchema, measure: &str) -> Option<&'a str> {
    let own = view.measures.iter().find(|own| own.name == measure)?;
    if own.kind == Kind::Bytes || own.additive {
        return None;
    }
    let sketch = |name: &str| {
        let name = if name.is_empty() { "sketch".to_owned() } else { format!("{name}_sketch") };
        let found = view.measures.iter().find(|m| m.name == name && m.kind == Kind::Bytes);
        found.map(|found| found.name.as_str())
    };
    let part = || match measure.rsplit_once('_') {
        Some((whole, quantile)) if quantile.starts_with('p') => sketch(whole),
        None if measure.starts_with('p') => sketch(""),
        _ => None,
    };
    sketch(measure).or_else(part)
}

/// The table of a plan, if it is a scan of a view.
pub(crate) fn of_plan(plan: &LogicalPlan) -> Option<&ViewTable> {
    match plan {
        LogicalPlan::TableScan(scan) => of_scan(scan),
        _ => None,
    }
}

/// The plan of a scan with another table.
pub(crate) fn with_table(plan: LogicalPlan, table: ViewTable) -> LogicalPlan {
    match plan {
        LogicalPlan::TableScan(scan) => {
            let source = Arc::new(DefaultTableSource::new(Arc::new(table)));
            LogicalPlan::TableScan(TableScan { source, ..scan })
        }
        other => other,
    }
}

/// The table of a scan, if it is a view.
pub(crate) fn of_scan(scan: &TableScan) -> Option<&ViewTable> {
    let source = (scan.source.as_ref() as &dyn Any).downcast_ref::<DefaultTableSource>()?;
    (source.table_provider.as_ref() as &dyn Any).downcast_ref::<ViewTable>()
}
