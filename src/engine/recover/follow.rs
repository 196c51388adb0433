//! The past of a view that is added to a running engine: the thread that reads a worker's share of the log for it.
//!
//! First come the logs of earlier runs, as at a start, and then what the worker has written in this run, in parts. A
//! worker says how far a part goes with a [`Cut`]. A part has all entries between two cuts, and no other: the ticks of a
//! worker rise, so the tick of an entry says in which part it is.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};

use super::replay::{FromLog, Plan, Reading};
use crate::engine::change::{Adding, PastNumbers};
use crate::log::{self, EventCodec, LogError, LogHandle};
use crate::store::Storage;
use crate::time::DAY_MS;
use crate::view::View;

/// The end of a part of a worker's own log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut {
    /// All entries have lower ticks.
    pub(crate) tick: u64,
    /// The number of entries that were appended.
    pub(crate) appended: u64,
}

/// The log of a worker, as views that are added follow it.
pub(crate) struct Following<E> {
    /// Not the open folder: if the engine ends, it does not wait for this.
    pub(crate) storage: Arc<dyn Storage>,
    /// The parts with the logs of earlier runs, and the one that has the log of this run.
    pub(crate) parts: Vec<(u32, PathBuf)>,
    pub(crate) part: (u32, PathBuf),
    pub(crate) views: Vec<View>,
    pub(crate) numbers: Arc<PastNumbers>,
    pub(crate) codec: EventCodec<E>,
    pub(crate) log: LogHandle,
    pub(crate) run: u64,
    pub(crate) worker: usize,
    pub(crate) threads: usize,
}

/// The messages from the reading thread, and the cuts for it.
pub(crate) struct FollowedLog<E> {
    pub(crate) found: mpsc::Receiver<FromLog<E>>,
    pub(crate) cuts: mpsc::Sender<Cut>,
}

/// The approximate number of events that are passed on at once. More would make those wait that enter meanwhile.
const BATCH_EVENTS: usize = 2_048;
/// The number of batches that the thread may be ahead.
const BATCHES_AHEAD: usize = 8;

impl<E: Send + Sync + 'static> Following<E> {
    /// Starts to read. The first part are the logs of earlier runs.
    pub(crate) fn read(self) -> Result<FollowedLog<E>, std::io::Error> {
        let (sender, found) = mpsc::sync_channel(BATCHES_AHEAD);
        let (cuts, parts) = mpsc::channel();
        let thread = std::thread::current();
        let named = std::thread::Builder::new().name(format!("dayfold:past-{}", self.worker));
        let work = move || {
            let send = |read| {
                let is_heard = sender.send(read).is_ok();
                thread.unpark();
                is_heard
            };
            // If nobody listens any more, the engine is stopping.
            if let Err(error) = self.parts(&parts, &send) {
                let _ = send(FromLog::Failed(error));
            }
        };
        named.spawn(work)?;
        Ok(FollowedLog { found, cuts })
    }

    fn parts(
        &self,
        cuts: &mpsc::Receiver<Cut>,
        send: &impl Fn(FromLog<E>) -> bool,
    ) -> Result<(), LogError> {
        let (storage, numbers) = (&self.storage, &self.numbers);
        let graces = self.views.iter().map(|view| (view.name().to_owned(), view.grace_ms()));
        // The closings of what enters from now on are found again, even if a later run has another grace. Nothing of the
        // views is sealed before all workers are behind this.
        self.log.define(&graces.collect::<Vec<_>>())?;
        let unsealed = |state| {
            let views = self.views.iter().map(|view| (view.clone(), None));
            Plan::new(Arc::clone(storage), state, views.collect())
        };
        let reading =
            |from, below| Reading { ticks: from..below, most: BATCH_EVENTS, read: &numbers.read };
        let earlier = unsealed(log::scan(&**storage, &self.parts, self.run)?);
        if self.worker.is_multiple_of(self.threads) {
            numbers.to_read.fetch_add(earlier.events(), Ordering::Relaxed);
        }
        let all = reading(0, u64::MAX);
        if !earlier.read_share(self.worker % self.threads, self.threads, &self.codec, &all, send)? {
            return Ok(());
        }
        drop(earlier);
        let (mut from, mut passed) = (0, HashMap::<PathBuf, u64>::new());
        let mut known = 0;
        while send(FromLog::Done) {
            let Ok(cut) = cuts.recv() else { return Ok(()) };
            self.log.sync_through(cut.appended)?;
            let mut state = log::scan(&**storage, std::slice::from_ref(&self.part), u64::MAX)?;
            let is_own = |run: u64, worker: u32| run == self.run && worker as usize == self.worker;
            state.files.retain(|file| is_own(file.run, file.worker));
            let own = unsealed(state);
            let events = own.events();
            numbers.to_read.fetch_add(events - known, Ordering::Relaxed);
            known = events;
            let reading = reading(from, cut.tick);
            let mut day = None;
            for file in own.files() {
                let start = i64::from(file.day.0).saturating_mul(DAY_MS);
                if day.replace(file.day) != Some(file.day) && !send(FromLog::Passed(start)) {
                    return Ok(());
                }
                let at = passed.get(&file.path).copied().unwrap_or(0);
                if at >= file.length {
                    continue;
                }
                match own.read_file(file, at, &self.codec, &reading, send)? {
                    Some(at) => drop(passed.insert(file.path.clone(), at)),
                    None => return Ok(()),
                }
            }
            from = cut.tick;
        }
        Ok(())
    }
}

/// How far the times of events in any of the views may be before those in the log.
pub(crate) fn skew<E>(adding: &Adding<E>) -> i64 {
    let skews = adding.views.iter().map(|view| view.view().skew_ms());
    skews.max().unwrap_or_default()
}
