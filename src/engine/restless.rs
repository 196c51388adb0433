//! How threads of an engine wait for each other.

use std::time::Duration;

/// How long waiting threads, workers and those who ask them, check repeatedly before they sleep. Waking a thread takes
/// longer than most waits. Between checks they yield the processor.
pub(super) const RESTLESS: Duration = Duration::from_micros(50);
