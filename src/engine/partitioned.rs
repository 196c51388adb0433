//! Sources with partitions in the definition of an engine.

use std::sync::Arc;

use super::Engine;
use crate::source::Partitioned;

impl<E: Send + Sync + 'static> Engine<E> {
    /// Reads events from a source with partitions, on all workers of all processes: each reads some of the partitions.
    /// There may be any number of such sources, and one that is dealt to all workers ([`Engine::file`]) and a live one as well.
    /// The log knows them by their names: between runs, sources may be added, left out and given in another order.
    ///
    /// With a log, the position of each partition is committed together with the events that were read up to there, and
    /// the next run goes on there: each record counts once. A data folder without a log cannot be used with such a
    /// source. Refused records come to [`Engine::refused`] on the worker that reads their partition; those that a
    /// crash has kept from the log come again.
    #[must_use]
    pub fn partitioned(mut self, source: impl Partitioned<E>) -> Self {
        self.partitioned.push(Arc::new(source));
        self
    }
}
