//! Quantiles: exact for few values, in logarithmic buckets for many.

use differential_dataflow::difference::{IsZero, Semigroup};
use serde::{Deserialize, Serialize};

use super::buckets::{Units, bucket, middle, rounded};
use super::sorted::{self, Sorted, SortedRun, Times};
use super::{Aggregate, Decimal};
use crate::codec;
use crate::schema::{AggregateShape, Kind, Measure, Presented, Value};

/// The most values that are kept exactly.
const MOST_EXACT: u64 = 1_000;
/// Quantiles of decimals of either sign.
///
/// Guarantee: exact up to 1,000 values. Beyond that, within 0.1 % of the value at that rank; the first and the last
/// rank stay exact.
///
/// # Why 0.1 %
/// Let all values be multiples of `s`, one unit in the last digit of the largest scale among them. A bucket holds the
/// values of one sign whose absolute values share the leading one bit, at 2ᵉ, and the ten bits below it. The bucket is
/// `w` = 2ᵉ⁻¹⁰ wide, and any value `v` in it has |v| ≥ 2ᵉ = 1024·w. The answer is the middle of the bucket, at most w/2
/// away from `v`, rounded to a multiple of `s`.
/// - If |v| < 1024·s, then w < s, so the middle is less than s/2 away from `v`, and is rounded to `v`: exact.
/// - Otherwise rounding moves it by at most s/2 ≤ |v|/2048, on top of w/2 ≤ |v|/2048. Together that is within |v|/1024,
///   which is below 0.1 %.
///
/// The answer is kept between the least and the greatest value, which only brings it closer to `v`.
///
/// # State
/// A state is a function of the multiset of values: their number alone decides the form, each value alone decides its
/// bucket, and the least value, the greatest value and the largest scale do not depend on the order. A state takes no
/// heap for one value, 16 bytes for each different value up to 1,000, then 12 bytes for each bucket in use. Values
/// within a factor of two of each other have at most 1,024 buckets.
///
/// ```
/// use dayfold::aggregate::{Quantiles, Semigroup};
///
/// let mut delays = Quantiles::of("-3".parse()?);
/// delays.plus_equals(&Quantiles::of("12.5".parse()?));
/// delays.plus_equals(&Quantiles::of("4".parse()?));
/// let median = delays.quantile(50, 100).map(|value| value.to_string());
/// assert_eq!(median.as_deref(), Some("4.0"));
/// # Ok::<(), dayfold::aggregate::DecimalError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Quantiles {
    count: u64,
    scale: u8,
    form: Form,
}

/// The form depends on the number of values alone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Form {
    One(Units),
    /// 2 to [`MOST_EXACT`] values.
    Exact(Sorted<Times>),
    /// More than [`MOST_EXACT`] values.
    Buckets(Box<Buckets>),
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Buckets {
    least: Units,
    greatest: Units,
    /// By [`bucket`].
    runs: Sorted<SortedRun<i32>>,
}

impl Quantiles {
    /// The quantiles of one value. A value beyond ±2⁹⁵ units (4·10¹⁹) counts as that bound; no parsed number and no
    /// 64-bit integer is beyond it.
    #[inline]
    pub fn of(value: Decimal) -> Quantiles {
        let form = Form::One(Units::new(value.billionths()));
        Quantiles { count: 1, scale: value.scale(), form }
    }

    /// Adds one value: ⊕ of [`Quantiles::of`] it.
    #[inline]
    pub fn add(&mut self, value: Decimal) {
        self.scale = self.scale.max(value.scale());
        let units = Units::new(value.billionths());
        self.count = self.count.saturating_add(1);
        if self.count <= MOST_EXACT {
            self.form.add_exactly(units);
        } else {
            self.form.make_buckets().add(Times::once(units));
        }
    }

    /// The number of values.
    #[inline]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The largest number of digits after the point among the values.
    #[inline]
    pub fn scale(&self) -> u8 {
        self.scale
    }

