//! PostgreSQL: a table with the view's name, and a row for each period and key.
//!
//! The columns are those of the period, of the key, the measures, `sealed`, `revision` and `as_of`. The primary key is
//! period and key. If a column of the key may be null, it is instead a unique index with `NULLS NOT DISTINCT`, which
//! needs PostgreSQL 15 or later. `dayfold_sinks` has the epoch of each view, and `dayfold_sink_marks` its marks. A
//! batch of rows is a transaction, which holds the epoch.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use dayfold::schema::{Column, Kind, Value};
use dayfold::time::Day;
use postgres::config::SslMode;
use postgres::error::SqlState;
use postgres::types::ToSql;
use postgres::{Client, Config, Error, GenericClient, NoTls, Transaction};

use crate::{Opened, Row, Stamp, Store, StoreError, Sweep, Table};

const NAME: &str = "PostgreSQL";
const EXPECTED: &str = "postgresql://[user[:password]@]host[:port][/database]\
    [?sslmode=require[&sslrootcert=FILE]]";

/// How long connecting to the server may take.
const LIMIT: Duration = Duration::from_secs(10);

/// A database.
pub struct Postgres {
    config: Config,
    #[cfg(feature = "tls")]
    tls: Option<tokio_postgres_rustls::MakeRustlsConnect>,
    client: Option<Client>,
    /// The object identifiers of the tables that are open.
    open: BTreeMap<String, u32>,
}

fn mismatch(found: impl Into<String>) -> StoreError {
    StoreError::Mismatch { store: NAME, found: found.into(), expected: EXPECTED.to_owned() }
}

/// What a URL says about TLS.
#[derive(Debug, Default, PartialEq, Eq)]
struct Secured {
    is_secured: bool,
    /// The file of the authority whose certificates count.
    authority: Option<String>,
}

/// Splits a URL into the part without TLS, and what it says of TLS. Unlike `psql`, a sink uses TLS only if the URL says
/// so, and then checks the certificate.
fn option_taken(url: &str) -> Result<(String, Secured), StoreError> {
    let (address, options) = url.split_once('?').unwrap_or((url, ""));
    let (mut rest, mut secured) = (Vec::new(), Secured::default());
    for option in options.split('&').filter(|option| !option.is_empty()) {
        match option.split_once('=') {
            Some(("sslmode", "disable")) => {}
            Some(("sslmode", "require" | "verify-full")) => secured.is_secured = true,
            Some(("sslmode", mode)) => {
                return Err(mismatch(format!("the URL has sslmode={mode}")));
            }
            Some(("sslrootcert", file)) => secured.authority = Some(file.to_owned()),
            _ => rest.push(option),
        }
    }
    if secured.authority.is_some() && !secured.is_secured {
        return Err(mismatch("the URL has sslrootcert without sslmode=require"));
    }
    let rest = if rest.is_empty() { String::new() } else { format!("?{}", rest.join("&")) };
    Ok((format!("{address}{rest}"), secured))
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postgres").field("hosts", &self.config.get_hosts()).finish_non_exhaustive()
    }
}

fn failed(error: &Error) -> StoreError {
    let why = match error.as_db_error() {
        Some(error) => format!("{} ({})", error.message(), error.code().code()),
        None => error.to_string(),
    };
    // Classes 22, 23 and 54: the content of the rows does not fit the columns, a constraint, or a limit such as that of
    // an index.
    let is_refused = error
        .code()
        .is_some_and(|code: &SqlState| matches!(code.code().get(..2), Some("22" | "23" | "54")));
    match is_refused {
        true => StoreError::Refused { store: NAME, why },
        false => StoreError::Unavailable { store: NAME, why },
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn type_of(column: &Column) -> &'static str {
    match column.kind {
        Kind::Text => "text",
        Kind::Integer | Kind::Decimal => "numeric",
        Kind::Boolean => "boolean",
        Kind::Date => "date",
        Kind::Timestamp => "timestamptz",
        _ => "bytea",
    }
}

/// A value as text, in the form that a cast to the column's type accepts.
fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::Bytes(bytes) => {
            let hex = bytes.iter().map(|byte| format!("{byte:02x}"));
            Some(format!("\\x{}", hex.collect::<String>()))
        }
        value => Some(value.to_string()),
    }
}

