//! Expressions: the grammar of SQL over exact numbers.
//!
//! [`Expression::compile`] checks a text against the columns of a source, before anything is read. The result is
//! evaluated for each row, without allocating for numbers and without copying texts.
//!
//! - [`Type`], [`Cell`]: the type of an expression, and its values
//! - [`Scope`]: the columns that a text may name, and the zone of dates
//! - `parse`: from the text to the parser's tree, with positions in the text
//! - `compile`, `functions`, `cast`: from that tree to a `node::Node` with a type
//! - `node`, `call`, `number`, `text`, `time`: evaluation
//!
//! **Null** follows SQL: a comparison or a calculation with null is null, `AND` and `OR` have three values, and a
//! condition that is null does not hold.
//!
//! **Numbers** are 128-bit integers, or decimals with at most nine digits after the point. Nothing wraps: an overflow
//! is a [`RowError`], for which the row is refused.

mod bound;
mod call;
mod cast;
mod casting;
mod cell;
mod compile;
mod digits;
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
    /// [`ExprError`] with the position in the text: it is not an expression, names a missing column, or types do not
    /// match.
    pub fn compile(text: &str, scope: &mut Scope) -> Result<Expression, ExprError> {
        let typed = with_stack(|| Compiler::new(text, scope).whole(text))?;
        Ok(Expression::new(typed.node, typed.kind))
    }

    /// Compiles a text that must have this type, or be convertible to it.
    ///
    /// # Errors
    /// As [`Expression::compile`].
    pub fn compile_as(text: &str, kind: Type, scope: &mut Scope) -> Result<Expression, ExprError> {
        let typed = with_stack(|| {
            let mut compiler = Compiler::new(text, scope);
            let typed = compiler.whole(text)?;
            compiler.coerce(typed, kind, "here")
        })?;
        Ok(Expression::new(typed.node, kind))
    }

    /// Compiles the call of a measure. `sum(miles * 2)` gives its name and its arguments.
    ///
    /// # Errors
    /// As [`Expression::compile`], and if the text is not a call.
    pub fn call(text: &str, scope: &mut Scope) -> Result<Call, ExprError> {
        with_stack(|| Compiler::new(text, scope).measure(text))
    }

    /// The same expression, read as a type, if only the text of a column has to be read for that.
    ///
    /// # Errors
    /// [`ExprError`] if the types do not match.
    pub fn read_as(
        self,
        kind: Type,
        at: usize,
        scope: &mut Scope,
    ) -> Result<Expression, ExprError> {
        let typed = compile::Typed { node: self.node, kind: self.kind, at };
        let typed = Compiler::new("", scope).coerce(typed, kind, "here")?;
        Ok(Expression::new(typed.node, kind))
    }
}

/// The size of the stack. The parser's tree of the longest allowed text may be thousands of levels deep and is walked
/// recursively: by this crate up to a limit, by the parser's own functions to the end. It is address space only, until
/// it is used.
const STACK_BYTES: usize = 256 << 20;

/// Runs a function on a stack that is large enough for every text.
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
