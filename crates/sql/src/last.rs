//! `last('sales', '7 days')`: a view, limited to its last periods as of now.

use std::sync::Arc;

use datafusion::catalog::{TableFunctionArgs, TableFunctionImpl};
use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::common::{ParamValues, plan_datafusion_err, plan_err};
use datafusion::datasource::TableProvider;
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, LogicalPlan};
use dayfold::engine::Views;
use dayfold::serve::Revision;

use crate::functions::text;
use crate::reading::Reading;
use crate::table::{ViewTable, of_plan, with_table};
use crate::window::Window;

/// The function.
#[derive(Clone)]
pub(crate) struct LastOf {
    /// `None` without an engine, and so without its clock.
    views: Option<Views>,
}

impl LastOf {
    pub(crate) fn new(views: Option<&Views>) -> LastOf {
        LastOf { views: views.cloned() }
    }
}

impl std::fmt::Debug for LastOf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("last")
    }
}

impl TableFunctionImpl for LastOf {
    fn call_with_args(&self, args: TableFunctionArgs) -> Result<Arc<dyn TableProvider>> {
        let [view, window] = args.exprs() else {
            return plan_err!("last takes a view and a window: last('sales', '7 days')");
        };
        let Some(views) = &self.views else {
            return plan_err!(
                "last('sales', '7 days') is as of the clock of a running program, and none runs here: expected a view \
                 with its periods in WHERE"
            );
        };
        let name = text(view)?;
        let Reading { view, revision, sketches } = Reading::of(&name);
        let found = views.get(&view).filter(|_| revision.is_none());
        let names = || views.iter().map(|view| view.name()).collect::<Vec<_>>().join(", ");
        let view = found
            .ok_or_else(|| plan_datafusion_err!("no view '{name}': expected one of {}", names()))?;
        let window = match parameter(window) {
            Some(parameter) => Window::Parameter(parameter),
            None => Window::of_text(&text(window)?, view.schema())?,
        };
        let table = ViewTable::new(Arc::clone(view), Revision::Now);
        Ok(Arc::new(table.read_as(Revision::Now, sketches).within(window)))
    }
}

/// The name of a parameter, if an expression is nothing more.
fn parameter(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Placeholder(parameter) => Some(parameter.id.clone()),
        Expr::Cast(cast) => parameter(&cast.expr),
        _ => None,
    }
}

/// The parameters that are windows.
pub(crate) fn parameters(plan: &LogicalPlan) -> Result<Vec<String>> {
    let mut found = Vec::new();
    plan.apply_with_subqueries(|node| {
        if let Some(Window::Parameter(name)) = of_plan(node).and_then(ViewTable::window) {
            found.push(name.clone());
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}

/// The plan with the windows of these values.
///
/// # Errors
/// One is no window of its view.
pub(crate) fn with_values(plan: LogicalPlan, values: &ParamValues) -> Result<LogicalPlan> {
    let bound = plan.transform_down_with_subqueries(|node| {
        let Some(table) = of_plan(&node) else { return Ok(Transformed::no(node)) };
        let Some(Window::Parameter(name)) = table.window() else {
            return Ok(Transformed::no(node));
        };
        let value = values.get_placeholders_with_values(name)?;
        let Some(Some(text)) = value.value().try_as_str() else {
            return plan_err!("{name}: expected a window such as '7 days', not {}", value.value());
        };
        let window = Window::of_text(text, table.view().schema())?;
        let table = table.clone().within(window);
        Ok(Transformed::yes(with_table(node, table)))
    })?;
    Ok(bound.data)
}
