//! The most frequent values: exact while there are few, then a sketch whose parts do not depend on the order of events.

use std::fmt;

use differential_dataflow::difference::{IsZero, Semigroup};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128};

use super::Aggregate;
use crate::time::EventTime;

/// Up to this many different values, all of them are counted.
const EXACT_MAX: usize = 1_024;

/// The number of candidates of a sketch.
const CANDIDATES: usize = 512;

/// The rows of counters of a sketch: each value has one counter in each row.
const ROWS: usize = 4;
const WIDTH: usize = 1_024;

/// The most frequent values, and how often each came.
///
/// **Exact** up to 1,024 different values. Beyond, a state has two parts, each of which is a function of the events
/// alone, to the bit:
///
/// - Counts in a Count-Min sketch (Cormode, Muthukrishnan: *An improved data stream summary: the count-min sketch and
///   its applications*, J. Algorithms 55, 2005) of 4 rows of 1,024 counters. A count is never too low. With a
///   probability of at most e⁻⁴, 1.8 %, it is too high by more than e / 1,024 of all events, 0.27 %:
///   [`Top::error_max`].
/// - 512 candidates, a weighted sample without replacement (Cohen, Kaplan: *Summarizing data using bottom-k sketches*,
///   PODC 2007). Each pair of an event time and a value has a random number, its hash; the candidates are the values
///   with the least numbers. A value with a share *p* of these pairs is missing with a probability of at most (1 −
///   *p*)⁵¹²: 0.6 % for a share of 1 %, 3·10⁻⁵ for 2 %.
///
/// (Misra-Gries and Space-Saving summaries can be merged as well (Agarwal and others: *Mergeable Summaries*, PODS
/// 2012), with better bounds for their size, but their result depends on the order of merging.)
///
/// A value is up to 256 bytes; of a longer value, the first 256 count. Up to 1,024 values, a state takes the bytes of
/// each value and 40 more; beyond that, 32 KiB and 512 values.
///
/// ```
/// use dayfold::aggregate::{Semigroup, Top};
///
/// let mut pages = Top::of(1_000, b"/a");
/// pages.add(2_000, b"/b");
/// pages.plus_equals(&Top::of(2_000, b"/b"));
/// assert_eq!(pages.most_frequent(1), [(&b"/b"[..], 2)]);
/// assert_eq!(pages.error_max(), 0);
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "Form", into = "Form")]
pub struct Top(Form);

/// The form depends on the number of different values alone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Form {
    /// 1 to [`EXACT_MAX`], in order.
    Exact(Vec<Counted>),
    Sketch(Box<Sketch>),
}

/// A value, how often it came, and its least random number.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Counted {
    value: Box<[u8]>,
    count: u64,
    draw: u64,
}

/// The form for more values.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Sketch {
    /// [`CANDIDATES`] values with their random numbers, sorted by these numbers.
    candidates: Vec<(u64, Box<[u8]>)>,
    /// Row by row.
    counters: Vec<u64>,
}

/// Bytes of a value that count.
const VALUE_MAX: usize = 256;

impl Top {
    /// One event.
    pub fn of(time: EventTime, value: &[u8]) -> Top {
        let value = cut(value);
        Top(Form::Exact(vec![Counted { value: value.into(), count: 1, draw: draw(time, value) }]))
    }

    /// Adds one event: ⊕ of [`Top::of`] it.
    pub fn add(&mut self, time: EventTime, value: &[u8]) {
        let value = cut(value);
        match &mut self.0 {
            Form::Exact(values) => add_to(values, value, 1, draw(time, value)),
            Form::Sketch(sketch) => {
                sketch.count(value, 1);
                sketch.propose(draw(time, value), value);
            }
        }
        self.settle();
    }

    /// Changes to a sketch once there are too many values.
    fn settle(&mut self) {
        if let Form::Exact(values) = &self.0
            && values.len() > EXACT_MAX
        {
            self.0 = Form::Sketch(Box::new(Sketch::of(values)));
        }
    }

    /// The most frequent values and their counts, highest count first; values with equal counts are in ascending order.
    pub fn most_frequent(&self, n: usize) -> Vec<(&[u8], u64)> {
        let mut found: Vec<(&[u8], u64)> = match &self.0 {
            Form::Exact(values) => values.iter().map(|one| (&*one.value, one.count)).collect(),
            Form::Sketch(sketch) => {
                let values = sketch.candidates.iter();
                values.map(|(_, value)| (&**value, sketch.estimate(value))).collect()
            }
        };
        found.sort_unstable_by(|(a, x), (b, y)| y.cmp(x).then_with(|| a.cmp(b)));
        found.truncate(n);
        found
    }

