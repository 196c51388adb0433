//! The operator that maintains the speed view and hands closed days to the seal.

use std::sync::mpsc;

use serde::{Deserialize, Serialize};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::generic::{Operator, OutputBuilder};
use timely::dataflow::operators::vec::Broadcast;
use timely::progress::frontier::MutableAntichain;
use timely::scheduling::Activator;

use super::combine::Counts;
use super::delta::Row;
use super::exchange::to_owner;
use super::state::Shared;
use crate::aggregate::Aggregate;
use crate::archive::{Archive, ArchiveError, LivePart, SealJob};
use crate::key::Key;
use crate::moment::Moment;
use crate::time::Day;

/// What a worker tells all others: its part of every closing through `through` is prepared.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    worker: u64,
    through: Day,
    /// The highest closing that it had events of.
    highest: Option<Day>,
}

/// Maintains the speed view on this worker, and seals closed days into `archive`.
///
/// Returns a stream without records, whose frontier says up to which moment the state is complete.
pub(crate) fn speed_view<'scope, K: Key, A: Aggregate>(
    rows: StreamVec<'scope, Moment, Row<K, A>>,
    counts: StreamVec<'scope, Moment, Counts>,
    state: &Shared<K, A>,
    archive: &Archive,
) -> StreamVec<'scope, Moment, ()> {
    let scope = rows.scope();
    let worker = scope.index();
    let name = state.borrow().view.name().to_owned();
    let mut builder = OperatorBuilder::new(format!("Speed view {name}"), scope);
    let mut rows = builder.new_input(rows, to_owner());
    let mut counts = builder.new_input(counts.broadcast(), Pipeline);
    let (_, progress) = builder.new_output();
    let (reports, report_stream) = builder.new_output();
    let mut reports = OutputBuilder::<_, CapacityContainerBuilder<Vec<Report>>>::from(reports);

    let address = builder.operator_info().address;
    let activator = scope.activator_for(std::rc::Rc::clone(&address));
    state.borrow_mut().sealing = Some(activator.clone());
    let wake = scope.worker().sync_activator_for(address.to_vec());
    let mut seal = Seal::new(worker, std::rc::Rc::clone(state), archive.clone(), move || {
        // The worker may be gone already, and then nobody waits.
        let _ = wake.activate();
    });
    let shared = std::rc::Rc::clone(state);
    builder.build(move |mut capabilities| {
        // Reports carry no time: one capability is held until there is nothing left to seal.
        let mut reporting = capabilities.pop();
        capabilities.clear();
        move |frontiers| {
            rows.for_each(|capability, data| {
                if let Some(moment) = capability.least() {
                    shared.borrow_mut().push(*moment, std::mem::take(data));
                }
            });
            counts.for_each(|capability, data| {
                if let Some(moment) = capability.least() {
                    data.drain(..).for_each(|c| shared.borrow_mut().push_counts(*moment, c));
                }
            });
            let frontier = least(&frontiers[0]);
            shared.borrow_mut().fold(frontier);
            let mut reports = reports.activate();
            if let Some(capability) = &reporting
                && let Some(report) = seal.step(frontier)
            {
                reports.session(capability).give(report);
            }
            if reporting.is_some() && seal.is_done(frontier) {
                shared.borrow_mut().finished = true;
                reporting = None;
            }
        }
    });
    collect_reports(report_stream.broadcast(), state, activator);
    progress
}

/// Records what all workers have prepared, and wakes the speed view to go on from there.
fn collect_reports<K: Key, A: Aggregate>(
    reports: StreamVec<'_, Moment, Report>,
    state: &Shared<K, A>,
    speed_view: Activator,
) {
    let state = std::rc::Rc::clone(state);
    reports.sink(Pipeline, "Prepared", move |(input, _frontier)| {
        input.for_each(|_, data| {
            for report in data.drain(..) {
                let slot = &mut state.borrow_mut().prepared[report.worker as usize];
                slot.0 = slot.0.max(Some(report.through));
                slot.1 = slot.1.max(report.highest);
            }
            speed_view.activate();
        });
    });
}

fn least(frontier: &MutableAntichain<Moment>) -> Option<Moment> {
    frontier.frontier().first().copied()
}

/// What the archive's thread sends back.
enum Done<K: Key, A: Aggregate> {
    Written(Result<Vec<LivePart<K, A>>, ArchiveError>),
    Committed(Result<(), ArchiveError>),
}

enum Stage<K: Key, A: Aggregate> {
    /// Nothing is being sealed.
    Idle,
    /// The archive's thread writes this worker's part of the closings through this one.
    Writing(Day),
    /// Written; live as soon as all workers have written theirs.
    Prepared(Day, Vec<LivePart<K, A>>),
    /// All have; the manifest is being written. The closing is the last one that becomes live.
    Committing(Day, Vec<LivePart<K, A>>),
}

/// Takes a worker's part of the closings of a view through the stages of a seal, one step at a time.
struct Seal<K: Key, A: Aggregate> {
    worker: usize,
    state: Shared<K, A>,
    archive: Archive,
    stage: Stage<K, A>,
    /// The last closing that was reported as prepared.
    reported: Option<Day>,
    highest: Option<Day>,
    sender: mpsc::Sender<Done<K, A>>,
    receiver: mpsc::Receiver<Done<K, A>>,
    wake: std::sync::Arc<dyn Fn() + Send + Sync>,
}

