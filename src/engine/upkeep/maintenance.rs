//! Audits and rebuilds while the engine runs: the request to all workers, the work of each one, and the result.
//!
//! Each worker computes the days of its own partitions from the log, a few days at a time, on a separate thread. It
//! reads the logs of all workers, so nothing is exchanged, and no worker waits for another.

use std::collections::VecDeque;
use std::sync::{Arc, mpsc};

use serde::{Deserialize, Serialize};

use crate::aggregate::Aggregate;
use crate::archive::{
    Archive, ArchiveError, AuditJob, Audited, Finding, Lane, LogRows, RebuildJob, Rebuilt,
};
use crate::batch::Coverage;
use crate::closing::Closing;
use crate::key::Key;
use crate::speed::SharedSpeed;
use crate::time::{Day, DayRange};

/// The number of days that are computed in one go. All of them are held in memory, and meanwhile no day of the view is
/// sealed on this worker.
const DAYS_AT_ONCE: usize = 8;

/// The work: its kind, and the sealed days of a view.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Task {
    pub(crate) kind: TaskKind,
    pub(crate) days: DayRange,
    /// Whether it is about everything that is kept, also about rollups whose periods are removed.
    pub(crate) is_all: bool,
    /// The share of a processor's time that each worker may use for it, from 0 to 1.
    pub(crate) share: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum TaskKind {
    Audit,
    Rebuild,
}

/// The result of an audit or a rebuild, over all workers.
///
/// ```
/// use dayfold::aggregate::Count;
/// use dayfold::engine::{MaintainError, Maintained, ViewHandle};
/// use dayfold::time::DayRange;
///
/// /// Computes all sealed days from the log again, with a tenth of a thread, and compares.
/// fn is_sound(view: &ViewHandle<String, Count>) -> Result<bool, MaintainError> {
///     let Maintained { findings, revisions, .. } = view.audit(DayRange::ALL, 0.1)?;
///     println!("{revisions} revisions were looked at");
///     Ok(findings.is_empty())
/// }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Maintained {
    /// The number of audited or rebuilt revisions: for each day, one for each worker that has rows of it.
    pub revisions: u64,
    /// The number of sealed rows that were compared.
    pub rows: u64,
    /// The number of events that were read from the log. Each worker reads all events of a day.
    pub events: u64,
    /// The faults that an audit found. A rebuild of these days repairs them.
    pub findings: Vec<Finding>,
}

impl Maintained {
    pub(crate) fn add(&mut self, other: Maintained) {
        self.revisions += other.revisions;
        self.rows += other.rows;
        self.events += other.events;
        self.findings.extend(other.findings);
    }
}

/// Why an audit or a rebuild has no result. Days that were rebuilt before it stay rebuilt.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MaintainError {
    /// The engine has not started.
    #[error("the engine has not started")]
    NotStarted,
    /// The engine has stopped, perhaps before the task was done.
    #[error("the engine has stopped")]
    Stopped,
    /// The engine has no log from which to compute days.
    #[error("the engine keeps no log: sealed days can be computed again only from one")]
    NoLog,
    /// The days were removed; see [`View::keep`](crate::view::View::keep).
    #[error("view '{view}' keeps days from {kept_from} on: name days from there on, or all")]
    Removed {
        /// The view.
        view: String,
        /// The first day that is kept.
        kept_from: Day,
    },
    /// The log no longer has all events of the days; see [`Engine::keep_log`](crate::Engine::keep_log).
    #[error(
        "of view '{view}', days before {from} cannot be computed again: their events were removed from the log; name days from there on, or all"
    )]
    LogShortened {
        /// The view.
        view: String,
        /// The first day that can be computed.
        from: Day,
    },
    /// A worker could not do its share.
    #[error("worker {worker}: {message}")]
    Failed {
        /// The worker.
        worker: usize,
        /// What went wrong, as the worker reported it.
        message: String,
    },
}

