//! How large values may become. Almost every row has numbers that are so small that no calculation with them can
//! overflow, so nothing has to be calculated to find out that it has a value.

use super::call::Call;
use super::cell::{Cell, Row};
use super::node::{Arithmetic, Node};

/// Numbers up to this one are small.
const SMALL: u128 = 1 << 31;
/// The bounds that results stay below: far from the limits of integers and decimals, also in a calculation.
const LIMIT: u128 = 1 << 63;
const BILLION: u128 = 1_000_000_000;

impl Row<'_> {
    /// Whether all numbers of the row are small.
    pub(crate) fn is_small(&self) -> bool {
        self.cells.iter().all(|cell| match cell {
            Cell::Integer(number) => number.unsigned_abs() <= SMALL,
            Cell::Decimal(number) => number.billionths().unsigned_abs() <= SMALL * BILLION,
            _ => true,
        })
    }
}

impl Node {
    /// A bound of the number, without its sign, for all rows whose numbers are small; 0 for other types. `None` if it
    /// may have no value for such a row.
    pub(crate) fn bound(&self) -> Option<u128> {
        let all =
            |nodes: &[Node]| nodes.iter().try_fold(0, |bound, node| Some(node.bound()?.max(bound)));
        let both = |pair: &(Node, Node)| pair.0.bound().zip(pair.1.bound());
        let bound = match self {
            Node::Literal(Cell::Integer(number)) => number.unsigned_abs(),
            Node::Literal(Cell::Decimal(number)) => {
                number.billionths().unsigned_abs().div_ceil(BILLION)
            }
            Node::Literal(_) => 0,
            Node::Column { .. } => SMALL,
            Node::Not(node) | Node::IsNull(node, _) | Node::Is(node, ..) | Node::Like(node, _) => {
                node.bound().map(|_| 0)?
            }
            Node::And(pair)
            | Node::Or(pair)
            | Node::Distinct(pair, _)
            | Node::Compare(_, pair)
            | Node::Join(pair) => both(pair).map(|_| 0)?,
            Node::NullIf(pair) => both(pair)?.0,
            Node::In(node, list) => node.bound().and(all(list)).map(|_| 0)?,
            Node::Integers(op, pair) | Node::Decimals(op, pair) => {
                let (left, right) = both(pair)?;
                match op {
                    Arithmetic::Add | Arithmetic::Subtract => left + right,
                    // A product may be rounded up.
                    Arithmetic::Multiply => left * right + 1,
                    Arithmetic::Divide | Arithmetic::Modulo => return None,
                }
            }
            Node::ToDecimal(node) => node.bound()?,
            Node::Case(branches, otherwise) => {
                let results = branches.iter().map(|branch| Some(both(branch)?.1));
                results
                    .chain([otherwise.bound()])
                    .try_fold(0, |most, bound| Some(bound?.max(most)))?
            }
            Node::Coalesce(nodes) => all(nodes)?,
            Node::Concat(nodes) => all(nodes).map(|_| 0)?,
            Node::Call(Call::Abs, nodes) => all(nodes)?,
            // The length of a text.
            Node::Call(call, nodes) if !call.can_fail() => all(nodes).map(|_| SMALL)?,
            _ => return None,
        };
        Some(bound).filter(|bound| *bound < LIMIT)
    }
}
