//! Values as JSON.

use std::fmt::Write;

use super::{Value, ValueRef};

/// The text of a JSON array of these.
pub(crate) fn json_list(values: &[Value]) -> String {
    let mut text = String::from("[");
    for (at, value) in values.iter().enumerate() {
        if at > 0 {
            text.push(',');
        }
        push_json(value.by_ref(), &mut text);
    }
    text.push(']');
    text
}

/// Doubles hold every integer up to here.
const EXACT: u128 = 1 << 53;

/// Appends a value as JSON. Integers beyond ±2⁵³ and decimals are strings, because a reader may store numbers as
/// doubles.
pub fn push_json(value: ValueRef<'_>, text: &mut String) {
    let is_bare = match value {
        ValueRef::Null => return text.push_str("null"),
        ValueRef::Text(value) => return push_json_text(value, text),
        ValueRef::Boolean(_) => true,
        ValueRef::Integer(number) => number.unsigned_abs() <= EXACT,
        ValueRef::Decimal(number) => {
            number.scale() == 0 && number.billionths().unsigned_abs() <= EXACT * 1_000_000_000
        }
        ValueRef::Date(_) | ValueRef::Timestamp(_) => false,
        // Bytes have a text with backslashes.
        ValueRef::Bytes(_) => return push_json_text(&value.to_string(), text),
    };
    let quote = if is_bare { "" } else { "\"" };
    write!(text, "{quote}{value}{quote}").expect("memory takes every text");
}

pub(crate) fn push_json_text(value: &str, text: &mut String) {
    text.push('"');
    for c in value.chars() {
        match c {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            c if c < ' ' => text.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => text.push(c),
        }
    }
    text.push('"');
}
