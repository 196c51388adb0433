//! Exact arithmetic.
//!
//! A sum or a difference has as many digits after the point as the operand with more, a product as many as both
//! together, at most nine: beyond that it is rounded half to even. A quotient has nine digits, and `round(a / b, n)`
//! has `n`, rounded once; both round half away from zero, as SQL's `round` does.

use std::cmp::Ordering;

use dayfold::aggregate::Decimal;

use super::error::RowError;

/// The number of billionths in one.
const ONE: i128 = 1_000_000_000;
/// The digits of a quotient after the point.
pub(crate) const QUOTIENT_DIGITS: u8 = 9;

/// The number of billionths in one unit of the `scale`-th digit after the point.
#[inline]
pub(crate) fn step(scale: u8) -> i128 {
    10i128.pow(u32::from(9 - scale.min(9)))
}

/// An integer as a decimal.
#[inline]
pub(crate) fn decimal(integer: i128) -> Result<Decimal, RowError> {
    let units =
        integer.checked_mul(ONE).ok_or(RowError::Overflow { operation: "integer to decimal" })?;
    Ok(Decimal::from_billionths(units, 0))
}

/// Compares an integer and a decimal by value. An integer outside the range of decimals is beyond all of them.
#[inline]
pub(crate) fn order(integer: i128, other: Decimal) -> Ordering {
    match integer.checked_mul(ONE) {
        Some(units) => units.cmp(&other.billionths()),
        None => integer.cmp(&0),
    }
}

/// `left / right` with `scale` digits, rounded half away from zero.
pub(crate) fn divide(left: i128, right: i128, scale: u8) -> Result<Decimal, RowError> {
    const OVERFLOW: RowError = RowError::Overflow { operation: "/" };
    if right == 0 {
        return Err(RowError::DivisionByZero);
    }
    let divisor = right.unsigned_abs();
    let mut quotient = left.unsigned_abs() / divisor;
    let mut rest = left.unsigned_abs() % divisor;
    for _ in 0..scale {
        rest = rest.checked_mul(10).ok_or(OVERFLOW)?;
        quotient =
            quotient.checked_mul(10).and_then(|q| q.checked_add(rest / divisor)).ok_or(OVERFLOW)?;
        rest %= divisor;
    }
    // This is 2·rest ≥ divisor, without a product that could overflow.
    quotient += u128::from(rest >= divisor - rest);
    let units =
        i128::try_from(quotient).ok().and_then(|q| q.checked_mul(step(scale))).ok_or(OVERFLOW)?;
    Ok(Decimal::from_billionths(if (left < 0) == (right < 0) { units } else { -units }, scale))
}

/// Rounds to `digits` after the point, half away from zero; negative digits are those before the point.
pub(crate) fn round(number: Decimal, digits: i32) -> Result<Decimal, RowError> {
    let unit = match 9 - digits {
        ..=0 => 1,
        power @ 1..=38 => 10i128.pow(power.unsigned_abs()),
        _ => return Ok(Decimal::from_billionths(0, 0)),
    };
    let (quotient, rest) = (number.billionths() / unit, number.billionths() % unit);
    let is_up = rest.unsigned_abs() >= unit.unsigned_abs() - rest.unsigned_abs() && rest != 0;
    let quotient = quotient + if is_up { number.billionths().signum() } else { 0 };
    let units = quotient.checked_mul(unit).ok_or(RowError::Overflow { operation: "round" })?;
    Ok(Decimal::from_billionths(units, digits.clamp(0, 9) as u8))
}

/// The nearest integer; halves round away from zero.
pub(crate) fn to_integer(number: Decimal) -> i128 {
    let (quotient, rest) = (number.billionths() / ONE, number.billionths() % ONE);
    quotient + if 2 * rest.abs() >= ONE { rest.signum() } else { 0 }
}

/// The greatest integer that is not greater.
pub(crate) fn floor(number: Decimal) -> i128 {
    number.billionths().div_euclid(ONE)
}

/// The least integer that is not less.
pub(crate) fn ceil(number: Decimal) -> i128 {
    floor(number) + i128::from(number.billionths() % ONE != 0)
}

/// The remainder of a division, with the sign of the dividend.
pub(crate) fn modulo(left: Decimal, right: Decimal) -> Result<Decimal, RowError> {
    let rest = left.billionths().checked_rem(right.billionths()).ok_or(RowError::DivisionByZero)?;
    Ok(Decimal::from_billionths(rest, left.scale().max(right.scale())))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn number(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    #[test]
    fn quotients_round_half_away_from_zero() {
        let check = |left: &str, right: &str, scale, expect: &str| {
            let found =
                divide(number(left).billionths(), number(right).billionths(), scale).unwrap();
            assert_eq!(found.to_string(), expect, "{left}/{right}");
        };
        check("1", "3", 9, "0.333333333");
        check("2", "3", 2, "0.67");
        check("-1", "8", 2, "-0.13");
        check("1", "8", 2, "0.13");
        check("7", "-2", 0, "-4");
        check("999999999999999999", "0.000000001", 0, "999999999999999999000000000");
        assert_eq!(divide(1, 0, 9), Err(RowError::DivisionByZero));
        assert!(divide(i128::MAX, 1, 9).is_err() && divide(i128::MIN, i128::MAX, 0).is_ok());
    }

    #[test]
    fn rounding() {
        let check = |text: &str, digits, expect: &str| {
            assert_eq!(round(number(text), digits).unwrap().to_string(), expect, "{text}");
        };
        check("2.5", 0, "3");
        check("-2.5", 0, "-3");
        check("1.005", 2, "1.01");
        check("1.5", 3, "1.500");
        check("12345.678", -2, "12300");
        check("-0.4", 0, "0");
        check("5", -60, "0");
        let of = |text: &str| (floor(number(text)), ceil(number(text)), to_integer(number(text)));
        assert_eq!(of("-1.5"), (-2, -1, -2));
        assert_eq!(of("1.2"), (1, 2, 1));
        assert_eq!(of("3"), (3, 3, 3));
        assert_eq!(modulo(number("-7.5"), number("2")).unwrap().to_string(), "-1.5");
    }

    proptest! {
        #[test]
        fn oracle_quotients_are_the_nearest(left in -1_000_000i128..1_000_000, right in 1i128..1_000, scale in 0u8..=9) {
            let found = divide(left, right, scale).unwrap().billionths() / step(scale);
            let off = (found * right - left * 10i128.pow(scale.into())).abs() * 2;
            prop_assert!(off <= right);
            if off == right {
                prop_assert!((found * right).abs() > (left * 10i128.pow(scale.into())).abs());
            }
        }
    }
}
