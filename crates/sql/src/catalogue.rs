//! Additions to PostgreSQL's catalogue of `datafusion-pg-catalog` for clients that browse: missing columns of its
//! tables, and forms of statements that DataFusion does not plan.

use std::ops::ControlFlow;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::catalog::view::ViewTable;
use datafusion::catalog::{CatalogProvider, SchemaProvider};
use datafusion::common::ScalarValue;
use datafusion::datasource::empty::EmptyTable;
use datafusion::datasource::{TableProvider, TableType, provider_as_source};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr as PlanExpr, LogicalPlanBuilder, lit};
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, FunctionArguments, GroupByExpr, Query, SelectItem, SetExpr, Statement,
    TableAlias, TableFactor, Value as Literal, VisitMut, VisitorMut, visit_relations,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;

use crate::{patterns, predicates};

/// The schema of PostgreSQL's catalogue.
const CATALOGUE: &str = "pg_catalog";

/// Columns of its tables that are lists; they are always null here.
const LISTS: [(&str, &[&str]); 3] = [
    ("pg_class", &["relacl", "reloptions"]),
    ("pg_namespace", &["nspacl"]),
    ("pg_proc", &["proacl"]),
];

/// Tables with PostgreSQL's own objects, which do not exist here.
const EMPTY: [&str; 1] = ["pg_proc"];

/// Tables without rows, because views have no defaults and no sequences.
const WITHOUT_ROWS: [&str; 2] = ["pg_attrdef", "pg_sequence"];

/// Columns with numbers of columns of an index or a constraint, which no view has.
const NUMBERS: [&str; 6] = ["indkey", "indclass", "indcollation", "indoption", "conkey", "confkey"];

/// Tables that are not in the catalogue, by their full names or by their last part, and the query that replaces each.
const VIEWS: [(&str, &str); 6] = [
    (
        "information_schema.columns",
        "SELECT current_database() AS table_catalog, n.nspname AS table_schema, c.relname AS table_name, \
         a.attname AS column_name, a.attnum AS ordinal_position, CAST(NULL AS TEXT) AS column_default, \
         CASE WHEN a.attnotnull THEN 'NO' ELSE 'YES' END AS is_nullable, \
         format_type(a.atttypid, NULL) AS data_type, CAST(NULL AS INTEGER) AS character_maximum_length, \
         CAST(NULL AS INTEGER) AS numeric_precision, CAST(NULL AS INTEGER) AS numeric_scale, \
         CAST(NULL AS INTEGER) AS datetime_precision, 'pg_catalog' AS udt_schema, t.typname AS udt_name, \
         'NO' AS is_identity, 'NEVER' AS is_generated, 'NO' AS is_updatable \
         FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         JOIN pg_catalog.pg_type t ON t.oid = a.atttypid WHERE a.attnum > 0",
    ),
    (
        "information_schema.table_constraints",
        "SELECT '' AS constraint_catalog, '' AS constraint_schema, '' AS constraint_name, '' AS table_catalog, \
         '' AS table_schema, '' AS table_name, '' AS constraint_type WHERE false",
    ),
    (
        "information_schema.key_column_usage",
        "SELECT '' AS constraint_catalog, '' AS constraint_schema, '' AS constraint_name, '' AS table_catalog, \
         '' AS table_schema, '' AS table_name, '' AS column_name, 0 AS ordinal_position WHERE false",
    ),
    (
        "information_schema.constraint_column_usage",
        "SELECT '' AS table_catalog, '' AS table_schema, '' AS table_name, '' AS column_name, \
         '' AS constraint_catalog, '' AS constraint_schema, '' AS constraint_name WHERE false",
    ),
    (
        "information_schema.referential_constraints",
        "SELECT '' AS constraint_catalog, '' AS constraint_schema, '' AS constraint_name, \
         '' AS unique_constraint_schema, '' AS unique_constraint_name, '' AS update_rule, '' AS delete_rule WHERE false",
    ),
    (
        "pg_stat_user_tables",
        "SELECT 0 AS relid, '' AS schemaname, '' AS relname, 0 AS n_live_tup WHERE false",
    ),
];

