//! Cassandra's protocol (ScyllaDB speaks it, too): a table for each view, a partition for each period, a row for each
//! key.
//!
//! Every cell has the time that the sink gives its write, and a cluster keeps the cell with the greatest one, in
//! whatever order writes come. So times must rise, over restarts and writers: they are those of the clock, but greater
//! than all before, and a writer uses only times that it has reserved under its epoch, by a change under a condition
//! (Paxos). The next writer begins behind what was reserved. `dayfold_sinks` has epoch, reserved time and marks.

mod error;
mod session;
mod statements;

use std::collections::BTreeMap;
use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use dayfold::schema::Value;
use dayfold::time::Day;
use scylla::statement::prepared::PreparedStatement;
use scylla::value::CqlValue;

use self::error::{EXPECTED, NAME, mismatch, refused, unavailable};
use self::session::{Cluster, number, text};
use self::statements::{
    COLUMNS, FIRST, ID, META, NEXT, NOTED, RESERVE, columns, create, delete, insert, marking,
    periods, table_name, value_of,
};
use crate::stores::address::Parts;
use crate::{Opened, Row, Stamp, Store, StoreError, Sweep, Table};

/// So many microseconds are reserved at once. After a kill, times may be so far ahead of the clock.
const RESERVED: i64 = 10_000_000;

/// So many periods are marked by one change under a condition.
const MARKED_AT_ONCE: usize = 100;

/// Two that open a view at the same time try in turns, so often at most.
const TRIES: usize = 10;

/// A keyspace of a cluster.
pub struct Cassandra {
    parts: Parts,
    cluster: Option<Cluster>,
    open: BTreeMap<String, Opening>,
}

/// A view's table, as long as we write it.
struct Opening {
    name: String,
    id: String,
    insert: PreparedStatement,
    delete: PreparedStatement,
    reserve: PreparedStatement,
    times: Times,
}

/// The times of writes, in microseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Times {
    /// The last one that was used.
    last: i64,
    /// The last one that may be used.
    reserved: i64,
    /// The moment that is written, and the last time before it.
    as_of: i64,
    before: i64,
}

impl Times {
    /// The next time, unless it has to be reserved first.
    fn next(&mut self, as_of: i64, clock: i64) -> Result<i64, i64> {
        let next = clock.max(self.last + 1);
        if next > self.reserved {
            return Err(next + RESERVED);
        }
        if as_of != self.as_of {
            (self.as_of, self.before) = (as_of, self.last);
        }
        self.last = next;
        Ok(next)
    }
}

impl fmt::Debug for Cassandra {
    // Not the login.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cassandra").field("hosts", &self.parts.hosts).finish_non_exhaustive()
    }
}

fn fenced(table: &Table) -> StoreError {
    StoreError::Fenced { store: NAME, view: table.view.clone() }
}

/// The clock, in microseconds since 1970.
fn clock() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX / 2)
}

fn bigint(value: Option<&CqlValue>) -> Option<i64> {
    match value {
        Some(CqlValue::BigInt(number)) => Some(*number),
        _ => None,
    }
}

fn string(value: Option<&CqlValue>) -> Option<&str> {
    match value {
        Some(CqlValue::Text(text)) => Some(text),
        _ => None,
    }
}

/// What is noted of a table.
#[derive(Debug, Default)]
struct Noted {
    view: Option<String>,
    epoch: i64,
    reserved: i64,
    marks: BTreeMap<Day, String>,
}

impl Cassandra {
    /// The keyspace of a URL: `cassandra://[USER:PASSWORD@]HOST[:PORT][,HOST[:PORT]…]/KEYSPACE`.
    ///
    /// # Errors
    /// [`StoreError::Mismatch`] if that is none.
    pub fn new(url: &str) -> Result<Cassandra, StoreError> {
        let parts = Parts::parse(url).map_err(|found| mismatch(found, EXPECTED))?;
        if parts.path.is_empty() {
            return Err(mismatch("the URL names no keyspace", EXPECTED));
        }
        if let Some((option, _)) = parts.options.first() {
            return Err(mismatch(format!("the URL has an option '{option}'"), EXPECTED));
        }
        Ok(Cassandra { parts, cluster: None, open: BTreeMap::new() })
    }

