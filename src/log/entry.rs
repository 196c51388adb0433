//! The entries that a worker passes to its log.

use std::sync::Arc;

use super::once::OnceKey;
use super::partitions::Extent;
use super::record::SourceRange;
use crate::moment::Moment;
use crate::source::Refused;

/// What a worker passes to its log at once. It is committed as a whole or not at all.
#[derive(Debug)]
pub(crate) struct Entry<E> {
    /// The moment at which it enters the dataflow. The moments of a worker ascend.
    pub(crate) moment: Moment,
    pub(crate) events: Arc<Vec<E>>,
    /// The ranges of the sources from which it comes.
    pub(crate) ranges: Vec<SourceRange>,
    /// The extents of the partitions of sources from which it comes, by their names.
    pub(crate) extents: Vec<(String, Extent)>,
    /// Refused rows, to be kept.
    pub(crate) refused: Vec<Refused>,
    /// The number of refused events that are counted but not kept: they were returned to the client that pushed them.
    pub(crate) refused_elsewhere: u64,
    /// The key of a push that counts once. The key is known if, and only if, its events are in the log.
    pub(crate) once: Option<OnceKey>,
}

impl<E> Entry<E> {
    /// The approximate bytes of memory; what events and ranges point to is not known.
    pub(super) fn memory(&self) -> usize {
        let refused = self.refused.iter().map(|row| row.row.len() + row.reason.len());
        size_of_val(&self.events[..])
            + size_of_val(&self.ranges[..])
            + size_of_val(&self.refused[..])
            + refused.sum::<usize>()
    }
}
