//! What is said to Cassandra: names, types, values and statements.

use dayfold::schema::{Column, Kind, Value};
use scylla::value::{CqlDate, CqlDecimal, CqlTimestamp, CqlValue, CqlVarint};

use super::error::{mismatch, refused};
use crate::{StoreError, Table};

/// The table of epochs and marks.
pub(super) const META: &str = "CREATE TABLE IF NOT EXISTS dayfold_sinks (name text, period text, version text, \
    view_name text static, epoch bigint static, reserved bigint static, PRIMARY KEY (name, period))";

pub(super) const NOTED: &str =
    "SELECT view_name, epoch, reserved, period, version FROM dayfold_sinks WHERE name = ?";
pub(super) const FIRST: &str = "INSERT INTO dayfold_sinks (name, view_name, epoch, reserved) VALUES (?, ?, ?, ?) IF NOT EXISTS";
pub(super) const NEXT: &str =
    "UPDATE dayfold_sinks SET epoch = ?, reserved = ? WHERE name = ? IF epoch = ?";
pub(super) const RESERVE: &str =
    "UPDATE dayfold_sinks SET reserved = ? WHERE name = ? IF epoch = ?";

pub(super) const ID: &str =
    "SELECT id FROM system_schema.tables WHERE keyspace_name = ? AND table_name = ?";
pub(super) const COLUMNS: &str = "SELECT column_name, type FROM system_schema.columns WHERE keyspace_name = ? AND table_name = ?";

pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The name of a view's table: names of tables have no hyphens.
pub(super) fn table_name(table: &Table) -> Result<String, StoreError> {
    let name = table.view.replace('-', "_");
    let is_fine = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    match is_fine && name.len() <= 48 {
        true => Ok(name),
        false => Err(mismatch(
            format!("a table cannot be called '{name}'"),
            "a view whose name has letters, digits, '_' and '-', 48 at most",
        )),
    }
}

fn type_of(column: &Column) -> &'static str {
    match column.kind {
        Kind::Text => "text",
        Kind::Integer => "varint",
        Kind::Decimal => "decimal",
        Kind::Boolean => "boolean",
        Kind::Date => "date",
        Kind::Timestamp => "timestamp",
        _ => "blob",
    }
}

