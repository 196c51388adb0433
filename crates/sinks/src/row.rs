//! Rows as stores get them, and the schema of their table.

use std::sync::Arc;

use dayfold::scan::{Batch, ErasedView, Scan};
use dayfold::schema::{Column, Kind, Value, ViewSchema};
use dayfold::time::Day;

use crate::SinkError;

/// The columns that each row has besides those of its view.
const OWN: [&str; 3] = ["sealed", "revision", "as_of"];

/// The schema of a view's rows in a store.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Table {
    /// The name of the view.
    pub view: String,
    /// The column of periods: a date, or for hours a timestamp.
    pub period: Column,
    /// The columns of the key.
    pub key: Vec<Column>,
    /// The measures, without sketches.
    pub measures: Vec<Column>,
}

impl Table {
    /// The table of a view.
    pub fn of(schema: &ViewSchema) -> Table {
        let numbers = schema.measures.iter().filter(|measure| measure.kind != Kind::Bytes);
        let measures = numbers.map(|measure| {
            let mut column = Column::new(&measure.name, measure.kind);
            column.nullable = measure.nullable;
            column
        });
        Table {
            view: schema.name.clone(),
            period: schema.period(),
            key: schema.key.clone(),
            measures: measures.collect(),
        }
    }

    /// Checks that no column has the name of one that a sink adds: `sealed`, `revision` and `as_of`.
    ///
    /// # Errors
    /// [`SinkError::Column`] if a column of the view has one of these names.
    pub fn check(&self) -> Result<(), SinkError> {
        match self.names().find(|name| OWN.contains(name)) {
            None => Ok(()),
            Some(column) => {
                let (view, column) = (self.view.clone(), column.to_owned());
                Err(SinkError::Column { view, column })
            }
        }
    }

    /// The names of the period's column, of the key's columns, and of the measures, in this order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let key = self.key.iter().chain(&self.measures);
        std::iter::once(&self.period).chain(key).map(|column| column.name.as_str())
    }
}

/// The merged answer for one period and key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Row {
    /// The period.
    pub period: Day,
    /// The values of the key's columns.
    pub key: Vec<Value>,
    /// The values of the measures.
    pub measures: Vec<Value>,
    /// Whether the answer has only sealed rows.
    pub sealed: bool,
    /// The latest sealed revision in the answer, named by its closing; null if there is none.
    pub revision: Value,
}

impl Row {
    /// The row as a JSON object: columns by name, then `sealed`, `revision` and `as_of`. Numbers are written digit by
    /// digit.
    pub fn json(&self, table: &Table, as_of: i64) -> String {
        let mut out = String::new();
        let period = Value::period(self.period);
        let values = std::iter::once(&period).chain(&self.key).chain(&self.measures);
        push_columns(&mut out, table.names().zip(values));
        out.push_str(if self.sealed { ",\"sealed\":true" } else { ",\"sealed\":false" });
        out.push_str(",\"revision\":");
        push_value(&mut out, &self.revision);
        out.push_str(",\"as_of\":");
        out.push_str(&as_of.to_string());
        out.push('}');
        out
    }

    /// The period and the key as one text, unique within the view: `PERIOD:KEY…`. In each part `%` and `:` are written
    /// as `%25` and `%3A`, and null is `%-`.
    #[cfg(any(feature = "redis", feature = "mongodb"))]
    pub(crate) fn name(&self) -> String {
        let mut name = escaped(&self.period.to_string());
        for value in &self.key {
            name.push(':');
            match value {
                Value::Null => name.push_str("%-"),
                value => name.push_str(&escaped(&value.to_string())),
            }
        }
        name
    }

    /// The hash of the period and the key, and the hash of the whole row.
    pub(crate) fn hashes(&self) -> (u64, u64) {
        let mut bytes = Vec::with_capacity(128);
        bytes.extend(self.period.0.to_le_bytes());
        self.key.iter().for_each(|value| push_bytes(&mut bytes, value));
        let name = xxhash_rust::xxh3::xxh3_64(&bytes);
        let rest = self.measures.iter().chain([&self.revision]);
        rest.for_each(|value| push_bytes(&mut bytes, value));
        bytes.push(u8::from(self.sealed));
        (name, xxhash_rust::xxh3::xxh3_64(&bytes))
    }
}

/// Appends a value in bytes, different ones for different values. Texts would be a large part of what a look costs.
fn push_bytes(out: &mut Vec<u8>, value: &Value) {
    let text = |out: &mut Vec<u8>, kind: u8, text: &str| {
        out.push(kind);
        out.extend(text.len().to_le_bytes());
        out.extend(text.as_bytes());
    };
    match value {
        Value::Null => out.push(0),
        Value::Boolean(is_so) => out.push(1 + u8::from(*is_so)),
        Value::Integer(number) => {
            out.push(3);
            out.extend(number.to_le_bytes());
        }
        Value::Timestamp(time) => {
            out.push(4);
            out.extend(time.to_le_bytes());
        }
        Value::Text(value) => text(out, 5, value),
        value => text(out, 6, &value.to_string()),
    }
}

