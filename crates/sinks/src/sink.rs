//! The thread of a sink: one look after the other, and what to do when the store is unavailable.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use dayfold::engine::{Observer, Running, Views};

use crate::aside::Aside;
use crate::error::LookError;
use crate::followed::{Around, Followed};
use crate::sealed::SealedPeriods;
use crate::status::Board;
use crate::{SinkError, SinkStatus, Store};

/// Options of a [`Sink`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkOptions {
    every: Duration,
    longest_wait: Duration,
    durable: bool,
    keep: Duration,
    remembered_rows: usize,
    refused_bytes: u64,
    pub(crate) journal_bytes: usize,
}

impl Default for SinkOptions {
    fn default() -> SinkOptions {
        SinkOptions {
            every: Duration::from_secs(1),
            longest_wait: Duration::from_secs(30),
            durable: true,
            keep: Duration::from_secs(60),
            remembered_rows: 8_000_000,
            refused_bytes: 64 << 20,
            journal_bytes: 64 << 20,
        }
    }
}

impl SinkOptions {
    /// Sets the minimum time between two writes of a row; default a second.
    #[must_use]
    pub fn every(self, every: Duration) -> SinkOptions {
        SinkOptions { every, ..self }
    }

    /// Sets whether the sink waits for the log; by default it does. If events are not promised to be durable
    /// ([`Durability::System`](dayfold::log::Durability::System)), set this to false, or the sink would wait for a
    /// seal. Then sources have to bring back what a crash has lost.
    #[must_use]
    pub fn durable(self, durable: bool) -> SinkOptions {
        SinkOptions { durable, ..self }
    }

    /// Sets how long a moment is kept at most while the sink writes; default a minute. Then the sink continues with the
    /// next moment. With a longer time, more rows have the same moment, at the cost of memory.
    #[must_use]
    pub fn keep(self, keep: Duration) -> SinkOptions {
        SinkOptions { keep, ..self }
    }

    /// Sets the longest wait after failures; default half a minute. The first wait is a fifth of a second, and each
    /// further one is about twice as long.
    #[must_use]
    pub fn longest_wait(self, longest_wait: Duration) -> SinkOptions {
        SinkOptions { longest_wait, ..self }
    }

    /// Sets how many unsealed rows of a view are remembered, with 24 to 48 bytes each; default 8 million. A period with
    /// rows beyond that is written as a whole at every look.
    #[must_use]
    pub fn remembered_rows(self, remembered_rows: usize) -> SinkOptions {
        SinkOptions { remembered_rows, ..self }
    }

    /// Sets the size of the file of refused rows, in bytes; default 64 MiB. Further refused rows are only counted.
    #[must_use]
    pub fn refused_bytes(self, refused_bytes: u64) -> SinkOptions {
        SinkOptions { refused_bytes, ..self }
    }

    /// Sets how many bytes of changes a [`Feed`](crate::Feed) keeps for subscribers that reconnect; default 64 MiB. A
    /// sink into a store keeps none.
    #[must_use]
    pub fn journal_bytes(self, journal_bytes: usize) -> SinkOptions {
        SinkOptions { journal_bytes, ..self }
    }
}

/// Keeps a store up to date with views of a running engine, on its own thread.
///
/// Guarantee: each row of the store is the merged answer for its period and key as of a moment that the log had.
/// Moments of a row never go back. Once no more events come, the store has exactly the rows of the engine, whatever was
/// killed before.
///
/// A sink reads snapshots, so it delays nothing. When it is dropped, it ends after its present write; the next sink
/// continues.
pub struct Sink {
    board: Arc<Board>,
    stop: Arc<AtomicBool>,
    orders: Sender<Order>,
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sink").field("status", &self.status()).finish_non_exhaustive()
    }
}

/// An instruction to the thread.
enum Order {
    /// Write everything, and report when that is done.
    Complete(SyncSender<()>),
    Stop,
}

/// Shows the progress of a sink; it does not keep the sink alive.
#[derive(Clone)]
pub struct SinkWatch {
    board: Arc<Board>,
}

impl fmt::Debug for SinkWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SinkWatch").field("status", &self.status()).finish()
    }
}

impl SinkWatch {
    /// The progress of each view, by name.
    pub fn status(&self) -> BTreeMap<String, SinkStatus> {
        self.board.all()
    }
}

impl Sink {
    /// Starts to write views of an engine that keeps its data in `folder`. Rows that the store refuses are kept in
    /// `aside`, a folder that belongs to the sink.
    ///
    /// # Errors
    /// [`SinkError::NoView`]; [`SinkError::Column`] if a view has a column with the name of one that a sink adds; or an
    /// error of the system if there is no thread.
    pub fn start(
        running: &Running,
        folder: &Path,
        aside: &Path,
        views: &[String],
        store: Box<dyn Store>,
        options: SinkOptions,
    ) -> Result<Sink, SinkError> {
        Sink::of(&running.views(), running.observer(), folder, aside, views, store, options)
    }

    pub(crate) fn of(
        all: &Views,
        observer: Observer,
        folder: &Path,
        aside: &Path,
        views: &[String],
        store: Box<dyn Store>,
        options: SinkOptions,
    ) -> Result<Sink, SinkError> {
        let followed = views.iter().map(|name| {
            let view = all.get(name).map(Arc::clone).ok_or_else(|| SinkError::no_view(all, name));
            let followed = Followed::new(view?);
            followed.reader.table.check()?;
            Ok(followed)
        });
        let followed = followed.collect::<Result<Vec<_>, SinkError>>()?;
        let (board, stop) = (Board::new(views), Arc::new(AtomicBool::new(false)));
        let (orders, received) = channel();
        let work = Work {
            views: all.clone(),
            observer,
            folder: folder.to_owned(),
            aside: aside.to_owned(),
            followed,
            store,
            options,
            board: Arc::clone(&board),
            stop: Arc::clone(&stop),
            failures: 0,
        };
        let thread = std::thread::Builder::new().name("dayfold:sink".to_owned());
        let thread = thread.spawn(move || work.run(&received))?;
        Ok(Sink { board, stop, orders, thread: Some(thread) })
    }

