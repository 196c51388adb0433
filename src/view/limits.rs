//! How much a view may hold in memory.

/// Bounds on what a view holds in memory, over all workers together.
///
/// When half of a bound is used, an engine seals late events without waiting for a day to close. When open days alone
/// use three quarters of it, pushes wait or are refused until days close. So pushed events never exceed a bound, except
/// for a moment by events that are under way. A view that reads a source, or runs in your own dataflow, stops with a
/// [`LimitError`] if it exceeds a bound; nothing is dropped silently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Days with unsealed events (ordinary ones or amendments).
    pub unsealed_days: usize,
    /// Pairs of day and key with unsealed events.
    pub groups: usize,
    /// Bytes of the unsealed tables, free slots included. Rows of recent ticks that are not in a table yet count
    /// neither here nor in `groups`.
    pub bytes: usize,
}

impl Limits {
    /// These bounds on unsealed days, groups and bytes.
    pub fn new(unsealed_days: usize, groups: usize, bytes: usize) -> Limits {
        Limits { unsealed_days, groups, bytes }
    }

    /// The same, with another bound on unsealed days.
    #[must_use]
    pub fn unsealed_days(self, unsealed_days: usize) -> Limits {
        Limits { unsealed_days, ..self }
    }

    /// The same, with another bound on groups.
    #[must_use]
    pub fn groups(self, groups: usize) -> Limits {
        Limits { groups, ..self }
    }

    /// The same, with another bound on bytes.
    #[must_use]
    pub fn bytes(self, bytes: usize) -> Limits {
        Limits { bytes, ..self }
    }
}

impl Default for Limits {
    /// 40,000 days (a century), 500 million groups, 64 GiB.
    fn default() -> Limits {
        Limits { unsealed_days: 40_000, groups: 500_000_000, bytes: 64 << 30 }
    }
}

/// A view exceeded a bound. Nothing of the tick at which this happened is shown, and nothing later.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "view '{view}' needs {needed} {what}, its limit is {limit}: raise the limit, or check the event times"
)]
#[non_exhaustive]
pub struct LimitError {
    /// The view.
    pub view: String,
    /// What is limited: `unsealed days`, `groups` or `bytes`.
    pub what: &'static str,
    /// The limit, over all workers.
    pub limit: usize,
    /// What would be needed: an estimate for all workers, from the worker that exceeded its share.
    pub needed: usize,
}
