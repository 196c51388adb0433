//! The types of a view's rows, for data folders and queries.

use super::{AggregateShape, Column};
use crate::aggregate::Aggregate;
use crate::key::Key;

/// The encoding of a view's rows, and how they are shown. It comes from the Rust types of keys and aggregates, or, for
/// a [dynamic](crate::dynamic) view, from its definition, because all dynamic views have the same types.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RowTypes {
    /// The id of the keys.
    pub(crate) key: String,
    /// The id of the aggregates.
    pub(crate) aggregate: String,
    /// The columns of the key, with names within it.
    pub(crate) columns: Vec<Column>,
    /// The measures.
    pub(crate) shape: AggregateShape,
}

impl RowTypes {
    /// The definition by these types.
    pub(crate) fn of<K: Key, A: Aggregate>() -> RowTypes {
        RowTypes { key: K::id(), aggregate: A::id(), columns: K::columns(), shape: A::shape() }
    }
}
