//! Turns conditions of a statement into bounds of a scan.
//!
//! Two kinds are understood: comparisons of the period with dates, or for hours with times, and conditions on leading
//! columns of the key. Column by column, the key may have one of several values. The first column without such values
//! may have a range or, if it is a text, a beginning (`LIKE 'x%'`). All other conditions stay in the statement, and its
//! result is right all the same.

use std::collections::BTreeSet;

use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::{InList, Like};
use datafusion::logical_expr::{Between, BinaryExpr, Expr, Operator};
use dayfold::scan::{ErasedView, Scan, ScanKeys};
use dayfold::schema::{Column, Grain, Kind, Value, ViewSchema};
use dayfold::time::{Calendar, Day, DayRange};

/// If there are more sets of keys than this, they are not read one by one.
const SETS_MAX: usize = 256;

const MINUTE_MS: i64 = 60_000;

/// How a condition is handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// The scan returns exactly the rows that fulfil it.
    Exact,
    /// The scan returns these rows and others.
    Inexact,
    /// The scan ignores it.
    No,
}

/// The periods and keys of a scan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) periods: DayRange,
    /// Disjoint sets of keys; if there are none, there are no rows.
    pub(crate) keys: Vec<ScanKeys>,
}

/// The meaning of a condition for one column.
enum Condition {
    /// It has one of these values.
    OneOf(BTreeSet<Value>),
    /// It is at least `lower`, and below `upper`.
    Within { lower: Option<Value>, upper: Option<Value> },
    /// It is a text that begins with this.
    Beginning(String),
}

impl Bounds {
    /// The bounds from conditions, and how each condition is handled.
    pub(crate) fn of(view: &dyn ErasedView, filters: &[&Expr]) -> (Bounds, Vec<Pushed>) {
        let schema = view.schema();
        let mut pushed = vec![Pushed::No; filters.len()];
        let conditions: Vec<_> = filters.iter().map(|filter| condition(schema, filter)).collect();
        let of_column = |name: &str| -> Vec<(usize, &Condition)> {
            let all = conditions.iter().enumerate();
            all.filter_map(|(at, condition)| Some((at, condition.as_ref()?)))
                .filter(|(_, (of, _))| of.name == name)
                .map(|(at, (_, condition))| (at, condition))
                .collect()
        };
        let (range, periods) =
            range(view.definition().calendar(), &of_column(&schema.period().name));
        periods.into_iter().for_each(|(at, of)| pushed[at] = of);
        let (mut sets, mut taken) = (KeySets::new(), Vec::new());
        for column in &schema.key[..view.ordered_columns()] {
            taken.extend(sets.narrow(column, &of_column(&column.name)));
            if !sets.goes_on {
                break;
            }
        }
        let mut keys = sets.sets(schema.key.len());
        // A value may be outside the type of the column, as 300 for one byte. Then the statement compares it.
        if keys.iter().all(|keys| view.check(&Scan::rows().keys(keys.clone())).is_ok()) {
            taken.into_iter().for_each(|at| pushed[at] = Pushed::Exact);
        } else {
            keys = vec![ScanKeys::All];
        }
        (Bounds { periods: range, keys }, pushed)
    }
}

/// A range that has all periods that the conditions allow.
pub(crate) fn periods_of(schema: &ViewSchema, calendar: &Calendar, filters: &[Expr]) -> DayRange {
    let name = schema.period().name;
    let conditions = filters.iter().filter_map(|filter| condition(schema, filter));
    let conditions: Vec<_> = conditions.filter(|(of, _)| of.name == name).collect();
    let numbered = conditions.iter().enumerate().map(|(at, (_, condition))| (at, condition));
    range(calendar, &numbered.collect::<Vec<_>>()).0
}

/// A range that has the periods that all of these conditions allow, and how each is handled.
fn range(
    calendar: &Calendar,
    conditions: &[(usize, &Condition)],
) -> (DayRange, Vec<(usize, Pushed)>) {
    let (mut range, mut pushed) = (DayRange::ALL, Vec::new());
    for (at, condition) in conditions {
        if let Some((within, is_exact)) = periods(calendar, condition) {
            let lower = range.lower.max(within.lower);
            range = DayRange::new(lower, range.upper.min(within.upper).max(lower));
            pushed.push((*at, if is_exact { Pushed::Exact } else { Pushed::Inexact }));
        }
    }
    (range, pushed)
}

/// Sets of keys while columns are added to them.
struct KeySets {
    /// The values of the columns so far.
    prefixes: Vec<Vec<Value>>,
    /// The bounds of the last column, if they are not values.
    last: Option<Last>,
    goes_on: bool,
}

enum Last {
    Within { lower: Option<Value>, upper: Option<Value> },
    Beginning(String),
}

impl KeySets {
    fn new() -> KeySets {
        KeySets { prefixes: vec![Vec::new()], last: None, goes_on: true }
    }

