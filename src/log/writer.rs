//! The log of a worker: a handle for the worker, and the thread behind it.

use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::Durability;
use super::codec::EventCodec;
use super::committer::{Committer, IsNeeded};
use super::entry::Entry;
use super::error::LogError;
use super::layout::Layout;
use super::record::StreamState;
use crate::store::{LogPosition, Storage};
use crate::time::Day;

/// If more events than this wait, frames are written as they are: compression takes longer than all the rest of the thread's
/// work, and must not slow a program that takes in tens of millions of events a second. Four blocks of a file.
const BEHIND_EVENTS: usize = 16 << 10;

/// The progress of the log. Entries are numbered from 1.
#[derive(Debug, Default)]
struct Progress {
    appended: u64,
    committed: u64,
    durable: u64,
    /// The position of the last durable entry in the commit stream.
    position: Option<LogPosition>,
    /// Somebody waits until the entries up to this one are durable.
    wanted: u64,
    /// The bytes of entries that the thread has not encoded yet.
    waiting_bytes: usize,
    /// The number of these events, and the encoded bytes per event of those that were encoded last.
    waiting_events: usize,
    bytes_an_event: usize,
    /// What may be removed from the log.
    shorten: Option<Shorten>,
    /// The views that are to be added to its definition, with their graces; how often that was requested; and the last
    /// request that is durable.
    define: Vec<(String, i64)>,
    define_requests: u64,
    defined: u64,
    /// When the first entry that the thread has not taken was appended.
    oldest: Option<Instant>,
    /// There will be no more entries.
    closing: bool,
    /// The thread has ended.
    ended: bool,
    error: Option<LogError>,
}

/// The first day to keep, and which events of earlier days are still needed.
#[derive(Clone)]
struct Shorten {
    from: Day,
    is_needed: Arc<IsNeeded>,
}

impl fmt::Debug for Shorten {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shorten").field("from", &self.from).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct WriterState {
    durability: Durability,
    folder: PathBuf,
    progress: Mutex<Progress>,
    /// Signals that there is something for the thread to do.
    work: Condvar,
    /// Signals progress to those who wait.
    done: Condvar,
}

impl WriterState {
    /// No code that can panic runs under this lock.
    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that entries were encoded: their bytes of memory, their events, and their bytes in the log.
    fn encoded(&self, bytes: usize, events: usize, encoded: u64) {
        let mut progress = self.lock();
        progress.waiting_bytes -= bytes;
        progress.waiting_events -= events;
        if let Some(mean) = encoded.checked_div(events as u64) {
            progress.bytes_an_event = mean as usize;
        }
    }

    /// Whether so many events wait behind an entry with this many that they are not compressed.
    fn is_behind(&self, events: usize) -> bool {
        self.lock().waiting_events.saturating_sub(events) > BEHIND_EVENTS
    }

    fn stopped(&self, what: &'static str) -> LogError {
        LogError::Stopped { path: self.folder.clone(), what }
    }
}

/// The log of one worker in one run: passes entries to its own thread, which encodes, writes, syncs and commits.
///
/// Dropping it commits and syncs everything appended, unless the log has failed, and ends the thread.
pub(crate) struct LogWriter<E> {
    shared: Arc<WriterState>,
    entries: Sender<Entry<E>>,
    thread: Option<JoinHandle<()>>,
}

