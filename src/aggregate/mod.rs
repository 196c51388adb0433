//! Aggregates: what a view keeps for each day and key.
//!
//! An aggregate is a *state*. It is prepared from one event, combined with other states by ⊕
//! ([`Semigroup::plus_equals`]), and presented to people. States are the diffs of differential collections, so the
//! speed view, the batch views and any differential operator combine them by the same ⊕. Tuples of up to four
//! aggregates, and vectors of them, are aggregates.
//!
//! | state | of one event | presented | ⊕ has |
//! |---|---|---|---|
//! | [`Count`] | [`Count::one`] | the count | zero, negation |
//! | [`Sum`] | [`Sum::of`] an integer | the sum | zero, negation |
//! | [`DecimalSum`] | [`DecimalSum::of`] a [`Decimal`] | the sum, with the largest scale | zero, negation |
//! | [`Min`], [`Max`] | `Min(value)`, `Max(value)` | the value | |
//! | [`First`], [`Last`] | [`First::of`], [`Last::of`] a time and a value | the value | |
//! | [`Mean`] | [`Mean::of`] a [`Decimal`] | rounded to any number of digits | zero, negation |
//! | [`Distinct`] | [`Distinct::of`] bytes | about how many | |
//! | [`Quantiles`] | [`Quantiles::of`] a [`Decimal`] | the value at a rank, within 0.1 % | |
//! | [`Top`] | [`Top::of`] a time and bytes | the most frequent values, exact to 1,024 of them | |
//! | [`Maybe`] | `Maybe(Some(state))`, `Maybe(None)` | the state, if there is one | zero |
//!
//! # Your own
//! This aggregate keeps the days of the week on which something happened. Two sets of days are combined by their union:
//!
//! ```
//! use dayfold::aggregate::{Aggregate, IsZero, Semigroup, laws};
//! use dayfold::schema::{Kind, Measure, Presented, AggregateShape, Value};
//! use serde::{Deserialize, Serialize};
//!
//! /// One bit for each day of the week, Monday in the lowest.
//! #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
//! struct Weekdays(u8);
//!
//! impl Weekdays {
//!     fn of(days_since_1970: i32) -> Weekdays {
//!         // 1970 began on a Thursday.
//!         Weekdays(1 << (days_since_1970 + 3).rem_euclid(7))
//!     }
//! }
//!
//! impl IsZero for Weekdays {
//!     fn is_zero(&self) -> bool {
//!         self.0 == 0
//!     }
//! }
//!
//! impl Semigroup for Weekdays {
//!     fn plus_equals(&mut self, rhs: &Weekdays) {
//!         self.0 |= rhs.0;
//!     }
//! }
//!
//! impl Aggregate for Weekdays {
//!     fn id() -> String {
//!         "weekdays".to_owned()
//!     }
//!     fn shape() -> AggregateShape {
//!         AggregateShape::one("weekdays", Measure::new("", Kind::Integer))
//!     }
//!     fn present(state: Option<&Weekdays>, out: &mut Presented<'_>) {
//!         out.put(|| Value::or_null(state.map(|days| Value::Integer(days.0.count_ones().into()))));
//!     }
//! }
//!
//! laws::check_laws(&[Weekdays(0), Weekdays::of(0), Weekdays::of(1), Weekdays(0b110_0000)]);
//!
//! let mut days = Weekdays::of(0);
//! days.plus_equals(&Weekdays::of(7));
//! days.plus_equals(&Weekdays::of(-3));
//! assert_eq!(days, Weekdays(0b000_1001), "Mondays and Thursdays");
//! ```
//!
//! # Provided aggregates
//!
//! A tuple of up to four aggregates is an aggregate, and so is a tuple of tuples. Two states of the same types are combined with ⊕:
//!
//! ```
//! use dayfold::aggregate::{
//!     Count, Decimal, DecimalError, DecimalSum, Last, Max, Mean, Min, Semigroup, Sum,
//! };
//!
//! type Sales = (Count, DecimalSum, Mean, (Min<Decimal>, Max<Decimal>));
//!
//! fn sale(price: &str) -> Result<Sales, DecimalError> {
//!     let price: Decimal = price.parse()?;
//!     Ok((Count::one(), DecimalSum::of(price), Mean::of(price), (Min(price), Max(price))))
//! }
//!
//! let mut sales = sale("9.90")?;
//! let more: Sales = sale("20")?;
//! sales.plus_equals(&more);
//! assert_eq!(sales.0, Count(2));
//! assert_eq!(sales.1.value().to_string(), "29.90");
//! assert_eq!(sales.2.to_string_with(2), "14.95");
//! assert_eq!(format!("{} to {}", sales.3.0.0, sales.3.1.0), "9.90 to 20");
//!
//! let mut clicks = Sum::of(7);
//! clicks.add(8i64);
//! assert_eq!(clicks.value(), 15);
//!
//! let mut door = Last { time: 1, value: "open".to_owned() };
//! door.plus_equals(&Last { time: 5, value: "shut".to_owned() });
//! assert_eq!(door.value, "shut");
//! # Ok::<(), DecimalError>(())
//! ```

