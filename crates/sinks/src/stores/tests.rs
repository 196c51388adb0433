//! Promises of stores, tested with the servers themselves at the URLs in the environment: `proof/kills.py --tests
//! COMMAND` starts them. A store whose variable is not set is left out.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use dayfold::time::Day;

use crate::row::tests::{row, table};
use crate::{Opened, Row, Stamp, Store, StoreError, Sweep, Table};

/// Cents by day and shop.
type Found = BTreeMap<(String, String), i64>;

fn found<const N: usize>(rows: [(&str, &str, i64); N]) -> Found {
    rows.map(|(day, shop, cents)| ((day.to_owned(), shop.to_owned()), cents)).into()
}

const FIRST: &str = "1970-01-01";
const SECOND: &str = "1970-01-02";

/// A store with a server.
struct Server<'a> {
    new: &'a dyn Fn() -> Box<dyn Store>,
    /// What a reader has.
    rows: &'a dyn Fn(&Table) -> Found,
    /// Drops the table of rows, as somebody else would.
    drop: &'a dyn Fn(&Table),
    /// A key that the server refuses; not all do.
    refused: Option<String>,
}

impl Server<'_> {
    /// Waits until readers have these rows: brokers acknowledge a commit before all readers see it.
    fn becomes(&self, expected: &Found) {
        let since = Instant::now();
        loop {
            let found = (self.rows)(&table());
            if found == *expected {
                return;
            }
            assert!(since.elapsed() < Duration::from_secs(20), "{found:?}, not {expected:?}");
        }
    }

    /// Opens a new writer.
    fn opened(&self) -> (Box<dyn Store>, Opened, Stamp) {
        let mut store = (self.new)();
        let opened = store.open(&table(), 1).unwrap();
        let stamp = Stamp::new(opened.epoch, 1);
        store.ping(&table(), stamp).unwrap();
        (store, opened, stamp)
    }

    /// Writes, removes, and takes over, as sinks do.
    fn keeps_its_promises(&self) {
        let table = table();
        let (mut first, opened, stamp) = self.opened();
        write(&mut *first, stamp, &[row(0, "a", 1), row(0, "b", 2), row(1, "c", 3)]).unwrap();
        // Rows of earlier tests are removed.
        first.sweep(&table, stamp, &Sweep::AllBut(BTreeSet::new())).unwrap();
        first.mark(&table, stamp, &marks(&opened)).unwrap();
        first.commit(&table).unwrap();
        self.becomes(&found([(FIRST, "a", 1), (FIRST, "b", 2), (SECOND, "c", 3)]));

        // Removes older rows of a period, and keeps those of the same moment.
        let next = Stamp::new(opened.epoch, 2);
        first.ping(&table, next).unwrap();
        first.write(&table, next, &[row(0, "a", 5)]).unwrap();
        first.sweep(&table, next, &Sweep::Period(Day(0))).unwrap();
        first.commit(&table).unwrap();
        self.becomes(&found([(FIRST, "a", 5), (SECOND, "c", 3)]));

        // Another writer finds the marks, and takes over.
        let (mut second, again, later) = self.opened();
        assert!(again.epoch > opened.epoch, "{again:?}");
        assert_eq!(again.versions(), BTreeMap::from([(Day(1), "one".to_owned())]));
        second.write(&table, later, &[row(0, "a", 7)]).unwrap();
        second.sweep(&table, later, &Sweep::AllBut(BTreeSet::from([Day(1)]))).unwrap();
        second.commit(&table).unwrap();
        // Late writes of the former writer are refused, or older than the present rows.
        let after = Stamp::new(opened.epoch, 3);
        let late = write(&mut *first, after, &[row(0, "a", 6)]);
        assert!(late.is_ok() || is_fenced(&late), "{late:?}");
        self.becomes(&found([(FIRST, "a", 7), (SECOND, "c", 3)]));
        let mark = first.mark(&table, after, &marks(&opened)).and_then(|()| first.commit(&table));
        assert!(mark.is_err() && first.ping(&table, after).is_err());

        // A refused row delays no other row.
        let (mut third, opened, stamp) = self.opened();
        if let Some(key) = &self.refused {
            let refused = third.write(&table, stamp, &[row(0, key, 1)]);
            assert!(matches!(refused, Err(StoreError::Refused { .. })), "{refused:?}");
        }
        write(&mut *third, stamp, &[row(0, "d", 8)]).unwrap();
        self.becomes(&found([(FIRST, "a", 7), (FIRST, "d", 8), (SECOND, "c", 3)]));

        // A table that is dropped takes its marks along.
        third.mark(&table, stamp, &marks(&opened)).unwrap();
        third.commit(&table).unwrap();
        (self.drop)(&table);
        assert!(third.ping(&table, stamp).is_err());
        let (mut fourth, opened, stamp) = self.opened();
        assert_eq!(opened.versions(), BTreeMap::new());
        write(&mut *fourth, stamp, &[row(0, "e", 9)]).unwrap();
        fourth.mark(&table, stamp, &marks(&opened)).unwrap();
        fourth.commit(&table).unwrap();
        self.becomes(&found([(FIRST, "e", 9)]));

        (self.new)().forget(&table).unwrap();
        assert!(is_fenced(&fourth.ping(&table, stamp)));
        assert_eq!(self.opened().1.versions(), BTreeMap::new());
    }
}

