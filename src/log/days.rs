//! Files of several days. They are used if a commit has events of many days, because one file for each day would take
//! too long.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::time::Day;

/// The number of files of single days that may be written at once. If there are more days, their events go to files of
/// several days.
pub(super) const DAYS_AT_ONCE: usize = 32;

/// The number of files of several days that are written at once.
const WIDE_AT_ONCE: usize = 8;

/// UTC days that share a file: 2^`level` of them, starting at a multiple of that. So two files of one run and worker
/// overlap only if one contains all days of the other, and there are few files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Days {
    /// The number of the first day, divided by 2^`level`.
    pub(super) index: i32,
    pub(super) level: u8,
}

impl Days {
    /// The least level at which these days, in order, need few enough files.
    pub(super) fn level(days: impl Iterator<Item = Day> + Clone) -> u8 {
        let files = |level: u8| {
            let mut last = None;
            let is_next = |day: &Day| last.replace(day.0 >> level) != Some(day.0 >> level);
            days.clone().filter(is_next).count()
        };
        (1..31).find(|&level| files(level) <= WIDE_AT_ONCE).unwrap_or(31)
    }

    /// The group of this level that contains `day`.
    pub(super) fn of(day: Day, level: u8) -> Days {
        Days { index: day.0 >> level, level }
    }

    /// Whether the level exists; bytes that are read may claim any.
    pub(super) fn is_known(self) -> bool {
        let widest = i32::MAX >> self.level.min(31);
        self.level <= 31 && (-widest - 1..=widest).contains(&self.index)
    }

    pub(super) fn contains(self, day: Day) -> bool {
        day.0 >> self.level == self.index
    }
}

impl fmt::Display for Days {
    /// The first and the last day. In the name of a folder: digits and `-`, as in the name of a day.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = i64::from(self.index) << self.level;
        let last = first + (1 << self.level) - 1;
        write!(f, "{}--{}", Day(first as i32), Day(last as i32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_that_are_far_apart_share_few_files() {
        let check = |days: &[i32], files: usize, name: &str| {
            let days: Vec<Day> = days.iter().copied().map(Day).collect();
            let level = Days::level(days.iter().copied());
            let mut found: Vec<Days> = days.iter().map(|day| Days::of(*day, level)).collect();
            assert!(found.iter().zip(&days).all(|(of, day)| of.contains(*day) && of.is_known()));
            found.dedup();
            assert_eq!((found.len(), found[0].to_string().as_str()), (files, name), "{found:?}");
        };
        let all: Vec<i32> = (0..41_000).collect();
        check(&all, 6, "1970-01-01--1992-06-05");
        check(&[i32::MIN + 1, -1, 0, i32::MAX], 4, "-5877641-06-23---5877641-06-24");
        let far: Vec<i32> = (-20..20).map(|n| n * 100_000_000).collect();
        check(&far, 8, "-5877641-06-23---4407738-02-07");
    }

    #[test]
    fn what_is_no_level_is_none() {
        let days = |index, level| Days { index, level };
        assert!(days(-1, 31).is_known() && days(0, 31).is_known() && days(i32::MIN, 0).is_known());
        assert!(
            !days(1, 31).is_known() && !days(0, 32).is_known() && !days(i32::MIN, 1).is_known()
        );
    }
}
