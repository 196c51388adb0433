//! The state of an engine, for observers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use hdrhistogram::Histogram;

use super::error::Outcome;
use super::progress::Progress;
use super::shared::Shared;
use crate::closing::Closing;

/// The state of an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EngineState {
    /// Events from before the start of the program are not all in; queries wait.
    Recovering,
    /// Events enter, and queries are answered.
    Running,
    /// The sources have ended and every day is sealed; queries are answered.
    Ended,
    /// The engine has stopped.
    Stopped,
}

impl std::fmt::Display for EngineState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            EngineState::Recovering => "recovering",
            EngineState::Running => "running",
            EngineState::Ended => "ended",
            EngineState::Stopped => "stopped",
        })
    }
}

/// Shows the state of a running engine, from any thread. It does not keep the engine from being finished.
#[derive(Clone)]
pub struct Observer {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Observer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Observer").field("progress", &self.progress()).finish_non_exhaustive()
    }
}

impl Observer {
    pub(crate) fn new(shared: Arc<Shared>) -> Observer {
        Observer { shared }
    }

    /// The progress of the engine.
    pub fn progress(&self) -> Progress {
        self.shared.progress()
    }

    /// The state of the engine.
    pub fn state(&self) -> EngineState {
        let shared = &self.shared;
        if shared.has_stopped() || self.failure().is_some() {
            EngineState::Stopped
        } else if !shared.recovered.load(Ordering::Acquire) {
            EngineState::Recovering
        } else if shared.is_all_sealed() {
            EngineState::Ended
        } else {
            EngineState::Running
        }
    }

    /// How far each partition had been read when a closing of a view was complete, by the names of its source and its
    /// own, with a slash between. What is sealed through the closing is the events of its periods among the records
    /// before these positions: [`Engine::reread`](crate::Engine::reread) lets another data folder go on from there.
    ///
    /// `None` if that is not known: the closing was complete in an earlier run or long ago, is not complete, or the
    /// engine has several processes or a source without partitions. Events that are pushed have no position.
    pub fn positions(&self, view: &str, closing: Closing) -> Option<BTreeMap<String, u64>> {
        self.shared.positions(view, closing)
    }

    /// Why the engine has stopped, or is about to: for example, a view that failed, a log that cannot be written, or an
    /// unusable input. `None` if it goes on, or was ended in order.
    pub fn failure(&self) -> Option<String> {
        match self.shared.outcome() {
            Some(Outcome::Input(message) | Outcome::Failed(message)) => Some(message),
            Some(Outcome::Done | Outcome::Interrupted) => None,
            None => self.shared.failing.get().cloned(),
        }
    }

    /// The number of workers of this process.
    pub fn workers(&self) -> usize {
        self.shared.threads
    }

    /// The microseconds from the time when a tick entered until it was complete, and so visible, on the worker that
    /// entered it; over all ticks of this process.
    pub fn freshness(&self) -> Histogram<u64> {
        self.shared.fresh().clone()
    }
}
