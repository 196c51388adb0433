//! Statements that were planned before, by their text. Dashboards ask the same again and again, and planning takes longer
//! than most answers.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, LogicalPlan, Volatility};
use datafusion::physical_plan::ExecutionPlan;

use crate::table::of_plan;
use crate::window::Window;

/// The most statements that are kept, and the most bytes of the text of each.
const KEPT_MAX: usize = 256;
const TEXT_MAX: usize = 4_096;

/// The plans of a statement.
#[derive(Clone)]
pub(crate) struct Planned {
    pub(crate) logical: LogicalPlan,
    /// If they can be kept, the physical one, once it was made. It does not say when the views are read; each run does.
    pub(crate) physical: Option<Arc<OnceLock<Arc<dyn ExecutionPlan>>>>,
}

impl Planned {
    pub(crate) fn new(logical: LogicalPlan) -> Planned {
        let physical = can_be_kept(&logical).then(Arc::default);
        Planned { logical, physical }
    }
}

/// The last statements that can be kept.
#[derive(Default)]
pub(crate) struct Cache {
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    by_text: HashMap<String, Planned>,
    /// The texts, the oldest first.
    texts: VecDeque<String>,
}

impl Cache {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub(crate) fn get(&self, text: &str) -> Option<Planned> {
        self.lock().by_text.get(text).cloned()
    }

    /// Forgets all statements: the views have changed.
    pub(crate) fn clear(&self) {
        *self.lock() = Kept::default();
    }

    /// Keeps the plans of a statement, if they are the same at any time.
    pub(crate) fn keep(&self, text: &str, planned: &Planned) {
        if text.len() > TEXT_MAX || planned.physical.is_none() {
            return;
        }
        let mut kept = self.lock();
        if kept.by_text.insert(text.to_owned(), planned.clone()).is_some() {
            return;
        }
        kept.texts.push_back(text.to_owned());
        if kept.texts.len() > KEPT_MAX
            && let Some(oldest) = kept.texts.pop_front()
        {
            kept.by_text.remove(&oldest);
        }
    }
}

/// Whether a plan is the same at any time: it reads nothing but views, and has no functions whose value changes, such as
/// `now()`, which are evaluated when a plan is made.
fn can_be_kept(plan: &LogicalPlan) -> bool {
    let mut is_kept = true;
    let visited = plan.apply_with_subqueries(|node| {
        let reads_views = match node {
            LogicalPlan::TableScan(_) => of_plan(node)
                .is_some_and(|table| !matches!(table.window(), Some(Window::Parameter(_)))),
            LogicalPlan::Explain(_) | LogicalPlan::Analyze(_) | LogicalPlan::RecursiveQuery(_) => {
                false
            }
            _ => true,
        };
        is_kept &= reads_views;
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                is_kept &= match expr {
                    Expr::ScalarFunction(call) => {
                        call.func.signature().volatility == Volatility::Immutable
                    }
                    Expr::Placeholder(_) | Expr::ScalarVariable(..) => false,
                    _ => true,
                };
                Ok(if is_kept { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
            })
        })
    });
    is_kept && visited.is_ok()
}
