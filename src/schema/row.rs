//! A row that is read into the memory of the row before.

use super::Value;

/// The values of a row, with the memory of texts and bytes of earlier rows.
#[derive(Debug, Default)]
pub(crate) struct Row {
    pub(super) values: Vec<Value>,
    pub(super) spare: Spare,
}

/// Memory of texts and bytes that are no longer needed, each empty.
#[derive(Debug, Default)]
pub(super) struct Spare(Vec<Vec<u8>>);

impl Row {
    /// The values.
    pub(crate) fn values(&self) -> &[Value] {
        &self.values
    }

    /// Adds a value.
    pub(crate) fn push(&mut self, value: Value) {
        self.values.push(value);
    }

    /// Removes all values, and keeps the memory of as many as a row has: not all values are made in it again.
    pub(crate) fn clear(&mut self) {
        let most = self.values.len();
        for value in self.values.drain(..) {
            if self.spare.0.len() >= most {
                break;
            }
            let mut bytes = match value {
                Value::Text(text) => text.into_bytes(),
                Value::Bytes(bytes) => bytes,
                _ => continue,
            };
            bytes.clear();
            self.spare.0.push(bytes);
        }
    }
}

impl Spare {
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> Value {
        let mut of_value = self.0.pop().unwrap_or_default();
        of_value.extend_from_slice(bytes);
        Value::Bytes(of_value)
    }

    /// A text, if the bytes are UTF-8.
    pub(super) fn text(&mut self, bytes: &[u8]) -> Option<Value> {
        let text = std::str::from_utf8(bytes).ok()?;
        let mut of_value = String::from_utf8(self.0.pop().unwrap_or_default()).unwrap_or_default();
        of_value.push_str(text);
        Some(Value::Text(of_value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_one_row_is_kept_however_its_values_were_made() {
        let mut row = Row::default();
        for number in 0..1_000 {
            row.clear();
            assert!(row.values().is_empty() && row.spare.0.len() <= 2, "{number}");
            row.push(Value::Text(format!("made elsewhere, {number}")));
            row.push(Value::Bytes(vec![1, 2]));
        }
        row.clear();
        let text = row.spare.text(b"next").unwrap();
        assert_eq!(
            (text, row.spare.bytes(&[3])),
            (Value::Text("next".into()), Value::Bytes(vec![3]))
        );
    }
}
