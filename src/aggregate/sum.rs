//! Exact sums of integers and of decimals.

use differential_dataflow::difference::{Abelian, IsZero, Monoid, Semigroup};
use serde::{Deserialize, Serialize};

use super::{Aggregate, Decimal};
use crate::schema::shape::additive;
use crate::schema::{Kind, Presented, Shape, Value};

/// The exact sum of integers.
///
/// An `i128` holds 9·10¹⁸ times the greatest `u64`: more than any stream has. ⊕ wraps beyond that, which
/// keeps the laws and cannot panic.
///
/// A sum of zero is the identity, and differential drops it; to keep groups whose values cancel out,
/// count as well: `(Count, Sum)`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Sum(i128);

impl Sum {
    /// The sum of one value.
    #[inline]
    pub fn of(value: impl Into<i64>) -> Sum {
        Sum(i128::from(value.into()))
    }

    /// The sum.
    #[inline]
    pub fn value(self) -> i128 {
        self.0
    }
}

impl From<i64> for Sum {
    #[inline]
    fn from(value: i64) -> Sum {
        Sum(i128::from(value))
    }
}

impl From<u64> for Sum {
    #[inline]
    fn from(value: u64) -> Sum {
        Sum(i128::from(value))
    }
}

impl IsZero for Sum {
    #[inline]
    fn is_zero(&self) -> bool {
        self.0 == 0
    }
}

impl Semigroup for Sum {
    #[inline]
    fn plus_equals(&mut self, rhs: &Sum) {
        self.0 = self.0.wrapping_add(rhs.0);
    }
}

impl Monoid for Sum {
    #[inline]
    fn zero() -> Sum {
        Sum(0)
    }
}

impl Abelian for Sum {
    #[inline]
    fn negate(&mut self) {
        self.0 = self.0.wrapping_neg();
    }
}

super::multiply!(Sum(i128) by i32, i64, isize);

impl Aggregate for Sum {
    fn id() -> String {
        "sum".to_owned()
    }

    fn shape() -> Shape {
        Shape::one("sum", additive(Kind::Integer))
    }

    fn present(state: Option<&Sum>, out: &mut Presented<'_>) {
        out.put(|| Value::or_null(state.map(|sum| Value::Integer(sum.0))));
    }
}

/// The exact sum of decimals, and the largest scale among them.
///
/// An `i128` of units holds the sum of 1.7·10¹⁴ numbers of 15 digits before the point and 9 after it.
/// ⊕ wraps beyond that, which keeps the laws and cannot panic.
///
/// The largest scale cannot be taken back, so this is no group: no sum is zero, and none is negated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DecimalSum {
    units: i128,
    scale: u8,
}

impl DecimalSum {
    /// The sum of one value.
    #[inline]
    pub fn of(value: Decimal) -> DecimalSum {
        DecimalSum { units: value.billionths(), scale: value.scale() }
    }

    /// The sum in billionths: units of 10⁻⁹.
    #[inline]
    pub fn billionths(self) -> i128 {
        self.units
    }

    /// The largest number of digits after the point among the values.
    #[inline]
    pub fn scale(self) -> u8 {
        self.scale
    }

    /// The sum, with the largest scale among the values.
    #[inline]
    pub fn value(self) -> Decimal {
        Decimal::from_billionths(self.units, self.scale)
    }
}

impl IsZero for DecimalSum {
    #[inline]
    fn is_zero(&self) -> bool {
        false
    }
}

impl Semigroup for DecimalSum {
    #[inline]
    fn plus_equals(&mut self, rhs: &DecimalSum) {
        self.units = self.units.wrapping_add(rhs.units);
        self.scale = self.scale.max(rhs.scale);
    }
}

impl Aggregate for DecimalSum {
    fn id() -> String {
        "decimal-sum".to_owned()
    }

    fn shape() -> Shape {
        Shape::one("sum", additive(Kind::Decimal))
    }

    fn present(state: Option<&DecimalSum>, out: &mut Presented<'_>) {
        out.put(|| Value::or_null(state.map(|sum| Value::Decimal(sum.value()))));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::aggregate::laws::check_laws;

    #[test]
    fn laws_of_sums() {
        check_laws(&[Sum::of(0), Sum::of(-7), Sum::from(u64::MAX), Sum(i128::MAX), Sum(i128::MIN)]);
        let decimals = ["0", "0.00", "-1.5", "999999999999999.999999999", "1.50"];
        check_laws(&decimals.map(|text| DecimalSum::of(text.parse().unwrap())));
    }

    #[test]
    fn scales_travel_with_the_sum() {
        let mut sum = DecimalSum::of("1.25".parse().unwrap());
        sum.plus_equals(&DecimalSum::of("-2.5".parse().unwrap()));
        assert_eq!(sum.value().to_string(), "-1.25");
        sum.plus_equals(&DecimalSum::of("1.25".parse().unwrap()));
        assert_eq!(sum.value().to_string(), "0.00");
        assert!(!sum.is_zero());
    }

    #[test]
    fn a_sum_and_its_negation_are_zero() {
        let mut sum = Sum::of(5u8);
        let mut back = sum;
        back.negate();
        sum.plus_equals(&back);
        assert!(sum.is_zero() && sum == Sum::zero());
    }

    proptest! {
        #[test]
        fn oracle_sum(values in proptest::collection::vec(any::<i64>(), 1..50)) {
            let mut sum = Sum::zero();
            for value in &values {
                sum.plus_equals(&Sum::of(*value));
            }
            prop_assert_eq!(sum.value(), values.iter().copied().map(i128::from).sum::<i128>());
        }
    }
}