    /// The value at rank ⌈n·`numerator`/`denominator`⌉ of the `n` values in ascending order, at least the first and at
    /// most the last: `quantile(50, 100)` is the median, the lower of two middle values.
    ///
    /// It has the largest scale among the values. `None` if the denominator is 0.
    pub fn quantile(&self, numerator: u64, denominator: u64) -> Option<Decimal> {
        if denominator == 0 {
            return None;
        }
        let product = u128::from(numerator) * u128::from(self.count);
        let rank = product.div_ceil(u128::from(denominator)).clamp(1, u128::from(self.count));
        let units = match &self.form {
            Form::One(value) => value.get(),
            Form::Exact(values) => {
                let each = values.in_order();
                at_rank(each.iter().map(|times| (times.value(), times.count())), rank)?.get()
            }
            Form::Buckets(buckets) => buckets.value_at(rank, self.count, self.scale)?,
        };
        Some(Decimal::from_billionths(units, self.scale))
    }

    /// The stored form of the state.
    pub fn to_bytes(&self) -> Vec<u8> {
        // A value of a few digits, and how often it occurs, take about ten bytes.
        let values = match &self.form {
            Form::One(_) => 1,
            Form::Exact(values) => values.as_added().len(),
            Form::Buckets(buckets) => buckets.runs.as_added().len(),
        };
        let mut bytes = Vec::with_capacity(24 + 10 * values);
        codec::encode(self, &mut bytes).expect("a state holds nothing that cannot be encoded");
        bytes
    }

    /// The state with this stored form, if it is valid.
    pub fn from_bytes(bytes: &[u8]) -> Option<Quantiles> {
        codec::decode(bytes).ok()
    }
}

impl Buckets {
    fn of_values(values: &[Times]) -> Option<Buckets> {
        let (first, rest) = values.split_first()?;
        let value = first.value();
        let runs = Sorted::of(vec![SortedRun::new(bucket(value.get()), first.count())]);
        let mut buckets = Buckets { least: value, greatest: value, runs };
        rest.iter().for_each(|times| buckets.add(*times));
        Some(buckets)
    }

    /// Adds a value that occurs this often to its bucket, as if the state had been in buckets from the start.
    #[inline]
    fn add(&mut self, times: Times) {
        let value = times.value();
        self.stretch(value, value);
        self.runs.add(SortedRun::new(bucket(value.get()), times.count()));
    }

    fn value_at(&self, rank: u128, count: u64, scale: u8) -> Option<i128> {
        let (least, greatest) = (self.least.get(), self.greatest.get());
        if rank <= 1 {
            return Some(least);
        }
        if rank >= u128::from(count) {
            return Some(greatest);
        }
        let runs = self.runs.in_order();
        let bucket = at_rank(runs.iter().map(|run| (run.key, run.count())), rank)?;
        let middle = rounded(middle(bucket), scale);
        Some(middle.max(least).min(greatest))
    }

    fn stretch(&mut self, least: Units, greatest: Units) {
        self.least = self.least.min(least);
        self.greatest = self.greatest.max(greatest);
    }
}

/// The value at a rank, counted from 1, of sorted values with their numbers of occurrences.
fn at_rank<V>(values: impl IntoIterator<Item = (V, u64)>, rank: u128) -> Option<V> {
    let mut before = 0;
    let holds = |(_, count): &(V, u64)| {
        before += u128::from(*count);
        rank <= before
    };
    values.into_iter().find(holds).map(|(value, _)| value)
}

impl IsZero for Quantiles {
    #[inline]
    fn is_zero(&self) -> bool {
        false
    }
}

impl Semigroup for Quantiles {
    fn plus_equals(&mut self, rhs: &Quantiles) {
        self.scale = self.scale.max(rhs.scale);
        // More events than a u64 counts cannot come.
        self.count = self.count.saturating_add(rhs.count);
        if self.count <= MOST_EXACT {
            self.form.add_all_exactly(&rhs.form);
        } else {
            self.form.add_in_buckets(&rhs.form);
        }
    }
}

impl Form {
    /// Adds a value, up to [`MOST_EXACT`] in all.
    #[inline]
    fn add_exactly(&mut self, value: Units) {
        let more = Times::once(value);
        match self {
            Form::One(one) => *self = Form::Exact(Sorted::pair(Times::once(*one), more)),
            Form::Exact(values) => values.add(more),
            Form::Buckets(_) => unreachable!("up to {MOST_EXACT} values are kept exactly"),
        }
    }

