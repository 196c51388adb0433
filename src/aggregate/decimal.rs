//! Exact decimals, and exact ratios rounded when they are printed.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::number::Written;

/// Digits after the point of a unit.
pub(crate) const UNIT_DIGITS: u8 = 9;
/// Units of 10⁻⁹ in one.
const UNITS_PER_ONE: u64 = 1_000_000_000;
/// The most digits before the point that [`Decimal::parse`] accepts; a `u64` holds them.
const WHOLE_DIGITS: usize = 18;

/// An exact decimal number: a whole number of billionths (units of 10⁻⁹), and the number of digits that it was written
/// with.
///
/// Make one from a text ([`Decimal::parse`]), from an integer (`From`), or from an integer that counts cents, mills or
/// the like ([`Decimal::from_scaled`]). A float is not an exact decimal: format it with the digits that you mean,
/// `format!("{value:.3}")`, and parse that.
///
/// ```
/// use dayfold::aggregate::Decimal;
///
/// let price: Decimal = "2.35".parse().unwrap();
/// assert_eq!(Decimal::from_scaled(235, 2), price);
/// assert_eq!(Decimal::from_billionths(2_350_000_000, 2), price);
/// assert_eq!(Decimal::from(235).to_string(), "235");
/// assert_eq!(price.checked_mul(Decimal::from(2)), "4.70".parse().ok());
/// ```
///
/// [`Decimal::parse`] accepts numbers up to 10¹⁸, that is 10²⁷ units; numbers from integers are below 2⁹⁵ units. So an
/// `i128` holds the sum of 1.7·10¹¹ of the greatest parsed numbers, of 1.7·10¹⁴ numbers with 15 digits before the
/// point, or of 9·10⁹ times the greatest `u64`.
///
/// Numbers are ordered and compared by `(units, scale)`: `1.5` is less than `1.50`. So the order is total, and the
/// least and the greatest of several numbers do not depend on the order in which they came. [`Decimal::cmp_value`] and
/// [`Decimal::eq_value`] compare by value alone.
///
/// `+`, `-` and `*` panic on overflow; [`Decimal::checked_add`] and the like return `None`. A sum has the larger scale
/// of the two; a product has the sum of both scales, at most 9, and is rounded half to even beyond that.
// As for `Sum`: without an alignment of 16, values of dynamic views are a third smaller.
#[repr(Rust, packed(8))]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Decimal {
    units: i128,
    scale: Scale,
}

/// Digits after the point, in eight bytes instead of one: a processor waits for a number that is moved as a whole right
/// after it was made, unless all of its bytes were written.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "u8", from = "u8")]
struct Scale(u64);

impl From<u8> for Scale {
    #[inline]
    fn from(digits: u8) -> Scale {
        Scale(digits.into())
    }
}

impl From<Scale> for u8 {
    #[inline]
    fn from(scale: Scale) -> u8 {
        scale.0 as u8
    }
}

impl fmt::Debug for Scale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Decimal {
    /// The number `units`·10⁻ᵈⁱᵍⁱᵗˢ, written with this many digits after the point: `from_scaled(235, 2)` is `2.35`.
    ///
    /// # Panics
    /// If `digits` is above 9.
    #[inline]
    pub fn from_scaled(units: i64, digits: u8) -> Decimal {
        assert!(digits <= UNIT_DIGITS, "{digits} digits after the point: at most 9 are allowed");
        Decimal { units: i128::from(units) * i128::from(step(digits)), scale: digits.into() }
    }

    /// The number of this many billionths. The `scale` only sets how many digits after the point are printed, 9 at
    /// most. See [`Decimal::from_scaled`] for a number of cents.
    #[inline]
    pub fn from_billionths(billionths: i128, scale: u8) -> Decimal {
        Decimal { units: billionths, scale: scale.min(UNIT_DIGITS).into() }
    }

    /// Reads a number exactly: `[+-]?digits[.digits][e[+-]digits]`, with digits on at least one side of the point, and
    /// any number of leading and trailing zeros. With the exponent applied, it may have 18 digits before the point and
    /// 9 after it. The scale is the scale of the text, 9 at most: `1.50` has 2, `1.5e-3` has 4.
    ///
    /// # Errors
    /// [`DecimalError`] for anything else; [`DecimalError::TooFine`] for numbers that only [`Decimal::parse_rounded`]
    /// reads.
    pub fn parse(text: &[u8]) -> Result<Decimal, DecimalError> {
        match Decimal::parse_rounded(text)? {
            Rounded { value, is_exact: true } => Ok(value),
            Rounded { is_exact: false, .. } => {
                let digits = Written::read(text).map_or(0, |number| number.decimals_needed());
                Err(DecimalError::TooFine { digits })
            }
        }
    }

