//! Exact numbers in PostgreSQL's form.

use std::error::Error;

use bytes::{Buf, BufMut, BytesMut};
use pgwire::types::ToSqlText;
use pgwire::types::format::FormatOptions;
use postgres_types::{IsNull, ToSql, Type, to_sql_checked};

/// A decimal with as many digits as a column has. Its text has no trailing zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Numeric {
    unscaled: i128,
    scale: u8,
}

/// The base of the digits in PostgreSQL's binary form.
const BASE: u128 = 10_000;
/// The number of decimal digits in each.
const BASE_DIGITS: u8 = 4;
/// The sign of a negative number in that form.
const NEGATIVE: u16 = 0x4000;
/// The decimal digits of a number.
const PRECISION: usize = 38;

impl Numeric {
    /// `unscaled` · 10⁻ˢᶜᵃˡᵉ, in its shortest form.
    pub(crate) fn new(mut unscaled: i128, scale: i8) -> Numeric {
        // A negative scale is a factor.
        let mut scale = match u8::try_from(scale) {
            Ok(scale) => scale,
            Err(_) => {
                unscaled = unscaled.saturating_mul(10i128.pow(u32::from(scale.unsigned_abs())));
                0
            }
        };
        while scale > 0 && unscaled % 10 == 0 {
            unscaled /= 10;
            scale -= 1;
        }
        Numeric { unscaled, scale }
    }

    /// The number, if it is an integer.
    pub(crate) fn integer(self) -> Option<i128> {
        (self.scale == 0).then_some(self.unscaled)
    }

    /// The digits in base 10,000, without zeros at either end, and the power of the first one.
    fn digits(self) -> (Vec<u16>, i16) {
        // Digits are aligned with the point.
        let behind = self.scale.div_ceil(BASE_DIGITS);
        let factor = 10u128.pow(u32::from(behind * BASE_DIGITS - self.scale));
        let mut digits = Vec::new();
        // 38 digits times 1,000 do not fit into 128 bits.
        let absolute = self.unscaled.unsigned_abs();
        let (mut high, low) = (absolute / BASE, absolute % BASE * factor);
        let mut carry = low / BASE;
        digits.push((low % BASE) as u16);
        while high > 0 || carry > 0 {
            let digit = high % BASE * factor + carry;
            digits.push((digit % BASE) as u16);
            (high, carry) = (high / BASE, digit / BASE);
        }
        let mut weight = digits.len() as i16 - 1 - i16::from(behind);
        digits.reverse();
        while digits.last() == Some(&0) {
            digits.pop();
        }
        let leading = digits.iter().take_while(|digit| **digit == 0).count();
        digits.drain(..leading);
        weight -= leading as i16;
        (digits, weight)
    }
}

/// Why a number of a client is none of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NumericError {
    #[error("it is no number with digits: expected one such as -12.5 or 1E+20")]
    Syntax,
    #[error("it has more digits after the point than the {0} that are kept")]
    TooFine(u8),
    #[error("it needs more than 38 digits")]
    TooLarge,
}

/// The number in a text, times 10ˢᶜᵃˡᵉ.
pub(crate) fn from_text(text: &str, scale: u8) -> Result<i128, NumericError> {
    let text = text.trim_ascii();
    let (number, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let exponent: i64 = exponent.parse().map_err(|_| NumericError::Syntax)?;
    let (is_negative, number) = match number.strip_prefix('-') {
        Some(number) => (true, number),
        None => (false, number.strip_prefix('+').unwrap_or(number)),
    };
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let digits = [whole.as_bytes(), part.as_bytes()].concat();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(NumericError::Syntax);
    }
    let digits: Vec<u8> = digits.iter().map(|digit| digit - b'0').collect();
    scaled(is_negative, &digits, exponent.saturating_add(whole.len() as i64), scale)
}

