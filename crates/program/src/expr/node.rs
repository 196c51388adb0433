//! Typed nodes, and their values for a row.

use std::borrow::Cow;

use dayfold::aggregate::Decimal;
use dayfold::time::Day;

use super::call::Call;
use super::cast::Cast;
use super::cell::{Cell, Row, Type};
use super::error::RowError;
use super::read::{Format, read};
use super::text::Like;
use super::{number, time};

/// A part of an expression. The compiler has made the types match.
#[derive(Debug)]
pub(crate) enum Node {
    Literal(Cell<'static>),
    Column {
        slot: usize,
    },
    /// Reads the text of a column as a type.
    Read {
        slot: usize,
        format: Box<Format>,
    },
    /// Reads a text as a type.
    ReadText(Box<Node>, Box<Format>),
    Not(Box<Node>),
    And(Box<(Node, Node)>),
    Or(Box<(Node, Node)>),
    /// Whether a value is null; with `true`, whether it is not.
    IsNull(Box<Node>, bool),
    /// Whether a condition has this value; with `true`, whether it does not.
    Is(Box<Node>, Option<bool>, bool),
    Distinct(Box<(Node, Node)>, bool),
    Compare(Comparison, Box<(Node, Node)>),
    Integers(Arithmetic, Box<(Node, Node)>),
    Decimals(Arithmetic, Box<(Node, Node)>),
    /// A quotient with this many digits after the point.
    Quotient(Box<(Node, Node)>, u8),
    ToDecimal(Box<Node>),
    /// The days between two dates.
    Days(Box<(Node, Node)>),
    /// A date plus a number of days; minus if `true`.
    Shift(Box<(Node, Node)>, bool),
    /// The first instant of a date.
    Midnight(Box<Node>, time::Zone),
    In(Box<Node>, Vec<Node>),
    Like(Box<Node>, Like),
    Case(Vec<(Node, Node)>, Box<Node>),
    Coalesce(Vec<Node>),
    NullIf(Box<(Node, Node)>),
    /// Concatenated texts; null if one of them is null.
    Join(Box<(Node, Node)>),
    /// Concatenated texts, without those that are null.
    Concat(Vec<Node>),
    Cast(Box<Node>, Cast),
    Call(Call, Vec<Node>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
}

impl Node {
    pub(crate) fn arithmetic(op: Arithmetic, kind: Type, left: Node, right: Node) -> Node {
        let pair = Box::new((left, right));
        match (op, kind) {
            (Arithmetic::Divide, _) => Node::Quotient(pair, number::QUOTIENT_DIGITS),
            (op, Type::Integer) => Node::Integers(op, pair),
            (op, _) => Node::Decimals(op, pair),
        }
    }

    /// Whether it depends on no column.
    pub(crate) fn is_constant(&self) -> bool {
        let both = |pair: &(Node, Node)| pair.0.is_constant() && pair.1.is_constant();
        match self {
            Node::Literal(_) => true,
            Node::Column { .. } | Node::Read { .. } => false,
            Node::ReadText(node, _)
            | Node::Not(node)
            | Node::IsNull(node, _)
            | Node::Is(node, ..) => node.is_constant(),
            Node::ToDecimal(node)
            | Node::Midnight(node, _)
            | Node::Like(node, _)
            | Node::Cast(node, _) => node.is_constant(),
            Node::And(pair) | Node::Or(pair) | Node::Distinct(pair, _) | Node::Compare(_, pair) => {
                both(pair)
            }
            Node::Integers(_, pair) | Node::Decimals(_, pair) | Node::Quotient(pair, _) => {
                both(pair)
            }
            Node::Days(pair) | Node::Shift(pair, _) | Node::NullIf(pair) | Node::Join(pair) => {
                both(pair)
            }
            Node::In(node, list) => node.is_constant() && list.iter().all(Node::is_constant),
            Node::Case(branches, otherwise) => branches.iter().all(both) && otherwise.is_constant(),
            Node::Coalesce(nodes) | Node::Concat(nodes) | Node::Call(_, nodes) => {
                nodes.iter().all(Node::is_constant)
            }
        }
    }

    /// Whether there may be rows for which it has no value.
    pub(crate) fn can_fail(&self) -> bool {
        let both = |pair: &(Node, Node)| pair.0.can_fail() || pair.1.can_fail();
        match self {
            Node::Literal(_) | Node::Column { .. } => false,
            Node::Not(node) | Node::IsNull(node, _) | Node::Is(node, ..) | Node::Like(node, _) => {
                node.can_fail()
            }
            Node::And(pair) | Node::Or(pair) | Node::Distinct(pair, _) | Node::Compare(_, pair) => {
                both(pair)
            }
            Node::NullIf(pair) | Node::Join(pair) => both(pair),
            Node::In(node, list) => node.can_fail() || list.iter().any(Node::can_fail),
            Node::Case(branches, otherwise) => branches.iter().any(both) || otherwise.can_fail(),
            Node::Coalesce(nodes) | Node::Concat(nodes) => nodes.iter().any(Node::can_fail),
            Node::Call(call, nodes) => call.can_fail() || nodes.iter().any(Node::can_fail),
            _ => true,
        }
    }

    /// The value for a row.
    pub(crate) fn eval<'r>(&'r self, row: Row<'r>) -> Result<Cell<'r>, RowError> {
        match self {
            Node::Literal(cell) => Ok(cell.as_cell()),
            Node::Column { slot } => Ok(row.cells[*slot].as_cell()),
            Node::Read { slot, format } => match &row.cells[*slot] {
                Cell::Text(text) => read(Cow::Borrowed(text), format),
                other => Ok(other.as_cell()),
            },
            Node::ReadText(node, format) => match node.eval(row)? {
                Cell::Text(text) => read(text, format),
                other => Ok(other),
            },
            Node::Not(node) => Ok(truth(node.truth(row)?.map(|is_so| !is_so))),
            Node::And(_) | Node::Or(_) => Ok(truth(self.truth(row)?)),
            Node::IsNull(node, is_negated) => {
                Ok(Cell::Boolean(node.eval(row)?.is_null() != *is_negated))
            }
            Node::Is(node, value, is_negated) => {
                Ok(Cell::Boolean((node.truth(row)? == *value) != *is_negated))
            }
            Node::Distinct(pair, is_distinct) => {
                let (left, right) = (pair.0.eval(row)?, pair.1.eval(row)?);
                let is_same = match (left.is_null(), right.is_null()) {
                    (false, false) => left.order(&right).is_eq(),
                    (left, right) => left == right,
                };
                Ok(Cell::Boolean(is_same != *is_distinct))
            }
            Node::Compare(comparison, pair) => {
                let (left, right) = (pair.0.eval(row)?, pair.1.eval(row)?);
                if left.is_null() || right.is_null() {
                    return Ok(Cell::Null);
                }
                Ok(Cell::Boolean(comparison.holds(left.order(&right))))
            }
            Node::Integers(op, pair) => match (pair.0.eval(row)?, pair.1.eval(row)?) {
                (Cell::Integer(left), Cell::Integer(right)) => {
                    integers(*op, left, right).map(Cell::Integer)
                }
                _ => Ok(Cell::Null),
            },
            Node::Decimals(op, pair) => match (pair.0.eval(row)?, pair.1.eval(row)?) {
                (Cell::Decimal(left), Cell::Decimal(right)) => {
                    decimals(*op, left, right).map(Cell::Decimal)
                }
                _ => Ok(Cell::Null),
            },
            Node::Quotient(pair, digits) => match (pair.0.eval(row)?, pair.1.eval(row)?) {
                (Cell::Decimal(left), Cell::Decimal(right)) => {
                    number::divide(left.billionths(), right.billionths(), *digits)
                        .map(Cell::Decimal)
                }
                _ => Ok(Cell::Null),
            },
            Node::ToDecimal(node) => match node.eval(row)? {
                Cell::Integer(number) => number::decimal(number).map(Cell::Decimal),
                other => Ok(other),
            },
            Node::Case(branches, otherwise) => {
                for (condition, result) in branches {
                    if condition.truth(row)? == Some(true) {
                        return result.eval(row);
                    }
                }
                otherwise.eval(row)
            }
            Node::Coalesce(nodes) => {
                for node in nodes {
                    let cell = node.eval(row)?;
                    if !cell.is_null() {
                        return Ok(cell);
                    }
                }
                Ok(Cell::Null)
            }
            other => other.eval_rest(row),
        }
    }

    /// Evaluates the less frequent nodes.
    fn eval_rest<'r>(&'r self, row: Row<'r>) -> Result<Cell<'r>, RowError> {
        match self {
            Node::Days(pair) => match (pair.0.eval(row)?, pair.1.eval(row)?) {
                (Cell::Date(left), Cell::Date(right)) => {
                    Ok(Cell::Integer(i128::from(left.0) - i128::from(right.0)))
                }
                _ => Ok(Cell::Null),
            },
            Node::Shift(pair, is_back) => match (pair.0.eval(row)?, pair.1.eval(row)?) {
                (Cell::Date(day), Cell::Integer(days)) => {
                    shift(day, if *is_back { -days } else { days }).map(Cell::Date)
                }
                _ => Ok(Cell::Null),
            },
            Node::Midnight(node, zone) => match node.eval(row)? {
                Cell::Date(day) => zone.midnight(day).map(Cell::Timestamp),
                other => Ok(other),
            },
            Node::In(node, list) => {
                let value = node.eval(row)?;
                let mut found = if value.is_null() { None } else { Some(false) };
                for item in list.iter().take_while(|_| !value.is_null()) {
                    match item.eval(row)? {
                        Cell::Null => found = None,
                        item if value.order(&item).is_eq() => return Ok(Cell::Boolean(true)),
                        _ => {}
                    }
                }
                Ok(truth(found))
            }
            Node::Like(node, like) => match node.eval(row)? {
                Cell::Text(text) => Ok(Cell::Boolean(like.matches(&text))),
                other => Ok(other),
            },
            Node::NullIf(pair) => {
                let (left, right) = (pair.0.eval(row)?, pair.1.eval(row)?);
                let is_equal = !left.is_null() && !right.is_null() && left.order(&right).is_eq();
                Ok(if is_equal { Cell::Null } else { left })
            }
            Node::Join(pair) => match (pair.0.eval(row)?, pair.1.eval(row)?) {
                (Cell::Text(left), Cell::Text(right)) => Ok(Cell::Text(left + right)),
                _ => Ok(Cell::Null),
            },
            Node::Concat(nodes) => {
                let mut joined = Cow::Borrowed("");
                for node in nodes {
                    if let Cell::Text(text) = node.eval(row)? {
                        joined += text;
                    }
                }
                Ok(Cell::Text(joined))
            }
            Node::Cast(node, cast) => cast.apply(node.eval(row)?),
            Node::Call(call, nodes) => call.apply(nodes.len(), |index| nodes[index].eval(row)),
            other => unreachable!("{other:?} is evaluated by eval"),
        }
    }

    /// The value of a condition: true, false or unknown.
    fn truth(&self, row: Row<'_>) -> Result<Option<bool>, RowError> {
        match self {
            Node::And(pair) => match pair.0.truth(row)? {
                Some(false) => Ok(Some(false)),
                left => Ok(match pair.1.truth(row)? {
                    Some(true) => left,
                    Some(false) => Some(false),
                    None => None,
                }),
            },
            Node::Or(pair) => match pair.0.truth(row)? {
                Some(true) => Ok(Some(true)),
                left => Ok(match pair.1.truth(row)? {
                    Some(false) => left,
                    Some(true) => Some(true),
                    None => None,
                }),
            },
            other => match other.eval(row)? {
                Cell::Boolean(is_so) => Ok(Some(is_so)),
                _ => Ok(None),
            },
        }
    }
}

fn truth<'r>(found: Option<bool>) -> Cell<'r> {
    found.map_or(Cell::Null, Cell::Boolean)
}

impl Comparison {
    #[inline]
    fn holds(self, order: std::cmp::Ordering) -> bool {
        match self {
            Comparison::Equal => order.is_eq(),
            Comparison::NotEqual => order.is_ne(),
            Comparison::Less => order.is_lt(),
            Comparison::LessOrEqual => order.is_le(),
            Comparison::Greater => order.is_gt(),
            Comparison::GreaterOrEqual => order.is_ge(),
        }
    }
}

#[inline]
fn integers(op: Arithmetic, left: i128, right: i128) -> Result<i128, RowError> {
    match op {
        Arithmetic::Add => left.checked_add(right).ok_or(RowError::Overflow { operation: "+" }),
        Arithmetic::Subtract => {
            left.checked_sub(right).ok_or(RowError::Overflow { operation: "-" })
        }
        Arithmetic::Multiply => {
            left.checked_mul(right).ok_or(RowError::Overflow { operation: "*" })
        }
        Arithmetic::Divide | Arithmetic::Modulo if right == 0 => Err(RowError::DivisionByZero),
        // The compiler only divides decimals.
        Arithmetic::Divide | Arithmetic::Modulo => Ok(left.wrapping_rem(right)),
    }
}

#[inline]
fn decimals(op: Arithmetic, left: Decimal, right: Decimal) -> Result<Decimal, RowError> {
    match op {
        Arithmetic::Add => left.checked_add(right).ok_or(RowError::Overflow { operation: "+" }),
        Arithmetic::Subtract => {
            left.checked_sub(right).ok_or(RowError::Overflow { operation: "-" })
        }
        Arithmetic::Multiply => {
            left.checked_mul(right).ok_or(RowError::Overflow { operation: "*" })
        }
        Arithmetic::Divide => {
            number::divide(left.billionths(), right.billionths(), number::QUOTIENT_DIGITS)
        }
        Arithmetic::Modulo => number::modulo(left, right),
    }
}

fn shift(day: Day, days: i128) -> Result<Day, RowError> {
    let shifted = i128::from(day.0).checked_add(days).and_then(|day| i32::try_from(day).ok());
    shifted.map(Day).ok_or(RowError::OutOfRange { what: "a date" })
}
