//! Exact decimals, and exact ratios rounded when they are printed.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Digits after the point that a unit resolves.
const UNIT_DIGITS: u8 = 9;
/// Units of 10⁻⁹ in one.
const UNITS_PER_ONE: u64 = 1_000_000_000;
/// The most digits before the point that [`Decimal::parse`] accepts.
const WHOLE_DIGITS: usize = 15;

/// An exact decimal number: a whole number of billionths (units of 10⁻⁹), and how many digits it was written with.
///
/// A number becomes one from its text ([`Decimal::parse`]), from an integer (`From`), or from an integer that
/// counts cents, mills or the like ([`Decimal::from_scaled`]). A float is no exact decimal: write it with the digits
/// that you mean, `format!("{value:.3}")`, and parse that.
///
/// ```
/// use dayfold::aggregate::Decimal;
///
/// let price: Decimal = "2.35".parse().unwrap();
/// assert_eq!(Decimal::from_scaled(235, 2), price);
/// assert_eq!(Decimal::from_billionths(2_350_000_000, 2), price);
/// assert_eq!(Decimal::from(235).to_string(), "235");
/// ```
///
/// What [`Decimal::parse`] accepts lies below 10¹⁵, that is below 10²⁴ units; what comes from an integer
/// lies below 2⁹⁵ units. So an `i128` holds the sum of 1.7·10¹⁴ parsed numbers, or of 9·10⁹ times the
/// greatest `u64`.
///
/// Order and equality are those of `(units, scale)`: `1.5` is less than `1.50`, so that the order is
/// total, and the least and the greatest of several numbers are the same in whatever order they came.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Decimal {
    units: i128,
    scale: u8,
}

impl Decimal {
    /// The number `units`·10⁻ᵈⁱᵍⁱᵗˢ, written with so many digits after the point: `from_scaled(235, 2)` is `2.35`.
    ///
    /// # Panics
    /// If `digits` is above 9.
    #[inline]
    pub fn from_scaled(units: i64, digits: u8) -> Decimal {
        assert!(digits <= UNIT_DIGITS, "{digits} digits after the point: at most 9 are allowed");
        Decimal { units: i128::from(units) * i128::from(step(digits)), scale: digits }
    }

    /// The number of so many billionths, whatever `scale` is: that says only with how many digits after the point
    /// it is printed, 9 at most. See [`Decimal::from_scaled`] for a number of cents.
    #[inline]
    pub fn from_billionths(billionths: i128, scale: u8) -> Decimal {
        Decimal { units: billionths, scale: scale.min(UNIT_DIGITS) }
    }

    /// Reads `[+-]?digits[.digits]`: at most 15 digits before the point and 9 after it, as written.
    ///
    /// # Errors
    /// [`DecimalError`] for anything else: no digits on one side of a point, an exponent, a space.
    pub fn parse(text: &[u8]) -> Result<Decimal, DecimalError> {
        let (negative, digits) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            _ => (false, text),
        };
        let (whole, fraction) = match digits.iter().position(|byte| *byte == b'.') {
            Some(point) => (&digits[..point], &digits[point + 1..]),
            None => (digits, &digits[digits.len()..]),
        };
        let point = whole.len() < digits.len();
        let is_number = |part: &[u8]| part.iter().all(u8::is_ascii_digit);
        if whole.is_empty() || (point && fraction.is_empty()) {
            return Err(DecimalError::Syntax);
        }
        if !is_number(whole) || !is_number(fraction) {
            return Err(DecimalError::Syntax);
        }
        if whole.len() > WHOLE_DIGITS {
            return Err(DecimalError::TooLarge { digits: whole.len() });
        }
        if fraction.len() > usize::from(UNIT_DIGITS) {
            return Err(DecimalError::TooFine { digits: fraction.len() });
        }
        let scale = fraction.len() as u8;
        let below = number(fraction) * step(scale);
        let units = i128::from(number(whole)) * i128::from(UNITS_PER_ONE) + i128::from(below);
        Ok(Decimal { units: if negative { -units } else { units }, scale })
    }

    /// The number in billionths: units of 10⁻⁹.
    #[inline]
    pub fn billionths(self) -> i128 {
        self.units
    }

    /// Digits after the point as written, 0 to 9.
    #[inline]
    pub fn scale(self) -> u8 {
        self.scale
    }

    /// The number with exactly `scale` digits after the point: zeros are added, and what does not fit is
    /// rounded half to even. Never `-0`.
    pub fn to_scale_string(self, scale: u8) -> String {
        Decimal::ratio_string(self.units, 1, u32::from(scale))
    }

    /// `units`·10⁻⁹ divided by `count`, with exactly `digits` digits after the point, rounded half to
    /// even. Exact for every argument: the quotient is found by long division. Never `-0`.
    ///
    /// # Panics
    /// If `count` is 0.
    pub(crate) fn ratio_string(units: i128, count: u64, digits: u32) -> String {
        assert!(count > 0, "no values have no mean: {units} units divided by 0");
        // Below 2⁹⁴, so that ten times a remainder is still far below 2¹²⁸.
        let divisor = u128::from(count) * u128::from(UNITS_PER_ONE);
        let dividend = units.unsigned_abs();
        let mut written = (dividend / divisor).to_string().into_bytes();
        let mut rest = dividend % divisor;
        for _ in 0..digits {
            rest *= 10;
            written.push(b'0' + (rest / divisor) as u8);
            rest %= divisor;
        }
        let odd = written.last().is_some_and(|digit| digit % 2 == 1);
        let up = match (2 * rest).cmp(&divisor) {
            Ordering::Less => false,
            Ordering::Equal => odd,
            Ordering::Greater => true,
        };
        if up {
            raise(&mut written);
        }
        let point = written.len() - digits as usize;
        let mut text = String::with_capacity(written.len() + 2);
        if units < 0 && written.iter().any(|digit| *digit != b'0') {
            text.push('-');
        }
        for (index, digit) in written.into_iter().enumerate() {
            if index == point {
                text.push('.');
            }
            text.push(char::from(digit));
        }
        text
    }
}

