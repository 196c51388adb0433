//! Periods of a coarser grain, made of whole periods of a finer one.

use super::{Calendar, Day, DayRange, Grain};

impl Grain {
    /// Whether periods of `coarser` are made of whole periods of this grain: months are made of days, and not of weeks.
    /// Every grain is made of itself.
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

    /// The grains whose periods are made of those of this one, the shortest first; the first is this one.
    pub fn coarser(self) -> impl Iterator<Item = Grain> {
        Grain::ALL.into_iter().filter(move |grain| self.is_within(*grain))
    }
}

impl Calendar {
    /// The periods of this calendar that are in the same one of a coarser grain as this one.
    pub(crate) fn of_coarser(&self, day: Day, grain: Grain) -> Option<DayRange> {
        let (period, coarser) = (self.coarser(day, grain)?, self.clone().by(grain));
        Some(self.periods(DayRange::new(period, coarser.after(period))))
    }

    /// The period after another one.
    pub(crate) fn following(&self, day: Day) -> Day {
        self.after(day)
    }

    /// The period of a coarser grain that a period of this calendar is in; `None` if those are not made of these
    /// ([`Grain::is_within`]).
    ///
    /// An hour has one offset from UTC and begins wherever a date does, so it is in one date: that of its last instant
    /// in the minute that it is named by.
    pub fn coarser(&self, day: Day, grain: Grain) -> Option<Day> {
        let is_within = self.grain.is_within(grain);
        is_within.then(|| match day.instant() {
            Some(_) if grain == Grain::Hour => day,
            Some(minute) => self.clone().by(grain).day_of(minute + 59_999),
            None => grain.dates(day).0,
        })
    }
}
