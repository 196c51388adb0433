//! Questions that one scan can answer: `SELECT columns FROM view WHERE condition ORDER BY columns LIMIT n`.
//!
//! Any other SQL needs the feature `sql`, which does not use this module.

use std::cmp::Ordering;
use std::io;

use dayfold::schema::{Column as ViewColumn, Kind, Value};
use dayfold::time::Calendar;
use sqlparser::ast::{
    Expr, LimitClause, OrderByKind, OrderBySort, Query, Select as SelectStatement, SelectItem,
    SetExpr, Statement, TableFactor, Value as Literal,
};
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::Parser;

use crate::config::needs_sql;
use crate::expr::{Cell, Column, Expression, Row, Scope, Type, nearest};

/// The number of rows that a question without a LIMIT may have; they are kept in memory until they are printed.
const ROWS_MAX: usize = 5_000_000;

/// A question.
#[derive(Debug)]
pub(crate) struct Select {
    /// The view.
    pub(crate) view: String,
    /// Expressions with their names; `None` means all columns.
    columns: Option<Vec<(String, String)>>,
    filter: Option<String>,
    /// Expressions, and whether the order is descending.
    order: Vec<(String, bool)>,
    limit: Option<usize>,
}

impl Select {
    /// Parses a question.
    pub(crate) fn parse(sql: &str) -> Result<Select, String> {
        let parser = Parser::new(&PostgreSqlDialect {}).with_recursion_limit(100);
        let statements = parser.try_with_sql(sql).and_then(|mut parser| parser.parse_statements());
        let mut statements =
            statements.map_err(|error| format!("the question is no SQL: {error}"))?;
        match (statements.pop(), statements.is_empty()) {
            (Some(Statement::Query(query)), true) => of_query(*query),
            _ => Err("expected one SELECT".to_owned()),
        }
    }

    /// The message for a missing view.
    pub(crate) fn no_view(&self, names: &[&str]) -> String {
        match nearest(&self.view, names.iter().copied()) {
            Some(near) => format!("there is no view '{}': did you mean '{near}'?", self.view),
            None => {
                format!("there is no view '{}': expected one of {}", self.view, names.join(", "))
            }
        }
    }

    /// Applies the question to rows with these columns.
    pub(crate) fn on(&self, columns: &[ViewColumn]) -> Result<Answering, String> {
        let known = columns.iter().map(|column| Column {
            name: column.name.clone(),
            kind: type_of(column.kind),
            digits: column.scale,
            text_since: None,
        });
        let mut scope = Scope::new(known.collect(), Calendar::utc());
        // Slots are columns.
        scope.use_all();
        let compiled = |text: &str, scope: &mut Scope| {
            Expression::compile(text, scope).map_err(|error| error.to_string())
        };
        let shown = match &self.columns {
            Some(shown) => shown.clone(),
            None => {
                columns.iter().map(|column| (column.name.clone(), quoted(&column.name))).collect()
            }
        };
        let mut expressions = Vec::new();
        for (_, text) in &shown {
            expressions.push(compiled(text, &mut scope)?);
        }
        let filter = self
            .filter
            .as_ref()
            .map(|text| Expression::compile_as(text, Type::Boolean, &mut scope));
        let filter = filter.transpose().map_err(|error| error.to_string())?;
        let mut order = Vec::new();
        for (text, is_down) in &self.order {
            // The name of a selected column, or any expression.
            let named = shown.iter().find(|(name, _)| name == text).map_or(text, |(_, text)| text);
            order.push((compiled(named, &mut scope)?, *is_down));
        }
        let names = shown.into_iter().map(|(name, _)| name).collect();
        Ok(Answering {
            names,
            expressions,
            filter,
            order,
            limit: self.limit,
            rows: Vec::new(),
            error: None,
        })
    }
}

