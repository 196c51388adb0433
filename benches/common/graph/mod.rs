//! The graph that the benchmarks run: the whole of Dayfold, queries included, over the workload.
#![allow(dead_code, reason = "each benchmark uses a part of it")]

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use dayfold::aggregate::{Count, Max, Sum};
use dayfold::serve::{Answer, Query};
use dayfold::time::EventTime;
use dayfold::view::View;
use dayfold::{Archive, FoldDays, Moment, ViewStatus};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::operators::{Inspect, Probe};
use timely::dataflow::{InputHandle, ProbeHandle};
use timely::worker::Worker;

use crate::workload::{self, DISORDER_MS, Event, Groups, State};

/// Closed tables that may wait to be sealed: about the engine's bound.
const SEALING_MAX: usize = 8;

pub(crate) type Reply = Answer<u64, State>;

/// The graph of one worker, and its progress.
pub(crate) struct Graph {
    events: InputHandle<Moment, CapacityContainerBuilder<Vec<Event>>>,
    queries: InputHandle<Moment, CapacityContainerBuilder<Vec<Query<u64>>>>,
    probe: ProbeHandle<Moment>,
    answer: Rc<RefCell<Option<Reply>>>,
    view: View,
    watermark: EventTime,
    now: Moment,
    pub(crate) status: ViewStatus,
    /// The moments after the ticks that are not visible yet, as last seen by this worker.
    waiting: VecDeque<Moment>,
}

impl Graph {
    /// Builds it, with a view by day and key.
    pub(crate) fn build(worker: &mut Worker, archive: &Archive) -> Graph {
        let view = View::new("bench").unwrap();
        let (mut events, mut queries) = (InputHandle::new(), InputHandle::new());
        let probe = ProbeHandle::new();
        let answer = Rc::new(RefCell::new(None));
        let status = worker.dataflow(|scope| {
            let stats = |&(time, key, value): &Event| {
                Some((time, key, (Count::one(), Sum::from(value), Max(value))))
            };
            let events = events.to_stream(scope);
            let folded = events.fold_days(view.clone(), archive, stats).unwrap();
            folded.progress().probe_with(&probe);
            let answered = Rc::clone(&answer);
            let answers = folded.serve(queries.to_stream(scope));
            answers
                .inspect(move |reply: &Reply| *answered.borrow_mut() = Some(reply.clone()))
                .probe_with(&probe);
            folded.status()
        });
        let now = Moment::new(EventTime::MIN, 1);
        events.advance_to(now);
        queries.advance_to(now);
        Graph {
            events,
            queries,
            probe,
            answer,
            view,
            watermark: EventTime::MIN,
            now,
            status,
            waiting: VecDeque::new(),
        }
    }

    /// Enters a tick, and waits until fewer than `in_flight` are not visible yet.
    pub(crate) fn enter(&mut self, worker: &mut Worker, mut tick: Vec<Event>, in_flight: usize) {
        // The next floor: all days close that are over by these events, grace included.
        let newest = tick.last().map_or(self.watermark, |(time, ..)| time - DISORDER_MS);
        self.watermark = self.watermark.max(newest);
        self.events.send_batch(&mut tick);
        self.advance();
        self.wait(worker, in_flight);
    }

    /// Asks a query, if this is the first worker, and waits for the answer.
    pub(crate) fn ask(&mut self, worker: &mut Worker, query: Query<u64>) -> Option<Reply> {
        if worker.index() == 0 {
            self.queries.send(query);
        }
        self.advance();
        self.wait(worker, 1);
        self.answer.take()
    }

    /// Asks as the engine does: at a complete moment, so that no tick has to pass before the answer comes. Only the
    /// first worker asks; the others do their part until it is done. Answers are checked outside the measured time.
    pub(crate) fn ask_at_once(
        &mut self,
        worker: &mut Worker,
        queries: impl Iterator<Item = Query<u64>>,
        asked: &AtomicBool,
        mut check: impl FnMut(Reply),
    ) -> Vec<Duration> {
        self.events.advance_to(Moment::new(self.now.floor, self.now.tick + 1));
        if worker.index() > 0 {
            worker.step_or_park_while(Some(Duration::from_millis(1)), || !asked.load(Relaxed));
            return Vec::new();
        }
        let answer = Rc::clone(&self.answer);
        let mut one = |query| {
            let start = Instant::now();
            self.queries.send(query);
            self.queries.flush();
            worker.step_or_park_while(None, || answer.borrow().is_none());
            let time = start.elapsed();
            check(answer.take().expect("it was waited for"));
            time
        };
        let times = queries.map(&mut one).collect();
        asked.store(true, Relaxed);
        times
    }

    /// Ends a tick on this worker, and waits until it is visible.
    pub(crate) fn settle(&mut self, worker: &mut Worker) {
        self.advance();
        self.wait(worker, 1);
    }

    fn advance(&mut self) {
        let floor = self.now.floor.max(self.view.floor_at(self.watermark));
        self.now = Moment::new(floor, self.now.tick + 1);
        self.waiting.push_back(self.now);
        self.events.advance_to(self.now);
        self.queries.advance_to(self.now);
    }

    /// Waits until fewer than `in_flight` ticks are not visible yet.
    pub(crate) fn wait(&mut self, worker: &mut Worker, in_flight: usize) {
        while self.waiting.len() >= in_flight
            && let Some(next) = self.waiting.pop_front()
        {
            step_while(worker, || self.probe.less_than(&next));
        }
        // As in the engine, closed and unsealed tables are bounded.
        worker.step_or_park_while(None, || self.status.sealing() > SEALING_MAX);
    }
}

/// Steps while there is something to wait for, and parks late.
///
/// If two workers park whenever they wait for each other, they never run at the same time, and the system may leave
/// both on one processor. So a worker keeps stepping for longer than a small tick takes, then yields between steps, and
/// parks after a millisecond.
fn step_while(worker: &mut Worker, is_waiting: impl Fn() -> bool) {
    let started = Instant::now();
    while is_waiting() {
        match started.elapsed().as_micros() {
            0..50 => _ = worker.step(),
            50..1_000 => {
                worker.step();
                std::thread::yield_now();
            }
            _ => _ = worker.step_or_park(None),
        }
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

/// The share of every tick that each worker enters.
pub(crate) fn share(ticks: &[Vec<Event>], worker: usize, workers: usize) -> Vec<Vec<Event>> {
    let part = |tick: &Vec<Event>| {
        let bound = |at: usize| tick.len() * at / workers;
        tick[bound(worker)..bound(worker + 1)].to_vec()
    };
    ticks.iter().map(part).collect()
}
