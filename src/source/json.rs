//! Lines of JSON: the selected fields of an object, as text.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::options::{CsvOptions, SELECTED_BYTES};

/// The selected names: the event time and the arrival if they are columns, and the selected fields.
pub(super) struct Fields(Vec<String>);

impl Fields {
    pub(super) fn new(options: &CsvOptions) -> Fields {
        Fields(options.time_columns().chain(&options.fields).cloned().collect())
    }

    /// In the order of a row's fields.
    pub(super) fn names(&self) -> &[String] {
        &self.0
    }

    /// The number of them.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// Appends the text of each field of the object on `line`, and its end; or says why the line is not a row.
    pub(super) fn find(
        &self,
        line: &[u8],
        text: &mut Vec<u8>,
        ends: &mut Vec<usize>,
    ) -> Result<(), String> {
        let line = std::str::from_utf8(line)
            .map_err(|error| format!("column {}: expected UTF-8", error.valid_up_to() + 1))?;
        let object = serde_json::from_str::<Object<'_>>(line).map_err(|error| explain(&error))?;
        for name in &self.0 {
            if let Some(value) = object.find(name)? {
                push(value, text).map_err(|reason| format!("{name:?}: {reason}"))?;
            }
            if text.len() > SELECTED_BYTES {
                return Err(format!("selected fields of more than {SELECTED_BYTES} bytes"));
            }
            ends.push(text.len());
        }
        Ok(())
    }
}

/// Appends the text of a value.
fn push(value: &RawValue, text: &mut Vec<u8>) -> Result<(), String> {
    match value.get() {
        "null" => {}
        string if string.starts_with('"') => {
            let string: Text<'_> = serde_json::from_str(string).map_err(|error| explain(&error))?;
            text.extend_from_slice(string.0.as_bytes());
        }
        other => text.extend_from_slice(other.as_bytes()),
    }
    Ok(())
}

/// The column and what was expected; the line is known from the row.
fn explain(error: &serde_json::Error) -> String {
    let (column, what) = (error.column(), error.to_string());
    let place = format!(" at line {} column {column}", error.line());
    let what = what.strip_suffix(&place).unwrap_or(&what);
    format!("column {}: {what}", column.max(1))
}

/// An object's fields, as they are written.
struct Object<'a>(HashMap<Cow<'a, str>, &'a RawValue>);

impl<'a> Object<'a> {
    /// The value at a name, or at a path of names with dots between.
    fn find(&self, name: &str) -> Result<Option<&'a RawValue>, String> {
        if let Some(value) = self.0.get(name) {
            return Ok(Some(value));
        }
        let Some((first, rest)) = name.split_once('.') else { return Ok(None) };
        match self.0.get(first) {
            Some(value) if value.get().starts_with('{') => {
                let inner = serde_json::from_str::<Object<'_>>(value.get());
                inner.map_err(|error| format!("in {first:?}, {}", explain(&error)))?.find(rest)
            }
            _ => Ok(None),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Object<'a>, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = HashMap<Cow<'de, str>, &'de RawValue>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = HashMap::new();
                while let Some(Text(name)) = map.next_key()? {
                    let value = map.next_value()?;
                    if fields.contains_key(&name) {
                        return Err(A::Error::custom(format_args!("the field {name:?} twice")));
                    }
                    fields.insert(name, value);
                }
                Ok(fields)
            }
        }

        from.deserialize_map(Fields).map(Object)
    }
}

/// A string, borrowed unless it has escapes.
pub(super) struct Text<'a>(pub(super) Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Text<'a>, D::Error> {
        struct Characters;

        impl<'de> Visitor<'de> for Characters {
            type Value = Cow<'de, str>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Cow<'de, str>, E> {
                Ok(Cow::Borrowed(text))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Cow<'de, str>, E> {
                Ok(Cow::Owned(text.to_owned()))
            }
        }

        from.deserialize_str(Characters).map(Text)
    }
}

#[cfg(test)]
mod tests;
