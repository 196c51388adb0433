//! Expressions: the grammar of SQL over exact numbers.
//!
//! [`Expression::compile`] checks a text against the columns of a source, before anything is read. What it returns is
//! evaluated for each row, without allocating for numbers and without copying texts.
//!
//! - [`Type`], [`Cell`]: what an expression may be, and a value of it
//! - [`Scope`]: the columns that a text may name, and the zone of dates
//! - `parse`: from the text to a tree of the parser's; where in the text each part stands
//! - `compile`, `functions`, `cast`: from that tree to a `node::Node` with a type
//! - `node`, `call`, `number`, `text`, `time`: evaluation
//!
//! **Null** follows SQL: a comparison or a calculation with null is null, `AND` and `OR` have three values, and a condition
//! that is null does not hold.
//!
//! **Numbers** are integers of 128 bits, or decimals with at most nine digits after the point. Nothing wraps: an overflow is
//! a [`RowError`], for which the row is refused.

mod call;
mod cast;
mod casting;
mod cell;
mod compile;
mod error;
mod expression;
mod functions;
mod node;
mod number;
mod parse;
mod read;
mod scope;
mod text;
mod time;

pub use cell::{Cell, Row, Type};
pub use error::{ExprError, RowError};
pub use expression::{Argument, Call, Expression};
pub use read::{Format, read};
pub use scope::{Column, Scope, nearest};

use compile::Compiler;

impl Expression {
    /// Compiles a text.
    ///
    /// # Errors
    /// [`ExprError`], which says where in the text: it is no expression, names a column that there is not, or types do not
    /// fit.
    pub fn compile(text: &str, scope: &mut Scope) -> Result<Expression, ExprError> {
        let typed = with_stack(|| Compiler::new(text, scope).whole(text))?;
        Ok(Expression { node: typed.node, kind: typed.kind })
    }

    /// Compiles a text that has to be of this type, or can be read as it.
    ///
    /// # Errors
    /// As [`Expression::compile`].
    pub fn compile_as(text: &str, kind: Type, scope: &mut Scope) -> Result<Expression, ExprError> {
        let typed = with_stack(|| {
            let mut compiler = Compiler::new(text, scope);
            let typed = compiler.whole(text)?;
            compiler.coerce(typed, kind, "here")
        })?;
        Ok(Expression { node: typed.node, kind })
    }

    /// Compiles the call of a measure: `sum(miles * 2)` is its name, and its arguments.
    ///
    /// # Errors
    /// As [`Expression::compile`], and if the text is no call.
    pub fn call(text: &str, scope: &mut Scope) -> Result<Call, ExprError> {
        with_stack(|| Compiler::new(text, scope).measure(text))
    }

    /// The same expression, read as a type, if that needs no more than reading a column's text.
    ///
    /// # Errors
    /// [`ExprError`] if the types do not fit.
    pub fn read_as(
        self,
        kind: Type,
        at: usize,
        scope: &mut Scope,
    ) -> Result<Expression, ExprError> {
        let typed = compile::Typed { node: self.node, kind: self.kind, at };
        let typed = Compiler::new("", scope).coerce(typed, kind, "here")?;
        Ok(Expression { node: typed.node, kind })
    }
}

/// The parser's tree of a text of the greatest length may be thousands deep, and is walked recursively: by us up to a limit, by
/// the parser's own functions to the end. This is address space alone, until it is used.
const STACK_BYTES: usize = 256 << 20;

/// Does something on a stack that is large enough for every text.
fn with_stack<T: Send>(work: impl FnOnce() -> Result<T, ExprError> + Send) -> Result<T, ExprError> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, work);
        let thread = thread
            .map_err(|error| ExprError::new(0, format!("no thread to compile it: {error}")))?;
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

#[cfg(test)]
mod tests;