/// The number in PostgreSQL's binary form, times 10ˢᶜᵃˡᵉ.
pub(crate) fn from_binary(mut bytes: &[u8], scale: u8) -> Result<i128, NumericError> {
    let header = [(); 4].map(|()| bytes.try_get_u16().ok());
    let [Some(count), Some(weight), Some(sign), Some(_)] = header else {
        return Err(NumericError::Syntax);
    };
    if bytes.len() != 2 * usize::from(count) || !matches!(sign, 0 | NEGATIVE) {
        return Err(NumericError::Syntax);
    }
    let mut digits = Vec::new();
    while let Ok(digit) = bytes.try_get_u16() {
        if u128::from(digit) >= BASE {
            return Err(NumericError::Syntax);
        }
        digits.extend([1_000, 100, 10, 1].map(|unit| (digit / unit % 10) as u8));
    }
    let point = (i64::from(weight as i16) + 1) * i64::from(BASE_DIGITS);
    scaled(sign == NEGATIVE, &digits, point, scale)
}

/// Decimal digits with the point behind so many of them, times 10ˢᶜᵃˡᵉ.
fn scaled(is_negative: bool, digits: &[u8], point: i64, scale: u8) -> Result<i128, NumericError> {
    let zeros = digits.iter().take_while(|digit| **digit == 0).count();
    let point = point.saturating_sub(zeros as i64);
    let digits = &digits[zeros..];
    if digits.is_empty() {
        return Ok(0);
    }
    // Digits that are not kept have to be zeros.
    let kept = usize::try_from(point.saturating_add(i64::from(scale))).unwrap_or(0);
    if kept > PRECISION {
        return Err(NumericError::TooLarge);
    }
    let (all, rest) = digits.split_at(kept.min(digits.len()));
    if rest.iter().any(|digit| *digit != 0) {
        return Err(NumericError::TooFine(scale));
    }
    let unscaled = all.iter().fold(0, |all, digit| all * 10 + i128::from(*digit));
    let unscaled = unscaled * 10i128.pow((kept - all.len()) as u32);
    Ok(if is_negative { -unscaled } else { unscaled })
}

impl std::fmt::Display for Numeric {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sign = if self.unscaled < 0 { "-" } else { "" };
        let digits = self.unscaled.unsigned_abs().to_string();
        let scale = usize::from(self.scale);
        match scale {
            0 => write!(f, "{sign}{digits}"),
            _ => {
                let digits = format!("{digits:0>width$}", width = scale + 1);
                let (whole, part) = digits.split_at(digits.len() - scale);
                write!(f, "{sign}{whole}.{part}")
            }
        }
    }
}

impl ToSqlText for Numeric {
    fn to_sql_text(
        &self,
        _: &Type,
        out: &mut BytesMut,
        _: &FormatOptions,
    ) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.put_slice(self.to_string().as_bytes());
        Ok(IsNull::No)
    }
}

