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
}

/// What closes when the events end.
pub(super) const EVERYTHING: Closing = Closing::of(Day::MAX);
