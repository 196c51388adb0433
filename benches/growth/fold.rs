//! A load in a dataflow of one worker, and in a hash map.

use std::cell::RefCell;
use std::hint::black_box;
use std::rc::Rc;
use std::time::{Duration, Instant};

use dayfold::aggregate::{Aggregate, Count, Decimal, Distinct, Max, Quantiles, Sum};
use dayfold::key::{Key, check_key_laws};
use dayfold::serve::{Answer, Query};
use dayfold::time::{DayRange, EventTime};
use dayfold::view::View;
use dayfold::{Archive, FoldDays, Moment};
use timely::dataflow::operators::{Inspect, Probe};
use timely::dataflow::{InputHandle, ProbeHandle};

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

/// What is compared in the end.
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

/// Folds a load with one worker. `make` makes what an event brings of a key, between the ticks; `key` makes a key of
/// that, in the view.
pub(crate) fn run<E: Clone + 'static, K: Key, A: Checked>(
    load: Load,
    make: impl Fn(u64) -> E + Send + Sync + 'static,
    key: impl Fn(&E) -> K + Send + Sync + 'static,
    aggregate: impl Fn(u64) -> A + Send + Sync + 'static,
) -> Measured {
    let sample: Vec<K> = (0..20).map(|rank| key(&make(workload::key(rank)))).collect();
    check_key_laws(&sample);
    timely::execute_directly(move |worker| {
        let before = memory::of(memory::NOW);
        let view = View::new("growth").unwrap();
        let (mut events, mut queries) = (InputHandle::new(), InputHandle::new());
        let probe = ProbeHandle::new();
        let answer = Rc::new(RefCell::new(None));
        let status = worker.dataflow(|scope| {
            let event = move |(time, brought, value): &(EventTime, E, u64)| {
                Some((*time, key(brought), aggregate(*value)))
            };
            let events = events.to_stream(scope);
            let archive = Archive::in_memory();
            let folded = events.fold_days(view.clone(), &archive, event).unwrap();
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
