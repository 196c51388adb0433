//! MongoDB's protocol, also that of Azure Cosmos DB and FerretDB: a collection with the view's name, and a document for
//! each period and key.
//!
//! `_id` is `PERIOD:KEY…`. In each part `%` and `:` are written as `%25` and `%3A`, and null is `%-`. The other fields
//! are the columns of the view, `sealed`, `revision` and `as_of`. A date is a text, because documents only have
//! instants. Integers beyond 64 bits and decimals are `Decimal128`, or texts with `?decimals=text` in the URL.
//! `dayfold_sinks` has a document for each view, with the epoch and the marks. A document is replaced if its `as_of` is
//! not greater. The epoch is checked before each batch, because not every server has transactions.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use dayfold::schema::Value;
use dayfold::time::Day;
use mongodb::bson::{Bson, DateTime, Decimal128, Document, doc};
use mongodb::options::ClientOptions;
use mongodb::sync::{Client, Database};

use crate::{Opened, Row, Stamp, Store, StoreError, Sweep, Table};

const NAME: &str = "MongoDB";
const EXPECTED: &str = "mongodb://[user:password@]host[:port]/database, or mongodb+srv://";

/// How long it may take to find the server and connect to it.
const LIMIT: Duration = Duration::from_secs(10);

/// The collection of epochs and marks.
const META: &str = "dayfold_sinks";

/// The number of documents that one command replaces. FerretDB 1 holds a connection of its pool for each of them, and
/// hangs if none is left.
const REPLACED_AT_ONCE: usize = 20;

/// A document with this `_id` exists and did not match, so it has a later moment.
const DUPLICATE_KEY: i32 = 11_000;

/// Azure Cosmos DB: too many requests.
const TOO_MANY_REQUESTS: i32 = 16_500;

/// A database on a server of MongoDB's protocol.
pub struct MongoDb {
    url: String,
    decimals_as_text: bool,
    database: Option<Database>,
    /// What tells the collections that are open from later ones of the same names.
    open: BTreeMap<String, String>,
}

impl fmt::Debug for MongoDb {
    // The URL is left out, because it may contain a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MongoDb").finish_non_exhaustive()
    }
}

fn unavailable(why: impl fmt::Display) -> StoreError {
    StoreError::Unavailable { store: NAME, why: why.to_string() }
}

fn refused(why: impl Into<String>) -> StoreError {
    StoreError::Refused { store: NAME, why: why.into() }
}

fn fenced(table: &Table) -> StoreError {
    StoreError::Fenced { store: NAME, view: table.view.clone() }
}

/// The URL for the driver, and whether decimals are written as texts.
fn option_taken(url: &str) -> (String, bool) {
    let Some((address, options)) = url.split_once('?') else { return (url.to_owned(), false) };
    let (ours, theirs): (Vec<&str>, Vec<&str>) =
        options.split('&').partition(|option| *option == "decimals=text");
    let rest = if theirs.is_empty() { String::new() } else { format!("?{}", theirs.join("&")) };
    (format!("{address}{rest}"), !ours.is_empty())
}

/// The first error in an answer about single documents: its code and message.
fn first_error(answer: &Document) -> Option<(i32, String)> {
    let error = answer.get_array("writeErrors").ok()?.first()?.as_document()?;
    let code = error.get("code").and_then(number_of).unwrap_or_default() as i32;
    Some((code, error.get_str("errmsg").unwrap_or("no reason").to_owned()))
}

fn number_of(value: &Bson) -> Option<i64> {
    match value {
        Bson::Int32(number) => Some(i64::from(*number)),
        Bson::Int64(number) => Some(*number),
        Bson::Double(number) => Some(*number as i64),
        _ => None,
    }
}

impl MongoDb {
    /// The database of a URL.
    ///
    /// # Errors
    /// [`StoreError::Mismatch`] if the URL is not valid.
    pub fn new(url: &str) -> Result<MongoDb, StoreError> {
        let (url, decimals_as_text) = option_taken(url);
        let rest = url.split_once("://").map_or("", |(_, rest)| rest);
        let database = rest.split_once('/').map_or("", |(_, database)| database);
        if database.split('?').next().unwrap_or_default().is_empty() {
            return Err(StoreError::Mismatch {
                store: NAME,
                found: "the URL names no database".to_owned(),
                expected: EXPECTED.to_owned(),
            });
        }
        Ok(MongoDb { url, decimals_as_text, database: None, open: BTreeMap::new() })
    }

