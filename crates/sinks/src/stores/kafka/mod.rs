//! Kafka: a compacted topic for each view, a record for each period and key.
//!
//! The topic of a view is `PREFIXVIEW`. The key of a record is an object of JSON: the period, and the columns of the
//! view's key. Its value is the row as JSON, or nothing if the row is gone. `PREFIXVIEW.sink` has the epoch, and the
//! marks by their periods. What a look writes is a transaction (several, if it takes long), under an id of the view, so
//! that brokers fence former writers off.

mod address;
mod context;
mod error;
mod gone;
mod reader;
mod writer;

use std::collections::BTreeMap;
use std::fmt;

use dayfold::schema::Value;
use dayfold::time::Day;
use rdkafka::Offset;
use rdkafka::message::Message;

use self::address::Address;
use self::error::{NAME, mismatch, unavailable};
use self::gone::Gone;
use self::reader::Reader;
use self::writer::Writer;
use crate::row::push_columns;
use crate::{Opened, Row, Stamp, Store, StoreError, Sweep, Table};

/// What a record has beside its key and its value, at most.
const OVERHEAD: usize = 512;

/// The key of the record that has the epoch, and the number of partitions that rows are in.
const EPOCH: &str = "epoch";

/// Brokers of Kafka.
pub struct Kafka {
    address: Address,
    reader: Option<Reader>,
    open: BTreeMap<String, Topic>,
}

/// The topic of a view, as long as we write it.
struct Topic {
    writer: Writer,
    rows: String,
    notes: String,
    partitions: i32,
    bytes_max: usize,
    /// Where the notes were read to, and where they ended then.
    noted: i64,
    end: i64,
}

impl fmt::Debug for Kafka {
    // Not the settings, which may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kafka").field("prefix", &self.address.prefix).finish_non_exhaustive()
    }
}

/// What is noted of a view.
#[derive(Debug, Default, PartialEq, Eq)]
struct Noted {
    epoch: i64,
    partitions: Option<i64>,
    marks: BTreeMap<Day, String>,
}

impl Noted {
    fn take(&mut self, key: &[u8], value: Option<&[u8]>) {
        if key == EPOCH.as_bytes() {
            let said = value.and_then(|value| serde_json::from_slice(value).ok());
            let said: serde_json::Value = said.unwrap_or_default();
            self.epoch = said["epoch"].as_i64().unwrap_or_default().max(self.epoch);
            self.partitions = said["partitions"].as_i64();
            return;
        }
        let text = |bytes| std::str::from_utf8(bytes).ok();
        let Some(day) = text(key).and_then(|day| Day::parse_period(day).ok()) else { return };
        match value.and_then(text) {
            Some(version) => self.marks.insert(day, version.to_owned()),
            None => self.marks.remove(&day),
        };
    }
}

/// The key of a row's record.
fn key_of(table: &Table, row: &Row) -> String {
    let period = Value::period(row.period);
    let mut key = String::new();
    push_columns(&mut key, table.names().zip(std::iter::once(&period).chain(&row.key)));
    key + "}"
}

impl Kafka {
    /// The brokers of a URL: `kafka://[USER:PASSWORD@]HOST[:PORT][,HOST[:PORT]…][/PREFIX][?SETTING=VALUE&…]`, with
    /// settings of librdkafka.
    ///
    /// # Errors
    /// [`StoreError::Mismatch`] if that is none.
    pub fn new(url: &str) -> Result<Kafka, StoreError> {
        Ok(Kafka { address: Address::parse(url)?, reader: None, open: BTreeMap::new() })
    }

    /// The topics of rows and of notes.
    fn topics(&self, table: &Table) -> Result<(String, String), StoreError> {
        let rows = format!("{}{}", self.address.prefix, table.view);
        let notes = format!("{rows}.sink");
        let is_fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        match rows.chars().all(is_fine) && notes.len() < 250 {
            true => Ok((rows, notes)),
            false => Err(mismatch(
                format!("a topic cannot be called '{rows}'"),
                "letters, digits, '.', '_' and '-', 244 at most",
            )),
        }
    }

    fn reader(&mut self) -> Result<&Reader, StoreError> {
        let reader = match self.reader.take() {
            Some(reader) => reader,
            None => Reader::connect(&self.address)?,
        };
        Ok(self.reader.insert(reader))
    }

    /// Does something with the topic of a view. After an error it has to be opened anew.
    fn with<T>(
        &mut self,
        table: &Table,
        act: impl FnOnce(&Reader, &mut Topic) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.reader()?;
        let (Some(reader), Some(topic)) = (&self.reader, self.open.get_mut(&table.view)) else {
            return Err(unavailable("it is not open"));
        };
        let done = act(reader, topic);
        if matches!(done, Err(ref error) if !matches!(error, StoreError::Refused { .. })) {
            self.reader = None;
            self.open.remove(&table.view);
        }
        done
    }

