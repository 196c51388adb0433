//! Exact sums of integers and of decimals.

use differential_dataflow::difference::{Abelian, IsZero, Monoid, Multiply, Semigroup};
use serde::{Deserialize, Serialize};

use super::{Aggregate, Decimal};
use crate::schema::additive;
use crate::schema::{AggregateShape, Kind, Presented, Value};

/// The exact sum of integers.
///
/// An `i128` holds 9·10¹⁸ times the greatest `u64`, more than any stream has. ⊕ wraps beyond that, which keeps the laws
/// and cannot panic.
///
/// A sum of zero is the identity, and differential drops it; to keep groups whose values cancel out,
/// count as well: `(Count, Sum)`.
// Tables hold millions of these. An `i128` is aligned to 16 bytes, and its neighbours are padded to that: a row of an
// id, a count and a sum would take 48 bytes instead of 32.
#[repr(Rust, packed(8))]
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

    /// Adds one value: ⊕ of [`Sum::of`] or `Sum::from` it.
    #[inline]
    pub fn add(&mut self, value: impl Into<Sum>) {
        self.0 = self.0.wrapping_add(value.into().0);
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

    fn shape() -> AggregateShape {
        AggregateShape::one("sum", additive(Kind::Integer))
    }

    fn present(state: Option<&Sum>, out: &mut Presented<'_>) {
        out.put(|| Value::or_null(state.map(|sum| Value::Integer(sum.0))));
    }
}

/// The exact sum of decimals, and the number of digits that it is printed with.
///
/// An `i128` of units holds the sum of 1.7·10¹⁴ numbers of 15 digits before the point and 9 after it, or of 1.7·10¹¹
/// of 18 digits before the point. ⊕ wraps beyond that, which keeps the laws and cannot panic.
///
/// **Retractions.** The sum of an event, [`DecimalSum::of`], remembers the largest scale, and a largest scale cannot be
/// retracted. So a multiplied sum ([`Multiply`]) forgets it; [`FoldChanges`](crate::FoldChanges) multiplies all that it
/// folds. Multiplied sums are a group, and print with as many digits as the value needs: 2.5 for 1.25 + 1.25. To negate
/// a sum yourself, multiply it by 1 first: otherwise the sum of an event and its negation has the value zero, but is
/// not [zero](IsZero::is_zero).
// As with `Sum`.
#[repr(Rust, packed(8))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DecimalSum {
    units: i128,
    scale: Scale,
}

/// The largest scale of the added values; a forgotten scale is less than all others. ⊕ takes the greater.
///
/// On disk it is one byte, the scale or [`FORGOTTEN`], compatible with files from before scales could be forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "u8", from = "u8")]
struct Scale(Option<u8>);

const FORGOTTEN: u8 = u8::MAX;

impl From<Scale> for u8 {
    fn from(Scale(scale): Scale) -> u8 {
        scale.unwrap_or(FORGOTTEN)
    }
}

impl From<u8> for Scale {
    fn from(byte: u8) -> Scale {
        Scale((byte != FORGOTTEN).then_some(byte))
    }
}

impl DecimalSum {
    /// The sum of one value.
    #[inline]
    pub fn of(value: Decimal) -> DecimalSum {
        DecimalSum { units: value.billionths(), scale: Scale(Some(value.scale())) }
    }

    /// Adds one value: ⊕ of [`DecimalSum::of`] it.
    #[inline]
    pub fn add(&mut self, value: Decimal) {
        self.plus_equals(&DecimalSum::of(value));
    }

    /// The sum in billionths: units of 10⁻⁹.
    #[inline]
    pub fn billionths(self) -> i128 {
        self.units
    }

    /// The largest number of digits after the point among the values; for a sum that supports retractions, the digits
    /// that the sum needs.
    #[inline]
    pub fn scale(self) -> u8 {
        self.scale.0.unwrap_or_else(|| needed(self.units))
    }

    /// The sum, with [`DecimalSum::scale`].
    #[inline]
    pub fn value(self) -> Decimal {
        Decimal::from_billionths(self.units, self.scale())
    }
}

/// The least number of digits after the point with which this many billionths can be written.
fn needed(units: i128) -> u8 {
    let (mut units, mut scale) = (units, 9);
    while scale > 0 && units % 10 == 0 {
        units /= 10;
        scale -= 1;
    }
    scale
}

impl IsZero for DecimalSum {
    #[inline]
    fn is_zero(&self) -> bool {
        *self == DecimalSum::zero()
    }
}

impl Semigroup for DecimalSum {
    #[inline]
    fn plus_equals(&mut self, rhs: &DecimalSum) {
        self.units = self.units.wrapping_add(rhs.units);
        self.scale = self.scale.max(rhs.scale);
    }
}

impl Monoid for DecimalSum {
    #[inline]
    fn zero() -> DecimalSum {
        DecimalSum { units: 0, scale: Scale(None) }
    }
}

