//! The keys of pushes that count once.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::time::EventTime;

/// How long a key is kept, in milliseconds: 24 hours.
pub(crate) const ONCE_KEPT_MS: i64 = 86_400_000;

/// A key, and what entered with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OnceKey {
    pub(crate) key: String,
    /// The digest of the encoded events, which detects the same key with other events.
    pub(crate) digest: u128,
    /// The time at which it entered, by the wall clock, in milliseconds UTC.
    pub(crate) at: EventTime,
    /// The number of events that entered with it.
    pub(crate) events: u64,
}

/// The keys of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct OnceKeys {
    by_key: BTreeMap<String, OnceKey>,
}

impl OnceKeys {
    /// Adds a key. If it was there before, it has expired meanwhile: the later one counts.
    pub(super) fn add(&mut self, key: OnceKey) {
        self.by_key.insert(key.key.clone(), key);
    }

    /// Removes keys that are more than a day older than the newest. The log reads no clock, so whoever reads the keys
    /// has to leave out those that were kept too long.
    pub(super) fn prune(&mut self) {
        let newest = self.by_key.values().map(|key| key.at).max().unwrap_or(EventTime::MIN);
        self.by_key.retain(|_, key| newest < key.at.saturating_add(ONCE_KEPT_MS));
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &OnceKey> {
        self.by_key.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_kept_for_a_day_after_it() {
        let key = |key: &str, at| OnceKey { key: key.to_owned(), digest: 1, at, events: 2 };
        let mut keys = OnceKeys::default();
        [key("a", 0), key("b", 1), key("c", 5)].into_iter().for_each(|key| keys.add(key));
        keys.prune();
        assert_eq!(keys.iter().count(), 3);
        keys.add(key("c", ONCE_KEPT_MS));
        keys.prune();
        assert_eq!(keys.iter().map(|key| &key.key[..]).collect::<Vec<_>>(), ["b", "c"]);
    }
}
