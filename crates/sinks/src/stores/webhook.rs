//! A webhook: an address to which batches of rows are posted as JSON, signed according to
//! <https://www.standardwebhooks.com>.
//!
//! The messages of a view come one after the other. Each has `type`, `view`, `epoch` and `as_of`:
//!
//! - `opened`: a sink begins. Rows that it cannot be sure of come again, with a greater `as_of`.
//! - `rows`: `rows`, each of which replaces the one with its period and key.
//! - `removed`: the rows of `period` with a smaller `as_of` are gone; `removed_all_but`: those of all periods except
//!   `periods`.
//! - `ping`: a check that the address answers.
//!
//! The header `webhook-id` (and `idempotency-key`) identifies a message, `webhook-timestamp` is in seconds, and
//! `webhook-signature` is `v1,` and the base64 of HMAC-SHA256 over `ID.TIMESTAMP.BODY`. A receiver that keeps the epoch
//! answers 409 to a smaller one than the greatest it has seen. The sink keeps epochs and marks in its own folder,
//! because nothing can be read from an address.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use dayfold::time::Day;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use ureq::Agent;

use super::http;
use super::notes::Notes;
use crate::row::period_as_json;
use crate::{Opened, Row, Stamp, Store, StoreError, Sweep, Table};

const NAME: &str = "the webhook";

/// How long an answer may take.
const LIMIT: Duration = Duration::from_secs(10);

/// The waits before a message is sent again. After the last one the address counts as unavailable, and once it is back,
/// everything that is not marked is sent again.
const WAITS_MS: [u64; 3] = [250, 500, 1_000];

/// The number of bytes of an answer that are read, for the reason of a refusal.
const ANSWER_BYTES: u64 = 1_024;

/// An address that accepts signed batches of rows.
pub struct Webhook {
    url: String,
    secret: Vec<u8>,
    folder: PathBuf,
    agent: Agent,
    open: BTreeMap<String, Sent>,
}

/// What was sent of a view since it was opened.
#[derive(Debug)]
struct Sent {
    notes: Notes,
    messages: u64,
}

impl fmt::Debug for Webhook {
    // The secret is left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook").field("folder", &self.folder).finish_non_exhaustive()
    }
}

fn unavailable(why: impl fmt::Display) -> StoreError {
    StoreError::Unavailable { store: NAME, why: why.to_string() }
}

/// What an answer means for the message.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Taken,
    /// The receiver has seen a later epoch.
    Fenced,
    /// The content is never accepted, however often it is sent.
    Refused,
    Again,
    /// The address, the secret or the receiver has to be corrected first.
    Wrong,
}

fn answer(status: u16) -> Answer {
    match status {
        200..300 => Answer::Taken,
        409 => Answer::Fenced,
        400 | 413 | 422 => Answer::Refused,
        408 | 425 | 429 | 500.. => Answer::Again,
        _ => Answer::Wrong,
    }
}

/// The signature of a message.
fn signature(secret: &[u8], id: &str, seconds: u64, body: &str) -> String {
    let mut mac = match Hmac::<Sha256>::new_from_slice(secret) {
        Ok(mac) => mac,
        Err(error) => unreachable!("HMAC takes keys of any length: {error}"),
    };
    mac.update(format!("{id}.{seconds}.{body}").as_bytes());
    format!("v1,{}", BASE64.encode(mac.finalize().into_bytes()))
}

impl Webhook {
    /// The address `http://HOST/…` or `https://HOST/…`. It shares the secret: `whsec_` and the base64 of 24 to 64
    /// bytes. Epochs and marks are kept in `folder`.
    ///
    /// # Errors
    /// [`StoreError::Mismatch`] if the secret is not valid.
    pub fn new(url: &str, secret: &str, folder: &Path) -> Result<Webhook, StoreError> {
        let bytes = secret.trim().strip_prefix("whsec_").and_then(|text| BASE64.decode(text).ok());
        let secret = bytes.filter(|bytes| (24..=64).contains(&bytes.len())).ok_or_else(|| {
            StoreError::Mismatch {
                store: NAME,
                found: "a secret of another form".to_owned(),
                expected: "whsec_ and the base64 of 24 to 64 bytes".to_owned(),
            }
        })?;
        let (url, folder) = (url.to_owned(), folder.to_owned());
        Ok(Webhook { url, secret, folder, agent: http::agent(LIMIT), open: BTreeMap::new() })
    }