impl<E: Send + Sync + 'static> LogWriter<E> {
    /// A log in the folder of a part. Creates nothing on disk before the first entry.
    ///
    /// `definition` has, for each view, its name and its grace in milliseconds in this run. The thread calls
    /// `on_progress` after each commit, and when the log fails.
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn new(
        storage: Arc<dyn Storage>,
        part: PathBuf,
        run: u64,
        worker: u32,
        definition: Vec<(String, i64)>,
        durability: Durability,
        codec: EventCodec<E>,
        on_progress: impl Fn() + Send + 'static,
    ) -> LogWriter<E> {
        let layout = Layout::new(&part);
        let shared = Arc::new(WriterState {
            durability,
            folder: layout.log().to_owned(),
            progress: Mutex::default(),
            work: Condvar::new(),
            done: Condvar::new(),
        });
        let (entries, waiting) = mpsc::channel();
        let state = StreamState::new(run, worker, definition);
        let committer = Committer::new(storage, layout, codec, state);
        let run = WriterThread { shared: Arc::clone(&shared), waiting, committer, on_progress };
        let named = thread::Builder::new().name(format!("dayfold:log-{worker}"));
        let thread = match named.spawn(move || run.run()) {
            Ok(thread) => Some(thread),
            Err(error) => {
                let failed = LogError::harmless("start the thread of", &shared.folder)(error);
                shared.lock().error = Some(failed);
                None
            }
        };
        LogWriter { shared, entries, thread }
    }

    /// Passes an entry to the log. Never blocks on the disk.
    ///
    /// # Errors
    /// Once the log has failed, the reason. Nothing was appended.
    pub(crate) fn append(&mut self, entry: Entry<E>) -> Result<(), LogError> {
        let mut progress = self.shared.lock();
        if let Some(error) = &progress.error {
            return Err(error.clone());
        }
        let (bytes, events) = (entry.memory(), entry.events.len());
        self.entries.send(entry).map_err(|_| self.shared.stopped("its thread has ended"))?;
        progress.appended += 1;
        progress.waiting_bytes += bytes;
        progress.waiting_events += events;
        if matches!(self.shared.durability, Durability::Every(_)) {
            progress.oldest.get_or_insert_with(Instant::now);
        }
        drop(progress);
        self.shared.work.notify_one();
        Ok(())
    }
}

impl<E> LogWriter<E> {
    /// A handle that shows the log's progress, for any thread.
    pub(crate) fn handle(&self) -> LogHandle {
        LogHandle { shared: Arc::clone(&self.shared) }
    }
}

impl<E> Drop for LogWriter<E> {
    fn drop(&mut self) {
        self.shared.lock().closing = true;
        self.shared.work.notify_one();
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has become the log's error.
            let _ = thread.join();
        }
    }
}

impl<E> fmt::Debug for LogWriter<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogWriter").field("shared", &self.shared).finish_non_exhaustive()
    }
}

/// The progress of a log. Entries are numbered from 1.
#[derive(Clone, Debug)]
pub(crate) struct LogHandle {
    shared: Arc<WriterState>,
}

impl LogHandle {
    /// The number of entries appended so far.
    pub(crate) fn appended(&self) -> u64 {
        self.shared.lock().appended
    }

    /// The number up to which entries are committed and synced.
    pub(crate) fn durable(&self) -> u64 {
        self.shared.lock().durable
    }

    /// The position of the last durable entry in its commit stream; `None` if there is none.
    pub(crate) fn position(&self) -> Option<LogPosition> {
        self.shared.lock().position
    }

    /// The number up to which entries are committed: their record was written, but perhaps not synced.
    #[cfg(test)]
    pub(crate) fn committed(&self) -> u64 {
        self.shared.lock().committed
    }

    /// The reason why the log has failed, if it has.
    pub(crate) fn error(&self) -> Option<LogError> {
        self.shared.lock().error.clone()
    }

    /// The approximate bytes that are appended and not yet encoded: their memory, or their size in the log if that is
    /// more, because events may point to much. In addition, one or two MiB at most are encoded and not yet written.
    pub(crate) fn waiting_bytes(&self) -> usize {
        let progress = self.shared.lock();
        let encoded = progress.waiting_events.saturating_mul(progress.bytes_an_event);
        progress.waiting_bytes.max(encoded)
    }

    /// Records the graces of views that are added while the log is written, in milliseconds, and waits until that is
    /// durable.
    ///
    /// # Errors
    /// As [`LogHandle::sync_through`].
    pub(crate) fn define(&self, views: &[(String, i64)]) -> Result<(), LogError> {
        let mut progress = self.shared.lock();
        progress.define.extend_from_slice(views);
        progress.define_requests += 1;
        let request = progress.define_requests;
        self.shared.work.notify_one();
        while progress.defined < request {
            if let Some(error) = &progress.error {
                return Err(error.clone());
            }
            if progress.ended {
                return Err(self.shared.stopped("it ended before a view was added to it"));
            }
            let waited = self.shared.done.wait(progress);
            progress = waited.unwrap_or_else(PoisonError::into_inner);
        }
        Ok(())
    }

    /// Makes the thread remove its files of days before this one whose events are not needed. Nobody may be reading
    /// them.
    pub(crate) fn shorten(&self, from: Day, is_needed: Arc<IsNeeded>) {
        self.shared.lock().shorten = Some(Shorten { from, is_needed });
        self.shared.work.notify_one();
    }