impl Abelian for DecimalSum {
    #[inline]
    fn negate(&mut self) {
        self.units = self.units.wrapping_neg();
    }
}

macro_rules! multiply_decimal {
    ($($times:ty),*) => { $(
        impl Multiply<$times> for DecimalSum {
            type Output = DecimalSum;
            /// The result supports retractions.
            #[inline]
            fn multiply(self, times: &$times) -> DecimalSum {
                DecimalSum { units: self.units.wrapping_mul(*times as i128), scale: Scale(None) }
            }
        }
    )* };
}

multiply_decimal!(i32, i64, isize);

impl Aggregate for DecimalSum {
    fn id() -> String {
        "decimal-sum".to_owned()
    }

    fn shape() -> AggregateShape {
        AggregateShape::one("sum", additive(Kind::Decimal))
    }

    fn present(state: Option<&DecimalSum>, out: &mut Presented<'_>) {
        out.put(|| Value::or_null(state.map(|sum| Value::Decimal(sum.value()))));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::aggregate::laws::{check_add, check_laws};
    use crate::codec;

    #[test]
    fn a_row_of_a_table_is_as_small_as_its_parts() {
        assert_eq!(size_of::<(u64, (crate::aggregate::Count, Sum))>(), 32);
    }

    #[test]
    fn laws_of_sums() {
        check_laws(&[Sum::of(0), Sum::of(-7), Sum::from(u64::MAX), Sum(i128::MAX), Sum(i128::MIN)]);
        let decimals = ["0", "0.00", "-1.5", "999999999999999.999999999", "1.50"];
        let lasting = decimals.map(|text| DecimalSum::of(text.parse().unwrap()));
        let taken_back = lasting.map(|sum| sum.multiply(&-3i64));
        let mixed: Vec<_> =
            lasting.into_iter().chain(taken_back).chain([DecimalSum::zero()]).collect();
        check_laws(&mixed);
        let values = decimals.map(|text| text.parse().unwrap());
        let add = |value: &Decimal, state: &mut DecimalSum| state.add(*value);
        check_add(&mixed, &values, add, |value| DecimalSum::of(*value));
        let add = |value: &i64, state: &mut Sum| state.add(*value);
        check_add(&[Sum(i128::MAX)], &[5, -7, i64::MIN], add, |value| Sum::of(*value));
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

    #[test]
    fn what_is_multiplied_can_be_taken_back() {
        let of = |text: &str| DecimalSum::of(text.parse().unwrap());
        let mut sum = of("1.25").multiply(&2isize);
        assert_eq!((sum.value().to_string(), sum.scale()), ("2.5".to_owned(), 1));
        sum.plus_equals(&of("0.000000001").multiply(&1i32));
        assert_eq!(sum.value().to_string(), "2.500000001");
        sum.plus_equals(&of("2.500000001").multiply(&-1i64));
        assert!(sum.is_zero() && sum == DecimalSum::zero());
        assert_eq!((sum.value().to_string(), sum.scale()), ("0".to_owned(), 0));
        let mut back = of("7.0").multiply(&1i64);
        back.negate();
        back.plus_equals(&of("7").multiply(&1i64));
        assert!(back.is_zero());
        // A sum of events whose value is zero stays, because there were events.
        assert!(!of("0").is_zero());
    }

    /// What earlier versions have sealed is read, and audits compare it by its bytes.
    #[test]
    fn sums_of_events_are_written_as_they_always_were() {
        let sum = DecimalSum::of("-1.50".parse().unwrap());
        let (mut before, mut now) = (Vec::new(), Vec::new());
        codec::encode(&(-1_500_000_000i128, 2u8), &mut before).unwrap();
        codec::encode(&sum, &mut now).unwrap();
        assert_eq!(now, before);
        assert_eq!(codec::decode::<DecimalSum>(&before).unwrap(), sum);
        assert_eq!(size_of::<DecimalSum>(), 24);
    }

    proptest! {
        #[test]
        fn laws_of_groups(values in proptest::collection::vec((any::<i64>(), -3i64..4), 1..20)) {
            let of = |units: i64, times: i64| {
                DecimalSum::of(Decimal::from_billionths(units.into(), 9)).multiply(&times)
            };
            let mut sum = DecimalSum::zero();
            for (units, times) in &values {
                sum.plus_equals(&of(*units, *times));
            }
            let expect: i128 = values.iter().map(|(units, times)| i128::from(*units) * i128::from(*times)).sum();
            prop_assert_eq!(sum.billionths(), expect);
            for (units, times) in values.iter().rev() {
                let mut back = of(*units, *times);
                back.negate();
                prop_assert_eq!(back, of(*units, -times));
                sum.plus_equals(&back);
            }
            prop_assert!(sum.is_zero());
        }

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
