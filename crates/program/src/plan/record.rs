//! Splits records into their fields.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::config::FileFormat;

/// What to do about a file in another encoding.
pub(crate) const NO_UTF8: &str =
    "expected UTF-8; convert the file first, for example with `iconv -f LATIN1 -t UTF-8`";

/// Splits records of one format.
#[derive(Clone, Debug)]
pub(crate) enum Splitter {
    /// CSV with this delimiter.
    Csv(u8),
    Json,
}

/// A record, split.
#[derive(Debug)]
pub(crate) enum Record<'a> {
    /// The fields of CSV, without quotes.
    Fields(Vec<Cow<'a, str>>),
    /// A JSON object.
    Object(Object<'a>),
}

impl Splitter {
    pub(crate) fn new(format: &FileFormat) -> Splitter {
        match format {
            FileFormat::Csv { delimiter, .. } => Splitter::Csv(*delimiter),
            // Binary formats are decoded to JSON.
            FileFormat::Json
            | FileFormat::Parquet
            | FileFormat::Avro(_)
            | FileFormat::Protobuf { .. } => Splitter::Json,
        }
    }

    /// The parts of a record; the error says why it cannot be split.
    pub(crate) fn split<'a>(&self, record: &'a [u8]) -> Result<Record<'a>, String> {
        let text = std::str::from_utf8(record);
        let text = text.map_err(|error| format!("byte {}: {NO_UTF8}", error.valid_up_to() + 1))?;
        match self {
            Splitter::Csv(delimiter) => Ok(Record::Fields(fields(text, *delimiter))),
            Splitter::Json => {
                serde_json::from_str(text).map(Record::Object).map_err(|error| error.to_string())
            }
        }
    }
}

/// A CSV record with commas as a JSON object: all values are texts, and empty ones are missing.
///
/// # Errors
/// If it does not have as many fields as there are names, or is not UTF-8.
pub(crate) fn object_of(names: &[String], record: &[u8]) -> Result<String, String> {
    let text = std::str::from_utf8(record);
    let text = text.map_err(|error| format!("byte {}: {NO_UTF8}", error.valid_up_to() + 1))?;
    let fields = fields(text, b',');
    if fields.len() != names.len() {
        return Err(format!("{} fields where the header has {}", fields.len(), names.len()));
    }
    let there = names.iter().zip(fields).filter(|(_, field)| !field.is_empty());
    let object: serde_json::Map<String, serde_json::Value> =
        there.map(|(name, field)| (name.clone(), field.into_owned().into())).collect();
    Ok(serde_json::Value::Object(object).to_string())
}

/// The fields of a CSV record, as in RFC 4180. The library has cut the record, so quotes are closed.
pub(crate) fn fields(text: &str, delimiter: u8) -> Vec<Cow<'_, str>> {
    let mut fields = Vec::with_capacity(16);
    let mut rest = text;
    loop {
        let (field, behind) = match rest.strip_prefix('"') {
            None => {
                let end = memchr::memchr(delimiter, rest.as_bytes());
                (Cow::Borrowed(&rest[..end.unwrap_or(rest.len())]), end.map(|end| &rest[end + 1..]))
            }
            Some(quoted) => quoted_field(quoted, delimiter),
        };
        fields.push(field);
        match behind {
            Some(behind) => rest = behind,
            None => return fields,
        }
    }
}

/// A field after its opening quote, and the rest after the delimiter.
fn quoted_field(text: &str, delimiter: u8) -> (Cow<'_, str>, Option<&str>) {
    let mut field = Cow::Borrowed("");
    let mut rest = text;
    loop {
        let end = memchr::memchr(b'"', rest.as_bytes()).unwrap_or(rest.len());
        field += &rest[..end];
        rest = rest.get(end + 1..).unwrap_or_default();
        match rest.strip_prefix('"') {
            Some(behind) => {
                field += "\"";
                rest = behind;
            }
            None => {
                let end = memchr::memchr(delimiter, rest.as_bytes());
                return (field, end.map(|end| &rest[end + 1..]));
            }
        }
    }
}

impl<'a> Record<'a> {
    /// Visits every value, with its name and whether it is a text.
    pub(crate) fn walk(&self, see: &mut impl FnMut(&str, &str, bool)) {
        if let Record::Object(object) = self {
            object.walk("", see);
        }
    }
}

