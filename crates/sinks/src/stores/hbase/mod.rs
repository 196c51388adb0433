//! HBase, by its REST gateway: a table for each view, and a row for each period and key.
//!
//! The key of a row is `PERIOD:KEY…`, in which all but letters, digits, `-`, `_`, `.` and `~` of ASCII is
//! percent-encoded, and null is `%-`. The columns are in the family `r`, and their contents are JSON. The time of each
//! cell is its `as_of`. HBase keeps the cell with the greatest time, in whatever order writes come, so no row goes
//! back, and a removal up to a time spares what is newer. `dayfold_sinks` has a row for each view with the epoch and
//! the marks, which are written on the condition that the epoch is still ours.

mod error;
mod gateway;

use std::collections::BTreeMap;
use std::fmt;

use dayfold::schema::Value;
use dayfold::time::Day;
use serde_json::json;

use self::error::{EXPECTED, NAME, mismatch, refused, unavailable};
use self::gateway::{Cell, Gateway, in_path};
use crate::row::push_value;
use crate::stores::address::Parts;
use crate::{Opened, Row, Stamp, Store, StoreError, Sweep, Table};

/// The family of all columns.
const FAMILY: &str = "r";

/// The table of epochs and marks.
const META: &str = "dayfold_sinks";
const EPOCH: &str = "r:epoch";

/// The attribute of a table that tells it from a later one of its name.
const ID: &str = "dayfold";

/// The longest key that HBase takes.
const KEY_BYTES: usize = 32_767;

/// The number of rows that are read together.
const ROWS_AT_ONCE: usize = 1_000;

/// Two writers that open a view at the same time try this often.
const TRIES: usize = 10;

/// A REST gateway of HBase.
pub struct HBase {
    gateway: Gateway,
    namespace: String,
    /// The ids of the tables that are open.
    open: BTreeMap<String, String>,
}

impl fmt::Debug for HBase {
    // The login is left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HBase").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

/// The beginning of the keys of a period's rows.
fn period_key(day: Day) -> String {
    in_path(&day.to_string())
}

/// The key of a row.
fn key_of(row: &Row) -> String {
    let mut key = period_key(row.period);
    for value in &row.key {
        key.push(':');
        match value {
            Value::Null => key.push_str("%-"),
            value => key.push_str(&in_path(&value.to_string())),
        }
    }
    key
}

/// The period of a row's key; `None` if no sink has written it.
fn period_of(key: &str) -> Option<Day> {
    let period = key.split(':').next()?;
    let period = percent_encoding::percent_decode_str(period).decode_utf8().ok()?;
    Day::parse_period(&period).ok()
}

/// The key of what is noted of a view. No path of the gateway's own has a colon.
fn noted_key(view: &str) -> String {
    format!("view:{view}")
}

/// The columns of a row, with their contents.
fn contents(table: &Table, row: &Row, as_of: i64) -> Vec<(String, String)> {
    let json = |value: &Value| {
        let mut out = String::new();
        push_value(&mut out, value);
        out
    };
    let period = Value::period(row.period);
    let values = std::iter::once(&period).chain(&row.key).chain(&row.measures);
    let mut contents: Vec<(String, String)> =
        table.names().zip(values).map(|(name, value)| (column(name), json(value))).collect();
    contents.push((column("sealed"), row.sealed.to_string()));
    contents.push((column("revision"), json(&row.revision)));
    contents.push((column("as_of"), as_of.to_string()));
    contents
}

fn column(name: &str) -> String {
    format!("{FAMILY}:{name}")
}

impl HBase {
    /// The gateway of a URL: `hbase://[USER:PASSWORD@]HOST[:PORT][/NAMESPACE]`, with TLS if it has the option
    /// `tls=true`. The port is 8080 if the URL has none.
    ///
    /// # Errors
    /// [`StoreError::Mismatch`] if the URL is not valid.
    pub fn new(url: &str) -> Result<HBase, StoreError> {
        let parts = Parts::parse(url).map_err(|found| mismatch(found, EXPECTED))?;
        let mut is_secured = false;
        for (name, value) in &parts.options {
            match (name.as_str(), value.as_str()) {
                ("tls", "true") => is_secured = true,
                _ => return Err(mismatch(format!("the URL has {name}={value}"), EXPECTED)),
            }
        }
        if parts.hosts.contains(',') || parts.path.contains('/') {
            return Err(mismatch("the URL has several hosts or namespaces", EXPECTED));
        }
        let gateway = Gateway::new(&parts, is_secured);
        Ok(HBase { gateway, namespace: parts.path, open: BTreeMap::new() })
    }

    /// The full name of a table.
    fn table_name(&self, name: &str) -> String {
        match self.namespace.is_empty() {
            true => name.to_owned(),
            false => format!("{}:{name}", self.namespace),
        }
    }

    fn schema_of(name: &str, id: &str) -> serde_json::Value {
        // One version of each cell is enough, because only the latest counts.
        let family = json!({ "name": FAMILY, "VERSIONS": "1" });
        json!({ "name": name, "ColumnSchema": [family], ID: id })
    }

