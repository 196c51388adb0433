//! The encoding of values in keys: it keeps their order, and each has a tag for its kind.
//!
//! ```text
//! key      (value)* 00
//! value    01 null │ 02 boolean │ 03 integer │ 04 decimal │ 05 date │ 06 timestamp │ 07 text │ 08 bytes
//! boolean  00 false │ 01 true
//! text, bytes   the bytes, 00 as 00 FF, then 00 00
//! integer, date (days since 1970), timestamp (milliseconds since 1970), decimal (billionths)
//!          80+n, then n bytes of a number ≥ 0, the highest first; 7F−n, then n bytes of a number < 0; n is the least
//! ```
//!
//! The encoding of a column does not depend on the length of others. So the bytes sort as the values do, column by
//! column, and the first columns of a key are a prefix of it. A value has one encoding, and other bytes are refused.

use std::borrow::Cow;

use super::RowValue;
use super::put::PutValues;
use crate::aggregate::Decimal;
use crate::key::{KeyError, decode_bytes, encode_bytes, text_length};
use crate::schema::ValueRef;
use crate::time::Day;

/// After the last column.
pub(super) const END: u8 = 0;
const NULL: u8 = 1;
const BOOLEAN: u8 = 2;
const INTEGER: u8 = 3;
const DECIMAL: u8 = 4;
const DATE: u8 = 5;
const TIMESTAMP: u8 = 6;
const TEXT: u8 = 7;
const BYTES: u8 = 8;

/// Appends a value. Decimals that are equal as numbers have one encoding, whatever their scales.
pub(super) fn put(value: &RowValue<'_>, out: &mut Vec<u8>) {
    match value {
        RowValue::Null => out.push(NULL),
        RowValue::Boolean(is_so) => out.extend([BOOLEAN, u8::from(*is_so)]),
        RowValue::Integer(number) => put_number(INTEGER, *number, out),
        RowValue::Decimal(number) => put_number(DECIMAL, number.billionths(), out),
        RowValue::Date(day) => put_number(DATE, day.0.into(), out),
        RowValue::Timestamp(time) => put_number(TIMESTAMP, (*time).into(), out),
        RowValue::Text(text) => {
            out.push(TEXT);
            encode_bytes(text.as_bytes(), out);
        }
        RowValue::Bytes(bytes) => {
            out.push(BYTES);
            encode_bytes(bytes, out);
        }
    }
}

/// Appends the common prefix of all texts, or bytes, that begin with these, without the end of the text.
pub(super) fn put_prefix(prefix: &RowValue<'_>, out: &mut Vec<u8>) {
    put(prefix, out);
    if matches!(prefix, RowValue::Text(_) | RowValue::Bytes(_)) {
        out.truncate(out.len() - 2);
    }
}

/// Reads a value from the front of `bytes`; `None` at the end of a key.
#[inline]
pub(crate) fn take<'a>(bytes: &mut &'a [u8]) -> Result<Option<RowValue<'a>>, KeyError> {
    let tag = take_byte(bytes)?;
    Ok(Some(match tag {
        END => return Ok(None),
        NULL => RowValue::Null,
        BOOLEAN => match take_byte(bytes)? {
            0 => RowValue::Boolean(false),
            1 => RowValue::Boolean(true),
            _ => return Err(ERROR),
        },
        INTEGER => RowValue::Integer(take_number(bytes)?),
        DECIMAL => RowValue::Decimal(shortest(take_number(bytes)?)),
        DATE => RowValue::Date(Day(narrow(take_number(bytes)?)?)),
        TIMESTAMP => RowValue::Timestamp(narrow(take_number(bytes)?)?),
        TEXT => RowValue::Text(match decode_bytes(bytes)? {
            Cow::Borrowed(text) => Cow::Borrowed(std::str::from_utf8(text).map_err(|_| ERROR)?),
            Cow::Owned(text) => Cow::Owned(String::from_utf8(text).map_err(|_| ERROR)?),
        }),
        BYTES => RowValue::Bytes(decode_bytes(bytes)?),
        _ => return Err(ERROR),
    }))
}

