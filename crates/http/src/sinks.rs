//! The progress of sinks, for status and metrics.

use std::time::Duration;

/// The progress of a view in the store of a sink.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SinkNumbers {
    /// The name of the sink.
    pub sink: String,
    /// The view.
    pub view: String,
    /// Rows written.
    pub written: u64,
    /// Rows that the store has refused.
    pub refused: u64,
    /// Events since the moment that the store has: an upper bound on changed rows.
    pub lag_events: u64,
    /// The age of that moment; `None` if the store has everything.
    pub lag: Duration,
    /// Whether the store has got a complete answer of some moment since it was last reached.
    pub is_in_step: bool,
    /// The number of failures in a row; 0 while all is well.
    pub failures: u32,
    /// Why it failed last, if it has not succeeded since.
    pub error: Option<String>,
}

/// Returns the progress of sinks.
pub(crate) type ReadSinks = dyn Fn() -> Vec<SinkNumbers> + Send + Sync;
