//! A running engine, as the rest of the program sees it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::ask::views::Views;
use super::error::{EngineError, Outcome};
use super::ingest::logging;
use super::observer::Observer;
use super::progress::Progress;
use super::recover::resume::POSITION;
use super::shared::Shared;
use crate::archive::Archive;
use crate::cluster::Watch;
use crate::scan::ErasedView;
use crate::source::{Consumed, SourcePosition};
use crate::store::{Store, StoreError};

/// A running engine.
///
/// # How it ends
///
/// What happens to open days depends on how the engine ends, and on whether there is a log:
///
/// | | with a log | in a data folder without one |
/// |---|---|---|
/// | [`finish`](Running::finish), before all is sealed | they stay open, and the next run has them | they are sealed as they are |
/// | [`interrupt`](Running::interrupt), [`wait_sealed`](Running::wait_sealed), `finish` | they are sealed as they are | they are sealed as they are |
/// | `interrupt` and `finish` at once | as `finish` alone, or as after `wait_sealed` | they are sealed as they are |
/// | [`abandon`](Running::abandon), a drop, a panic, a failure, a kill | they stay open, and the next run has them | they are lost: the next run is refused ([`EngineError::Incomplete`]) |
///
/// Without a folder, nothing remains. If the source continues later, further events of a day that was sealed as it was
/// are late, and amend it.
///
/// `finish` returns [`Stopped`] or, if any process was interrupted by then, [`EngineError::Interrupted`]; both are
/// orderly ends. Batches that were pushed and have not entered when `finish` is called do not enter any more, and their
/// receipts say so; an interruption lets them in first.
///
/// Of the examples, Ctrl-C interrupts `flights` and `replay`, which end with exit code 130, and finishes `dashboard`.
///
/// ```
/// use std::time::Duration;
///
/// use dayfold::engine::{
///     EngineError, EngineState, LogNumbers, Observer, Progress, Running, SourceNumbers, Stopped,
/// };
///
/// /// Waits until everything is sealed, and tells how far it is meanwhile.
/// fn run(running: Running) -> Result<(), EngineError> {
///     let observer: Observer = running.observer();
///     while !running.wait_sealed(Duration::from_secs(1))? {
///         if observer.state() == EngineState::Recovering {
///             println!("reading what earlier runs have logged");
///         }
///         println!("{}", line(&observer.progress()));
///     }
///     let Stopped { progress, sealed, .. } = running.finish()?;
///     println!("{} events; everything is sealed: {sealed}", progress.events);
///     Ok(())
/// }
///
/// fn line(progress: &Progress) -> String {
///     let durable = progress.log.as_ref().map(|LogNumbers { durable, .. }| *durable);
///     let is_waiting = |source: &&SourceNumbers| source.trouble.is_some();
///     let waiting = progress.sources.iter().filter(is_waiting).count();
///     format!("{} rows, {durable:?} events are durable, {waiting} sources wait", progress.rows)
/// }
/// ```
pub struct Running {
    pub(crate) shared: Arc<Shared>,
    pub(crate) archive: Option<Archive>,
    pub(crate) main: Option<std::thread::JoinHandle<()>>,
    pub(crate) watch: Option<Watch>,
    pub(crate) close: Arc<dyn Fn() + Send + Sync>,
    /// Whether this process has requested an interruption; it takes a while until all processes know of it.
    pub(crate) interrupting: AtomicBool,
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running").field("progress", &self.progress()).finish_non_exhaustive()
    }
}

impl Running {
    /// The progress of the engine.
    pub fn progress(&self) -> Progress {
        self.shared.progress()
    }

    /// The views as they are now, for code that does not know their types.
    pub fn views(&self) -> Views {
        Views::new(self.shared.offered(), &self.shared)
    }

    /// The view of this name, for code that does not know its types.
    pub fn view(&self, name: &str) -> Option<Arc<dyn ErasedView>> {
        self.views().get(name).cloned()
    }

    /// The data folder, if there is one.
    pub fn store(&self) -> Option<&Store> {
        self.archive.as_ref().and_then(Archive::store).map(Arc::as_ref)
    }

    /// How far a [`CsvSource`](crate::source::CsvSource) was read, once it has ended, in the process that read it.
    pub fn consumed(&self) -> Option<Consumed> {
        match self.shared.place().0 {
            Some(SourcePosition::Text(consumed)) => Some(consumed),
            Some(SourcePosition::Own(_)) | None => None,
        }
    }

    /// An observer of the engine for other threads.
    pub fn observer(&self) -> Observer {
        Observer::new(Arc::clone(&self.shared))
    }

    /// Waits until the source has ended and every day is sealed, or the engine has stopped, or `limit` is over. (A last
    /// line of a file without its end is excepted, see [`Engine::file`](crate::Engine::file).) Returns whether all is
    /// sealed. If another process has stopped the engine before, this never happens: then the call returns false at
    /// once, and [`Running::wait_stopped`] returns true.
    ///
    /// # Errors
    /// [`EngineError`] if the engine stopped, but not in order.
    pub fn wait_sealed(&self, limit: Duration) -> Result<bool, EngineError> {
        Ok(self.shared.wait_settled(limit)?)
    }