mod arithmetic;
mod buckets;
mod count;
mod decimal;
mod distinct;
mod extremes;
pub mod laws;
mod maybe;
mod mean;
mod order;
mod quantiles;
mod scalar;
mod sketch_format;
mod sorted;
mod sum;
mod top;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::schema::id::compose;
use crate::schema::{AggregateShape, Presented};

pub use differential_dataflow::difference::{Abelian, IsZero, Monoid, Multiply, Semigroup};

pub use count::Count;
pub use decimal::{Decimal, DecimalError, Rounded};
pub(crate) use decimal::{UNIT_DIGITS, step};
pub use distinct::Distinct;
pub use extremes::{Max, Min};
pub use maybe::Maybe;
pub use mean::Mean;
pub use order::{First, Last};
pub use quantiles::Quantiles;
pub use scalar::Scalar;
pub use sum::{DecimalSum, Sum};
pub use top::Top;

/// A state with an exact ⊕.
///
/// # Laws
/// ⊕ is associative and commutative *to the bit*, and never fails midway: one worker, two workers and a recomputation
/// combine the same events in different orders and must get the same state. So a state is a function of the multiset of
/// added events, and contains no floating-point sums. [`laws::check_laws`] tests this, for your own aggregates too.
///
/// Differential drops a state that [is zero](IsZero::is_zero): such a state must be the identity of ⊕. A tuple is zero
/// if all its parts are, a vector if all its elements are. All vectors of one view should have the same length.
pub trait Aggregate:
    Semigroup + Ord + std::fmt::Debug + Send + Sync + Serialize + DeserializeOwned + 'static
{
    /// The id of the stored form of a state. A data folder uses it to recognize the aggregates of a view. Choose it
    /// once and keep it, even if the type is renamed or moved. Another stored form, or another meaning, needs another
    /// id.
    ///
    /// The ids of this crate's aggregates are `count`, `sum`, `decimal-sum`, `mean`, `distinct`, `quantiles`, `top`,
    /// and, composed of others, `min(…)`, `max(…)`, `first(…)` and `last(…)` of a [`Scalar`], `maybe(…)`, `tuple(…)`
    /// and `list(…)`. An id of your own is a name of letters, digits, `_`, `-` and `.`, followed by its parameters in
    /// parentheses: `weekdays`, `top(10)`.
    fn id() -> String;

    /// The measures that show a state to programs that do not know the type. The default is none.
    ///
    /// Each aggregate of this crate has measures of its own; a tuple has the measures of its parts. The view may name
    /// them: see [`View::measure_names`](crate::view::View::measure_names).
    fn shape() -> AggregateShape {
        AggregateShape::none()
    }

    /// Puts one value for each measure, in the order of the [shape](Aggregate::shape); without a state, as many nulls.
    fn present(state: Option<&Self>, out: &mut Presented<'_>) {
        let _ = (state, out);
    }

    /// Bytes of heap that the state holds, for bounds on memory.
    fn heap_bytes(&self) -> usize {
        0
    }
}

/// Differences with which collections repeat or retract an event; see [`FoldChanges`](crate::FoldChanges).
macro_rules! multiply {
    ($aggregate:ident($inner:ty) by $($times:ty),*) => { $(
        impl differential_dataflow::difference::Multiply<$times> for $aggregate {
            type Output = $aggregate;
            #[inline]
            fn multiply(self, times: &$times) -> $aggregate {
                // ⊕ wraps as well, so multiplying by `n` is the same as `n` times ⊕.
                $aggregate(self.0.wrapping_mul(*times as $inner))
            }
        }
    )* };
}
use multiply;

macro_rules! tuple_aggregate {
    ($($part:ident . $index:tt),*) => {
        impl<$($part: Aggregate),*> Aggregate for ($($part,)*) {
            fn id() -> String {
                compose("tuple", &[$( $part::id() ),*])
            }

            fn shape() -> AggregateShape {
                AggregateShape::parts([$( $part::shape() ),*])
            }

            fn present(state: Option<&Self>, out: &mut Presented<'_>) {
                $( $part::present(state.map(|state| &state.$index), out); )*
            }

            #[inline]
            fn heap_bytes(&self) -> usize {
                0 $( + self.$index.heap_bytes() )*
            }
        }
    };
}

tuple_aggregate!(A.0);
tuple_aggregate!(A.0, B.1);
tuple_aggregate!(A.0, B.1, C.2);
tuple_aggregate!(A.0, B.1, C.2, D.3);

/// One aggregate for each column, if their number is known only at run time.
impl<A: Aggregate> Aggregate for Vec<A> {
    fn id() -> String {
        compose("list", &[A::id()])
    }

    /// As many as the view has names for.
    fn shape() -> AggregateShape {
        AggregateShape::list(A::shape())
    }

