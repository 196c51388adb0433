//! The mean, kept as an exact ratio.

use std::fmt;

use differential_dataflow::difference::{Abelian, IsZero, Monoid, Multiply, Semigroup};
use serde::{Deserialize, Serialize};

use super::decimal::step;
use super::{Aggregate, Decimal, DecimalSum};
use crate::schema::additive;
use crate::schema::{AggregateShape, Kind, Measure, Presented, Value};

/// How many more digits a mean is printed with than the scale of its values.
const MORE_DIGITS: u32 = 6;

/// The mean of decimals: their exact sum and their number, divided only when it is printed.
///
/// The bounds are those of [`DecimalSum`]. So is the rule for retractions: only a multiplied mean ([`Multiply`]) can be
/// retracted, and [`FoldChanges`](crate::FoldChanges) multiplies all that it folds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Mean {
    sum: DecimalSum,
    /// An `i64`, in the bits of a `u64`: numbers are written with variable length, so the bytes on disk are the same as
    /// before counts could be negative.
    count: u64,
}

impl Mean {
    /// The mean of one value.
    #[inline]
    pub fn of(value: Decimal) -> Mean {
        Mean { sum: DecimalSum::of(value), count: 1 }
    }

    /// Adds one value: ⊕ of [`Mean::of`] it.
    #[inline]
    pub fn add(&mut self, value: Decimal) {
        self.sum.add(value);
        self.count = self.count.wrapping_add(1);
    }

    /// The sum of the values. The mean is exactly this, divided by [`Mean::count`].
    #[inline]
    pub fn sum(self) -> Decimal {
        self.sum.value()
    }

    /// The number of values. It is positive unless values were retracted that were not there.
    #[inline]
    pub fn count(self) -> i64 {
        self.count as i64
    }

    /// The mean as it is printed, with at most nine digits after the point; `None` if it is too large for a decimal.
    pub fn rounded(self) -> Option<Decimal> {
        let digits = (u32::from(self.sum.scale()) + MORE_DIGITS).min(9) as u8;
        if self.count == 0 {
            return None;
        }
        let (sum, count) = self.positive();
        let units = Decimal::ratio(sum, count, digits.into())?;
        Some(Decimal::from_billionths(units.checked_mul(step(digits).into())?, digits))
    }

    /// The mean with exactly `digits` digits after the point, rounded half to even. `None` if the number of values is
    /// zero.
    pub fn to_string_with(self, digits: u32) -> String {
        if self.count == 0 {
            return String::new();
        }
        let (sum, count) = self.positive();
        Decimal::ratio_string(sum, count, digits)
    }

    /// The sum and the number of values, with the signs that make the number positive.
    fn positive(self) -> (i128, u64) {
        let sum = self.sum.billionths();
        let sum = if self.count() < 0 { sum.saturating_neg() } else { sum };
        (sum, self.count().unsigned_abs())
    }
}

impl fmt::Display for Mean {
    /// With six more digits than the values have.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.to_string_with(u32::from(self.sum.scale()) + MORE_DIGITS))
    }
}

impl IsZero for Mean {
    #[inline]
    fn is_zero(&self) -> bool {
        self.count == 0 && self.sum.is_zero()
    }
}

impl Semigroup for Mean {
    #[inline]
    fn plus_equals(&mut self, rhs: &Mean) {
        self.sum.plus_equals(&rhs.sum);
        // Wraps as sums do; no stream reaches this.
        self.count = self.count.wrapping_add(rhs.count);
    }
}

impl Monoid for Mean {
    #[inline]
    fn zero() -> Mean {
        Mean { sum: DecimalSum::zero(), count: 0 }
    }
}

impl Abelian for Mean {
    #[inline]
    fn negate(&mut self) {
        self.sum.negate();
        self.count = self.count.wrapping_neg();
    }
}

macro_rules! multiply_mean {
    ($($times:ty),*) => { $(
        impl Multiply<$times> for Mean {
            type Output = Mean;
            /// The result supports retractions.
            #[inline]
            fn multiply(self, times: &$times) -> Mean {
                Mean { sum: self.sum.multiply(times), count: self.count.wrapping_mul(*times as u64) }
            }
        }
    )* };
}

multiply_mean!(i32, i64, isize);

impl Aggregate for Mean {
    fn id() -> String {
        "mean".to_owned()
    }

