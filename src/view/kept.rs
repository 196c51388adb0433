//! What a view keeps, and from when on: its periods, and the rollups that outlive them.

use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::{Calendar, Day, DayRange, Grain};

/// What a view keeps; by default, everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Retention {
    /// How long a period is kept after its end.
    pub(crate) keep: Option<Duration>,
    /// Which revisions of a period are kept; all if it is not set.
    pub(crate) revisions: Option<KeptRevisions>,
    /// How far its event times may be from those of the log, in milliseconds.
    pub(crate) skew_ms: i64,
    /// Which coarser periods are kept as well, by grain.
    pub(crate) rollups: [bool; Grain::ALL.len()],
    /// How long those are kept that have a time of their own, by grain.
    pub(crate) spans: [Option<Duration>; Grain::ALL.len()],
}

/// Which revisions of a period a view keeps. The newest one always is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeptRevisions {
    /// This many of the newest ones.
    Newest(NonZeroU32),
    /// Those that counted at some time within this span.
    Within(Duration),
}

impl KeptRevisions {
    /// What is kept when periods are closed through `through`.
    pub(crate) fn limit(self, calendar: &Calendar, through: Day) -> RevisionLimit {
        match self {
            KeptRevisions::Newest(number) => RevisionLimit::Newest(number),
            KeptRevisions::Within(span) => RevisionLimit::SupersededFrom(match through {
                // The end of the period that contains the end of time has no date.
                Day::MAX => Day::MIN,
                through => calendar.first_open(calendar.end_of(through), span),
            }),
        }
    }
}

/// Which revisions of a period are kept at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RevisionLimit {
    /// This many of the newest ones.
    Newest(NonZeroU32),
    /// Those that this closed period or a later one superseded.
    SupersededFrom(Day),
}

impl RevisionLimit {
    /// Whether a revision is kept that `newer` ones follow, of which `by` superseded it.
    pub(crate) fn keeps(self, newer: usize, by: Day) -> bool {
        match self {
            RevisionLimit::Newest(number) => newer < number.get() as usize,
            RevisionLimit::SupersededFrom(from) => by >= from,
        }
    }
}

/// How much further a run begins than a view has events: the end of a run closes the period of a view of months for the
/// other views as well. Until the next period closes, what a view keeps counts back from its last one with events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lead {
    /// The last period that is closed when the run begins.
    pub(crate) closed: Day,
    /// The last period that has events, of those that are sealed.
    pub(crate) latest: Day,
}

impl Retention {
    /// Whether anything is removed.
    pub(crate) fn removes(&self) -> bool {
        self.keep.is_some() || self.revisions.is_some()
    }

    /// Whether coarser periods of this grain are kept.
    pub(crate) fn rolls_up(&self, grain: Grain) -> bool {
        self.rollups[grain as usize]
    }

    /// The rollups that are kept longer than the periods of this grain, and for how long: the finest first. Each consists of
    /// whole periods of the one before.
    pub(crate) fn outliving(&self, base: Grain) -> Vec<(Grain, Duration)> {
        let mut outliving: Vec<(Grain, Duration)> = Vec::new();
        for (grain, span) in self.longer(base) {
            let before = outliving.last();
            if before.is_none_or(|(finer, kept)| finer.is_within(grain) && *kept <= span) {
                outliving.push((grain, span));
            }
        }
        outliving
    }

    /// The first two rollups that cannot both outlive the periods: the coarser one is not made of the finer one, or is kept
    /// for a shorter time.
    pub(crate) fn misfit(&self, base: Grain) -> Option<(Grain, Grain)> {
        let longer: Vec<_> = self.longer(base).collect();
        let misfit =
            |pair: &&[(Grain, Duration)]| !pair[0].0.is_within(pair[1].0) || pair[1].1 < pair[0].1;
        longer.windows(2).find(misfit).map(|pair| (pair[0].0, pair[1].0))
    }

    fn longer(&self, base: Grain) -> impl Iterator<Item = (Grain, Duration)> {
        let of = move |grain: Grain| {
            let span = self.spans[grain as usize]?;
            let is_longer = self.keep.is_some_and(|keep| keep < span);
            (is_longer && grain != base && base.is_within(grain)).then_some((grain, span))
        };
        Grain::ALL.into_iter().filter_map(of)
    }
}

/// The first day of each rollup that outlives its periods, by grain.
pub(crate) type RollupsFrom = [Option<Day>; Grain::ALL.len()];

/// From when on a view has its periods, and the rollups that outlive them: before its first period there are only those.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeptFrom {
    /// The first period.
    pub(crate) periods: Day,
    /// The first period of the view that is in a rollup, by the rollup's grain.
    pub(crate) rollups: RollupsFrom,
}

impl KeptFrom {
    /// Everything.
    pub(crate) const ALL: KeptFrom = KeptFrom::of(Day::MIN);

    /// Periods from this one on, and no rollups before it.
    pub(crate) const fn of(periods: Day) -> KeptFrom {
        KeptFrom { periods, rollups: [None; Grain::ALL.len()] }
    }