/// A mark of the second day in the opened table.
fn marks(opened: &Opened) -> BTreeMap<Day, Option<String>> {
    BTreeMap::from([(Day(1), Some(Opened::mark(opened.table.as_deref(), "one")))])
}

fn write(store: &mut dyn Store, stamp: Stamp, rows: &[Row]) -> Result<(), StoreError> {
    store.write(&table(), stamp, rows)?;
    store.commit(&table())
}

fn is_fenced(result: &Result<(), StoreError>) -> bool {
    matches!(result, Err(StoreError::Fenced { .. }))
}

fn url(variable: &str) -> Option<String> {
    let url = std::env::var(variable).ok();
    if url.is_none() {
        eprintln!("SKIPPED: no server at ${variable}");
    }
    url
}

#[test]
#[cfg(feature = "redis")]
fn redis_keeps_its_promises() {
    let Some(url) = url("DAYFOLD_SINK_REDIS") else { return };
    let server = Server {
        new: &|| Box::new(crate::Redis::new(&url).unwrap()),
        rows: &|table| super::redis::tests::rows(&url, table),
        drop: &|table| super::redis::tests::drop_table(&url, table),
        refused: None,
    };
    server.keeps_its_promises();
}

#[test]
#[cfg(feature = "postgres")]
fn postgres_keeps_its_promises() {
    let Some(url) = url("DAYFOLD_SINK_POSTGRES") else { return };
    let server = Server {
        new: &|| Box::new(crate::Postgres::new(&url).unwrap()),
        rows: &|table| super::postgres::tests::rows(&url, table),
        drop: &|table| super::postgres::tests::drop_table(&url, table),
        refused: Some("a\0b".to_owned()),
    };
    server.keeps_its_promises();
}

#[test]
#[cfg(feature = "mongodb")]
fn mongodb_keeps_its_promises() {
    let Some(url) = url("DAYFOLD_SINK_MONGODB") else { return };
    let server = Server {
        new: &|| Box::new(crate::MongoDb::new(&url).unwrap()),
        rows: &|table| super::mongodb::tests::rows(&url, table),
        drop: &|table| super::mongodb::tests::drop_table(&url, table),
        refused: None,
    };
    server.keeps_its_promises();
}

#[test]
#[cfg(feature = "cassandra")]
fn cassandra_keeps_its_promises() {
    let Some(url) = url("DAYFOLD_SINK_CASSANDRA") else { return };
    let server = Server {
        new: &|| Box::new(crate::Cassandra::new(&url).unwrap()),
        rows: &|table| super::cassandra::tests::rows(&url, table),
        drop: &|table| super::cassandra::tests::drop_table(&url, table),
        refused: Some("x".repeat(2_000_000)),
    };
    server.keeps_its_promises();
}

#[test]
#[cfg(feature = "hbase")]
fn hbase_keeps_its_promises() {
    let Some(url) = url("DAYFOLD_SINK_HBASE") else { return };
    let server = Server {
        new: &|| Box::new(crate::HBase::new(&url).unwrap()),
        rows: &|table| super::hbase::tests::rows(&url, table),
        drop: &|table| super::hbase::tests::drop_table(&url, table),
        refused: Some("x".repeat(40_000)),
    };
    server.keeps_its_promises();
}

#[test]
#[cfg(feature = "kafka")]
fn kafka_keeps_its_promises() {
    let Some(url) = url("DAYFOLD_SINK_KAFKA") else { return };
    let server = Server {
        new: &|| Box::new(crate::Kafka::new(&url).unwrap()),
        rows: &|table| super::kafka::tests::rows(&url, table),
        drop: &|table| super::kafka::tests::drop_table(&url, table),
        refused: Some("x".repeat(2_000_000)),
    };
    server.keeps_its_promises();
}
