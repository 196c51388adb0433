//! Recovery: the events of the log that no live revision holds enter again, with the settings that were in force when
//! they first did.
//!
//! The closing of an event is a function of its day and of the floor under which it entered, and the log has both. So a
//! view can tell for each event whether its sealed days hold it already. Events of sealed closings are dropped, and the
//! rest goes where it was.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
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

    /// In order of UTC day.
    pub(crate) fn files(&self) -> &[LogFile] {
        &self.files
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
                let is_heard = sender.send(read).is_ok();
                thread.unpark();
                is_heard
            };
            let all = Reading { ticks: 0..u64::MAX, most: BATCH_EVENTS, read: &shared.replayed };
            let result = plan.read_share(worker, shared.threads, &codec, &all, &send);
            // If nobody listens any more, the engine is stopping.
            let _ = send(result.map_or_else(FromLog::Failed, |_| FromLog::Done));
        };
        std::thread::Builder::new()
            .name(format!("replay:{worker}"))
            .spawn(read)
            .expect("the system gives a thread to the recovery");
        receiver
    }

    /// Reads a worker's share. Returns whether anybody still listens.
    pub(super) fn read_share<E>(
        &self,
        worker: usize,
        threads: usize,
        codec: &EventCodec<E>,
        reading: &Reading<'_>,
        send: &impl Fn(FromLog<E>) -> bool,
    ) -> Result<bool, LogError> {
        let mine = self.files.iter().enumerate();
        let mine = mine.filter(|(at, _)| at % threads == worker % threads);
        let mut passed = None;
        for (_, file) in mine {
            // Everything older has been read here; workers with other shares say so for theirs.
            if passed.replace(file.day) != Some(file.day)
                && !send(FromLog::Passed(i64::from(file.day.0).saturating_mul(DAY_MS)))
            {
                return Ok(false);
            }
            if self.read_file(file, 0, codec, reading, send)?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Reads the frames of a file from an offset on. Returns the offset before which all frames have lower ticks than the
    /// last one to read; `None` if nobody listens any more.
    pub(super) fn read_file<E>(
        &self,
        file: &LogFile,
        from: u64,
        codec: &EventCodec<E>,
        reading: &Reading<'_>,
        send: &impl Fn(FromLog<E>) -> bool,
    ) -> Result<Option<u64>, LogError> {
        let mut frames = Frames::open(&*self.storage, file)?;
        frames.go_to(from);
        let mut floor = EventTime::MIN;
        let mut events = Vec::new();
        let batch = |floor, events: &mut Vec<E>| {
            let mut events = std::mem::take(events);
            reading.read.fetch_add(events.len() as u64, Ordering::Relaxed);
            while !events.is_empty() {
                let later = events.split_off(events.len().min(2 * reading.most));
                let graces = Arc::clone(&self.graces[file.stream]);
                let replayed = Some(Replayed { floor, graces });
                let events = Arc::new(std::mem::replace(&mut events, later));
                if !send(FromLog::Events(Batch { events, replayed })) {
                    return false;
                }
            }
            true
        };
        let last_days = self.last_days(file);
        let (is_later, mut before) = (Cell::new(false), frames.offset());
        let wanted = |moment: Moment| {
            is_later.set(is_later.get() || moment.tick >= reading.ticks.end);
            reading.ticks.contains(&moment.tick) && self.is_needed(file, &last_days, moment.floor)
        };
        while let Some(frame) = frames.next(wanted)? {
            let is_full = events.len() >= reading.most || frame.moment.floor != floor;
            if is_full && !batch(floor, &mut events) {
                return Ok(None);
            }
            floor = frame.moment.floor;
            events.append(&mut frame.decode(codec)?);
            if !is_later.get() {
                before = frames.offset();
            }
        }
        Ok(batch(floor, &mut events).then_some(before))
    }
}

/// What is read of the log.
pub(crate) struct Reading<'a> {
    /// The ticks under which it entered.
    pub(crate) ticks: Range<u64>,
    /// The approximate number of events that are passed on at once.
    pub(crate) most: usize,
    /// Counts the events.
    pub(crate) read: &'a AtomicU64,
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
