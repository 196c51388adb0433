//! What is said to HBase's REST gateway, and what its answers mean.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value as Json;
use ureq::Agent;

use super::error::{EXPECTED, LIMIT, mismatch, refused, unavailable};
use crate::StoreError;
use crate::stores::address::Parts;
use crate::stores::http;

/// Everything in a path except what no gateway takes for something else.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// The number of bytes of an answer that are read.
const ANSWER_BYTES: u64 = 64 << 20;

/// A cell: column, time and content.
pub(super) type Cell<'a> = (&'a str, i64, &'a str);

/// A row that was read: its key, and its cells by column.
pub(super) type Found = (String, Vec<(String, String)>);

/// A REST gateway.
pub(super) struct Gateway {
    agent: Agent,
    base: String,
    login: Option<String>,
}

/// An answer.
#[derive(Debug)]
struct Answer {
    status: u16,
    body: String,
}

impl Answer {
    fn why(&self) -> String {
        let said = self.body.lines().next().unwrap_or_default();
        format!("it answers {}: {}", self.status, said.chars().take(200).collect::<String>())
    }
}

/// A text of a name or key as it is in a path.
pub(super) fn in_path(text: &str) -> String {
    utf8_percent_encode(text, ESCAPED).to_string()
}

/// Rows as JSON.
fn cells<'a>(rows: impl Iterator<Item = (&'a str, &'a [Cell<'a>])>) -> String {
    let mut out = String::from("{\"Row\":[");
    for (at, (key, cells)) in rows.enumerate() {
        let comma = if at == 0 { "" } else { "," };
        let _ = write!(out, "{comma}{{\"key\":\"{}\",\"Cell\":[", BASE64.encode(key));
        for (at, (column, time, content)) in cells.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            let (column, content) = (BASE64.encode(column), BASE64.encode(content));
            let _ = write!(
                out,
                "{comma}{{\"column\":\"{column}\",\"timestamp\":{time},\"$\":\"{content}\"}}"
            );
        }
        out.push_str("]}");
    }
    out + "]}"
}

/// The rows in an answer; `None` if it has another form.
fn rows(body: &str) -> Option<Vec<Found>> {
    let text = |value: &Json| String::from_utf8(BASE64.decode(value.as_str()?).ok()?).ok();
    let body: Json = serde_json::from_str(body).ok()?;
    let cell = |cell: &Json| Some((text(&cell["column"])?, text(&cell["$"])?));
    let row = |row: &Json| {
        let cells = row["Cell"].as_array()?.iter().map(cell).collect::<Option<_>>()?;
        Some((text(&row["key"])?, cells))
    };
    body["Row"].as_array()?.iter().map(row).collect()
}

impl Gateway {
    pub(super) fn new(parts: &Parts, is_secured: bool) -> Gateway {
        let scheme = if is_secured { "https" } else { "http" };
        let port = if parts.hosts.contains(':') { "" } else { ":8080" };
        let login = parts.login.as_ref();
        let login = login.map(|(user, password)| BASE64.encode(format!("{user}:{password}")));
        let base = format!("{scheme}://{}{port}", parts.hosts);
        let login = login.map(|login| format!("Basic {login}"));
        Gateway { agent: http::agent(LIMIT), base, login }
    }

