//! The errors of Kafka's store, and how long it waits.

use std::fmt;
use std::time::Duration;

use crate::StoreError;

pub(super) const NAME: &str = "Kafka";

/// How long brokers may take to answer.
pub(super) const LIMIT: Duration = Duration::from_secs(20);

pub(super) fn mismatch(found: impl Into<String>, expected: &str) -> StoreError {
    StoreError::Mismatch { store: NAME, found: found.into(), expected: expected.to_owned() }
}

pub(super) fn unavailable(why: impl fmt::Display) -> StoreError {
    StoreError::Unavailable { store: NAME, why: why.to_string() }
}