    fn shape() -> AggregateShape {
        let (sum, count) = (additive(Kind::Decimal), additive(Kind::Integer));
        let named = |name: &str, measure| Measure { name: name.to_owned(), ..measure };
        // Retracted values may leave a count of zero.
        let mean = Measure::new("", Kind::Decimal).nullable();
        AggregateShape::of("mean", [mean, named("sum", sum), named("count", count)])
    }

    fn present(state: Option<&Mean>, out: &mut Presented<'_>) {
        out.put(|| {
            Value::or_null(state.map(|mean| mean.rounded().map_or(Value::Null, Value::Decimal)))
        });
        out.put(|| Value::or_null(state.map(|mean| Value::Decimal(mean.sum()))));
        out.put(|| Value::or_null(state.map(|mean| Value::Integer(mean.count().into()))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::laws::{check_add, check_laws};
    use crate::codec;

    fn mean_of(values: &[&str]) -> Mean {
        let mut means = values.iter().map(|text| Mean::of(text.parse().unwrap()));
        let first = means.next().unwrap();
        means.fold(first, |mut mean, next| {
            mean.plus_equals(&next);
            mean
        })
    }

    #[test]
    fn laws_of_mean() {
        let lasting = ["0", "-1.5", "0.000000001", "999999999999999"].map(|text| mean_of(&[text]));
        let taken_back = lasting.map(|mean| mean.multiply(&-3i64));
        let mixed: Vec<_> = lasting.into_iter().chain(taken_back).chain([Mean::zero()]).collect();
        check_laws(&mixed);
        let values = ["0", "-1.5", "2.25"].map(|text| text.parse().unwrap());
        let add = |value: &Decimal, state: &mut Mean| state.add(*value);
        check_add(&mixed, &values, add, |value| Mean::of(*value));
    }

    #[test]
    fn means_are_exact_until_printed() {
        assert_eq!(mean_of(&["1", "2"]).to_string(), "1.500000");
        assert_eq!(
            mean_of(&["1", "2"]).rounded().map(|mean| mean.to_string()).as_deref(),
            Some("1.500000")
        );
        let fine = mean_of(&["-0.00001", "0", "0"]).rounded();
        assert_eq!(fine.map(|mean| mean.to_string()).as_deref(), Some("-0.000003333"));
        assert_eq!(mean_of(&["1.0", "0", "0"]).to_string(), "0.3333333");
        assert_eq!(mean_of(&["-1", "1"]).to_string(), "0.000000");
        assert_eq!(mean_of(&["1", "2"]).to_string_with(0), "2");
        let mean = mean_of(&["1", "2.5"]);
        assert_eq!((mean.sum().to_string(), mean.count()), ("3.5".to_owned(), 2));
    }

    #[test]
    fn what_is_multiplied_can_be_taken_back() {
        let of = |text: &str, times: i64| mean_of(&[text]).multiply(&times);
        let mut mean = of("1.50", 2);
        mean.plus_equals(&of("6", 1));
        assert_eq!((mean.to_string_with(2), mean.count()), ("3.00".to_owned(), 3));
        mean.plus_equals(&of("1.5", -2));
        assert_eq!((mean, mean.to_string()), (of("6", 1), "6.000000".to_owned()));
        let mut back = mean;
        back.negate();
        assert_eq!(back.to_string(), "6.000000", "a mean of what is missing");
        mean.plus_equals(&back);
        assert!(mean.is_zero() && mean == Mean::zero() && mean.to_string().is_empty());
        // Values that cancel out are still values, and a count of zero has no mean.
        let mut none = of("5", 1);
        none.plus_equals(&of("5", 1));
        none.plus_equals(&of("4", -2));
        assert!(!none.is_zero() && none.to_string().is_empty() && none.sum() == 2.into());
    }

    /// What earlier versions have sealed is read, and audits compare it by its bytes.
    #[test]
    fn means_of_events_are_written_as_they_always_were() {
        let (mut before, mut now) = (Vec::new(), Vec::new());
        codec::encode(&(-500_000_000i128, 2u8, 2u64), &mut before).unwrap();
        let mean = mean_of(&["1", "-1.50"]);
        codec::encode(&mean, &mut now).unwrap();
        assert_eq!(now, before);
        assert_eq!(codec::decode::<Mean>(&before).unwrap(), mean);
    }

    #[test]
    fn a_stored_mean_of_nothing_is_harmless() {
        let mut bytes = bincode::serialize(&mean_of(&["1"])).unwrap();
        let count = bytes.len() - 8;
        bytes[count..].fill(0);
        let mean = bincode::deserialize::<Mean>(&bytes).unwrap();
        assert_eq!((mean.count(), mean.to_string()), (0, String::new()));
    }
}