    /// Adds the values of another state, up to [`MOST_EXACT`] in all.
    fn add_all_exactly(&mut self, other: &Form) {
        match (&mut *self, other) {
            (_, Form::One(value)) => self.add_exactly(*value),
            (Form::One(value), Form::Exact(others)) => {
                let mut values = others.clone();
                values.add(Times::once(*value));
                *self = Form::Exact(values);
            }
            (Form::Exact(values), Form::Exact(others)) => values.add_all(others),
            _ => unreachable!("up to {MOST_EXACT} values are kept exactly"),
        }
    }

    /// Adds up to more than [`MOST_EXACT`] values.
    fn add_in_buckets(&mut self, other: &Form) {
        let buckets = self.make_buckets();
        match other {
            Form::One(value) => buckets.add(Times::once(*value)),
            Form::Exact(values) => {
                values.as_added().iter().for_each(|times| buckets.add(*times));
            }
            Form::Buckets(others) => {
                buckets.stretch(others.least, others.greatest);
                buckets.runs.add_all(&others.runs);
            }
        }
    }

    #[inline]
    fn make_buckets(&mut self) -> &mut Buckets {
        let made = match self {
            Form::One(value) => Buckets::of_values(&[Times::once(*value)]),
            Form::Exact(values) => Buckets::of_values(values.as_added()),
            Form::Buckets(_) => None,
        };
        if let Some(buckets) = made {
            *self = Form::Buckets(Box::new(buckets));
        }
        match self {
            Form::Buckets(buckets) => buckets,
            _ => unreachable!("every state has values"),
        }
    }
}

impl Aggregate for Quantiles {
    fn id() -> String {
        "quantiles".to_owned()
    }

    fn shape() -> AggregateShape {
        let quantile = |name: &str| Measure::new(name, Kind::Decimal);
        AggregateShape::of(
            "",
            [quantile("p50"), quantile("p99"), Measure::new("sketch", Kind::Bytes)],
        )
    }

    fn present(state: Option<&Quantiles>, out: &mut Presented<'_>) {
        for percent in [50, 99] {
            let quantile = |state: &Quantiles| state.quantile(percent, 100).map(Value::Decimal);
            out.put(|| Value::or_null(state.and_then(quantile)));
        }
        out.put_stored(Some, || state.map(Quantiles::to_bytes));
    }

    fn heap_bytes(&self) -> usize {
        match &self.form {
            Form::One(_) => 0,
            Form::Exact(values) => values.heap_bytes(),
            Form::Buckets(buckets) => size_of::<Buckets>() + buckets.runs.heap_bytes(),
        }
    }
}

/// A state as it was read, not yet checked.
#[derive(Deserialize)]
struct Unchecked {
    count: u64,
    scale: u8,
    form: Form,
}

impl TryFrom<Unchecked> for Quantiles {
    type Error = &'static str;
    fn try_from(read: Unchecked) -> Result<Quantiles, &'static str> {
        let Unchecked { count, scale, form } = read;
        let genuine = match &form {
            Form::One(_) => count == 1,
            Form::Exact(values) => {
                let counts = values.as_added().iter().map(|times| times.count());
                (2..=MOST_EXACT).contains(&count)
                    && sorted::is_sorted(values.as_added())
                    && add_up(counts, count)
            }
            Form::Buckets(buckets) => {
                let Buckets { least, greatest, runs } = &**buckets;
                count > MOST_EXACT
                    && sorted::is_sorted(runs.as_added())
                    && add_up(runs.as_added().iter().map(SortedRun::count), count)
                    && least <= greatest
                    && runs.as_added().first().map(|run| run.key) == Some(bucket(least.get()))
                    && runs.as_added().last().map(|run| run.key) == Some(bucket(greatest.get()))
            }
        };
        if genuine && scale <= 9 {
            Ok(Quantiles { count, scale, form })
        } else {
            Err("these are not quantiles: the runs are not sorted, or do not add up")
        }
    }
}

