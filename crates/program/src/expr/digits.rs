//! How many digits after the point the decimals of an expression have at most.

use super::call::Call;
use super::cell::{Cell, Type};
use super::node::{Arithmetic, Node};
use super::read::Format;

/// What every decimal has at most.
pub(super) const MOST: u8 = 9;

impl Node {
    /// The digits after the point of its numbers, at most; `column` gives those of a slot. Nothing is known of texts, and
    /// of what is calculated from them.
    pub(super) fn digits(&self, column: &dyn Fn(usize) -> u8) -> u8 {
        let most = |nodes: &mut dyn Iterator<Item = &Node>| {
            nodes.map(|node| node.digits(column)).max().unwrap_or(MOST)
        };
        let digits = match self {
            Node::Literal(Cell::Integer(_) | Cell::Null) | Node::ToDecimal(_) => 0,
            Node::Literal(Cell::Decimal(number)) => number.scale(),
            Node::Column { slot } => column(*slot),
            Node::Read { format, .. } | Node::ReadText(_, format) => of_format(format),
            Node::Decimals(op, pair) => {
                let (left, right) = (pair.0.digits(column), pair.1.digits(column));
                match op {
                    Arithmetic::Add | Arithmetic::Subtract | Arithmetic::Modulo => left.max(right),
                    // A product with more digits is rounded to as many as there may be.
                    Arithmetic::Multiply => left + right,
                    Arithmetic::Divide => MOST,
                }
            }
            Node::Quotient(_, digits) => *digits,
            Node::Case(branches, otherwise) => {
                most(&mut branches.iter().map(|(_, result)| result).chain([&**otherwise]))
            }
            Node::Coalesce(nodes) => most(&mut nodes.iter()),
            Node::NullIf(pair) => pair.0.digits(column),
            Node::Cast(_, cast) => cast.digits.map_or(MOST, |(_, scale)| scale),
            Node::Call(Call::Abs, nodes) => most(&mut nodes.iter()),
            Node::Call(Call::Round(digits), nodes) => {
                most(&mut nodes.iter()).min((*digits).clamp(0, MOST.into()) as u8)
            }
            _ => MOST,
        };
        digits.min(MOST)
    }
}

fn of_format(format: &Format) -> u8 {
    match format.kind {
        Type::Integer => 0,
        Type::Decimal => format.scale.unwrap_or(MOST),
        _ => MOST,
    }
}
