//! Compiled expressions, for evaluating rows.

use super::cell::{Cell, Row, Type};
use super::error::RowError;
use super::node::Node;
use super::scope::Scope;

/// A compiled expression.
#[derive(Debug)]
pub struct Expression {
    pub(super) node: Node,
    pub(super) kind: Type,
    can_fail: bool,
    can_fail_if_small: bool,
}

impl Expression {
    pub(super) fn new(node: Node, kind: Type) -> Expression {
        let can_fail = node.can_fail();
        Expression { can_fail, can_fail_if_small: can_fail && node.bound().is_none(), node, kind }
    }

    /// The type of its values.
    pub fn kind(&self) -> Type {
        self.kind
    }

    /// For decimals: how many digits after the point its values have at most. `scope` is that of its columns.
    pub fn digits(&self, scope: &Scope) -> Option<u8> {
        (self.kind == Type::Decimal).then(|| self.node.digits(&|slot| scope.digits(slot)))
    }

    /// The value for a row.
    ///
    /// # Errors
    /// [`RowError`] if there is none: an overflow, a division by zero, a text that does not have the expected type.
    #[inline]
    pub fn eval<'r>(&'r self, row: Row<'r>) -> Result<Cell<'r>, RowError> {
        self.node.eval(row)
    }

    /// Whether a condition holds; null does not hold.
    ///
    /// # Errors
    /// As [`Expression::eval`].
    #[inline]
    pub fn holds(&self, row: Row<'_>) -> Result<bool, RowError> {
        Ok(matches!(self.node.eval(row)?, Cell::Boolean(true)))
    }

    /// The column, if the expression is a plain column; `None` if it computes something.
    pub fn column(&self) -> Option<usize> {
        match self.node {
            Node::Column { slot } | Node::Read { slot, .. } => Some(slot),
            _ => None,
        }
    }

    /// Whether there may be rows for which it has no value. A plain column has a value for each row.
    pub fn can_fail(&self) -> bool {
        self.can_fail
    }

    /// The same for rows whose numbers are all [small](Row::is_small).
    pub(crate) fn can_fail_if_small(&self) -> bool {
        self.can_fail_if_small
    }

    /// The value of an expression that depends on no column.
    pub fn constant(&self) -> Option<Cell<'_>> {
        match &self.node {
            Node::Literal(literal) => Some(literal.as_cell()),
            _ => None,
        }
    }
}

/// The call of a measure.
#[derive(Debug)]
pub struct Call {
    /// The name, in lower case.
    pub name: String,
    /// The position of the name in the text.
    pub at: usize,
    /// The arguments.
    pub arguments: Vec<Argument>,
}

/// An argument of a measure.
#[derive(Debug)]
pub struct Argument {
    /// The expression.
    pub expression: Expression,
    /// Its text in a normal form, independent of spaces and parentheses in the file.
    pub text: String,
    /// Its position in the text of the call.
    pub at: usize,
}
