//! What the workers of a process start from.

use std::sync::{Arc, Mutex};

use super::change::Changes;
use super::ingest::live::Queue;
use super::ingest::logging::Logging;
use super::ingest::partitions::Partitioning;
use super::ingest::reader::{Feeding, Keep, Parse};
use super::recover::resume::Known;
use super::shared::Shared;
use super::upkeep::log_release::KeptLog;
use super::view::EngineView;
use crate::archive::Archive;
use crate::log::Extents;
use crate::source::Reread;

/// Everything that the workers of a process start from.
pub(super) struct Start<E> {
    pub(super) shared: Arc<Shared>,
    pub(super) views: Vec<Arc<dyn EngineView<E>>>,
    pub(super) feeding: Mutex<Option<Feeding<E>>>,
    pub(super) parse: Option<Arc<Parse<E>>>,
    pub(super) archive: Archive,
    pub(super) changes: Arc<Changes<E>>,
    pub(super) live: Option<Arc<Queue<E>>>,
    pub(super) log: Option<Logging<E>>,
    /// How long the log is kept.
    pub(super) log_kept: Option<KeptLog>,
    /// What earlier runs have read of the source.
    pub(super) known: Arc<Known>,
    /// The sources with partitions, and what earlier runs have read of them.
    pub(super) partitioned: Vec<Partitioning<E>>,
    pub(super) extents: Arc<Extents>,
    /// Which of their records another folder has counted.
    pub(super) reread: Option<Reread<E>>,
    /// Keeps their refused records.
    pub(super) keep: Mutex<Option<Box<Keep>>>,
    pub(super) tick_rows: usize,
}

impl<E> Start<E> {
    /// The number of the live source of `process`.
    pub(super) fn live_source(&self, process: usize) -> usize {
        usize::from(self.parse.is_some()) + process
    }

    /// The number of a worker's share of a source with partitions.
    pub(super) fn share_source(&self, index: usize, worker: usize, processes: usize) -> usize {
        let others = self.live_source(if self.live.is_some() { processes } else { 0 });
        others + index * processes * self.shared.threads + worker
    }

    /// The number of sources over all processes, where each share counts separately.
    pub(super) fn sources(&self, processes: usize) -> usize {
        self.share_source(self.partitioned.len(), 0, processes)
    }
}