    fn database(&mut self) -> Result<&Database, StoreError> {
        let database = match self.database.take() {
            Some(database) => database,
            None => {
                let options = ClientOptions::parse(self.url.as_str()).run();
                let mut options = options.map_err(|error| StoreError::Mismatch {
                    store: NAME,
                    found: error.to_string(),
                    expected: EXPECTED.to_owned(),
                })?;
                options.app_name.get_or_insert_with(|| "dayfold".to_owned());
                options.connect_timeout.get_or_insert(LIMIT);
                options.server_selection_timeout.get_or_insert(LIMIT);
                let client = Client::with_options(options).map_err(unavailable)?;
                client.default_database().ok_or_else(|| unavailable("the URL names no database"))?
            }
        };
        Ok(self.database.insert(database))
    }

    fn run(&mut self, command: Document) -> Result<Document, StoreError> {
        self.database()?.run_command(command).run().map_err(unavailable)
    }

    /// Runs a command that writes. What is acknowledged is durable, and survives a change of the primary.
    fn run_durably(&mut self, mut command: Document) -> Result<Document, StoreError> {
        command.insert("writeConcern", doc! { "w": "majority", "j": true });
        let answer = self.run(command)?;
        match answer.get_document("writeConcernError") {
            Ok(error) => Err(unavailable(error.get_str("errmsg").unwrap_or("not durable"))),
            Err(_) => Ok(answer),
        }
    }

    /// Checks that this writer still has the epoch.
    fn hold(&mut self, table: &Table, stamp: Stamp) -> Result<(), StoreError> {
        let answer =
            self.run(doc! { "find": META, "filter": { "_id": &table.view }, "limit": 1 })?;
        let found = answer.get_document("cursor").and_then(|cursor| cursor.get_array("firstBatch"));
        let first = found.ok().and_then(|found| found.first()?.as_document());
        let epoch = first.and_then(|meta| meta.get("epoch")).and_then(number_of);
        if epoch == Some(stamp.epoch) { Ok(()) } else { Err(fenced(table)) }
    }

    /// What tells the collection of a view from a later one of its name; `None` if it is gone. Servers that give
    /// collections no UUID do not tell.
    fn id_of(&mut self, table: &Table) -> Result<Option<String>, StoreError> {
        let answer = self.run(doc! { "listCollections": 1, "filter": { "name": &table.view } })?;
        let found = answer.get_document("cursor").and_then(|cursor| cursor.get_array("firstBatch"));
        let first = found.ok().and_then(|found| found.first()?.as_document());
        let uuid = |about: &Document| about.get_document("info").ok()?.get("uuid").cloned();
        Ok(first.map(|about| match uuid(about) {
            Some(Bson::Binary(uuid)) => {
                uuid.bytes.iter().map(|byte| format!("{byte:02x}")).collect()
            }
            _ => "collection".to_owned(),
        }))
    }

    /// Changes the document of a view in `dayfold_sinks`; returns the new one.
    fn note(&mut self, table: &Table, update: Document) -> Result<Document, StoreError> {
        let answer = self.run_durably(doc! {
            "findAndModify": META,
            "query": { "_id": &table.view },
            "update": update,
            "upsert": true,
            "new": true,
        })?;
        let noted = answer.get_document("value").cloned();
        noted.map_err(|_| unavailable("it does not say what it has noted"))
    }

    /// A value as a field.
    fn field(&self, value: &Value) -> Result<Bson, StoreError> {
        let exact = |digits: String| match self.decimals_as_text {
            true => Ok(Bson::String(digits)),
            false => digits.parse::<Decimal128>().map(Bson::Decimal128).map_err(|_| {
                refused(format!("{digits} has more than the 34 digits of Decimal128"))
            }),
        };
        Ok(match value {
            Value::Null => Bson::Null,
            Value::Text(text) => Bson::String(text.clone()),
            Value::Integer(number) => match i64::try_from(*number) {
                Ok(number) => Bson::Int64(number),
                Err(_) => exact(number.to_string())?,
            },
            Value::Decimal(number) => exact(number.to_string())?,
            Value::Boolean(is_so) => Bson::Boolean(*is_so),
            Value::Date(day) => Bson::String(day.to_string()),
            Value::Timestamp(time) => Bson::DateTime(DateTime::from_millis(*time)),
            Value::Bytes(bytes) => Bson::Binary(mongodb::bson::Binary {
                subtype: mongodb::bson::spec::BinarySubtype::Generic,
                bytes: bytes.clone(),
            }),
            value => Bson::String(value.to_string()),
        })
    }

