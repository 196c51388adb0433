//! Computes sealed days again from the log, to rebuild or audit them.

use std::collections::BTreeMap;

use super::ArchiveError;
use crate::aggregate::Aggregate;
use crate::batch::Coverage;
use crate::closing::Closing;
use crate::key::{Key, partition};
use crate::table::{Table, TableRow};
use crate::time::{Day, DayRange};

/// The log as a view sees it: every event passes through the view's own function, and the same operator combines it as
/// at ingest.
pub(crate) trait LogRows<K: Key, A: Aggregate>: Send + Sync {
    /// Hands over the rows of the events that may belong to these days and to closings up to `through`. Rows of
    /// neighbouring days may come too. Takes at most about `share` of a processor's time. Returns the number of events
    /// read.
    fn read(
        &self,
        days: DayRange,
        through: Closing,
        share: f64,
        take: &mut dyn FnMut(Vec<TableRow<K, A>>),
    ) -> Result<u64, ArchiveError>;

    /// Makes running reads stop with [`ArchiveError::Stopped`].
    fn stop(&self);
}

/// Days as the log has them.
pub(super) struct Recomputed<K, A> {
    pub(super) tables: BTreeMap<Day, Table<K, A>>,
    /// The number of events that were read.
    pub(super) events: u64,
}

/// Computes days from the log, for the partitions in `coverage`, from all events of closings up to `through`. Live
/// revisions hold the same events when all of these closings are sealed.
pub(super) fn recompute<K: Key, A: Aggregate>(
    log: &dyn LogRows<K, A>,
    days: DayRange,
    through: Closing,
    coverage: Coverage,
    share: f64,
) -> Result<Recomputed<K, A>, ArchiveError> {
    let mut tables: BTreeMap<Day, Table<K, A>> = BTreeMap::new();
    let events = log.read(days, through, share, &mut |rows| {
        for row in rows {
            if coverage.contains(partition(row.hash)) && days.contains(row.day) {
                let table = tables.entry(row.day).or_insert_with(Table::new);
                table.add(row.hash, row.key, row.aggregate);
            }
        }
    })?;
    Ok(Recomputed { tables, events })
}
