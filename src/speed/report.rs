//! What workers tell each other of what they have prepared.

use serde::{Deserialize, Serialize};

use crate::closing::Closing;
use crate::store::LogPosition;
use crate::time::Day;

/// What a worker tells all others: its part of every closing through `through` is prepared.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SealReport {
    pub(super) worker: u64,
    pub(super) through: Closing,
    /// The highest closing that it had events of.
    pub(super) highest: Option<Closing>,
    /// Up to where its log is durable; `None` if it has entered nothing, or there is no log.
    pub(super) log: Option<LogPosition>,
    /// How many files it has written since its last report, by closing.
    pub(super) files: Vec<(Closing, u64)>,
    /// What goes of the view, as far as this worker is.
    pub(super) leaving: Leaving,
}

/// How far a worker is with what a view keeps no longer; by the first period that is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Leaving {
    /// Nobody here may open files of what comes before.
    pub(super) gone: Option<Day>,
    /// Nobody here may open files that closings up to this one have superseded.
    pub(super) superseded: Option<Closing>,
}

impl Leaving {
    /// As far as both are.
    pub(super) fn min(self, other: Leaving) -> Leaving {
        Leaving {
            gone: self.gone.min(other.gone),
            superseded: self.superseded.min(other.superseded),
        }
    }
}

/// What closes when the events end.
pub(super) const EVERYTHING: Closing = Closing::of(Day::MAX);
