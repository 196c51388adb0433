//! The thread of a sink: one look after the other, and what is done when the store is not there.

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

/// How often a [`Sink`] writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkOptions {
    every: Duration,
    longest_wait: Duration,
    durable: bool,
    keep: Duration,
}

impl Default for SinkOptions {
    fn default() -> SinkOptions {
        let (every, longest_wait) = (Duration::from_secs(1), Duration::from_secs(30));
        SinkOptions { every, longest_wait, durable: true, keep: Duration::from_secs(60) }
    }
}

impl SinkOptions {
    /// The same, which writes each row at most once in so long: a second, unless said otherwise.
    #[must_use]
    pub fn every(self, every: Duration) -> SinkOptions {
        SinkOptions { every, ..self }
    }

    /// The same, which waits for the log or not: it does, unless said otherwise. Where nothing promises that events are
    /// durable ([`Durability::System`](dayfold::log::Durability::System)), it may not: it would wait for a seal. Then
    /// sources have to bring again what a crash has taken.
    #[must_use]
    pub fn durable(self, durable: bool) -> SinkOptions {
        SinkOptions { durable, ..self }
    }

    /// The same, which keeps a moment for at most so long while it writes: a minute, unless said otherwise. It goes on
    /// with the next one then. Longer keeps what many rows hold more alike, and costs memory.
    #[must_use]
    pub fn keep(self, keep: Duration) -> SinkOptions {
        SinkOptions { keep, ..self }
    }

    /// The same, which waits at most so long after failures: half a minute, unless said otherwise. The first wait is a
    /// fifth of a second, and each one is about twice as long as the one before.
    #[must_use]
    pub fn longest_wait(self, longest_wait: Duration) -> SinkOptions {
        SinkOptions { longest_wait, ..self }
    }
}

/// Keeps a store in step with views of a running engine, on a thread of its own.
///
/// Promise: each row of the store is the merged answer for its period and key as of a moment that the log had. Moments
/// of a row never go back. Once nothing comes any more, the store has the rows of the engine and no others, whatever
/// was killed before.
///
/// It reads snapshots, so it holds nothing up. Dropped, it ends after what it is just writing; the next one goes on.
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

/// What the thread is told.
enum Order {
    /// Write everything, and say when that is done.
    Complete(SyncSender<()>),
    Stop,
}

/// Tells how far a sink is, as long as anybody asks.
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
    /// How far each view is, by name.
    pub fn status(&self) -> BTreeMap<String, SinkStatus> {
        self.board.all()
    }
}

impl Sink {
    /// Begins to write views of an engine that keeps its data in `folder`. What the store refuses is kept in `aside`, a
    /// folder of the sink's own.
    ///
    /// # Errors
    /// [`SinkError::NoView`]; [`SinkError::Column`] if a view has a column of the name of one that a sink adds; or from
    /// the system if there is no thread.
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

    /// How far each view is, by name.
    pub fn status(&self) -> BTreeMap<String, SinkStatus> {
        self.board.all()
    }

    /// Tells how far it is, for who does not own it.
    pub fn watch(&self) -> SinkWatch {
        SinkWatch { board: Arc::clone(&self.board) }
    }

    /// Has the next look made at once, also if nothing has changed.
    pub(crate) fn look_soon(&self) {
        // Nobody waits for its end. A thread that has ended looks no more.
        let _ = self.orders.send(Order::Complete(sync_channel(1).0));
    }

    /// Waits at most so long until the store has all that the engine answers now. Says whether it has. The engine has
    /// to run.
    pub fn complete(&self, limit: Duration) -> bool {
        let (told, done) = sync_channel(1);
        self.orders.send(Order::Complete(told)).is_ok() && done.recv_timeout(limit).is_ok()
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // One that has ended already needs no word.
        let _ = self.orders.send(Order::Stop);
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been reported where it happened.
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
        let (mut sealed, mut aside) = (SealedPeriods::of(&self.folder), Aside::new(&self.aside));
        let (since, mut waiting) = (Instant::now(), Vec::new());
        loop {
            let began = Instant::now();
            let is_settled = self.look(&mut sealed, &mut aside, !waiting.is_empty());
            let events = self.observer.progress().events;
            self.followed.iter().for_each(|view| view.tell(events, since, &self.board));
            if is_settled {
                for told in waiting.drain(..) {
                    let told: SyncSender<()> = told;
                    // Who waited may have given up.
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

    /// Looks at each view once. Says whether everything is written.
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
            // It may come back without what it had: that is found out anew, for all views.
            self.followed.iter_mut().for_each(Followed::forget);
        }
        self.failures = if is_well { 0 } else { self.failures + 1 };
        is_well && is_settled
    }

    /// How long from the beginning of this look to that of the next one.
    fn wait(&self, somebody_waits: bool) -> Duration {
        match self.failures {
            0 if somebody_waits => FIRST_WAIT.min(self.options.every),
            0 => self.options.every,
            failures => {
                let doubled = FIRST_WAIT.saturating_mul(1 << (failures - 1).min(16));
                // Not all sinks at once, when a store is back.
                doubled.min(self.options.longest_wait).mul_f64(0.5 + share() / 2.0)
            }
        }
    }
}

/// A random number from 0 to 1; without a source of them, in the middle.
fn share() -> f64 {
    let mut bytes = [0; 4];
    match getrandom::fill(&mut bytes) {
        Ok(()) => f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX),
        Err(_) => 0.5,
    }
}