/// The audits and rebuilds of one view on one worker, one after the other.
pub(crate) struct Maintenance<K: Key, A: Aggregate> {
    state: SharedSpeed<K, A>,
    archive: Archive,
    log: Arc<dyn LogRows<K, A>>,
    worker: usize,
    coverage: Coverage,
    waiting: VecDeque<(u64, Task)>,
    running: Option<Running<K, A>>,
    /// The first period that is computed here.
    from: Day,
    /// Created with the first task.
    lane: Option<Lane>,
}

struct Running<K: Key, A: Aggregate> {
    id: u64,
    task: Task,
    /// The days that are left to compute.
    rest: Option<DayRange>,
    /// Rollups of what comes before are still to be audited.
    has_older: bool,
    done: Maintained,
    job: Option<Job<K, A>>,
}

enum Job<K: Key, A: Aggregate> {
    Audit(mpsc::Receiver<Result<Audited, ArchiveError>>),
    Rebuild(mpsc::Receiver<Result<Rebuilt<K, A>, ArchiveError>>),
}

impl<K: Key, A: Aggregate> Maintenance<K, A> {
    pub(crate) fn new(
        state: SharedSpeed<K, A>,
        archive: Archive,
        log: Arc<dyn LogRows<K, A>>,
        worker: usize,
        peers: usize,
    ) -> Self {
        let coverage = Coverage::of_owner(worker, peers);
        let (waiting, running, from, lane) = (VecDeque::new(), None, Day::MIN, None);
        Maintenance { state, archive, log, worker, coverage, waiting, running, from, lane }
    }

    pub(crate) fn push(&mut self, id: u64, task: Task) {
        self.waiting.push_back((id, task));
    }

    /// From now on, reads nothing from before this UTC day in the log. Returns the first period that can be computed
    /// without it, and whether no running task may read more.
    pub(crate) fn leave_log(&mut self, log_from: Day) -> (Day, bool) {
        if let Some(store) = self.archive.store() {
            let computed = store.computed_of(self.state.borrow().view.name(), log_from);
            self.from = self.from.max(computed);
        }
        (self.from, self.running.as_ref().is_none_or(|running| running.job.is_none()))
    }

    /// Goes on as far as possible. Returns a task that has ended.
    pub(crate) fn step(&mut self) -> Option<(u64, Result<Maintained, String>)> {
        let mut running = match self.running.take() {
            Some(running) => running,
            None => {
                let (id, task) = self.waiting.pop_front()?;
                // What is sealed from now on is not included.
                let sealed = self.state.borrow().sealed_through().map_or(Day::MIN, Day::next);
                let rest = DayRange::new(task.days.lower, task.days.upper.min(sealed));
                let (rest, has_older) = (Some(rest), task.is_all);
                Running { id, task, rest, has_older, done: Maintained::default(), job: None }
            }
        };
        match self.advance(&mut running) {
            Ok(false) => {
                self.running = Some(running);
                None
            }
            Ok(true) => Some((running.id, Ok(running.done))),
            Err(error) => {
                let mut state = self.state.borrow_mut();
                state.auditing = false;
                state.replace(Vec::new());
                drop(state);
                Some((running.id, Err(crate::engine::error::in_full(&error))))
            }
        }
    }

