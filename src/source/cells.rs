//! A record that was cut, whoever has cut it.

/// The fields of a record.
pub(super) trait Cells {
    /// How many there are.
    fn count(&self) -> usize;
    /// Whether those behind the first `count` are all empty.
    fn is_empty_behind(&self, count: usize) -> bool;
    /// The `i`-th of those that can be asked for, quotes resolved; an empty one, if there are fewer.
    fn cell(&self, i: usize) -> &[u8];
    /// The record as it stands, without the end of the line.
    fn raw(&self) -> &[u8];
}