    /// Waits, at most for `limit`, until process 0, or a failure anywhere, stops the engine. Returns whether it
    /// stopped.
    pub fn wait_stopped(&self, limit: Duration) -> bool {
        self.shared.wait_stopped(limit)
    }

    /// Ends all sources of all processes where they are, as if they had no more. Then every day closes:
    /// [`Running::wait_sealed`] tells when all are sealed, and [`Running::finish`] is to be called after it.
    pub fn interrupt(&self) {
        self.interrupting.store(true, Ordering::Release);
        self.shared.interrupt_requested.store(true, Ordering::Release);
        self.shared.wake();
    }

    /// Whether any process was interrupted.
    pub fn is_interrupted(&self) -> bool {
        self.shared.is_interrupted()
    }

    /// Stops all processes because of a fault in the input, with a message that each will show.
    pub fn fail_input(&self, message: &str) {
        self.request(Outcome::Input(message.to_owned()));
    }

    /// Stops all processes because of a failure outside the engine, with a message that each will show.
    pub fn fail(&self, message: &str) {
        self.request(Outcome::Failed(message.to_owned()));
    }

    fn request(&self, outcome: Outcome) {
        self.shared.request(outcome);
    }

    /// Stops the engine in order, in all processes. Process 0 calls it when it needs no more answers, the others when
    /// [`Running::wait_stopped`] returns true. What happens to open days is described [above](Running#how-it-ends).
    /// Marks the data folder as complete if all of it is sealed, whatever stopped the engine after that.
    ///
    /// # Errors
    /// [`EngineError`] if the engine had stopped early, or the folder cannot be marked. [`EngineError::Interrupted`]
    /// after an interruption; the folder is marked then, too, if all is sealed.
    pub fn finish(self) -> Result<Stopped, EngineError> {
        self.end(true)
    }

    /// As [`Running::finish`], but never marks the data folder as complete. This is for a program that could not record
    /// there what its next run needs to know about this one. Without a log, the next run is refused.
    ///
    /// # Errors
    /// As [`Running::finish`].
    pub fn abandon(self) -> Result<Stopped, EngineError> {
        self.end(false)
    }

    fn end(mut self, complete: bool) -> Result<Stopped, EngineError> {
        let interrupted = self.is_interrupted() || self.interrupting.load(Ordering::Acquire);
        self.request(if interrupted { Outcome::Interrupted } else { Outcome::Done });
        self.join();
        let progress = self.progress();
        let outcome = self.shared.outcome();
        let sealed = self.shared.is_all_sealed();
        let settled = self.shared.is_settled();
        // A run that was told to finish before its source was open never began.
        let begun = matches!(self.shared.begun(), Some(None));
        let is_orderly = outcome.as_ref().is_some_and(Outcome::is_orderly);
        let proven = match self.store() {
            Some(store) if begun && is_orderly && store.is_logged() => logging::prove(store),
            _ => Ok(()),
        };
        let completed = match self.store() {
            Some(store) if begun && settled && complete => {
                self.keep_position(store).and_then(|()| store.complete())
            }
            _ => Ok(()),
        };
        match outcome {
            Some(Outcome::Done) => {}
            Some(outcome) => return Err(outcome.into()),
            None => return Err(EngineError::Failed { message: "a worker ended early".to_owned() }),
        }
        proven?;
        completed?;
        Ok(Stopped { progress, sealed })
    }

    /// Without a log, the folder stores how far the source was read, and what was dropped of it. An incomplete run need
    /// not store it, because its folder is refused.
    fn keep_position(&self, store: &Store) -> Result<(), StoreError> {
        if store.is_logged() {
            return Ok(());
        }
        for (view, from) in self.shared.not_dropped() {
            store.note_not_dropped(&view, from)?;
        }
        let (place, has_holes) = self.shared.place();
        match place {
            // No position describes what has entered, so no run can continue from this folder.
            _ if has_holes => store.set_fact(POSITION, Vec::new()),
            Some(place) => store.set_fact(POSITION, place.encode()),
            None => Ok(()),
        }
    }

    fn join(&mut self) {
        if let Some(main) = self.main.take() {
            // Its outcome is in the shared state; it catches the panics of workers.
            let _ = main.join();
        }
        if let Some(watch) = self.watch.take() {
            watch.leave(!self.shared.has_parted());
        }
        (self.close)();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.main.is_some() {
            self.request(Outcome::Failed(
                "the engine was dropped before it was finished".to_owned(),
            ));
            self.join();
        }
    }
}

/// The result of a finished engine.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Stopped {
    /// The last numbers.
    pub progress: Progress,
    /// Whether every day is sealed: the sources had ended, or there is no log and open days were sealed.
    pub sealed: bool,
}
