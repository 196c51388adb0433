//! Sealed days, computed again from the log: to rebuild them, and to audit them.

use std::collections::BTreeMap;

use super::ArchiveError;
use crate::aggregate::Aggregate;
use crate::batch::Coverage;
use crate::closing::Closing;
use crate::key::{Key, partition};
use crate::table::{Table, TableRow};
use crate::time::{Day, DayRange};

/// The log as a view sees it: every event through the view's own function, and combined by the same
/// operator that combines what comes in.
pub(crate) trait LogRows<K: Key, A: Aggregate>: Send + Sync {
    /// Hands over the rows of the events that may be of these days and of closings up to `through`, and of other days
    /// that lie beside them.
    /// Takes at most about this share of a processor's time. Returns how many events were read.
    fn read(
        &self,
        days: DayRange,
        through: Closing,
        share: f64,
        take: &mut dyn FnMut(Vec<TableRow<K, A>>),
    ) -> Result<u64, ArchiveError>;

    /// Has whoever reads give up, with [`ArchiveError::Stopped`].
    fn stop(&self);
}

/// Days as the log has them.
pub(super) struct Recomputed<K, A> {
    pub(super) tables: BTreeMap<Day, Table<K, A>>,
    /// How many events were read for it.
    pub(super) events: u64,
}

/// Computes days from the log, of the partitions in `coverage`: all events of closings up to `through`,
/// which is what live revisions hold when all of these closings are sealed.
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