    fn connect(&mut self) -> Result<&Cluster, StoreError> {
        let cluster = match self.cluster.take() {
            Some(cluster) => cluster,
            None => Cluster::connect(&self.parts)?,
        };
        Ok(self.cluster.insert(cluster))
    }

    /// Does something with the table of a view. After an error, the cluster may have lost what it had, and everything
    /// is opened anew.
    fn with<T>(
        &mut self,
        table: &Table,
        act: impl FnOnce(&Cluster, &mut Opening) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let (Some(cluster), Some(opening)) = (&self.cluster, self.open.get_mut(&table.view)) else {
            return Err(unavailable("it is not open"));
        };
        let done = act(cluster, opening);
        self.lost(done)
    }

    fn lost<T>(&mut self, done: Result<T, StoreError>) -> Result<T, StoreError> {
        if matches!(done, Err(ref error) if !matches!(error, StoreError::Refused { .. })) {
            self.cluster = None;
            self.open.clear();
        }
        done
    }

    /// Checks that the table, if it is there, has the right columns.
    fn fits(cluster: &Cluster, table: &Table, name: &str) -> Result<(), StoreError> {
        let found = cluster.rows(COLUMNS, &[text(&cluster.keyspace), text(name)])?;
        let found: BTreeMap<&str, &str> = found
            .iter()
            .filter_map(|row| Some((string(row[0].as_ref())?, string(row[1].as_ref())?)))
            .collect();
        let differs = |(name, kind): &(String, &str)| found.get(name.as_str()) != Some(kind);
        match columns(table).into_iter().find(differs) {
            Some((column, kind)) if !found.is_empty() => Err(mismatch(
                format!("the table {name} is another one"),
                format!("column {column} of type {kind}; or no table of this name"),
            )),
            _ => Ok(()),
        }
    }

    fn noted(cluster: &Cluster, name: &str) -> Result<Noted, StoreError> {
        let mut noted = Noted::default();
        for row in cluster.latest(NOTED, &[text(name)])? {
            let value = |at: usize| row.get(at).and_then(Option::as_ref);
            noted.view = string(value(0)).map(str::to_owned);
            noted.epoch = bigint(value(1)).unwrap_or_default();
            noted.reserved = bigint(value(2)).unwrap_or_default();
            let period = string(value(3)).and_then(|period| Day::parse_period(period).ok());
            if let (Some(period), Some(version)) = (period, string(value(4))) {
                noted.marks.insert(period, version.to_owned());
            }
        }
        Ok(noted)
    }

    fn opened(&mut self, table: &Table, at_least: i64) -> Result<Opened, StoreError> {
        let name = table_name(table)?;
        self.connect()?;
        let cluster = self.cluster.as_ref().ok_or_else(|| unavailable("no connection"))?;
        Cassandra::fits(cluster, table, &name)?;
        cluster.define(META)?;
        cluster.define(&create(table, &name))?;
        for _ in 0..TRIES {
            let noted = Cassandra::noted(cluster, &name)?;
            if let Some(other) = noted.view.as_ref().filter(|view| **view != table.view) {
                let found = format!("the table {name} is that of the view '{other}'");
                return Err(mismatch(found, "views whose names differ in more than '-' and '_'"));
            }
            let epoch = (noted.epoch + 1).max(at_least);
            let last = clock().max(noted.reserved);
            let reserved = last + RESERVED;
            let applied = match noted.epoch {
                0 => {
                    let first = [text(&name), text(&table.view), number(epoch), number(reserved)];
                    cluster.applied(&cluster.prepare(FIRST)?, &first)?
                }
                before => {
                    let next = [number(epoch), number(reserved), text(&name), number(before)];
                    cluster.applied(&cluster.prepare(NEXT)?, &next)?
                }
            };
            if applied {
                let id = id_of(cluster, &name)?.ok_or_else(|| unavailable("the table is gone"))?;
                let opening = Opening {
                    id: id.clone(),
                    insert: cluster.prepare(&insert(table, &name))?,
                    delete: cluster.prepare(&delete(table, &name))?,
                    reserve: cluster.prepare(RESERVE)?,
                    times: Times { last, reserved, as_of: 0, before: last },
                    name,
                };
                self.open.insert(table.view.clone(), opening);
                return Ok(Opened::new(epoch, noted.marks).of_table(id));
            }
        }
        Err(unavailable("others open the same view, again and again"))
    }
}