    /// Reads a number as [`Decimal::parse`] does, with any number of digits after the point: beyond 9 the number is
    /// rounded half to even, and the result says so. This is for floats that are written in full, such as
    /// `1.9089496023202246`.
    ///
    /// # Errors
    /// [`DecimalError::Syntax`] if it is no number, [`DecimalError::TooLarge`] if it has more than 18 digits before the
    /// point.
    #[inline]
    pub fn parse_rounded(text: &[u8]) -> Result<Rounded, DecimalError> {
        match short(text) {
            Some(value) => Ok(Rounded { value, is_exact: true }),
            None => long(text),
        }
    }

    /// The number in billionths: units of 10⁻⁹.
    #[inline]
    pub fn billionths(self) -> i128 {
        self.units
    }

    /// Digits after the point as written, 0 to 9.
    #[inline]
    pub fn scale(self) -> u8 {
        self.scale.into()
    }

    /// The number with exactly `scale` digits after the point: zeros are added, or the number is rounded half to even.
    /// Never `-0`.
    pub fn to_scale_string(self, scale: u8) -> String {
        Decimal::ratio_string(self.units, 1, u32::from(scale))
    }

    /// The order by value alone: `1.5` and `1.50` are equal. [`Ord`] tells them apart.
    #[inline]
    pub fn cmp_value(&self, other: &Decimal) -> Ordering {
        { self.units }.cmp(&{ other.units })
    }

    /// Whether the values are equal, whatever their scales.
    #[inline]
    pub fn eq_value(&self, other: &Decimal) -> bool {
        self.units == other.units
    }

    /// `units`·10⁻⁹ divided by `count`, in whole steps of 10⁻ᵈⁱᵍⁱᵗˢ, rounded half to even; `None` if that is beyond an
    /// `i128`.
    ///
    /// # Panics
    /// If `count` is 0.
    pub(super) fn ratio(units: i128, count: u64, digits: u32) -> Option<i128> {
        assert!(count > 0, "no values have no mean: {units} units divided by 0");
        let divisor = u128::from(count) * u128::from(UNITS_PER_ONE);
        let dividend = units.unsigned_abs();
        let power = 10u128.checked_pow(digits)?;
        let (whole, rest) = match dividend.checked_mul(power) {
            Some(dividend) => (dividend / divisor, dividend % divisor),
            // The rest is below 2⁹⁴, so that ten times it is still far below 2¹²⁸.
            None => (0..digits).try_fold(
                (dividend / divisor, dividend % divisor),
                |(whole, rest), _| {
                    let whole = whole.checked_mul(10)?.checked_add(10 * rest / divisor)?;
                    Some((whole, 10 * rest % divisor))
                },
            )?,
        };
        let is_up = match (2 * rest).cmp(&divisor) {
            Ordering::Less => false,
            Ordering::Equal => whole % 2 == 1,
            Ordering::Greater => true,
        };
        let size = i128::try_from(whole).ok()?.checked_add(is_up.into())?;
        Some(if units < 0 { -size } else { size })
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
pub(crate) fn step(scale: u8) -> u64 {
    10u64.pow(u32::from(UNIT_DIGITS.saturating_sub(scale)))
}

/// A number that was read, and whether it is exactly the number in the text.
///
/// ```
/// use dayfold::aggregate::{Decimal, Rounded};
///
/// let Rounded { value, is_exact, .. } = Decimal::parse_rounded(b"0.1234567891")?;
/// assert_eq!(value.to_string(), "0.123456789");
/// assert!(!is_exact);
/// # Ok::<(), dayfold::aggregate::DecimalError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rounded {
    /// The number.
    pub value: Decimal,
    /// Whether nothing was rounded.
    pub is_exact: bool,
}

/// Reads the form of most numbers: `[+-]?digits[.digits]`, at most 18 and 9 digits.
#[inline]
fn short(text: &[u8]) -> Option<Decimal> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    let (whole, rest) = small(digits, WHOLE_DIGITS)?;
    let (below, scale) = match rest {
        [] => (0, 0),
        [b'.', fraction @ ..] => match small(fraction, usize::from(UNIT_DIGITS))? {
            (value, []) => (value * step(fraction.len() as u8), fraction.len() as u64),
            _ => return None,
        },
        _ => return None,
    };
    let units = i128::from(whole) * i128::from(UNITS_PER_ONE) + i128::from(below);
    Some(Decimal { units: if negative { -units } else { units }, scale: Scale(scale) })
}

