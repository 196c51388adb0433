//! Where a view begins that is computed from a log whose first days were removed.

use super::config::StoreConfig;
use super::error::StoreError;
use super::inspect::FolderReport;
use super::view_record::ViewRecord;
use crate::time::{Calendar, DAY_MS, Day, Grain};
use crate::view::{View, begin_from};

impl FolderReport {
    /// Checks that the log has what a new definition of a view needs that is sealed here
    /// ([`Engine::redefine`](crate::Engine::redefine)).
    ///
    /// # Errors
    /// [`StoreError::LogShortened`] if days of the view would be lost.
    ///
    /// ```
    /// use dayfold::store::{self, Disk};
    /// use dayfold::view::View;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let temporary = tempfile::tempdir()?;
    /// # let folder = temporary.path().join("data");
    /// # dayfold::Engine::<i64>::new().data(&folder).start(dayfold::Cluster::workers(1))?.finish()?;
    /// let report = store::inspect(&Disk, &folder)?;
    /// report.check_redefined(&View::new("by-carrier")?)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn check_redefined(&self, view: &View) -> Result<(), StoreError> {
        let known = self.views.iter().find(|known| known.record.name == view.name());
        let known = known.filter(|known| known.sealed_through.is_some());
        let Some((known, log_from)) = known.zip(self.log_from) else { return Ok(()) };
        let first = first_after(view.calendar(), view.skew_ms(), log_from);
        match known.kept_from.is_none_or(|from| from < first) {
            true => Err(StoreError::LogShortened { view: view.name().to_owned(), first, log_from }),
            false => Ok(()),
        }
    }
}

/// The first period of a view whose events are all in a log that begins with this UTC day.
pub(super) fn first_of_log(config: &StoreConfig, view: &ViewRecord, log_from: Day) -> Day {
    let Ok(calendar) = Calendar::new(&view.zone) else { return Day::MAX };
    let skew = config.retention.get(&view.name).map_or(0, |retention| retention.skew_ms);
    first_after(&calendar.by(view.grain), skew, log_from)
}

fn first_after(calendar: &Calendar, skew: i64, log_from: Day) -> Day {
    let end = i64::from(log_from.0).saturating_mul(DAY_MS).saturating_add(skew);
    // If clocks go back over midnight, a later date comes before an earlier one.
    let last = calendar.days_within(end.saturating_sub(2 * DAY_MS), end).1;
    calendar.day_of(calendar.end_of(last))
}

/// The rollups that outlive the periods of a view, each with the first whole one if periods are kept from this one on.
pub(super) fn first_rollups(config: &StoreConfig, view: &str, kept_from: Day) -> Vec<(Grain, Day)> {
    let record = config.views.iter().find(|record| record.name == view);
    // A program of its own dataflow does not say what it keeps.
    let Some((record, asked)) = record.zip(config.retention.get(view)) else { return Vec::new() };
    let Ok(calendar) = Calendar::new(&record.zone) else { return Vec::new() };
    let calendar = calendar.by(record.grain);
    let outliving = asked.outliving(record.grain).into_iter();
    outliving.map(|(grain, _)| (grain, begin_from(&calendar, kept_from, grain))).collect()
}
