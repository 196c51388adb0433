//! What the rows of a view are made of, as a data folder and those who ask know it.

use super::{Column, Shape};
use crate::aggregate::Aggregate;
use crate::key::Key;

/// The encoding of a view's rows and what they are shown as: what the Rust types of its keys and aggregates say,
/// or, of a [dynamic](crate::dynamic) view, its definition, whose types are the same whatever is in them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RowTypes {
    /// The id of the keys.
    pub(crate) key: String,
    /// The id of the aggregates.
    pub(crate) aggregate: String,
    /// The columns of the key, with names within it.
    pub(crate) columns: Vec<Column>,
    /// The measures.
    pub(crate) shape: Shape,
}

impl RowTypes {
    /// What these types say.
    pub(crate) fn of<K: Key, A: Aggregate>() -> RowTypes {
        RowTypes { key: K::id(), aggregate: A::id(), columns: K::columns(), shape: A::shape() }
    }
}