/// The value of the one to `most` digits that a text begins with, and the rest.
#[inline]
fn small(text: &[u8], most: usize) -> Option<(u64, &[u8])> {
    let (mut value, mut count) = (0, 0);
    while let Some(digit) = text.get(count).filter(|byte| byte.is_ascii_digit()) {
        if count == most {
            return None;
        }
        value = value * 10 + u64::from(digit - b'0');
        count += 1;
    }
    (count > 0).then(|| (value, &text[count..]))
}

/// Reads every number.
fn long(text: &[u8]) -> Result<Rounded, DecimalError> {
    let number = Written::read(text).ok_or(DecimalError::Syntax)?;
    let digits = number.magnitude().unwrap_or(0);
    if digits > WHOLE_DIGITS as i64 {
        return Err(DecimalError::TooLarge { digits: digits as u64 });
    }
    let cut = number.cut(i64::from(UNIT_DIGITS));
    // At most 10²⁷: 18 digits before the point, and 9 after it that round up.
    let units = cut.half_even() as i128;
    let scale = Scale(number.decimals().min(u64::from(UNIT_DIGITS)));
    let value = Decimal { units: if number.negative { -units } else { units }, scale };
    Ok(Rounded { value, is_exact: cut.is_exact() })
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
        f.pad(&self.to_scale_string(self.scale()))
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
                Decimal { units: i128::from(value) * i128::from(UNITS_PER_ONE), scale: Scale(0) }
            }
        }
    )* };
}

from_integer!(i32, u32, i64, u64);

