//! The graph that the benchmarks run: the whole of Dayfold, queries included, over the workload.

use dayfold::aggregate::{Count, Max, Sum};
use dayfold::serve::{Answer, Query};
use dayfold::time::EventTime;
use dayfold::view::View;
use dayfold::{Archive, FoldDays, Moment};
use timely::dataflow::operators::{Inspect, Probe};
use timely::dataflow::{InputHandle, ProbeHandle};
use timely::worker::Worker;

use crate::workload::{self, DISORDER_MS, Event, Groups, State};

pub(crate) type Reply = Answer<u64, State>;

/// The graph of one worker, and where it stands.
pub(crate) struct Graph {
    events: InputHandle<Moment, timely::container::CapacityContainerBuilder<Vec<Event>>>,
    queries: InputHandle<Moment, timely::container::CapacityContainerBuilder<Vec<Query<u64>>>>,
    probe: ProbeHandle<Moment>,
    answer: std::rc::Rc<std::cell::RefCell<Option<Reply>>>,
    view: View,
    watermark: EventTime,
    now: Moment,
}

impl Graph {
    /// Builds it, with a view by day and key.
    pub(crate) fn build(worker: &mut Worker, archive: &Archive) -> Graph {
        let view = View::new("bench").unwrap();
        let (mut events, mut queries) = (InputHandle::new(), InputHandle::new());
        let probe = ProbeHandle::new();
        let answer = std::rc::Rc::new(std::cell::RefCell::new(None));
        worker.dataflow(|scope| {
            let stats = |&(time, key, value): &Event| {
                Some((time, key, (Count::one(), Sum::from(value), Max(value))))
            };
            let events = events.to_stream(scope);
            let mut folded = events.fold_days(view.clone(), archive, stats).unwrap();
            folded.progress().probe_with(&probe);
            let answered = std::rc::Rc::clone(&answer);
            let answers = folded.serve(queries.to_stream(scope));
            answers
                .inspect(move |reply: &Reply| *answered.borrow_mut() = Some(reply.clone()))
                .probe_with(&probe);
        });
        let now = Moment::new(EventTime::MIN, 1);
        events.advance_to(now);
        queries.advance_to(now);
        Graph { events, queries, probe, answer, view, watermark: EventTime::MIN, now }
    }

    /// Enters a tick, and waits until it is visible.
    pub(crate) fn enter(&mut self, worker: &mut Worker, mut tick: Vec<Event>) {
        // The next floor: all days close that these events show to be over, grace included.
        let newest = tick.last().map_or(self.watermark, |(time, ..)| time - DISORDER_MS);
        self.watermark = self.watermark.max(newest);
        self.events.send_batch(&mut tick);
        self.advance(worker);
    }

    /// Asks a query, if this is the first worker, and waits for the answer.
    pub(crate) fn ask(&mut self, worker: &mut Worker, query: Query<u64>) -> Option<Reply> {
        if worker.index() == 0 {
            self.queries.send(query);
        }
        self.advance(worker);
        self.answer.take()
    }

    /// Ends a tick on this worker, and waits until it is visible.
    pub(crate) fn advance(&mut self, worker: &mut Worker) {
        let floor = self.now.floor.max(self.view.floor_at(self.watermark));
        self.now = Moment::new(floor, self.now.tick + 1);
        self.events.advance_to(self.now);
        self.queries.advance_to(self.now);
        worker.step_or_park_while(None, || self.probe.less_than(&self.now));
    }
}

/// Ends the program unless the answer holds exactly the rows of the reference.
pub(crate) fn compare(answer: Reply, reference: &Groups) {
    let wrong = workload::wrong_rows(&answer.items, reference, 1);
    if wrong > 0 {
        eprintln!("{wrong} rows of {} differ from the hash map's", reference.len());
        std::process::exit(1);
    }
    assert!(answer.certificate.sealed_through.is_some() && answer.certificate.late == 0);
}

/// What each of some workers enters of every tick.
pub(crate) fn share(ticks: &[Vec<Event>], worker: usize, workers: usize) -> Vec<Vec<Event>> {
    let part = |tick: &Vec<Event>| {
        let bound = |at: usize| tick.len() * at / workers;
        tick[bound(worker)..bound(worker + 1)].to_vec()
    };
    ticks.iter().map(part).collect()
}
