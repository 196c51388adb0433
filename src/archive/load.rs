//! Loads the sealed days when a program starts.

use std::sync::atomic::Ordering;

use super::{Archive, ArchiveError, LivePart, Place, Shelf};
use crate::aggregate::Aggregate;
use crate::batch::Coverage;
use crate::closing::Closing;
use crate::key::Key;
use crate::store::Store;
use crate::view::View;

impl Archive {
    /// The live revisions of a worker's partitions, and the last sealed closing.
    pub(crate) fn load<K: Key, A: Aggregate>(
        &self,
        view: &View,
        worker: usize,
        peers: usize,
    ) -> Result<Loaded<K, A>, ArchiveError> {
        self.shelves.fetch_add(1, Ordering::Relaxed);
        let mut shelf = Shelf::new(self, view.name(), Coverage::of_owner(worker, peers));
        let Place::Folder(store) = &self.place else {
            shelf.roll_up(view, Vec::new())?;
            return Ok((shelf, None));
        };
        load(store, view, &mut shelf)?;
        Ok((shelf, store.sealed_through(view.name())))
    }
}

/// The live revisions of a worker's partitions, and the last sealed closing.
pub(crate) type Loaded<K, A> = (Shelf<K, A>, Option<Closing>);

/// Puts the live revisions of a worker's partitions on its shelf. Each file is opened once, so that a missing or
/// damaged one is found at the start.
fn load<K: Key, A: Aggregate>(
    store: &Store,
    view: &View,
    shelf: &mut Shelf<K, A>,
) -> Result<(), ArchiveError> {
    let (live, rollups) = store.live_and_rollups(view.name())?;
    for live in live {
        if let Some(part) = LivePart::open(store, &live, shelf.mine())? {
            shelf.put(part);
        }
    }
    shelf.roll_up(view, rollups)
}
