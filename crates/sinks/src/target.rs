//! Which store a URL names.

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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    kind: Kind,
    url: String,
    expire: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Files,
    Redis,
    Postgres,
}

const EXPECTED: &str = "file://FOLDER, redis://HOST or postgresql://HOST/DATABASE";

impl Kind {
    fn of(scheme: &str) -> Option<Kind> {
        match scheme {
            "file" => Some(Kind::Files),
            "redis" => Some(Kind::Redis),
            "postgres" | "postgresql" => Some(Kind::Postgres),
            _ => None,
        }
    }
}

/// A URL without the password.
fn shown(url: &str) -> String {
    match url.split_once("://").and_then(|(scheme, rest)| Some((scheme, rest.rsplit_once('@')?))) {
        Some((scheme, (user, host))) => {
            format!("{scheme}://{}@{host}", user.split(':').next().unwrap_or_default())
        }
        None => url.to_owned(),
    }
}

impl Target {
    /// Reads a URL.
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
        Ok(Target { kind, url: url.to_owned(), expire: None })
    }

    /// The same, whose rows go so long after they were last written, if the store can do that: Redis.
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

    /// The store, which is not reached yet.
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
        }
    }

    #[cfg(any(feature = "redis", feature = "postgres"))]
    fn wrong(&self, error: &crate::StoreError) -> SinkError {
        let expected = EXPECTED.to_owned();
        SinkError::Url { url: shown(&self.url), why: error.to_string(), expected }
    }

    #[cfg(not(all(feature = "files", feature = "redis", feature = "postgres")))]
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
        assert_eq!(shown("redis://host/1"), "redis://host/1");
    }
}