    /// What is kept if everything is that ended less than these times before `end`. Each begins where a period of the next
    /// coarser one does.
    pub(crate) fn before(
        calendar: &Calendar,
        end: i64,
        keep: Duration,
        outliving: &[(Grain, Duration)],
    ) -> KeptFrom {
        let first = |grain: Grain, span: Duration| {
            if span == Duration::MAX {
                return Day::MIN;
            }
            let calendar = calendar.clone().by(grain);
            calendar.first_open(end, span)
        };
        let mut kept = KeptFrom::of(first(calendar.grain(), keep));
        let mut finer = None;
        for &(grain, span) in outliving {
            let from = first(grain, span);
            let from = match from == Day::MIN {
                true => from,
                false => calendar.periods(DayRange::new(from, from.next())).lower,
            };
            match finer {
                None => kept.periods = begin(calendar, kept.periods, grain),
                Some(finer) => {
                    let before: &mut Option<Day> = &mut kept.rollups[finer as usize];
                    *before = before.map(|day| begin(calendar, day, grain));
                }
            }
            kept.rollups[grain as usize] = Some(from);
            finer = Some(grain);
        }
        kept
    }

    /// What is kept of both.
    pub(crate) fn max(self, other: KeptFrom) -> KeptFrom {
        let later = |mine: Option<Day>, theirs: Option<Day>| Some(mine?).max(theirs);
        self.with(other, self.periods.max(other.periods), later)
    }

    /// What is kept of either.
    pub(crate) fn min(self, other: KeptFrom) -> KeptFrom {
        self.with(other, self.periods.min(other.periods), |a, b| Some(a?.min(b?)))
    }

    fn with(
        self,
        other: KeptFrom,
        periods: Day,
        both: impl Fn(Option<Day>, Option<Day>) -> Option<Day>,
    ) -> KeptFrom {
        let rollups = std::array::from_fn(|at| both(self.rollups[at], other.rollups[at]));
        KeptFrom { periods, rollups }
    }

    /// The stretches of time of which there are only rollups: their grain, and from when to when. The latest one first.
    fn stretches(&self) -> impl Iterator<Item = (Grain, DayRange)> {
        let mut upper = self.periods;
        let of = move |grain: Grain| {
            let lower = self.rollups[grain as usize].filter(|lower| *lower < upper)?;
            let stretch = DayRange::new(lower, upper);
            upper = lower;
            Some((grain, stretch))
        };
        Grain::ALL.into_iter().filter_map(of)
    }

    /// The first day of which anything is kept.
    pub(crate) fn first(&self) -> Day {
        self.first_for(|_| true)
    }

    /// The first day that a question can be about that takes rollups of these grains.
    pub(crate) fn first_for(&self, fits: impl Fn(Grain) -> bool) -> Day {
        let taken = self.stretches().take_while(|(grain, _)| fits(*grain));
        taken.last().map_or(self.periods, |(_, stretch)| stretch.lower)
    }

    /// Whether a question about these days cannot be answered, because there are only rollups that it does not take, or that
    /// are not in the range as a whole. Returns the day from which on there is more. A question without a beginning is about
    /// all that is kept for it.
    pub(crate) fn refuses(
        &self,
        calendar: &Calendar,
        days: DayRange,
        fits: impl Fn(Grain) -> bool,
    ) -> Option<Day> {
        if self.periods == Day::MIN {
            return None;
        }
        let lower = match days.lower {
            Day::MIN => self.first_for(&fits),
            lower => lower,
        };
        let mut limit = self.periods;
        for (grain, stretch) in self.stretches() {
            if lower >= limit {
                return None;
            }
            let is_whole = |day: Day| !stretch.contains(day) || begin(calendar, day, grain) == day;
            if !fits(grain) || !is_whole(lower) || !is_whole(days.upper) {
                return Some(limit);
            }
            limit = stretch.lower;
        }
        (lower < limit).then_some(limit)
    }

    /// What of a range can be answered, for questions that are about all that is kept of it.
    pub(crate) fn fit(
        &self,
        calendar: &Calendar,
        days: DayRange,
        fits: impl Fn(Grain) -> bool,
    ) -> DayRange {
        let (mut lower, mut upper) = (days.lower.max(self.first_for(fits)), days.upper);
        for (grain, stretch) in self.stretches() {
            if stretch.contains(lower) {
                lower = begin_from(calendar, lower, grain);
            }
            if stretch.contains(upper) {
                upper = begin(calendar, upper, grain);
            }
        }
        DayRange::new(lower, upper.max(lower))
    }
}

/// The first period of the coarser period that a period is in.
pub(crate) fn begin(calendar: &Calendar, day: Day, grain: Grain) -> Day {
    if day == Day::MIN {
        return day;
    }
    calendar.of_coarser(day, grain).map_or(day, |days| days.lower)
}

