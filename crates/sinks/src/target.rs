//! Finds the store of a URL.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::{SinkError, Store};

/// A store by its URL.
///
/// ```
/// use dayfold_sinks::{SinkError, Target};
///
/// assert!(Target::parse("redis://127.0.0.1").is_ok());
/// assert!(matches!(Target::parse("ftp://host"), Err(SinkError::Url { .. })));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    kind: Kind,
    url: String,
    expire: Option<Duration>,
    secret: Option<String>,
    notes: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Files,
    Redis,
    Postgres,
    MongoDb,
    Cassandra,
    HBase,
    Kafka,
    Webhook,
}

const EXPECTED: &str = "file://FOLDER, redis://HOST, postgresql://HOST/DATABASE, mongodb://HOST/DATABASE, \
    cassandra://HOST/KEYSPACE, hbase://HOST, kafka://HOST/PREFIX, or a webhook, https://HOST/PATH";

impl Kind {
    fn of(scheme: &str) -> Option<Kind> {
        match scheme {
            "file" => Some(Kind::Files),
            "redis" => Some(Kind::Redis),
            "postgres" | "postgresql" => Some(Kind::Postgres),
            "mongodb" | "mongodb+srv" => Some(Kind::MongoDb),
            "cassandra" => Some(Kind::Cassandra),
            "hbase" => Some(Kind::HBase),
            "kafka" => Some(Kind::Kafka),
            "http" | "https" => Some(Kind::Webhook),
            _ => None,
        }
    }
}

/// A URL without the password, and without settings, of which some are secret.
fn shown(url: &str) -> String {
    let url = url.split('?').next().unwrap_or_default();
    match url.split_once("://").and_then(|(scheme, rest)| Some((scheme, rest.rsplit_once('@')?))) {
        Some((scheme, (user, host))) => {
            format!("{scheme}://{}@{host}", user.split(':').next().unwrap_or_default())
        }
        None => url.to_owned(),
    }
}

impl std::fmt::Debug for Target {
    // Password and secret are left out.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Target").field("url", &shown(&self.url)).finish_non_exhaustive()
    }
}

impl Target {
    /// Parses a URL.
    ///
    /// # Errors
    /// [`SinkError::Url`] if no store has such a URL.
    pub fn parse(url: &str) -> Result<Target, SinkError> {
        let wrong = || SinkError::Url {
            url: shown(url),
            why: "it names no store".to_owned(),
            expected: EXPECTED.to_owned(),
        };
        let (scheme, _) = url.split_once("://").ok_or_else(wrong)?;
        let kind = Kind::of(scheme).ok_or_else(wrong)?;
        Ok(Target { kind, url: url.to_owned(), expire: None, secret: None, notes: None })
    }

    /// Removes rows this long after they were last written. Only Redis supports this.
    ///
    /// # Errors
    /// [`SinkError::Url`] for another store.
    pub fn expire(self, after: Duration) -> Result<Target, SinkError> {
        match self.kind {
            Kind::Redis => Ok(Target { expire: Some(after), ..self }),
            _ => Err(SinkError::Url {
                url: shown(&self.url),
                why: "rows do not expire there".to_owned(),
                expected: "redis://HOST".to_owned(),
            }),
        }
    }

    /// Whether it needs a secret to sign messages; a webhook does.
    pub fn is_signed(&self) -> bool {
        self.kind == Kind::Webhook
    }

    /// Signs messages with a secret: `whsec_` and the base64 of 24 to 64 bytes.
    ///
    /// # Errors
    /// [`SinkError::Url`] if the store signs nothing.
    pub fn secret(self, secret: &str) -> Result<Target, SinkError> {
        match self.is_signed() {
            true => Ok(Target { secret: Some(secret.to_owned()), ..self }),
            false => Err(SinkError::Url {
                url: shown(&self.url),
                why: "nothing is signed there".to_owned(),
                expected: "a webhook, https://HOST/PATH".to_owned(),
            }),
        }
    }

    /// Keeps in this folder what the store itself cannot keep: epochs and marks of a webhook.
    #[must_use]
    pub fn notes(self, folder: &Path) -> Target {
        Target { notes: Some(folder.to_owned()), ..self }
    }

