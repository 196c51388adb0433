//! Where a view begins that is computed from a log whose first days were removed.

use super::config::StoreConfig;
use super::view_record::ViewRecord;
use crate::time::{Calendar, DAY_MS, Day};

/// The first period of a view whose events are all in a log that begins with this UTC day.
pub(super) fn first_of_log(config: &StoreConfig, view: &ViewRecord, log_from: Day) -> Day {
    let Ok(calendar) = Calendar::new(&view.zone) else { return Day::MAX };
    let calendar = calendar.by(view.grain);
    let skew = config.retention.get(&view.name).map_or(0, |retention| retention.skew_ms);
    let end = i64::from(log_from.0).saturating_mul(DAY_MS).saturating_add(skew);
    // If clocks go back over midnight, a later date comes before an earlier one.
    let last = calendar.days_within(end.saturating_sub(2 * DAY_MS), end).1;
    calendar.day_of(calendar.end_of(last))
}