    /// Takes the conditions of the next column that it can use; returns which.
    fn narrow(&mut self, column: &Column, conditions: &[(usize, &Condition)]) -> Vec<usize> {
        let mut values: Option<BTreeSet<Value>> = None;
        let mut taken = Vec::new();
        for (at, condition) in conditions {
            if let Condition::OneOf(these) = condition {
                let both = |own: BTreeSet<Value>| own.intersection(these).cloned().collect();
                values = Some(values.map_or_else(|| these.clone(), both));
                taken.push(*at);
            }
        }
        if let Some(values) = values {
            if self.prefixes.len().saturating_mul(values.len()) > SETS_MAX {
                self.goes_on = false;
                return Vec::new();
            }
            let with = |prefix: &Vec<Value>, value: &Value| {
                let mut longer = prefix.clone();
                longer.push(value.clone());
                longer
            };
            let prefixes = self.prefixes.iter();
            self.prefixes =
                prefixes.flat_map(|prefix| values.iter().map(move |v| with(prefix, v))).collect();
            return taken;
        }
        self.goes_on = false;
        let beginning = conditions.iter().find_map(|(at, condition)| match condition {
            Condition::Beginning(text) => Some((*at, text.clone())),
            _ => None,
        });
        if let Some((at, text)) = beginning {
            self.last = Some(Last::Beginning(text));
            return vec![at];
        }
        let (mut lower, mut upper) = (None, None);
        for (at, condition) in conditions {
            let Condition::Within { lower: from, upper: to } = condition else { continue };
            lower = lower.max(from.clone());
            upper = match (upper, to.clone()) {
                (Some(one), Some(other)) => Some(std::cmp::min(one, other)),
                (one, other) => one.or(other),
            };
            taken.push(*at);
        }
        // Null comes first in the order of keys, and fulfils no comparison.
        if taken.is_empty() || column.nullable && lower.is_none() {
            return Vec::new();
        }
        self.last = Some(Last::Within { lower, upper });
        taken
    }

    fn sets(self, columns: usize) -> Vec<ScanKeys> {
        let set = |prefix: Vec<Value>| match &self.last {
            None if prefix.is_empty() => Some(ScanKeys::All),
            None if prefix.len() == columns => Some(ScanKeys::One(prefix)),
            None => Some(ScanKeys::Prefix(prefix)),
            Some(Last::Beginning(text)) => {
                Some(ScanKeys::StartingWith([prefix, vec![Value::Text(text.clone())]].concat()))
            }
            Some(Last::Within { lower, upper }) => {
                if let (Some(lower), Some(upper)) = (lower, upper)
                    && lower >= upper
                {
                    return None;
                }
                let lower = [prefix.clone(), lower.iter().cloned().collect()].concat();
                let upper = match upper {
                    Some(upper) => [prefix, vec![upper.clone()]].concat(),
                    None => behind(prefix)?,
                };
                Some(ScanKeys::Range { lower, upper })
            }
        };
        self.prefixes.into_iter().filter_map(set).collect()
    }
}

/// The first values after all that have this prefix; `None` if there is no bound.
fn behind(mut prefix: Vec<Value>) -> Option<Vec<Value>> {
    match prefix.pop() {
        None => Some(Vec::new()),
        Some(last) => match next(&last) {
            Some(next) => {
                prefix.push(next);
                Some(prefix)
            }
            None => behind(prefix),
        },
    }
}

/// The least greater value.
fn next(value: &Value) -> Option<Value> {
    match value {
        Value::Text(text) => Some(Value::Text(format!("{text}\0"))),
        Value::Integer(number) => number.checked_add(1).map(Value::Integer),
        Value::Date(day) => day.0.checked_add(1).map(|day| Value::Date(Day(day))),
        Value::Timestamp(time) => time.checked_add(1).map(Value::Timestamp),
        Value::Boolean(false) => Some(Value::Boolean(true)),
        _ => None,
    }
}

/// A range with all periods that fulfil a condition, and whether it has no others.
fn periods(calendar: &Calendar, condition: &Condition) -> Option<(DayRange, bool)> {
    let is_start = |day: &Day| *day == Day::MIN || calendar.start_of(*day) == *day;
    match condition {
        Condition::Within { lower, upper } => {
            let lower = lower.as_ref().map_or(Some(Day::MIN), |value| period(calendar, value))?;
            let upper = upper.as_ref().map_or(Some(Day::MAX), |value| period(calendar, value))?;
            // A range that begins within a period includes the whole period.
            Some((DayRange::new(lower, upper.max(lower)), is_start(&lower)))
        }
        Condition::OneOf(values) => {
            let named = |value: &Value| {
                period(calendar, value).filter(|period| Value::period(*period) == *value)
            };
            let days = values.iter().map(named).collect::<Option<BTreeSet<Day>>>()?;
            let (first, last) = (days.first()?, days.last()?);
            let is_without_holes = i64::from(last.0) - i64::from(first.0) < days.len() as i64;
            Some((DayRange::new(*first, last.next()), is_without_holes && is_start(first)))
        }
        Condition::Beginning(_) => None,
    }
}

