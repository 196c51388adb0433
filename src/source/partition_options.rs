//! How the events of sources with partitions are judged.

use std::time::Duration;

use super::clock::AHEAD_LIMIT_MS;
use crate::time::milliseconds;

/// How the events of a [`Partitioned`](super::Partitioned) source are judged.
#[derive(Clone, Copy, Debug)]
pub struct PartitionOptions {
    pub(crate) ahead_limit: i64,
    pub(crate) behind_limit: i64,
    pub(crate) quiet_after: Option<Duration>,
    pub(crate) max_ahead: Option<Duration>,
}

impl Default for PartitionOptions {
    fn default() -> Self {
        let quiet_after = Some(Duration::from_secs(30));
        let max_ahead = Some(Duration::from_secs(7 * 86_400));
        PartitionOptions {
            ahead_limit: AHEAD_LIMIT_MS,
            behind_limit: i64::MAX,
            quiet_after,
            max_ahead,
        }
    }
}

impl PartitionOptions {
    /// The same, where an event may be so far ahead of its arrival (of the wall clock, without one); one further ahead is
    /// refused. A day, unless said otherwise.
    #[must_use]
    pub fn ahead_limit(self, limit: Duration) -> PartitionOptions {
        PartitionOptions { ahead_limit: milliseconds(limit), ..self }
    }

    /// The same, where an event may be so far behind the clock of its partition; one that is older is refused. Any age is
    /// accepted, unless said otherwise.
    #[must_use]
    pub fn behind_limit(self, limit: Duration) -> PartitionOptions {
        PartitionOptions { behind_limit: milliseconds(limit), ..self }
    }

    /// The same, where a partition that is read to its end and brings nothing for so long is quiet: it holds no days open.
    /// When all are, days close by the wall clock, less this. What a quiet partition brings later may be late; it is
    /// never lost. `None`: a partition without records holds days open for ever. 30 seconds, unless said otherwise.
    #[must_use]
    pub fn quiet_after(self, quiet_after: impl Into<Option<Duration>>) -> PartitionOptions {
        PartitionOptions { quiet_after: quiet_after.into(), ..self }
    }

    /// The same, where a partition whose clock is further ahead than this of what holds days open is paused until the others
    /// follow, so that the days between them do not fill the memory. `None`: none is paused. Seven days, unless said
    /// otherwise.
    #[must_use]
    pub fn max_ahead(self, max_ahead: impl Into<Option<Duration>>) -> PartitionOptions {
        PartitionOptions { max_ahead: max_ahead.into(), ..self }
    }
}
