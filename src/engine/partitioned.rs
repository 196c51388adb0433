//! Sources with partitions in the definition of an engine.

use std::sync::Arc;

use super::Engine;
use crate::source::{Partitioned, Reread};

impl<E: Send + Sync + 'static> Engine<E> {
    /// Reads events from a source with partitions, on all workers of all processes: each reads some of the partitions.
    /// An engine may have any number of such sources, beside one that is dealt to all workers ([`Engine::file`]) and a
    /// live one. The log knows them by their names: between runs, sources may be added, removed and reordered.
    ///
    /// With a log, the position of each partition is committed together with the events before it, and the next run
    /// continues there: each record counts once. A data folder without a log cannot be used with such a source. Refused
    /// records are passed to [`Engine::refused`] on the worker that reads their partition; those that a crash kept from
    /// the log come again.
    #[must_use]
    pub fn partitioned(mut self, source: impl Partitioned<E>) -> Self {
        self.partitioned.push(Arc::new(source));
        self
    }

    /// Has records of sources with partitions filtered up to a position, because another data folder has counted some
    /// of their events, and its sealed periods were taken over into this one. Give it in every run of the folder:
    /// partitions that it has not read to these positions yet go on to be filtered.
    #[must_use]
    pub fn reread(mut self, reread: Reread<E>) -> Self {
        self.reread = Some(reread);
        self
    }
}