/// The fields of an object, as they are written.
#[derive(Debug)]
pub(crate) struct Object<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Object<'a> {
    /// The text of the value at a name, or at a path of names separated by dots; `None` if it is null or missing. An
    /// array or an object gives its JSON.
    pub(crate) fn text(&self, name: &str) -> Result<Option<Cow<'a, str>>, String> {
        let Some(value) = self.find(name)? else { return Ok(None) };
        match value.get() {
            "null" => Ok(None),
            text if text.starts_with('"') => {
                let Name(text) =
                    serde_json::from_str(text).map_err(|error| format!("'{name}': {error}"))?;
                Ok(Some(text))
            }
            other => Ok(Some(Cow::Borrowed(other))),
        }
    }

    fn find(&self, name: &str) -> Result<Option<&'a RawValue>, String> {
        let named =
            |wanted: &str| self.0.iter().find(|(name, _)| name == wanted).map(|(_, value)| *value);
        if let Some(value) = named(name) {
            return Ok(Some(value));
        }
        let Some((first, rest)) = name.split_once('.') else { return Ok(None) };
        match named(first) {
            Some(value) if value.get().starts_with('{') => {
                let inner: Object<'a> = serde_json::from_str(value.get())
                    .map_err(|error| format!("in '{first}': {error}"))?;
                inner.find(rest)
            }
            _ => Ok(None),
        }
    }

    fn walk(&self, prefix: &str, see: &mut impl FnMut(&str, &str, bool)) {
        for (name, value) in &self.0 {
            let name =
                if prefix.is_empty() { name.to_string() } else { format!("{prefix}.{name}") };
            match value.get() {
                "null" => {}
                text if text.starts_with('"') => {
                    if let Ok(Name(text)) = serde_json::from_str(text) {
                        see(&name, &text, true);
                    }
                }
                object if object.starts_with('{') => {
                    if let Ok(inner) = serde_json::from_str::<Object<'_>>(object) {
                        inner.walk(&name, see);
                    }
                }
                other => see(&name, other, other.starts_with('[')),
            }
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Object<'a>, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::with_capacity(16);
                while let Some(Name(name)) = map.next_key()? {
                    if fields.iter().any(|(known, _)| *known == name) {
                        return Err(A::Error::custom(format_args!("the field '{name}' twice")));
                    }
                    fields.push((name, map.next_value()?));
                }
                Ok(fields)
            }
        }

        from.deserialize_map(Fields).map(Object)
    }
}

/// A string, borrowed unless it has escapes.
struct Name<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Name<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Name<'a>, D::Error> {
        struct Text;

        impl<'de> Visitor<'de> for Text {
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

        from.deserialize_str(Text).map(Name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_csv() {
        let check = |text: &str, expect: &[&str]| assert_eq!(fields(text, b','), expect, "{text}");
        check("a,b,", &["a", "b", ""]);
        check("", &[""]);
        check("\"a,b\",c", &["a,b", "c"]);
        check("\"a\"\"b\",\"\"", &["a\"b", ""]);
        check("a\"b,\"x\ny\"", &["a\"b", "x\ny"]);
    }

    #[test]
    fn records_of_csv_as_json() {
        let names = ["a".to_owned(), "b".to_owned()];
        assert_eq!(object_of(&names, b"1.50,\"x,y\"").unwrap(), r#"{"a":"1.50","b":"x,y"}"#);
        assert_eq!(object_of(&names, b"1,").unwrap(), r#"{"a":"1"}"#);
        assert_eq!(object_of(&names, b"1").unwrap_err(), "1 fields where the header has 2");
    }

    #[test]
    fn values_of_json() {
        let line = r#"{"a": {"b": "x\ny", "n": null}, "n": 1.50, "l": [1, 2], "t": true, "a.c": "dotted"}"#;
        let Ok(Record::Object(object)) = Splitter::Json.split(line.as_bytes()) else {
            panic!("an object")
        };
        let text = |name: &str| object.text(name).unwrap().map(Cow::into_owned);
        assert_eq!(text("a.b").as_deref(), Some("x\ny"));
        assert_eq!(text("a.c").as_deref(), Some("dotted"));
        assert_eq!(text("n").as_deref(), Some("1.50"));
        assert_eq!(text("l").as_deref(), Some("[1, 2]"));
        assert_eq!((text("a.n"), text("x"), text("n.x")), (None, None, None));
        let mut seen = Vec::new();
        Record::Object(object)
            .walk(&mut |name, text, is_text| seen.push(format!("{name}={text} {is_text}")));
        assert_eq!(
            seen,
            ["a.b=x\ny true", "n=1.50 false", "l=[1, 2] true", "t=true false", "a.c=dotted true"]
        );
        assert!(
            Splitter::Json.split(b"{\"a\": 1, \"a\": 2}").is_err()
                && Splitter::Json.split(b"[]").is_err()
        );
    }
}
