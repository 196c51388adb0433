//! Redis: one hash for each period and key.
//!
//! `dayfold:VIEW:PERIOD:KEY…` has the measures as fields, and `sealed`, `revision` and `as_of`; a measure without a
//! value has no field. In the parts of a name, `%` and `:` are written as `%25` and `%3A`, and null is `%-`, so no two
//! rows have the same name. `dayfold.sink:VIEW` has the epoch and the marks. A batch of rows is a transaction that
//! happens only if nobody has opened the view since, so a former writer changes nothing, and no row goes back.

use std::collections::BTreeMap;
use std::time::Duration;

use dayfold::schema::Value;
use dayfold::time::Day;
use redis::{Client, Commands, Connection, Pipeline, RedisError, RedisResult, Script};

use crate::row::escaped;
use crate::{Opened, Row, Stamp, Store, StoreError, Sweep, Table};

const NAME: &str = "Redis";

/// How long Redis may take to answer.
const LIMIT: Duration = Duration::from_secs(10);

/// The number of names that are read together.
const NAMES_AT_ONCE: usize = 1_000;

/// The beginning of each script: only the last opening may go on.
const FENCE: &str = "if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then \
    return redis.error_reply('FENCED another writer') end ";

/// A name of anything but a hash belongs to somebody else, and stays.
const SWEEP: &str = "local gone = 0 \
    for i = 2, #KEYS do \
        local there = redis.pcall('HGET', KEYS[i], 'as_of') \
        if type(there) ~= 'table' and (tonumber(there or 0) or 0) < tonumber(ARGV[2]) then \
            gone = gone + redis.call('UNLINK', KEYS[i]) end \
    end \
    return gone";

/// Pairs of a period and a version; without a version, the mark is removed.
const MARK: &str = "for i = 2, #ARGV, 2 do \
        if ARGV[i + 1] == '' then redis.call('HDEL', KEYS[1], ARGV[i]) \
        else redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end \
    end \
    return 1";

/// A server of Redis's protocol. It must not be a cluster, because scripts write rows and read the epoch together.
pub struct Redis {
    client: Client,
    connection: Option<Connection>,
    expire: Option<Duration>,
    sweep: Script,
    mark: Script,
    ping: Script,
}

impl std::fmt::Debug for Redis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redis").field("expire", &self.expire).finish_non_exhaustive()
    }
}

impl Redis {
    /// The server of a URL: `redis://[user[:password]@]host[:port][/database]`.
    ///
    /// # Errors
    /// [`StoreError::Mismatch`] if the URL is not valid.
    pub fn new(url: &str) -> Result<Redis, StoreError> {
        let client = Client::open(url).map_err(|error| StoreError::Mismatch {
            store: NAME,
            found: error.to_string(),
            expected: "redis://[user[:password]@]host[:port][/database]".to_owned(),
        })?;
        let script = |rest: &str| Script::new(&format!("{FENCE}{rest}"));
        let (sweep, mark, ping) = (script(SWEEP), script(MARK), script("return 1"));
        Ok(Redis { client, connection: None, expire: None, sweep, mark, ping })
    }

    /// Removes rows this long after they were last written.
    #[must_use]
    pub fn expire(self, after: Duration) -> Redis {
        Redis { expire: Some(after), ..self }
    }

    fn connect(&mut self) -> Result<&mut Connection, StoreError> {
        if self.connection.is_none() {
            let connection = self.client.get_connection_with_timeout(LIMIT).map_err(unavailable)?;
            connection.set_read_timeout(Some(LIMIT)).map_err(unavailable)?;
            connection.set_write_timeout(Some(LIMIT)).map_err(unavailable)?;
            self.connection = Some(connection);
        }
        self.connection
            .as_mut()
            .ok_or_else(|| StoreError::Unavailable { store: NAME, why: "no connection".to_owned() })
    }

    /// Runs a function on the connection; after an error the connection is made anew.
    fn run<T>(
        &mut self,
        table: &Table,
        run: impl FnOnce(&Scripts<'_>, &mut Connection) -> Result<T, RedisError>,
    ) -> Result<T, StoreError> {
        self.connect()?;
        let Redis { connection, sweep, mark, ping, .. } = self;
        let scripts = Scripts { sweep, mark, ping };
        let Some(connected) = connection else {
            return Err(StoreError::Unavailable { store: NAME, why: "no connection".to_owned() });
        };
        run(&scripts, connected).map_err(|error| {
            *connection = None;
            match error.code() {
                Some("FENCED") => StoreError::Fenced { store: NAME, view: table.view.clone() },
                _ => unavailable(error),
            }
        })
    }
}

struct Scripts<'a> {
    sweep: &'a Script,
    mark: &'a Script,
    ping: &'a Script,
}

