//! A topic as a source: how a program defines what to read.

use std::fmt;
use std::io;
use std::sync::Arc;

use dayfold::source::{PartitionOptions, Partitioned, Partitions, Share};

use crate::client::Token;
use crate::error::KafkaError;
use crate::plan::{Plan, Time, Tombstones};
use crate::position::{From, Lost};
use crate::reader::Reader;
use crate::record::Record;

/// A topic of a broker that speaks Kafka's protocol, as a source for
/// [`Engine::partitioned`](dayfold::Engine::partitioned).
///
/// ```no_run
/// use dayfold::Engine;
/// use dayfold_kafka::{Kafka, Time};
///
/// # fn main() {
/// type Order = (i64, String);
///
/// let orders = Kafka::new("localhost:9092", "orders", |record| {
///     let key = record.key().ok_or("an order without a key")?;
///     let at = record.timestamp().millis().ok_or("an order without a time")?;
///     Ok((at, String::from_utf8_lossy(key).into_owned()))
/// })
/// .set("security.protocol", "ssl")
/// .time(Time::Event(Box::new(|order: &Order| order.0)));
/// let engine = Engine::<Order>::new().partitioned(orders);
/// # }
/// ```
pub struct Kafka<E> {
    /// Shared with the readers of all workers.
    plan: Arc<Plan<E>>,
}

impl<E> Kafka<E> {
    /// A topic of these brokers (`host:port`, several with commas). `read` makes an event of a record, or says
    /// why it is refused. The time of an event is its record's timestamp unless [`Kafka::time`] says otherwise.
    pub fn new(
        brokers: &str,
        topic: &str,
        read: impl Fn(&Record<'_>) -> Result<E, String> + Send + Sync + 'static,
    ) -> Kafka<E> {
        Kafka::several(brokers, topic, move |record, events| {
            events.push(read(record)?);
            Ok(())
        })
    }

    /// As [`Kafka::new`], for records with several events, or none. The events of a record enter together, or are
    /// refused together.
    pub fn several(
        brokers: &str,
        topic: &str,
        read: impl Fn(&Record<'_>, &mut Vec<E>) -> Result<(), String> + Send + Sync + 'static,
    ) -> Kafka<E> {
        let plan = Plan {
            name: topic.to_owned(),
            topic: topic.to_owned(),
            settings: vec![("bootstrap.servers".to_owned(), brokers.to_owned())],
            oauth: None,
            time: Time::Record,
            tombstones: Tombstones::default(),
            from: From::default(),
            lost: Lost::default(),
            until_end: false,
            group: None,
            options: PartitionOptions::default(),
            read: Box::new(read),
        };
        Kafka { plan: Arc::new(plan) }
    }

    fn with(mut self, change: impl FnOnce(&mut Plan<E>)) -> Self {
        change(Arc::get_mut(&mut self.plan).expect("readers share it only when the engine has it"));
        self
    }

    /// The name under which the log keeps the positions. The default is the topic's name. A source with another name is
    /// another source, which is read from its beginning.
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        self.with(|plan| name.clone_into(&mut plan.name))
    }

    /// A setting of the client, librdkafka: `security.protocol`, `ssl.ca.location`, `sasl.mechanism`…
    /// (`enable.auto.commit`, `enable.auto.offset.store`, `auto.offset.reset`, `enable.partition.eof` and
    /// `statistics.interval.ms` are ours.)
    #[must_use]
    pub fn set(self, key: &str, value: &str) -> Self {
        self.with(|plan| plan.settings.push((key.to_owned(), value.to_owned())))
    }

    /// The settings for a connection string of Azure Event Hubs.
    ///
    /// # Errors
    /// [`KafkaError::ConnectionString`] if it is not valid.
    pub fn event_hubs(self, connection: &str) -> Result<Self, KafkaError> {
        let part = |name: &'static str| {
            let mut parts = connection.split(';');
            let part = parts.find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='));
            part.filter(|part| !part.is_empty())
                .ok_or(KafkaError::ConnectionString { missing: name })
        };
        let host = part("Endpoint")?.trim_start_matches("sb://").trim_end_matches('/');
        part("SharedAccessKeyName").or_else(|_| part("SharedAccessSignature"))?;
        let password = connection.trim();
        Ok(self
            .set("bootstrap.servers", &format!("{host}:9093"))
            .set("security.protocol", "sasl_ssl")
            .set("sasl.mechanism", "PLAIN")
            .set("sasl.username", "$ConnectionString")
            .set("sasl.password", password))
    }