    /// The store, without connecting to it.
    ///
    /// # Errors
    /// [`SinkError::NotBuilt`] or [`SinkError::Url`].
    pub fn store(&self) -> Result<Box<dyn Store>, SinkError> {
        match self.kind {
            #[cfg(feature = "files")]
            Kind::Files => Ok(Box::new(crate::Files::new(self.url.trim_start_matches("file://")))),
            #[cfg(not(feature = "files"))]
            Kind::Files => Err(self.not_built("files")),
            #[cfg(feature = "redis")]
            Kind::Redis => {
                let redis = crate::Redis::new(&self.url).map_err(|error| self.wrong(&error))?;
                Ok(match self.expire {
                    Some(after) => Box::new(redis.expire(after)),
                    None => Box::new(redis),
                })
            }
            #[cfg(not(feature = "redis"))]
            Kind::Redis => Err(self.not_built("redis")),
            #[cfg(feature = "postgres")]
            Kind::Postgres => {
                Ok(Box::new(crate::Postgres::new(&self.url).map_err(|error| self.wrong(&error))?))
            }
            #[cfg(not(feature = "postgres"))]
            Kind::Postgres => Err(self.not_built("postgres")),
            #[cfg(feature = "mongodb")]
            Kind::MongoDb => {
                Ok(Box::new(crate::MongoDb::new(&self.url).map_err(|error| self.wrong(&error))?))
            }
            #[cfg(not(feature = "mongodb"))]
            Kind::MongoDb => Err(self.not_built("mongodb")),
            #[cfg(feature = "cassandra")]
            Kind::Cassandra => {
                Ok(Box::new(crate::Cassandra::new(&self.url).map_err(|error| self.wrong(&error))?))
            }
            #[cfg(not(feature = "cassandra"))]
            Kind::Cassandra => Err(self.not_built("cassandra")),
            #[cfg(feature = "hbase")]
            Kind::HBase => {
                Ok(Box::new(crate::HBase::new(&self.url).map_err(|error| self.wrong(&error))?))
            }
            #[cfg(not(feature = "hbase"))]
            Kind::HBase => Err(self.not_built("hbase")),
            #[cfg(feature = "kafka")]
            Kind::Kafka => {
                Ok(Box::new(crate::Kafka::new(&self.url).map_err(|error| self.wrong(&error))?))
            }
            #[cfg(not(feature = "kafka"))]
            Kind::Kafka => Err(self.not_built("kafka")),
            #[cfg(feature = "webhook")]
            Kind::Webhook => self.webhook(),
            #[cfg(not(feature = "webhook"))]
            Kind::Webhook => Err(self.not_built("webhook")),
        }
    }

    #[cfg(feature = "webhook")]
    fn webhook(&self) -> Result<Box<dyn Store>, SinkError> {
        let missing = |expected: &str| SinkError::Url {
            url: shown(&self.url),
            why: "a webhook needs more than its address".to_owned(),
            expected: expected.to_owned(),
        };
        let secret = self.secret.as_deref().ok_or_else(|| missing("a secret to sign with"))?;
        let notes = self.notes.as_deref().ok_or_else(|| missing("a folder for what is noted"))?;
        let hook = crate::Webhook::new(&self.url, secret, notes);
        Ok(Box::new(hook.map_err(|error| self.wrong(&error))?))
    }

    #[cfg(any(
        feature = "redis",
        feature = "postgres",
        feature = "mongodb",
        feature = "cassandra",
        feature = "hbase",
        feature = "kafka",
        feature = "webhook"
    ))]
    fn wrong(&self, error: &crate::StoreError) -> SinkError {
        let expected = EXPECTED.to_owned();
        SinkError::Url { url: shown(&self.url), why: error.to_string(), expected }
    }

    #[cfg(not(all(
        feature = "files",
        feature = "redis",
        feature = "postgres",
        feature = "mongodb",
        feature = "cassandra",
        feature = "hbase",
        feature = "kafka",
        feature = "webhook"
    )))]
    fn not_built(&self, feature: &'static str) -> SinkError {
        let scheme = self.url.split("://").next().unwrap_or_default().to_owned();
        SinkError::NotBuilt { scheme, feature }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_no_password() {
        assert_eq!(shown("redis://u:secret@host/1"), "redis://u@host/1");
        assert_eq!(shown("kafka://u:secret@host/a?ssl.key.password=b"), "kafka://u@host/a");
        assert_eq!(shown("redis://host/1"), "redis://host/1");
    }
}
