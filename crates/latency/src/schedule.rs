//! When each event is due.

const SECOND: u64 = 1_000_000_000;

/// An open-loop schedule: a number of events a second, each at its own instant, whatever happens to earlier ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    rate: u64,
    total: u64,
    /// The events of this share are `first`, `first + step`, …
    first: u64,
    step: u64,
}

impl Schedule {
    /// `total` events, `rate` of them a second (at least one). The first is due at once.
    pub fn new(rate: u64, total: u64) -> Schedule {
        Schedule { rate: rate.max(1), total, first: 0, step: 1 }
    }

    /// The events of one of `shares` workers or processes: every `shares`-th event, so that all of them together have
    /// exactly this schedule.
    ///
    /// # Panics
    /// Unless `share < shares`.
    #[must_use]
    pub fn share(self, share: u64, shares: u64) -> Schedule {
        assert!(share < shares, "share {share} of {shares}");
        let total = (self.total + shares - 1 - share) / shares;
        let first = self.first + share * self.step;
        Schedule { rate: self.rate, total, first, step: self.step * shares }
    }

    /// How many events there are.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The instant at which an event is due, in nanoseconds from the start, rounded down.
    pub fn at(&self, event: u64) -> u64 {
        let number = self.first + event * self.step;
        match number.checked_mul(SECOND) {
            Some(product) => product / self.rate,
            None => (u128::from(number) * u128::from(SECOND) / u128::from(self.rate)) as u64,
        }
    }

    /// How many events are due at `now` or before: those below this number.
    pub fn due(&self, now: u64) -> u64 {
        // Those with number · SECOND < (now + 1) · rate.
        let last = match now.checked_add(1).and_then(|next| next.checked_mul(self.rate)) {
            Some(product) => (product - 1) / SECOND,
            None => {
                let product = (u128::from(now) + 1) * u128::from(self.rate);
                u64::try_from((product - 1) / u128::from(SECOND)).unwrap_or(u64::MAX)
            }
        };
        let due =
            last.checked_sub(self.first).map_or(0, |beyond| (beyond / self.step).saturating_add(1));
        due.min(self.total)
    }

    /// The end: when the event after the last one would be due.
    pub fn end(&self) -> u64 {
        self.at(self.total)
    }

    /// Nanoseconds between two events, rounded up.
    pub(super) fn spacing(&self) -> u64 {
        (u128::from(SECOND) * u128::from(self.step)).div_ceil(u128::from(self.rate)) as u64
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_thousand_a_second() {
        let schedule = Schedule::new(1_000, 10_000);
        assert_eq!((schedule.at(0), schedule.at(1), schedule.end()), (0, 1_000_000, 10 * SECOND));
        assert_eq!((schedule.due(0), schedule.due(999_999), schedule.due(1_000_000)), (1, 1, 2));
        assert_eq!(schedule.due(u64::MAX), 10_000);
    }

    proptest! {
        #[test]
        fn due_is_the_inverse_of_at(
            rate in 1u64..=100_000_000_000,
            event in 0u64..=1 << 40,
            share in 0u64..3,
            late in 0u64..2_000,
        ) {
            let schedule = Schedule::new(rate, u64::MAX >> 4).share(share, 3);
            let at = schedule.at(event);
            prop_assert!(schedule.due(at) > event);
            prop_assert!(at == 0 || schedule.due(at - 1) <= event);
            let due = schedule.due(at + late);
            prop_assert!(schedule.at(due - 1) <= at + late && schedule.at(due) > at + late);
        }

        #[test]
        fn shares_make_the_whole(rate in 1u64..5_000, total in 0u64..200, shares in 1u64..6) {
            let whole = Schedule::new(rate, total);
            let instants = |part: Schedule| (0..part.total()).map(move |event| part.at(event));
            let mut all: Vec<u64> = (0..shares).flat_map(|s| instants(whole.share(s, shares))).collect();
            all.sort_unstable();
            prop_assert_eq!(all, instants(whole).collect::<Vec<_>>());
        }
    }
}
