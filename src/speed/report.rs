//! The messages in which workers report what they have prepared.

use serde::{Deserialize, Serialize};

use crate::closing::Closing;
use crate::store::LogPosition;
use crate::time::Day;
use crate::view::RollupsFrom;

/// A worker's report to all others: its share of every closing through `through` is prepared.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SealReport {
    pub(super) worker: u64,
    pub(super) through: Closing,
    /// The highest closing of which it had events.
    pub(super) highest: Option<Closing>,
    /// The durable end of its log; `None` if it has entered nothing, or there is no log.
    pub(super) log: Option<LogPosition>,
    /// The number of files that it has written since its last report, by closing.
    pub(super) files: Vec<(Closing, u64)>,
    /// What this worker no longer needs of the view.
    pub(super) leaving: Leaving,
}

/// What a worker no longer needs of a view.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Leaving {
    /// Nobody on this worker may open files of periods before this one.
    pub(super) gone: Option<Day>,
    /// Nobody on this worker may open files that closings up to this one have superseded.
    pub(super) superseded: Option<Closing>,
    /// This worker has all rollups before these days, by grain, in coarser ones.
    pub(super) rollups: RollupsFrom,
}

impl Leaving {
    /// What both workers no longer need.
    pub(super) fn min(self, other: Leaving) -> Leaving {
        Leaving {
            gone: self.gone.min(other.gone),
            superseded: self.superseded.min(other.superseded),
            rollups: std::array::from_fn(|at| self.rollups[at].min(other.rollups[at])),
        }
    }
}

/// The closing of everything, at the end of the events.
pub(super) const EVERYTHING: Closing = Closing::of(Day::MAX);
