//! The durable ends of the log that manifests record.
//!
//! Events of a sealed day are never read from their source again, because the log says that they were read. If the log
//! lost its end, the next run would count the same rows twice. So each commit of sealed days names, for every worker of
//! the cluster, the commit stream and its durable length when the worker had prepared them. A log that ends before that
//! is refused.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::closing::Closing;
use crate::moment::Moment;

/// A position in a commit stream of the log. Everything before it was durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LogPosition {
    /// The run that wrote the stream.
    pub run: u64,
    /// The worker, by its index in the cluster of that run.
    pub worker: u32,
    /// The number of the stream; a worker's streams replace each other.
    pub seq: u64,
    /// The number of bytes of the stream before the position.
    pub bytes: u64,
    /// The checksum of these bytes.
    pub crc: u32,
    /// The greatest moment of the entries before the position. The moments of a worker ascend.
    pub latest: Option<Moment>,
}

impl LogPosition {
    /// The positions of one worker and run are ordered by the number of the stream, then by length.
    fn is_before(&self, later: &LogPosition) -> bool {
        (self.seq, self.bytes) < (later.seq, later.bytes)
    }
}

/// The share of one worker in what a cluster seals.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Share {
    /// The durable end of its log when it had prepared; `None` if it has entered nothing, or there is no log.
    pub(crate) log: Option<LogPosition>,
    /// The number of files of the view that it has written in this run.
    pub(crate) files: u64,
}

/// The number of files of a view that the workers of a run have written up to a closing. A part that has fewer files,
/// and is not closed as far, is older than the part with this record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Written {
    pub(super) run: u64,
    pub(super) through: Closing,
    /// The numbers, by worker of the cluster.
    pub(super) files: Vec<u64>,
}

impl Written {
    /// The number of files that process `process` of `processes` wrote.
    pub(super) fn by(&self, process: u32, processes: u32) -> u64 {
        let threads = (self.files.len() / processes.max(1) as usize).max(1);
        self.files.iter().skip(process as usize * threads).take(threads).sum()
    }
}

/// A position in the log of a part, which a manifest proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LogProof {
    /// The process whose part has the stream.
    pub(crate) part: u32,
    pub(crate) position: LogPosition,
}

/// The greatest proven positions, by part, run and worker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Proofs {
    positions: BTreeMap<(u32, u64, u32), LogPosition>,
}

impl Proofs {
    pub(crate) fn add(&mut self, proof: LogProof) {
        if !self.holds(&proof) {
            let LogProof { part, position } = proof;
            self.positions.insert((part, position.run, position.worker), position);
        }
    }

    /// Whether this position, or a later one of its stream, is already proven.
    fn holds(&self, LogProof { part, position }: &LogProof) -> bool {
        let known = self.positions.get(&(*part, position.run, position.worker));
        known.is_some_and(|known| !known.is_before(position))
    }

    /// The positions here that `known` does not prove.
    pub(crate) fn beyond(&self, known: &Proofs) -> Vec<LogProof> {
        self.iter().filter(|proof| !known.holds(proof)).collect()
    }

    /// Forgets the positions that `known` proves.
    pub(crate) fn forget(&mut self, known: &Proofs) {
        self.positions
            .retain(|&(part, ..), position| !known.holds(&LogProof { part, position: *position }));
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = LogProof> {
        self.positions.iter().map(|(&(part, ..), &position)| LogProof { part, position })
    }

    /// The proven positions of a part, by run and worker.
    pub(crate) fn of_part(&self, part: u32) -> Vec<LogPosition> {
        let of_part = self.positions.range((part, 0, 0)..=(part, u64::MAX, u32::MAX));
        of_part.map(|(_, position)| *position).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proof(part: u32, run: u64, seq: u64, bytes: u64) -> LogProof {
        let position = LogPosition { run, worker: 0, seq, bytes, crc: 0, latest: None };
        LogProof { part, position }
    }

    #[test]
    fn the_greatest_position_of_each_stream_is_proven() {
        let mut proofs = Proofs::default();
        // The second position is smaller, and the third stream has replaced the first.
        let all = [proof(0, 1, 0, 90), proof(0, 1, 0, 80), proof(0, 1, 1, 20), proof(0, 2, 0, 10)];
        all.into_iter().chain([proof(1, 1, 0, 5)]).for_each(|proof| proofs.add(proof));
        let found = proofs.of_part(0).into_iter().map(|at| (at.run, at.seq, at.bytes));
        assert_eq!(found.collect::<Vec<_>>(), [(1, 1, 20), (2, 0, 10)]);
        let mut known = Proofs::default();
        [proof(0, 1, 1, 30), proof(0, 2, 0, 9)].into_iter().for_each(|proof| known.add(proof));
        assert_eq!(proofs.beyond(&known), [proof(0, 2, 0, 10), proof(1, 1, 0, 5)]);
    }
}
