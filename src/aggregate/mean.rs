//! The mean, kept as an exact ratio.

use std::fmt;
use std::num::NonZeroU64;

use differential_dataflow::difference::{IsZero, Semigroup};
use serde::{Deserialize, Serialize};

use super::decimal::step;
use super::{Aggregate, Decimal, DecimalSum};
use crate::schema::shape::additive;
use crate::schema::{Kind, Measure, Presented, Shape, Value};

/// Digits that a mean is printed with beyond the scale of its values.
const MORE_DIGITS: u32 = 6;

/// The mean of decimals: their exact sum and their number, divided only when it is printed.
///
/// The bounds are those of [`DecimalSum`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Mean {
    sum: DecimalSum,
    count: NonZeroU64,
}

impl Mean {
    /// The mean of one value.
    #[inline]
    pub fn of(value: Decimal) -> Mean {
        Mean { sum: DecimalSum::of(value), count: NonZeroU64::MIN }
    }

    /// The sum of the values. The mean is this, divided by [`Mean::count`], exactly.
    #[inline]
    pub fn sum(self) -> Decimal {
        self.sum.value()
    }

    /// The number of values.
    #[inline]
    pub fn count(self) -> u64 {
        self.count.get()
    }

    /// The mean as it is printed, with nine digits after the point at most; `None` if it is too large for a decimal.
    pub fn rounded(self) -> Option<Decimal> {
        let digits = (u32::from(self.sum.scale()) + MORE_DIGITS).min(9) as u8;
        let units: i128 = self.to_string_with(digits.into()).replace('.', "").parse().ok()?;
        Some(Decimal::from_billionths(units.checked_mul(step(digits).into())?, digits))
    }

    /// The mean with exactly `digits` digits after the point, rounded half to even.
    pub fn to_string_with(self, digits: u32) -> String {
        Decimal::ratio_string(self.sum.billionths(), self.count.get(), digits)
    }
}

impl fmt::Display for Mean {
    /// With six digits more than the values have.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.to_string_with(u32::from(self.sum.scale()) + MORE_DIGITS))
    }
}

impl IsZero for Mean {
    #[inline]
    fn is_zero(&self) -> bool {
        false
    }
}

impl Semigroup for Mean {
    #[inline]
    fn plus_equals(&mut self, rhs: &Mean) {
        self.sum.plus_equals(&rhs.sum);
        // Saturates rather than wraps: a count is never zero. No stream gets there.
        self.count = self.count.saturating_add(rhs.count.get());
    }
}

impl Aggregate for Mean {
    fn id() -> String {
        "mean".to_owned()
    }

    fn shape() -> Shape {
        let (sum, count) = (additive(Kind::Decimal), additive(Kind::Integer));
        let named = |name: &str, measure| Measure { name: name.to_owned(), ..measure };
        let mean = Measure::new("", Kind::Decimal);
        Shape::of("mean", [mean, named("sum", sum), named("count", count)])
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
    use crate::aggregate::laws::check_laws;

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
        check_laws(&["0", "-1.5", "0.000000001", "999999999999999"].map(|text| mean_of(&[text])));
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
    fn a_stored_mean_of_nothing_is_refused() {
        let mut bytes = bincode::serialize(&mean_of(&["1"])).unwrap();
        let count = bytes.len() - 8;
        bytes[count..].fill(0);
        assert!(bincode::deserialize::<Mean>(&bytes).is_err());
    }
}
