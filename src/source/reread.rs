//! Records that are read again, because another data folder has counted some of their events.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Records of partitions before a position that an earlier data folder had counted in part: in its sealed periods,
/// which are there, and not in those that were open, which are lost.
///
/// ```
/// use dayfold::Engine;
/// use dayfold::source::Reread;
/// use dayfold::time::EventTime;
///
/// // What happened before 1970-01-11 is counted, of the first 500 records of the partition.
/// let counted = [("visits/0".to_owned(), 500)];
/// let reread = Reread::new(counted, |_partition, _next, time: EventTime| {
///     (time >= 10 * 86_400_000).then_some(time)
/// });
/// let engine = Engine::new().reread(reread);
/// # let _ = engine;
/// ```
pub struct Reread<E> {
    /// The positions of each partition, in their order.
    before: Arc<BTreeMap<String, Vec<u64>>>,
    pass: Arc<Pass<E>>,
}

type Pass<E> = dyn Fn(&str, u64, E) -> Option<E> + Send + Sync;

impl<E> Reread<E> {
    /// Records of these partitions before these positions; a partition may have several, if views have counted
    /// different numbers of its records. `pass` is given the name of a partition, the number of the record after this
    /// one, and an event; it returns the event as it is to enter, or nothing if all of it is counted.
    ///
    /// A name is that of the source and of the partition, with a slash between, as
    /// [`Observer::positions`](crate::engine::Observer::positions) has them.
    pub fn new(
        before: impl IntoIterator<Item = (String, u64)>,
        pass: impl Fn(&str, u64, E) -> Option<E> + Send + Sync + 'static,
    ) -> Reread<E> {
        let mut positions: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for (partition, position) in before {
            positions.entry(partition).or_default().push(position);
        }
        positions.values_mut().for_each(|positions| positions.sort_unstable());
        Reread { before: Arc::new(positions), pass: Arc::new(pass) }
    }

    pub(crate) fn before(&self) -> &Arc<BTreeMap<String, Vec<u64>>> {
        &self.before
    }

    pub(crate) fn pass(&self, partition: &str, next: u64, event: E) -> Option<E> {
        (self.pass)(partition, next, event)
    }
}

impl<E> Clone for Reread<E> {
    fn clone(&self) -> Reread<E> {
        Reread { before: Arc::clone(&self.before), pass: Arc::clone(&self.pass) }
    }
}

impl<E> fmt::Debug for Reread<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reread").field("before", &self.before).finish_non_exhaustive()
    }
}