/// The columns of a table, with their types.
pub(super) fn columns(table: &Table) -> Vec<(String, &'static str)> {
    let own = std::iter::once(&table.period).chain(&table.key).chain(&table.measures);
    let mut columns: Vec<(String, &'static str)> =
        own.map(|column| (column.name.clone(), type_of(column))).collect();
    columns.push(("sealed".to_owned(), "boolean"));
    columns.push(("revision".to_owned(), type_of(&table.period)));
    columns.push(("as_of".to_owned(), "bigint"));
    columns
}

/// A partition for each period, in which rows are by key.
pub(super) fn create(table: &Table, name: &str) -> String {
    let columns =
        columns(table).into_iter().map(|(name, kind)| format!("{} {kind}", quoted(&name)));
    let key = std::iter::once(&table.period).chain(&table.key).map(|column| quoted(&column.name));
    format!(
        "CREATE TABLE IF NOT EXISTS {} ({}, PRIMARY KEY ({}))",
        quoted(name),
        columns.collect::<Vec<_>>().join(", "),
        key.collect::<Vec<_>>().join(", ")
    )
}

pub(super) fn insert(table: &Table, name: &str) -> String {
    let columns: Vec<String> = columns(table).iter().map(|(name, _)| quoted(name)).collect();
    format!(
        "INSERT INTO {} ({}) VALUES ({}) USING TIMESTAMP ?",
        quoted(name),
        columns.join(", "),
        vec!["?"; columns.len()].join(", ")
    )
}

pub(super) fn delete(table: &Table, name: &str) -> String {
    let period = quoted(&table.period.name);
    format!("DELETE FROM {} USING TIMESTAMP ? WHERE {period} = ?", quoted(name))
}

/// Sets marks, or removes them, if the epoch is still ours.
pub(super) fn marking(are_set: impl Iterator<Item = bool>) -> String {
    let mut batch = String::from(
        "BEGIN BATCH UPDATE dayfold_sinks SET epoch = ? WHERE name = ? IF epoch = ?; ",
    );
    for is_set in are_set {
        batch.push_str(match is_set {
            true => "INSERT INTO dayfold_sinks (name, period, version) VALUES (?, ?, ?); ",
            false => "DELETE FROM dayfold_sinks WHERE name = ? AND period = ?; ",
        });
    }
    batch + "APPLY BATCH"
}

pub(super) fn periods(table: &Table, name: &str) -> String {
    format!("SELECT DISTINCT {} FROM {}", quoted(&table.period.name), quoted(name))
}

/// The fewest bytes of a number.
fn exact(number: i128) -> Vec<u8> {
    let bytes = number.to_be_bytes();
    let is_same = |cut: &usize| {
        let shift = 8 * *cut as u32;
        (number << shift) >> shift == number
    };
    let cut = (0..bytes.len()).rev().find(is_same).unwrap_or(0);
    bytes[cut..].to_vec()
}

/// A value for a column.
pub(super) fn value_of(column: &Column, value: &Value) -> Result<Option<CqlValue>, StoreError> {
    Ok(Some(match value {
        Value::Null => return Ok(None),
        Value::Text(text) if column.kind == Kind::Text => CqlValue::Text(text.clone()),
        Value::Integer(number) => CqlValue::Varint(CqlVarint::from_signed_bytes_be(exact(*number))),
        Value::Decimal(number) => {
            let text = number.to_string();
            let scale = text.split_once('.').map_or(0, |(_, digits)| digits.len());
            let digits = text.replace('.', "");
            let (Ok(digits), Ok(scale)) = (digits.parse(), i32::try_from(scale)) else {
                return Err(refused(format!("'{}' is {text}, beyond 127 bits", column.name)));
            };
            CqlValue::Decimal(CqlDecimal::from_signed_be_bytes_and_exponent(exact(digits), scale))
        }
        Value::Boolean(is_so) => CqlValue::Boolean(*is_so),
        Value::Date(day) => CqlValue::Date(CqlDate((i64::from(day.0) + (1 << 31)) as u32)),
        Value::Timestamp(time) => CqlValue::Timestamp(CqlTimestamp(*time)),
        Value::Bytes(bytes) => CqlValue::Blob(bytes.clone()),
        value => {
            return Err(refused(format!("'{}' is {value}, no {}", column.name, type_of(column))));
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::tests::table;

    #[test]
    fn a_period_is_a_partition() {
        let name = table_name(&Table { view: "by-shop".to_owned(), ..table() }).unwrap();
        assert_eq!(
            create(&table(), &name),
            "CREATE TABLE IF NOT EXISTS \"by_shop\" (\"day\" date, \"shop\" text, \"cents\" varint, \"sealed\" boolean, \
             \"revision\" date, \"as_of\" bigint, PRIMARY KEY (\"day\", \"shop\"))"
        );
        assert_eq!(
            insert(&table(), &name),
            "INSERT INTO \"by_shop\" (\"day\", \"shop\", \"cents\", \"sealed\", \"revision\", \"as_of\") \
             VALUES (?, ?, ?, ?, ?, ?) USING TIMESTAMP ?"
        );
        assert!(table_name(&Table { view: "by shop".to_owned(), ..table() }).is_err());
    }

    #[test]
    fn values_are_exact_or_refused() {
        let column = |kind| Column::new("cents", kind);
        let integer = value_of(&column(Kind::Integer), &Value::Integer(-300)).unwrap();
        let Some(CqlValue::Varint(bytes)) = integer else { panic!("{integer:?}") };
        assert_eq!(bytes, CqlVarint::from_signed_bytes_be(vec![0xFE, 0xD4]));
        let digits = Value::Text("9".repeat(60));
        let beyond = value_of(&column(Kind::Integer), &digits);
        assert!(matches!(beyond, Err(StoreError::Refused { .. })), "{beyond:?}");
        let day = value_of(&column(Kind::Date), &Value::Date(dayfold::time::Day(-1))).unwrap();
        assert_eq!(day, Some(CqlValue::Date(CqlDate((1 << 31) - 1))));
        assert_eq!(value_of(&column(Kind::Text), &Value::Null).unwrap(), None);
    }
}
