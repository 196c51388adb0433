//! What a client reports besides answers.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::ProducerContext;
use rdkafka::types::RDKafkaErrorCode;

/// What was reported.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// The last error of a broker or of a connection.
    pub(super) error: Option<String>,
    /// The offset of the last record of rows that a broker has, by partition.
    pub(super) delivered: BTreeMap<i32, i64>,
}

/// Receives reports of a client that writes `topic`, or that only reads.
#[derive(Debug, Default)]
pub(super) struct Context {
    topic: Option<String>,
    told: Mutex<Told>,
}

impl Context {
    pub(super) fn of(topic: &str) -> Context {
        Context { topic: Some(topic.to_owned()), told: Mutex::default() }
    }

    pub(super) fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An error, with what the client has reported of its cause.
    pub(super) fn explained(&self, error: &KafkaError) -> String {
        match &self.told().error {
            Some(cause) => format!("{error}: {cause}"),
            None => error.to_string(),
        }
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        if (level as i32) <= RDKafkaLogLevel::Warning as i32 {
            tracing::warn!(facility, message, "the client of Kafka");
        } else {
            tracing::debug!(facility, message, "the client of Kafka");
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // "All brokers are down" says less than the error of the last one.
        let mut told = self.told();
        let says_little = error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown);
        if told.error.is_none() || !says_little {
            told.error = Some(reason.to_owned());
        }
    }
}

impl ConsumerContext for Context {}

impl ProducerContext for Context {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        match result {
            Ok(record) if self.topic.as_deref() == Some(record.topic()) => {
                let mut told = self.told();
                let last = told.delivered.entry(record.partition()).or_default();
                *last = record.offset().max(*last);
            }
            Ok(_) => {}
            // The transaction fails with it.
            Err((error, _)) => self.told().error = Some(error.to_string()),
        }
    }
}
