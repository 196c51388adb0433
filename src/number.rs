//! Decimal numbers as programs write them, read digit by digit: no float is involved.

/// `[+-]?digits[.digits][(e|E)[+-]digits]`, with at least one digit before or after the point.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Written<'a> {
    pub(crate) negative: bool,
    /// Before the point.
    whole: &'a [u8],
    /// After the point.
    fraction: &'a [u8],
    /// The power of ten by which the digits are multiplied.
    exponent: i64,
}

/// The first digits of a number, and the part that was cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    /// The value of the digits taken.
    pub(crate) taken: u128,
    /// The next digit.
    pub(crate) next: u8,
    /// Whether any later digit is not zero.
    pub(crate) more: bool,
}

impl Cut {
    /// Whether only zeros were left out.
    pub(crate) fn is_exact(self) -> bool {
        self.next == 0 && !self.more
    }

    /// The nearest number of as many digits, half to even.
    pub(crate) fn half_even(self) -> u128 {
        let up = self.next > 5 || (self.next == 5 && (self.more || self.taken % 2 == 1));
        self.taken + u128::from(up)
    }
}

impl<'a> Written<'a> {
    /// Reads a number; `None` if it is not valid.
    pub(crate) fn read(text: &'a [u8]) -> Option<Written<'a>> {
        let (negative, rest) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            _ => (false, text),
        };
        let (whole, rest) = digits(rest);
        let (fraction, rest) = match rest {
            [b'.', rest @ ..] => digits(rest),
            _ => (&rest[..0], rest),
        };
        let exponent = match rest {
            [] => 0,
            [b'e' | b'E', rest @ ..] => exponent(rest)?,
            _ => return None,
        };
        let number = Written { negative, whole, fraction, exponent };
        (!whole.is_empty() || !fraction.is_empty()).then_some(number)
    }

    /// The number of digits before the point once the exponent is applied, without leading zeros; 0 or less for a
    /// number below one. `None` if the number is zero.
    pub(crate) fn magnitude(&self) -> Option<i64> {
        let zeros = self.digits().take_while(|digit| *digit == 0).count();
        (zeros < self.whole.len() + self.fraction.len()).then(|| {
            (self.whole.len() as i64).saturating_sub(zeros as i64).saturating_add(self.exponent)
        })
    }

    /// Digits after the point as it is written, trailing zeros included: `1.50` has two, `1.5e-3` four.
    pub(crate) fn decimals(&self) -> u64 {
        let decimals = (self.fraction.len() as i64).saturating_sub(self.exponent);
        u64::try_from(decimals).unwrap_or(0)
    }

    /// Digits after the point that the value needs: none of them is a trailing zero.
    pub(crate) fn decimals_needed(&self) -> u64 {
        let all = self.whole.iter().chain(self.fraction);
        let zeros = all.rev().take_while(|digit| **digit == b'0').count();
        self.decimals().saturating_sub(zeros as u64)
    }

    /// The number times ten to the power of `places`, cut towards zero. The result has [`Written::magnitude`] +
    /// `places` digits; the caller has checked that these are 38 at most.
    pub(crate) fn cut(&self, places: i64) -> Cut {
        let Some(magnitude) = self.magnitude() else {
            return Cut { taken: 0, next: 0, more: false };
        };
        let take = magnitude.saturating_add(places);
        if take < 0 {
            return Cut { taken: 0, next: 0, more: true };
        }
        assert!(take <= 38, "{take} digits are more than 128 bits hold");
        let mut digits = self.digits().skip_while(|digit| *digit == 0);
        let taken =
            (0..take).fold(0, |value, _| value * 10 + u128::from(digits.next().unwrap_or(0)));
        let next = digits.next().unwrap_or(0);
        Cut { taken, next, more: digits.any(|digit| digit != 0) }
    }

    fn digits(&self) -> impl Iterator<Item = u8> + '_ {
        self.whole.iter().chain(self.fraction).map(|digit| digit - b'0')
    }
}

/// The digits that a text begins with, and the rest.
fn digits(text: &[u8]) -> (&[u8], &[u8]) {
    text.split_at(text.iter().take_while(|byte| byte.is_ascii_digit()).count())
}

fn exponent(text: &[u8]) -> Option<i64> {
    let (negative, rest) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    let (digits, behind) = digits(rest);
    if digits.is_empty() || !behind.is_empty() {
        return None;
    }
    // An exponent beyond the number of digits in any cell may have any size.
    let size = digits.iter().fold(0i64, |value, digit| {
        value.saturating_mul(10).saturating_add(i64::from(digit - b'0'))
    });
    Some(if negative { -size } else { size })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, places: i64, taken: u128, next: u8, more: bool) {
        let cut = Written::read(text.as_bytes()).unwrap().cut(places);
        assert_eq!(cut, Cut { taken, next, more }, "{text}");
    }

    #[test]
    fn numbers_are_cut() {
        check("1.5", 0, 1, 5, false);
        check("0001.25e1", 0, 12, 5, false);
        check("1.48e9", 3, 1_480_000_000_000, 0, false);
        check(".0509", 2, 5, 0, true);
        check("5.", 2, 500, 0, false);
        check("9e-3", 1, 0, 0, true);
        check("9e-2", 1, 0, 9, false);
        check("0e99999999999999999999", 9, 0, 0, false);
        check("1e-99999999999999999999", 9, 0, 0, true);
        check("123456", -4, 12, 3, true);
    }

    #[test]
    fn what_is_no_number() {
        for text in
            ["", "+", ".", "e5", "1e", "1e+", "1.e", "1..2", "--1", "1 ", "0x1", "inf", "1e5.0"]
        {
            assert!(Written::read(text.as_bytes()).is_none(), "{text}");
        }
    }

    #[test]
    fn digits_are_counted_as_written_and_as_needed() {
        let of = |text: &str| {
            let number = Written::read(text.as_bytes()).unwrap();
            (number.decimals(), number.decimals_needed(), number.magnitude())
        };
        assert_eq!(of("1.50"), (2, 1, Some(1)));
        assert_eq!(of("1.5e-3"), (4, 4, Some(-2)));
        assert_eq!(of("150e-1"), (1, 0, Some(2)));
        assert_eq!(of("15e3"), (0, 0, Some(5)));
        assert_eq!(of("0.000"), (3, 0, None));
    }
}
