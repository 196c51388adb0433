//! Numbers about what a view holds.

use crate::time::Day;

/// What a view holds on one worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ViewNumbers {
    /// The last sealed closing.
    pub sealed_through: Option<Day>,
    /// The first day of which the view has rows here, sealed or not.
    pub first_day: Option<Day>,
    /// The last such day.
    pub last_day: Option<Day>,
    /// The number of days with a batch view.
    pub sealed_days: usize,
    /// The number of coarser periods, each of one worker, that can be read instead of sealed days; see
    /// [`View::rollup`](crate::view::View::rollup).
    pub rollups: usize,
    /// The number of days with events that are not sealed.
    pub unsealed_days: usize,
    /// The number of pairs of day and key with events that are not sealed.
    pub groups: usize,
    /// The number of ticks with rows that wait to be folded into the tables of their days.
    pub deltas: usize,
    /// The number of closings that are not sealed on all workers yet.
    pub closed: usize,
    /// The number of late events of the whole view since the program started, as far as this worker knows.
    pub late: u64,
    /// The number of refused events of the whole view since the program started, as far as this worker knows. The
    /// source refused them, or no calendar has a date for their times.
    pub refused: u64,
}

impl ViewNumbers {
    /// The numbers of two workers together. Days span from the first to the last, and are sealed where both workers
    /// have sealed them. Groups and rollups are added. Every other number is the greater one.
    pub(crate) fn with(self, other: ViewNumbers) -> ViewNumbers {
        ViewNumbers {
            sealed_through: self.sealed_through.min(other.sealed_through),
            first_day: self.first_day.into_iter().chain(other.first_day).min(),
            last_day: self.last_day.max(other.last_day),
            sealed_days: self.sealed_days.max(other.sealed_days),
            rollups: self.rollups + other.rollups,
            unsealed_days: self.unsealed_days.max(other.unsealed_days),
            groups: self.groups + other.groups,
            deltas: self.deltas.max(other.deltas),
            closed: self.closed.max(other.closed),
            late: self.late.max(other.late),
            refused: self.refused.max(other.refused),
        }
    }
}