    /// Sets a function that gives tokens for SASL's OAUTHBEARER. The client's own thread calls it whenever a token is
    /// about to expire.
    #[must_use]
    pub fn oauth(self, token: impl Fn() -> Result<Token, String> + Send + Sync + 'static) -> Self {
        self.with(|plan| plan.oauth = Some(Arc::new(token)))
    }

    /// Which time is the time of an event.
    #[must_use]
    pub fn time(self, time: Time<E>) -> Self {
        self.with(|plan| plan.time = time)
    }

    /// What to do with records without a value.
    #[must_use]
    pub fn tombstones(self, tombstones: Tombstones) -> Self {
        self.with(|plan| plan.tombstones = tombstones)
    }

    /// Where reading begins in a partition without a position in the log.
    #[must_use]
    pub fn from(self, from: From) -> Self {
        self.with(|plan| plan.from = from)
    }

    /// What to do when the broker no longer has the next record, or has another one.
    #[must_use]
    pub fn lost(self, lost: Lost) -> Self {
        self.with(|plan| plan.lost = lost)
    }

    /// The source ends where its partitions ended when it was opened. Otherwise it goes on for ever.
    #[must_use]
    pub fn until_end(self) -> Self {
        self.with(|plan| plan.until_end = true)
    }

    /// Also commits positions to this consumer group every few seconds, so that Kafka's own tools show the lag. They
    /// are not read back: the log has the positions, while these count records that were taken but perhaps not logged
    /// yet.
    #[must_use]
    pub fn group(self, group: &str) -> Self {
        self.with(|plan| plan.group = Some(group.to_owned())).set("group.id", group)
    }

    /// How events are judged, and when a partition is quiet.
    #[must_use]
    pub fn options(self, options: PartitionOptions) -> Self {
        self.with(|plan| plan.options = options)
    }
}

impl<E> fmt::Debug for Kafka<E> {
    // The settings are left out, because they may contain passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kafka").field("topic", &self.plan.topic).finish_non_exhaustive()
    }
}

impl<E: Send + Sync + 'static> Partitioned<E> for Kafka<E> {
    fn name(&self) -> &str {
        &self.plan.name
    }

    fn open(&self, share: &Share) -> io::Result<Box<dyn Partitions<E>>> {
        let opened: Result<Box<dyn Partitions<E>>, KafkaError> = match self.plan.oauth {
            Some(_) => {
                Reader::<E, true>::new(&self.plan, share).map(|reader| Box::new(reader) as _)
            }
            None => Reader::<E, false>::new(&self.plan, share).map(|reader| Box::new(reader) as _),
        };
        opened.map_err(io::Error::other)
    }

    fn options(&self) -> PartitionOptions {
        self.plan.options
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connection_strings_of_event_hubs() {
        let kafka = || Kafka::<()>::new("", "t", |_| Ok(()));
        let text =
            "Endpoint=sb://n.servicebus.windows.net/;SharedAccessKeyName=k;SharedAccessKey=a=b";
        let kafka_of = kafka().event_hubs(text).unwrap();
        let value = |key: &str| {
            let mut settings = kafka_of.plan.settings.iter().rev();
            settings.find(|(name, _)| name == key).map(|(_, value)| value.clone())
        };
        assert_eq!(value("bootstrap.servers").unwrap(), "n.servicebus.windows.net:9093");
        assert_eq!(value("sasl.password").unwrap(), text);
        assert_eq!(value("sasl.username").unwrap(), "$ConnectionString");
        assert!(!format!("{kafka_of:?}").contains("a=b"), "no secrets in messages");
        let error = kafka().event_hubs("SharedAccessKeyName=k").unwrap_err();
        assert!(error.to_string().contains("no 'Endpoint'"), "{error}");
    }
}
