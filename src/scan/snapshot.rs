//! One moment for several scans.

use std::sync::Arc;

use crate::engine::KeptSnapshot;
use crate::moment::Moment;
use crate::time::EventTime;

/// One moment of an engine. Any number of scans over any of its views can be answered as of this moment, on all workers
/// and processes. [`Views::snapshot`](crate::engine::Views::snapshot) makes it; clones have the same moment.
///
/// ```
/// use std::time::Duration;
///
/// use dayfold::engine::Views;
/// use dayfold::scan::{Scan, ScanError, Snapshot};
///
/// /// The totals of all views, as of one moment.
/// fn totals(views: &Views) -> Result<usize, ScanError> {
///     let snapshot: Snapshot = views.snapshot(Duration::from_secs(60))?;
///     let mut rows = 0;
///     for view in views.iter() {
///         rows += view.scan(&Scan::total(), Some(&snapshot))?.collect_rows()?.len();
///     }
///     Ok(rows)
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Snapshot {
    kept: Arc<KeptSnapshot>,
    moment: Moment,
    time: EventTime,
}

impl Snapshot {
    pub(crate) fn new(kept: Arc<KeptSnapshot>, (moment, time): (Moment, EventTime)) -> Snapshot {
        Snapshot { kept, moment, time }
    }

    /// The moment.
    pub fn moment(&self) -> Moment {
        self.moment
    }

    /// The time of the engine's clock when it was taken: the last periods of a scan ([`Scan::last`](super::Scan::last))
    /// are those of this time.
    pub fn time(&self) -> EventTime {
        self.time
    }

    pub(super) fn kept(&self) -> &Arc<KeptSnapshot> {
        &self.kept
    }
}