    /// The id of a table with the family of a sink's; `None` if there is no such table.
    fn id_of(&self, name: &str) -> Result<Option<String>, StoreError> {
        let Some(schema) = self.gateway.schema(name)? else { return Ok(None) };
        let families = schema["ColumnSchema"].as_array().map(Vec::as_slice).unwrap_or_default();
        if !families.iter().any(|family| family["name"] == FAMILY) {
            return Err(mismatch(
                format!("the table {name} is another one"),
                format!("a column family '{FAMILY}'; or no table of this name"),
            ));
        }
        Ok(Some(schema[ID].as_str().unwrap_or("made by somebody else").to_owned()))
    }

    /// Creates a table if it is missing; returns its id.
    fn ensure(&self, name: &str) -> Result<String, StoreError> {
        if let Some(id) = self.id_of(name)? {
            return Ok(id);
        }
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).map_err(unavailable)?;
        let id = format!("{:016x}", u64::from_le_bytes(bytes));
        self.gateway.create(name, &HBase::schema_of(name, &id))?;
        self.id_of(name)?.ok_or_else(|| unavailable(format!("the table {name} is not there")))
    }

    fn epoch(&self, meta: &str, view: &str) -> Result<Option<i64>, StoreError> {
        let path = format!("{}/{EPOCH}", in_path(&noted_key(view)));
        let cells = self.gateway.get(meta, &path)?;
        Ok(cells.first().and_then(|(_, epoch)| epoch.parse().ok()))
    }

    fn fenced(table: &Table) -> StoreError {
        StoreError::Fenced { store: NAME, view: table.view.clone() }
    }

    /// Checks that this writer still has the epoch.
    fn hold(&self, table: &Table, stamp: Stamp) -> Result<(), StoreError> {
        match self.epoch(&self.table_name(META), &table.view)? == Some(stamp.epoch) {
            true => Ok(()),
            false => Err(HBase::fenced(table)),
        }
    }

    /// Takes the next epoch.
    fn take_over(&self, meta: &str, view: &str, at_least: i64) -> Result<i64, StoreError> {
        let key = noted_key(view);
        for _ in 0..TRIES {
            let Some(before) = self.epoch(meta, view)? else {
                // Conditions need a content. This one is older than every epoch.
                let first: [Cell<'_>; 1] = [(EPOCH, 0, "0")];
                self.gateway.put(meta, std::iter::once((&*key, &first[..])))?;
                continue;
            };
            let epoch = (before + 1).max(at_least);
            let (text, before) = (epoch.to_string(), before.to_string());
            if self.gateway.put_if(meta, &key, &[(EPOCH, epoch, &text)], (EPOCH, &before))? {
                return Ok(epoch);
            }
        }
        Err(unavailable("others open the same view repeatedly"))
    }
}

impl Store for HBase {
    fn name(&self) -> &'static str {
        NAME
    }

    fn open(&mut self, table: &Table, at_least: i64) -> Result<Opened, StoreError> {
        let (name, meta) = (self.table_name(&table.view), self.table_name(META));
        self.ensure(&meta)?;
        let id = self.ensure(&name)?;
        let epoch = self.take_over(&meta, &table.view, at_least)?;
        let mark = |(column, version): (String, String)| {
            let day = Day::parse_period(column.strip_prefix("r:mark:")?).ok()?;
            // A mark that was taken back has no version.
            (!version.is_empty()).then_some((day, version))
        };
        let noted = self.gateway.get(&meta, &in_path(&noted_key(&table.view)))?;
        let marks = noted.into_iter().filter_map(mark).collect();
        self.open.insert(table.view.clone(), id.clone());
        Ok(Opened::new(epoch, marks).of_table(id))
    }

    fn ping(&mut self, table: &Table, stamp: Stamp) -> Result<(), StoreError> {
        self.hold(table, stamp)?;
        let id = self.id_of(&self.table_name(&table.view))?;
        match id.is_some() && id.as_ref() == self.open.get(&table.view) {
            true => Ok(()),
            false => Err(unavailable("the table is another one than before")),
        }
    }

    fn write(&mut self, table: &Table, stamp: Stamp, rows: &[Row]) -> Result<(), StoreError> {
        let all: Vec<(String, Vec<(String, String)>)> =
            rows.iter().map(|row| (key_of(row), contents(table, row, stamp.as_of))).collect();
        if let Some((key, _)) = all.iter().find(|(key, _)| key.len() > KEY_BYTES) {
            return Err(refused(format!("a key of {} bytes is beyond {KEY_BYTES}", key.len())));
        }
        let cells: Vec<Vec<Cell<'_>>> = all
            .iter()
            .map(|(_, cells)| cells.iter().map(|(name, text)| (&**name, stamp.as_of, &**text)))
            .map(Iterator::collect)
            .collect();
        let keys = all.iter().map(|(key, _)| key.as_str());
        let rows = keys.zip(cells.iter().map(Vec::as_slice));
        self.gateway.put(&self.table_name(&table.view), rows)
    }