/// The columns of a table, with their types.
fn columns(table: &Table) -> Vec<(String, &'static str)> {
    let own = std::iter::once(&table.period).chain(&table.key).chain(&table.measures);
    let mut columns: Vec<(String, &'static str)> =
        own.map(|column| (quoted(&column.name), type_of(column))).collect();
    columns.push(("sealed".to_owned(), "boolean"));
    columns.push(("revision".to_owned(), type_of(&table.period)));
    columns.push(("as_of".to_owned(), "bigint"));
    columns
}

fn key_of(table: &Table) -> String {
    let key = std::iter::once(&table.period).chain(&table.key);
    key.map(|column| quoted(&column.name)).collect::<Vec<_>>().join(", ")
}

fn create(table: &Table) -> String {
    let may_be_null = table.key.iter().any(|column| column.nullable);
    let unique = if may_be_null { "UNIQUE NULLS NOT DISTINCT" } else { "PRIMARY KEY" };
    let columns = columns(table).into_iter().map(|(name, kind)| format!("{name} {kind}"));
    let columns = columns.collect::<Vec<_>>().join(", ");
    let view = quoted(&table.view);
    format!("CREATE TABLE IF NOT EXISTS {view} ({columns}, {unique} ({}))", key_of(table))
}

/// The statement that writes a batch. The rows come as a list of texts for each column.
fn upsert(table: &Table) -> String {
    let columns = columns(table);
    let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
    let casts = columns.iter().enumerate().map(|(at, (_, kind))| format!("c{at}::{kind}"));
    let lists = (1..=columns.len()).map(|at| format!("${at}::text[]"));
    let parts = (0..columns.len()).map(|at| format!("c{at}"));
    let keys = 1 + table.key.len();
    let set = names[keys..].iter().map(|name| format!("{name} = excluded.{name}"));
    let join = |parts: Vec<String>| parts.join(", ");
    format!(
        "INSERT INTO {} AS t ({}) SELECT {} FROM unnest({}) AS u({}) ON CONFLICT ({}) DO UPDATE SET {} \
         WHERE excluded.as_of >= t.as_of",
        quoted(&table.view),
        names.join(", "),
        join(casts.collect()),
        join(lists.collect()),
        join(parts.collect()),
        key_of(table),
        join(set.collect()),
    )
}

const META: &str = "CREATE TABLE IF NOT EXISTS dayfold_sinks (view text PRIMARY KEY, epoch bigint NOT NULL); \
    CREATE TABLE IF NOT EXISTS dayfold_sink_marks (view text NOT NULL, period text NOT NULL, \
    version text NOT NULL, PRIMARY KEY (view, period))";

impl Postgres {
    /// The database of a URL: `postgresql://[user[:password]@]host[:port][/database]`, with TLS if it has the option
    /// `sslmode=require`. Then the server's certificate is checked: by the authorities in `sslrootcert=FILE`, or by
    /// those that the system knows.
    ///
    /// # Errors
    /// [`StoreError::Mismatch`] if the URL is not valid.
    pub fn new(url: &str) -> Result<Postgres, StoreError> {
        let (url, secured) = option_taken(url)?;
        let config: Result<Config, Error> = url.parse();
        let mut config = config.map_err(|error| mismatch(error.to_string()))?;
        config.connect_timeout(LIMIT).tcp_user_timeout(LIMIT).application_name("dayfold");
        config.ssl_mode(if secured.is_secured { SslMode::Require } else { SslMode::Disable });
        #[cfg(not(feature = "tls"))]
        if secured.is_secured {
            return Err(mismatch("sslmode=require needs the feature 'tls', which is not built in"));
        }
        #[cfg(feature = "tls")]
        let tls = match secured.is_secured {
            false => None,
            true => {
                let client = super::tls::client(secured.authority.as_deref()).map_err(mismatch)?;
                Some(tokio_postgres_rustls::MakeRustlsConnect::new(client))
            }
        };
        Ok(Postgres {
            config,
            #[cfg(feature = "tls")]
            tls,
            client: None,
            open: BTreeMap::new(),
        })
    }

    fn reach(&self) -> Result<Client, Error> {
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            return self.config.connect(tls.clone());
        }
        self.config.connect(NoTls)
    }

    fn connect(&mut self) -> Result<&mut Client, StoreError> {
        let client = match self.client.take().filter(|client| !client.is_closed()) {
            Some(client) => client,
            None => {
                let mut client = self.reach().map_err(|error| failed(&error))?;
                let limits = "SET statement_timeout = '60s'; SET lock_timeout = '10s'; SET client_min_messages = warning";
                client.batch_execute(limits).map_err(|error| failed(&error))?;
                client
            }
        };
        Ok(self.client.insert(client))
    }

    /// A transaction of the writer with this epoch.
    fn transact<T>(
        &mut self,
        table: &Table,
        stamp: Stamp,
        act: impl FnOnce(&mut Transaction<'_>) -> Result<T, Error>,
    ) -> Result<T, StoreError> {
        let lost =
            || StoreError::Unavailable { store: NAME, why: "the connection was lost".to_owned() };
        // The store may have come back without its rows.
        let client = self.client.as_mut().filter(|client| !client.is_closed()).ok_or_else(lost)?;
        let act = |client: &mut Client| {
            let mut transaction = client.transaction()?;
            let held = "SELECT epoch FROM dayfold_sinks WHERE view = $1 FOR SHARE";
            let epoch = transaction.query_opt(held, &[&table.view])?;
            if epoch.map(|row| row.get::<_, i64>(0)) != Some(stamp.epoch) {
                return Ok(None);
            }
            let done = act(&mut transaction)?;
            transaction.commit()?;
            Ok(Some(done))
        };
        match act(client) {
            Ok(Some(done)) => Ok(done),
            Ok(None) => Err(StoreError::Fenced { store: NAME, view: table.view.clone() }),
            Err(error) => {
                let error = failed(&error);
                if !matches!(error, StoreError::Refused { .. }) {
                    self.client = None;
                }
                Err(error)
            }
        }
    }

    /// What tells the table of a view from a later one of its name.
    fn id_of(client: &mut impl GenericClient, table: &Table) -> Result<Option<u32>, Error> {
        let id = "SELECT to_regclass($1)::oid";
        Ok(client.query_one(id, &[&quoted(&table.view)])?.get(0))
    }

    /// What differs in an existing table from the expected one.
    fn difference(client: &mut Client, table: &Table) -> Result<Option<String>, Error> {
        let found = "SELECT a.attname::text, format_type(a.atttypid, NULL) FROM pg_attribute a \
            WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped";
        let found = client.query(found, &[&quoted(&table.view)])?;
        if found.is_empty() {
            return Ok(None);
        }
        let found: BTreeMap<String, String> =
            found.iter().map(|row| (quoted(row.get(0)), row.get(1))).collect();
        let differs = |(name, kind): &(String, &str)| {
            let name = if name.starts_with('"') { name.clone() } else { quoted(name) };
            let kind = if *kind == "timestamptz" { "timestamp with time zone" } else { kind };
            found.get(&name).is_none_or(|there| there != kind)
        };
        let other = columns(table).into_iter().find(differs);
        Ok(other.map(|(name, kind)| format!("column {name} of type {kind}")))
    }
}

impl Store for Postgres {
    fn name(&self) -> &'static str {
        NAME
    }

    fn open(&mut self, table: &Table, at_least: i64) -> Result<Opened, StoreError> {
        self.client = None;
        self.check(table)?;
        let client = self.connect()?;
        let open = |client: &mut Client| {
            client.batch_execute(META)?;
            client.batch_execute(&create(table))?;
            let next = "INSERT INTO dayfold_sinks AS t VALUES ($1, $2) ON CONFLICT (view) \
                DO UPDATE SET epoch = greatest(t.epoch + 1, excluded.epoch) RETURNING epoch";
            let epoch: i64 = client.query_one(next, &[&table.view, &at_least.max(1)])?.get(0);
            let marks = "SELECT period, version FROM dayfold_sink_marks WHERE view = $1";
            let marks = client.query(marks, &[&table.view])?;
            let mark =
                |row: &postgres::Row| Some((Day::parse_period(row.get(0)).ok()?, row.get(1)));
            let marks = marks.iter().filter_map(mark).collect();
            Ok((Opened::new(epoch, marks), Postgres::id_of(client, table)?.unwrap_or_default()))
        };
        let (opened, id) = open(client).map_err(|error| failed(&error))?;
        self.open.insert(table.view.clone(), id);
        Ok(opened.of_table(id.to_string()))
    }

    fn ping(&mut self, table: &Table, stamp: Stamp) -> Result<(), StoreError> {
        let id = self.transact(table, stamp, |transaction| Postgres::id_of(transaction, table))?;
        match id.as_ref() == self.open.get(&table.view) {
            true => Ok(()),
            false => Err(StoreError::Unavailable {
                store: NAME,
                why: "the table is another one than before".to_owned(),
            }),
        }
    }

    fn write(&mut self, table: &Table, stamp: Stamp, rows: &[Row]) -> Result<(), StoreError> {
        let mut lists: Vec<Vec<Option<String>>> = vec![Vec::new(); columns(table).len()];
        for row in rows {
            let period = Value::period(row.period);
            let own = std::iter::once(&period).chain(&row.key).chain(&row.measures).map(text_of);
            let rest = [
                Some(row.sealed.to_string()),
                text_of(&row.revision),
                Some(stamp.as_of.to_string()),
            ];
            lists.iter_mut().zip(own.chain(rest)).for_each(|(list, value)| list.push(value));
        }
        let lists: Vec<&(dyn ToSql + Sync)> =
            lists.iter().map(|list| list as &(dyn ToSql + Sync)).collect();
        let statement = upsert(table);
        self.transact(table, stamp, |transaction| transaction.execute(&statement, &lists).map(drop))
    }

    fn sweep(&mut self, table: &Table, stamp: Stamp, sweep: &Sweep) -> Result<u64, StoreError> {
        let (days, is_in): (Vec<Day>, &str) = match sweep {
            Sweep::Period(day) => (vec![*day], "="),
            Sweep::AllBut(kept) => (kept.iter().copied().collect(), "<>"),
        };
        let every = if is_in == "=" { "ANY" } else { "ALL" };
        let days: Vec<String> = days.iter().map(Day::to_string).collect();
        let statement = format!(
            "DELETE FROM {} WHERE as_of < $1 AND {} {is_in} {every} ($2::text[]::{}[])",
            quoted(&table.view),
            quoted(&table.period.name),
            type_of(&table.period),
        );
        self.transact(table, stamp, |transaction| {
            transaction.execute(&statement, &[&stamp.as_of, &days])
        })
    }

    fn mark(
        &mut self,
        table: &Table,
        stamp: Stamp,
        marks: &BTreeMap<Day, Option<String>>,
    ) -> Result<(), StoreError> {
        let gone = marks.iter().filter(|(_, version)| version.is_none());
        let gone: Vec<String> = gone.map(|(day, _)| day.to_string()).collect();
        let set =
            marks.iter().filter_map(|(day, version)| Some((day.to_string(), version.clone()?)));
        let (days, versions): (Vec<String>, Vec<String>) = set.unzip();
        self.transact(table, stamp, |transaction| {
            let delete = "DELETE FROM dayfold_sink_marks WHERE view = $1 AND period = ANY ($2)";
            transaction.execute(delete, &[&table.view, &gone])?;
            let insert = "INSERT INTO dayfold_sink_marks SELECT $1, * FROM unnest($2::text[], $3::text[]) \
                ON CONFLICT (view, period) DO UPDATE SET version = excluded.version";
            transaction.execute(insert, &[&table.view, &days, &versions]).map(drop)
        })
    }

    fn check(&mut self, table: &Table) -> Result<(), StoreError> {
        let client = self.connect()?;
        match Postgres::difference(client, table).map_err(|error| failed(&error))? {
            None => Ok(()),
            Some(expected) => Err(StoreError::Mismatch {
                store: NAME,
                found: format!("the table {} is another one", quoted(&table.view)),
                expected: format!("{expected}; or no table of this name"),
            }),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::row::tests::table;

    /// What a reader has: cents by day and shop.
    pub(in crate::stores) fn rows(url: &str, table: &Table) -> BTreeMap<(String, String), i64> {
        let mut client = Client::connect(url, NoTls).unwrap();
        let query = format!("SELECT day::text, shop, cents::bigint FROM {}", quoted(&table.view));
        let rows = client.query(&query, &[]).unwrap();
        rows.iter().map(|row| ((row.get(0), row.get(1)), row.get(2))).collect()
    }

    pub(in crate::stores) fn drop_table(url: &str, table: &Table) {
        let mut client = Client::connect(url, NoTls).unwrap();
        client.batch_execute(&format!("DROP TABLE {}", quoted(&table.view))).unwrap();
    }

    #[test]
    fn a_url_may_ask_for_tls() {
        let taken = |url: &str| option_taken(url).unwrap();
        let secured = |authority: Option<&str>| Secured {
            is_secured: true,
            authority: authority.map(str::to_owned),
        };
        let url = "postgresql://h/d?sslmode=require&a=b&sslrootcert=/ca.pem";
        assert_eq!(taken(url), ("postgresql://h/d?a=b".to_owned(), secured(Some("/ca.pem"))));
        let url = "postgresql://h/d?sslmode=verify-full";
        assert_eq!(taken(url), ("postgresql://h/d".to_owned(), secured(None)));
        assert_eq!(taken("postgresql://h/d?sslmode=disable").1, Secured::default());
        for wrong in ["postgresql://h?sslmode=prefer", "postgresql://h?sslrootcert=/ca.pem"] {
            assert!(matches!(option_taken(wrong), Err(StoreError::Mismatch { .. })), "{wrong}");
        }
    }

    #[test]
    fn a_row_is_replaced_by_one_that_is_not_older() {
        assert_eq!(
            upsert(&table()),
            "INSERT INTO \"sales\" AS t (\"day\", \"shop\", \"cents\", sealed, revision, as_of) \
             SELECT c0::date, c1::text, c2::numeric, c3::boolean, c4::date, c5::bigint \
             FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[]) \
             AS u(c0, c1, c2, c3, c4, c5) ON CONFLICT (\"day\", \"shop\") DO UPDATE SET \
             \"cents\" = excluded.\"cents\", sealed = excluded.sealed, revision = excluded.revision, \
             as_of = excluded.as_of WHERE excluded.as_of >= t.as_of"
        );
        assert!(create(&table()).ends_with("as_of bigint, PRIMARY KEY (\"day\", \"shop\"))"));
        assert_eq!(text_of(&Value::Bytes(vec![0, 255])).as_deref(), Some("\\x00ff"));
    }
}