impl<K: Key, A: Aggregate> Seal<K, A> {
    fn new(
        worker: usize,
        state: Shared<K, A>,
        archive: Archive,
        wake: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        let (sender, receiver) = mpsc::channel();
        let wake = std::sync::Arc::new(wake);
        let reported = state.borrow().sealed_through();
        let stage = Stage::Idle;
        Seal { worker, state, archive, stage, reported, highest: None, sender, receiver, wake }
    }

    /// Goes on as far as possible; returns what to tell the others.
    fn step(&mut self, frontier: Option<Moment>) -> Option<Report> {
        if self.state.borrow().abandoned {
            return None;
        }
        let mut report = None;
        loop {
            match std::mem::replace(&mut self.stage, Stage::Idle) {
                Stage::Idle => match self.begin(frontier) {
                    Begun::Nothing => return report,
                    Begun::Empty(through) => report = Some(self.report(through)),
                    Begun::Writing(through) => self.stage = Stage::Writing(through),
                },
                Stage::Writing(through) => match self.receiver.try_recv() {
                    Ok(Done::Written(Ok(parts))) => {
                        report = Some(self.report(through));
                        self.stage = Stage::Prepared(through, parts);
                    }
                    Ok(Done::Written(Err(error))) => return self.fail(error),
                    _ => return self.wait(Stage::Writing(through), report),
                },
                Stage::Prepared(through, parts) => match self.live(through) {
                    Some(through) => {
                        self.commit(through);
                        self.stage = Stage::Committing(through, parts);
                    }
                    None => return self.wait(Stage::Prepared(through, parts), report),
                },
                Stage::Committing(through, parts) => match self.receiver.try_recv() {
                    Ok(Done::Committed(Ok(()))) => self.state.borrow_mut().swap(parts, through),
                    Ok(Done::Committed(Err(error))) => return self.fail(error),
                    _ => return self.wait(Stage::Committing(through, parts), report),
                },
            }
        }
    }

    fn wait(&mut self, stage: Stage<K, A>, report: Option<Report>) -> Option<Report> {
        self.stage = stage;
        report
    }

    fn fail(&mut self, error: ArchiveError) -> Option<Report> {
        let mut state = self.state.borrow_mut();
        state.fail(error);
        state.abandoned = true;
        None
    }

    /// Freezes what has closed since the last time and sends it to the archive's thread.
    fn begin(&mut self, frontier: Option<Moment>) -> Begun {
        let mut state = self.state.borrow_mut();
        let through = match state.settled_floor(frontier) {
            Some(floor) => state.view.first_open(floor).previous(),
            None => Day::MAX,
        };
        if Some(through) <= self.reported || through == Day::MIN {
            return Begun::Nothing;
        }
        let frozen = state.freeze(through);
        let Some(((_, highest), _)) = frozen.last() else { return Begun::Empty(through) };
        self.highest = self.highest.max(Some(*highest));
        let job = SealJob {
            view: state.view.name().to_owned(),
            worker: self.worker,
            peers: state.prepared.len(),
            through,
            live: frozen.iter().map(|((day, _), _)| (*day, state.live(*day))).collect(),
            frozen,
        };
        let (sender, wake) = (self.sender.clone(), std::sync::Arc::clone(&self.wake));
        self.archive.spawn(move |place| {
            // The operator may be gone; then nothing of this becomes live.
            let _ = sender.send(Done::Written(job.write(place)));
            wake();
        });
        Begun::Writing(through)
    }

    fn report(&mut self, through: Day) -> Report {
        self.reported = Some(through);
        Report { worker: self.worker as u64, through, highest: self.highest }
    }

    /// The closing to commit, if all workers have prepared what this one has.
    fn live(&self, through: Day) -> Option<Day> {
        let state = self.state.borrow();
        let all = state.prepared.iter().map(|(through, _)| *through).min().flatten()?;
        if all < through {
            return None;
        }
        if through < Day::MAX {
            return Some(through);
        }
        // The events have ended: what is live goes to the last closing that anybody had events of.
        state.prepared.iter().filter_map(|(_, highest)| *highest).max()
    }

    fn commit(&mut self, through: Day) {
        let (sender, wake) = (self.sender.clone(), std::sync::Arc::clone(&self.wake));
        let view = self.state.borrow().view.name().to_owned();
        self.archive.spawn_commit(&view, through, move |result| {
            let _ = sender.send(Done::Committed(result));
            wake();
        });
    }

    /// Whether nothing is left to seal, ever.
    fn is_done(&self, frontier: Option<Moment>) -> bool {
        let state = self.state.borrow();
        frontier.is_none()
            && (state.abandoned
                || (matches!(self.stage, Stage::Idle) && self.reported == Some(Day::MAX)))
    }
}

enum Begun {
    /// No closing is complete that was not before.
    Nothing,
    /// Closings are complete, and this worker has no events of them.
    Empty(Day),
    /// This worker's part is being written.
    Writing(Day),
}