    /// The progress of each view, by name.
    pub fn status(&self) -> BTreeMap<String, SinkStatus> {
        self.board.all()
    }

    /// A watch of its progress, which does not own the sink.
    pub fn watch(&self) -> SinkWatch {
        SinkWatch { board: Arc::clone(&self.board) }
    }

    /// Makes the next look at once, even if nothing has changed.
    pub(crate) fn look_soon(&self) {
        // Nobody waits for its end. A thread that has ended makes no look.
        let _ = self.orders.send(Order::Complete(sync_channel(1).0));
    }

    /// Waits, at most for `limit`, until the store has everything that the engine answers now. Returns whether it has.
    /// The engine has to run.
    pub fn complete(&self, limit: Duration) -> bool {
        let (told, done) = sync_channel(1);
        self.orders.send(Order::Complete(told)).is_ok() && done.recv_timeout(limit).is_ok()
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // A thread that has ended already needs no instruction.
        let _ = self.orders.send(Order::Stop);
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was reported where it happened.
            let _ = thread.join();
        }
    }
}

/// The first wait after a failure.
const FIRST_WAIT: Duration = Duration::from_millis(200);

struct Work {
    views: Views,
    observer: Observer,
    folder: PathBuf,
    aside: PathBuf,
    followed: Vec<Followed>,
    store: Box<dyn Store>,
    options: SinkOptions,
    board: Arc<Board>,
    stop: Arc<AtomicBool>,
    failures: u32,
}

impl Work {
    fn run(mut self, orders: &Receiver<Order>) {
        let (mut sealed, mut aside) =
            (SealedPeriods::of(&self.folder), Aside::new(&self.aside, self.options.refused_bytes));
        let (since, mut waiting) = (Instant::now(), Vec::new());
        loop {
            let began = Instant::now();
            let is_settled = self.look(&mut sealed, &mut aside, !waiting.is_empty());
            let events = self.observer.progress().events;
            self.followed.iter().for_each(|view| view.tell(events, since, &self.board));
            if is_settled {
                for told in waiting.drain(..) {
                    let told: SyncSender<()> = told;
                    // The waiting thread may have given up.
                    let _ = told.try_send(());
                }
            }
            let next = began + self.wait(!waiting.is_empty());
            let left = next.saturating_duration_since(Instant::now());
            match orders.recv_timeout(left) {
                Ok(Order::Complete(told)) => waiting.push(told),
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Order::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Looks at each view once. Returns whether everything is written.
    fn look(&mut self, sealed: &mut SealedPeriods, aside: &mut Aside, is_last: bool) -> bool {
        let (mut is_settled, mut is_well, mut is_lost) = (true, true, false);
        for view in &mut self.followed {
            let mut around = Around {
                views: &self.views,
                observer: &self.observer,
                sealed,
                aside,
                board: &self.board,
                stop: &self.stop,
                waits_for_log: self.options.durable,
                keep: self.options.keep,
                remembered: self.options.remembered_rows,
            };
            match view.look(&mut *self.store, &mut around, is_last) {
                Ok(is_done) => is_settled &= is_done,
                Err(LookError::Stopped) => return false,
                Err(error) => {
                    tracing::warn!(view = view.reader.table.view, %error, "cannot bring a store in step");
                    view.forget();
                    is_lost |= matches!(error, LookError::Store(_));
                    let error = error.to_string();
                    self.board.change(&view.reader.table.view, |status| {
                        status.failures += 1;
                        status.error = Some(error);
                    });
                    is_well = false;
                }
            }
        }
        if is_lost {
            // The store may come back without its rows, so everything is checked anew, for all views.
            self.followed.iter_mut().for_each(Followed::forget);
        }
        self.failures = if is_well { 0 } else { self.failures + 1 };
        is_well && is_settled
    }

    /// The time from the beginning of this look to the next one.
    fn wait(&self, somebody_waits: bool) -> Duration {
        match self.failures {
            0 if somebody_waits => FIRST_WAIT.min(self.options.every),
            0 => self.options.every,
            failures => back_off(failures, self.options.longest_wait, share()),
        }
    }
}

/// The wait after so many failures in a row: each about twice as long as the one before, but shortened by a random
/// share, so that not all sinks write at once when a store is back.
fn back_off(failures: u32, longest: Duration, share: f64) -> Duration {
    let doubled = FIRST_WAIT.saturating_mul(1 << failures.saturating_sub(1).min(16));
    doubled.min(longest).mul_f64(0.5 + share / 2.0)
}

/// A random number from 0 to 1; 0.5 if there is no source of randomness.
fn share() -> f64 {
    let mut bytes = [0; 4];
    match getrandom::fill(&mut bytes) {
        Ok(()) => f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX),
        Err(_) => 0.5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_doubled_up_to_the_longest_and_shortened_at_random() {
        let longest = Duration::from_secs(30);
        let waits = [1, 2, 3, 8, 9, u32::MAX].map(|failures| back_off(failures, longest, 1.0));
        assert_eq!(waits.map(|wait| wait.as_millis()), [200, 400, 800, 25_600, 30_000, 30_000]);
        assert_eq!(back_off(2, longest, 0.0), Duration::from_millis(200));
        let shares: Vec<f64> = (0..100).map(|_| share()).collect();
        assert!(shares.iter().all(|share| (0.0..=1.0).contains(share)) && shares[0] != shares[1]);
    }
}
