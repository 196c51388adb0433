//! How long the log is kept, and a limit that the program sets.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use crate::time::{DAY_MS, Day, EventTime};

/// Says which events of the log are no longer needed, for example because all their periods have been exported. See
/// [`Engine::keep_log_until`](crate::Engine::keep_log_until). Clones share it.
///
/// ```
/// use dayfold::Engine;
/// use dayfold::engine::LogRelease;
/// use dayfold::log::Durability;
///
/// let released = LogRelease::new();
/// let engine = Engine::<i64>::new().data("data").log(Durability::System, |time| *time);
/// let engine = engine.keep_log_until(released.clone());
/// // Later, while the engine runs: everything before 2024-05-01 is stored elsewhere.
/// released.before(1_714_521_600_000);
/// ```
#[derive(Clone)]
pub struct LogRelease(Arc<AtomicI64>);

impl LogRelease {
    /// Nothing is released yet.
    pub fn new() -> LogRelease {
        LogRelease(Arc::new(AtomicI64::new(EventTime::MIN)))
    }

    /// Releases the events before this time. An earlier time than before changes nothing.
    pub fn before(&self, time: EventTime) {
        self.0.fetch_max(time, Ordering::Release);
    }

    /// The first UTC day that has events which are not released.
    fn first_day(&self) -> Day {
        let day = self.0.load(Ordering::Acquire).div_euclid(DAY_MS);
        Day(day.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32)
    }
}

impl Default for LogRelease {
    fn default() -> LogRelease {
        LogRelease::new()
    }
}

impl std::fmt::Debug for LogRelease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Processes of a cluster compare it: the time differs between them.
        f.write_str("LogRelease")
    }
}

/// How long the log is kept.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeptLog {
    /// Behind the last period that every view has sealed.
    pub(crate) span: Duration,
    pub(crate) released: Option<LogRelease>,
}

impl KeptLog {
    /// The first day that the program wants to keep. `None` if only the span counts.
    pub(crate) fn first_unreleased(&self) -> Option<Day> {
        self.released.as_ref().map(LogRelease::first_day)
    }
}
