//! A record of a topic, as passed to the function that makes an event of it.

use dayfold::time::EventTime;
use rdkafka::Message;
use rdkafka::message::{BorrowedMessage, Headers};

/// The timestamp of a record, and who has set it: the topic's `message.timestamp.type` decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "these are the kinds that the protocol has")]
pub enum Timestamp {
    /// Set by its producer, when it was created (`CreateTime`): milliseconds UTC.
    Created(EventTime),
    /// Set by the broker, when it came (`LogAppendTime`): milliseconds UTC. It never goes back in a partition.
    Appended(EventTime),
    /// It has none.
    Missing,
}

impl Timestamp {
    /// Milliseconds UTC, from either.
    pub fn millis(self) -> Option<EventTime> {
        match self {
            Timestamp::Created(time) | Timestamp::Appended(time) => Some(time),
            Timestamp::Missing => None,
        }
    }
}

/// A record of a topic.
#[derive(Debug)]
pub struct Record<'a> {
    pub(crate) message: &'a BorrowedMessage<'a>,
}

impl<'a> Record<'a> {
    /// The topic.
    pub fn topic(&self) -> &'a str {
        self.message.topic()
    }

    /// The partition.
    ///
    /// ```
    /// use dayfold_kafka::Record;
    ///
    /// /// Where a record is, for messages.
    /// fn place(record: &Record<'_>) -> String {
    ///     format!("{}/{} at {}", record.topic(), record.partition(), record.offset())
    /// }
    /// ```
    pub fn partition(&self) -> i32 {
        self.message.partition()
    }

    /// The offset in the partition.
    pub fn offset(&self) -> u64 {
        u64::try_from(self.message.offset()).unwrap_or_default()
    }

    /// The key, if there is one.
    pub fn key(&self) -> Option<&'a [u8]> {
        self.message.key()
    }

    /// The value; `None` is a tombstone.
    pub fn payload(&self) -> Option<&'a [u8]> {
        self.message.payload()
    }

    /// The value; a tombstone has none of it.
    pub fn bytes(&self) -> &'a [u8] {
        self.payload().unwrap_or_default()
    }

    /// Its timestamp.
    pub fn timestamp(&self) -> Timestamp {
        match self.message.timestamp() {
            rdkafka::Timestamp::CreateTime(time) if time >= 0 => Timestamp::Created(time),
            rdkafka::Timestamp::LogAppendTime(time) if time >= 0 => Timestamp::Appended(time),
            _ => Timestamp::Missing,
        }
    }

    /// The value of the last header with this name; `None` if there is none, `Some(None)` if it has no value.
    ///
    /// ```
    /// use dayfold_kafka::Record;
    ///
    /// /// The id by which a record can be traced, if it has one.
    /// fn trace<'a>(record: &Record<'a>) -> Option<&'a [u8]> {
    ///     record.header("trace").flatten()
    /// }
    /// ```
    pub fn header(&self, name: &str) -> Option<Option<&'a [u8]>> {
        let headers = self.message.headers()?;
        let found = (0..headers.count()).rev().filter_map(|index| headers.try_get(index));
        found.into_iter().find(|header| header.key == name).map(|header| header.value)
    }

    /// All headers, in their order.
    pub fn headers(&self) -> impl Iterator<Item = (&'a str, Option<&'a [u8]>)> {
        let headers = self.message.headers();
        let count = headers.map_or(0, Headers::count);
        let header = move |index| headers?.try_get(index).map(|header| (header.key, header.value));
        (0..count).filter_map(header)
    }
}