    fn opened(&mut self, table: &Table, at_least: i64) -> Result<Opened, StoreError> {
        let (rows, notes) = self.topics(table)?;
        let reader = self.reader()?;
        let (of_rows, is_new) = reader.ensure(&rows, -1)?;
        let (of_notes, _) = reader.ensure(&notes, 1)?;
        let (partitions, bytes_max) =
            (of_rows.partitions, of_rows.bytes_max.min(of_notes.bytes_max));
        let mut writer = Writer::open(&self.address, &table.view, &rows, bytes_max)?;
        let mut noted = Noted::default();
        let reader = self.reader()?;
        let from = BTreeMap::from([(0, Offset::Beginning)]);
        let read = reader.read(&notes, &from, &mut |record| {
            noted.take(record.key().unwrap_or_default(), record.payload());
        })?;
        match noted.partitions {
            // Keys would be in others of them than before, and removals would come in any order.
            Some(before) if before != i64::from(partitions) && !is_new => {
                return Err(mismatch(
                    format!("topic '{rows}' has {partitions} partitions"),
                    &format!("{before}, as when it was first written; or no topic of this name"),
                ));
            }
            _ => {}
        }
        let mut is_empty = !noted.marks.is_empty();
        for partition in 0..partitions {
            is_empty = is_empty && self.reader()?.end(&rows, partition)? == 0;
        }
        if is_new || is_empty {
            // Nothing that is marked is there any more.
            for day in noted.marks.keys() {
                writer.send(&notes, Some(0), day.to_string().as_bytes(), None)?;
            }
            noted.marks.clear();
        }
        let epoch = (noted.epoch + 1).max(at_least);
        let said = serde_json::json!({ "epoch": epoch, "partitions": partitions }).to_string();
        writer.send(&notes, Some(0), EPOCH.as_bytes(), Some(said.as_bytes()))?;
        writer.commit()?;
        let noted_to = read.get(&0).copied().unwrap_or(0);
        let topic =
            Topic { writer, rows, notes, partitions, bytes_max, noted: noted_to, end: noted_to };
        self.open.insert(table.view.clone(), topic);
        Ok(Opened::new(epoch, noted.marks))
    }
}

impl Topic {
    /// Whether the topics are those that were opened, and nobody else has opened them since.
    fn hold(&mut self, reader: &Reader, table: &Table, stamp: Stamp) -> Result<(), StoreError> {
        self.writer.check()?;
        if reader.partitions(&self.rows)? != Some(self.partitions) {
            return Err(unavailable("the topic is another one than before"));
        }
        if let Some((&partition, &last)) = self.writer.delivered().first_key_value() {
            // A topic of the same name that somebody has made meanwhile has fewer records.
            reader.wait_for(&self.rows, &BTreeMap::from([(partition, last)]))?;
        }
        let end = reader.end(&self.notes, 0)?;
        if end < self.end {
            return Err(unavailable("the notes are others than before"));
        }
        if end > self.end {
            let from = BTreeMap::from([(0, Offset::Offset(self.noted))]);
            let mut noted = Noted::default();
            let read = reader.read(&self.notes, &from, &mut |record| {
                noted.take(record.key().unwrap_or_default(), record.payload());
            })?;
            if noted.epoch > stamp.epoch {
                return Err(StoreError::Fenced { store: NAME, view: table.view.clone() });
            }
            (self.noted, self.end) = (read.get(&0).copied().unwrap_or(self.noted), end);
        }
        Ok(())
    }

    fn sweep(&mut self, reader: &Reader, mut gone: Gone<'_>) -> Result<u64, StoreError> {
        // Only what is committed is read, and what was written just now must not be taken for old.
        self.writer.commit()?;
        reader.wait_for(&self.rows, &self.writer.delivered())?;
        let from = (0..self.partitions).map(|partition| (partition, Offset::Beginning)).collect();
        let mut removed = 0;
        loop {
            reader.read(&self.rows, &from, &mut |record| {
                gone.take(record.partition(), record.key().unwrap_or_default(), record.payload());
            })?;
            let (found, is_all) = gone.found();
            for (key, partition) in found {
                self.writer.send(&self.rows, Some(partition), &key, None)?;
                self.writer.commit_if_long()?;
                removed += 1;
            }
            if is_all {
                return Ok(removed);
            }
        }
    }
}

