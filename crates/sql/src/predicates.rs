//! Predicates of PostgreSQL that DataFusion does not plan, or takes for others.

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::{Expr as PlanExpr, LogicalPlan};
use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, Query, Value};

/// Replaces `SIMILAR TO 'pattern'` by a regular expression, `= ANY (SELECT …)` by `IN`, and `<> ALL (SELECT …)` by
/// `NOT IN`.
pub(crate) fn translate(expr: &mut Expr) {
    let other = match expr {
        Expr::SimilarTo { negated, expr, pattern, escape_char } => {
            let escape = match escape_char {
                Some(escape) => escape.value.clone().into_string(),
                None => Some("\\".to_owned()),
            };
            let Expr::Value(pattern) = &**pattern else { return };
            let (Some(escape), Some(pattern)) = (escape, pattern.value.clone().into_string())
            else {
                return;
            };
            let Some(pattern) = regular(&pattern, &escape) else { return };
            let op = match negated {
                true => BinaryOperator::PGRegexNotMatch,
                false => BinaryOperator::PGRegexMatch,
            };
            let right = Expr::Value(Value::SingleQuotedString(pattern).with_empty_span());
            let (left, right) = (expr.clone(), Box::new(right));
            Expr::Nested(Box::new(Expr::BinaryOp { left, op, right }))
        }
        Expr::AnyOp { left, compare_op: BinaryOperator::Eq, right, .. } => {
            let Some(subquery) = query(right) else { return };
            Expr::InSubquery { expr: left.clone(), subquery, negated: false }
        }
        Expr::AllOp { left, compare_op: BinaryOperator::NotEq, right } => {
            let Some(subquery) = query(right) else { return };
            Expr::InSubquery { expr: left.clone(), subquery, negated: true }
        }
        _ => return,
    };
    *expr = other;
}

fn query(expr: &Expr) -> Option<Box<Query>> {
    match expr {
        Expr::Subquery(query) => Some(query.clone()),
        Expr::Nested(expr) => query(expr),
        _ => None,
    }
}

/// The regular expression that finds the same texts as a pattern of `SIMILAR TO`. `None` if the pattern is wrong.
fn regular(pattern: &str, escape: &str) -> Option<String> {
    let mut escapes = escape.chars();
    let (escape, None) = (escapes.next(), escapes.next()) else { return None };
    let mut out = "(?s)^(?:".to_owned();
    let (mut chars, mut in_class) = (pattern.chars().peekable(), false);
    while let Some(one) = chars.next() {
        if Some(one) == escape {
            quote(chars.next()?, &mut out);
            continue;
        }
        match one {
            ']' if in_class => {
                in_class = false;
                out.push(one);
            }
            // A named class, as in `[[:alpha:]]`.
            '[' if in_class && chars.peek() == Some(&':') => {
                out.push(one);
                loop {
                    let one = chars.next()?;
                    out.push(one);
                    if one == ']' {
                        break;
                    }
                }
            }
            '-' | '^' if in_class => out.push(one),
            _ if in_class => quote(one, &mut out),
            '[' => {
                in_class = true;
                out.push(one);
            }
            '%' => out.push_str(".*"),
            '_' => out.push('.'),
            '(' => out.push_str("(?:"),
            '|' | '*' | '+' | '?' | '{' | '}' | ')' => out.push(one),
            _ => quote(one, &mut out),
        }
    }
    out.push_str(")$");
    (!in_class).then_some(out)
}

/// Adds a character that stands for itself.
fn quote(one: char, out: &mut String) {
    if one.is_ascii_punctuation() {
        out.push('\\');
    }
    out.push(one);
}

/// Refuses what DataFusion plans and answers wrongly: `ANY` and `ALL` with a subquery, in which it takes an outer column
/// for the inner one of the same name, and `SIMILAR TO` with a pattern that is known only when it runs, which it takes
/// for a regular expression.
///
/// # Errors
/// It has one of these.
pub(crate) fn check(plan: &LogicalPlan) -> Result<()> {
    plan.apply_with_subqueries(|node| node.apply_expressions(|expr| expr.apply(check_one)))?;
    Ok(())
}

fn check_one(expr: &PlanExpr) -> Result<TreeNodeRecursion> {
    match expr {
        PlanExpr::SetComparison(_) => plan_err!(
            "comparisons with ANY or ALL of a subquery are not supported, except = ANY and <> ALL: compare with \
             (SELECT min(…) …) or (SELECT max(…) …), or use EXISTS"
        ),
        PlanExpr::SimilarTo(_) => plan_err!(
            "SIMILAR TO needs a text of one whole pattern: use LIKE, or ~ with a regular expression"
        ),
        _ => Ok(TreeNodeRecursion::Continue),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_become_regular_expressions() {
        for (pattern, expect) in [
            ("a%", "a.*"),
            ("(a|b)_", "(?:a|b)."),
            ("a.b^c$", "a\\.b\\^c\\$"),
            ("100\\%", "100\\%"),
            ("[^a-c&[]x", "[^a-c\\&\\[]x"),
            ("[[:alpha:]%]+", "[[:alpha:]\\%]+"),
            ("", ""),
        ] {
            let expect = format!("(?s)^(?:{expect})$");
            assert_eq!(regular(pattern, "\\").as_deref(), Some(&*expect), "{pattern}");
        }
        assert_eq!(regular("a#%", "#").as_deref(), Some("(?s)^(?:a\\%)$"));
        assert_eq!(
            (regular("a\\", "\\"), regular("[a", "\\"), regular("a", "ab")),
            (None, None, None)
        );
    }
}