/// Units in the last of `scale` digits after the point.
#[inline]
pub(super) fn step(scale: u8) -> u64 {
    10u64.pow(u32::from(UNIT_DIGITS.saturating_sub(scale)))
}

/// The value of at most 15 ASCII digits.
#[inline]
fn number(digits: &[u8]) -> u64 {
    digits.iter().fold(0, |value, digit| value * 10 + u64::from(digit - b'0'))
}

/// Adds one to the last digit and carries.
fn raise(digits: &mut Vec<u8>) {
    for digit in digits.iter_mut().rev() {
        if *digit < b'9' {
            *digit += 1;
            return;
        }
        *digit = b'0';
    }
    digits.insert(0, b'1');
}

impl fmt::Display for Decimal {
    /// With as many digits after the point as written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.to_scale_string(self.scale))
    }
}

impl FromStr for Decimal {
    type Err = DecimalError;
    fn from_str(text: &str) -> Result<Decimal, DecimalError> {
        Decimal::parse(text.as_bytes())
    }
}

macro_rules! from_integer {
    ($($type:ty),*) => { $(
        impl From<$type> for Decimal {
            #[inline]
            fn from(value: $type) -> Decimal {
                Decimal { units: i128::from(value) * i128::from(UNITS_PER_ONE), scale: 0 }
            }
        }
    )* };
}

from_integer!(i32, u32, i64, u64);