/// Reads the rows of a view.
pub(crate) struct Reader {
    pub(crate) view: Arc<dyn ErasedView>,
    pub(crate) table: Table,
    columns: Vec<String>,
}

impl Reader {
    pub(crate) fn of(view: Arc<dyn ErasedView>) -> Reader {
        let table = Table::of(view.schema());
        let columns = table.names().chain(["sealed", "revision"]).map(str::to_owned).collect();
        Reader { view, table, columns }
    }

    /// The same scan, with only the columns that rows need.
    pub(crate) fn scan(&self, scan: Scan) -> Scan {
        scan.layers().columns(&self.columns)
    }

    pub(crate) fn row(&self, batch: &Batch, at: usize) -> Option<Row> {
        let period = match batch.value(at, 0) {
            Value::Date(day) => day,
            Value::Timestamp(time) => Day::hour_from(time)?,
            _ => return None,
        };
        let keys = 1 + self.table.key.len();
        let measures = keys + self.table.measures.len();
        Some(Row {
            period,
            key: (1..keys).map(|column| batch.value(at, column)).collect(),
            measures: (keys..measures).map(|column| batch.value(at, column)).collect(),
            sealed: batch.value(at, measures) == Value::Boolean(true),
            revision: batch.value(at, measures + 1),
        })
    }
}

/// A period in the form of rows, as JSON.
pub(crate) fn period_as_json(day: Day) -> String {
    let mut text = String::new();
    push_value(&mut text, &Value::period(day));
    text
}

/// Escapes a part of a name.
#[cfg(any(feature = "redis", feature = "mongodb"))]
pub(crate) fn escaped(part: &str) -> String {
    part.replace('%', "%25").replace(':', "%3A")
}

/// Appends an object of JSON with these columns, without its end.
pub(crate) fn push_columns<'a>(
    out: &mut String,
    columns: impl Iterator<Item = (&'a str, &'a Value)>,
) {
    for (at, (name, value)) in columns.enumerate() {
        out.push(if at == 0 { '{' } else { ',' });
        push_text(out, name);
        out.push(':');
        push_value(out, value);
    }
}

/// Appends a value as JSON: integers and decimals as numbers, digit by digit.
pub(crate) fn push_value(out: &mut String, value: &Value) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Integer(_) | Value::Decimal(_) | Value::Boolean(_) => {
            out.push_str(&value.to_string());
        }
        value => push_text(out, &value.to_string()),
    }
}

fn push_text(out: &mut String, text: &str) {
    out.push_str(&serde_json::Value::from(text).to_string());
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn table() -> Table {
        Table {
            view: "sales".to_owned(),
            period: Column::new("day", Kind::Date),
            key: vec![Column::new("shop", Kind::Text)],
            measures: vec![Column::new("cents", Kind::Integer)],
        }
    }

    pub(crate) fn row(day: i32, shop: &str, cents: i128) -> Row {
        Row {
            period: Day(day),
            key: vec![Value::Text(shop.to_owned())],
            measures: vec![Value::Integer(cents)],
            sealed: false,
            revision: Value::Null,
        }
    }

    #[test]
    fn a_column_of_the_view_has_no_name_of_a_column_of_the_sink() {
        assert!(table().check().is_ok());
        for name in OWN {
            let (mut in_key, mut in_measures) = (table(), table());
            in_key.key[0].name = name.to_owned();
            in_measures.measures[0].name = name.to_owned();
            for wrong in [in_key, in_measures] {
                let error = wrong.check().unwrap_err().to_string();
                assert!(
                    error.starts_with(&format!("view 'sales' has a column '{name}'")),
                    "{error}"
                );
            }
        }
    }

    #[test]
    #[cfg(any(feature = "redis", feature = "mongodb"))]
    fn no_two_rows_share_a_name() {
        let text = |text: &str| Value::Text(text.to_owned());
        let keys = [
            vec![text("a:b"), text("c")],
            vec![text("a"), text("b:c")],
            vec![text("a%3Ab"), text("c")],
            vec![Value::Null, text("c")],
            vec![text("%-"), text("c")],
            vec![text(""), text("c")],
        ];
        let name = |key: &Vec<Value>| Row { key: key.clone(), ..row(0, "", 1) }.name();
        let names: std::collections::BTreeSet<String> = keys.iter().map(name).collect();
        assert_eq!(names.len(), keys.len());
        assert!(names.contains("1970-01-01:a%3Ab:c"));
    }

    #[test]
    fn rows_are_written_digit_by_digit_and_compared_by_all_they_hold() {
        let large = row(0, "a\"b", i128::MAX);
        assert_eq!(
            large.json(&table(), 7),
            r#"{"day":"1970-01-01","shop":"a\"b","cents":170141183460469231731687303715884105727,"sealed":false,"revision":null,"as_of":7}"#
        );
        let sealed = Row { sealed: true, ..large.clone() };
        assert_eq!(large.hashes().0, sealed.hashes().0);
        assert_ne!(large.hashes().1, sealed.hashes().1);
        assert_ne!(row(0, "a,b", 1).hashes().0, row(0, "a", 1).hashes().0);
    }
}
