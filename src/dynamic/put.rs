//! Where decoded values go.

use crate::schema::ValueRef;

/// Columns, by number, to which values are added.
pub(crate) trait PutValues {
    /// Adds an integer.
    fn integer(&mut self, column: usize, number: i128);

    /// Adds a value.
    fn value(&mut self, column: usize, value: ValueRef<'_>);
}