    /// Forces a commit with a sync, and waits until entries up to `number` are durable.
    ///
    /// # Errors
    /// The reason why the log has failed, or [`LogError::Stopped`] if it ends before it has that many entries.
    pub(crate) fn sync_through(&self, number: u64) -> Result<(), LogError> {
        let mut progress = self.shared.lock();
        loop {
            if progress.durable >= number {
                return Ok(());
            }
            if let Some(error) = &progress.error {
                return Err(error.clone());
            }
            if progress.ended {
                return Err(self.shared.stopped("it had fewer entries than were to be synced"));
            }
            if progress.wanted < number {
                progress.wanted = number;
                self.shared.work.notify_one();
            }
            let waited = self.shared.done.wait(progress);
            progress = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// The thread of a log.
struct WriterThread<E, F: Fn()> {
    shared: Arc<WriterState>,
    waiting: Receiver<Entry<E>>,
    committer: Committer<E>,
    on_progress: F,
}

/// The next work of the thread.
struct Work {
    /// Take the entries up to this number.
    through: u64,
    commit: bool,
    sync: bool,
    shorten: Option<Shorten>,
    define: Vec<(String, i64)>,
    /// The last request that `define` has.
    define_request: u64,
    closing: bool,
}

impl<E, F: Fn()> WriterThread<E, F> {
    fn run(mut self) {
        // The program's own encoding may panic, and nobody must wait for a thread that has ended.
        let result = panic::catch_unwind(AssertUnwindSafe(|| self.work()));
        let result = result.unwrap_or_else(|_| Err(self.shared.stopped("its thread has panicked")));
        let mut progress = self.shared.lock();
        progress.ended = true;
        (progress.waiting_bytes, progress.waiting_events) = (0, 0);
        progress.error = result.err();
        drop(progress);
        self.shared.done.notify_all();
        (self.on_progress)();
    }

    fn work(&mut self) -> Result<(), LogError> {
        let mut taken = 0;
        // When the first entry that is not committed was appended.
        let mut since = None;
        loop {
            let work = self.next(taken, &mut since);
            while taken < work.through {
                let entry = self.waiting.recv().expect("entries are sent before they are counted");
                let (bytes, events) = (entry.memory(), entry.events.len());
                let before = self.committer.encoded;
                self.committer.is_behind = self.shared.is_behind(events);
                self.committer.take(entry)?;
                taken += 1;
                // This happens after each entry, because the limit of waiting bytes needs to know early how large
                // events are.
                self.shared.encoded(bytes, events, self.committer.encoded - before);
            }
            if let Some(Shorten { from, is_needed }) = &work.shorten {
                self.committer.shorten(*from, &**is_needed)?;
            }
            if !work.define.is_empty() {
                self.committer.define(work.define)?;
            }
            if work.commit {
                self.committer.commit(work.sync)?;
                since = None;
                let mut progress = self.shared.lock();
                progress.committed = taken;
                progress.defined = work.define_request;
                if work.sync {
                    (progress.durable, progress.position) = (taken, self.committer.position());
                }
                drop(progress);
                self.shared.done.notify_all();
                (self.on_progress)();
            }
            if work.closing {
                return Ok(());
            }
        }
    }

    /// Waits until there is something to do.
    fn next(&self, taken: u64, since: &mut Option<Instant>) -> Work {
        let mut progress = self.shared.lock();
        loop {
            let through = progress.appended;
            let closing = progress.closing;
            *since = since.or(progress.oldest.take());
            let forced = closing || progress.wanted > progress.durable;
            let behind = progress.durable < through;
            let left = match (self.shared.durability, *since) {
                (Durability::Every(most), Some(since)) => {
                    Some(most.saturating_sub(since.elapsed()))
                }
                _ => None,
            };
            let (commit, sync) = match self.shared.durability {
                Durability::EveryCommit => (taken < through, true),
                Durability::Every(_) => {
                    let due = forced && behind || left == Some(Duration::ZERO);
                    (due, due)
                }
                Durability::System => (taken < through || forced && behind, forced && behind),
            };
            let is_changed = progress.shorten.is_some() || !progress.define.is_empty();
            if taken < through || commit || closing || is_changed {
                let shorten = progress.shorten.take();
                let define = std::mem::take(&mut progress.define);
                let define_request = progress.define_requests;
                // Both commit everything, durably.
                let (commit, sync) = (commit || is_changed, sync || is_changed);
                return Work { through, commit, sync, shorten, define, define_request, closing };
            }
            progress = match left {
                Some(left) => {
                    let waited = self.shared.work.wait_timeout(progress, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.shared.work.wait(progress).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}
