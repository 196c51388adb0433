//! The share of a source that a worker reads, and how far the log has it.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::log::{Extent, Extents, LogState, joined};
use crate::time::EventTime;

/// The share of a source that a worker reads, and the positions to continue from.
#[derive(Clone, Debug)]
pub struct Share {
    pub(crate) source: String,
    pub(crate) worker: usize,
    pub(crate) workers: usize,
    pub(crate) known: Arc<Extents>,
    /// Records before these positions are read again; see [`Reread`](super::Reread).
    pub(crate) reread: Arc<BTreeMap<String, Vec<u64>>>,
}

impl Share {
    /// All partitions of the source with this name, and their positions in a log that
    /// [`log::scan`](crate::log::scan) has read: for looking at the source without an engine.
    ///
    /// # Errors
    /// If the log contradicts itself.
    pub fn of_log(source: impl Into<String>, log: &LogState) -> io::Result<Share> {
        let known = joined(log.extents.clone()).map_err(io::Error::other)?;
        let (source, known, reread) = (source.into(), Arc::new(known), Arc::default());
        Ok(Share { source, worker: 0, workers: 1, known, reread })
    }

    /// Whether the partition with this number belongs to the share.
    pub fn has(&self, partition: usize) -> bool {
        partition % self.workers == self.worker
    }

    /// Whether the partition with this name belongs to the share, for partitions without numbers.
    pub fn has_named(&self, partition: &str) -> bool {
        xxh3_64(partition.as_bytes()) % self.workers as u64 == self.worker as u64
    }

    /// The number of the worker, over all processes.
    pub fn worker(&self) -> usize {
        self.worker
    }

    /// How many workers there are, over all processes.
    pub fn workers(&self) -> usize {
        self.workers
    }

    /// The positions before which records of a partition are read again, in their order.
    pub(crate) fn reread_before(&self, partition: &str) -> &[u64] {
        self.reread.get(&full_name(&self.source, partition)).map_or(&[], Vec::as_slice)
    }

    /// The position of a partition in the log; `None` if the log has none.
    pub fn committed(&self, partition: &str) -> Option<Committed> {
        let extent = self.known.get(&full_name(&self.source, partition))?;
        let mark = Mark::of(extent).unwrap_or_default();
        Some(Committed { epoch: extent.epoch, next: extent.to, mark: mark.source })
    }
}

/// How far a partition is in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Committed {
    /// See [`Start::epoch`](super::Start::epoch).
    pub epoch: u32,
    /// The number of the next record.
    pub next: u64,
    /// The bytes from [`Partitions::mark`](super::Partitions::mark).
    pub mark: Vec<u8>,
}

impl Committed {
    /// The log has the records before `next`.
    pub fn new(epoch: u32, next: u64, mark: Vec<u8>) -> Committed {
        Committed { epoch, next, mark }
    }
}

/// What the log keeps with the position.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Mark {
    pub(super) clock: EventTime,
    pub(super) source: Vec<u8>,
}

impl Default for Mark {
    fn default() -> Self {
        Mark { clock: EventTime::MIN, source: Vec::new() }
    }
}

impl Mark {
    pub(super) fn of(extent: &Extent) -> Option<Mark> {
        bincode::deserialize(&extent.mark).ok()
    }
}

/// The name of a partition in the log.
pub(super) fn full_name(source: &str, partition: &str) -> String {
    format!("{source}/{partition}")
}
