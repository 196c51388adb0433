//! The record that was found: its bytes, its fields, and whether it is valid.

use super::Records;
use crate::source::cells::Cells;
use crate::source::pending::{Pending, Tail};
use crate::source::scan::Scanner;

impl Records {
    fn pending(&self) -> &Pending {
        self.pending.as_ref().expect("asked for a record that was not found")
    }

    /// Whether the pending record includes the end of its line, so that it cannot grow.
    pub(in crate::source) fn has_line_end(&self) -> bool {
        self.pending().tail == Tail::Line
    }

    /// The bytes of the pending record, without the end of the line; only the first ones, if it is too long.
    pub(in crate::source) fn raw(&self) -> &[u8] {
        match &self.skipped {
            Some(line) => &line.kept,
            None => &self.content.unread()[..self.pending().raw],
        }
    }

    /// The number of the pending record's fields.
    pub(in crate::source) fn fields(&self) -> usize {
        self.pending().fields
    }

    /// The `i`-th field of the pending record, with quotes resolved; empty if there are fewer.
    pub(in crate::source) fn field(&self, i: usize) -> &[u8] {
        let Scanner { text, ends, .. } = &self.scanner;
        let start = if i == 0 { Some(0) } else { ends.get(i - 1).copied() };
        let range = start.zip(ends.get(i).copied());
        range.map_or(&[], |(start, end)| &text[start..end])
    }

    /// Why the pending record is not a row, whatever its fields are.
    pub(in crate::source) fn refusal(&self) -> Option<&str> {
        self.pending().refusal.as_deref()
    }

    /// Whether the pending record is a header that is too long.
    pub(in crate::source) fn is_too_long(&self) -> bool {
        self.pending().is_too_long
    }

    /// Consumes the pending record.
    pub(in crate::source) fn accept(&mut self) {
        let pending = self.pending.take().expect("accepts a record that was found");
        self.content.consume(pending.length);
        self.line += pending.lines;
        self.tail = pending.tail;
        self.skipped = None;
    }
}

impl Cells for Records {
    fn count(&self) -> usize {
        self.fields()
    }

    fn is_empty_behind(&self, count: usize) -> bool {
        let Scanner { text, ends, .. } = &self.scanner;
        let end = count.checked_sub(1).map_or(Some(0), |last| ends.get(last).copied());
        end.is_none_or(|end| end == text.len())
    }

    fn cell(&self, i: usize) -> &[u8] {
        self.field(i)
    }

    fn raw(&self) -> &[u8] {
        Records::raw(self)
    }
}
