//! How threads of an engine wait for each other.

use std::time::Duration;

/// How long those who wait, workers and whoever asks them, look again and again before they sleep. To be woken
/// takes longer than most of what is waited for. Between looks they let others have the processor.
pub(super) const RESTLESS: Duration = Duration::from_micros(50);
