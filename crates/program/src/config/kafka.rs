//! The keys of `[sources.NAME]` for Kafka topics.

use super::document::FileError;
use super::features::needs;
use super::section::{Section, Text};
use std::time::Duration;

/// Topics, and how to reach their broker.
#[derive(Clone, Debug, PartialEq)]
pub struct KafkaConfig {
    /// The `host:port` of some brokers of the cluster.
    pub brokers: Vec<Text>,
    /// The topics.
    pub topics: Vec<Text>,
    /// Whether the first run begins after the last record.
    pub from_end: bool,
    /// How to authenticate.
    pub auth: Option<Auth>,
    /// How long a partition must be quiet before it no longer holds periods open, in milliseconds.
    pub idle_partition: Option<Duration>,
    /// The consumer group for which positions are committed, for Kafka's own tools.
    pub group: Option<Text>,
}

/// How to authenticate to the broker. Secrets are in the environment, or in files.
#[derive(Clone, Debug, PartialEq)]
pub struct Auth {
    /// The SASL mechanism, if there is one.
    pub sasl: Option<&'static str>,
    /// The user.
    pub user: Option<Text>,
    /// Where the password is.
    pub password: Option<Secret>,
    /// Whether the connection is encrypted.
    pub tls: bool,
    /// A file with the certificates of trusted authorities; the default is the system's.
    pub ca_file: Option<Text>,
    /// Files with the client certificate and its key.
    pub certificate: Option<(Text, Text)>,
}

/// Where a secret is.
#[derive(Clone, Debug, PartialEq)]
pub enum Secret {
    /// In an environment variable.
    Environment(Text),
    /// In a file.
    File(Text),
}

/// The keys that only a Kafka source has.
pub(super) const KEYS: [&str; 6] =
    ["brokers", "topics", "start", "auth", "idle_partition", "group"];

const AUTH: [&str; 8] = [
    "sasl",
    "user",
    "password_env",
    "password_file",
    "tls",
    "ca_file",
    "certificate_file",
    "key_file",
];

pub(super) fn read(section: &Section<'_>) -> Result<KafkaConfig, FileError> {
    needs("kafka").map_err(|message| section.error("type", message))?;
    let some = |key: &str, example: &str| match section.texts(key)?.unwrap_or_default() {
        texts if texts.is_empty() => Err(section.missing(key, example)),
        texts => Ok(texts),
    };
    let start = section.word("start", &["earliest", "latest"])?;
    Ok(KafkaConfig {
        brokers: some("brokers", "[\"localhost:9092\"]")?,
        topics: some("topics", "[\"orders\"]")?,
        from_end: start == Some("latest"),
        auth: section.section("auth", &AUTH)?.map(|auth| read_auth(&auth)).transpose()?,
        idle_partition: section.duration("idle_partition")?,
        group: section.text("group")?,
    })
}

fn read_auth(auth: &Section<'_>) -> Result<Auth, FileError> {
    let sasl = auth.word("sasl", &["plain", "scram-sha-256", "scram-sha-512"])?;
    let password = match (auth.text("password_env")?, auth.text("password_file")?) {
        (Some(_), Some(_)) => {
            return Err(auth.error("password_file", "there is a password_env already"));
        }
        (Some(variable), None) => Some(Secret::Environment(variable)),
        (None, file) => file.map(Secret::File),
    };
    let user = auth.text("user")?;
    if sasl.is_some() && (user.is_none() || password.is_none()) {
        let message = "expected user, and password_env or password_file, beside it";
        return Err(auth.error("sasl", message));
    }
    let certificate = match (auth.text("certificate_file")?, auth.text("key_file")?) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        (Some(_), None) => {
            return Err(auth.error("certificate_file", "expected key_file beside it"));
        }
        (None, Some(_)) => {
            return Err(auth.error("key_file", "expected certificate_file beside it"));
        }
    };
    Ok(Auth {
        sasl,
        user,
        password,
        tls: auth.boolean("tls")?,
        ca_file: auth.text("ca_file")?,
        certificate,
    })
}
