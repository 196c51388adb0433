//! The stages by which a worker's share of a closing becomes live.
//!
//! *Idle* → the frontier leaves days → *writing*, on a lane of the archive → *prepared*, and reported to all workers →
//! all have prepared → *committing* → *idle*, with the files in place of the tables. A worker that has no rows of a
//! closing reports it as prepared at once. The closings of a view become live in order. Closings that have gathered
//! meanwhile are sealed together.
//!
//! Days close when the floor leaves them. Amendments can be sealed as soon as the floor has left the one under which
//! they came. A worker that is near a limit of its view does so, and the others follow its report.
//!
//! If there is a log, a worker has prepared a closing only when its log is durable up to there, even if it has no rows
//! of the closing: events that it entered are in files that other workers write. So the log always holds what a live
//! revision holds, and these events are never read from their source again.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, TryRecvError};

use timely::scheduling::SyncActivator;

use super::report::{EVERYTHING, Leaving, SealReport};
use super::state::{Prepared, SharedSpeed};
use crate::aggregate::Aggregate;
use crate::archive::{
    self, Archive, ArchiveError, Lane, LivePart, Place, Removal, Rollup, SealJob,
};
use crate::closing::Closing;
use crate::key::Key;
use crate::log::LogHandle;
use crate::moment::Moment;
use crate::store::Share;
use crate::time::Day;

type Written<K, A> = Result<Vec<LivePart<K, A>>, ArchiveError>;
type RolledUp<K, A> = Result<Rollup<K, A>, ArchiveError>;

enum Stage<K: Key, A: Aggregate> {
    /// Nothing is being sealed.
    Idle,
    /// There is nothing to write, but the log is not durable yet.
    Syncing(Closing, mpsc::Receiver<Result<(), ArchiveError>>),
    /// The archive writes this worker's share of the closings through this one.
    Writing(Closing, mpsc::Receiver<Written<K, A>>),
    /// Written; live as soon as all workers have written theirs.
    Prepared(Closing, Vec<LivePart<K, A>>),
    /// All workers have prepared, and the manifest is being written. The closing is the last one that becomes live.
    Committing(Closing, Vec<LivePart<K, A>>, mpsc::Receiver<Result<(), ArchiveError>>),
}

/// Takes a worker's share of the closings of a view through the stages of a seal.
pub(super) struct Seal<K: Key, A: Aggregate> {
    worker: usize,
    state: SharedSpeed<K, A>,
    archive: Archive,
    log: Option<LogHandle>,
    lane: Lane,
    stage: Stage<K, A>,
    /// The lane that makes rollups, if any are kept, and the rollup that is being made.
    rollups: Option<Lane>,
    rollup: Option<mpsc::Receiver<RolledUp<K, A>>>,
    /// What was removed from this process's part, and the job that continues it.
    removed: Leaving,
    removal: Option<mpsc::Receiver<Result<(), ArchiveError>>>,
    /// The last closing that was reported as prepared.
    reported: Option<Closing>,
    /// The last closing of which this worker had events.
    highest: Option<Closing>,
    /// Set when this is dropped, so that a long job can stop.
    stop: Arc<AtomicBool>,
    wake: SyncActivator,
}

impl<K: Key, A: Aggregate> Seal<K, A> {
    pub(super) fn new(
        worker: usize,
        state: &SharedSpeed<K, A>,
        archive: &Archive,
        log: Option<LogHandle>,
        wake: SyncActivator,
    ) -> Self {
        let (lane, rollups, reported) = {
            let state = state.borrow();
            let name = state.view.name();
            let rollups =
                (!state.view.rollups().is_empty()).then(|| archive.lane(&format!("rollup:{name}")));
            (archive.lane(name), rollups, state.sealed_through)
        };
        Seal {
            worker,
            state: Rc::clone(state),
            archive: archive.clone(),
            log,
            lane,
            stage: Stage::Idle,
            rollups,
            rollup: None,
            removed: Leaving::default(),
            removal: None,
            reported,
            highest: None,
            stop: Arc::default(),
            wake,
        }
    }

