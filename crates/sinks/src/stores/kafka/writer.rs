//! The client that writes: one for each view, with the transactions of that view.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, PurgeConfig};
use rdkafka::types::RDKafkaErrorCode;

use super::address::Address;
use super::context::Context;
use super::error::{LIMIT, NAME};
use crate::StoreError;

/// After so long the brokers abort a transaction whose writer is gone. Readers wait for it that long at most.
const TRANSACTION: &str = "60000";

/// A transaction is committed after so long, and another one is begun.
const COMMIT_AFTER: Duration = Duration::from_secs(10);

/// How long an abort may take, when a sink stops.
const ABORT: Duration = Duration::from_secs(3);

/// So much is on its way at most, in KiB.
const QUEUE: &str = "32768";

pub(super) struct Writer {
    view: String,
    producer: BaseProducer<Context>,
    began: Option<Instant>,
}

impl Writer {
    /// Reaches the brokers, and fences off whoever wrote the topic before: its transaction is aborted.
    pub(super) fn open(
        address: &Address,
        view: &str,
        topic: &str,
        bytes_max: usize,
    ) -> Result<Writer, StoreError> {
        let config = address.config(&[
            ("transactional.id", &format!("dayfold-sink-{topic}")),
            ("transaction.timeout.ms", TRANSACTION),
            ("enable.idempotence", "true"),
            ("message.max.bytes", &bytes_max.to_string()),
            ("queue.buffering.max.kbytes", QUEUE),
            // The partition of a key is that of Java's clients.
            ("partitioner", "murmur2_random"),
        ]);
        let producer = config.create_with_context(Context::of(topic));
        let producer = producer
            .map_err(|error| StoreError::Unavailable { store: NAME, why: error.to_string() })?;
        let writer = Writer { view: view.to_owned(), producer, began: None };
        let ready = writer.producer.init_transactions(LIMIT);
        ready.map_err(|error| writer.failed(&error))?;
        Ok(writer)
    }

    /// Whether the brokers have fenced it off, as far as it was told.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        self.producer.poll(Duration::ZERO);
        match self.producer.client().fatal_error() {
            Some((code, _)) => Err(self.failed(&KafkaError::Global(code))),
            None => Ok(()),
        }
    }

    fn failed(&self, error: &KafkaError) -> StoreError {
        let fatal = self.producer.client().fatal_error().map(|(code, _)| code);
        match fatal.or(error.rdkafka_error_code()) {
            Some(
                RDKafkaErrorCode::Fenced
                | RDKafkaErrorCode::ProducerFenced
                | RDKafkaErrorCode::InvalidProducerEpoch,
            ) => StoreError::Fenced { store: NAME, view: self.view.clone() },
            _ => StoreError::Unavailable {
                store: NAME,
                why: self.producer.context().explained(error),
            },
        }
    }

    /// Sends a record within a transaction. It may be on its way for a while: only a commit says that it is there.
    pub(super) fn send(
        &mut self,
        topic: &str,
        partition: Option<i32>,
        key: &[u8],
        value: Option<&[u8]>,
    ) -> Result<(), StoreError> {
        if self.began.is_none() {
            self.producer.begin_transaction().map_err(|error| self.failed(&error))?;
            self.began = Some(Instant::now());
        }
        let mut record = BaseRecord::<[u8], [u8]>::to(topic).key(key);
        (record.partition, record.payload) = (partition, value);
        let since = Instant::now();
        loop {
            match self.producer.send(record) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), unsent))
                    if since.elapsed() < LIMIT =>
                {
                    record = unsent;
                    self.producer.poll(Duration::from_millis(100));
                }
                Err((error, _)) => return Err(self.failed(&error)),
            }
        }
        self.producer.poll(Duration::ZERO);
        Ok(())
    }

    /// Commits a transaction that has been open for long: brokers abort those that take too long.
    pub(super) fn commit_if_long(&mut self) -> Result<(), StoreError> {
        match self.began {
            Some(began) if began.elapsed() > COMMIT_AFTER => self.commit(),
            _ => Ok(()),
        }
    }

    /// Commits the transaction, if there is one.
    pub(super) fn commit(&mut self) -> Result<(), StoreError> {
        if self.began.is_some() {
            self.producer.commit_transaction(LIMIT).map_err(|error| self.failed(&error))?;
            self.began = None;
        }
        Ok(())
    }

    /// The offset of the last record of rows that it has written, by partition.
    pub(super) fn delivered(&self) -> BTreeMap<i32, i64> {
        self.producer.context().told().delivered.clone()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if self.began.is_some() {
            // Otherwise readers would wait until the brokers abort it. If it fails, that is what happens.
            self.producer.purge(PurgeConfig::default().queue().inflight());
            let _ = self.producer.flush(ABORT);
            let _ = self.producer.abort_transaction(ABORT);
        }
    }
}