fn unavailable(error: RedisError) -> StoreError {
    StoreError::Unavailable { store: NAME, why: error.to_string() }
}

fn meta(table: &Table) -> String {
    format!("dayfold.sink:{}", table.view)
}

/// The name of a row.
fn row_name(view: &str, row: &Row) -> String {
    format!("dayfold:{}:{}", escaped(view), row.name())
}

/// The period in the name of a row; `None` if it is not the name of a row.
fn period_of(name: &[u8]) -> Option<Day> {
    let period = std::str::from_utf8(name).ok()?.split(':').nth(2)?;
    Day::parse_period(&period.replace("%3A", ":").replace("%25", "%")).ok()
}

/// A pattern that matches only this text.
fn literally(text: &str) -> String {
    let mut pattern = String::new();
    for c in text.chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '\\' | '^' | '-') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}

/// Adds the commands that write a row. Fields without a value are removed.
fn add(pipe: &mut Pipeline, table: &Table, row: &Row, as_of: &str, expire: Option<u64>) {
    let name = row_name(&table.view, row);
    let values = table.measures.iter().map(|column| column.name.as_str()).zip(&row.measures);
    let values = values.chain([("revision", &row.revision)]);
    let is_null = |(_, value): &(&str, &Value)| **value == Value::Null;
    let nulls: Vec<&str> = values.clone().filter(is_null).map(|(name, _)| name).collect();
    pipe.cmd("HSET").arg(&name);
    for (field, value) in values.filter(|value| !is_null(value)) {
        pipe.arg(field).arg(value.to_string());
    }
    pipe.arg("sealed").arg(if row.sealed { "true" } else { "false" }).arg("as_of").arg(as_of);
    if !nulls.is_empty() {
        pipe.cmd("HDEL").arg(&name).arg(nulls);
    }
    if let Some(seconds) = expire {
        pipe.cmd("EXPIRE").arg(&name).arg(seconds);
    }
}

/// What has become of a batch.
enum Wrote {
    All,
    Fenced,
    Refused(RedisError),
}

/// Writes rows in a transaction, which does not happen if the epoch changes before its end.
fn write(
    connection: &mut Connection,
    meta: &str,
    stamp: Stamp,
    rows: &Pipeline,
) -> Result<Wrote, RedisError> {
    let mut watch = redis::pipe();
    watch.cmd("WATCH").arg(meta).ignore().cmd("HGET").arg(meta).arg("epoch");
    let (epoch,): (Option<i64>,) = watch.query(connection)?;
    if epoch != Some(stamp.epoch) {
        return Ok(Wrote::Fenced);
    }
    let Some(done) = rows.query::<Option<Vec<RedisResult<redis::Value>>>>(connection)? else {
        return Ok(Wrote::Fenced);
    };
    match done.into_iter().find_map(Result::err) {
        None => Ok(Wrote::All),
        // The name of something else, which belongs to somebody else and stays. Other rows are written.
        Some(error) if error.code() == Some("WRONGTYPE") => Ok(Wrote::Refused(error)),
        Some(error) => Err(error),
    }
}