    /// Goes on as far as possible; returns the report for the other workers. After an error the view stops.
    pub(super) fn step(&mut self, frontier: Option<Moment>) -> Option<SealReport> {
        if self.state.borrow().abandoned {
            return None;
        }
        let goes_on = self.step_leaving();
        let report = self.step_seal(frontier);
        let has_expired = self.step_rollups();
        match (report, self.reported) {
            (None, Some(through)) if goes_on || has_expired => {
                Some(self.report(through, Vec::new()))
            }
            (report, _) => report,
        }
    }

    /// Continues with the removal of what the view no longer keeps. Returns whether there is something to report.
    fn step_leaving(&mut self) -> bool {
        let mut state = self.state.borrow_mut();
        let goes_on = state.look_what_goes();
        if matches!(self.stage, Stage::Idle) {
            state.take_off();
        }
        match self.removal.as_ref().map(mpsc::Receiver::try_recv) {
            Some(Err(TryRecvError::Empty)) => return goes_on,
            Some(Ok(Err(error))) => state.fail(error),
            Some(Err(TryRecvError::Disconnected)) => state.fail(ArchiveError::Panicked),
            Some(Ok(Ok(()))) | None => {}
        }
        self.removal = None;
        // One worker of each process removes; any of them can.
        let (all, before) = (state.all_leaving(), self.removed);
        if all != before && self.archive.removes(self.worker, state.prepared.len()) {
            self.removed = all;
            let revisions = state.view.retention().revisions;
            let calendar = state.view.calendar();
            let limit = |closing: Closing| {
                Some((closing, revisions?.limit(calendar, closing.last_closed())))
            };
            let removal = Removal {
                before: all.gone.filter(|_| all.gone > before.gone),
                superseded: all
                    .superseded
                    .filter(|_| all.superseded > before.superseded)
                    .and_then(limit),
                rollups: std::array::from_fn(|at| {
                    all.rollups[at].filter(|_| all.rollups[at] > before.rollups[at])
                }),
            };
            let view = state.view.name().to_owned();
            drop(state);
            self.removal = Some(self.spawn(move |place| removal.run(place, &view)));
        }
        goes_on
    }

    /// Takes in a finished rollup, and begins the next one. Returns whether rollups are kept no longer.
    fn step_rollups(&mut self) -> bool {
        let Some(lane) = &self.rollups else { return false };
        let mut state = self.state.borrow_mut();
        match self.rollup.as_ref().map(mpsc::Receiver::try_recv) {
            Some(Err(TryRecvError::Empty)) => return false,
            Some(Ok(Ok(rollup))) => {
                state.sealed.rollups().made(rollup);
                // Periods may have waited for it, to be removed.
                let _ = self.wake.activate();
            }
            Some(Ok(Err(ArchiveError::Stopped))) | None => {}
            // Nothing is lost: all of it is in sealed files.
            Some(Ok(Err(error))) => {
                let name = state.view.name().to_owned();
                state.sealed.rollups().failed(&name, &error);
            }
            Some(Err(TryRecvError::Disconnected)) => state.fail(ArchiveError::Panicked),
        }
        self.rollup = None;
        let has_expired = state.expire_rollups();
        let Some(through) = state.sealed_through.map(Closing::last_closed) else {
            return has_expired;
        };
        let first_open = state.view.calendar().following(through);
        let Some(job) = state.sealed.next_rollup(self.worker, first_open, &self.stop) else {
            return has_expired;
        };
        let (sender, receiver) = mpsc::channel();
        let wake = self.wake.clone();
        lane.spawn(move |place| {
            // As in `spawn`.
            let _ = sender.send(job.write(place));
            let _ = wake.activate();
        });
        self.rollup = Some(receiver);
        has_expired
    }

    fn step_seal(&mut self, frontier: Option<Moment>) -> Option<SealReport> {
        self.note_closed(frontier);
        let mut report = None;
        loop {
            let stage = std::mem::replace(&mut self.stage, Stage::Idle);
            match self.next(stage, &mut report) {
                Ok(Next::Going(stage)) => self.stage = stage,
                Ok(Next::Waiting(stage)) => {
                    self.state.borrow_mut().seal_busy = !matches!(stage, Stage::Idle);
                    self.stage = stage;
                    return report;
                }
                Err(error) => {
                    self.state.borrow_mut().fail(error);
                    return report;
                }
            }
        }
    }

