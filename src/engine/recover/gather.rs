//! The content of the logs of all processes, as far as each process has to know it.
//!
//! A process reads the logs of the parts that it is responsible for. It cannot see the logs on other machines, and need
//! not know their events: the process that reads them passes them to the owners of their keys, as it does with new
//! ones.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::cluster::Met;
use crate::engine::error::EngineError;
use crate::engine::ingest::owner::owner_of;
use crate::log::{self, Extent, LogError, LogState, OnceKey, SourceRange};
use crate::source::Refused;
use crate::store::{LogProof, Storage};
use crate::time::EventTime;

/// What is known about the logs, without their events.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Gathered {
    /// The committed ranges of the sources.
    pub(crate) ranges: Vec<SourceRange>,
    /// The committed extents of their partitions, separately for each run and worker.
    pub(crate) extents: Vec<(String, Extent)>,
    /// The refused rows: in process 0, which reads the source, all of them.
    pub(crate) refused: Vec<Refused>,
    /// The keys of pushes that count once: those that workers of this process own, and some others.
    pub(crate) once: Vec<OnceKey>,
    /// The greatest tick of a committed entry.
    pub(crate) tick_max: Option<u64>,
    /// The greatest floor of a committed entry.
    pub(crate) floor_max: Option<EventTime>,
    /// The ends of the commit streams.
    pub(crate) proofs: Vec<LogProof>,
}

impl Gathered {
    /// The content of this process's parts; the keys are moved out of `state`.
    pub(crate) fn of(storage: &dyn Storage, state: &mut LogState) -> Result<Gathered, LogError> {
        Ok(Gathered {
            refused: log::refused_rows(storage, state)?,
            once: std::mem::take(&mut state.once),
            ranges: state.ranges.clone(),
            extents: state.extents.clone(),
            proofs: state.proofs().collect(),
            tick_max: state.tick_max,
            floor_max: state.floor_max,
        })
    }

    /// Adds what the others have, and sends them what they need.
    pub(crate) fn exchange(mut self, met: &mut Met) -> Result<Gathered, EngineError> {
        let threads = met.cluster().threads();
        let peers = met.cluster().peers();
        let heard = met.tell(|process| {
            self.for_process(process, process * threads..(process + 1) * threads, peers)
        })?;
        for (_, theirs) in heard {
            self.refused.extend(theirs.refused);
            self.once.extend(theirs.once);
            self.ranges.extend(theirs.ranges);
            self.extents.extend(theirs.extents);
            self.proofs.extend(theirs.proofs);
            self.tick_max = self.tick_max.max(theirs.tick_max);
            self.floor_max = self.floor_max.max(theirs.floor_max);
        }
        self.ranges = log::merged(&self.ranges);
        Ok(self)
    }

    fn for_process(&self, process: usize, workers: Range<usize>, peers: usize) -> Gathered {
        let theirs = |key: &&OnceKey| workers.contains(&owner_of(&key.key, peers));
        let refused = if process == 0 { self.refused.clone() } else { Vec::new() };
        let once = self.once.iter().filter(theirs).cloned().collect();
        let (ranges, extents) = (self.ranges.clone(), self.extents.clone());
        let proofs = self.proofs.clone();
        Gathered { refused, once, ranges, extents, proofs, ..*self }
    }
}