/// What tells a table from a later one of its name.
fn id_of(cluster: &Cluster, name: &str) -> Result<Option<String>, StoreError> {
    let found = cluster.rows(ID, &[text(&cluster.keyspace), text(name)])?;
    let id = found.first().and_then(|row| row.first()?.as_ref()?.as_uuid());
    Ok(id.map(|id| id.to_string()))
}

/// Sets and removes marks, if the epoch is still ours.
fn marked(
    cluster: &Cluster,
    name: &str,
    table: &Table,
    epoch: i64,
    marks: &BTreeMap<Day, Option<String>>,
) -> Result<(), StoreError> {
    let marks: Vec<(&Day, &Option<String>)> = marks.iter().collect();
    for some in marks.chunks(MARKED_AT_ONCE) {
        let statement = marking(some.iter().map(|(_, version)| version.is_some()));
        let mut values = vec![number(epoch), text(name), number(epoch)];
        for (day, version) in some {
            values.extend([text(name), text(&day.to_string())]);
            values.extend(version.iter().map(|version| text(version)));
        }
        if !cluster.applied(&cluster.prepare(&statement)?, &values)? {
            return Err(fenced(table));
        }
    }
    Ok(())
}

impl Opening {
    /// Reserves times up to this one, if the epoch is still ours.
    fn reserve(
        &mut self,
        cluster: &Cluster,
        table: &Table,
        stamp: Stamp,
        reserved: i64,
    ) -> Result<(), StoreError> {
        let values = [number(reserved), text(&self.name), number(stamp.epoch)];
        if !cluster.applied(&self.reserve, &values)? {
            return Err(fenced(table));
        }
        self.times.reserved = reserved;
        Ok(())
    }

    /// The time of the next write.
    fn time(&mut self, cluster: &Cluster, table: &Table, stamp: Stamp) -> Result<i64, StoreError> {
        loop {
            match self.times.next(stamp.as_of, clock()) {
                Ok(time) => return Ok(time),
                Err(reserved) => self.reserve(cluster, table, stamp, reserved)?,
            }
        }
    }
}

