//! What a worker hands to its log.

use std::sync::Arc;

use super::once::OnceKey;
use super::partitions::Extent;
use super::record::SourceRange;
use crate::moment::Moment;
use crate::source::Refused;

/// What a worker hands to its log at once. All of it is committed together or not at all.
#[derive(Debug)]
pub(crate) struct Entry<E> {
    /// The moment at which it enters the dataflow. Those of a worker rise.
    pub(crate) moment: Moment,
    pub(crate) events: Arc<Vec<E>>,
    /// What of the sources it comes from.
    pub(crate) ranges: Vec<SourceRange>,
    /// What of the partitions of sources it comes from, by their names.
    pub(crate) extents: Vec<(String, Extent)>,
    /// Refused rows, to be kept.
    pub(crate) refused: Vec<Refused>,
    /// Refused events that are only counted: they went back to who pushed them.
    pub(crate) refused_elsewhere: u64,
    /// The key of a push that counts once: it is known if the events are in, and only then.
    pub(crate) once: Option<OnceKey>,
}

impl<E> Entry<E> {
    /// Bytes of memory, about: what events and ranges point to is not known.
    pub(super) fn memory(&self) -> usize {
        let refused = self.refused.iter().map(|row| row.row.len() + row.reason.len());
        size_of_val(&self.events[..])
            + size_of_val(&self.ranges[..])
            + size_of_val(&self.refused[..])
            + refused.sum::<usize>()
    }
}