fn of_query(query: Query) -> Result<Select, String> {
    let beyond = |what: &str| Err(format!("{what}: {}", needs_sql()));
    if query.with.is_some() || query.fetch.is_some() {
        return beyond("WITH and FETCH");
    }
    let limit = match &query.limit_clause {
        None => None,
        Some(LimitClause::LimitOffset {
            limit: Some(Expr::Value(value)),
            offset: None,
            limit_by,
        }) if limit_by.is_empty() => {
            let Literal::Number(digits, _) = &value.value else {
                return Err("expected a number after LIMIT".to_owned());
            };
            Some(digits.parse().map_err(|_| format!("LIMIT {digits}: expected a number of rows"))?)
        }
        Some(_) => return beyond("OFFSET and the like"),
    };
    let order = match &query.order_by {
        None => Vec::new(),
        Some(order) => match &order.kind {
            OrderByKind::Expressions(all) => all
                .iter()
                .map(|by| (by.expr.to_string(), matches!(by.options.sort, Some(OrderBySort::Desc))))
                .collect(),
            OrderByKind::All(_) => return beyond("ORDER BY ALL"),
        },
    };
    let SetExpr::Select(select) = *query.body else { return beyond("UNION and the like") };
    let SelectStatement { projection, from, selection, group_by, distinct, having, .. } = *select;
    let is_grouped =
        !matches!(&group_by, sqlparser::ast::GroupByExpr::Expressions(by, _) if by.is_empty());
    if is_grouped || distinct.is_some() || having.is_some() {
        return beyond("GROUP BY, DISTINCT and HAVING");
    }
    let [table] = &from[..] else { return beyond("a join") };
    let TableFactor::Table { name, .. } = &table.relation else {
        return beyond("a query within a query");
    };
    if !table.joins.is_empty() {
        return beyond("a join");
    }
    let view = name.0.last().and_then(|part| part.as_ident()).map(|ident| ident.value.clone());
    let view = view.ok_or("expected the name of a view after FROM")?;
    let mut columns = Some(Vec::new());
    for item in &projection {
        match (item, &mut columns) {
            (SelectItem::Wildcard(_), _) if projection.len() == 1 => columns = None,
            (SelectItem::UnnamedExpr(expr), Some(columns)) => {
                let name = match expr {
                    Expr::Identifier(ident) => ident.value.clone(),
                    other => other.to_string(),
                };
                columns.push((name, expr.to_string()));
            }
            (SelectItem::ExprWithAlias { expr, alias }, Some(columns)) => {
                columns.push((alias.value.clone(), expr.to_string()))
            }
            (other, _) => return Err(format!("'{other}': expected columns, or * alone")),
        }
    }
    Ok(Select { view, columns, filter: selection.map(|expr| expr.to_string()), order, limit })
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn type_of(kind: Kind) -> Type {
    match kind {
        Kind::Integer => Type::Integer,
        Kind::Decimal => Type::Decimal,
        Kind::Boolean => Type::Boolean,
        Kind::Date => Type::Date,
        Kind::Timestamp => Type::Timestamp,
        _ => Type::Text,
    }
}

/// An answer in progress.
pub(crate) struct Answering {
    names: Vec<String>,
    expressions: Vec<Expression>,
    filter: Option<Expression>,
    order: Vec<(Expression, bool)>,
    limit: Option<usize>,
    /// The sort key and the row.
    rows: Vec<(Vec<Cell<'static>>, Vec<Value>)>,
    error: Option<String>,
}

impl Answering {
    /// Takes a row.
    ///
    /// # Errors
    /// An error that only means that no more rows are wanted; [`Answering::finish`] has the reason.
    pub(crate) fn see(&mut self, row: &[Value]) -> io::Result<()> {
        self.take(row).map_err(|message| {
            let error = io::Error::other(message.clone());
            self.error = Some(message);
            error
        })
    }

    fn take(&mut self, row: &[Value]) -> Result<(), String> {
        if self.order.is_empty() && self.limit.is_some_and(|limit| self.rows.len() >= limit) {
            return Ok(());
        }
        let cells: Vec<Cell<'_>> = row.iter().map(cell).collect();
        let row = Row { cells: &cells };
        let said = |error: crate::expr::RowError| error.to_string();
        if let Some(filter) = &self.filter
            && !filter.holds(row).map_err(said)?
        {
            return Ok(());
        }
        let by = self
            .order
            .iter()
            .map(|(expression, _)| Ok(expression.eval(row).map_err(said)?.into_owned()));
        let by = by.collect::<Result<_, String>>()?;
        let values = self
            .expressions
            .iter()
            .map(|expression| Ok(expression.eval(row).map_err(said)?.into_value()));
        self.rows.push((by, values.collect::<Result<_, String>>()?));
        match self.rows.len() > ROWS_MAX {
            true => {
                Err(format!("more than {ROWS_MAX} rows: give the question a LIMIT, or a condition"))
            }
            false => Ok(()),
        }
    }

    /// The names of the columns, and the rows in their order.
    pub(crate) fn finish(mut self) -> Result<(Vec<String>, Vec<Vec<Value>>), String> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let downs: Vec<bool> = self.order.iter().map(|(_, is_down)| *is_down).collect();
        self.rows.sort_by(|(left, _), (right, _)| {
            let pairs = left.iter().zip(right).zip(&downs);
            let orders = pairs.map(|((left, right), is_down)| by_value(left, right, *is_down));
            orders.fold(Ordering::Equal, Ordering::then)
        });
        self.rows.truncate(self.limit.unwrap_or(usize::MAX));
        Ok((self.names, self.rows.into_iter().map(|(_, row)| row).collect()))
    }
}

/// Nulls come last in either order.
fn by_value(left: &Cell<'_>, right: &Cell<'_>, is_down: bool) -> Ordering {
    match (left.is_null(), right.is_null()) {
        (false, false) if is_down => right.order(left),
        (false, false) => left.order(right),
        (left, right) => left.cmp(&right),
    }
}

fn cell(value: &Value) -> Cell<'_> {
    match value {
        Value::Text(text) => Cell::Text(text.as_str().into()),
        Value::Integer(number) => Cell::Integer(*number),
        Value::Decimal(number) => Cell::Decimal(*number),
        Value::Boolean(is_so) => Cell::Boolean(*is_so),
        Value::Date(day) => Cell::Date(*day),
        Value::Timestamp(time) => Cell::Timestamp(*time),
        Value::Null => Cell::Null,
        other => Cell::Text(other.to_string().into()),
    }
}