/// Reads a value from the front of `bytes` into a column; `None` at the end of a key, or if there is no valid value.
/// The most frequent kinds are not made into a [`RowValue`] first.
#[inline]
pub(crate) fn take_into(bytes: &mut &[u8], column: usize, out: &mut impl PutValues) -> Option<()> {
    let (&tag, mut rest) = bytes.split_first()?;
    match tag {
        INTEGER => {
            out.integer(column, take_number(&mut rest).ok()?);
            *bytes = rest;
        }
        TEXT => {
            let text = decode_bytes(&mut rest).ok()?;
            out.value(column, ValueRef::Text(std::str::from_utf8(&text).ok()?));
            *bytes = rest;
        }
        _ => {
            let value = take(bytes).ok()??;
            out.value(column, value.as_value_ref());
        }
    }
    Some(())
}

/// The length of the value at the front of these bytes; `None` at the end of a key, or if there is no valid value.
pub(crate) fn value_length(bytes: &[u8]) -> Option<usize> {
    let (tag, rest) = bytes.split_first()?;
    let length = match *tag {
        NULL => 0,
        BOOLEAN => 1,
        INTEGER | DECIMAL | DATE | TIMESTAMP => {
            let digits = *rest.first()?;
            1 + usize::from(if digits < 0x80 { 0x7F - digits } else { digits - 0x80 })
        }
        TEXT | BYTES => text_length(rest)?,
        _ => return None,
    };
    (length <= rest.len()).then_some(1 + length)
}

const ERROR: KeyError = KeyError { expected: "dynamic key" };

fn take_byte(bytes: &mut &[u8]) -> Result<u8, KeyError> {
    let (&byte, rest) = bytes.split_first().ok_or(ERROR)?;
    *bytes = rest;
    Ok(byte)
}

fn narrow<T: TryFrom<i128>>(number: i128) -> Result<T, KeyError> {
    T::try_from(number).map_err(|_| ERROR)
}

/// The number with as many digits after the point as it needs.
fn shortest(billionths: i128) -> Decimal {
    let (mut rest, mut scale) = (billionths, 9);
    while scale > 0 && rest % 10 == 0 {
        rest /= 10;
        scale -= 1;
    }
    Decimal::from_billionths(billionths, scale)
}

const WIDTH: usize = size_of::<i128>();

fn put_number(tag: u8, number: i128, out: &mut Vec<u8>) {
    let is_negative = number < 0;
    let size = if is_negative { !number } else { number };
    let bytes = WIDTH - size.leading_zeros() as usize / 8;
    let length = if is_negative { 0x7F - bytes as u8 } else { 0x80 + bytes as u8 };
    out.extend([tag, length]);
    out.extend(&number.to_be_bytes()[WIDTH - bytes..]);
}

/// The number of up to eight digits. A loop would be slower: the number of its rounds is hard to predict.
#[inline]
fn short_number(digits: &[u8]) -> u64 {
    let count = digits.len();
    if let (Some(first), Some(last)) = (digits.first_chunk(), digits.last_chunk()) {
        let [first, last] = [first, last].map(|four| u64::from(u32::from_be_bytes(*four)));
        // Both have some of the digits.
        return first << (8 * (count - 4)) | last;
    }
    let (Some(first), Some(last)) = (digits.first(), digits.last()) else { return 0 };
    let middle = u64::from(digits[count / 2]) << (8 * (count - 1 - count / 2));
    u64::from(*first) << (8 * (count - 1)) | middle | u64::from(*last)
}

#[inline]
fn take_number(bytes: &mut &[u8]) -> Result<i128, KeyError> {
    let length = take_byte(bytes)?;
    let is_negative = length < 0x80;
    let count = usize::from(if is_negative { 0x7F - length } else { length - 0x80 });
    let (digits, rest) = bytes.split_at_checked(count).ok_or(ERROR)?;
    *bytes = rest;
    let filler = if is_negative { 0xFF } else { 0 };
    // A byte that only repeats the sign is left out.
    if count > WIDTH || digits.first() == Some(&filler) {
        return Err(ERROR);
    }
    // Most numbers are short.
    let number = match count {
        0..8 => {
            let sign = if is_negative { -1 << (8 * count) } else { 0 };
            (short_number(digits) as i64 | sign).into()
        }
        _ => {
            let mut number = [filler; WIDTH];
            number[WIDTH - count..].copy_from_slice(digits);
            i128::from_be_bytes(number)
        }
    };
    if (number < 0) == is_negative { Ok(number) } else { Err(ERROR) }
}
