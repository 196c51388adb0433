//! CSV.

use dayfold::schema::Value;

use super::{Fields, Format};

/// One row of CSV, without a header: fields with the names given here, as texts; an empty field without quotes is null.
#[derive(Clone, Debug)]
pub struct Csv {
    columns: Vec<String>,
    delimiter: u8,
}

impl Csv {
    /// Rows with these columns, in this order.
    pub fn new<N: Into<String>>(columns: impl IntoIterator<Item = N>) -> Csv {
        Csv { columns: columns.into_iter().map(Into::into).collect(), delimiter: b',' }
    }

    /// Another character between the fields.
    #[must_use]
    pub fn delimiter(self, delimiter: u8) -> Csv {
        Csv { delimiter, ..self }
    }
}

impl Format for Csv {
    fn decode(&self, bytes: &[u8]) -> Result<Fields, String> {
        let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let mut rest = Some(bytes.strip_suffix(b"\r").unwrap_or(bytes));
        let (mut fields, mut found) = (Fields::default(), 0);
        while let Some(bytes) = rest {
            let value;
            (value, rest) = cell(bytes, self.delimiter)?;
            if let Some(name) = self.columns.get(found) {
                fields.push(name, value);
            }
            found += 1;
        }
        if found != self.columns.len() {
            return Err(format!("{found} fields instead of {}", self.columns.len()));
        }
        Ok(fields)
    }
}

/// The first cell, and the rest; `None` if it was the last one.
fn cell(bytes: &[u8], delimiter: u8) -> Result<(Value, Option<&[u8]>), String> {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).map_err(|error| error.to_string());
    let Some(mut quoted) = bytes.strip_prefix(b"\"") else {
        let end = bytes.iter().position(|byte| *byte == delimiter);
        let (cell, rest) =
            end.map_or((bytes, None), |end| (&bytes[..end], Some(&bytes[end + 1..])));
        if cell.is_empty() {
            return Ok((Value::Null, rest));
        }
        return Ok((Value::Text(text(cell.to_vec())?), rest));
    };
    let mut cell = Vec::new();
    loop {
        let end = quoted.iter().position(|byte| *byte == b'"').ok_or("a quote is not closed")?;
        cell.extend_from_slice(&quoted[..end]);
        quoted = &quoted[end + 1..];
        match quoted.first() {
            Some(b'"') => {
                cell.push(b'"');
                quoted = &quoted[1..];
            }
            Some(byte) if *byte != delimiter => {
                return Err("something stands behind a closing quote".to_owned());
            }
            first => return Ok((Value::Text(text(cell)?), first.map(|_| &quoted[1..]))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_cut_as_rfc_4180_says() {
        let csv = Csv::new(["a", "b", "c"]);
        let row = |text: &str| {
            let fields = csv.decode(text.as_bytes())?;
            let shown = fields.iter().map(|(name, value)| format!("{name}={value:?}"));
            Ok::<_, String>(shown.collect::<Vec<_>>().join(" "))
        };
        let expect = r#"a=Text("x,\"y\"\nz") b=Null c=Text("")"#;
        assert_eq!(row("\"x,\"\"y\"\"\nz\",,\"\"\r\n").unwrap(), expect);
        assert_eq!(row("1,2").unwrap_err(), "2 fields instead of 3");
        assert_eq!(row("1,2,3,").unwrap_err(), "4 fields instead of 3");
        assert_eq!(row("1,\"2,3").unwrap_err(), "a quote is not closed");
        assert_eq!(row("1,\"2\"x,3").unwrap_err(), "something stands behind a closing quote");
        let tabs = Csv::new(["a", "b"]).delimiter(b'\t').decode(b"1\t2,3").unwrap();
        assert_eq!((tabs.integer("a"), tabs.text("b")), (Ok(1), Ok("2,3")));
        assert!(csv.decode(b"\xFF,,").is_err());
    }
}
