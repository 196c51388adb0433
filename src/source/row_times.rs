//! Computed times of rows, for rows without usable time columns.

use std::fmt;
use std::sync::Arc;

use super::cells::Cells;
use crate::time::EventTime;

/// Computes the event time of a row and, optionally, its arrival; for
/// [`CsvOptions::row_times`](super::CsvOptions::row_times).
///
/// It is called once for each row, on any thread. Its error is the reason why the row is refused.
///
/// ```
/// use dayfold::source::{CsvOptions, RowTimes, UntimedRow, parse_time};
///
/// /// A date in one column, and the time of day in another.
/// fn time(row: &UntimedRow<'_>) -> Result<i64, String> {
///     let text = [row.field(0), b"T", row.field(1), b"Z"].concat();
///     parse_time(&text).map_err(|refusal| refusal.to_string())
/// }
///
/// let options = CsvOptions::new("").fields(["date", "time"]).row_times(RowTimes::event(time));
/// # let _ = options;
/// ```
#[derive(Clone)]
pub struct RowTimes {
    find: Arc<Find>,
    pub(super) has_arrival: bool,
}

type Find = dyn Fn(&UntimedRow<'_>) -> Result<(EventTime, Option<EventTime>), String> + Send + Sync;

impl RowTimes {
    /// The event time alone; the clock of the source is the largest one.
    pub fn event(
        find: impl Fn(&UntimedRow<'_>) -> Result<EventTime, String> + Send + Sync + 'static,
    ) -> RowTimes {
        RowTimes { find: Arc::new(move |row| Ok((find(row)?, None))), has_arrival: false }
    }

    /// The event time and the arrival, which is the clock of the source. A row without an arrival has that of the row
    /// before.
    pub fn with_arrival(
        find: impl Fn(&UntimedRow<'_>) -> Result<(EventTime, Option<EventTime>), String>
        + Send
        + Sync
        + 'static,
    ) -> RowTimes {
        RowTimes { find: Arc::new(find), has_arrival: true }
    }

    pub(super) fn of(
        &self,
        row: &UntimedRow<'_>,
    ) -> Result<(EventTime, Option<EventTime>), String> {
        (self.find)(row)
    }
}

impl fmt::Debug for RowTimes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RowTimes").field("has_arrival", &self.has_arrival).finish_non_exhaustive()
    }
}

/// Functions cannot be compared, so two are equal if one is a clone of the other.
impl PartialEq for RowTimes {
    fn eq(&self, other: &RowTimes) -> bool {
        Arc::ptr_eq(&self.find, &other.find)
    }
}

impl Eq for RowTimes {}

/// A row whose event time is not known yet.
pub struct UntimedRow<'a> {
    pub(super) cells: &'a dyn Cells,
    /// The positions of the selected fields.
    pub(super) selected: &'a [usize],
}

impl UntimedRow<'_> {
    /// The row as it stands in the source, without the end of the line.
    pub fn raw(&self) -> &[u8] {
        self.cells.raw()
    }

    /// The `i`-th of the selected fields, without its quotes.
    ///
    /// # Panics
    /// If fewer fields were selected.
    pub fn field(&self, i: usize) -> &[u8] {
        self.cells.cell(self.selected[i])
    }
}

impl fmt::Debug for UntimedRow<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("UntimedRow").field(&String::from_utf8_lossy(self.raw())).finish()
    }
}
