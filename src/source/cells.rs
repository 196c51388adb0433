//! A record that was cut, by any cutter.

/// The fields of a record.
pub(super) trait Cells {
    /// The number of them.
    fn count(&self) -> usize;
    /// Whether all cells after the first `count` are empty.
    fn is_empty_behind(&self, count: usize) -> bool;
    /// The `i`-th of the available cells, with quotes resolved; empty if there are fewer.
    fn cell(&self, i: usize) -> &[u8];
    /// The record as it stands, without the end of the line.
    fn raw(&self) -> &[u8];
}