    fn ask(&self, method: &str, path: &str, body: Option<String>) -> Result<Answer, StoreError> {
        let mut request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}/{path}", self.base))
            .header("accept", "application/json")
            .header("content-type", "application/json");
        if let Some(login) = &self.login {
            request = request.header("authorization", login);
        }
        let body = body.unwrap_or_default();
        let request = request.body(body).map_err(|error| mismatch(error.to_string(), EXPECTED))?;
        let mut response = self.agent.run(request).map_err(unavailable)?;
        let body = response.body_mut().with_config().limit(ANSWER_BYTES).read_to_string();
        let body = body.map_err(unavailable)?;
        Ok(Answer { status: response.status().as_u16(), body })
    }

    /// The definition of a table; `None` if there is none.
    pub(super) fn schema(&self, table: &str) -> Result<Option<Json>, StoreError> {
        let answer = self.ask("GET", &format!("{}/schema", in_path(table)), None)?;
        match answer.status {
            200 => Ok(serde_json::from_str(&answer.body).ok()),
            404 => Ok(None),
            _ => Err(unavailable(answer.why())),
        }
    }

    /// Creates a table.
    pub(super) fn create(&self, table: &str, schema: &Json) -> Result<(), StoreError> {
        let path = format!("{}/schema", in_path(table));
        let answer = self.ask("PUT", &path, Some(schema.to_string()))?;
        match answer.status {
            // 304: somebody else was faster.
            200 | 201 | 304 => Ok(()),
            _ => Err(unavailable(answer.why())),
        }
    }

    #[cfg(test)]
    pub(super) fn drop_table(&self, table: &str) {
        let answer = self.ask("DELETE", &format!("{}/schema", in_path(table)), None).unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    /// Writes rows.
    pub(super) fn put<'a>(
        &self,
        table: &str,
        rows: impl Iterator<Item = (&'a str, &'a [Cell<'a>])>,
    ) -> Result<(), StoreError> {
        // The gateway takes the keys of the body; the path must have one all the same.
        let path = format!("{}/rows", in_path(table));
        let answer = self.ask("PUT", &path, Some(cells(rows)))?;
        match answer.status {
            200 => Ok(()),
            400 | 413 => Err(refused(answer.why())),
            _ => Err(unavailable(answer.why())),
        }
    }

    /// Writes cells of a row if one of its columns has this content, and returns whether it had. That column is among
    /// the written ones.
    pub(super) fn put_if(
        &self,
        table: &str,
        key: &str,
        written: &[Cell<'_>],
        expected: (&str, &str),
    ) -> Result<bool, StoreError> {
        let mut all = written.to_vec();
        all.push((expected.0, 0, expected.1));
        let path = format!("{}/{}?check=put", in_path(table), in_path(key));
        let answer = self.ask("PUT", &path, Some(cells(std::iter::once((key, &*all)))))?;
        match answer.status {
            200 => Ok(true),
            304 => Ok(false),
            _ => Err(unavailable(answer.why())),
        }
    }

    /// The cells of a row; none if it is not there.
    pub(super) fn get(&self, table: &str, path: &str) -> Result<Vec<(String, String)>, StoreError> {
        let answer = self.ask("GET", &format!("{}/{path}", in_path(table)), None)?;
        match answer.status {
            200 => {
                let rows = rows(&answer.body).ok_or_else(|| unavailable("it tells no rows"))?;
                Ok(rows.into_iter().next().map(|(_, cells)| cells).unwrap_or_default())
            }
            404 => Ok(Vec::new()),
            _ => Err(unavailable(answer.why())),
        }
    }

    /// At most `limit` rows with these columns whose keys begin with a prefix, from a key on.
    pub(super) fn scan(
        &self,
        table: &str,
        prefix: &str,
        from: &str,
        columns: &str,
        limit: usize,
    ) -> Result<Vec<Found>, StoreError> {
        let (table, prefix) = (in_path(table), in_path(prefix));
        let (from, columns) = (in_path(from), in_path(columns));
        let path = format!("{table}/{prefix}*?startrow={from}&column={columns}&limit={limit}");
        let answer = self.ask("GET", &path, None)?;
        match answer.status {
            200 => rows(&answer.body).ok_or_else(|| unavailable("it tells no rows")),
            _ => Err(unavailable(answer.why())),
        }
    }

    /// Removes the cells of a row whose time is not later.
    pub(super) fn delete(
        &self,
        table: &str,
        key: &str,
        family: &str,
        time: i64,
    ) -> Result<(), StoreError> {
        let path = format!("{}/{}/{family}/{time}", in_path(table), in_path(key));
        let answer = self.ask("DELETE", &path, None)?;
        match answer.status {
            200 => Ok(()),
            _ => Err(unavailable(answer.why())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_written_and_read_as_base64() {
        let row: [Cell<'_>; 1] = [("r:sales", 7, "3")];
        let text = cells(std::iter::once(("2024-05-01:a", &row[..])));
        assert_eq!(
            text,
            r#"{"Row":[{"key":"MjAyNC0wNS0wMTph","Cell":[{"column":"cjpzYWxlcw==","timestamp":7,"$":"Mw=="}]}]}"#
        );
        let read = [("2024-05-01:a".to_owned(), vec![("r:sales".to_owned(), "3".to_owned())])];
        assert_eq!(rows(&text).unwrap(), read);
        assert!(rows("{}").is_none());
        assert_eq!(in_path("a:b*c%/+"), "a%3Ab%2Ac%25%2F%2B");
    }
}