/// Why a text is not a [`Decimal`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecimalError {
    /// Not a number.
    #[error(
        "not a number: expected digits with an optional sign and point and exponent such as -12.5 or 1.5e-3"
    )]
    Syntax,
    /// Too many digits before the point.
    #[error("{digits} digits before the point: at most 18 are allowed")]
    TooLarge {
        /// The number of digits, without leading zeros.
        digits: u64,
    },
    /// Too many digits after the point to be read exactly.
    #[error("{digits} digits after the point: at most 9 are read exactly, round it or write fewer")]
    TooFine {
        /// The number of digits, without trailing zeros.
        digits: u64,
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
        check(
            "999999999999999999.999999999",
            10i128.pow(27) - 1,
            9,
            "999999999999999999.999999999",
        );
        check(".5", 500_000_000, 1, "0.5");
        check("-5.", -5_000_000_000, 0, "-5");
        check("0000000000000000000000000000001", 1_000_000_000, 0, "1");
        check("1.500000000000000000000000", 1_500_000_000, 9, "1.500000000");
        check("1.5e3", 1_500_000_000_000, 0, "1500");
        check("1.5E-3", 1_500_000, 4, "0.0015");
        check("-1.25e+1", -12_500_000_000, 1, "-12.5");
        check("1e17", 10i128.pow(26), 0, "100000000000000000");
        check("1000000000000000000000e-4", 10i128.pow(26), 4, "100000000000000000.0000");
        check("0e999999999999999999999999", 0, 0, "0");
        check("1e-9", 1, 9, "0.000000001");
    }

    #[test]
    fn what_is_no_number() {
        for bad in ["", "+", "-", ".", "e5", "5e", "-.e1", "NaN", " 1", "1 ", "1.2.3", "--1", "1,5"]
        {
            assert_eq!(bad.parse::<Decimal>(), Err(DecimalError::Syntax), "{bad}");
        }
        assert_eq!(Decimal::parse(&[b'1', 0xFF]), Err(DecimalError::Syntax));
        assert_eq!("٣".parse::<Decimal>(), Err(DecimalError::Syntax));
        let large = Err(DecimalError::TooLarge { digits: 19 });
        assert_eq!("1000000000000000000".parse::<Decimal>(), large);
        assert_eq!("1e18".parse::<Decimal>(), large);
        assert!("1e99999999999999999999".parse::<Decimal>().is_err());
        let fine = |digits| Err(DecimalError::TooFine { digits });
        assert_eq!("1.9089496023202246".parse::<Decimal>(), fine(16));
        assert_eq!("1.00000000010".parse::<Decimal>(), fine(10));
        assert!(!DecimalError::TooFine { digits: 10 }.to_string().contains('\n'));
    }

    #[test]
    fn floats_of_full_precision_are_rounded_half_to_even_and_say_so() {
        let read = |text: &str| {
            let Rounded { value, is_exact } = Decimal::parse_rounded(text.as_bytes()).unwrap();
            (value.to_string(), is_exact)
        };
        assert_eq!(read("1.9089496023202246"), ("1.908949602".to_owned(), false));
        assert_eq!(read("-0.0000000005"), ("0.000000000".to_owned(), false));
        assert_eq!(read("0.0000000015"), ("0.000000002".to_owned(), false));
        assert_eq!(read("0.00000000050000000001"), ("0.000000001".to_owned(), false));
        assert_eq!(read("999999999999999999.9999999999").0, "1000000000000000000.000000000");
        assert_eq!(read("5e-324"), ("0.000000000".to_owned(), false));
        assert_eq!(read("1.5000000000"), ("1.500000000".to_owned(), true));
        assert!(Decimal::parse_rounded(b"1.7976931348623157e308").is_err());
    }

    #[test]
    fn values_are_compared_without_their_scales() {
        let [one, other, more] =
            ["1.5", "1.50", "1.51"].map(|text| text.parse::<Decimal>().unwrap());
        assert!(one != other && one.eq_value(&other) && one.cmp_value(&other).is_eq());
        assert!(one.cmp_value(&more).is_lt() && !one.eq_value(&more));
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

    /// A slow reading: the number as one row of digits, written out and rounded as text.
    fn oracle(negative: bool, whole: &str, fraction: &str, exponent: i64) -> Option<(i128, bool)> {
        let zeros = "0".repeat(60);
        let digits = format!("{zeros}{whole}{fraction}{zeros}");
        let (before, after) = digits.split_at((60 + whole.len() as i64 + exponent) as usize);
        if before.trim_start_matches('0').len() > 18 {
            return None;
        }
        let (kept, rest) = after.split_at(9);
        let units: i128 = format!("{before}{kept}").trim_start_matches('0').parse().unwrap_or(0);
        let half = format!("5{}", "0".repeat(rest.len() - 1));
        let up = *rest > *half || (*rest == *half && units % 2 == 1);
        let units = units + i128::from(up);
        Some((if negative { -units } else { units }, rest.bytes().all(|digit| digit == b'0')))
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_again(
            whole in 0u64..1_000_000_000_000_000_000,
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
        fn oracle_numbers_are_read_as_their_digits_say(
            sign in "[+-]?", whole in "0{0,3}[0-9]{0,20}", fraction in "[0-9]{0,22}0{0,3}",
            exponent in -30i64..30, mark in "[eE]", written: bool, half: bool,
        ) {
            let fraction = if half { format!("{fraction}5") } else { fraction };
            prop_assume!(!whole.is_empty() || !fraction.is_empty());
            let exponent = if written { exponent } else { 0 };
            let tail = if written { format!("{mark}{exponent}") } else { String::new() };
            let text = format!("{sign}{whole}.{fraction}{tail}");
            let found = Decimal::parse_rounded(text.as_bytes());
            let expect = oracle(sign == "-", &whole, &fraction, exponent);
            let read = found.ok().map(|read| (read.value.billionths(), read.is_exact));
            prop_assert_eq!(read, expect, "{}", text);
            let exactly = Decimal::parse(text.as_bytes()).ok().map(Decimal::billionths);
            prop_assert_eq!(exactly, expect.filter(|read| read.1).map(|read| read.0), "{}", text);
        }

        #[test]
        fn no_bytes_panic(text in proptest::collection::vec(any::<u8>(), 0..40), near in "[-+.eE0-9]{0,40}") {
            let _ = Decimal::parse(&text);
            let _ = Decimal::parse_rounded(near.as_bytes());
        }

        #[test]
        fn differential_ratios_are_those_that_are_printed(units: i128, shift in 0u32..127, count in 1u64.., digits in 0u32..=12) {
            let units = units >> shift;
            let text = Decimal::ratio_string(units, count, digits);
            prop_assert_eq!(Decimal::ratio(units, count, digits), text.replace('.', "").parse().ok());
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
            prop_assert_eq!(Decimal::ratio(units, count, digits), Some(printed));
        }
    }
}
