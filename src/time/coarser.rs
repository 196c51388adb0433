//! Periods of a coarser grain, each of which consists of whole periods of a finer one.

use super::{Calendar, Day, DayRange, Grain};

impl Grain {
    /// Whether periods of `coarser` consist of whole periods of this grain: months consist of days, but not of weeks.
    /// Every grain is within itself.
    pub fn is_within(self, coarser: Grain) -> bool {
        match self {
            Grain::Hour => true,
            Grain::Day => coarser != Grain::Hour,
            Grain::Week => coarser == Grain::Week,
            Grain::Month => matches!(coarser, Grain::Month | Grain::Quarter | Grain::Year),
            Grain::Quarter => matches!(coarser, Grain::Quarter | Grain::Year),
            Grain::Year => coarser == Grain::Year,
        }
    }

    /// The grains whose periods consist of whole periods of this one, the shortest first; this grain is the first.
    pub fn coarser(self) -> impl Iterator<Item = Grain> {
        Grain::ALL.into_iter().filter(move |grain| self.is_within(*grain))
    }
}

impl Calendar {
    /// The periods of this calendar that are in the same coarser period as this one.
    pub(crate) fn of_coarser(&self, day: Day, grain: Grain) -> Option<DayRange> {
        let (period, coarser) = (self.coarser(day, grain)?, self.clone().by(grain));
        Some(self.periods(DayRange::new(period, coarser.after(period))))
    }

    /// The period after another one.
    pub(crate) fn following(&self, day: Day) -> Day {
        self.after(day)
    }

    /// The period before another one.
    pub(crate) fn preceding(&self, day: Day) -> Day {
        self.before(day)
    }

    /// The coarser period that contains a period of this calendar; `None` if the coarser grain does not consist of
    /// whole periods of this one ([`Grain::is_within`]).
    ///
    /// An hour has one offset from UTC, and one begins wherever a date does, so it is in one date: the date of its last
    /// instant in the minute that names it.
    pub fn coarser(&self, day: Day, grain: Grain) -> Option<Day> {
        let is_within = self.grain.is_within(grain);
        is_within.then(|| match day.instant() {
            Some(_) if grain == Grain::Hour => day,
            Some(minute) => self.clone().by(grain).day_of(minute + 59_999),
            None => grain.dates(day).0,
        })
    }
}