    fn sweep(&mut self, table: &Table, stamp: Stamp, sweep: &Sweep) -> Result<u64, StoreError> {
        let name = self.table_name(&table.view);
        let prefix = match sweep {
            Sweep::Period(day) => period_key(*day),
            Sweep::AllBut(_) => String::new(),
        };
        let is_older = |cells: &[(String, String)]| {
            cells.first().and_then(|(_, as_of)| as_of.parse().ok()).unwrap_or(0) < stamp.as_of
        };
        let (mut from, mut gone) = (prefix.clone(), 0);
        loop {
            let rows = self.gateway.scan(&name, &prefix, &from, &column("as_of"), ROWS_AT_ONCE)?;
            for (key, cells) in &rows {
                let is_swept = period_of(key).is_none_or(|day| sweep.has(day));
                if is_swept && is_older(cells) {
                    self.gateway.delete(&name, key, FAMILY, stamp.as_of - 1)?;
                    gone += 1;
                }
            }
            match rows.last() {
                // No character of a key is less than a space, so this is before the next one.
                Some((last, _)) if rows.len() == ROWS_AT_ONCE => from = format!("{last} "),
                _ => return Ok(gone),
            }
        }
    }

    fn mark(
        &mut self,
        table: &Table,
        stamp: Stamp,
        marks: &BTreeMap<Day, Option<String>>,
    ) -> Result<(), StoreError> {
        let epoch = stamp.epoch.to_string();
        let columns: Vec<String> = marks.keys().map(|day| column(&format!("mark:{day}"))).collect();
        let versions = marks.values().map(|version| version.as_deref().unwrap_or(""));
        let mut cells: Vec<Cell<'_>> = columns
            .iter()
            .zip(versions)
            .map(|(column, version)| (column.as_str(), stamp.as_of, version))
            .collect();
        cells.push((EPOCH, stamp.epoch, &epoch));
        let meta = self.table_name(META);
        match self.gateway.put_if(&meta, &noted_key(&table.view), &cells, (EPOCH, &epoch))? {
            true => Ok(()),
            false => Err(HBase::fenced(table)),
        }
    }

    fn check(&mut self, table: &Table) -> Result<(), StoreError> {
        self.id_of(&self.table_name(&table.view)).map(drop)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::row::tests::{row, table};

    /// What a reader has: cents by day and shop.
    pub(in crate::stores) fn rows(url: &str, table: &Table) -> BTreeMap<(String, String), i64> {
        let hbase = HBase::new(url).unwrap();
        let name = hbase.table_name(&table.view);
        let found = hbase.gateway.scan(&name, "", "", FAMILY, ROWS_AT_ONCE).unwrap();
        let row = |(_, cells): (String, Vec<(String, String)>)| {
            let cells: BTreeMap<String, String> = cells.into_iter().collect();
            let value = |name: &str| serde_json::from_str(&cells[&column(name)]).unwrap();
            let text = |value: serde_json::Value| value.as_str().unwrap().to_owned();
            ((text(value("day")), text(value("shop"))), value("cents").as_i64().unwrap())
        };
        found.into_iter().map(row).collect()
    }

    pub(in crate::stores) fn drop_table(url: &str, table: &Table) {
        let hbase = HBase::new(url).unwrap();
        hbase.gateway.drop_table(&hbase.table_name(&table.view));
    }

    #[test]
    fn a_key_tells_its_period_and_contents_are_json() {
        let mut one = row(0, "a:b*\u{14c}", 7);
        assert_eq!(key_of(&one), "1970-01-01:a%3Ab%2A%C5%8C");
        assert_eq!(period_of(&key_of(&one)), Some(Day(0)));
        one.period = Day::hour_from(7_200_000).unwrap();
        assert_eq!(period_of(&key_of(&one)), Some(one.period));
        one.key = vec![Value::Null];
        assert_eq!(key_of(&one), "1970-01-01T02%3A00%3A00Z:%-");
        let contents = contents(&table(), &row(0, "a", 7), 5);
        let texts: Vec<(&str, &str)> = contents.iter().map(|(a, b)| (&**a, &**b)).collect();
        assert_eq!(texts[1..3], [("r:shop", "\"a\""), ("r:cents", "7")]);
        assert_eq!(texts[4..], [("r:revision", "null"), ("r:as_of", "5")]);
    }

    #[test]
    fn a_url_names_one_gateway() {
        for right in ["hbase://h", "hbase://u:p@h:1/ns?tls=true"] {
            assert!(HBase::new(right).is_ok(), "{right}");
        }
        for wrong in ["hbase://", "hbase://a,b", "hbase://h/a/b", "hbase://h?tls=no"] {
            assert!(matches!(HBase::new(wrong), Err(StoreError::Mismatch { .. })), "{wrong}");
        }
    }
}
