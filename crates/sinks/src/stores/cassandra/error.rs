//! The errors of Cassandra's store, and how long it waits.

use std::fmt;
use std::time::Duration;

use crate::StoreError;

pub(super) const NAME: &str = "Cassandra";

pub(super) const EXPECTED: &str = "cassandra://[USER:PASSWORD@]HOST[:PORT][,HOST[:PORT]…]/KEYSPACE";

/// How long the cluster may take to answer.
pub(super) const LIMIT: Duration = Duration::from_secs(20);

pub(super) fn unavailable(why: impl fmt::Display) -> StoreError {
    StoreError::Unavailable { store: NAME, why: why.to_string() }
}

pub(super) fn refused(why: impl Into<String>) -> StoreError {
    StoreError::Refused { store: NAME, why: why.into() }
}

pub(super) fn mismatch(found: impl Into<String>, expected: impl Into<String>) -> StoreError {
    StoreError::Mismatch { store: NAME, found: found.into(), expected: expected.into() }
}
