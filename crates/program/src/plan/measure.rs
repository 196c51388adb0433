//! Measures and their meaning.

use dayfold::aggregate::Decimal;
use dayfold::dynamic::Reduce;

use crate::config::{Document, FileError, Text};
use crate::expr::{Argument, Call, Cell, ExprError, Expression, Scope, Type, nearest};

/// Every measure, in lower case.
const NAMES: [&str; 14] = [
    "avg",
    "count",
    "count_if",
    "distinct",
    "first",
    "last",
    "max",
    "mean",
    "median",
    "min",
    "quantile",
    "quantiles",
    "sum",
    "top",
];

/// A measure: how it aggregates a column, and the expression of that column with its text.
pub(crate) struct Compiled {
    pub(crate) reduce: Reduce,
    pub(crate) input: Option<(String, Expression)>,
}

/// Compiles the call of a measure. The columns of a view's events are named after the texts of their expressions.
pub(crate) fn compile(
    document: &Document,
    text: &Text,
    scope: &mut Scope,
) -> Result<Compiled, FileError> {
    let fail = |error: ExprError| text.error_at(document, error.at, error.message);
    let Call { name, at, arguments } = Expression::call(&text.value, scope).map_err(fail)?;
    reduce(&name, at, arguments, scope).map_err(fail)
}

fn reduce(
    name: &str,
    at: usize,
    arguments: Vec<Argument>,
    scope: &mut Scope,
) -> Result<Compiled, ExprError> {
    let count = arguments.len();
    let mut arguments = arguments.into_iter();
    let (first, second, third) = (arguments.next(), arguments.next(), arguments.next());
    let wrong = |expected: &str| ExprError {
        at,
        message: format!("{name} has {count} arguments: expected {expected}"),
    };
    let with = |argument: Argument, kind: Type, scope: &mut Scope, reduce: fn(String) -> Reduce| {
        let Argument { expression, text, at } = argument;
        let expression = expression.read_as(kind, at, scope)?;
        let column = format!("({text})");
        Ok(Compiled { reduce: reduce(column.clone()), input: Some((column, expression)) })
    };
    let number = |argument: &Argument, scope: &Scope| match argument.expression.kind() {
        kind if kind.is_number() => Ok(kind),
        Type::Untyped | Type::Null => Ok(Type::Decimal),
        found => {
            let column = argument.expression.column();
            let why = column.map_or(String::new(), |slot| scope.why_text(slot));
            let message = format!("{name} takes numbers, and this is {found}{why}");
            Err(ExprError { at: argument.at, message })
        }
    };
    match (name, first, second, third) {
        ("count", None, ..) => Ok(Compiled { reduce: Reduce::Count, input: None }),
        ("count", Some(value), None, _) => {
            let kind = known(&value);
            with(value, kind, scope, Reduce::CountOf)
        }
        ("count", ..) => Err(wrong("none, or one value")),
        ("count_if", Some(condition), None, _) => {
            with(condition, Type::Boolean, scope, Reduce::CountIf)
        }
        ("count_if", ..) => Err(wrong("a condition")),
        ("sum" | "mean" | "avg" | "median" | "quantiles", Some(value), None, _) => {
            let kind = number(&value, scope)?;
            let reduce = match name {
                "sum" => Reduce::Sum,
                "quantiles" => Reduce::QuantileSketch,
                "median" => |column| Reduce::Quantile(column, Decimal::from_scaled(5, 1)),
                _ => Reduce::Mean,
            };
            with(value, kind, scope, reduce)
        }
        ("sum" | "mean" | "avg" | "median" | "quantiles", ..) => Err(wrong("a number")),
        ("quantile", Some(value), Some(rank), None) => {
            let kind = number(&value, scope)?;
            let rank = self::rank(&rank)?;
            let Compiled { input, .. } = with(value, kind, scope, Reduce::Sum)?;
            let column = input.as_ref().map_or(String::new(), |(column, _)| column.clone());
            Ok(Compiled { reduce: Reduce::Quantile(column, rank), input })
        }
        ("quantile", ..) => Err(wrong("a number, and a rank from 0 to 1")),
        ("top", Some(value), Some(most), None) => {
            let (kind, most) = (known(&value), shown_at_most(&most)?);
            let Compiled { input, .. } = with(value, kind, scope, Reduce::CountOf)?;
            let column = input.as_ref().map_or(String::new(), |(column, _)| column.clone());
            Ok(Compiled { reduce: Reduce::Top(column, most), input })
        }
        ("top", ..) => Err(wrong("a value, and how many of the most frequent ones")),
        ("min" | "max" | "first" | "last" | "distinct", Some(value), None, _) => {
            let is_ordered = matches!(name, "min" | "max");
            if is_ordered && value.expression.kind() == Type::Untyped {
                let message = format!(
                    "{name} of a column without a type: give it one in the source's columns = {{…}}, or write CAST(… AS …)"
                );
                return Err(ExprError { at: value.at, message });
            }
            let kind = known(&value);
            let reduce = match name {
                "min" => Reduce::Min,
                "max" => Reduce::Max,
                "first" => Reduce::First,
                "last" => Reduce::Last,
                _ => Reduce::Distinct,
            };
            with(value, kind, scope, reduce)
        }
        ("min" | "max" | "first" | "last" | "distinct", ..) => Err(wrong("one value")),
        _ => Err(unknown(name, at)),
    }
}

/// The type of a value; text if it has none.
fn known(argument: &Argument) -> Type {
    match argument.expression.kind() {
        Type::Untyped | Type::Null => Type::Text,
        kind => kind,
    }
}

fn rank(argument: &Argument) -> Result<Decimal, ExprError> {
    let one = Decimal::from(1);
    let rank = match argument.expression.constant() {
        Some(Cell::Decimal(rank)) => Some(rank),
        Some(Cell::Integer(rank)) => i64::try_from(rank).ok().map(Decimal::from),
        _ => None,
    };
    let is_rank = |rank: &Decimal| rank.billionths() >= 0 && rank.cmp_value(&one).is_le();
    rank.filter(is_rank).ok_or_else(|| {
        let message =
            format!("{} is no rank: expected a number from 0 to 1, such as 0.99", argument.text);
        ExprError { at: argument.at, message }
    })
}

fn shown_at_most(argument: &Argument) -> Result<u32, ExprError> {
    let number = match argument.expression.constant() {
        Some(Cell::Integer(number)) => u32::try_from(number).ok(),
        _ => None,
    };
    number.filter(|number| (1..=1_000).contains(number)).ok_or_else(|| {
        let message =
            format!("'{}': expected a number of values from 1 to 1000, such as 10", argument.text);
        ExprError { at: argument.at, message }
    })
}

fn unknown(name: &str, at: usize) -> ExprError {
    let message = match nearest(name, NAMES) {
        Some(near) => format!("there is no measure '{name}': did you mean '{near}'?"),
        None => format!("there is no measure '{name}': expected one of {}", NAMES.join(", ")),
    };
    ExprError { at, message }
}
