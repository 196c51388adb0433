//! The URL of a Kafka sink, and the settings of its clients.

use rdkafka::ClientConfig;

use super::error::mismatch;
use crate::StoreError;
use crate::stores::address::Parts;

const EXPECTED: &str =
    "kafka://[USER:PASSWORD@]HOST[:PORT][,HOST[:PORT]…][/PREFIX][?SETTING=VALUE&…]";

/// Settings that programs may change.
const DEFAULTS: [(&str, &str); 3] =
    [("client.id", "dayfold"), ("reconnect.backoff.max.ms", "2000"), ("linger.ms", "5")];

/// Settings that the promises depend on.
const FIXED: [&str; 12] = [
    "acks",
    "allow.auto.create.topics",
    "auto.offset.reset",
    "bootstrap.servers",
    "enable.auto.commit",
    "enable.idempotence",
    "enable.partition.eof",
    "group.id",
    "isolation.level",
    "message.max.bytes",
    "transaction.timeout.ms",
    "transactional.id",
];

/// What a URL says.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Address {
    /// How the names of topics begin.
    pub(super) prefix: String,
    settings: Vec<(String, String)>,
}

impl Address {
    /// # Errors
    /// [`StoreError::Mismatch`] if that is none.
    pub(super) fn parse(url: &str) -> Result<Address, StoreError> {
        let parts = Parts::parse(url).map_err(|found| mismatch(found, EXPECTED))?;
        let mut settings: Vec<(String, String)> =
            DEFAULTS.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        settings.push(("bootstrap.servers".to_owned(), parts.hosts));
        if let Some((user, password)) = parts.login {
            settings.push(("sasl.username".to_owned(), user));
            settings.push(("sasl.password".to_owned(), password));
        }
        for (name, value) in parts.options {
            if FIXED.contains(&&*name) {
                let found =
                    format!("the URL changes '{name}', on which the sink's promises depend");
                return Err(mismatch(found, "other settings of librdkafka"));
            }
            settings.push((name, value));
        }
        let address = Address { prefix: parts.path, settings };
        // Unknown settings and wrong values are found before a broker is asked.
        let checked = address.config(&[]).create_native_config().map(drop);
        checked.map_err(|error| mismatch(error.to_string(), "settings of librdkafka"))?;
        Ok(address)
    }

    /// The configuration of a client: what the URL says, and what this client needs.
    pub(super) fn config(&self, own: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        let settings = self.settings.iter().map(|(name, value)| (&**name, &**value));
        for (name, value) in settings.chain(own.iter().copied()) {
            config.set(name, value);
        }
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_hosts_a_prefix_and_settings() {
        let url =
            "kafka://me:p%40ss@a:9092,b/answers.?security.protocol=SASL_SSL&sasl.mechanism=PLAIN";
        let address = Address::parse(url).unwrap();
        assert_eq!(address.prefix, "answers.");
        let config = address.config(&[("client.id", "other")]);
        let has = |name: &str| config.get(name);
        assert_eq!(has("bootstrap.servers"), Some("a:9092,b"));
        assert_eq!((has("sasl.username"), has("sasl.password")), (Some("me"), Some("p@ss")));
        assert_eq!((has("sasl.mechanism"), has("client.id")), (Some("PLAIN"), Some("other")));
        assert_eq!(Address::parse("kafka://h").unwrap().prefix, "");
        for wrong in ["kafka://", "kafka://h?no.such=1", "kafka://h?acks=0"] {
            assert!(matches!(Address::parse(wrong), Err(StoreError::Mismatch { .. })), "{wrong}");
        }
    }
}
