//! The errors of HBase's store, and how long it waits.

use std::fmt;
use std::time::Duration;

use crate::StoreError;

pub(super) const NAME: &str = "HBase";

pub(super) const EXPECTED: &str = "hbase://[USER:PASSWORD@]HOST[:PORT][/NAMESPACE][?tls=true]";

/// How long the gateway may take to answer. It repeats what it asks of servers that are away.
pub(super) const LIMIT: Duration = Duration::from_secs(30);

pub(super) fn unavailable(why: impl fmt::Display) -> StoreError {
    StoreError::Unavailable { store: NAME, why: why.to_string() }
}

pub(super) fn refused(why: impl Into<String>) -> StoreError {
    StoreError::Refused { store: NAME, why: why.into() }
}

pub(super) fn mismatch(found: impl Into<String>, expected: impl Into<String>) -> StoreError {
    StoreError::Mismatch { store: NAME, found: found.into(), expected: expected.into() }
}
