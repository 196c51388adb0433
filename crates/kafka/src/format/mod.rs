//! The content of a record's value: named fields with types.
//!
//! Each format has a feature of its own name. Numbers are exact: a number with a point is a decimal; a binary
//! floating-point number becomes the shortest decimal that reads back as the same number.

#[cfg(feature = "avro")]
mod avro;
#[cfg(feature = "csv")]
mod csv;
mod debezium;
#[cfg(feature = "json")]
mod json;
#[cfg(feature = "protobuf")]
mod protobuf;
#[cfg(feature = "registry")]
mod registry;

#[cfg(feature = "avro")]
pub use avro::Avro;
#[cfg(feature = "csv")]
pub use csv::Csv;
pub use debezium::{Change, Debezium};
#[cfg(feature = "json")]
pub use json::Json;
#[cfg(feature = "protobuf")]
pub use protobuf::Protobuf;
#[cfg(feature = "registry")]
pub use registry::Registry;

use dayfold::schema::Value;
use dayfold::time::EventTime;

/// Reads the fields of a record's value.
pub trait Format: Send + Sync + 'static {
    /// The fields.
    ///
    /// # Errors
    /// Why the record is refused, on one line.
    fn decode(&self, bytes: &[u8]) -> Result<Fields, String>;
}

/// Named values. Nested values have both names, with a point between: `address.city`.
///
/// ```
/// use dayfold::schema::Value;
/// use dayfold_kafka::format::{Fields, Format};
///
/// /// `key=value`, one on each line.
/// struct Properties;
///
/// impl Format for Properties {
///     fn decode(&self, bytes: &[u8]) -> Result<Fields, String> {
///         let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
///         let mut fields = Fields::default();
///         for line in text.lines() {
///             let (name, value) = line.split_once('=').ok_or("expected name=value")?;
///             fields.push(name, Value::Text(value.to_owned()));
///         }
///         Ok(fields)
///     }
/// }
///
/// let fields = Properties.decode(b"city=Oslo\nshop=north").unwrap();
/// assert_eq!(fields.text("city"), Ok("Oslo"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    fields: Vec<(String, Value)>,
}

impl Fields {
    /// Adds a field.
    pub fn push(&mut self, name: impl Into<String>, value: Value) {
        self.fields.push((name.into(), value));
    }

    /// The fields, in the order of the record.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Value)> {
        self.fields.iter().map(|(name, value)| (&**name, value))
    }

    /// The last field of this name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.fields.iter().rev().find(|(field, _)| field == name).map(|(_, value)| value)
    }

    /// A text.
    ///
    /// # Errors
    /// If there is no field of this name, or no text in it.
    pub fn text(&self, name: &str) -> Result<&str, String> {
        match self.get(name) {
            Some(Value::Text(text)) => Ok(text),
            other => Err(wrong(name, other, "a text")),
        }
    }

    /// An integer, even if it is written as a text, as in CSV.
    ///
    /// # Errors
    /// If there is no field of this name, or no integer in it.
    pub fn integer(&self, name: &str) -> Result<i128, String> {
        let wrong = |other| wrong(name, other, "an integer");
        match self.get(name) {
            Some(Value::Integer(number)) => Ok(*number),
            Some(value @ Value::Text(text)) => text.parse().map_err(|_| wrong(Some(value))),
            other => Err(wrong(other)),
        }
    }

    /// A time: a timestamp, milliseconds of UTC, or a text of RFC 3339.
    ///
    /// # Errors
    /// If there is no field of this name, or no time in it.
    pub fn time(&self, name: &str) -> Result<EventTime, String> {
        let wrong = |other| wrong(name, other, "a time");
        match self.get(name) {
            Some(Value::Timestamp(time)) => Ok(*time),
            Some(value @ Value::Integer(number)) => {
                EventTime::try_from(*number).map_err(|_| wrong(Some(value)))
            }
            Some(value @ Value::Text(text)) => {
                dayfold::source::parse_time(text.as_bytes()).map_err(|_| wrong(Some(value)))
            }
            other => Err(wrong(other)),
        }
    }
}

fn wrong(name: &str, found: Option<&Value>, expected: &str) -> String {
    match found {
        None => format!("there is no field '{name}'"),
        Some(value) => format!("the field '{name}' is '{value}', not {expected}"),
    }
}

/// The decimal number that a floating-point number stands for.
#[cfg(any(feature = "avro", feature = "protobuf"))]
fn decimal_of(number: impl std::fmt::Display) -> Result<Value, String> {
    let text = number.to_string();
    let decimal = text.parse().map_err(|_| format!("{text} is no number that can be kept exactly"));
    decimal.map(Value::Decimal)
}

/// The id of the schema before a value, and the value.
#[cfg(any(feature = "avro", feature = "protobuf"))]
fn id_of(bytes: &[u8]) -> Result<(u32, &[u8]), String> {
    let short = "the value is shorter than the number of a schema";
    match bytes.split_first().ok_or(short)? {
        (0, rest) => {
            let (id, value) = rest.split_first_chunk().ok_or(short)?;
            Ok((u32::from_be_bytes(*id), value))
        }
        (first, _) => {
            Err(format!("the value begins with {first}, not with 0 and the number of a schema"))
        }
    }
}

/// The name of a field within another.
#[cfg(any(feature = "avro", feature = "json", feature = "protobuf"))]
fn within(outer: &str, name: &str) -> String {
    if outer.is_empty() { name.to_owned() } else { format!("{outer}.{name}") }
}
