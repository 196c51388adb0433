//! Values from their text.

use std::fmt;

use super::{Kind, Value};
use crate::aggregate::Decimal;
use crate::time::Day;

/// A text that is not a value of a kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is no {kind}: expected {}", Expected(*kind))]
#[non_exhaustive]
pub struct ValueTextError {
    /// What was given.
    pub text: String,
    /// The kind that was expected.
    pub kind: Kind,
}

struct Expected(Kind);

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::Text => "a text",
            Kind::Integer => "a whole number, such as -17",
            Kind::Decimal => "a decimal number, such as -1.50",
            Kind::Boolean => "true or false",
            Kind::Date => "a day, such as 2024-05-01",
            Kind::Timestamp => "a time in RFC 3339, such as 2024-05-01T12:00:00Z",
            Kind::Bytes => "printable ASCII, and other bytes as \\x and two hexadecimal digits",
        })
    }
}

impl Value {
    /// The value with this text. It is the inverse of [`Display`](fmt::Display), except that no text gives null.
    ///
    /// Whole numbers have one text: no plus sign, no leading zeros.
    ///
    /// # Errors
    /// [`ValueTextError`] if the text is not a value of this kind.
    pub fn of_text(kind: Kind, text: &str) -> Result<Value, ValueTextError> {
        let value = match kind {
            Kind::Text => Some(Value::Text(text.to_owned())),
            Kind::Integer => {
                let number = text.parse::<i128>().ok();
                number.filter(|number| number.to_string() == text).map(Value::Integer)
            }
            Kind::Decimal => Decimal::parse(text.as_bytes()).ok().map(Value::Decimal),
            Kind::Boolean => text.parse().ok().map(Value::Boolean),
            Kind::Date => text.parse::<Day>().ok().map(Value::Date),
            Kind::Timestamp => {
                let time = text.parse::<jiff::Timestamp>().ok();
                let whole = time.filter(|time| time.subsec_nanosecond() % 1_000_000 == 0);
                whole.map(|time| Value::Timestamp(time.as_millisecond()))
            }
            Kind::Bytes => bytes(text).map(Value::Bytes),
        };
        value.ok_or_else(|| ValueTextError { text: text.to_owned(), kind })
    }
}

/// Bytes as written by [`Value`].
fn bytes(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        rest = match byte {
            b'\\' => {
                let (digits, behind) = behind.strip_prefix(b"x")?.split_at_checked(2)?;
                let digit = |digit: u8| char::from(digit).to_digit(16);
                bytes.push((digit(digits[0])? << 4 | digit(digits[1])?) as u8);
                behind
            }
            b' '..=b'~' => {
                bytes.push(byte);
                behind
            }
            _ => return None,
        };
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_from_their_texts() {
        let values = [
            Value::Text("a\"é\\".to_owned()),
            Value::Text(String::new()),
            Value::Integer(i128::MIN),
            Value::Decimal("-1.50".parse().unwrap()),
            Value::Boolean(false),
            Value::Date(Day(-1)),
            Value::Timestamp(-1_500),
            Value::Bytes(b"UA \x00\\\"\xFF'~".to_vec()),
        ];
        for value in values {
            let kind = value.kind().unwrap();
            assert_eq!(Value::of_text(kind, &value.to_string()), Ok(value));
        }
    }

    #[test]
    fn what_is_no_value_says_what_was_expected() {
        for (kind, texts) in [
            (
                Kind::Integer,
                &["+1", "01", "", "1.0", "170141183460469231731687303715884105728"][..],
            ),
            (Kind::Decimal, &["", "x", "1,5"]),
            (Kind::Boolean, &["True", "1", ""]),
            (Kind::Date, &["2024-5-1", "today", ""]),
            (Kind::Timestamp, &["2024-05-01", "2024-05-01T00:00:00.0001Z", ""]),
            (Kind::Bytes, &["é", "\\", "\\x0", "\\x0g", "\\n"]),
        ] {
            for text in texts {
                let error = Value::of_text(kind, text).unwrap_err();
                assert!(
                    error.to_string().starts_with(&format!("'{text}' is no {kind}: expected "))
                );
            }
        }
    }
}
