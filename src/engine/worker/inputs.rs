//! What a worker feeds: each view has a dataflow of its own, so that views can come and go.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use timely::container::CapacityContainerBuilder;
use timely::dataflow::operators::Input;
use timely::dataflow::{InputHandle, ProbeHandle};
use timely::worker::Worker;

use super::super::ask::asking::WorkerView;
use super::super::ingest::batch::{Batch, Replayed};
use super::super::view::EngineView;
use crate::archive::Archive;
use crate::log::{EventCodec, LogHandle};
use crate::moment::Moment;
use crate::speed::Counts;
use crate::time::EventTime;

type Handle<T> = InputHandle<Moment, CapacityContainerBuilder<Vec<T>>>;

/// The dataflow of a view on one worker, as the worker feeds it.
pub(super) struct Fed<E: 'static> {
    /// Its number on this worker.
    pub(super) dataflow: usize,
    input: Option<(Handle<Batch<E>>, Handle<Counts>)>,
    probe: ProbeHandle<Moment>,
}

impl<E: Send + Sync + 'static> Fed<E> {
    /// Builds the dataflow of a view. Every worker must do so in the same order.
    pub(super) fn build(
        worker: &mut Worker,
        view: &Arc<dyn EngineView<E>>,
        archive: &Archive,
        log: Option<&(LogHandle, EventCodec<E>)>,
    ) -> (Fed<E>, Box<dyn WorkerView>) {
        let (dataflow, probe) = (worker.next_dataflow_index(), ProbeHandle::new());
        let name = format!("View {}", view.view().name());
        let (input, built) = worker.dataflow_named(&name, |scope| {
            let (events, event_stream) = scope.new_input::<Vec<Batch<E>>>();
            let (counts, count_stream) = scope.new_input::<Vec<Counts>>();
            let built = view.build(scope, event_stream, count_stream, archive, log, &probe);
            ((events, counts), built)
        });
        (Fed { dataflow, input: Some(input), probe }, built)
    }

    pub(super) fn send(&mut self, batch: Batch<E>) {
        self.input.iter_mut().for_each(|(events, _)| events.send(batch.clone()));
    }

    pub(super) fn advance_to(&mut self, moment: Moment) {
        if let Some((events, counts)) = &mut self.input {
            events.advance_to(moment);
            counts.advance_to(moment);
        }
    }

    /// Nothing more comes.
    pub(super) fn close(&mut self) {
        self.input = None;
    }

    /// Whether something of this moment or before may still be on its way.
    pub(super) fn less_equal(&self, moment: &Moment) -> bool {
        self.probe.less_equal(moment)
    }

    /// The least moment that can still arrive.
    pub(super) fn frontier(&self) -> Option<Moment> {
        self.probe.with_frontier(|frontier| frontier.first().copied())
    }
}

/// The dataflows of all views that a worker feeds with what enters.
pub(super) struct Inputs<E: 'static> {
    /// In the order of the worker's views. Those of views that are being added come last.
    fed: Vec<Fed<E>>,
    /// The number of views that other workers feed as well, and that are asked.
    ready: usize,
    /// Whether more may come.
    is_open: bool,
    /// What entered since the log was read for the last time for views that are being added, with its floors.
    held: Option<Held<E>>,
    /// The number of events that are held, or that entered since the log was last read for such views, or since they
    /// joined.
    entered: usize,
}

/// What is held for views that are being added.
struct Held<E> {
    batches: VecDeque<Batch<E>>,
    /// The grace of each of the views.
    graces: Arc<BTreeMap<String, i64>>,
}

impl<E: Send + Sync + 'static> Inputs<E> {
    pub(super) fn new(fed: Vec<Fed<E>>) -> Inputs<E> {
        Inputs { ready: fed.len(), fed, is_open: true, held: None, entered: 0 }
    }

    pub(super) fn is_open(&self) -> bool {
        self.is_open
    }

    /// Feeds events to all views. Those that have just arrived entered under this floor.
    pub(super) fn send(&mut self, batch: &Batch<E>, floor: EventTime) {
        if !self.is_open {
            return;
        }
        self.fed.iter_mut().for_each(|fed| fed.send(batch.clone()));
        self.entered += batch.events.len();
        if let Some(held) = &mut self.held {
            let replayed = Some(Replayed { floor, graces: Arc::clone(&held.graces) });
            held.batches.push_back(Batch { events: Arc::clone(&batch.events), replayed });
        }
    }

    pub(super) fn count(&mut self, counts: Counts) {
        for fed in &mut self.fed {
            fed.input.iter_mut().for_each(|(_, input)| input.send(counts));
        }
    }

    pub(super) fn advance_to(&mut self, moment: Moment) {
        self.fed.iter_mut().for_each(|fed| fed.advance_to(moment));
    }

    pub(super) fn close(&mut self) {
        self.is_open = false;
        self.fed.iter_mut().for_each(Fed::close);
    }

    fn asked(&self) -> impl Iterator<Item = &Fed<E>> {
        self.fed[..self.ready].iter()
    }

    /// Whether something of this moment or before may still be on its way into a view that is asked.
    pub(super) fn less_equal(&self, moment: &Moment) -> bool {
        self.asked().any(|fed| fed.less_equal(moment))
    }

    /// The least moment that can still arrive in a view that is asked.
    pub(super) fn frontier(&self) -> Option<Moment> {
        self.asked().filter_map(Fed::frontier).min()
    }

    /// Begins to hold what enters, for views with these graces in milliseconds.
    pub(super) fn hold(&mut self, graces: impl Iterator<Item = (String, i64)>) {
        let graces = Arc::new(graces.collect());
        (self.held, self.entered) = (Some(Held { batches: VecDeque::new(), graces }), 0);
    }

    /// The number of events that are held, or that entered since [`Inputs::begin_count`].
    pub(super) fn entered(&self) -> usize {
        self.entered
    }

    pub(super) fn begin_count(&mut self) {
        self.entered = 0;
    }

    /// Whether much is held, or has entered views that not all workers feed yet.
    pub(super) fn holds_more_than(&self, events: usize) -> bool {
        (self.held.is_some() || self.ready < self.fed.len()) && self.entered > events
    }

    /// The next batch of those that are held.
    pub(super) fn take_held(&mut self) -> Option<Batch<E>> {
        let batch = self.held.as_mut()?.batches.pop_front()?;
        self.entered -= batch.events.len();
        Some(batch)
    }

    /// Holds nothing more.
    pub(super) fn release(&mut self) {
        (self.held, self.entered) = (None, 0);
    }

    /// Feeds another view from now on, which is not asked yet.
    pub(super) fn join(&mut self, mut fed: Fed<E>) {
        if !self.is_open {
            fed.close();
        }
        self.fed.push(fed);
    }

    /// The views that are fed and not asked yet.
    pub(super) fn joined(&mut self) -> &mut [Fed<E>] {
        &mut self.fed[self.ready..]
    }

    /// Those views are asked from now on.
    pub(super) fn make_ready(&mut self) {
        self.ready = self.fed.len();
    }

    /// Ends those views.
    pub(super) fn end_joined(&mut self) -> impl Iterator<Item = Fed<E>> {
        self.fed.drain(self.ready..)
    }

    /// Feeds the view at this place no more.
    pub(super) fn remove(&mut self, at: usize) -> Fed<E> {
        self.ready -= 1;
        let mut fed = self.fed.remove(at);
        fed.close();
        fed
    }
}
