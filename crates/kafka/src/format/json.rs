//! JSON.

use std::collections::BTreeMap;

use dayfold::schema::Value;
use serde_json::value::RawValue;

use super::{Fields, Format, within};

/// A JSON object. Integers and decimal numbers are exact; fields of nested objects have both names; an array is its
/// JSON text. If a name comes twice, the last one counts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Json;

impl Format for Json {
    fn decode(&self, bytes: &[u8]) -> Result<Fields, String> {
        let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
        let mut fields = Fields::default();
        object("", text, &mut fields)?;
        Ok(fields)
    }
}

fn object(outer: &str, text: &str, fields: &mut Fields) -> Result<(), String> {
    let values: BTreeMap<String, &RawValue> =
        serde_json::from_str(text).map_err(|error| format!("no JSON object: {error}"))?;
    for (name, value) in values {
        let (name, text) = (within(outer, &name), value.get());
        if text.starts_with('{') {
            object(&name, text, fields)?;
        } else {
            let value = scalar(text).map_err(|reason| format!("the field '{name}': {reason}"))?;
            fields.push(name, value);
        }
    }
    Ok(())
}

fn scalar(text: &str) -> Result<Value, String> {
    Ok(match text.as_bytes().first() {
        Some(b'"') => Value::Text(serde_json::from_str(text).map_err(|error| error.to_string())?),
        Some(b't') => Value::Boolean(true),
        Some(b'f') => Value::Boolean(false),
        Some(b'n') | None => Value::Null,
        Some(b'[') => Value::Text(text.to_owned()),
        Some(_) => match text.parse() {
            Ok(integer) => Value::Integer(integer),
            Err(_) => {
                let decimal = text.parse();
                Value::Decimal(decimal.map_err(|_| format!("{text} cannot be kept exactly"))?)
            }
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_fields_with_exact_numbers() {
        let text = r#"{"a":1,"b":{"c":"x\n","d":{"e":true}},"f":0.1,"g":[1, 2],"h":null,
            "i":170141183460469231731687303715884105727,"a":2}"#;
        let fields = Json.decode(text.as_bytes()).unwrap();
        assert_eq!(fields.integer("a"), Ok(2));
        assert_eq!(fields.text("b.c"), Ok("x\n"));
        assert_eq!(fields.get("b.d.e"), Some(&Value::Boolean(true)));
        assert_eq!(fields.get("f"), Some(&Value::Decimal("0.1".parse().unwrap())));
        assert_eq!(fields.text("g"), Ok("[1, 2]"));
        assert_eq!(fields.get("h"), Some(&Value::Null));
        assert_eq!(fields.integer("i"), Ok(i128::MAX));
        assert_eq!(fields.integer("b.c").unwrap_err(), "the field 'b.c' is 'x\n', not an integer");
        for bad in ["", "1", "{", "{\"a\":}", "\u{1}", "[]"] {
            assert!(Json.decode(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(Json.decode(b"{\"a\":\"\xFF\"}").is_err());
    }
}