/// Why a text is no [`Decimal`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecimalError {
    /// Not `[+-]?digits[.digits]`.
    #[error("not a number: expected digits with an optional sign and an optional fraction")]
    Syntax,
    /// Too many digits before the point.
    #[error("{digits} digits before the point: at most 15 are allowed")]
    TooLarge {
        /// How many there are.
        digits: usize,
    },
    /// Too many digits after the point.
    #[error("{digits} digits after the point: at most 9 are allowed")]
    TooFine {
        /// How many there are.
        digits: usize,
    },
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, units: i128, scale: u8, printed: &str) {
        let value: Decimal = text.parse().unwrap();
        assert_eq!((value.billionths(), value.scale()), (units, scale), "{text}");
        assert_eq!(value.to_string(), printed);
    }

    #[test]
    fn numbers_as_written() {
        check("0", 0, 0, "0");
        check("-0", 0, 0, "0");
        check("-0.00", 0, 2, "0.00");
        check("+1.50", 1_500_000_000, 2, "1.50");
        check("-1.5", -1_500_000_000, 1, "-1.5");
        check("007", 7_000_000_000, 0, "7");
        check("-0.000000001", -1, 9, "-0.000000001");
        check("999999999999999.999999999", 10i128.pow(24) - 1, 9, "999999999999999.999999999");
    }

    #[test]
    fn what_is_no_number() {
        for bad in ["", "+", "-", ".", ".5", "5.", "-.5", "1e3", " 1", "1 ", "1.2.3", "--1", "1,5"]
        {
            assert_eq!(bad.parse::<Decimal>(), Err(DecimalError::Syntax), "{bad}");
        }
        assert_eq!(Decimal::parse(&[b'1', 0xFF]), Err(DecimalError::Syntax));
        assert_eq!("٣".parse::<Decimal>(), Err(DecimalError::Syntax));
        let digits = "0000000000000001";
        assert_eq!(digits.parse::<Decimal>(), Err(DecimalError::TooLarge { digits: 16 }));
        assert_eq!("1.0000000000".parse::<Decimal>(), Err(DecimalError::TooFine { digits: 10 }));
        assert!(!DecimalError::TooFine { digits: 10 }.to_string().contains('\n'));
    }

    #[test]
    fn scales_are_padded_or_rounded_half_to_even() {
        let value = |text: &str| text.parse::<Decimal>().unwrap();
        assert_eq!(value("1.5").to_scale_string(3), "1.500");
        assert_eq!(value("1.5").to_scale_string(0), "2");
        assert_eq!(value("2.5").to_scale_string(0), "2");
        assert_eq!(value("-2.51").to_scale_string(0), "-3");
        assert_eq!(value("-0.5").to_scale_string(0), "0");
        assert_eq!(value("9.995").to_scale_string(2), "10.00");
        assert_eq!(value("999.5").to_scale_string(0), "1000");
        assert_eq!(format!("{:>6}", value("1.5")), "   1.5");
    }

    #[test]
    fn ratios_of_any_size() {
        assert_eq!(Decimal::ratio_string(2_000_000_000, 3, 6), "0.666667");
        assert_eq!(Decimal::ratio_string(-5_000_000_000, 2, 0), "-2");
        assert_eq!(Decimal::ratio_string(1_000_000_000, 3, 15), "0.333333333333333");
        assert_eq!(Decimal::ratio_string(-1, u64::MAX, 15), "0.000000000000000");
        assert_eq!(
            Decimal::ratio_string(i128::MIN, 1, 15),
            "-170141183460469231731687303715.884105728000000"
        );
        assert_eq!(Decimal::ratio_string(i128::MAX, u64::MAX, 15), "9223372036.854775808500000");
    }

    #[test]
    fn scaled_integers_are_numbers_as_written() {
        for (units, digits, text) in
            [(235, 2, "2.35"), (-5, 1, "-0.5"), (7, 0, "7"), (i64::MIN, 9, "-9223372036.854775808")]
        {
            assert_eq!(Decimal::from_scaled(units, digits), text.parse().unwrap());
        }
    }

    #[test]
    fn integers_have_no_scale() {
        assert_eq!(Decimal::from(-7i32).to_string(), "-7");
        assert_eq!(Decimal::from(7u32).to_string(), "7");
        assert_eq!(Decimal::from(i64::MIN).to_string(), i64::MIN.to_string());
        assert_eq!(Decimal::from(u64::MAX).to_string(), u64::MAX.to_string());
    }

    #[test]
    fn order_is_that_of_numbers_then_of_scales() {
        let sorted = ["-2", "-1.5", "0", "0.0", "1.5", "1.50", "10"];
        let values: Vec<Decimal> = sorted.iter().map(|text| text.parse().unwrap()).collect();
        assert!(values.is_sorted());
        assert!(values[4] != values[5]);
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_again(
            whole in 0u64..1_000_000_000_000_000,
            fraction in 0u64..UNITS_PER_ONE,
            scale in 0u8..=9,
            negative: bool,
        ) {
            let kept = fraction / step(scale) * step(scale);
            let size = i128::from(whole) * i128::from(UNITS_PER_ONE) + i128::from(kept);
            let value = Decimal::from_billionths(if negative { -size } else { size }, scale);
            prop_assert_eq!(value.to_string().parse::<Decimal>(), Ok(value));
        }

        #[test]
        fn oracle_ratio_is_the_nearest(units in -1_000_000_000_000i128..1_000_000_000_000,
                                       count in 1u64..1_000, digits in 0u32..=12) {
            // |printed·count − units·10^(digits − 9)| ≤ count/2, all in whole numbers.
            let text = Decimal::ratio_string(units, count, digits);
            let printed: i128 = text.replace('.', "").parse().unwrap();
            let (left, right) = (printed * i128::from(count) * 1_000_000_000,
                                 units * 10i128.pow(digits));
            let half = i128::from(count) * 1_000_000_000;
            prop_assert!(2 * (left - right).abs() <= half, "{}", text);
            if 2 * (left - right).abs() == half {
                prop_assert_eq!(printed % 2, 0, "{}", text);
            }
            prop_assert!(!text.starts_with('-') || printed != 0);
        }
    }
}
