//! The state of a view on a worker as of one moment, which threads of a pool read while the worker goes on.
//!
//! Sealed days are files, which do not change. Tables are shared: later rows are added to copies of the affected parts.
//! So neither new events nor sealing waits for a reader. The cost of a reader is the memory that it keeps from being
//! freed. A reader has a *lease*, which ends after some time, or earlier if all readers together hold more than
//! [`OUTLIVED_MAX`]. Then the reader is told that its moment has expired.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::combine::Counts;
use super::table::Frozen;
use crate::aggregate::Aggregate;
use crate::archive::{Past, Rollup, Sealed};
use crate::key::Key;
use crate::moment::Moment;
use crate::time::{Calendar, Day, DayRange};
use crate::view::KeptFrom;

/// The bytes of tables that only readers may hold in a process. While they hold more, the oldest lease ends.
pub(crate) const OUTLIVED_MAX: usize = 192 << 20;

/// The right to read the state of a moment, for a limited time.
#[derive(Debug)]
pub(crate) struct Lease {
    began: Instant,
    limit: Duration,
    is_ended: AtomicBool,
}

impl Lease {
    pub(crate) fn new(limit: Duration) -> Arc<Lease> {
        Arc::new(Lease { began: Instant::now(), limit, is_ended: AtomicBool::new(false) })
    }

    /// When it began, if it may be ended; a lease without a limit may not.
    pub(crate) fn began(&self) -> Option<Instant> {
        (self.limit < Duration::MAX).then_some(self.began)
    }

    /// Ends the lease early.
    pub(crate) fn end(&self) {
        self.is_ended.store(true, Ordering::Relaxed);
    }

    /// Whether the reader has to stop.
    pub(crate) fn is_over(&self) -> bool {
        self.is_ended.load(Ordering::Relaxed) || self.began.elapsed() > self.limit
    }
}

/// A view on one worker as of a moment.
pub(crate) struct Captured<K: Key, A: Aggregate> {
    pub(crate) moment: Moment,
    pub(crate) calendar: Calendar,
    /// What the view keeps.
    pub(crate) kept: KeptFrom,
    pub(crate) sealed: Vec<Sealed<K, A>>,
    /// Coarser periods that may be read instead of sealed ones.
    pub(crate) rollups: Vec<Rollup<K, A>>,
    /// Another revision of the sealed days, instead of the live one.
    pub(crate) past: Option<Past<K, A>>,
    /// The unsealed rows, by day and closing.
    pub(crate) tables: Vec<Frozen<K, A>>,
    pub(crate) sealed_through: Option<Day>,
    pub(crate) counts: Counts,
}

impl<K: Key, A: Aggregate> Captured<K, A> {
    /// Nothing yet, of a view with this calendar.
    pub(super) fn nothing(moment: Moment, calendar: Calendar, kept: KeptFrom) -> Self {
        let (sealed, rollups, past, tables, sealed_through) = Default::default();
        let counts = Counts::default();
        Captured { moment, calendar, kept, sealed, rollups, past, tables, sealed_through, counts }
    }

    /// An upper bound of the number of rows of these days; `None` if it is not known, or files have to be opened.
    pub(crate) fn rows(&self, days: DayRange) -> Option<u64> {
        if self.past.is_some() {
            return None;
        }
        let sealed = self.sealed.iter().filter(|sealed| days.contains(sealed.day()));
        let sealed = sealed.map(Sealed::rows).sum::<Option<u64>>()?;
        let older = self.rollups.iter().filter(|rollup| rollup.days().lower < self.kept.periods);
        let older = older.filter(|rollup| days.contains(rollup.days().lower));
        let sealed = sealed + older.map(|rollup| rollup.part().view.rows()).sum::<u64>();
        let tables = self.tables.iter().filter(|((day, _), _)| days.contains(*day));
        Some(sealed + tables.map(|(_, table)| table.len() as u64).sum::<u64>())
    }
}
