//! The server's own counters.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;
use hdrhistogram::Histogram;

/// The server's own counters.
#[derive(Debug)]
pub(crate) struct Metrics {
    /// Microseconds from the question to the engine's answer.
    pub(crate) queries: Mutex<Histogram<u64>>,
    /// Responses by the first digit of their status.
    pub(crate) responses: [AtomicU64; 6],
    pub(crate) accepted: AtomicU64,
    /// Live answers that have been sent, counted for each listener.
    pub(crate) delivered: AtomicU64,
}

impl Metrics {
    pub(crate) fn new() -> Metrics {
        let queries = Histogram::new_with_bounds(1, 3_600_000_000, 3);
        let queries = Mutex::new(queries.expect("three digits up to an hour are valid bounds"));
        Metrics {
            queries,
            responses: Default::default(),
            accepted: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
        }
    }

    pub(crate) fn asked(&self, took: Duration) {
        self.queries().saturating_record(took.as_micros() as u64);
    }

    pub(crate) fn queries(&self) -> MutexGuard<'_, Histogram<u64>> {
        self.queries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn responded(&self, status: StatusCode) {
        let class = usize::from(status.as_u16() / 100).min(5);
        self.responses[class].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn delivered(&self) {
        self.delivered.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn accepted(&self, events: usize) {
        self.accepted.fetch_add(events as u64, Ordering::Relaxed);
    }
}