    /// Returns whether the task has ended.
    fn advance(&mut self, running: &mut Running<K, A>) -> Result<bool, ArchiveError> {
        if let Some(job) = &running.job {
            let done = match job {
                Job::Audit(receiver) => received(receiver)?.map(|mut audited| {
                    let lost = self.state.borrow_mut().lose_rollups(audited.rollups);
                    audited.findings.extend(lost);
                    Maintained {
                        revisions: audited.days,
                        rows: audited.rows,
                        events: audited.events,
                        findings: audited.findings,
                    }
                }),
                Job::Rebuild(receiver) => received(receiver)?.map(|rebuilt| {
                    let (revisions, events) = (rebuilt.parts.len() as u64, rebuilt.events);
                    self.state.borrow_mut().replace(rebuilt.parts);
                    Maintained { revisions, events, ..Maintained::default() }
                }),
            };
            let Some(done) = done else { return Ok(false) };
            self.state.borrow_mut().auditing = false;
            running.done.add(done);
            running.job = None;
            if running.task.kind == TaskKind::Rebuild && running.rest.is_some() {
                // What has closed meanwhile is frozen first, in the next step of the worker.
                return Ok(false);
            }
        }
        let Some(rest) = running.rest else { return Ok(true) };
        let state = self.state.borrow();
        // What is removed meanwhile is not included.
        let rest = DayRange::new(rest.lower.max(state.kept_from()).max(self.from), rest.upper);
        if rest.is_empty() {
            return Ok(true);
        }
        if running.task.kind == TaskKind::Rebuild && state.seal_busy {
            return Ok(false);
        }
        // All workers have prepared this, so their logs are durable up to there.
        let Some(through) = state.last_sealed() else { return Ok(true) };
        let (mut sealed, next) = state.sealed_days(rest, DAYS_AT_ONCE);
        let days = DayRange::new(rest.lower, next.unwrap_or(rest.upper));
        // Answers do not claim days of which late events were dropped; the log has these.
        let claimed = state.not_dropped_from().unwrap_or(Day::MIN).clamp(days.lower, days.upper);
        sealed.retain(|(day, _)| claimed <= *day);
        drop(state);
        running.rest = next.map(|next| DayRange::new(next, rest.upper));
        let from = if std::mem::take(&mut running.has_older) { Day::MIN } else { days.lower };
        let rollups = DayRange::new(from, days.upper);
        let days = DayRange::new(claimed, days.upper);
        running.job = Some(self.start(running.task, (days, rollups), through, sealed));
        Ok(false)
    }

    fn start(
        &mut self,
        task: Task,
        (days, rollups): (DayRange, DayRange),
        through: Closing,
        sealed: Vec<(Day, Closing)>,
    ) -> Job<K, A> {
        let view = self.state.borrow().view.name().to_owned();
        let (log, share, coverage) = (Arc::clone(&self.log), task.share, self.coverage);
        let lane = self.lane.get_or_insert_with(|| self.archive.lane(&format!("maintain:{view}")));
        let wake = std::thread::current();
        match task.kind {
            TaskKind::Audit => {
                let job = AuditJob { view, coverage, through, days };
                let mut state = self.state.borrow_mut();
                state.auditing = true;
                let rollups = state.rollup_checks(rollups);
                drop(state);
                let (sender, receiver) = mpsc::channel();
                lane.spawn(move |place| {
                    // Nobody waits any more if the engine is stopping.
                    let _ = sender.send(job.run(place, &*log, share, &rollups));
                    wake.unpark();
                });
                Job::Audit(receiver)
            }
            TaskKind::Rebuild => {
                let worker = self.worker;
                let job = RebuildJob { view, worker, coverage, through, days, sealed };
                self.state.borrow_mut().rebuilding = true;
                let (sender, receiver) = mpsc::channel();
                lane.spawn(move |place| {
                    let _ = sender.send(job.run(place, &*log, share));
                    wake.unpark();
                });
                Job::Rebuild(receiver)
            }
        }
    }
}

impl<K: Key, A: Aggregate> Drop for Maintenance<K, A> {
    /// The lane is awaited, but the job stops before it has read the whole log.
    fn drop(&mut self) {
        self.log.stop();
    }
}

/// The result of a job, if it is done.
fn received<T>(
    receiver: &mpsc::Receiver<Result<T, ArchiveError>>,
) -> Result<Option<T>, ArchiveError> {
    match receiver.try_recv() {
        Ok(result) => result.map(Some),
        Err(mpsc::TryRecvError::Empty) => Ok(None),
        Err(mpsc::TryRecvError::Disconnected) => Err(ArchiveError::Panicked),
    }
}
