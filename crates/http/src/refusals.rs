//! Which rows were refused, as the program tells it.

use std::io;

/// A row that was refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RefusedRow {
    /// Its line in the source; of a partition, its position.
    pub line: u64,
    /// Why it does not count.
    pub reason: String,
    /// The row as it stood in the source, or its beginning.
    pub row: String,
}

/// Some of the rows that were refused, and what is known of all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RefusedRows {
    /// The rows, in the order in which they were refused.
    pub rows: Vec<RefusedRow>,
    /// Where the rows behind these begin; nothing, if these are the last.
    pub next: Option<u64>,
    /// How many were refused in all.
    pub total: u64,
    /// The commonest reasons, each with the number of its rows.
    pub reasons: Vec<(String, u64)>,
}

/// Reads them: from where, and how many at most.
pub(crate) type ReadRefused = dyn Fn(u64, usize) -> io::Result<RefusedRows> + Send + Sync;
