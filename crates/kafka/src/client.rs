//! The client: its settings, and what it reports besides records.

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rdkafka::ClientConfig;
use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaErrorCode;

use crate::error::KafkaError;

/// The default settings.
const DEFAULTS: [(&str, &str); 10] = [
    ("client.id", "dayfold"),
    // Records of aborted transactions are never seen.
    ("isolation.level", "read_committed"),
    // Records are handed out as they come; a fetch waits for them at the broker.
    ("fetch.wait.max.ms", "100"),
    ("fetch.error.backoff.ms", "100"),
    ("reconnect.backoff.max.ms", "2000"),
    // The amount fetched ahead, for all partitions of a worker together, in KiB, which bounds memory.
    ("queued.max.messages.kbytes", "32768"),
    ("topic.metadata.refresh.interval.ms", "30000"),
    // There is no group, so nobody is removed from one.
    ("max.poll.interval.ms", "86400000"),
    ("check.crcs", "true"),
    // The client requires a group before it takes an assignment. Nobody joins it, and nothing is read from it.
    ("group.id", "dayfold"),
];

/// Settings that reading depends on; programs cannot change them.
const FIXED: [(&str, &str); 5] = [
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    // Never a silent reset.
    ("auto.offset.reset", "error"),
    ("enable.partition.eof", "true"),
    ("statistics.interval.ms", "500"),
];

/// Gives a token for SASL's OAUTHBEARER.
pub(crate) type Oauth = dyn Fn() -> Result<Token, String> + Send + Sync;

/// A token for SASL's OAUTHBEARER.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Token {
    /// The token.
    pub token: String,
    /// Its principal.
    pub principal: String,
    /// When it expires: milliseconds UTC.
    pub expires: i64,
}

impl Token {
    /// A token, its principal, and its expiry in milliseconds UTC.
    pub fn new(token: impl Into<String>, principal: impl Into<String>, expires: i64) -> Token {
        Token { token: token.into(), principal: principal.into(), expires }
    }
}

/// The state of the brokers and their partitions.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// Whether new statistics have come since they were last taken.
    pub(crate) is_new: bool,
    /// Whether a broker is connected.
    pub(crate) is_up: bool,
    /// The last error that the client has reported.
    pub(crate) error: Option<String>,
    /// By partition.
    pub(crate) partitions: HashMap<i32, Ends>,
}

/// How far a partition goes, as the client sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ends {
    /// The position after the last readable record, before open transactions.
    pub(crate) stable: i64,
    /// The next position to be fetched, and the position of the last reported end: both are after markers that only
    /// brokers see.
    pub(crate) next: i64,
    pub(crate) eof: i64,
}

pub(crate) struct Context<const OAUTH: bool> {
    told: Arc<Mutex<Told>>,
    oauth: Option<Arc<Oauth>>,
}

pub(crate) type Client<const OAUTH: bool> = BaseConsumer<Context<OAUTH>>;

/// Makes a client, and the receiver of its reports.
pub(crate) fn connect<const OAUTH: bool>(
    settings: &[(String, String)],
    oauth: Option<Arc<Oauth>>,
) -> Result<(Client<OAUTH>, Arc<Mutex<Told>>), KafkaError> {
    let mut config = ClientConfig::new();
    let ours = settings.iter().map(|(key, value)| (&**key, &**value));
    for (key, value) in DEFAULTS.into_iter().chain(ours).chain(FIXED) {
        config.set(key, value);
    }
    config.set_log_level(RDKafkaLogLevel::Warning);
    let told = Arc::new(Mutex::new(Told { is_up: true, ..Told::default() }));
    let context = Context { told: Arc::clone(&told), oauth };
    let client = config.create_with_context(context);
    let client = client.map_err(|error| KafkaError::Settings { reason: error.to_string() })?;
    Ok((client, told))
}

pub(crate) fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<const OAUTH: bool> ConsumerContext for Context<OAUTH> {}

impl<const OAUTH: bool> ClientContext for Context<OAUTH> {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = OAUTH;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error
            | RDKafkaLogLevel::Warning => tracing::warn!(facility, message, "the client"),
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
                tracing::info!(facility, message, "the client");
            }
            RDKafkaLogLevel::Debug => tracing::debug!(facility, message, "the client"),
        }
    }

    fn stats(&self, statistics: Statistics) {
        let mut told = lock(&self.told);
        let mut brokers = statistics.brokers.values();
        told.is_up = brokers.any(|broker| broker.nodeid >= 0 && broker.state == "UP");
        told.is_new = true;
        if told.is_up {
            told.error = None;
        }
        let partitions = statistics.topics.into_values().flat_map(|topic| topic.partitions);
        told.partitions = partitions
            .map(|(id, of)| {
                (id, Ends { stable: of.ls_offset, next: of.next_offset, eof: of.eof_offset })
            })
            .collect();
    }

    fn error(&self, error: rdkafka::error::KafkaError, reason: &str) {
        // Reported for each partition whenever it is read to its end.
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::PartitionEOF) {
            return;
        }
        tracing::warn!(%error, reason, "the client");
        let mut told = lock(&self.told);
        // "All brokers are down" says less than the error of the last one.
        if told.error.is_none()
            || error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown)
        {
            told.error = Some(reason.to_owned());
        }
    }

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        let oauth = self.oauth.as_ref().ok_or("no function gives tokens: call Kafka::oauth")?;
        let Token { token, principal, expires } = oauth()?;
        Ok(OAuthToken { token, principal_name: principal, lifetime_ms: expires })
    }
}
