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
/// What becomes of the days that are open depends on what ends it, and on whether there is a log:
///
/// | | with a log | in a data folder without one |
/// |---|---|---|
/// | [`finish`](Running::finish), before all is sealed | they stay open: the next run has them back | they are sealed as they are |
/// | [`interrupt`](Running::interrupt), [`wait_sealed`](Running::wait_sealed), `finish` | they are sealed as they are | they are sealed as they are |
/// | `interrupt` and `finish` at once | as `finish` alone, or as after `wait_sealed` | they are sealed as they are |
/// | [`abandon`](Running::abandon), a drop, a panic, a failure, a kill | they stay open: the next run has them back | they are lost: the next run is refused ([`EngineError::Incomplete`]) |
///
/// Without a folder, nothing is left of any. If the source goes on later, what comes of a day that was sealed as it
/// was is late, and amends it.
///
/// `finish` returns [`Stopped`] or, if any process was interrupted by then, [`EngineError::Interrupted`]; both are
/// orderly ends. Batches that were pushed and have not entered when `finish` is called are not let in any more, and
/// their receipts say so; an interruption lets them in first.
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
    pub(crate) views: Views,
    pub(crate) main: Option<std::thread::JoinHandle<()>>,
    pub(crate) watch: Option<Watch>,
    pub(crate) close: Arc<dyn Fn() + Send + Sync>,
    /// Whether this process has asked for an interruption; it takes a while until all know of it.
    pub(crate) interrupting: AtomicBool,
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running").field("progress", &self.progress()).finish_non_exhaustive()
    }
}

impl Running {
    /// How far the engine is.
    pub fn progress(&self) -> Progress {
        self.shared.progress()
    }

    /// The views, for those who do not know their types.
    pub fn views(&self) -> Views {
        self.views.clone()
    }

    /// The view of this name, for those who do not know its types.
    pub fn view(&self, name: &str) -> Option<Arc<dyn ErasedView>> {
        self.views.get(name).cloned()
    }

    /// The data folder, if there is one.
    pub fn store(&self) -> Option<&Store> {
        self.archive.as_ref().and_then(Archive::store).map(Arc::as_ref)
    }

    /// What was read of a [`CsvSource`](crate::source::CsvSource), once it has ended, on the process that read it.
    pub fn consumed(&self) -> Option<Consumed> {
        match self.shared.place().0 {
            Some(SourcePosition::Text(consumed)) => Some(consumed),
            Some(SourcePosition::Own(_)) | None => None,
        }
    }

    /// A look at the engine that other threads can take.
    pub fn observer(&self) -> Observer {
        Observer::new(Arc::clone(&self.shared))
    }

    /// Waits until the source has ended and every day is sealed (but for a last line of a file without its end, see
    /// [`Engine::file`](crate::Engine::file)), or the engine has stopped, or `limit`
    /// is over. Returns whether all is sealed. When another process has stopped the engine before, it never will
    /// be: this says no at once then, and [`Running::wait_stopped`] says yes.
    ///
    /// # Errors
    /// [`EngineError`] if the engine stopped for a reason that is none.
    pub fn wait_sealed(&self, limit: Duration) -> Result<bool, EngineError> {
        Ok(self.shared.wait_settled(limit)?)
    }

    /// Waits until process 0, or a failure anywhere, stops the engine, at most so long. Returns whether it stopped.
    pub fn wait_stopped(&self, limit: Duration) -> bool {
        self.shared.wait_stopped(limit)
    }

    /// Ends all sources of all processes where they are, as if they had no more. Then every day closes:
    /// [`Running::wait_sealed`] says when all are sealed, and [`Running::finish`] is to be called after it.
    pub fn interrupt(&self) {
        self.interrupting.store(true, Ordering::Release);
        self.shared.interrupt_requested.store(true, Ordering::Release);
        self.shared.wake();
    }

    /// Whether any process was interrupted.
    pub fn is_interrupted(&self) -> bool {
        self.shared.is_interrupted()
    }

    /// Stops all processes because of something about the input, with a message that each will show.
    pub fn fail_input(&self, message: &str) {
        self.request(Outcome::Input(message.to_owned()));
    }

    /// Stops all processes because of something that went wrong around the engine, with a message that
    /// each will show.
    pub fn fail(&self, message: &str) {
        self.request(Outcome::Failed(message.to_owned()));
    }

    fn request(&self, outcome: Outcome) {
        self.shared.request(outcome);
    }

    /// Stops the engine in order, in all processes: to be called by process 0 when it has asked what it
    /// wanted to ask, and by the others when [`Running::wait_stopped`] says so. What becomes of open days is
    /// said [above](Running#how-it-ends). Marks the data folder as complete if all of it is sealed, whatever
    /// stopped the engine after that.
    ///
    /// # Errors
    /// [`EngineError`] if the engine had stopped early, or the folder cannot be marked.
    /// [`EngineError::Interrupted`] after an interruption; the folder is marked then, too, if all is sealed.
    pub fn finish(self) -> Result<Stopped, EngineError> {
        self.end(true)
    }

    /// As [`Running::finish`], but never marks the data folder as complete: for a program that could not
    /// record there what it has to know of this run to go on from it. Without a log, the next run is refused.
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
        // One that was told to finish before its source was open never began.
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

    /// Without a log, the folder remembers how far the source was read. What a run does not complete, it need not
    /// know: such a folder is refused.
    fn keep_position(&self, store: &Store) -> Result<(), StoreError> {
        let (place, has_holes) = self.shared.place();
        match place {
            _ if store.is_logged() => Ok(()),
            // No position says what has entered, so nobody goes on from this folder.
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

/// What a finished engine leaves behind.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Stopped {
    /// Its last numbers.
    pub progress: Progress,
    /// Whether every day is sealed: the sources had ended, or there is no log and what was open was sealed.
    pub sealed: bool,
}
