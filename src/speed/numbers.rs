//! What a view holds, in numbers.

use crate::time::Day;

/// What a view holds on one worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ViewNumbers {
    /// The last closing that is sealed.
    pub sealed_through: Option<Day>,
    /// The first day of which the view holds something here, sealed or not.
    pub first_day: Option<Day>,
    /// The last one.
    pub last_day: Option<Day>,
    /// Days with a batch view.
    pub sealed_days: usize,
    /// Coarser periods that can be read in the place of sealed days, each of one worker, as [`View::rollup`](crate::view::View::rollup) has it.
    pub rollups: usize,
    /// Days with events that are not sealed.
    pub unsealed_days: usize,
    /// Pairs of day and key with events that are not sealed.
    pub groups: usize,
    /// Ticks with rows that wait to be folded into the tables of their days.
    pub deltas: usize,
    /// How often days have closed that are not sealed on all workers yet.
    pub closed: usize,
    /// Events of the whole view that came late since the program started, as far as this worker has
    /// heard.
    pub late: u64,
    /// Events of the whole view that were refused since the program started, by the source or because no
    /// calendar can place their times, as far as this worker has heard.
    pub refused: u64,
}

impl ViewNumbers {
    /// Those of two workers, as one says it of both: days from the first to the last, sealed where both have
    /// sealed, groups and rollups of either, and of the rest what the one has that has more.
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
