//! ⊕ of each aggregate: events one by one into a state, and two states of as many events each.

use divan::{Bencher, black_box};

use dayfold::aggregate::{
    Aggregate, Count, Decimal, DecimalSum, Distinct, Max, Mean, Quantiles, Sum,
};

use crate::workload::SplitMix;

/// A state made from the value of one event.
trait Prepared: Aggregate {
    fn of(value: u64) -> Self;
    /// The number to check, which is known without the state.
    fn check(&self, values: &[u64]);
}

macro_rules! prepared {
    ($($type:ty: |$value:ident| $of:expr, |$state:ident, $values:ident| $is:expr;)*) => { $(
        impl Prepared for $type {
            #[inline]
            fn of($value: u64) -> Self {
                $of
            }
            fn check(&self, $values: &[u64]) {
                let $state = self;
                assert!($is, "a wrong {}: {self:?}", stringify!($type));
            }
        }
    )* };
}

/// Cents.
fn decimal(value: u64) -> Decimal {
    Decimal::from_billionths(i128::from(value) * 10_000_000, 2)
}

fn sum(values: &[u64]) -> u64 {
    values.iter().sum()
}

/// How many different values there are.
fn different(values: &[u64]) -> usize {
    values.iter().collect::<std::collections::HashSet<_>>().len()
}

prepared! {
    Count: |_value| Count::one(), |state, values| state.0 == values.len() as i64;
    Sum: |value| Sum::from(value), |state, values| state.value() == i128::from(sum(values));
    Max<u64>: |value| Max(value), |state, values| Some(&state.0) == values.iter().max();
    DecimalSum: |value| DecimalSum::of(decimal(value)),
        |state, values| state.value().billionths() == i128::from(sum(values)) * 10_000_000;
    Mean: |value| Mean::of(decimal(value)), |state, values| state.count() == values.len() as i64;
    Distinct: |value| Distinct::of(&value.to_le_bytes()),
        |state, values| (state.estimate() / different(values) as f64 - 1.0).abs() < 0.06;
    Quantiles: |value| Quantiles::of(decimal(value)), |state, values| {
        let mut sorted = values.to_vec();
        sorted.sort_unstable();
        let median = decimal(sorted[values.len().div_ceil(2) - 1]).billionths();
        let found = state.quantile(1, 2).unwrap().billionths();
        (found - median).abs() * 1_000 <= median
    };
}

/// Values below 10,000, as those of the workload.
fn values(seed: u64, count: usize) -> Vec<u64> {
    let mut random = SplitMix(seed);
    (0..count).map(|_| random.next() % 10_000).collect()
}

/// The state of these values.
fn folded<A: Prepared>(values: &[u64]) -> A {
    let (first, rest) = values.split_first().unwrap();
    let mut state = A::of(*first);
    // So that not even a count is known in advance, each event's state is made.
    rest.iter().for_each(|value| state.plus_equals(&black_box(A::of(*value))));
    state
}

#[divan::bench(types = [Count, Sum, Max<u64>, DecimalSum, Mean, Distinct, Quantiles], args = [10, 1_000])]
fn events<A: Prepared>(bencher: Bencher, count: usize) {
    let values = values(1, count);
    folded::<A>(&values).check(&values);
    bencher.counter(count).bench(|| folded::<A>(&values));
}

#[divan::bench(types = [Count, Sum, Max<u64>, DecimalSum, Mean, Distinct, Quantiles], args = [10, 10_000])]
fn states<A: Prepared>(bencher: Bencher, count: usize) {
    let (left, right) = (values(1, count), values(2, count));
    let (state, other) = (folded::<A>(&left), folded::<A>(&right));
    let merged = |mut state: A| {
        state.plus_equals(black_box(&other));
        state
    };
    merged(state.clone()).check(&[left, right].concat());
    bencher.with_inputs(|| state.clone()).bench_values(merged);
}