    /// By how much a count may be too high, with a probability of 98.2 %: 0 if all are exact.
    pub fn error_max(&self) -> u64 {
        match &self.0 {
            Form::Exact(_) => 0,
            // e / 1,024, rounded up.
            Form::Sketch(_) => {
                u64::try_from((u128::from(self.events()) * 2_718_282).div_ceil(1_024_000_000))
                    .unwrap_or(u64::MAX)
            }
        }
    }

    /// How many events there are.
    pub fn events(&self) -> u64 {
        match &self.0 {
            Form::Exact(values) => values.iter().fold(0, |sum, one| sum.wrapping_add(one.count)),
            Form::Sketch(sketch) => sum(&sketch.counters[..WIDTH]),
        }
    }
}

/// The part of a value that counts.
fn cut(value: &[u8]) -> &[u8] {
    &value[..value.len().min(VALUE_MAX)]
}

/// The random number of an event. Part of the format on disk.
fn draw(time: EventTime, value: &[u8]) -> u64 {
    xxh3_64_with_seed(value, time.cast_unsigned())
}

/// Where a value is counted in each row. Part of the format on disk.
fn places(value: &[u8]) -> [usize; ROWS] {
    let hash = xxh3_128(value);
    std::array::from_fn(|row| row * WIDTH + (hash >> (32 * row)) as usize % WIDTH)
}

fn sum(counters: &[u64]) -> u64 {
    counters.iter().fold(0, |sum, count| sum.wrapping_add(*count))
}

fn add_to(values: &mut Vec<Counted>, value: &[u8], count: u64, draw: u64) {
    match values.binary_search_by(|one| (*one.value).cmp(value)) {
        Ok(at) => {
            let one = &mut values[at];
            one.count = one.count.wrapping_add(count);
            one.draw = one.draw.min(draw);
        }
        Err(at) => values.insert(at, Counted { value: value.into(), count, draw }),
    }
}

impl Sketch {
    fn of(values: &[Counted]) -> Sketch {
        let mut sketch = Sketch { candidates: Vec::new(), counters: vec![0; ROWS * WIDTH] };
        sketch.add_all(values);
        sketch
    }

    fn add_all(&mut self, values: &[Counted]) {
        for one in values {
            self.count(&one.value, one.count);
            self.propose(one.draw, &one.value);
        }
    }

    fn count(&mut self, value: &[u8], count: u64) {
        for at in places(value) {
            self.counters[at] = self.counters[at].wrapping_add(count);
        }
    }

    fn estimate(&self, value: &[u8]) -> u64 {
        places(value).map(|at| self.counters[at]).into_iter().min().unwrap_or_default()
    }

    /// Keeps a value if its number is among the least.
    fn propose(&mut self, draw: u64, value: &[u8]) {
        let is_full = self.candidates.len() >= CANDIDATES;
        let is_before = |(last, other): &(u64, Box<[u8]>)| (draw, value) < (*last, &**other);
        if is_full && !self.candidates.last().is_some_and(is_before) {
            return;
        }
        match self.candidates.iter().position(|(_, known)| **known == *value) {
            Some(at) if self.candidates[at].0 <= draw => return,
            Some(at) => drop(self.candidates.remove(at)),
            None if is_full => drop(self.candidates.pop()),
            None => {}
        }
        let at =
            self.candidates.partition_point(|(other, known)| (*other, &**known) < (draw, value));
        self.candidates.insert(at, (draw, value.into()));
    }

    fn merge(&mut self, other: &Sketch) {
        for (counter, other) in self.counters.iter_mut().zip(&other.counters) {
            *counter = counter.wrapping_add(*other);
        }
        other.candidates.iter().for_each(|(draw, value)| self.propose(*draw, value));
    }

    fn is_sound(&self) -> bool {
        let in_order = self.candidates.is_sorted_by(|one, next| one < next);
        let mut values: Vec<&[u8]> = self.candidates.iter().map(|(_, value)| &**value).collect();
        values.sort_unstable();
        let rows: Vec<u64> = self.counters.chunks(WIDTH).map(sum).collect();
        in_order
            && self.candidates.len() == CANDIDATES
            && values.is_sorted_by(|one, next| one < next)
            && values.iter().all(|value| value.len() <= VALUE_MAX)
            && self.counters.len() == ROWS * WIDTH
            && rows.iter().all(|row| *row == rows[0])
    }
}