    fn document(&self, table: &Table, row: &Row, stamp: Stamp) -> Result<Document, StoreError> {
        let mut document = doc! { "_id": row.name() };
        let period = Value::period(row.period);
        let values = std::iter::once(&period).chain(&row.key).chain(&row.measures);
        for (name, value) in table.names().zip(values) {
            document.insert(name, self.field(value)?);
        }
        document.insert("sealed", row.sealed);
        document.insert("revision", self.field(&row.revision)?);
        document.insert("as_of", stamp.as_of);
        Ok(document)
    }

    fn replace(&mut self, table: &Table, stamp: Stamp, rows: &[Row]) -> Result<(), StoreError> {
        let mut updates = Vec::with_capacity(rows.len());
        for row in rows {
            let document = self.document(table, row, stamp)?;
            let query = doc! { "_id": row.name(), "as_of": { "$lte": stamp.as_of } };
            updates.push(doc! { "q": query, "u": document, "upsert": true });
        }
        let command = doc! { "update": &table.view, "updates": updates, "ordered": false };
        let answer = self.run_durably(command)?;
        match first_error(&answer) {
            None => Ok(()),
            Some((TOO_MANY_REQUESTS, why)) => Err(unavailable(why)),
            Some((DUPLICATE_KEY, why)) => {
                // A later writer has written documents with a later moment; if there is no later epoch, something else
                // has.
                self.hold(table, stamp)?;
                Err(refused(why))
            }
            Some((_, why)) => Err(refused(why)),
        }
    }
}