    /// Days may close while others are being sealed.
    fn note_closed(&mut self, frontier: Option<Moment>) {
        let mut state = self.state.borrow_mut();
        let floor = state.settled_floor(frontier);
        state.settle(floor);
        if floor.is_some() {
            let through = state.last_closed();
            if through > Day::MIN {
                state.note_closed(Closing::of(through));
            }
        }
    }

    fn next(
        &mut self,
        stage: Stage<K, A>,
        report: &mut Option<SealReport>,
    ) -> Result<Next<K, A>, ArchiveError> {
        Ok(match stage {
            Stage::Idle => self.begin(report)?,
            Stage::Syncing(through, done) => match done.try_recv() {
                Ok(synced) => {
                    synced?;
                    self.prepare_nothing(through, report)?
                }
                Err(TryRecvError::Empty) => Next::Waiting(Stage::Syncing(through, done)),
                Err(TryRecvError::Disconnected) => return Err(ArchiveError::Panicked),
            },
            Stage::Writing(through, done) => match done.try_recv() {
                Ok(written) => {
                    // What could not be written is not reported; otherwise others would commit the closing without it.
                    let parts = written?;
                    let mut files = BTreeMap::new();
                    parts.iter().for_each(|part| *files.entry(part.closing).or_default() += 1);
                    *report = Some(self.report(through, files.into_iter().collect()));
                    Next::Going(Stage::Prepared(through, parts))
                }
                Err(TryRecvError::Empty) => Next::Waiting(Stage::Writing(through, done)),
                Err(TryRecvError::Disconnected) => return Err(ArchiveError::Panicked),
            },
            Stage::Prepared(through, parts) => match self.all_prepared(through) {
                Some(live) => {
                    let shares = self.shares(live);
                    let state = self.state.borrow();
                    let (view, from) = (state.view.name().to_owned(), state.not_dropped_from());
                    drop(state);
                    let done = self
                        .spawn(move |place| archive::commit(place, &view, (live, &shares), from));
                    Next::Going(Stage::Committing(live, parts, done))
                }
                None => Next::Waiting(Stage::Prepared(through, parts)),
            },
            Stage::Committing(through, parts, done) => match done.try_recv() {
                Ok(committed) => {
                    committed?;
                    let mut state = self.state.borrow_mut();
                    tracing::debug!(view = state.view.name(), %through, files = parts.len(), "sealed");
                    let sealed = state.swap(parts, through);
                    drop(state);
                    // Freeing a million keys takes longer than a tick may.
                    self.lane.spawn(move |_| drop(sealed));
                    Next::Going(Stage::Idle)
                }
                Err(TryRecvError::Empty) => Next::Waiting(Stage::Committing(through, parts, done)),
                Err(TryRecvError::Disconnected) => return Err(ArchiveError::Panicked),
            },
        })
    }

    /// Freezes the tables that have closed since the last time, and has them written.
    fn begin(&mut self, report: &mut Option<SealReport>) -> Result<Next<K, A>, ArchiveError> {
        let mut state = self.state.borrow_mut();
        if state.rebuilding {
            return Ok(Next::Waiting(Stage::Idle));
        }
        let through = state.closed_so_far();
        if Some(through) <= self.reported || through.day == Day::MIN {
            // This worker has nothing of what others still have to seal.
            state.note_sealed();
            return Ok(Next::Waiting(Stage::Idle));
        }
        let forgotten = state.forget_late(through);
        self.highest = self.highest.max(forgotten.map(|closing| self.at_end(closing)));
        let frozen = state.freeze(through);
        let Some(((_, highest), _)) = frozen.last() else {
            drop(state);
            let is_durable = |log: &LogHandle| log.durable() >= log.appended();
            if self.log.as_ref().is_none_or(is_durable) {
                return self.prepare_nothing(through, report);
            }
            let sync = self.sync();
            let done = self.spawn(move |_| sync());
            return Ok(Next::Going(Stage::Syncing(through, done)));
        };
        self.highest = self.highest.max(Some(self.at_end(*highest)));
        let live = frozen.iter().map(|((day, _), _)| Ok((*day, state.live(*day)?)));
        let live = live.collect::<Result<_, ArchiveError>>()?;
        let job = SealJob {
            view: state.view.name().to_owned(),
            worker: self.worker,
            peers: state.prepared.len(),
            through,
            live,
            frozen,
            stop: Arc::clone(&self.stop),
        };
        drop(state);
        let sync = self.sync();
        let done = self.spawn(move |place| {
            let written = job.write(place)?;
            sync()?;
            Ok(written)
        });
        Ok(Next::Going(Stage::Writing(through, done)))
    }

