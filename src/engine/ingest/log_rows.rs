//! The log as a view sees it.

use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::aggregate::Aggregate;
use crate::archive::{ArchiveError, LogRows};
use crate::closing::Closing;
use crate::fold::Enter;
use crate::key::Key;
use crate::log::{self, EventCodec, Frames, LogFile};
use crate::speed::Combiner;
use crate::store::Store;
use crate::table::TableRow;
use crate::time::{DayRange, milliseconds};
use crate::view::View;

const LEAST_REST: Duration = Duration::from_millis(1);

/// The longest sleep: whoever stops the engine waits at most this long.
const LONGEST_NAP: Duration = Duration::from_millis(20);

/// Reads the log in the way the view takes in events.
pub(crate) struct ViewLog<E, F> {
    view: View,
    codec: EventCodec<E>,
    enter: Arc<F>,
    store: Arc<Store>,
    stopping: AtomicBool,
    events: PhantomData<fn() -> E>,
}

impl<E, F> ViewLog<E, F> {
    pub(crate) fn new(
        view: View,
        codec: EventCodec<E>,
        enter: Arc<F>,
        store: Arc<Store>,
    ) -> ViewLog<E, F> {
        let stopping = AtomicBool::new(false);
        ViewLog { view, codec, enter, store, stopping, events: PhantomData }
    }

    /// Whether a file may hold events of these days.
    fn may_hold(&self, file: &LogFile, days: DayRange) -> bool {
        let (first, _) = self.view.days_of_log(file.day);
        let (_, last) = self.view.days_of_log(file.last_day);
        first < days.upper && days.lower <= last
    }
}

impl<E, F, K, A> LogRows<K, A> for ViewLog<E, F>
where
    K: Key,
    A: Aggregate,
    F: Enter<E, K, A> + Send + Sync,
{
    fn read(
        &self,
        days: DayRange,
        through: Closing,
        share: f64,
        take: &mut dyn FnMut(Vec<TableRow<K, A>>),
    ) -> Result<u64, ArchiveError> {
        let storage = &**self.store.storage();
        // Runs in progress are read up to their last commit.
        let state = log::scan(storage, &self.store.all_parts()?, u64::MAX)?;
        let mut combiner = Combiner::of_sealed(self.view.clone(), through);
        let mut pace = Pace::new(share);
        let mut events = 0;
        for file in state.files.iter().filter(|file| self.may_hold(file, days)) {
            let graces = &state.streams[file.stream].graces;
            let grace = graces.iter().find(|(name, _)| name == self.view.name());
            let grace = grace.map(|(_, grace)| milliseconds(*grace));
            let mut frames = Frames::open(storage, file)?;
            while let Some(frame) = frames.next(|_| true)? {
                combiner.begin_replay(frame.moment.floor, grace);
                let decoded = frame.decode(&self.codec)?;
                events += decoded.len() as u64;
                self.enter.enter(decoded.iter(), &mut combiner, |_, _| {});
                combiner.take().0.for_each(&mut *take);
                pace.rest(&self.stopping);
                if self.stopping.load(Ordering::Relaxed) {
                    return Err(ArchiveError::Stopped);
                }
            }
        }
        Ok(events)
    }

    fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }
}

/// Keeps to a share of a processor's time, by sleeping the rest of it.
struct Pace {
    share: f64,
    since: Instant,
}

impl Pace {
    fn new(share: f64) -> Pace {
        // A smaller share would never finish; NaN counts as 0.
        let share = if share.is_nan() { 0.0 } else { share };
        Pace { share: share.clamp(0.001, 1.0), since: Instant::now() }
    }

    fn rest(&mut self, stopping: &AtomicBool) {
        let worked = self.since.elapsed();
        let mut due = worked.mul_f64(1.0 / self.share - 1.0);
        // Sleeping is not exact, so long sleeps at long intervals are better.
        if due < LEAST_REST && self.share < 1.0 {
            return;
        }
        while !due.is_zero() && !stopping.load(Ordering::Relaxed) {
            let nap = due.min(LONGEST_NAP);
            std::thread::sleep(nap);
            due -= nap;
        }
        self.since = Instant::now();
    }
}
