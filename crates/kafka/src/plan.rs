//! The plan for reading a topic, and for making events of its records.

use std::fmt;
use std::sync::Arc;

use dayfold::source::{PartitionOptions, TimeParser};
use dayfold::time::EventTime;

use crate::client::Oauth;
use crate::position::{From, Lost};
use crate::record::Record;

/// Which time of a record becomes the time of its event.
#[non_exhaustive]
pub enum Time<E> {
    /// The record's timestamp. The topic decides whether that is when its producer created it (`CreateTime`) or when it
    /// came to the broker (`LogAppendTime`): [`Record::timestamp`] distinguishes the two.
    Record,
    /// A header of this name, as text.
    Header(String, TimeParser),
    /// The time in the event itself, from its payload.
    Event(Box<dyn Fn(&E) -> EventTime + Send + Sync>),
}

impl<E> fmt::Debug for Time<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Time::Record => "Record",
            Time::Header(..) => "Header",
            Time::Event(_) => "Event",
        })
    }
}

/// What to do with records without a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Tombstones {
    /// They are refused: counted, and kept aside.
    #[default]
    Refuse,
    /// The program's function gets them, with [`Record::payload`] as `None`.
    Read,
    /// They are skipped, and not counted; for example those that follow Debezium's deletions.
    Pass,
}

/// The definition of what to read from a topic.
pub(crate) struct Plan<E> {
    pub(crate) name: String,
    pub(crate) topic: String,
    pub(crate) settings: Vec<(String, String)>,
    pub(crate) oauth: Option<Arc<Oauth>>,
    pub(crate) time: Time<E>,
    pub(crate) tombstones: Tombstones,
    pub(crate) from: From,
    pub(crate) lost: Lost,
    pub(crate) until_end: bool,
    pub(crate) group: Option<String>,
    pub(crate) options: PartitionOptions,
    pub(crate) read: Box<Read<E>>,
}

/// Adds the events of a record, or says why it is refused.
pub(crate) type Read<E> = dyn Fn(&Record<'_>, &mut Vec<E>) -> Result<(), String> + Send + Sync;

impl<E> Plan<E> {
    /// Adds the events of a record, and their times.
    pub(crate) fn events(
        &self,
        record: &Record<'_>,
        events: &mut Vec<E>,
        times: &mut Vec<EventTime>,
    ) -> Result<(), String> {
        match self.tombstones {
            _ if record.payload().is_some() => {}
            Tombstones::Refuse => {
                return Err("a record without a value (a tombstone)".to_owned());
            }
            Tombstones::Pass => return Ok(()),
            Tombstones::Read => {}
        }
        (self.read)(record, events)?;
        for event in events.iter() {
            times.push(match &self.time {
                Time::Record => record.timestamp().millis().ok_or("the record has no timestamp")?,
                Time::Header(name, parser) => {
                    let value = record.header(name).flatten();
                    let value =
                        value.ok_or_else(|| format!("the record has no header '{name}'"))?;
                    let time = parser.parse(value);
                    time.map_err(|reason| format!("the time in the header '{name}': {reason}"))?
                }
                Time::Event(time) => time(event),
            });
        }
        Ok(())
    }
}