impl ToSql for Numeric {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        let (digits, weight) = self.digits();
        out.put_u16(digits.len() as u16);
        out.put_i16(if digits.is_empty() { 0 } else { weight });
        out.put_u16(if self.unscaled < 0 { NEGATIVE } else { 0 });
        out.put_u16(u16::from(self.scale));
        digits.iter().for_each(|digit| out.put_u16(*digit));
        Ok(IsNull::No)
    }

    fn accepts(expected: &Type) -> bool {
        *expected == Type::NUMERIC
    }

    to_sql_checked!();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        let check = |unscaled, scale, text: &str| {
            assert_eq!(Numeric::new(unscaled, scale).to_string(), text);
        };
        check(0, 9, "0");
        check(1_500_000_000, 9, "1.5");
        check(-50_000_000, 9, "-0.05");
        check(7, -2, "700");
        check(i128::MAX, 0, "170141183460469231731687303715884105727");
        check(10i128.pow(38) - 1, 38, "0.99999999999999999999999999999999999999");
    }

    /// The value of a binary form, by its definition.
    fn value(bytes: &[u8]) -> (i128, i32) {
        let word = |at: usize| i16::from_be_bytes([bytes[2 * at], bytes[2 * at + 1]]);
        let (count, weight, sign) = (word(0), i32::from(word(1)), word(2));
        let digits = (0..count as usize).map(|at| i128::from(word(4 + at)));
        let unscaled = digits.fold(0, |all, digit| all * 10_000 + digit);
        (if sign == 0x4000 { -unscaled } else { unscaled }, 4 * (weight - i32::from(count) + 1))
    }

    #[test]
    fn binary() {
        let check = |unscaled: i128, scale: i8| {
            let mut out = BytesMut::new();
            Numeric::new(unscaled, scale).to_sql(&Type::NUMERIC, &mut out).unwrap();
            let (found, power) = value(&out);
            let power = power + i32::from(scale);
            match u32::try_from(power) {
                Ok(power) => assert_eq!(found * 10i128.pow(power), unscaled, "scale {scale}"),
                Err(_) => {
                    let factor = 10i128.pow(power.unsigned_abs());
                    assert_eq!((found / factor, found % factor), (unscaled, 0), "scale {scale}");
                }
            }
            assert_eq!(from_binary(&out, scale as u8), Ok(unscaled), "scale {scale}");
            let text = Numeric::new(unscaled, scale).to_string();
            assert_eq!(from_text(&text, scale as u8), Ok(unscaled), "{text}");
        };
        for scale in 0..=9 {
            for unscaled in [0, 1, -1, 9_999, 10_000, 10_001, 123_456_789, -100_000_000_000_001] {
                check(unscaled, scale);
            }
            check(12_345_678_901_234_567_890_123_456_789, scale);
        }
    }

    #[test]
    fn numbers_of_clients() {
        let (fine, large) = (NumericError::TooFine(9), NumericError::TooLarge);
        let most = format!("{}.999999999", "9".repeat(29));
        for (text, expect) in [
            ("0.05", Ok(50_000_000)),
            ("-1.25E-2", Ok(-12_500_000)),
            ("1E-9", Ok(1)),
            ("1e+20", Ok(10i128.pow(29))),
            ("+12.50000000000", Ok(12_500_000_000)),
            (" .5 ", Ok(500_000_000)),
            ("5.", Ok(5_000_000_000)),
            ("0E+900", Ok(0)),
            ("0.000000000000", Ok(0)),
            (&most, Ok(10i128.pow(38) - 1)),
            ("1E+29", Err(large)),
            ("1E+9000000000000000000", Err(large)),
            ("337.0000000001", Err(fine)),
            ("1E-10", Err(fine)),
            ("1E-9000000000000000000", Err(fine)),
            ("NaN", Err(NumericError::Syntax)),
            ("Infinity", Err(NumericError::Syntax)),
            ("1_000", Err(NumericError::Syntax)),
            (".", Err(NumericError::Syntax)),
            ("", Err(NumericError::Syntax)),
            ("--1", Err(NumericError::Syntax)),
        ] {
            assert_eq!(from_text(text, 9), expect, "{text}");
        }
        let binary = |words: &[u16]| -> Vec<u8> {
            words.iter().flat_map(|word| word.to_be_bytes()).collect()
        };
        for (words, expect) in [
            (&[1, 0xFFFF, 0, 2, 500][..], Ok(50_000_000)),
            (&[0, 0, 0, 0], Ok(0)),
            (&[2, 0, NEGATIVE, 1, 12, 5_000], Ok(-12_500_000_000)),
            (&[1, 0xFFFD, 0, 10, 100], Err(fine)),
            (&[1, 7, 0, 0, 10], Err(large)),
            (&[0, 0, 0xC000, 0], Err(NumericError::Syntax)),
            (&[1, 0, 0, 0], Err(NumericError::Syntax)),
            (&[1, 0, 0, 0, 10_000], Err(NumericError::Syntax)),
            (&[1, 0, 0], Err(NumericError::Syntax)),
        ] {
            assert_eq!(from_binary(&binary(words), 9), expect, "{words:?}");
        }
    }
}