    fn present(state: Option<&Self>, out: &mut Presented<'_>) {
        for at in 0..out.list(state.map(Vec::len)) {
            A::present(state.and_then(|state| state.get(at)), out);
        }
    }

    fn heap_bytes(&self) -> usize {
        self.capacity() * size_of::<A>() + self.iter().map(Aggregate::heap_bytes).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::laws::check_laws;
    use super::*;
    use crate::codec;

    fn decimal(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    #[test]
    fn laws_of_tuples_and_vectors() {
        let texts = ["0", "-1.5", "20", "7.25"];
        check_laws(&texts.map(|text| (DecimalSum::of(decimal(text)),)));
        check_laws(&texts.map(|text| (Count::one(), Mean::of(decimal(text)))));
        check_laws(&[
            (Count(0), Sum::of(0), Maybe(None)),
            (Count(1), Sum::of(-7), Maybe(Some(Max(3)))),
        ]);
        check_laws(&texts.map(|text| {
            let value = decimal(text);
            let distinct = Distinct::of(text.as_bytes());
            (Count::one(), distinct, Quantiles::of(value), Maybe(Some((Min(value), Max(value)))))
        }));
        check_laws(&texts.map(|text| vec![Maybe(Some(Min(decimal(text)))), Maybe(None)]));
        check_laws(&[vec![], vec![Count(1)], vec![Count(2), Count(3)]]);
    }

    #[test]
    fn heap_is_that_of_the_parts() {
        let mut sum = Quantiles::of(decimal("1"));
        sum.plus_equals(&Quantiles::of(decimal("2")));
        assert!(sum.heap_bytes() >= 32);
        let tuple = (Count(1), sum.clone(), Maybe(Some(sum.clone())));
        assert_eq!(tuple.heap_bytes(), 2 * tuple.1.heap_bytes());
        let columns = vec![sum; 3];
        let parts: usize = columns.iter().map(Aggregate::heap_bytes).sum();
        assert_eq!(columns.heap_bytes(), 3 * size_of::<Quantiles>() + parts);
    }

    /// The size in a table of the counters of the hot path.
    #[test]
    fn the_hot_tuple_is_half_a_cache_line() {
        assert_eq!(size_of::<(Count, Sum, Max<u64>)>(), 32);
    }

    /// Bytes of a state, some of them changed.
    fn changed<A: Aggregate>(state: &A, flips: &[(prop::sample::Index, u8)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        codec::encode(state, &mut bytes).unwrap();
        for (at, mask) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= mask;
        }
        bytes
    }

    /// A state that was read can be used and written, and is the same when it is read again.
    fn check_read<A: Aggregate>(bytes: &[u8], look: impl Fn(&mut A)) {
        let Ok(mut state) = codec::decode::<A>(bytes) else { return };
        let written = changed(&state, &[]);
        assert_eq!(codec::decode::<A>(&written).unwrap(), state);
        look(&mut state);
    }

    fn check_all(bytes: &[u8]) {
        check_read::<(Count, Sum, DecimalSum, Mean)>(bytes, |_| {});
        check_read::<Vec<Maybe<(Min<String>, Max<Decimal>)>>>(bytes, |_| {});
        check_read::<Distinct>(bytes, |state| {
            state.plus_equals(&Distinct::of(b"x"));
            assert!(state.estimate() >= 1.0);
        });
        check_read::<Top>(bytes, |state| {
            state.plus_equals(&Top::of(0, b"x"));
            assert!(!state.most_frequent(3).is_empty());
        });
        check_read::<Quantiles>(bytes, |state| {
            state.plus_equals(&Quantiles::of(decimal("1.5")));
            let quantiles = (0..=100).map(|p| state.quantile(p, 100).unwrap());
            assert!(quantiles.is_sorted());
        });
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_state_or_an_error(
            bytes in prop::collection::vec(any::<u8>(), 0..100),
            flips in prop::collection::vec((any::<prop::sample::Index>(), 1u8..), 1..4),
            size in prop_oneof![1u64..20, 760..2_000u64],
        ) {
            check_all(&bytes);
            let sum = |a: Quantiles, b: Quantiles| { let mut a = a; a.plus_equals(&b); a };
            let numbers = (0..size).map(|n| Quantiles::of(Decimal::from(n as i64 * 7 % 50)));
            check_all(&changed(&numbers.reduce(sum).unwrap(), &flips));
            let mut distinct = Distinct::of(b"");
            (0..size).for_each(|n| distinct.plus_equals(&Distinct::of(&n.to_le_bytes())));
            check_all(&changed(&distinct, &flips));
            let mut top = Top::of(0, b"");
            (0..size).for_each(|n| top.add(n as i64, &n.to_le_bytes()));
            check_all(&changed(&top, &flips));
            let texts = vec![Maybe(None), Maybe(Some((Min("é".to_owned()), Max(decimal("1.50")))))];
            check_all(&changed(&texts, &flips));
        }
    }
}