/// The first period of the first coarser period that begins no earlier than this period.
pub(crate) fn begin_from(calendar: &Calendar, day: Day, grain: Grain) -> Day {
    let of = calendar.of_coarser(day, grain).filter(|days| day != Day::MIN && days.lower < day);
    of.map_or(day, |days| days.upper)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn day(text: &str) -> Day {
        text.parse().unwrap()
    }

    fn keeping(keep: u32, spans: &[(Grain, Duration)]) -> Retention {
        let mut retention = Retention { keep: Some(keep * DAY), ..Retention::default() };
        spans.iter().for_each(|(grain, span)| retention.spans[*grain as usize] = Some(*span));
        retention
    }

    #[test]
    fn rollups_outlive_periods_in_a_chain() {
        let forever = Duration::MAX;
        let retention = keeping(7, &[(Grain::Day, 365 * DAY), (Grain::Month, forever)]);
        let chain = retention.outliving(Grain::Hour);
        assert_eq!(chain, [(Grain::Day, 365 * DAY), (Grain::Month, forever)]);
        assert_eq!(retention.misfit(Grain::Hour), None);
        // One that is kept no longer than the periods goes with them.
        let retention = keeping(400, &[(Grain::Week, 300 * DAY), (Grain::Month, forever)]);
        assert_eq!(retention.outliving(Grain::Day), [(Grain::Month, forever)]);
        for wrong in [
            [(Grain::Week, forever), (Grain::Month, forever)],
            [(Grain::Month, forever), (Grain::Year, 800 * DAY)],
        ] {
            let [(finer, _), (coarser, _)] = wrong;
            assert_eq!(keeping(400, &wrong).misfit(Grain::Day), Some((finer, coarser)));
        }
        assert!(keeping(400, &[]).outliving(Grain::Day).is_empty());
    }

    #[test]
    fn what_is_kept_begins_with_whole_periods_of_what_outlives_it() {
        let calendar = Calendar::utc();
        let end = calendar.end_of(day("2024-05-20"));
        let chain = [(Grain::Month, 300 * DAY), (Grain::Year, Duration::MAX)];
        let kept = KeptFrom::before(&calendar, end, 30 * DAY, &chain);
        assert_eq!(kept.periods, day("2024-04-01"));
        assert_eq!(kept.rollups[Grain::Month as usize], Some(day("2023-01-01")));
        assert_eq!(kept.rollups[Grain::Year as usize], Some(Day::MIN));
        assert_eq!(kept.first(), Day::MIN);
        assert_eq!(kept.first_for(|grain| grain == Grain::Month), day("2023-01-01"));
        assert_eq!(kept.first_for(|_| false), day("2024-04-01"));
    }

    #[test]
    fn questions_about_rollups_begin_and_end_with_them() {
        let calendar = Calendar::utc();
        let mut kept = KeptFrom::of(day("2024-04-01"));
        kept.rollups[Grain::Month as usize] = Some(day("2023-01-01"));
        kept.rollups[Grain::Year as usize] = Some(day("2020-01-01"));
        let asks = |lower: &str, upper: &str, coarsest: Grain| {
            let of = |text: &str| if text.is_empty() { Day::MIN } else { day(text) };
            let days = DayRange::new(of(lower), day(upper));
            let refused = kept.refuses(&calendar, days, |grain| grain.is_within(coarsest));
            refused.map_or(String::new(), |limit| limit.to_string())
        };
        for (lower, upper, coarsest, limit) in [
            ("2024-04-01", "2024-04-07", Grain::Day, ""),
            ("2024-03-01", "2024-04-07", Grain::Day, "2024-04-01"),
            ("2024-03-01", "2024-04-07", Grain::Month, ""),
            ("2024-03-02", "2024-04-07", Grain::Year, "2024-04-01"),
            ("2023-01-01", "2023-02-01", Grain::Year, ""),
            ("2023-01-01", "2023-02-03", Grain::Year, "2024-04-01"),
            ("2022-01-01", "2023-02-01", Grain::Month, "2023-01-01"),
            ("2022-01-01", "2023-02-01", Grain::Year, ""),
            ("2022-02-01", "2023-02-01", Grain::Year, "2023-01-01"),
            ("2019-01-01", "2023-02-01", Grain::Year, "2020-01-01"),
            ("", "2025-01-01", Grain::Day, ""),
            ("", "2023-02-01", Grain::Year, ""),
            ("", "2023-02-03", Grain::Year, "2024-04-01"),
        ] {
            assert_eq!(asks(lower, upper, coarsest), limit, "{lower} to {upper} by {coarsest}");
        }
        let fit = |lower: &str, upper: &str| {
            let days = DayRange::new(day(lower), day(upper));
            let fitted = kept.fit(&calendar, days, |_| true);
            (fitted.lower.to_string(), fitted.upper.to_string())
        };
        let expect = |lower: &str, upper: &str| (lower.to_owned(), upper.to_owned());
        assert_eq!(fit("2022-06-03", "2024-04-09"), expect("2023-01-01", "2024-04-09"));
        assert_eq!(fit("2023-06-03", "2023-09-09"), expect("2023-07-01", "2023-09-01"));
        assert_eq!(fit("2023-06-03", "2023-06-09"), expect("2023-07-01", "2023-07-01"));
    }
}