/// The first period whose name is not less, as if periods could begin in any minute, or on any day. `None` if that is
/// not known.
fn period(calendar: &Calendar, value: &Value) -> Option<Day> {
    match value {
        // Numbers far beyond those of dates are those of hours.
        Value::Date(day) if calendar.grain() != Grain::Hour => {
            day.instant().is_none().then_some(*day)
        }
        Value::Timestamp(time) if calendar.grain() == Grain::Hour => {
            Day::hour_from(time.checked_add(MINUTE_MS - 1)?)
        }
        _ => None,
    }
}

/// The column of the view and the condition on it, if an expression is nothing more than that.
fn condition(view: &ViewSchema, filter: &Expr) -> Option<(Column, Condition)> {
    let column = |expr: &Expr| of_column(view, expr);
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            let (one, Condition::OneOf(mut values)) = condition(view, left)? else { return None };
            let (other, Condition::OneOf(more)) = condition(view, right)? else { return None };
            values.extend(more);
            (one.name == other.name).then_some((one, Condition::OneOf(values)))
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
            let (one, Condition::Within { lower, upper }) = condition(view, left)? else {
                return None;
            };
            let (other, Condition::Within { lower: from, upper: to }) = condition(view, right)?
            else {
                return None;
            };
            if one.name != other.name {
                return None;
            }
            let upper = match (upper, to) {
                (Some(one), Some(other)) => Some(std::cmp::min(one, other)),
                (one, other) => one.or(other),
            };
            Some((one, Condition::Within { lower: lower.max(from), upper }))
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match (column(left), column(right)) {
            (Some(column), None) => compared(column, *op, right),
            (None, Some(column)) => compared(column, op.swap()?, left),
            _ => None,
        },
        Expr::Between(Between { expr, negated: false, low, high }) => {
            let column = column(expr)?;
            let lower = Some(literal(&column, low)?);
            let upper = Some(next(&literal(&column, high)?)?);
            Some((column, Condition::Within { lower, upper }))
        }
        Expr::InList(InList { expr, list, negated: false }) => {
            let column = column(expr)?;
            let values = list.iter().map(|item| literal(&column, item));
            let values = values.collect::<Option<BTreeSet<Value>>>()?;
            Some((column, Condition::OneOf(values)))
        }
        Expr::Like(Like {
            negated: false,
            expr,
            pattern,
            case_insensitive: false,
            escape_char: None,
        }) => {
            let column = column(expr)?;
            let Value::Text(pattern) = literal(&column, pattern)? else { return None };
            let beginning = pattern.strip_suffix('%')?;
            let is_plain = !beginning.contains(['%', '_', '\\']) && !beginning.is_empty();
            is_plain.then(|| (column, Condition::Beginning(beginning.to_owned())))
        }
        // A boolean column alone is a condition.
        Expr::Column(_) => {
            let column = column(filter).filter(|column| column.kind == Kind::Boolean)?;
            Some((column, Condition::OneOf([Value::Boolean(true)].into())))
        }
        Expr::Not(inner) => {
            let column = column(inner).filter(|column| column.kind == Kind::Boolean)?;
            Some((column, Condition::OneOf([Value::Boolean(false)].into())))
        }
        _ => None,
    }
}

/// The period, or a column of the key.
fn of_column(view: &ViewSchema, expr: &Expr) -> Option<Column> {
    let Expr::Column(column) = expr else { return None };
    let period = view.period();
    if column.name == period.name {
        return Some(period);
    }
    view.key.iter().find(|own| own.name == column.name).cloned()
}

fn compared(column: Column, op: Operator, with: &Expr) -> Option<(Column, Condition)> {
    let value = literal(&column, with)?;
    let condition = match op {
        Operator::Eq => Condition::OneOf([value].into()),
        Operator::Lt => Condition::Within { lower: None, upper: Some(value) },
        Operator::LtEq => Condition::Within { lower: None, upper: Some(next(&value)?) },
        Operator::GtEq => Condition::Within { lower: Some(value), upper: None },
        Operator::Gt => Condition::Within { lower: Some(next(&value)?), upper: None },
        _ => return None,
    };
    Some((column, condition))
}

/// A literal as a value of the column. Decimals are left out, because `1.5` and `1.50` are equal, but two keys.
fn literal(column: &Column, expr: &Expr) -> Option<Value> {
    let Expr::Literal(literal, _) = expr else { return None };
    let value = match literal {
        ScalarValue::Utf8(text) | ScalarValue::LargeUtf8(text) | ScalarValue::Utf8View(text) => {
            Value::Text(text.clone()?)
        }
        ScalarValue::Int64(number) => Value::Integer((*number)?.into()),
        ScalarValue::Int32(number) => Value::Integer((*number)?.into()),
        ScalarValue::Boolean(is_so) => Value::Boolean((*is_so)?),
        ScalarValue::Date32(day) => Value::Date(Day((*day)?)),
        ScalarValue::TimestampMicrosecond(time, _) => {
            let micros = (*time)?;
            (micros % 1_000 == 0).then_some(Value::Timestamp(micros / 1_000))?
        }
        _ => return None,
    };
    (value.kind() == Some(column.kind)).then_some(value)
}