impl TryFrom<Form> for Top {
    type Error = &'static str;

    fn try_from(form: Form) -> Result<Top, &'static str> {
        let is_sound = match &form {
            Form::Exact(values) => {
                (1..=EXACT_MAX).contains(&values.len())
                    && values.is_sorted_by(|one, next| one.value < next.value)
                    && values.iter().all(|one| one.value.len() <= VALUE_MAX)
            }
            Form::Sketch(sketch) => sketch.is_sound(),
        };
        if is_sound { Ok(Top(form)) } else { Err("these are not the most frequent values") }
    }
}

impl From<Top> for Form {
    fn from(top: Top) -> Form {
        top.0
    }
}

impl IsZero for Top {
    fn is_zero(&self) -> bool {
        false
    }
}

impl Semigroup for Top {
    fn plus_equals(&mut self, rhs: &Top) {
        match (&mut self.0, &rhs.0) {
            (Form::Exact(values), Form::Exact(others)) => {
                others.iter().for_each(|one| add_to(values, &one.value, one.count, one.draw));
            }
            (Form::Sketch(sketch), Form::Exact(others)) => sketch.add_all(others),
            (Form::Sketch(sketch), Form::Sketch(other)) => sketch.merge(other),
            (Form::Exact(values), Form::Sketch(other)) => {
                let mut sketch = other.clone();
                sketch.add_all(values);
                self.0 = Form::Sketch(sketch);
            }
        }
        self.settle();
    }
}

impl Aggregate for Top {
    fn id() -> String {
        "top".to_owned()
    }

    fn heap_bytes(&self) -> usize {
        match &self.0 {
            Form::Exact(values) => {
                let texts = values.iter().map(|one| one.value.len()).sum::<usize>();
                values.capacity() * size_of::<Counted>() + texts
            }
            Form::Sketch(sketch) => {
                let texts = sketch.candidates.iter().map(|(_, value)| value.len()).sum::<usize>();
                size_of::<Sketch>()
                    + sketch.candidates.capacity() * size_of::<(u64, Box<[u8]>)>()
                    + size_of_val::<[u64]>(&sketch.counters)
                    + texts
            }
        }
    }
}

impl fmt::Debug for Top {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.most_frequent(3).into_iter();
        let shown =
            shown.map(|(value, count)| (String::from_utf8_lossy(value).into_owned(), count));
        write!(f, "Top({:?} of {})", shown.collect::<Vec<_>>(), self.events())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::aggregate::laws::{check_add, check_laws};

    /// Values of which low numbers are frequent: about Zipf's law.
    fn zipf(random: u64, most: u64) -> u64 {
        let share = (random % 1_000_003) as f64 / 1_000_003.0;
        ((most as f64).powf(share) - 1.0) as u64
    }