    fn notes(&self, view: &str) -> PathBuf {
        self.folder.join(format!("{view}.sink"))
    }

    fn sent(&mut self, table: &Table) -> Result<&mut Sent, StoreError> {
        self.open.get_mut(&table.view).ok_or_else(|| unavailable("it is not open"))
    }

    /// Posts a message; `rest` has its JSON fields after the common ones.
    fn send(
        &mut self,
        table: &Table,
        stamp: Stamp,
        kind: &str,
        rest: &str,
    ) -> Result<(), StoreError> {
        let sent = self.sent(table)?;
        sent.messages += 1;
        // All tries have the same id, and no other message has it.
        let id = format!("{}-{}-{}", table.view, stamp.epoch, sent.messages);
        let view = serde_json::Value::from(table.view.as_str());
        let body = format!(
            "{{\"type\":\"{kind}\",\"view\":{view},\"epoch\":{},\"as_of\":{}{rest}}}",
            stamp.epoch, stamp.as_of
        );
        self.post(table, &id, &body)
    }

    fn post(&self, table: &Table, id: &str, body: &str) -> Result<(), StoreError> {
        let mut waits = WAITS_MS.iter();
        loop {
            let trouble = match self.try_once(id, body) {
                Err(error) => error.to_string(),
                Ok((status, said)) => {
                    let why = format!(
                        "it answers {status}{}{said}",
                        if said.is_empty() { "" } else { ": " }
                    );
                    match answer(status) {
                        Answer::Taken => return Ok(()),
                        Answer::Fenced => {
                            return Err(StoreError::Fenced {
                                store: NAME,
                                view: table.view.clone(),
                            });
                        }
                        Answer::Refused => return Err(StoreError::Refused { store: NAME, why }),
                        Answer::Wrong => return Err(unavailable(why)),
                        Answer::Again => why,
                    }
                }
            };
            match waits.next() {
                Some(wait) => std::thread::sleep(Duration::from_millis(*wait)),
                None => return Err(unavailable(trouble)),
            }
        }
    }

    /// The status of the answer, and its beginning.
    fn try_once(&self, id: &str, body: &str) -> Result<(u16, String), ureq::Error> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let seconds = now.as_secs();
        let request = self
            .agent
            .post(&self.url)
            .header("content-type", "application/json")
            .header("webhook-id", id)
            .header("idempotency-key", id)
            .header("webhook-timestamp", seconds.to_string())
            .header("webhook-signature", signature(&self.secret, id, seconds, body));
        let mut response = request.send(body)?;
        let said = response.body_mut().with_config().limit(ANSWER_BYTES).read_to_string();
        // An answer that is too long is not shown.
        Ok((response.status().as_u16(), said.unwrap_or_default().trim().to_owned()))
    }
}

/// Only rows can be refused: a message about removals must not be skipped.
fn not_refused(error: StoreError) -> StoreError {
    match error {
        StoreError::Refused { why, .. } => unavailable(why),
        error => error,
    }
}