/// Replaces the catalogue with one that has the missing parts.
pub(crate) fn complete(database: &dyn CatalogProvider) -> Result<()> {
    if let Some(inner) = database.schema(CATALOGUE) {
        database.register_schema(CATALOGUE, Arc::new(Catalogue { inner }))?;
    }
    Ok(())
}

#[derive(Debug)]
struct Catalogue {
    inner: Arc<dyn SchemaProvider>,
}

#[async_trait]
impl SchemaProvider for Catalogue {
    fn table_names(&self) -> Vec<String> {
        self.inner.table_names()
    }

    fn table_exist(&self, name: &str) -> bool {
        self.inner.table_exist(name)
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let Some(mut table) = self.inner.table(name).await? else { return Ok(None) };
        if EMPTY.contains(&name) {
            table = Arc::new(EmptyTable::new(table.schema()));
        }
        match LISTS.iter().find(|(of, _)| *of == name) {
            Some((_, columns)) => with_lists(name, table, columns).map(Some),
            None => Ok(Some(table)),
        }
    }

    async fn table_type(&self, name: &str) -> Result<Option<TableType>> {
        self.inner.table_type(name).await
    }
}

/// The table with additional columns of these names, which are lists of texts, and null.
fn with_lists(
    name: &str,
    table: Arc<dyn TableProvider>,
    lists: &[&str],
) -> Result<Arc<dyn TableProvider>> {
    let list = DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true)));
    let null = ScalarValue::try_from(&list)?;
    let plan = LogicalPlanBuilder::scan(name, provider_as_source(table), None)?;
    let others = plan.schema().columns().into_iter().filter(|own| !lists.contains(&&own.name[..]));
    let columns = others.map(PlanExpr::Column);
    let columns: Vec<PlanExpr> =
        columns.chain(lists.iter().map(|name| lit(null.clone()).alias(*name))).collect();
    Ok(Arc::new(ViewTable::new(plan.project(columns)?.build()?, None)))
}

/// Whether all relations of a statement are in the catalogue, or functions that statements about it use; and whether it
/// has any of the catalogue itself.
fn of_catalogue(statement: &Statement) -> (bool, bool) {
    let (mut all, mut any) = (true, false);
    let _ = visit_relations(statement, |relation| {
        let parts: Vec<String> =
            relation.0.iter().map(|part| part.to_string().to_ascii_lowercase()).collect();
        let last = parts.last().map_or("", String::as_str);
        let is_of =
            last.starts_with("pg_") || parts.iter().any(|name| name == "information_schema");
        any |= is_of;
        all &= is_of || ["generate_series", "string_to_array", "unnest"].contains(&last);
        ControlFlow::<()>::Continue(())
    });
    (all, any)
}

/// Protects the subqueries in lists of columns from `datafusion-pg-catalog`, which limits them to their first row, and
/// silently replaces those with parameters or outer columns by null. It does so for statements about the catalogue that
/// DataFusion cannot plan otherwise; these stay as they are. The other value is whether there was any subquery.
pub(crate) fn with_subqueries(mut statement: Statement) -> (Statement, bool) {
    let mut protect = Protect { has_any: false };
    if of_catalogue(&statement) != (true, true) {
        let _ = VisitMut::visit(&mut statement, &mut protect);
    }
    // It also takes the subquery of `= ANY (SELECT …)` for a list.
    let _ = VisitMut::visit(&mut statement, &mut Predicates);
    (statement, protect.has_any)
}

/// Replaces predicates that DataFusion does not have.
struct Predicates;

impl VisitorMut for Predicates {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        predicates::translate(expr);
        ControlFlow::Continue(())
    }
}

/// Puts subqueries in lists of columns into parentheses.
struct Protect {
    has_any: bool,
}

impl VisitorMut for Protect {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        let SetExpr::Select(select) = query.body.as_mut() else {
            return ControlFlow::Continue(());
        };
        for item in &mut select.projection {
            let (SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) = item
            else {
                continue;
            };
            if matches!(expr, Expr::Subquery(_)) {
                self.has_any = true;
                let null = Expr::Value(Literal::Null.with_empty_span());
                *expr = Expr::Nested(Box::new(std::mem::replace(expr, null)));
            }
        }
        ControlFlow::Continue(())
    }
}

