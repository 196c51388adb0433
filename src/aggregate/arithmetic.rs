//! `+`, `-` and `*` of decimals, checked.

use std::ops::{Add, Mul, Neg, Sub};

use super::Decimal;

/// Units of 10⁻⁹ in one.
const ONE: u128 = 1_000_000_000;

impl Decimal {
    /// The sum, with the larger scale of the two; `None` if it overflows.
    #[inline]
    pub fn checked_add(self, other: Decimal) -> Option<Decimal> {
        let units = self.billionths().checked_add(other.billionths())?;
        Some(Decimal::from_billionths(units, self.scale().max(other.scale())))
    }

    /// The difference, with the larger scale of the two; `None` if it overflows.
    #[inline]
    pub fn checked_sub(self, other: Decimal) -> Option<Decimal> {
        let units = self.billionths().checked_sub(other.billionths())?;
        Some(Decimal::from_billionths(units, self.scale().max(other.scale())))
    }

    /// The product, with the digits after the point of both; beyond 9 it is rounded half to even. `None` if it
    /// overflows.
    pub fn checked_mul(self, other: Decimal) -> Option<Decimal> {
        let (left, right) = (self.billionths(), other.billionths());
        let (size, other_size) = (left.unsigned_abs(), right.unsigned_abs());
        // left·right / 10⁹ in parts, so that 128 bits hold each of them.
        let (whole, below) = (size / ONE, size % ONE);
        let (other_whole, other_below) = (other_size / ONE, other_size % ONE);
        let last = below * other_below;
        let units = whole
            .checked_mul(other_size)?
            .checked_add(below.checked_mul(other_whole)?)?
            .checked_add(last / ONE)?;
        let rest = 2 * (last % ONE);
        let up = rest > ONE || (rest == ONE && units % 2 == 1);
        let units = i128::try_from(units.checked_add(u128::from(up))?).ok()?;
        let units = if (left < 0) == (right < 0) { units } else { -units };
        Some(Decimal::from_billionths(units, self.scale() + other.scale()))
    }
}

macro_rules! operator {
    ($trait:ident, $method:ident, $checked:ident) => {
        impl $trait for Decimal {
            type Output = Decimal;
            /// # Panics
            #[doc = concat!("On overflow: see [`Decimal::", stringify!($checked), "`].")]
            #[inline]
            fn $method(self, other: Decimal) -> Decimal {
                let found = self.$checked(other);
                found.expect(concat!("overflow of decimals: use ", stringify!($checked)))
            }
        }
    };
}

operator!(Add, add, checked_add);
operator!(Sub, sub, checked_sub);
operator!(Mul, mul, checked_mul);

impl Neg for Decimal {
    type Output = Decimal;
    /// # Panics
    /// On overflow, which only `i128::MIN` billionths have.
    #[inline]
    fn neg(self) -> Decimal {
        Decimal::from_billionths(0, self.scale()) - self
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decimal(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    #[test]
    fn results_have_the_scale_of_what_they_are_made_of() {
        assert_eq!((decimal("1.25") + decimal("2.5")).to_string(), "3.75");
        assert_eq!((decimal("1.5") - decimal("1.50")).to_string(), "0.00");
        assert_eq!((decimal("19.99") * decimal("3")).to_string(), "59.97");
        assert_eq!((decimal("1.50") * decimal("-0.5")).to_string(), "-0.750");
        assert_eq!((-decimal("2.50")).to_string(), "-2.50");
        assert_eq!((decimal("0.00001") * decimal("0.00005")).to_string(), "0.000000000");
        assert_eq!((decimal("0.00003") * decimal("0.00005")).to_string(), "0.000000002");
        assert_eq!((decimal("0.000000001") * decimal("-0.5")).to_string(), "0.000000000");
    }

    #[test]
    fn overflow_is_none() {
        let [least, most] = [i128::MIN, i128::MAX].map(|units| Decimal::from_billionths(units, 0));
        let one = decimal("1");
        assert_eq!(most.checked_add(one), None);
        assert_eq!(least.checked_sub(one), None);
        assert_eq!(least.checked_mul(decimal("-1")), None);
        assert_eq!(most.checked_mul(one), Some(most));
        assert_eq!(most.checked_mul(most), None);
        assert_eq!(most.checked_mul(decimal("0")), Some(decimal("0")));
        assert_eq!(decimal("1e17").checked_mul(decimal("1e17")), None);
    }

    #[test]
    #[should_panic(expected = "overflow of decimals: use checked_mul")]
    fn operators_do_not_wrap() {
        let _ = decimal("1e17") * decimal("1e17");
    }

    proptest! {
        #[test]
        fn oracle_products_are_those_of_whole_numbers(
            left in -1i64 << 62..1 << 62, right in any::<i64>(), scales in [0u8..=9, 0u8..=9],
        ) {
            let of = |units: i64, scale| Decimal::from_billionths(units.into(), scale);
            let found = (of(left, scales[0]) * of(right, scales[1])).billionths();
            // |found·10⁹ − left·right| ≤ 10⁹/2, and even where it is equal.
            let off = (found * 1_000_000_000 - i128::from(left) * i128::from(right)).abs() * 2;
            prop_assert!(off < 1_000_000_000 || (off == 1_000_000_000 && found % 2 == 0));
        }

        #[test]
        fn products_of_large_numbers_commute_with_powers_of_ten(
            left in 1i128..10i128.pow(17), right in 1i128..10i128.pow(8), power in 0u32..10,
        ) {
            // left·10ᵖ times right·10⁹: beyond what an i128 of units squared would hold.
            let found = Decimal::from_billionths(left * 10i128.pow(power), 9)
                .checked_mul(Decimal::from_billionths(right * 1_000_000_000, 0));
            let expect = Decimal::from_billionths(left * right * 10i128.pow(power), 9);
            prop_assert_eq!(found, Some(expect));
        }

        #[test]
        fn sums_are_taken_back(left in any::<i64>(), right in any::<i64>()) {
            let [left, right] = [left, right].map(|units| Decimal::from_billionths(units.into(), 9));
            prop_assert_eq!(left + right - right, left);
            prop_assert_eq!(left - right, left + -right);
        }
    }
}