    /// How far everything is closed when the events end and this closing is the last one that has any.
    ///
    /// Late events are sealed without the day for which they waited, so that the next run goes on with it, under a floor that is
    /// a millisecond higher. A program of its own dataflow knows days only: there that day closes.
    fn at_end(&self, last: Closing) -> Closing {
        if self.log.is_some() { last } else { Closing::of(last.day) }
    }

    /// Reports closings of which this worker has no rows.
    fn prepare_nothing(
        &mut self,
        through: Closing,
        report: &mut Option<SealReport>,
    ) -> Result<Next<K, A>, ArchiveError> {
        self.archive.prepare_nothing(self.state.borrow().view.name(), self.worker, through)?;
        // What is closed on all workers is no longer needed.
        let all = self.state.borrow().prepared.iter().map(|worker| worker.through).min().flatten();
        all.into_iter().for_each(|all| drop(self.shares(all)));
        *report = Some(self.report(through, Vec::new()));
        Ok(Next::Going(Stage::Idle))
    }

    /// Waits until the log holds what this worker has entered so far, which is everything of the closings that the
    /// frontier has left. Runs on the lane.
    fn sync(&self) -> impl FnOnce() -> Result<(), ArchiveError> + Send + 'static {
        let log = self.log.as_ref().map(|log| (log.clone(), log.appended()));
        move || match log {
            Some((log, appended)) => Ok(log.sync_through(appended)?),
            None => Ok(()),
        }
    }

    /// Runs a job on this view's lane; when the job is done, it wakes the operator.
    fn spawn<R: Send + 'static>(
        &self,
        job: impl FnOnce(&Place) -> R + Send + 'static,
    ) -> mpsc::Receiver<R> {
        let (sender, receiver) = mpsc::channel();
        let wake = self.wake.clone();
        self.lane.spawn(move |place| {
            // The operator may be gone by now. Then nobody waits, and nothing becomes live.
            let _ = sender.send(job(place));
            let _ = wake.activate();
        });
        receiver
    }

    /// The share of each worker in the closings up to this one.
    fn shares(&self, through: Closing) -> Vec<Share> {
        let workers = &mut self.state.borrow_mut().prepared;
        let share =
            |worker: &mut Prepared| Share { log: worker.log, files: worker.files_through(through) };
        workers.iter_mut().map(share).collect()
    }

    fn report(&mut self, through: Closing, files: Vec<(Closing, u64)>) -> SealReport {
        self.reported = Some(through);
        // By now the log is durable at least as far as this worker has entered what it has prepared.
        let log = self.log.as_ref().and_then(LogHandle::position);
        let (worker, highest) = (self.worker as u64, self.highest);
        SealReport { worker, through, highest, log, files, leaving: self.state.borrow().leaving() }
    }

    /// The closing to commit, if all workers have prepared what this one has.
    fn all_prepared(&self, through: Closing) -> Option<Closing> {
        let state = self.state.borrow();
        let all = state.prepared.iter().map(|worker| worker.through).min().flatten()?;
        if all < through {
            return None;
        }
        if through < EVERYTHING {
            return Some(through);
        }
        // The events have ended: the last live closing is the last one of which any worker had events.
        state.prepared.iter().filter_map(|worker| worker.highest).max()
    }

    /// Whether nothing is left to seal on this worker, ever, nor to prepare on any.
    pub(super) fn is_done(&self, frontier: Option<Moment>) -> bool {
        let state = self.state.borrow();
        let prepared = |worker: &Prepared| worker.through == Some(EVERYTHING);
        let sealed = matches!(self.stage, Stage::Idle)
            && !state.rebuilding
            && state.prepared.iter().all(prepared);
        frontier.is_none() && (state.abandoned || sealed)
    }
}

impl<K: Key, A: Aggregate> Drop for Seal<K, A> {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

enum Next<K: Key, A: Aggregate> {
    /// There may be more to do at once.
    Going(Stage<K, A>),
    /// Something else has to happen first.
    Waiting(Stage<K, A>),
}