/// Rewrites a statement into forms that can be planned.
pub(crate) fn rewrite(mut statement: Statement) -> Statement {
    let (is_of_catalogue, _) = of_catalogue(&statement);
    let _ = VisitMut::visit(&mut statement, &mut Forms { is_of_catalogue });
    statement
}

/// Replaces forms that cannot be planned.
struct Forms {
    /// Whether all tables of the statement are in the catalogue.
    is_of_catalogue: bool,
}

impl VisitorMut for Forms {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Some(other) = with_backslash(expr) {
            *expr = other;
        }
        patterns::translate(expr);
        if self.is_of_catalogue
            && let Some(other) = known(expr)
        {
            *expr = other;
        }
        ControlFlow::Continue(())
    }

    fn post_visit_table_factor(&mut self, table: &mut TableFactor) -> ControlFlow<()> {
        if let Some(other) = view(table) {
            *table = other;
        }
        ControlFlow::Continue(())
    }
}

/// The replacement of a table that is not in the catalogue.
fn view(table: &TableFactor) -> Option<TableFactor> {
    let TableFactor::Table { name, alias, args: None, .. } = table else { return None };
    let parts: Vec<String> =
        name.0.iter().map(|part| part.to_string().to_ascii_lowercase().replace('"', "")).collect();
    let whole = parts.join(".");
    let last = parts.last()?;
    let (_, sql) = VIEWS.iter().find(|(name, _)| whole.ends_with(name) || last == name)?;
    let mut parser = Parser::new(&PostgreSqlDialect {}).try_with_sql(sql).ok()?;
    let subquery = parser.parse_query().ok()?;
    let alias = alias.clone().or_else(|| {
        let name = name.0.last()?.as_ident()?.clone();
        Some(TableAlias { explicit: true, name, columns: Vec::new(), at: None })
    });
    Some(TableFactor::Derived { lateral: false, subquery, alias, sample: None })
}

/// `LIKE … ESCAPE '/'` with the only escape character that DataFusion knows.
fn with_backslash(expr: &Expr) -> Option<Expr> {
    let (Expr::Like { pattern, escape_char: Some(escape), .. }
    | Expr::ILike { pattern, escape_char: Some(escape), .. }) = expr
    else {
        return None;
    };
    let escape = escape.value.clone().into_string()?;
    let mut chars = escape.chars();
    let (Some(one), None) = (chars.next(), chars.next()) else { return None };
    if matches!(one, '\\' | '%' | '_') {
        return None;
    }
    let one = one.to_string().replace('\'', "''");
    // Two escape characters stand for one, which must not become a backslash. In between, it is a character that no
    // text has.
    let pattern = parsed(&format!(
        "replace(replace(replace(replace(({pattern}), '\\', '\\\\'), '{one}{one}', chr(1)), '{one}', '\\'), chr(1), '{one}')"
    ))?;
    let mut expr = expr.clone();
    if let Expr::Like { pattern: old, escape_char, .. }
    | Expr::ILike { pattern: old, escape_char, .. } = &mut expr
    {
        **old = pattern;
        *escape_char = None;
    }
    Some(expr)
}

