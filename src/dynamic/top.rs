//! The most frequent values of a column: how they are stored and shown.

use std::borrow::Cow;

use super::{RowValue, encoding};
use crate::aggregate::Top;
use crate::schema::Value;

/// The first bytes of a text that count. Together with the escapes and the end of an encoded text, they fit into a
/// value of [`Top`].
const TEXT_MAX: usize = 120;

/// The most values that are shown.
pub(super) const SHOWN_MAX: u32 = 1_000;

/// A value as it is stored: encoded as in a key; only the first bytes of long texts.
pub(super) fn encoded(value: &RowValue<'_>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(32);
    match value {
        RowValue::Text(text) if text.len() > TEXT_MAX => {
            let end = (0..=TEXT_MAX).rev().find(|at| text.is_char_boundary(*at));
            let begin = &text[..end.unwrap_or_default()];
            encoding::put(&RowValue::Text(Cow::Borrowed(begin)), &mut bytes);
        }
        RowValue::Bytes(long) if long.len() > TEXT_MAX => {
            encoding::put(&RowValue::Bytes(Cow::Borrowed(&long[..TEXT_MAX])), &mut bytes);
        }
        value => encoding::put(value, &mut bytes),
    }
    bytes
}

/// The most frequent values as JSON: `[{"value":"/a","count":3}]`. If counts are estimates, also by how much they may
/// be too high.
pub(super) fn shown(top: &Top, n: u32) -> Value {
    let mut text = String::from("[");
    let error = match top.error_max() {
        0 => String::new(),
        error => format!(",\"error_max\":{error}"),
    };
    for (bytes, count) in top.most_frequent(n as usize) {
        let mut bytes = bytes;
        let Ok(Some(value)) = encoding::take(&mut bytes) else { continue };
        if text.len() > 1 {
            text.push(',');
        }
        text.push_str("{\"value\":");
        match value.to_value() {
            number @ (Value::Integer(_) | Value::Decimal(_) | Value::Boolean(_)) => {
                text.push_str(&number.to_string());
            }
            other => text.push_str(&serde_json::Value::from(other.to_string()).to_string()),
        }
        text.push_str(&format!(",\"count\":{count}{error}}}"));
    }
    text.push(']');
    Value::Text(text)
}