impl Store for Kafka {
    fn name(&self) -> &'static str {
        NAME
    }

    fn open(&mut self, table: &Table, at_least: i64) -> Result<Opened, StoreError> {
        self.open.remove(&table.view);
        let opened = self.opened(table, at_least);
        if opened.is_err() {
            self.reader = None;
        }
        opened
    }

    fn ping(&mut self, table: &Table, stamp: Stamp) -> Result<(), StoreError> {
        self.with(table, |reader, topic| topic.hold(reader, table, stamp))
    }

    fn write(&mut self, table: &Table, stamp: Stamp, rows: &[Row]) -> Result<(), StoreError> {
        let record = |row: &Row| (key_of(table, row), row.json(table, stamp.as_of));
        let records: Vec<(String, String)> = rows.iter().map(record).collect();
        self.with(table, |_, topic| {
            // Nothing is sent of a batch of which something is refused.
            let sizes = records.iter().map(|(key, value)| key.len() + value.len() + OVERHEAD);
            if let Some(size) = sizes.max().filter(|size| *size > topic.bytes_max) {
                let max = topic.bytes_max;
                let why = format!("a record of {size} bytes is beyond max.message.bytes={max}");
                return Err(StoreError::Refused { store: NAME, why });
            }
            for (key, value) in &records {
                topic.writer.send(&topic.rows, None, key.as_bytes(), Some(value.as_bytes()))?;
            }
            topic.writer.commit_if_long()
        })
    }

    fn sweep(&mut self, table: &Table, stamp: Stamp, sweep: &Sweep) -> Result<u64, StoreError> {
        let gone = Gone::new(table, stamp.as_of, sweep);
        self.with(table, |reader, topic| topic.sweep(reader, gone))
    }

    fn mark(
        &mut self,
        table: &Table,
        _: Stamp,
        marks: &BTreeMap<Day, Option<String>>,
    ) -> Result<(), StoreError> {
        self.with(table, |_, topic| {
            for (day, version) in marks {
                let (key, value) = (day.to_string(), version.as_deref().map(str::as_bytes));
                topic.writer.send(&topic.notes, Some(0), key.as_bytes(), value)?;
            }
            Ok(())
        })
    }

    fn commit(&mut self, table: &Table) -> Result<(), StoreError> {
        self.with(table, |_, topic| topic.writer.commit())
    }

    fn check(&mut self, table: &Table) -> Result<(), StoreError> {
        let (rows, notes) = self.topics(table)?;
        let reader = self.reader()?;
        reader.about(&rows)?;
        reader.about(&notes).map(drop)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use rdkafka::admin::{AdminClient, AdminOptions};
    use rdkafka::client::DefaultClientContext;

    use super::*;
    use crate::row::tests::{row, table};

    /// What a reader from the beginning has in the end: cents by day and shop.
    pub(in crate::stores) fn rows(url: &str, table: &Table) -> BTreeMap<(String, String), i64> {
        let kafka = Kafka::new(url).unwrap();
        let (topic, _) = kafka.topics(table).unwrap();
        let reader = Reader::connect(&kafka.address).unwrap();
        let partitions = reader.partitions(&topic).unwrap().unwrap();
        let from = (0..partitions).map(|partition| (partition, Offset::Beginning)).collect();
        let mut rows = BTreeMap::new();
        reader
            .read(&topic, &from, &mut |record| {
                let json = |bytes| serde_json::from_slice::<serde_json::Value>(bytes).unwrap();
                let key = json(record.key().unwrap());
                let text = |name: &str| key[name].as_str().unwrap().to_owned();
                let key = (text("day"), text("shop"));
                match record.payload().map(json) {
                    Some(row) => rows.insert(key, row["cents"].as_i64().unwrap()),
                    None => rows.remove(&key),
                };
            })
            .unwrap();
        rows
    }

    pub(in crate::stores) fn drop_table(url: &str, table: &Table) {
        let kafka = Kafka::new(url).unwrap();
        let (topic, _) = kafka.topics(table).unwrap();
        let admin: AdminClient<DefaultClientContext> = kafka.address.config(&[]).create().unwrap();
        let gone = admin.delete_topics(&[&topic], &AdminOptions::new());
        futures_executor::block_on(gone).unwrap();
        let reader = Reader::connect(&kafka.address).unwrap();
        while reader.partitions(&topic).unwrap().is_some() {
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    #[test]
    fn a_key_is_an_object_and_notes_are_read_back() {
        assert_eq!(key_of(&table(), &row(0, "a\"b", 1)), r#"{"day":"1970-01-01","shop":"a\"b"}"#);
        let mut noted = Noted::default();
        let taken: [(&[u8], Option<&[u8]>); 5] = [
            (b"epoch", Some(br#"{"epoch":3,"partitions":2}"#)),
            (b"1970-01-02", Some(b"one")),
            (b"1970-01-03", Some(b"two")),
            (b"1970-01-02", None),
            (b"something else", Some(b"three")),
        ];
        taken.into_iter().for_each(|(key, value)| noted.take(key, value));
        let marks = BTreeMap::from([(Day(2), "two".to_owned())]);
        assert_eq!(noted, Noted { epoch: 3, partitions: Some(2), marks });
    }

    #[test]
    fn a_topic_has_a_name_that_brokers_take() {
        let kafka = Kafka::new("kafka://h/answers.").unwrap();
        let topics = kafka.topics(&table()).unwrap();
        assert_eq!(topics, ("answers.sales".to_owned(), "answers.sales.sink".to_owned()));
        let other = Table { view: "so ein".to_owned(), ..table() };
        assert!(matches!(kafka.topics(&other), Err(StoreError::Mismatch { .. })));
    }
}
