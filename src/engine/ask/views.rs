//! The views of a running engine, without their types.

use std::sync::Arc;
use std::time::Duration;

use super::kept::Kept;
use super::slot::Closed;
use super::snapshots::{SNAPSHOT_MAX, Taken};
use crate::engine::shared::Shared;
use crate::scan::{ErasedView, ScanError, Snapshot};

/// The views of a running engine, for code that does not know their types. Clones read the same views; they do not keep
/// the engine from being finished. Views that are added later are not among them.
///
/// ```
/// use dayfold::engine::{Running, Views};
///
/// fn names(running: &Running) -> Vec<String> {
///     let views: Views = running.views();
///     views.iter().map(|view| view.name().to_owned()).collect()
/// }
/// ```
#[derive(Clone)]
pub struct Views {
    all: Arc<[Arc<dyn ErasedView>]>,
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Views {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Views")
            .field("names", &self.iter().map(|view| view.name()).collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

impl Views {
    pub(crate) fn new(all: Arc<[Arc<dyn ErasedView>]>, shared: &Arc<Shared>) -> Views {
        Views { all, shared: Arc::clone(shared) }
    }

    /// The views as they are now: with those that were added since, and without those that were removed.
    #[must_use]
    pub fn now(&self) -> Views {
        Views::new(self.shared.offered(), &self.shared)
    }

    /// All views, in the order in which they were added.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Arc<dyn ErasedView>> {
        self.all.iter()
    }

    /// The view of this name.
    pub fn get(&self, name: &str) -> Option<&Arc<dyn ErasedView>> {
        self.all.iter().find(|view| view.name() == name)
    }

    /// Fixes one moment for any number of scans of these views, on all workers and processes: the latest complete
    /// moment. Its state is kept until the last clone of the snapshot is dropped, at most for `keep`, and never longer
    /// than five minutes. After that, scans of it end with [`ScanError::Expired`]. Neither new events nor sealing waits
    /// for a snapshot. Its cost is memory, for tables that have changed since and for days that were sealed.
    ///
    /// # Errors
    /// [`ScanError::Stopped`]. The call waits until everything from before the start of the program is in.
    pub fn snapshot(&self, keep: Duration) -> Result<Snapshot, ScanError> {
        let (kept, taken) = self.order(keep)?;
        match taken.take(None) {
            Ok(Some(taken)) => Ok(Snapshot::new(kept, taken)),
            Ok(None) | Err(Closed) => Err(ScanError::Stopped),
        }
    }

    /// As [`Views::snapshot`], for a task of any runtime.
    ///
    /// # Errors
    /// [`ScanError::Stopped`].
    pub async fn snapshot_async(&self, keep: Duration) -> Result<Snapshot, ScanError> {
        let (kept, taken) = self.order(keep)?;
        let taken = std::future::poll_fn(|context| taken.poll_take(context)).await;
        taken.map(|taken| Snapshot::new(kept, taken)).map_err(|Closed| ScanError::Stopped)
    }

    fn order(&self, keep: Duration) -> Result<(Arc<Kept>, super::slot::Taker<Taken>), ScanError> {
        let keep = keep.min(SNAPSHOT_MAX);
        let ordered = self.shared.desk.order(keep);
        let (id, taken) = ordered.ok_or(ScanError::Stopped)?;
        self.shared.wake();
        Ok((Arc::new(Kept { id, shared: Arc::clone(&self.shared) }), taken))
    }
}
