//! Removes what the log no longer keeps, while the program runs.
//!
//! 1. The first worker announces the first day to keep, once every view has sealed what comes before.
//! 2. Each worker reports when it no longer reads earlier days: no audit and no rebuild of them is running, and later
//!    ones begin after them.
//! 3. When all have reported, each process records the day. Then it removes files of earlier runs, and each worker
//!    removes its own files.
//!
//! Whatever a crash leaves is removed at the next start, which reads the day from the manifests.

use std::sync::Arc;
use std::thread::JoinHandle;

use crate::engine::ask::asking::WorkerView;
use crate::engine::ingest::deal::{LogStep, Upkeep};
use crate::engine::ingest::feed::{Feed, READER};
use crate::engine::recover::shorten;
use crate::engine::upkeep::log_release::KeptLog;
use crate::log::{IsNeeded, LogHandle};
use crate::store::Store;
use crate::time::{DAY_MS, Day, milliseconds};
use crate::view::{View, late_or_not};

/// What one worker knows about the beginning of the log.
pub(crate) struct LogEnd {
    keep: KeptLog,
    store: Arc<Store>,
    views: Vec<View>,
    log: LogHandle,
    worker: usize,
    peers: usize,
    /// On the first worker: what was sealed at the last check, the day that it announced last, and how many workers may
    /// still read earlier days.
    sealed: Vec<Option<Day>>,
    /// What the program had released by then.
    released: Option<Day>,
    named: Day,
    missing: usize,
    /// The day before which this worker must read nothing.
    leaving: Option<Day>,
    /// The day before which its own files are to be removed, once it is recorded.
    removing: Option<Day>,
    /// On the first worker of a process: the thread that records the day, and removes files of earlier runs.
    thread: Option<JoinHandle<()>>,
}

impl LogEnd {
    pub(crate) fn new(
        keep: KeptLog,
        store: &Arc<Store>,
        views: Vec<View>,
        log: LogHandle,
        (worker, peers): (usize, usize),
    ) -> LogEnd {
        let named = store.log_from().unwrap_or(Day::MIN);
        LogEnd {
            keep,
            store: Arc::clone(store),
            views,
            log,
            worker,
            peers,
            sealed: Vec::new(),
            released: None,
            named,
            missing: 0,
            leaving: None,
            removing: None,
            thread: None,
        }
    }

    /// Goes on as far as possible.
    pub(super) fn step(&mut self, views: &mut [Box<dyn WorkerView>], feed: &mut Feed) {
        if self.worker == READER && self.missing == 0 && self.thread.is_none() {
            self.name_day(views, feed);
        }
        if let Some(from) = self.leaving
            && views.iter_mut().all(|view| view.leave_log(from))
        {
            self.leaving = None;
            feed.deal(READER, Upkeep::Log(LogStep::Left, from));
        }
        if let Some(from) = self.removing
            && self.store.log_from() >= Some(from)
        {
            self.removing = None;
            self.log.shorten(from, self.is_needed());
        }
        if self.thread.as_ref().is_some_and(JoinHandle::is_finished)
            && let Some(thread) = self.thread.take()
        {
            // It reports its errors itself.
            let _ = thread.join();
        }
    }

    /// Takes the message of another worker.
    pub(super) fn hear(&mut self, step: LogStep, from: Day, feed: &mut Feed) {
        match step {
            LogStep::Leave => self.leaving = Some(from),
            LogStep::Left => {
                self.missing -= 1;
                if self.missing == 0 {
                    feed.broadcast(Upkeep::Log(LogStep::Remove, from));
                }
            }
            LogStep::Remove => {
                self.removing = Some(from);
                let threads = self.peers / self.store.processes();
                if self.worker == threads * self.store.process() as usize {
                    self.thread = self.remove(from);
                }
            }
        }
    }

    /// Announces the next day, when more is sealed or released than before.
    fn name_day(&mut self, views: &[Box<dyn WorkerView>], feed: &mut Feed) {
        let sealed = views.iter().map(|view| view.status().sealed_through());
        let released = self.keep.first_unreleased();
        if sealed.clone().eq(self.sealed.iter().copied()) && released == self.released {
            return;
        }
        (self.sealed, self.released) = (sealed.collect(), released);
        let Some(from) = self.first_kept(views).filter(|from| *from > self.named) else { return };
        (self.named, self.missing) = (from, self.peers);
        feed.broadcast(Upkeep::Log(LogStep::Leave, from));
    }

    /// The first UTC day to keep, counted back from the end of the last period that every view has sealed, and of the
    /// last period that has rows here.
    fn first_kept(&self, views: &[Box<dyn WorkerView>]) -> Option<Day> {
        let end = |(view, of): (&View, &dyn WorkerView)| {
            // This excludes periods that closed without events, which the next run does not know.
            let through = self.store.sealed_through(view.name())?.last_closed();
            let through = through.min(of.status().numbers().last_day?);
            (through < Day::MAX).then(|| view.calendar().end_of(through))
        };
        let sealed =
            self.views.iter().zip(views.iter().map(|view| &**view)).map(end).min().flatten()?;
        let from = sealed.saturating_sub(milliseconds(self.keep.span)).div_euclid(DAY_MS);
        let from = i32::try_from(from).ok().map(Day)?;
        Some(self.released.map_or(from, |released| from.min(released)))
    }

    /// What views still need of the files of this run.
    fn is_needed(&self) -> Arc<IsNeeded> {
        let sealed = self.views.iter().map(|view| self.store.sealed_through(view.name()));
        let views: Vec<_> = self.views.iter().cloned().zip(sealed).collect();
        Arc::new(move |last, floor| {
            views.iter().any(|(view, sealed)| {
                let (day, first_open) = (view.days_of_log(last).1, view.first_open(floor));
                sealed.is_none_or(|sealed| late_or_not(day, first_open, floor) > sealed)
            })
        })
    }

    fn remove(&self, from: Day) -> Option<JoinHandle<()>> {
        let (store, views) = (Arc::clone(&self.store), self.views.clone());
        let work = move || {
            let recorded = store.keep_log_from(from).map_err(|error| error.to_string());
            let removed = recorded.and_then(|()| {
                shorten::forget(&store, &views, from, true).map_err(|error| error.to_string())
            });
            if let Err(error) = removed {
                tracing::warn!(%from, error, "the log is shortened with the next start");
            }
        };
        let spawned = std::thread::Builder::new().name("dayfold:log-end".to_owned()).spawn(work);
        spawned.inspect_err(|error| tracing::warn!(%error, "no thread to shorten the log")).ok()
    }
}

impl Drop for LogEnd {
    /// The folder is no longer used when the engine has ended.
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