impl Store for Cassandra {
    fn name(&self) -> &'static str {
        NAME
    }

    fn open(&mut self, table: &Table, at_least: i64) -> Result<Opened, StoreError> {
        let opened = self.opened(table, at_least);
        self.lost(opened)
    }

    fn ping(&mut self, table: &Table, stamp: Stamp) -> Result<(), StoreError> {
        self.with(table, |cluster, opening| {
            let reserved = clock().max(opening.times.last) + RESERVED;
            opening.reserve(cluster, table, stamp, reserved.max(opening.times.reserved))?;
            match id_of(cluster, &opening.name)? == Some(opening.id.clone()) {
                true => Ok(()),
                false => Err(unavailable("the table is another one than before")),
            }
        })
    }

    fn write(&mut self, table: &Table, stamp: Stamp, rows: &[Row]) -> Result<(), StoreError> {
        let mut all = Vec::with_capacity(rows.len());
        for row in rows {
            let period = Value::period(row.period);
            let own = std::iter::once(&table.period).chain(&table.key).chain(&table.measures);
            let values = std::iter::once(&period).chain(&row.key).chain(&row.measures);
            if let Some((column, _)) =
                table.key.iter().zip(&row.key).find(|(_, value)| **value == Value::Null)
            {
                return Err(refused(format!("'{}' is null, in a key", column.name)));
            }
            let values = own.zip(values).map(|(column, value)| value_of(column, value));
            let mut values = values.collect::<Result<Vec<_>, StoreError>>()?;
            values.push(Some(CqlValue::Boolean(row.sealed)));
            values.push(value_of(&table.period, &row.revision)?);
            values.push(number(stamp.as_of));
            all.push(values);
        }
        self.with(table, |cluster, opening| {
            let time = opening.time(cluster, table, stamp)?;
            all.iter_mut().for_each(|values| values.push(number(time)));
            cluster.each(&opening.insert, &all)
        })
    }

    fn sweep(&mut self, table: &Table, stamp: Stamp, sweep: &Sweep) -> Result<u64, StoreError> {
        let value = |day: &Day| value_of(&table.period, &Value::period(*day));
        self.with(table, |cluster, opening| {
            // What was written of this moment has later times.
            opening.time(cluster, table, stamp)?;
            let before = opening.times.before;
            let gone = match sweep {
                Sweep::Period(day) => vec![value(day)?],
                Sweep::AllBut(kept) => {
                    let kept = kept.iter().map(value).collect::<Result<Vec<_>, StoreError>>()?;
                    let there = cluster.firsts(&periods(table, &opening.name))?;
                    there.into_iter().map(Some).filter(|period| !kept.contains(period)).collect()
                }
            };
            let gone: Vec<_> =
                gone.into_iter().map(|period| vec![number(before), period]).collect();
            // It does not say how many rows there were.
            cluster.each(&opening.delete, &gone).map(|()| 0)
        })
    }

    fn mark(
        &mut self,
        table: &Table,
        stamp: Stamp,
        marks: &BTreeMap<Day, Option<String>>,
    ) -> Result<(), StoreError> {
        self.with(table, |cluster, opening| {
            marked(cluster, &opening.name, table, stamp.epoch, marks)
        })
    }

    fn check(&mut self, table: &Table) -> Result<(), StoreError> {
        let name = table_name(table)?;
        let checked = self.connect().and_then(|cluster| Cassandra::fits(cluster, table, &name));
        self.lost(checked)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// What a reader gets: cents by day and shop.
    pub(in crate::stores) fn rows(url: &str, table: &Table) -> BTreeMap<(String, String), i64> {
        let cluster = Cluster::connect(&Parts::parse(url).unwrap()).unwrap();
        let name = table_name(table).unwrap();
        let found = cluster.rows(&format!("SELECT day, shop, cents FROM {name}"), &[]).unwrap();
        let row = |row: Vec<Option<CqlValue>>| {
            let (Some(CqlValue::Date(day)), Some(shop)) = (&row[0], string(row[1].as_ref())) else {
                panic!("{row:?}")
            };
            let Some(CqlValue::Varint(cents)) = &row[2] else { panic!("{row:?}") };
            let cents =
                cents.as_signed_bytes_be_slice().iter().fold(0, |n, b| n << 8 | i64::from(*b));
            let day = Day((i64::from(day.0) - (1 << 31)) as i32).to_string();
            ((day, shop.to_owned()), cents)
        };
        found.into_iter().map(row).collect()
    }

    pub(in crate::stores) fn drop_table(url: &str, table: &Table) {
        let cluster = Cluster::connect(&Parts::parse(url).unwrap()).unwrap();
        cluster.define(&format!("DROP TABLE {}", table_name(table).unwrap())).unwrap();
    }

    #[test]
    fn times_rise_and_are_reserved_before_they_are_used() {
        let mut times = Times { last: 100, reserved: 110, as_of: 0, before: 100 };
        assert_eq!(times.next(1, 50), Ok(101));
        assert_eq!((times.next(1, 105), times.before), (Ok(105), 100));
        // Another moment: what is older was written up to 105.
        assert_eq!((times.next(2, 10), times.before), (Ok(106), 105));
        assert_eq!(times.next(2, 111), Err(111 + RESERVED));
        times.reserved = 111 + RESERVED;
        assert_eq!((times.next(2, 111), times.before), (Ok(111), 105));
    }

    #[test]
    fn a_url_names_a_keyspace() {
        assert!(Cassandra::new("cassandra://a:9042,b/answers").is_ok());
        for wrong in ["cassandra://a", "cassandra:///k", "cassandra://a/k?x=1"] {
            assert!(matches!(Cassandra::new(wrong), Err(StoreError::Mismatch { .. })), "{wrong}");
        }
    }
}