/// The known value of an expression that DataFusion cannot evaluate: empty lists (members of roles, columns of
/// indexes), comments, the search path.
fn known(expr: &Expr) -> Option<Expr> {
    match expr {
        // Comments of columns do not exist, and a client may ask for one by a name that would have to be looked up. The
        // result is not a plain null, because columns of a result have different names.
        Expr::Function(call)
            if call.name.to_string().to_ascii_lowercase().ends_with("col_description") =>
        {
            parsed("nullif('comment', 'comment')")
        }
        // SQLAlchemy 1.4, which Superset uses, writes `ix.indisprimary = 'f'`.
        Expr::BinaryOp { left, op: BinaryOperator::Eq, right } if is_flag(left) => {
            let value = match &**right {
                Expr::Value(value) => value.value.clone().into_string()?,
                _ => return None,
            };
            let is = match &value[..] {
                "t" | "true" => "IS TRUE",
                "f" | "false" => "IS FALSE",
                _ => return None,
            };
            parsed(&format!("{left} {is}"))
        }
        Expr::Subquery(query) if !has_rows(query) => parsed("CAST(NULL AS TEXT)"),
        Expr::Subquery(query) => of_one_row(query),
        // Clients look for comments by the number of a table, whose name is a parameter: use a number that no table
        // has.
        Expr::Cast { expr: inner, data_type, .. }
            if matches!(&**inner, Expr::Value(value) if matches!(value.value, Literal::Placeholder(_)))
                && data_type.to_string().eq_ignore_ascii_case("regclass") =>
        {
            parsed(&format!("CAST(0 - length(CAST({inner} AS TEXT)) AS INTEGER)"))
        }
        // The search path as rows, from which clients take the schemas.
        Expr::InSubquery { expr, subquery, negated }
            if subquery.to_string().contains("current_setting('search_path')") =>
        {
            let not = if *negated { "NOT " } else { "" };
            parsed(&format!("{expr} {not}IN ('public')"))
        }
        Expr::Function(call) => {
            let name = call.name.0.last()?.to_string().to_ascii_lowercase();
            match (&name[..], &call.args) {
                ("array", FunctionArguments::Subquery(_)) => parsed("CAST(NULL AS TEXT[])"),
                ("unnest" | "array_contains", FunctionArguments::List(list)) => {
                    let of = list.args.first()?.to_string().to_ascii_lowercase();
                    let of = of.rsplit('.').next().unwrap_or_default().trim_matches('"').to_owned();
                    // SQLAlchemy 1.4, which Superset uses, asks for `attnum = ANY(indkey)`.
                    let value = if name == "unnest" { "CAST(NULL AS SMALLINT)" } else { "false" };
                    NUMBERS.contains(&&of[..]).then(|| parsed(value))?
                }
                ("generate_subscripts", _) => parsed("CAST(NULL AS INTEGER)"),
                _ => None,
            }
        }
        _ => None,
    }
}

/// Whether an expression is a column of the catalogue that is true or false.
fn is_flag(expr: &Expr) -> bool {
    let last = match expr {
        Expr::Identifier(name) => Some(name),
        Expr::CompoundIdentifier(names) => names.last(),
        _ => None,
    };
    let begins = |name: &str| {
        ["indis", "attis", "attnot", "atthas", "relhas", "relis"]
            .iter()
            .any(|b| name.starts_with(b))
    };
    last.is_some_and(|name| begins(&name.value.to_ascii_lowercase()))
}

/// Whether the query reads a table that may have rows.
fn has_rows(query: &Query) -> bool {
    let mut tables = 0;
    let is_full = visit_relations(query, |relation| {
        tables += 1;
        let name = relation.0.last().map(|part| part.to_string()).unwrap_or_default();
        match WITHOUT_ROWS.contains(&&name[..]) {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        }
    });
    tables == 0 || is_full.is_break()
}

/// The value of a subquery that depends on rows of the query: DataFusion requires that it is visibly a single row.
fn of_one_row(query: &Query) -> Option<Expr> {
    let SetExpr::Select(select) = &*query.body else { return None };
    let is_grouped = !matches!(&select.group_by, GroupByExpr::Expressions(by, _) if by.is_empty());
    let [SelectItem::UnnamedExpr(value) | SelectItem::ExprWithAlias { expr: value, .. }] =
        &select.projection[..]
    else {
        return None;
    };
    let text = value.to_string().to_ascii_lowercase();
    let is_aggregate =
        ["agg(", "max(", "min(", "sum(", "count("].iter().any(|of| text.contains(of));
    if is_grouped || is_aggregate || query.limit_clause.is_some() || select.distinct.is_some() {
        return None;
    }
    let mut query = query.clone();
    if let SetExpr::Select(select) = &mut *query.body {
        select.projection = vec![SelectItem::UnnamedExpr(parsed(&format!("max({value})"))?)];
    }
    query.order_by = None;
    Some(Expr::Subquery(Box::new(query)))
}

fn parsed(sql: &str) -> Option<Expr> {
    let parser = Parser::new(&PostgreSqlDialect {}).try_with_sql(sql);
    parser.and_then(|mut parser| parser.parse_expr()).ok()
}