/// Whether each count is positive, and their sum is this number.
fn add_up(mut counts: impl Iterator<Item = u64>, expected: u64) -> bool {
    let sum = counts.try_fold(0u64, |sum, count| sum.checked_add(count).filter(|_| count > 0));
    sum == Some(expected)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::aggregate::decimal::step;
    use crate::aggregate::laws::{check_add, check_laws};

    fn sum(values: impl IntoIterator<Item = Decimal>) -> Quantiles {
        let mut states = values.into_iter().map(Quantiles::of);
        let first = states.next().unwrap();
        states.fold(first, |mut sum, state| {
            sum.plus_equals(&state);
            sum
        })
    }

    fn integers(values: impl IntoIterator<Item = i64>) -> Quantiles {
        sum(values.into_iter().map(Decimal::from))
    }

    #[test]
    fn laws_of_quantiles() {
        let sample = [
            integers([0]),
            integers([-7, 7]),
            sum(["0.000000001", "-1.50"].map(|text| text.parse().unwrap())),
            integers(-300..400),
            integers([5; 300]),
            integers([i64::MIN, i64::MAX]),
            integers(0..1_000),
            integers(-500..501),
            integers((0..3_000).map(|n| n * n * n)),
        ];
        check_laws(&sample);
        let values: Vec<Decimal> = (0..14i64).map(|n| Decimal::from(n * 7 % 50 - 40)).collect();
        let add = |value: &Decimal, state: &mut Quantiles| state.add(*value);
        check_add(&sample, &values, add, |value| Quantiles::of(*value));
    }

    #[test]
    fn ranks_are_rounded_up() {
        let state = integers([40, 10, 30, 20]);
        let at = |p, of| state.quantile(p, of).map(|value| value.to_string());
        assert_eq!(at(50, 100).as_deref(), Some("20"));
        assert_eq!(at(51, 100).as_deref(), Some("30"));
        assert_eq!(at(0, 100).as_deref(), Some("10"));
        assert_eq!(at(99, 100).as_deref(), Some("40"));
        assert_eq!(at(u64::MAX, 1).as_deref(), Some("40"));
        assert_eq!(at(1, 0), None);
        assert_eq!(state.count(), 4);
    }

    #[test]
    fn the_form_follows_the_number_of_values() {
        let exact = integers(1_000_000..1_001_000);
        assert!(matches!(exact.form, Form::Exact(_)));
        assert_eq!(exact.quantile(1, 2), Some(Decimal::from(1_000_499)));
        let many = integers(1_000_000..1_001_001);
        assert!(matches!(many.form, Form::Buckets(_)));
        // The first and last values stay exact.
        assert_eq!(many.quantile(0, 1), Some(Decimal::from(1_000_000)));
        assert_eq!(many.quantile(1, 1), Some(Decimal::from(1_001_000)));
    }

    /// Delays in minutes, prices in cents: such values stay exact, however many there are.
    #[test]
    fn small_values_stay_exact() {
        let state = integers((0..100_000).map(|n| n * 7 % 2_047 - 1_023));
        let mut sorted: Vec<i64> = (0..100_000).map(|n| n * 7 % 2_047 - 1_023).collect();
        sorted.sort_unstable();
        for p in 1..100 {
            let expect = sorted[(p as usize * 1_000) - 1];
            assert_eq!(state.quantile(p, 100), Some(Decimal::from(expect)), "p{p}");
        }
    }

    #[test]
    fn a_state_is_small() {
        assert!(size_of::<Quantiles>() <= 48);
        assert_eq!(integers([7]).heap_bytes(), 0);
        assert!(integers((0..1_000).map(|n| n % 10)).heap_bytes() <= 16 * 20);
        assert!(integers(1_000..101_000).heap_bytes() <= 16_384 * 12);
    }

    #[test]
    fn bad_states_are_errors() {
        let refused = |state: &Quantiles| {
            let bytes = bincode::serialize(state).unwrap();
            bincode::deserialize::<Quantiles>(&bytes).is_err()
        };
        for good in [integers([1]), integers([1, 2]), integers(0..2_000)] {
            assert!(!refused(&good));
            assert!(refused(&Quantiles { count: good.count + 1, ..good.clone() }));
            assert!(refused(&Quantiles { scale: 10, ..good.clone() }));
            let mut bad = good;
            match &mut bad.form {
                Form::One(_) => continue,
                Form::Exact(_) => continue,
                Form::Buckets(buckets) => buckets.greatest = Units::new(1 << 60),
            }
            assert!(refused(&bad));
        }
    }

    #[test]
    fn runs_that_are_not_in_order_are_errors() {
        let read = |runs: [SortedRun<Units>; 2]| {
            let bytes = bincode::serialize(&(2u64, 0u8, 1u32, runs.to_vec())).unwrap();
            bincode::deserialize::<Quantiles>(&bytes)
        };
        let [one, two] = [1, 2].map(|value| SortedRun::new(Units::new(value * 1_000_000_000), 1));
        assert_eq!(read([one, two]).unwrap(), integers([2, 1]));
        assert!(read([two, one]).is_err());
        assert!(read([one, one]).is_err());
    }

    /// Numbers of either sign and every size that can be parsed, and many that are near each other.
    fn decimals() -> impl Strategy<Value = Vec<Decimal>> {
        let one = (0u8..=9, 0u32..80, any::<u64>(), any::<bool>()).prop_map(
            |(scale, exponent, mantissa, negative)| {
                let size = (u128::from(mantissa) << 16 | 1 << 79) >> (79 - exponent);
                let size = size.min(10u128.pow(24) - 1) as i128;
                let size = size / i128::from(step(scale)) * i128::from(step(scale));
                Decimal::from_billionths(if negative { -size } else { size }, scale)
            },
        );
        let near = (0u8..=9, -3_000i128..3_000)
            .prop_map(|(scale, n)| Decimal::from_billionths(n * i128::from(step(scale)), scale));
        prop_oneof![
            vec(prop_oneof![one, near.clone()], 1..1_500),
            vec(near, 900..1_500),
            // One scale each, as columns have.
            (0u8..=9, vec((any::<i64>(), 0u32..62), 1_001..1_200)).prop_map(|(scale, values)| {
                let bound = 10i128.pow(24) / i128::from(step(scale));
                let value = |(n, shift)| {
                    let n = i128::from(n >> shift).clamp(1 - bound, bound - 1);
                    Decimal::from_billionths(n * i128::from(step(scale)), scale)
                };
                values.into_iter().map(value).collect()
            }),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]

        #[test]
        fn oracle_quantiles_are_within_a_thousandth(values in decimals()) {
            let state = sum(values.iter().copied());
            let scale = values.iter().map(|value| value.scale()).max().unwrap();
            prop_assert_eq!((state.count(), state.scale()), (values.len() as u64, scale));
            let mut sorted: Vec<i128> = values.iter().map(|value| value.billionths()).collect();
            sorted.sort_unstable();
            for p in 0..=100u64 {
                let rank = (p as usize * values.len()).div_ceil(100).max(1);
                let expect = sorted[rank - 1];
                let answer = state.quantile(p, 100).unwrap();
                prop_assert_eq!(answer.scale(), scale);
                prop_assert_eq!(answer.billionths() % i128::from(step(scale)), 0);
                let error = (answer.billionths() - expect).abs();
                if values.len() as u64 <= MOST_EXACT {
                    prop_assert_eq!(error, 0, "p{}", p);
                }
                prop_assert!(error * 1_000 <= expect.abs(), "p{}: {} for {}", p, answer, expect);
            }
        }

        #[test]
        fn oracle_state_depends_on_the_multiset_only(
            values in decimals(),
            cuts in vec(any::<prop::sample::Index>(), 0..6),
            picks in vec(any::<prop::sample::Index>(), 20),
        ) {
            let expect = sum(values.iter().copied());
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(values.len())).collect();
            cuts.extend([0, values.len()]);
            cuts.sort_unstable();
            let mut states: Vec<Quantiles> = cuts
                .windows(2)
                .filter(|cut| cut[0] < cut[1])
                .map(|cut| sum(values[cut[0]..cut[1]].iter().rev().copied()))
                .collect();
            let mut picks = picks.iter();
            while states.len() > 1 {
                let right = states.swap_remove(picks.next().unwrap().index(states.len()));
                let left = picks.next().unwrap().index(states.len());
                states[left].plus_equals(&right);
            }
            prop_assert_eq!(&states[0], &expect);
            prop_assert_eq!(
                bincode::serialize(&states[0]).unwrap(), bincode::serialize(&expect).unwrap()
            );
        }
    }
}
