//! Values as JSON.

use super::Value;

/// The text of a JSON array of these.
pub(crate) fn json_list(values: &[Value]) -> String {
    let mut text = String::from("[");
    for (at, value) in values.iter().enumerate() {
        if at > 0 {
            text.push(',');
        }
        push_json(value, &mut text);
    }
    text.push(']');
    text
}

/// Doubles hold every integer up to here.
const EXACT: u128 = 1 << 53;

/// Integers beyond ±2⁵³ and decimals are strings, since a reader may keep numbers as doubles.
pub(crate) fn push_json(value: &Value, text: &mut String) {
    let is_number = match value {
        Value::Null => return text.push_str("null"),
        Value::Boolean(_) => true,
        Value::Integer(number) => number.unsigned_abs() <= EXACT,
        Value::Decimal(number) => {
            number.scale() == 0 && number.billionths().unsigned_abs() <= EXACT * 1_000_000_000
        }
        Value::Text(_) | Value::Date(_) | Value::Timestamp(_) | Value::Bytes(_) => false,
    };
    match is_number {
        true => text.push_str(&value.to_string()),
        false => push_json_text(&value.to_string(), text),
    }
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
