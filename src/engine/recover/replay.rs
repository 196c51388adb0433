//! Recovery: the events of the log that no live revision holds enter again, with the settings that were in force when
//! they first did.
//!
//! The closing of an event is a function of its day and of the floor under which it entered, and the log has both. So a
//! view can tell for each event whether its sealed days hold it already. Events of sealed closings are dropped, and the
//! rest goes where it was.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};

use crate::closing::Closing;
use crate::engine::ingest::batch::{Batch, Replayed};
use crate::engine::shared::Shared;
use crate::log::{EventCodec, Frames, LogError, LogFile, LogState};
use crate::moment::Moment;
use crate::store::Storage;
use crate::time::{DAY_MS, Day, EventTime, milliseconds};
use crate::view::{View, late_or_not};

/// The approximate number of events that are passed on at once.
const BATCH_EVENTS: usize = 16_384;

/// The number of batches that the reading thread may be ahead of its worker.
const BATCHES_AHEAD: usize = 4;

/// What this process has to replay: the logs of the parts that it is responsible for. The owners of keys get their
/// events as they get new ones.
pub(crate) struct Plan {
    pub(crate) storage: Arc<dyn Storage>,
    /// In order of UTC day.
    files: Vec<LogFile>,
    /// The graces in force, by stream.
    graces: Vec<Arc<BTreeMap<String, i64>>>,
    /// Each view, and its last sealed closing.
    views: Vec<(View, Option<Closing>)>,
}

impl Plan {
    /// Leaves out the files whose events are all in live revisions.
    pub(crate) fn new(
        storage: Arc<dyn Storage>,
        state: LogState,
        views: Vec<(View, Option<Closing>)>,
    ) -> Plan {
        let graces = state.streams.iter().map(|stream| {
            let graces = stream.graces.iter();
            let graces = graces.map(|(view, grace)| (view.clone(), milliseconds(*grace)));
            Arc::new(graces.collect::<BTreeMap<String, i64>>())
        });
        let graces = graces.collect();
        let mut plan = Plan { storage, files: Vec::new(), graces, views };
        let is_needed =
            |file: &LogFile| plan.is_needed(file, &plan.last_days(file), file.floor_max);
        let files = state.files.into_iter().filter(is_needed).collect();
        plan.files = files;
        plan
    }

    /// The files that some view may not have sealed completely.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|file| &*file.path)
    }

    /// The number of events in the files.
    pub(crate) fn events(&self) -> u64 {
        self.files.iter().map(|file| file.events).sum()
    }

    /// The last day of each view that an event of the file may have.
    fn last_days(&self, file: &LogFile) -> Vec<Day> {
        self.views.iter().map(|(view, _)| view.days_of_log(file.last_day).1).collect()
    }

    /// Whether some view may not have sealed an event of the file that entered under this floor.
    fn is_needed(&self, file: &LogFile, last_days: &[Day], floor: EventTime) -> bool {
        self.views.iter().zip(last_days).any(|((view, sealed), &last)| {
            let grace = self.graces[file.stream].get(view.name()).copied();
            let first_open = view.first_open_with(floor, grace);
            let closing = late_or_not(last, first_open, floor);
            sealed.is_none_or(|sealed| closing > sealed)
        })
    }

    /// Starts to read a worker's share.
    pub(crate) fn read<E: Send + Sync + 'static>(
        self: &Arc<Self>,
        worker: usize,
        codec: EventCodec<E>,
        shared: &Arc<Shared>,
    ) -> mpsc::Receiver<FromLog<E>> {
        let (sender, receiver) = mpsc::sync_channel(BATCHES_AHEAD);
        let (plan, shared) = (Arc::clone(self), Arc::clone(shared));
        let thread = std::thread::current();
        let read = move || {
            let send = |read| {
                let gone = sender.send(read).is_err();
                thread.unpark();
                !gone
            };
            let result = plan.read_share(worker, &codec, &shared, &send);
            // If nobody listens any more, the engine is stopping.
            let _ = send(result.map_or_else(FromLog::Failed, |()| FromLog::Done));
        };
        std::thread::Builder::new()
            .name(format!("replay:{worker}"))
            .spawn(read)
            .expect("the system gives a thread to the recovery");
        receiver
    }

    fn read_share<E>(
        &self,
        worker: usize,
        codec: &EventCodec<E>,
        shared: &Shared,
        send: &impl Fn(FromLog<E>) -> bool,
    ) -> Result<(), LogError> {
        let threads = shared.threads;
        let mine = self.files.iter().enumerate();
        let mine = mine.filter(|(at, _)| at % threads == worker % threads);
        let mut passed = None;
        for (_, file) in mine {
            // Everything older has been read here; workers with other shares say so for theirs.
            if passed.replace(file.day) != Some(file.day)
                && !send(FromLog::Passed(i64::from(file.day.0).saturating_mul(DAY_MS)))
            {
                return Ok(());
            }
            if !self.read_file(file, codec, shared, send)? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Returns whether anybody still listens.
    fn read_file<E>(
        &self,
        file: &LogFile,
        codec: &EventCodec<E>,
        shared: &Shared,
        send: &impl Fn(FromLog<E>) -> bool,
    ) -> Result<bool, LogError> {
        let mut frames = Frames::open(&*self.storage, file)?;
        let mut floor = EventTime::MIN;
        let mut events = Vec::new();
        let batch = |floor, events: &mut Vec<E>| {
            let events = std::mem::take(events);
            shared.replayed.fetch_add(events.len() as u64, Ordering::Relaxed);
            let graces = Arc::clone(&self.graces[file.stream]);
            let replayed = Some(Replayed { floor, graces });
            events.is_empty() || send(FromLog::Events(Batch { events: Arc::new(events), replayed }))
        };
        let last_days = self.last_days(file);
        let wanted = |moment: Moment| self.is_needed(file, &last_days, moment.floor);
        while let Some(frame) = frames.next(wanted)? {
            let is_full = events.len() >= BATCH_EVENTS || frame.moment.floor != floor;
            if is_full && !batch(floor, &mut events) {
                return Ok(false);
            }
            floor = frame.moment.floor;
            events.append(&mut frame.decode(codec)?);
        }
        Ok(batch(floor, &mut events))
    }
}

/// The messages to a worker about its share of the log.
pub(crate) enum FromLog<E> {
    /// Events, as they entered.
    Events(Batch<E>),
    /// All events before this time have been passed on.
    Passed(EventTime),
    /// The whole share has been read.
    Done,
    Failed(LogError),
}
