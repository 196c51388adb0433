//! One moment for several scans.

use std::sync::Arc;

use crate::engine::KeptSnapshot;
use crate::moment::Moment;

/// One moment of an engine, as of which any number of scans over any of its views are answered, on all workers and
/// processes. Made by [`Views::snapshot`](crate::engine::Views::snapshot); clones are of the same moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    kept: Arc<KeptSnapshot>,
    moment: Moment,
}

impl Snapshot {
    pub(crate) fn new(kept: Arc<KeptSnapshot>, moment: Moment) -> Snapshot {
        Snapshot { kept, moment }
    }

    /// The moment.
    pub fn moment(&self) -> Moment {
        self.moment
    }

    pub(super) fn kept(&self) -> &Arc<KeptSnapshot> {
        &self.kept
    }
}
