//! `revision_of('sales', 'first')`: past revisions of sealed periods.

use std::sync::Arc;

use datafusion::catalog::{TableFunctionArgs, TableFunctionImpl};
use datafusion::common::{ScalarValue, plan_datafusion_err, plan_err};
use datafusion::datasource::TableProvider;
use datafusion::error::Result;
use datafusion::logical_expr::Expr;
use dayfold::engine::Views;
use dayfold::serve::Revision;

use crate::table::ViewTable;

/// The function.
#[derive(Clone)]
pub(super) struct RevisionOf {
    views: Views,
}

impl RevisionOf {
    pub(super) fn new(views: &Views) -> RevisionOf {
        RevisionOf { views: views.clone() }
    }
}

impl std::fmt::Debug for RevisionOf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("revision_of")
    }
}

impl TableFunctionImpl for RevisionOf {
    fn call_with_args(&self, args: TableFunctionArgs) -> Result<Arc<dyn TableProvider>> {
        let [view, revision] = args.exprs() else {
            return plan_err!(
                "revision_of takes a view and a revision: revision_of('sales', 'first')"
            );
        };
        let (view, revision) = (text(view)?, text(revision)?);
        let views = self.views.now();
        let found = views.get(&view);
        let names = || views.iter().map(|view| view.name()).collect::<Vec<_>>().join(", ");
        let view = found
            .ok_or_else(|| plan_datafusion_err!("no view '{view}': expected one of {}", names()))?;
        Ok(Arc::new(ViewTable::new(Arc::clone(view), self::revision(&revision)?)))
    }
}

/// The text of a literal.
pub(crate) fn text(expr: &Expr) -> Result<String> {
    match expr {
        Expr::Literal(
            ScalarValue::Utf8(Some(text))
            | ScalarValue::LargeUtf8(Some(text))
            | ScalarValue::Utf8View(Some(text)),
            _,
        ) => Ok(text.clone()),
        other => plan_err!("expected a text, not {other}"),
    }
}

/// Parses `now`, `first`, or the day whose closing made the revision.
pub(crate) fn revision(text: &str) -> Result<Revision> {
    match text {
        "now" => Ok(Revision::Now),
        "first" => Ok(Revision::First),
        day => match day.parse() {
            Ok(day) => Ok(Revision::At(day)),
            Err(_) => {
                plan_err!("no revision '{text}': expected now, first, or a day such as 2024-05-01")
            }
        },
    }
}