impl Store for MongoDb {
    fn name(&self) -> &'static str {
        NAME
    }

    fn open(&mut self, table: &Table, at_least: i64) -> Result<Opened, StoreError> {
        self.check(table)?;
        self.note(table, doc! { "$max": { "epoch": at_least.saturating_sub(1) } })?;
        if self.id_of(table)?.is_none() {
            self.note(table, doc! { "$unset": { "marks": "" } })?;
        }
        let noted = self.note(table, doc! { "$inc": { "epoch": 1_i64 } })?;
        let epoch = noted.get("epoch").and_then(number_of);
        let epoch = epoch.ok_or_else(|| unavailable("it does not tell the epoch"))?;
        let period = &table.period.name;
        let index = doc! { "key": { period: 1 }, "name": format!("{period}_1") };
        self.run(doc! { "createIndexes": &table.view, "indexes": [index] })?;
        let marks = noted.get_document("marks").ok().into_iter().flatten();
        let mark = |(period, version): (&String, &Bson)| {
            Some((Day::parse_period(period).ok()?, version.as_str()?.to_owned()))
        };
        let opened = Opened::new(epoch, marks.filter_map(mark).collect());
        let id = self.id_of(table)?.ok_or_else(|| unavailable("the collection is gone"))?;
        self.open.insert(table.view.clone(), id.clone());
        Ok(opened.of_table(id))
    }

    fn ping(&mut self, table: &Table, stamp: Stamp) -> Result<(), StoreError> {
        self.hold(table, stamp)?;
        match self.id_of(table)?.as_ref() == self.open.get(&table.view) {
            true => Ok(()),
            false => Err(unavailable("the collection is another one than before")),
        }
    }

    fn write(&mut self, table: &Table, stamp: Stamp, rows: &[Row]) -> Result<(), StoreError> {
        self.hold(table, stamp)?;
        rows.chunks(REPLACED_AT_ONCE).try_for_each(|rows| self.replace(table, stamp, rows))
    }

    fn sweep(&mut self, table: &Table, stamp: Stamp, sweep: &Sweep) -> Result<u64, StoreError> {
        self.hold(table, stamp)?;
        let (is_in, days): (&str, Vec<Day>) = match sweep {
            Sweep::Period(day) => ("$in", vec![*day]),
            Sweep::AllBut(kept) => ("$nin", kept.iter().copied().collect()),
        };
        let days = days.into_iter().map(|day| self.field(&Value::period(day)));
        let days = days.collect::<Result<Vec<Bson>, StoreError>>()?;
        let query = doc! { &table.period.name: { is_in: days }, "as_of": { "$lt": stamp.as_of } };
        let delete = doc! { "q": query, "limit": 0 };
        let answer = self.run_durably(doc! { "delete": &table.view, "deletes": [delete] })?;
        match first_error(&answer) {
            None => Ok(answer.get("n").and_then(number_of).unwrap_or_default() as u64),
            Some((_, why)) => Err(unavailable(why)),
        }
    }

    fn mark(
        &mut self,
        table: &Table,
        stamp: Stamp,
        marks: &BTreeMap<Day, Option<String>>,
    ) -> Result<(), StoreError> {
        let (mut set, mut unset) = (Document::new(), Document::new());
        for (day, version) in marks {
            match version {
                Some(version) => set.insert(format!("marks.{day}"), version),
                None => unset.insert(format!("marks.{day}"), ""),
            };
        }
        let mut update = Document::new();
        for (operator, fields) in [("$set", set), ("$unset", unset)] {
            if !fields.is_empty() {
                update.insert(operator, fields);
            }
        }
        if update.is_empty() {
            return Ok(());
        }
        let query = doc! { "_id": &table.view, "epoch": stamp.epoch };
        let command = doc! { "update": META, "updates": [{ "q": query, "u": update }] };
        let answer = self.run_durably(command)?;
        match (first_error(&answer), answer.get("n").and_then(number_of)) {
            (Some((_, why)), _) => Err(unavailable(why)),
            (None, Some(1)) => Ok(()),
            (None, _) => Err(fenced(table)),
        }
    }

    fn check(&mut self, table: &Table) -> Result<(), StoreError> {
        let is_wrong = |name: &&str| *name == "_id" || name.starts_with('$') || name.contains('.');
        if let Some(name) = table.names().find(is_wrong) {
            return Err(StoreError::Mismatch {
                store: NAME,
                found: format!("the view has a column '{name}'"),
                expected: "no _id, no $ at the beginning, and no dot".to_owned(),
            });
        }
        self.run(doc! { "ping": 1 }).map(drop)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::row::tests::{row, table};

    /// What a reader has: cents by day and shop.
    pub(in crate::stores) fn rows(url: &str, table: &Table) -> BTreeMap<(String, String), i64> {
        let answer = MongoDb::new(url).unwrap().run(doc! { "find": &table.view }).unwrap();
        let found = answer.get_document("cursor").unwrap().get_array("firstBatch").unwrap();
        let row = |row: &Bson| {
            let row = row.as_document().unwrap();
            let text = |name: &str| row.get_str(name).unwrap().to_owned();
            ((text("day"), text("shop")), row.get("cents").and_then(number_of).unwrap())
        };
        found.iter().map(row).collect()
    }

    pub(in crate::stores) fn drop_table(url: &str, table: &Table) {
        MongoDb::new(url).unwrap().run(doc! { "drop": &table.view }).unwrap();
    }

    #[test]
    fn numbers_stay_exact_or_are_refused() {
        let store = MongoDb::new("mongodb://host/db").unwrap();
        let stamp = Stamp::new(1, 1);
        let document = store.document(&table(), &row(0, "a:b", 7), stamp).unwrap();
        let expected = doc! {
            "_id": "1970-01-01:a%3Ab", "day": "1970-01-01", "shop": "a:b", "cents": 7_i64, "sealed": false,
            "revision": Bson::Null, "as_of": stamp.as_of,
        };
        assert_eq!(document, expected);
        let large = i128::from(i64::MAX) + 1;
        assert!(matches!(store.field(&Value::Integer(large)).unwrap(), Bson::Decimal128(_)));
        let beyond = store.field(&Value::Integer(i128::MAX));
        assert!(matches!(beyond, Err(StoreError::Refused { .. })), "{beyond:?}");
        let texts = MongoDb::new("mongodb://host/db?decimals=text").unwrap();
        let text = texts.field(&Value::Integer(i128::MAX)).unwrap();
        assert_eq!(text, Bson::String(i128::MAX.to_string()));
    }

    #[test]
    fn a_url_names_a_database_and_may_say_what_decimals_are() {
        for wrong in ["mongodb://host", "mongodb://host/", "mongodb://host/?tls=true"] {
            assert!(matches!(MongoDb::new(wrong), Err(StoreError::Mismatch { .. })), "{wrong}");
        }
        let taken = |url: &str| option_taken(url);
        assert_eq!(taken("mongodb://h/d?decimals=text"), ("mongodb://h/d".to_owned(), true));
        assert_eq!(
            taken("mongodb://h/d?a=b&decimals=text&c"),
            ("mongodb://h/d?a=b&c".to_owned(), true)
        );
        assert_eq!(taken("mongodb://h/d?a=b"), ("mongodb://h/d?a=b".to_owned(), false));
    }
}
