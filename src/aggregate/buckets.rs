//! Logarithmic buckets of values, and values in a compact form.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use super::decimal::step;

/// The number of bits below a value's leading one that distinguish buckets: 1,024 buckets to an octave.
const BITS: u32 = 10;

/// The number of a value's bucket: 0 for zero; otherwise the exponent of two and the ten bits below the leading one,
/// counted from 1, with the sign of the value. It never decreases as values rise.
pub(super) fn bucket(units: i128) -> i32 {
    let size = units.unsigned_abs();
    if size == 0 {
        return 0;
    }
    let exponent = size.ilog2();
    let leading =
        if exponent < BITS { size << (BITS - exponent) } else { size >> (exponent - BITS) };
    // The exponent is at most 95, so this is below 2¹⁷.
    let number = (exponent << BITS) as i32 + (leading - (1 << BITS)) as i32 + 1;
    if units < 0 { -number } else { number }
}

/// The middle of a bucket; below 2¹¹ units a bucket holds one value, which is returned.
pub(super) fn middle(bucket: i32) -> i128 {
    if bucket == 0 {
        return 0;
    }
    let number = bucket.unsigned_abs() - 1;
    let exponent = number >> BITS;
    let leading = i128::from((1 << BITS) + number % (1 << BITS));
    let size = if exponent <= BITS {
        leading >> (BITS - exponent)
    } else {
        let width = 1i128 << (exponent - BITS);
        leading * width + width / 2
    };
    if bucket < 0 { -size } else { size }
}

/// The nearest number that has no more than `scale` digits after the point.
pub(super) fn rounded(units: i128, scale: u8) -> i128 {
    let step = i128::from(step(scale));
    let size = (units.abs() + step / 2) / step * step;
    if units < 0 { -size } else { size }
}

/// A value in units of 10⁻⁹, in 96 bits: an `i128` would align every run to 16 bytes.
///
/// It sorts as the numbers do: the highest digits come first, with the sign bit flipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Units([u32; 3]);

impl Ord for Units {
    #[inline]
    fn cmp(&self, other: &Units) -> Ordering {
        self.turned().cmp(&other.turned())
    }
}

impl PartialOrd for Units {
    #[inline]
    fn partial_cmp(&self, other: &Units) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Units {
    const SIGN: i128 = 1 << 95;

    #[inline]
    pub(super) fn new(units: i128) -> Units {
        let turned = units.clamp(-Units::SIGN, Units::SIGN - 1) + Units::SIGN;
        Units::of_turned(turned as u128)
    }

    /// The value with this unsigned number.
    #[inline]
    pub(super) fn of_turned(turned: u128) -> Units {
        Units([(turned >> 64) as u32, (turned >> 32) as u32, turned as u32])
    }

    /// As a number without a sign, below 2⁹⁶, in the same order.
    #[inline]
    pub(super) fn turned(self) -> u128 {
        let [high, middle, low] = self.0.map(u128::from);
        high << 64 | middle << 32 | low
    }

    #[inline]
    pub(super) fn get(self) -> i128 {
        self.turned() as i128 - Units::SIGN
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn small_values_have_buckets_of_their_own() {
        assert!((-5_000..5_000).map(bucket).is_sorted());
        assert!((-2_047..=2_047).all(|units| middle(bucket(units)) == units));
        assert_eq!(bucket(-1 << 95), -(95 * 1_024 + 1));
    }

    #[test]
    fn units_keep_their_order() {
        let sorted = [i128::MIN, -(1 << 94), -1, 0, 1, 1 << 64, 1 << 94, i128::MAX].map(Units::new);
        assert!(sorted.is_sorted());
        assert_eq!(Units::new(-1).get(), -1);
        assert_eq!(Units::new(i128::MIN).get(), -(1 << 95));
        assert_eq!(Units::new(i128::MAX).get(), (1 << 95) - 1);
    }

    proptest! {
        #[test]
        fn buckets_ascend_and_their_middle_is_near(
            bits in any::<[(u64, i32); 2]>(), shifts in [0u32..95, 0u32..95],
        ) {
            let [a, b] = [0, 1].map(|i| {
                let (low, high) = bits[i];
                (i128::from(high) << 64 | i128::from(low)) >> shifts[i]
            });
            prop_assert_eq!(Units::new(a).get(), a);
            prop_assert_eq!(Units::new(a).cmp(&Units::new(b)), a.cmp(&b));
            prop_assert!(a > b || bucket(a) <= bucket(b));
            prop_assert_eq!(bucket(middle(bucket(a))), bucket(a));
            prop_assert!((middle(bucket(a)) - a).abs() * 2_048 <= a.abs());
        }
    }
}
