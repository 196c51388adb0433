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
    /// The same, with a limit on how far an event may be ahead of its arrival (or of the wall clock, without an
    /// arrival); events further ahead are refused. The default is a day.
    #[must_use]
    pub fn ahead_limit(self, limit: Duration) -> PartitionOptions {
        PartitionOptions { ahead_limit: milliseconds(limit), ..self }
    }

    /// The same, with a limit on how far an event may be behind the clock of its partition; older events are refused.
    /// By default any age is accepted.
    #[must_use]
    pub fn behind_limit(self, limit: Duration) -> PartitionOptions {
        PartitionOptions { behind_limit: milliseconds(limit), ..self }
    }

    /// The same, with this duration after which a partition is quiet: if it is read to its end and brings nothing for
    /// this long, it holds no days open. If all partitions are quiet, days close by the wall clock less this duration.
    /// Records that a quiet partition brings later may be late; they are never lost. With `None`, a partition without
    /// records holds days open for ever. The default is 30 seconds.
    #[must_use]
    pub fn quiet_after(self, quiet_after: impl Into<Option<Duration>>) -> PartitionOptions {
        PartitionOptions { quiet_after: quiet_after.into(), ..self }
    }

    /// The same, with a limit on how far a partition's clock may be ahead of the clock that holds days open. Beyond it,
    /// the partition is paused until the others follow, so that the days between them do not fill the memory. With
    /// `None`, none is paused. The default is seven days.
    #[must_use]
    pub fn max_ahead(self, max_ahead: impl Into<Option<Duration>>) -> PartitionOptions {
        PartitionOptions { max_ahead: max_ahead.into(), ..self }
    }
}
