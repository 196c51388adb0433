//! The client that reads: which topics there are, and what is committed in them.

use std::collections::{BTreeMap, BTreeSet};
use std::thread::sleep;
use std::time::{Duration, Instant};

use futures_executor::block_on;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use super::address::Address;
use super::context::Context;
use super::error::{LIMIT, mismatch, unavailable};
use crate::StoreError;

/// A topic that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct About {
    pub(super) partitions: i32,
    /// A record may have so many bytes.
    pub(super) bytes_max: usize,
}

pub(super) struct Reader {
    consumer: BaseConsumer<Context>,
    admin: AdminClient<DefaultClientContext>,
}

impl Reader {
    pub(super) fn connect(address: &Address) -> Result<Reader, StoreError> {
        let config = address.config(&[
            // Nobody joins the group; the client requires one.
            ("group.id", "dayfold"),
            ("isolation.level", "read_committed"),
            ("enable.auto.commit", "false"),
            ("enable.partition.eof", "true"),
            ("auto.offset.reset", "error"),
            ("allow.auto.create.topics", "false"),
            ("queued.max.messages.kbytes", "16384"),
            ("fetch.wait.max.ms", "100"),
        ]);
        let consumer = config.create_with_context(Context::default()).map_err(unavailable)?;
        let admin = address.config(&[]).create().map_err(unavailable)?;
        Ok(Reader { consumer, admin })
    }

    fn failed(&self, error: &KafkaError) -> StoreError {
        unavailable(self.consumer.context().explained(error))
    }

    /// How many partitions a topic has; nothing, if it is not there.
    pub(super) fn partitions(&self, topic: &str) -> Result<Option<i32>, StoreError> {
        let metadata = self.consumer.fetch_metadata(Some(topic), LIMIT);
        let metadata = metadata.map_err(|error| self.failed(&error))?;
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        let found = found.ok_or_else(|| unavailable(format!("it does not tell of {topic}")))?;
        let error = found.error().map(RDKafkaErrorCode::from);
        match error {
            Some(RDKafkaErrorCode::UnknownTopic | RDKafkaErrorCode::UnknownTopicOrPartition) => {
                Ok(None)
            }
            Some(error) => Err(unavailable(format!("{topic}: {error}"))),
            None => Ok(Some(found.partitions().len() as i32)),
        }
    }

    /// A topic; nothing, if it is not there.
    ///
    /// # Errors
    /// [`StoreError::Mismatch`] if it is not compacted, so that rows would go.
    pub(super) fn about(&self, topic: &str) -> Result<Option<About>, StoreError> {
        let Some(partitions) = self.partitions(topic)? else { return Ok(None) };
        let options = AdminOptions::new().request_timeout(Some(LIMIT));
        let asked = [ResourceSpecifier::Topic(topic)];
        let said = block_on(self.admin.describe_configs(&asked, &options));
        let mut said = said.map_err(|error| self.failed(&error))?;
        let said = said.pop().ok_or_else(|| unavailable("it does not tell a topic's settings"))?;
        let said = said.map_err(|code| unavailable(format!("{topic}: {code}")))?;
        let value = |name: &str| said.get(name).and_then(|entry| entry.value.as_deref());
        let policy = value("cleanup.policy").unwrap_or_default();
        if policy != "compact" {
            let found = format!("topic '{topic}' has cleanup.policy={policy}");
            return Err(mismatch(found, "cleanup.policy=compact, or no topic of this name"));
        }
        let bytes_max = value("max.message.bytes").and_then(|bytes| bytes.parse().ok());
        Ok(Some(About { partitions, bytes_max: bytes_max.unwrap_or(1_000_000) }))
    }

    /// A topic, which is made if need be. Says whether it was.
    pub(super) fn ensure(&self, topic: &str, partitions: i32) -> Result<(About, bool), StoreError> {
        if let Some(about) = self.about(topic)? {
            return Ok((about, false));
        }
        // As many replicas as the brokers say.
        let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(-1));
        let new = new.set("cleanup.policy", "compact");
        let options =
            AdminOptions::new().request_timeout(Some(LIMIT)).operation_timeout(Some(LIMIT));
        let made = block_on(self.admin.create_topics([&new], &options));
        let made = made.map_err(|error| self.failed(&error))?;
        for result in made {
            match result {
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((topic, code)) => return Err(unavailable(format!("{topic}: {code}"))),
            }
        }
        // Brokers tell each other of it.
        let since = Instant::now();
        loop {
            match self.about(topic)? {
                Some(about) => return Ok((about, true)),
                None if since.elapsed() > LIMIT => {
                    return Err(unavailable(format!("{topic} was made, and is not there")));
                }
                None => sleep(Duration::from_millis(50)),
            }
        }
    }

    /// Where what is committed of a partition ends.
    pub(super) fn end(&self, topic: &str, partition: i32) -> Result<i64, StoreError> {
        let ends = self.consumer.fetch_watermarks(topic, partition, LIMIT);
        ends.map(|(_, end)| end).map_err(|error| self.failed(&error))
    }

    /// Waits until records of a transaction that was committed are told to readers.
    pub(super) fn wait_for(
        &self,
        topic: &str,
        delivered: &BTreeMap<i32, i64>,
    ) -> Result<(), StoreError> {
        for (&partition, &last) in delivered {
            let since = Instant::now();
            while self.end(topic, partition)? <= last {
                if since.elapsed() > LIMIT {
                    return Err(unavailable(format!("a commit to {topic} is not visible")));
                }
                sleep(Duration::from_millis(2));
            }
        }
        Ok(())
    }

    /// Visits what is committed, of some partitions from some offset to their ends. Says where each of them is read to.
    pub(super) fn read(
        &self,
        topic: &str,
        from: &BTreeMap<i32, Offset>,
        visit: &mut dyn FnMut(&BorrowedMessage<'_>),
    ) -> Result<BTreeMap<i32, i64>, StoreError> {
        let mut list = TopicPartitionList::new();
        for (&partition, &offset) in from {
            let added = list.add_partition_offset(topic, partition, offset);
            added.map_err(|error| self.failed(&error))?;
        }
        self.consumer.assign(&list).map_err(|error| self.failed(&error))?;
        let (mut left, mut ends) =
            (from.keys().copied().collect::<BTreeSet<i32>>(), BTreeMap::new());
        let (mut since, mut failed) = (Instant::now(), None);
        while !left.is_empty() {
            match self.consumer.poll(Duration::from_millis(100)) {
                None => {}
                Some(Ok(record)) => {
                    visit(&record);
                    ends.insert(record.partition(), record.offset() + 1);
                    since = Instant::now();
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    left.remove(&partition);
                    since = Instant::now();
                }
                // The client tries again.
                Some(Err(error)) => failed = Some(error),
            }
            if since.elapsed() > LIMIT {
                let error = failed.unwrap_or(KafkaError::NoMessageReceived);
                return Err(self.failed(&error));
            }
        }
        self.consumer.unassign().map_err(|error| self.failed(&error))?;
        Ok(ends)
    }
}