    /// SplitMix64.
    fn mixed(number: u64) -> u64 {
        let mut mixed = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn top(values: impl IntoIterator<Item = u64>) -> Top {
        let mut events = values.into_iter().zip(0..);
        let of = |(value, time): (u64, i64)| (time * 1_000, value.to_le_bytes());
        let (time, value) = of(events.next().unwrap());
        let mut top = Top::of(time, &value);
        events.map(of).for_each(|(time, value)| top.add(time, &value));
        top
    }

    #[test]
    fn laws_of_top() {
        let ranges = [0..1, 0..2, 5..12, 0..700, 500..1_024, 0..1_024, 0..1_025, 900..3_000];
        let sample = ranges.map(top);
        check_laws(&sample);
        let events: Vec<(i64, [u8; 8])> =
            (0..14u64).map(|n| (n as i64 % 5, (n * 155 % 800 % 11).to_le_bytes())).collect();
        let add = |(time, value): &(i64, [u8; 8]), state: &mut Top| state.add(*time, value);
        check_add(&sample, &events, add, |(time, value)| Top::of(*time, value));
    }

    #[test]
    fn few_values_are_exact() {
        let mut state = Top::of(1, b"b");
        for (time, value) in [(1, "b"), (2, "a"), (3, "c"), (3, "c"), (3, "c")] {
            state.add(time, value.as_bytes());
        }
        let expect = [(&b"c"[..], 3), (b"b", 2), (b"a", 1)];
        assert_eq!(state.most_frequent(9), expect);
        assert_eq!(state.most_frequent(2), expect[..2]);
        assert_eq!((state.events(), state.error_max()), (6, 0));
        let long = [7; 300];
        assert_eq!(Top::of(0, &long), Top::of(0, &long[..256]));
    }

    /// With many values, no count is too low, few are too high by more than the bound, and no frequent value is
    /// missing.
    #[test]
    fn oracle_counts_are_within_bounds() {
        let (mut counts, mut too_high, mut missing, mut frequent) = (0, 0, 0, 0);
        for seed in 0..12u64 {
            let events = (0..200_000).map(|n| zipf(mixed(seed << 32 | n), 100_000));
            let mut exact: BTreeMap<u64, u64> = BTreeMap::new();
            events.clone().for_each(|value| *exact.entry(value).or_default() += 1);
            assert!(exact.len() > EXACT_MAX);
            let state = top(events);
            assert_eq!(state.events(), 200_000);
            assert_eq!(state.error_max(), 531);
            let found: BTreeMap<u64, u64> = state
                .most_frequent(CANDIDATES)
                .into_iter()
                .map(|(value, count)| (u64::from_le_bytes(value.try_into().unwrap()), count))
                .collect();
            for (value, count) in &found {
                assert!(*count >= exact[value], "seed {seed}: {value} came {} times", exact[value]);
                counts += 1;
                too_high += u64::from(*count > exact[value] + state.error_max());
            }
            for value in exact.iter().filter(|(_, count)| **count >= 2_000).map(|(value, _)| value)
            {
                frequent += 1;
                missing += u64::from(!found.contains_key(value));
            }
        }
        assert!(too_high * 1_000 <= counts * 18, "{too_high} of {counts} are too high");
        assert!(frequent >= 90 && missing * 100 <= frequent, "{missing} of {frequent} are missing");
    }

    /// The hashes are part of the format on disk.
    #[test]
    fn the_hashes_stay() {
        assert_eq!(draw(-1, b"x"), 2_425_827_827_524_141_974);
        assert_eq!(places(b"x"), [273, 1_124, 2_798, 3_520]);
    }

    #[test]
    fn bad_states_are_errors() {
        let bytes = |form: &Form| bincode::serialize(form).unwrap();
        let read = |form: &Form| bincode::deserialize::<Top>(&bytes(form));
        let (few, many) = (top(0..5), top(0..2_000));
        for good in [&few, &many] {
            assert_eq!(read(&good.0).unwrap(), *good);
        }
        let (Form::Exact(values), Form::Sketch(sketch)) = (few.0, many.0) else { panic!("forms") };
        let bad = |change: &dyn Fn(&mut Vec<Counted>)| {
            let mut values = values.clone();
            change(&mut values);
            assert!(read(&Form::Exact(values)).is_err());
        };
        bad(&|values| values.swap(0, 1));
        bad(&|values| values[1] = values[0].clone());
        bad(&Vec::clear);
        bad(&|values| values[0].value = [0; 257].into());
        let bad = |change: &dyn Fn(&mut Sketch)| {
            let mut sketch = sketch.clone();
            change(&mut sketch);
            assert!(read(&Form::Sketch(sketch)).is_err());
        };
        bad(&|sketch| sketch.counters[5] += 1);
        bad(&|sketch| sketch.counters.truncate(1_024));
        bad(&|sketch| drop(sketch.candidates.pop()));
        bad(&|sketch| sketch.candidates.swap(3, 4));
        bad(&|sketch| sketch.candidates[7].1 = sketch.candidates[9].1.clone());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// Whatever the order and the grouping: the same state.
        #[test]
        fn oracle_a_state_depends_on_the_events_only(
            seed: u64, events in 1..6_000u64, most in prop_oneof![Just(600), Just(2_000), Just(1_000_000)], groups in 1..9u64,
        ) {
            let event = |n: u64| ((n % 97 * 60_000) as i64, zipf(mixed(seed ^ n), most).to_le_bytes());
            let state = |numbers: &mut dyn Iterator<Item = u64>| {
                numbers.map(event).fold(None, |state: Option<Top>, (time, value)| Some(match state {
                    None => Top::of(time, &value),
                    Some(mut state) => { state.add(time, &value); state }
                }))
            };
            let whole = state(&mut (0..events)).unwrap();
            let parts = (0..groups).filter_map(|group| {
                state(&mut (0..events).rev().filter(|n| mixed(*n) % groups == group))
            });
            let merged = parts.reduce(|mut one, other| { one.plus_equals(&other); one }).unwrap();
            prop_assert!(merged == whole, "{merged:?} != {whole:?}");
            prop_assert_eq!(bincode::serialize(&merged).unwrap(), bincode::serialize(&whole).unwrap());
        }
    }
}
