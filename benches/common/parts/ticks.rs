//! A tick of a dataflow with one worker, from its push until it is visible: with events of 100 keys, so that combining
//! is nearly all of the work, and with a different key for each event, so that each is folded into its row of the day's
//! table. Also the closing of a day of 55,000 keys, from the floor that closes it until it is sealed, in memory.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Instant;

use divan::Bencher;

use dayfold::aggregate::{Count, Max, Sum};
use dayfold::serve::{Answer, Query};
use dayfold::time::{DayRange, EventTime};
use dayfold::view::View;
use dayfold::{Archive, DayView, FoldDays, Moment, ViewStatus};
use timely::WorkerConfig;
use timely::communication::Allocator;
use timely::dataflow::operators::{Inspect, Probe};
use timely::dataflow::{InputHandle, ProbeHandle};
use timely::worker::Worker;

use crate::workload::sealed::KEYS;
use crate::workload::{self, DAY_MS, Event, START, State, Stats};

/// A view and its input.
struct Small {
    worker: Worker,
    view: View,
    events: InputHandle<Moment, timely::container::CapacityContainerBuilder<Vec<Event>>>,
    queries: InputHandle<Moment, timely::container::CapacityContainerBuilder<Vec<Query<u64>>>>,
    probe: ProbeHandle<Moment>,
    answer: Rc<RefCell<Option<State>>>,
    status: ViewStatus,
    now: Moment,
    /// The totals of all pushed events.
    expected: Stats,
}

impl Small {
    fn new() -> Small {
        // `execute_directly` requires a closure that can be sent to another thread, and the harness cannot.
        let alone = Allocator::Thread(Default::default());
        let mut worker = Worker::new(WorkerConfig::default(), alone, Some(Instant::now()));
        let view = View::new("parts").unwrap();
        let (mut events, mut queries) = (InputHandle::new(), InputHandle::new());
        let (probe, answer) = (ProbeHandle::new(), Rc::new(RefCell::new(None)));
        let status = worker.dataflow(|scope| {
            let stats = |&(time, key, value): &Event| {
                Some((time, key, (Count::one(), Sum::from(value), Max(value))))
            };
            let events = events.to_stream(scope);
            let folded: DayView<u64, State> =
                events.fold_days(view.clone(), &Archive::in_memory(), stats).unwrap();
            folded.progress().probe_with(&probe);
            let answered = Rc::clone(&answer);
            folded
                .serve(queries.to_stream(scope))
                .inspect(move |reply: &Answer<u64, State>| *answered.borrow_mut() = reply.value())
                .probe_with(&probe);
            folded.status()
        });
        let (now, expected) = (Moment::new(EventTime::MIN, 1), (0, 0, 0));
        let mut small =
            Small { worker, view, events, queries, probe, answer, status, now, expected };
        small.advance(small.now);
        small
    }

    fn advance(&mut self, to: Moment) {
        self.now = to;
        self.events.advance_to(to);
        self.queries.advance_to(to);
    }

    fn push(&mut self, mut tick: Vec<Event>) {
        self.events.send_batch(&mut tick);
        self.advance(Moment::new(self.now.floor, self.now.tick + 1));
        let Small { worker, probe, now, .. } = self;
        worker.step_or_park_while(None, || probe.less_than(now));
    }

    /// Adds a tick to the total.
    fn expect(&mut self, tick: &[Event]) {
        for &(_, _, value) in tick {
            let (count, sum, greatest) = self.expected;
            self.expected = (count + 1, sum + value, greatest.max(value));
        }
    }

    /// Closes a day and waits until it is sealed.
    fn close(&mut self, day: i32) {
        let end = self.view.upper(self.view.calendar().day_of(START + i64::from(day) * DAY_MS));
        self.advance(Moment::new(end, self.now.tick + 1));
        let Small { worker, probe, now, status, .. } = self;
        worker.step_or_park_while(None, || probe.less_than(now) || status.numbers().closed > 0);
    }

    fn check(&mut self) {
        self.queries.send(Query::total(DayRange::ALL));
        self.push(Vec::new());
        let found = self.answer.borrow_mut().take();
        let found = found.map(|(count, sum, Max(most))| (count.0 as u64, sum.value() as u64, most));
        assert_eq!(found, Some(self.expected), "the total is wrong");
    }
}

/// A tick of a day, of this many keys in turn.
fn tick(day: i32, events: usize, keys: usize) -> Vec<Event> {
    let time = START + i64::from(day) * DAY_MS;
    (0..events).map(|number| (time, workload::key(number % keys), number as u64)).collect()
}

fn ticks(bencher: Bencher, events: usize, keys: usize) {
    let small = RefCell::new(Small::new());
    let tick = tick(0, events, keys);
    let push = |events| small.borrow_mut().push(events);
    push(tick.clone());
    small.borrow_mut().expect(&tick);
    small.borrow_mut().check();
    let input = || {
        small.borrow_mut().expect(&tick);
        tick.clone()
    };
    bencher.counter(events).with_inputs(input).bench_local_values(push);
    small.into_inner().check();
}

#[divan::bench(args = [1_000, 100_000])]
fn of_100_keys(bencher: Bencher, events: usize) {
    ticks(bencher, events, 100);
}

#[divan::bench(args = [1_000, 100_000])]
fn of_a_key_each(bencher: Bencher, events: usize) {
    ticks(bencher, events, events);
}

/// A day is pushed before each: one iteration to a sample.
#[divan::bench(sample_size = 1, sample_count = 50)]
fn seal_a_day(bencher: Bencher) {
    let small = RefCell::new(Small::new());
    let days = Cell::new(0);
    let push_a_day = || {
        let day = days.replace(days.get() + 1);
        let tick = tick(day, KEYS, KEYS);
        small.borrow_mut().expect(&tick);
        small.borrow_mut().push(tick);
        day
    };
    let close = |day| small.borrow_mut().close(day);
    close(push_a_day());
    small.borrow_mut().check();
    bencher.counter(KEYS).with_inputs(push_a_day).bench_local_values(close);
    let mut small = small.into_inner();
    small.check();
    assert_eq!(small.status.numbers().sealed_days as i32, days.get());
}