impl Store for Redis {
    fn name(&self) -> &'static str {
        NAME
    }

    fn open(&mut self, table: &Table, at_least: i64) -> Result<Opened, StoreError> {
        self.connection = None;
        let meta = meta(table);
        self.run(table, |_, connection| {
            let next = Script::new(
                "local epoch = math.max(tonumber(redis.call('HGET', KEYS[1], 'epoch') or 0) + 1, tonumber(ARGV[1])) \
                 redis.call('HSET', KEYS[1], 'epoch', string.format('%.0f', epoch)) \
                 return epoch",
            );
            let epoch: i64 = next.key(&meta).arg(at_least).invoke(connection)?;
            let all: BTreeMap<String, String> = connection.hgetall(&meta)?;
            let mark = |(day, version): (String, String)| Some((Day::parse_period(&day).ok()?, version));
            Ok(Opened::new(epoch, all.into_iter().filter_map(mark).collect()))
        })
    }

    fn ping(&mut self, table: &Table, stamp: Stamp) -> Result<(), StoreError> {
        if self.connection.is_none() {
            // The store may have come back without its rows.
            return Err(StoreError::Unavailable {
                store: NAME,
                why: "the connection was lost".to_owned(),
            });
        }
        self.run(table, |scripts, connection| {
            scripts.ping.key(meta(table)).arg(stamp.epoch).invoke(connection)
        })
    }

    fn write(&mut self, table: &Table, stamp: Stamp, rows: &[Row]) -> Result<(), StoreError> {
        let expire = self.expire.map(|after| after.as_secs().max(1));
        let (meta, as_of) = (meta(table), stamp.as_of.to_string());
        let mut pipe = redis::pipe();
        pipe.atomic().ignore_errors();
        rows.iter().for_each(|row| add(&mut pipe, table, row, &as_of, expire));
        match self.run(table, |_, connection| write(connection, &meta, stamp, &pipe))? {
            Wrote::All => Ok(()),
            Wrote::Fenced => {
                self.connection = None;
                Err(StoreError::Fenced { store: NAME, view: table.view.clone() })
            }
            Wrote::Refused(error) => {
                Err(StoreError::Refused { store: NAME, why: error.to_string() })
            }
        }
    }

    fn sweep(&mut self, table: &Table, stamp: Stamp, sweep: &Sweep) -> Result<u64, StoreError> {
        let mut pattern = literally(&format!("dayfold:{}:", escaped(&table.view)));
        if let Sweep::Period(day) = sweep {
            pattern.push_str(&literally(&escaped(&day.to_string())));
        }
        pattern.push('*');
        self.run(table, |scripts, connection| {
            let (mut cursor, mut gone) = (0u64, 0u64);
            loop {
                let mut scan = redis::cmd("SCAN");
                scan.arg(cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(NAMES_AT_ONCE);
                // The names of others may have any bytes.
                let (next, names): (u64, Vec<Vec<u8>>) = scan.query(connection)?;
                let is_swept = |name: &&Vec<u8>| period_of(name).is_none_or(|day| sweep.has(day));
                let names: Vec<&Vec<u8>> = names.iter().filter(is_swept).collect();
                if !names.is_empty() {
                    let mut call = scripts.sweep.prepare_invoke();
                    call.key(meta(table)).arg(stamp.epoch).arg(stamp.as_of);
                    for name in names {
                        call.key(name);
                    }
                    gone += call.invoke::<u64>(connection)?;
                }
                cursor = next;
                if cursor == 0 {
                    return Ok(gone);
                }
            }
        })
    }

    fn mark(
        &mut self,
        table: &Table,
        stamp: Stamp,
        marks: &BTreeMap<Day, Option<String>>,
    ) -> Result<(), StoreError> {
        self.run(table, |scripts, connection| {
            let mut call = scripts.mark.prepare_invoke();
            call.key(meta(table)).arg(stamp.epoch);
            for (day, version) in marks {
                call.arg(day.to_string()).arg(version.as_deref().unwrap_or(""));
            }
            call.invoke(connection)
        })
    }

    fn check(&mut self, table: &Table) -> Result<(), StoreError> {
        self.run(table, |_, connection| redis::cmd("PING").query(connection))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::row::tests::row;

    fn connect(url: &str) -> Connection {
        Client::open(url).unwrap().get_connection().unwrap()
    }

    /// What a reader has: cents by day and shop.
    pub(in crate::stores) fn rows(url: &str, table: &Table) -> BTreeMap<(String, String), i64> {
        let mut connection = connect(url);
        let names: Vec<String> = connection.keys(format!("dayfold:{}:*", table.view)).unwrap();
        let row = |name: String| {
            let cents = connection.hget(&name, "cents").unwrap();
            let parts: Vec<String> = name.split(':').skip(2).map(str::to_owned).collect();
            ((parts[0].clone(), parts[1].clone()), cents)
        };
        names.into_iter().map(row).collect()
    }

    /// Redis has no tables: all of the database is removed.
    pub(in crate::stores) fn drop_table(url: &str, _: &Table) {
        redis::cmd("FLUSHDB").exec(&mut connect(url)).unwrap();
    }

    #[test]
    fn a_name_tells_its_period() {
        let hour = Day::hour_from(7_200_000).unwrap();
        let mut row = row(0, "a:b", 1);
        assert_eq!(row_name("sales", &row), "dayfold:sales:1970-01-01:a%3Ab");
        row.period = hour;
        assert_eq!(period_of(row_name("v", &row).as_bytes()), Some(hour));
        row.key.clear();
        assert_eq!(row_name("v", &row), "dayfold:v:1970-01-01T02%3A00%3A00Z");
        assert_eq!(period_of(b"dayfold:v:\xFF"), None);
        assert_eq!(literally("a*b-c"), "a\\*b\\-c");
    }
}