impl Store for Webhook {
    fn name(&self) -> &'static str {
        NAME
    }

    fn open(&mut self, table: &Table, at_least: i64) -> Result<Opened, StoreError> {
        let path = self.notes(&table.view);
        let noted = || {
            std::fs::create_dir_all(&self.folder)?;
            let mut notes = Notes::read(&path)?;
            notes.epoch = (notes.epoch + 1).max(at_least);
            notes.write(&path)?;
            Ok(notes)
        };
        let notes = noted().map_err(|error: std::io::Error| unavailable(error))?;
        let opened = Opened::new(notes.epoch, notes.marks.clone());
        self.open.insert(table.view.clone(), Sent { notes, messages: 0 });
        let stamp = Stamp::new(opened.epoch, 0);
        self.send(table, stamp, "opened", "").map_err(not_refused)?;
        Ok(opened)
    }

    /// Checks only the notes: nothing is posted while nothing changes.
    fn ping(&mut self, table: &Table, stamp: Stamp) -> Result<(), StoreError> {
        let notes = Notes::read(&self.notes(&table.view)).map_err(unavailable)?;
        match notes.epoch == stamp.epoch {
            true => Ok(()),
            false => Err(StoreError::Fenced { store: NAME, view: table.view.clone() }),
        }
    }

    fn write(&mut self, table: &Table, stamp: Stamp, rows: &[Row]) -> Result<(), StoreError> {
        let rows: Vec<String> = rows.iter().map(|row| row.json(table, stamp.as_of)).collect();
        self.send(table, stamp, "rows", &format!(",\"rows\":[{}]", rows.join(",")))
    }

    fn sweep(&mut self, table: &Table, stamp: Stamp, sweep: &Sweep) -> Result<u64, StoreError> {
        let (kind, what) = match sweep {
            Sweep::Period(day) => ("removed", format!(",\"period\":{}", period_as_json(*day))),
            Sweep::AllBut(kept) => {
                let kept: Vec<String> = kept.iter().copied().map(period_as_json).collect();
                ("removed_all_but", format!(",\"periods\":[{}]", kept.join(",")))
            }
        };
        self.send(table, stamp, kind, &what).map_err(not_refused)?;
        Ok(0)
    }

    fn mark(
        &mut self,
        table: &Table,
        stamp: Stamp,
        marks: &BTreeMap<Day, Option<String>>,
    ) -> Result<(), StoreError> {
        // The marks of another writer stay.
        self.ping(table, stamp)?;
        let path = self.notes(&table.view);
        let sent = self.sent(table)?;
        sent.notes.note(marks);
        sent.notes.write(&path).map_err(unavailable)
    }

    /// Drops the marks and posts nothing: the running sink, or the next one, sends everything.
    fn forget(&mut self, table: &Table) -> Result<(), StoreError> {
        let path = self.notes(&table.view);
        let forget = || {
            std::fs::create_dir_all(&self.folder)?;
            let epoch = Notes::read(&path)?.epoch + 1;
            Notes { epoch, marks: BTreeMap::new() }.write(&path)
        };
        forget().map_err(|error: std::io::Error| unavailable(error))
    }

    fn check(&mut self, table: &Table) -> Result<(), StoreError> {
        let notes = Notes::read(&self.notes(&table.view)).map_err(unavailable)?;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let id = format!("{}-ping-{}", table.view, now.as_nanos());
        let view = serde_json::Value::from(table.view.as_str());
        let (epoch, as_of) = (notes.epoch, Stamp::new(notes.epoch, 0).as_of);
        let body =
            format!("{{\"type\":\"ping\",\"view\":{view},\"epoch\":{epoch},\"as_of\":{as_of}}}");
        self.post(table, &id, &body).map_err(not_refused)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::TcpListener;
    use std::thread::JoinHandle;

    use super::*;
    use crate::row::tests::{row, table};

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    /// The headers and the body of a message.
    type Message = (BTreeMap<String, String>, String);

    /// A receiver that gives these answers one after the other, and then returns the messages that it got.
    fn receiver(answers: &'static [u16]) -> (String, JoinHandle<Vec<Message>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            let receive = |status: &u16| {
                let (mut stream, _) = listener.accept().unwrap();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let (mut headers, mut line) = (BTreeMap::new(), String::new());
                while reader.read_line(&mut line).unwrap() > 2 {
                    if let Some((name, value)) = line.split_once(':') {
                        headers.insert(name.to_lowercase(), value.trim().to_owned());
                    }
                    line.clear();
                }
                let mut body = vec![0; headers["content-length"].parse().unwrap()];
                reader.read_exact(&mut body).unwrap();
                write!(
                    stream,
                    "HTTP/1.1 {status} x\r\nconnection: close\r\ncontent-length: 3\r\n\r\nwhy"
                )
                .unwrap();
                (headers, String::from_utf8(body).unwrap())
            };
            answers.iter().map(receive).collect()
        });
        (url, server)
    }

    #[test]
    fn messages_are_signed_as_the_standard_says() {
        let secret = BASE64.decode(&SECRET["whsec_".len()..]).unwrap();
        let signed = signature(
            &secret,
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            r#"{"test": 2432232314}"#,
        );
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        let folder = tempfile::tempdir().unwrap();
        for wrong in ["", "secret", "whsec_c2hvcnQ=", "whsec_?"] {
            assert!(Webhook::new("http://127.0.0.1", wrong, folder.path()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_message_is_sent_again_under_its_name_until_it_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let (url, server) = receiver(&[200, 503, 429, 204, 200, 422, 409, 401, 400]);
        let mut hook = Webhook::new(&url, SECRET, folder.path()).unwrap();
        let opened = hook.open(&table(), 1).unwrap();
        let stamp = Stamp::new(opened.epoch, 3);
        hook.write(&table(), stamp, &[row(0, "a", 1), row(1, "b", 2)]).unwrap();
        let kept = std::collections::BTreeSet::from([Day(1)]);
        hook.sweep(&table(), stamp, &Sweep::AllBut(kept)).unwrap();
        let marks = BTreeMap::from([(Day(1), Some("version".to_owned()))]);
        hook.mark(&table(), stamp, &marks).unwrap();

        let refused = hook.write(&table(), stamp, &[row(0, "c", 3)]).unwrap_err();
        assert!(
            matches!(&refused, StoreError::Refused { why, .. } if why == "it answers 422: why")
        );
        let fenced = hook.write(&table(), stamp, &[row(0, "d", 4)]).unwrap_err();
        assert!(matches!(fenced, StoreError::Fenced { .. }), "{fenced}");
        // An error of the receiver is not a refusal of rows, and neither is a removal that it refuses.
        for at_removal in [false, true] {
            let away = match at_removal {
                true => hook.sweep(&table(), stamp, &Sweep::Period(Day(0))).map(drop),
                false => hook.write(&table(), stamp, &[row(0, "e", 5)]),
            };
            assert!(matches!(away, Err(StoreError::Unavailable { .. })), "{away:?}");
        }

        let messages = server.join().unwrap();
        for (headers, body) in &messages {
            let (id, seconds) = (&headers["webhook-id"], headers["webhook-timestamp"].parse());
            assert_eq!(
                headers["webhook-signature"],
                signature(&hook.secret, id, seconds.unwrap(), body)
            );
            assert_eq!(headers["idempotency-key"], *id);
        }
        let ids: Vec<&str> =
            messages.iter().map(|(headers, _)| headers["webhook-id"].as_str()).collect();
        assert_eq!(ids[..5], ["sales-1-1", "sales-1-2", "sales-1-2", "sales-1-2", "sales-1-3"]);
        assert_eq!(
            messages[0].1,
            r#"{"type":"opened","view":"sales","epoch":1,"as_of":4294967296}"#
        );
        let rows = r#"{"type":"rows","view":"sales","epoch":1,"as_of":4294967299,"rows":[{"day":"1970-01-01","shop":"a","cents":1,"sealed":false,"revision":null,"as_of":4294967299},{"day":"1970-01-02","shop":"b","cents":2,"sealed":false,"revision":null,"as_of":4294967299}]}"#;
        assert_eq!((messages[1].1.as_str(), &messages[3].1), (rows, &messages[1].1));
        assert_eq!(
            messages[4].1,
            r#"{"type":"removed_all_but","view":"sales","epoch":1,"as_of":4294967299,"periods":["1970-01-02"]}"#
        );

        // Marks and epochs are kept; forgetting them fences off the writer.
        let mut other = Webhook::new(&url, SECRET, folder.path()).unwrap();
        assert_eq!(Notes::read(&other.notes("sales")).unwrap().marks[&Day(1)], "version");
        other.forget(&table()).unwrap();
        assert!(matches!(hook.ping(&table(), stamp), Err(StoreError::Fenced { .. })));
        assert!(matches!(hook.mark(&table(), stamp, &marks), Err(StoreError::Fenced { .. })));
        assert_eq!(
            Notes::read(&other.notes("sales")).unwrap(),
            Notes { epoch: 2, marks: BTreeMap::new() }
        );
    }
}
