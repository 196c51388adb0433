//! A load in a dataflow of one worker, and in a hash map.

use std::cell::RefCell;
use std::hint::black_box;
use std::rc::Rc;
use std::time::{Duration, Instant};

use dayfold::aggregate::{Aggregate, Count, Decimal, Distinct, Max, Quantiles, Sum};
use dayfold::fold::check_fold;
use dayfold::key::{Key, check_key_laws};
use dayfold::serve::{Answer, Query};
use dayfold::time::{DayRange, EventTime};
use dayfold::view::View;
use dayfold::{Archive, DayView, Fold, FoldDays, Moment};
use timely::dataflow::operators::{Inspect, Probe};
use timely::dataflow::{InputHandle, ProbeHandle, StreamVec};

use crate::load::Load;
use crate::workload::{self, State, Stats};
use crate::{Measured, memory};

pub(crate) fn stats(value: u64) -> State {
    (Count::one(), Sum::from(value), Max(value))
}

pub(crate) type Five = ((Count, Sum, Max<u64>), Distinct, Quantiles);

pub(crate) fn five(value: u64) -> Five {
    (stats(value), Distinct::of(&value.to_le_bytes()), Quantiles::of(Decimal::from(value as i64)))
}

/// Time, the source of the key, value.
pub(crate) type Event<E> = (EventTime, E, u64);

/// The five aggregates by number.
pub(crate) struct Fives;

impl Fold<Event<u64>> for Fives {
    type Key = u64;
    type KeyRef<'a> = u64;
    type State = Five;

    fn group<'a>(&'a self, (time, key, _): &'a Event<u64>) -> Option<(EventTime, u64)> {
        Some((*time, *key))
    }

    fn state(&self, (.., value): &Event<u64>) -> Five {
        five(*value)
    }

    fn add(&self, (.., value): &Event<u64>, (stats, distinct, quantiles): &mut Five) {
        add_stats(*value, stats);
        distinct.add(&value.to_le_bytes());
        quantiles.add(Decimal::from(*value as i64));
    }
}

/// Count, sum and greatest value by text.
pub(crate) struct Texts;

impl Fold<Event<String>> for Texts {
    type Key = String;
    type KeyRef<'a> = &'a str;
    type State = State;

    fn group<'a>(&'a self, (time, key, _): &'a Event<String>) -> Option<(EventTime, &'a str)> {
        Some((*time, key))
    }

    fn state(&self, (.., value): &Event<String>) -> State {
        stats(*value)
    }

    fn add(&self, (.., value): &Event<String>, state: &mut State) {
        add_stats(*value, state);
    }
}

fn add_stats(value: u64, (count, sum, max): &mut State) {
    count.add();
    sum.add(value);
    max.add(&value);
}

/// The totals that are compared at the end.
pub(crate) trait Checked: Aggregate {
    fn checked(&self) -> Stats;
}

impl Checked for State {
    fn checked(&self) -> Stats {
        (self.0.0 as u64, self.1.value() as u64, self.2.0)
    }
}

impl Checked for Five {
    fn checked(&self) -> Stats {
        self.0.checked()
    }
}

/// The events in a hash map of (day, key).
pub(crate) fn map(load: Load) -> Measured {
    let before = memory::of(memory::NOW);
    let mut groups = workload::Groups::default();
    let mut ticks = Vec::new();
    for tick in load.ticks() {
        let start = Instant::now();
        tick.into_iter().for_each(|event| workload::add(&mut groups, event));
        ticks.push(start.elapsed());
    }
    black_box(&groups);
    Measured::of(ticks, memory::of(memory::PEAK) - before)
}

/// Folds a load with one worker. `make` makes the event's form of a key, between the ticks; `key` makes the key from
/// it, in the view.
pub(crate) fn run<E: Clone + 'static, K: Key, A: Checked>(
    load: Load,
    make: impl Fn(u64) -> E + Send + Sync + 'static,
    key: impl Fn(&E) -> K + Send + Sync + 'static,
    aggregate: impl Fn(u64) -> A + Send + Sync + 'static,
) -> Measured {
    let sample: Vec<K> = (0..20).map(|rank| key(&make(workload::key(rank)))).collect();
    check_key_laws(&sample);
    run_view::<E, K, A>(load, make, move |events, view| {
        let event = move |(time, brought, value): &(EventTime, E, u64)| {
            Some((*time, key(brought), aggregate(*value)))
        };
        events.fold_days(view, &Archive::in_memory(), event).unwrap()
    })
}

/// As [`run`], folded in place.
pub(crate) fn run_in_place<E, F>(
    load: Load,
    make: impl Fn(u64) -> E + Send + Sync + 'static,
    fold: F,
) -> Measured
where
    E: Clone + 'static,
    F: Fold<Event<E>, State: Checked> + Send + Sync,
    for<'a> F::KeyRef<'a>: Clone,
{
    let events = (0..20).map(|rank| (0, make(workload::key(rank % 11)), rank as u64 * 7 % 5));
    check_fold(&fold, &events.collect::<Vec<_>>());
    run_view::<E, F::Key, F::State>(load, make, move |events, view| {
        events.fold_in_place(view, &Archive::in_memory(), fold).unwrap()
    })
}

fn run_view<E: Clone + 'static, K: Key, A: Checked>(
    load: Load,
    make: impl Fn(u64) -> E + Send + Sync + 'static,
    build: impl for<'scope> FnOnce(StreamVec<'scope, Moment, Event<E>>, View) -> DayView<'scope, K, A>
    + Send
    + Sync
    + 'static,
) -> Measured {
    timely::execute_directly(move |worker| {
        let before = memory::of(memory::NOW);
        let view = View::new("growth").unwrap();
        let (mut events, mut queries) = (InputHandle::new(), InputHandle::new());
        let probe = ProbeHandle::new();
        let answer = Rc::new(RefCell::new(None));
        let status = worker.dataflow(|scope| {
            let folded = build(events.to_stream(scope), view.clone());
            folded.progress().probe_with(&probe);
            let answered = Rc::clone(&answer);
            let answers = folded.serve(queries.to_stream(scope));
            answers
                .inspect(move |reply: &Answer<K, A>| *answered.borrow_mut() = reply.value())
                .probe_with(&probe);
            folded.status()
        });
        let mut now = Moment::new(EventTime::MIN, 1);
        let (mut ticks, mut expected): (Vec<Duration>, Stats) = (Vec::new(), (0, 0, 0));
        for tick in load.ticks() {
            for &(_, _, value) in &tick {
                expected = (expected.0 + 1, expected.1 + value, expected.2.max(value));
            }
            let newest = tick.last().map_or(now.floor, |(time, ..)| *time);
            let mut tick: Vec<_> =
                tick.into_iter().map(|(time, key, value)| (time, make(key), value)).collect();
            let start = Instant::now();
            events.advance_to(now);
            queries.advance_to(now);
            events.send_batch(&mut tick);
            now = Moment::new(now.floor.max(view.floor_at(newest)), now.tick + 1);
            events.advance_to(now);
            queries.advance_to(now);
            worker.step_or_park_while(None, || probe.less_than(&now) || status.sealing() > 8);
            ticks.push(start.elapsed());
        }
        let bytes = memory::of(memory::PEAK) - before;
        queries.send(Query::total(DayRange::ALL));
        now.tick += 1;
        events.advance_to(now);
        queries.advance_to(now);
        worker.step_or_park_while(None, || probe.less_than(&now));
        let found = answer.borrow_mut().take().map(|value: A| value.checked());
        assert_eq!(found, Some(expected), "the result is wrong");
        Measured::of(ticks, bytes)
    })
}
