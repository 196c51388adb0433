//! Refused rows, as the program reports them.

use std::io;

/// A row that was refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RefusedRow {
    /// Its line in the source; for a partition, its position.
    pub line: u64,
    /// Why it was refused.
    pub reason: String,
    /// The row as it is in the source, or its beginning.
    pub row: String,
}

/// Some refused rows, and numbers about all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RefusedRows {
    /// The rows, in the order in which they were refused.
    pub rows: Vec<RefusedRow>,
    /// Where the next rows begin; `None` if these are the last.
    pub next: Option<u64>,
    /// The number of all refused rows.
    pub total: u64,
    /// The most common reasons, each with the number of its rows.
    pub reasons: Vec<(String, u64)>,
}

/// Reads refused rows, given the position of the first and the maximum number.
pub(crate) type ReadRefused = dyn Fn(u64, usize) -> io::Result<RefusedRows> + Send + Sync;
