//! Sealed months beside sealed days, as an experiment that is not in the product. A month is an ordinary batch view of
//! the same keys, whose aggregate is either a list of its days' states, so that answers by day stay possible, or one
//! state for all of them.

use std::ops::Range;
use std::path::Path;
use std::time::{Duration, Instant};

use dayfold::aggregate::{Aggregate, IsZero, Semigroup};
use dayfold::batch::{BatchMeta, BatchView, BatchWriter, Coverage};
use dayfold::key::sort_position;
use dayfold::time::Day;
use serde::{Deserialize, Serialize};

use crate::workload::State;
use crate::workload::sealed::{self, plus};

/// The part of a month for a key.
pub(crate) trait OfMonth: Aggregate {
    /// Makes it from its days: the number within the month, and the state.
    fn of(days: Vec<(u8, State)>) -> Self;

    /// Adds what it holds.
    fn add_to(self, total: &mut Option<State>);
}

/// A state for each day of the month that has one, in order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct ByDay(Vec<(u8, State)>);

impl IsZero for ByDay {
    fn is_zero(&self) -> bool {
        self.0.is_empty()
    }
}

impl Semigroup for ByDay {
    fn plus_equals(&mut self, other: &ByDay) {
        for (day, state) in &other.0 {
            match self.0.binary_search_by_key(day, |(day, _)| *day) {
                Ok(at) => self.0[at].1.plus_equals(state),
                Err(at) => self.0.insert(at, (*day, *state)),
            }
        }
    }
}

impl Aggregate for ByDay {
    fn id() -> String {
        "by-day".to_owned()
    }
}

impl OfMonth for ByDay {
    fn of(days: Vec<(u8, State)>) -> ByDay {
        ByDay(days)
    }

    fn add_to(self, total: &mut Option<State>) {
        self.0.into_iter().for_each(|(_, state)| plus(total, state));
    }
}

impl OfMonth for State {
    fn of(days: Vec<(u8, State)>) -> State {
        let mut total = None;
        days.into_iter().for_each(|(_, state)| plus(&mut total, state));
        total.expect("a key has a day")
    }

    fn add_to(self, total: &mut Option<State>) {
        plus(total, self);
    }
}

/// The whole months of some days, and the time to make one of them.
pub(crate) struct Months<A> {
    months: Vec<(Range<i32>, BatchView<u64, A>)>,
    pub(crate) each: Duration,
}

impl<A: OfMonth> Months<A> {
    /// Makes them from days that begin with the first of a month, and maps them.
    pub(crate) fn of(folder: &Path, days: &[BatchView<u64, State>]) -> Months<A> {
        let start = Instant::now();
        let mut months = Vec::new();
        for range in whole_months(days.len() as i32) {
            let bytes = bytes::<A>(&days[range.start as usize..range.end as usize]);
            months
                .push((range.clone(), sealed::map(&folder.join(range.start.to_string()), &bytes)));
        }
        let each = start.elapsed() / months.len() as u32;
        Months { months, each }
    }

    pub(crate) fn last(&self) -> Range<i32> {
        self.months.last().expect("there is a whole month").0.clone()
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.months.iter().map(|(_, view)| view.summary().bytes).sum()
    }

    /// One key over a range of days: whole months if there are any, and days for the rest.
    pub(crate) fn read(
        &self,
        days: &[BatchView<u64, State>],
        range: Range<i32>,
        key: u64,
    ) -> Option<State> {
        let from = self.months.partition_point(|(month, _)| month.start < range.start);
        let until = self.months.partition_point(|(month, _)| month.end <= range.end);
        let whole = self.months.get(from..until).unwrap_or_default();
        let end = range.end;
        let (first, last) = match whole {
            [] => (end, end),
            [(first, _)] => (first.start, first.end),
            [(first, _), .., (last, _)] => (first.start, last.end),
        };
        let of = |from: i32, until: i32| &days[from as usize..until as usize];
        let mut total = sealed::read(of(range.start, first), key);
        let views = whole.iter().map(|(_, view)| view);
        sealed::get(views, key, |part: A| part.add_to(&mut total));
        if let Some(part) = sealed::read(of(last, end), key) {
            plus(&mut total, part);
        }
        total
    }
}

/// The months that lie within the first days of 1970.
fn whole_months(days: i32) -> Vec<Range<i32>> {
    let firsts =
        (1..=12).map(|month| Day::from_ymd(1970, month, 1).expect("there is such a day").0);
    let bounds: Vec<i32> = firsts.chain([365]).collect();
    bounds.windows(2).map(|month| month[0]..month[1]).filter(|month| month.end <= days).collect()
}

/// The file of a month, merged from those of its days.
fn bytes<A: OfMonth>(days: &[BatchView<u64, State>]) -> Vec<u8> {
    let (first, last) = (days[0].meta(), days[days.len() - 1].meta());
    let meta = BatchMeta { closing: last.closing, ..first.clone() };
    let mut writer = BatchWriter::new(Vec::new(), meta, days[0].rows()).expect("memory takes all");
    let mut scans: Vec<_> = days
        .iter()
        .map(|day| day.scan(&Coverage::ALL).map(|row| row.expect("the file is not damaged")))
        .map(Iterator::peekable)
        .collect();
    // All days have the same order of keys, so the least of their next keys comes next.
    loop {
        let nexts = scans.iter_mut().filter_map(|rows| rows.peek());
        let least = nexts.map(|(hash, key, _)| (sort_position(*hash), *key, *hash)).min();
        let Some((_, least, hash)) = least else { break };
        let mut states = Vec::new();
        for (day, rows) in scans.iter_mut().enumerate() {
            if let Some((.., state)) = rows.next_if(|(_, key, _)| *key == least) {
                states.push((day as u8, state));
            }
        }
        writer.push(hash, &least, &A::of(states)).expect("memory takes all");
    }
    writer.finish().expect("memory takes all").0
}
