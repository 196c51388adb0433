//! One moment for several scans.

use crate::moment::Moment;

/// One moment of an engine, as of which any number of scans over any of its views are answered, on all workers and
/// processes.
#[derive(Clone, Debug)]
pub struct Snapshot {
    moment: Moment,
}

impl Snapshot {
    /// The moment.
    pub fn moment(&self) -> Moment {
        self.moment
    }
}
