//! Where a view begins that is computed from a log whose first days were removed.

use super::config::StoreConfig;
use super::view_record::ViewRecord;
use crate::time::{Calendar, DAY_MS, Day, Grain};
use crate::view::begin_from;

/// The first period of a view whose events are all in a log that begins with this UTC day.
pub(super) fn first_of_log(config: &StoreConfig, view: &ViewRecord, log_from: Day) -> Day {
    let Ok(calendar) = Calendar::new(&view.zone) else { return Day::MAX };
    let skew = config.retention.get(&view.name).map_or(0, |retention| retention.skew_ms);
    first_after(&calendar.by(view.grain), skew, log_from)
}

/// The same, from a calendar and how far event times may be from those of the log, in milliseconds.
pub(super) fn first_after(calendar: &Calendar, skew: i64, log_from: Day) -> Day {
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
