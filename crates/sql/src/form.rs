//! Plans that need fewer rows of a view than one for each period and key.
//!
//! A sum over rows is a sum over sums. So if a statement groups only by columns of the key, the view combines periods,
//! and if it groups only by the period, the view combines keys; if it has no groups, both. All of these exist already,
//! as totals of sealed days or as states that the view can merge, and where periods are gone, as rollups. If a
//! statement wants the keys with the greatest sums, the view finds them. If it groups by `date_trunc('month', day)`, the view combines the days of a month, and may have their sums as a rollup.
//! The rest of the plan does not change.

use std::collections::HashSet;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DataFusionError};
use datafusion::error::Result;
use datafusion::logical_expr::expr::{AggregateFunction, AggregateFunctionParams};
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan, Sort, TableScan};
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};
use dayfold::schema::{Grain, Kind};

use crate::bounds::{Bounds, Pushed};
use crate::functions::{MERGE_DISTINCT, MERGE_QUANTILE, SUM};
use crate::table::{Form, SEALED, ViewTable, of_plan, of_scan, with_table};

/// Chooses the [`Form`] in which tables are read.
#[derive(Debug)]
pub(crate) struct ReadCombined;

impl OptimizerRule for ReadCombined {
    fn name(&self) -> &str {
        "read_combined"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        _: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>, DataFusionError> {
        match &plan {
            LogicalPlan::Sort(sort) if sort.fetch.is_some() => greatest(sort, &plan),
            LogicalPlan::Aggregate(aggregate) => combined(aggregate, &plan),
            _ => Ok(Transformed::no(plan)),
        }
    }
}

/// Reads tables in any order where the statement sorts, groups or joins their rows anyway. Other statements get rows by
/// period and key.
#[derive(Debug)]
pub(crate) struct ReadInAnyOrder;

impl OptimizerRule for ReadInAnyOrder {
    fn name(&self) -> &str {
        "read_in_any_order"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        _: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>, DataFusionError> {
        let orders = matches!(
            plan,
            LogicalPlan::Aggregate(_)
                | LogicalPlan::Sort(_)
                | LogicalPlan::Join(_)
                | LogicalPlan::Window(_)
        );
        if !orders {
            return Ok(Transformed::no(plan));
        }
        plan.transform_down(|plan| {
            let Some(table) = of_plan(&plan).and_then(ViewTable::in_any_order) else {
                return Ok(Transformed::no(plan));
            };
            Ok(Transformed::yes(with_table(plan, table)))
        })
    }
}

/// An aggregation of a table that is read row by row, in a form with fewer rows.
fn combined(aggregate: &Aggregate, plan: &LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let unchanged = || Ok(Transformed::no(plan.clone()));
    let Some(scan) = scan_below(&aggregate.input) else { return unchanged() };
    let Some(table) = of_scan(scan) else { return unchanged() };
    let Some(form) = form(aggregate, table) else { return unchanged() };
    let grain = grain(aggregate, table);
    let has_fewer = form != Form::Rows || grain.is_some();
    let is_read_in_full = *table.form() == Form::Rows && is_exact(scan, table);
    if !has_fewer || !is_read_in_full || !has_columns(scan, table, &form) {
        return unchanged();
    }
    with_form(plan, form, grain)
}

/// The keys with the greatest sums, for an aggregation that is read by key.
fn greatest(sort: &Sort, plan: &LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let unchanged = || Ok(Transformed::no(plan.clone()));
    let [by] = &sort.expr[..] else { return unchanged() };
    let Some(n) = sort.fetch.and_then(|n| u32::try_from(n).ok()) else { return unchanged() };
    let Some((aggregate, Some(column))) = aggregate_below(&sort.input, &by.expr) else {
        return unchanged();
    };
    let Some(scan) = scan_below(&aggregate.input) else { return unchanged() };
    let Some(table) = of_scan(scan) else { return unchanged() };
    let is_read_in_full = matches!(table.form(), Form::Rows | Form::ByKey);
    let is_by_key = form(aggregate, table) == Some(Form::ByKey);
    if by.asc || !is_read_in_full || !is_by_key || !is_exact(scan, table) {
        return unchanged();
    }
    let grouped = group_columns(aggregate);
    let view = table.view().schema();
    let is_by_whole_key = grouped.len() == view.key.len()
        && aggregate.group_expr.iter().all(|expr| matches!(expr, Expr::Column(_)))
        && view.key.iter().all(|column| grouped.contains(&column.name));
    let Some(measure) = summed(aggregate, &column) else { return unchanged() };
    // A measure of the program with the same name would be found first.
    let ranks = table.view().ranked_by();
    let is_ranked = ranks.iter().filter(|name| **name == measure).count() == 1;
    // Keys without a value come last in a view. In a statement they come first, unless it says otherwise.
    let nullable = view.measures.iter().any(|own| own.name == measure && own.nullable);
    // Several sets of keys are several scans, each with its own greatest.
    let filters: Vec<&Expr> = scan.filters.iter().collect();
    let is_one = Bounds::of(&**table.view(), &filters).0.keys.len() == 1;
    let form = Form::Top { n, by: measure };
    if !is_by_whole_key || !is_ranked || nullable || !is_one || !has_columns(scan, table, &form) {
        return unchanged();
    }
    with_form(plan, form, None)
}

/// Whether this form has all columns that are read from a table.
fn has_columns(scan: &TableScan, table: &ViewTable, form: &Form) -> bool {
    let view = table.view().schema();
    let is_there = |name: &str| match form {
        Form::Rows => true,
        Form::ByPeriod => view.key.iter().all(|own| own.name != name),
        Form::Total => view.key.iter().all(|own| own.name != name) && view.period().name != name,
        Form::ByKey | Form::Top { .. } => view.period().name != name,
    };
    let projected = scan.projected_schema.fields().iter();
    projected.map(|field| field.name()).all(|name| is_there(name))
}

/// The plan with its table in this form.
fn with_form(
    plan: &LogicalPlan,
    form: Form,
    grain: Option<Grain>,
) -> Result<Transformed<LogicalPlan>> {
    plan.clone().transform_down(|plan| {
        let Some(table) = of_plan(&plan).map(|table| table.in_form(form.clone(), grain)) else {
            return Ok(Transformed::no(plan));
        };
        Ok(Transformed::yes(with_table(plan, table)))
    })
}

/// The scan directly below.
fn scan_below(plan: &LogicalPlan) -> Option<&TableScan> {
    match plan {
        LogicalPlan::TableScan(scan) => Some(scan),
        LogicalPlan::SubqueryAlias(alias) => scan_below(&alias.input),
        _ => None,
    }
}

/// The aggregation below, and the expression of a column above in it.
fn aggregate_below<'a>(
    plan: &'a LogicalPlan,
    by: &Expr,
) -> Option<(&'a Aggregate, Option<Column>)> {
    let Expr::Column(column) = by else { return None };
    match plan {
        LogicalPlan::Aggregate(aggregate) => Some((aggregate, Some(column.clone()))),
        LogicalPlan::Projection(projection) => {
            let at = projection.schema.maybe_index_of_column(column)?;
            let mut expr = &projection.expr[at];
            while let Expr::Alias(alias) = expr {
                expr = &alias.expr;
            }
            aggregate_below(&projection.input, expr)
        }
        _ => None,
    }
}

/// Whether the scan returns exactly the rows that its filters accept.
fn is_exact(scan: &TableScan, table: &ViewTable) -> bool {
    let filters: Vec<&Expr> = scan.filters.iter().collect();
    let (_, pushed) = Bounds::of(&**table.view(), &filters);
    scan.fetch.is_none() && pushed.iter().all(|pushed| *pushed == Pushed::Exact)
}

/// The columns of the period and of the key that an aggregation reads, if its results do not change when rows are
/// combined: sums of measures that add up, merged sketches, and minima and maxima of these columns.
fn columns_read(aggregate: &Aggregate, table: &ViewTable) -> Option<HashSet<String>> {
    let mut read = group_columns(aggregate);
    for expr in &aggregate.aggr_expr {
        let (function, column) = function_of(expr)?;
        let measure = table.view().schema().measures.iter().find(|own| own.name == column);
        match (function, measure) {
            (SUM, Some(measure)) if measure.additive => {}
            (MERGE_DISTINCT | MERGE_QUANTILE, Some(measure)) if measure.kind == Kind::Bytes => {}
            // Such a column has the same value in all rows that are combined.
            ("min" | "max", None) if column != SEALED => drop(read.insert(column.to_owned())),
            _ => return None,
        }
    }
    Some(read)
}

/// The name of an aggregate function and its column, if the expression is nothing more.
fn function_of(expr: &Expr) -> Option<(&str, &str)> {
    let expr = match expr {
        Expr::Alias(alias) => &alias.expr,
        other => other,
    };
    let Expr::AggregateFunction(AggregateFunction { func, params }) = expr else { return None };
    let AggregateFunctionParams { args, distinct: false, filter: None, order_by, .. } = params
    else {
        return None;
    };
    match &args[..] {
        // A quantile is a literal.
        [Expr::Column(column)] | [Expr::Column(column), Expr::Literal(..)]
            if order_by.is_empty() =>
        {
            Some((func.name(), &column.name))
        }
        _ => None,
    }
}

/// The measure that is summed in a column of the aggregation.
fn summed(aggregate: &Aggregate, column: &Column) -> Option<String> {
    let at = aggregate.schema.maybe_index_of_column(column)?;
    let at = at.checked_sub(aggregate.group_expr.len())?;
    let (function, measure) = function_of(&aggregate.aggr_expr[at])?;
    (function == SUM).then(|| measure.to_owned())
}

/// The columns by which it groups.
fn group_columns(aggregate: &Aggregate) -> HashSet<String> {
    let columns = aggregate.group_expr.iter().flat_map(|expr| expr.column_refs());
    columns.map(|column| column.name.clone()).collect()
}

/// The longer periods whose rows are sufficient for these groups, if the period is only read in `date_trunc` of one
/// grain.
fn grain(aggregate: &Aggregate, table: &ViewTable) -> Option<Grain> {
    let period = table.view().schema().period().name;
    let reads_period = |expr: &Expr| expr.column_refs().iter().any(|column| column.name == period);
    if aggregate.aggr_expr.iter().any(reads_period) {
        return None;
    }
    let mut grains = aggregate.group_expr.iter().filter(|expr| reads_period(expr)).map(|expr| {
        let truncated = truncated(expr).filter(|(_, column)| *column == period);
        truncated.map(|(grain, _)| grain).filter(|grain| table.has_periods_of(*grain))
    });
    let first = grains.next()??;
    grains.all(|grain| grain == Some(first)).then_some(first)
}

/// The grain and the column of `date_trunc`, if an expression is nothing more than that, or a cast of it.
fn truncated(expr: &Expr) -> Option<(Grain, &str)> {
    match expr {
        Expr::Alias(alias) => truncated(&alias.expr),
        Expr::Cast(cast) => truncated(&cast.expr),
        Expr::ScalarFunction(call) if call.func.name() == "date_trunc" => {
            let [Expr::Literal(grain, _), column] = &call.args[..] else { return None };
            let grain = Grain::named(&grain.try_as_str()??.to_ascii_lowercase())?;
            let mut column = column;
            while let Expr::Cast(cast) = column {
                column = &cast.expr;
            }
            let Expr::Column(column) = column else { return None };
            Some((grain, &column.name))
        }
        _ => None,
    }
}

/// The form whose rows are sufficient for these groups.
fn form(aggregate: &Aggregate, table: &ViewTable) -> Option<Form> {
    // Grouping sets are several aggregations, and volatile functions may give another value each time.
    let is_plain = aggregate
        .group_expr
        .iter()
        .all(|expr| !matches!(expr, Expr::GroupingSet(_)) && !expr.is_volatile());
    let read = columns_read(aggregate, table).filter(|_| is_plain)?;
    let period = table.view().schema().period();
    let is_key = |name: &String| table.view().schema().key.iter().any(|own| own.name == *name);
    if read.is_empty() {
        // Without rows, the result is one row with a null sum.
        Some(Form::Total)
    } else if read.iter().all(|name| *name == period.name) {
        Some(Form::ByPeriod)
    } else if read.iter().all(is_key) {
        Some(Form::ByKey)
    } else {
        Some(Form::Rows)
    }
}
