//! The law with retractions: when events are retracted, before or after their day closes, answers, changes and values
//! equal a recomputation over the remaining events.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dayfold::aggregate::{Count, Semigroup, Sum};
use dayfold::key::KeyRange;
use dayfold::serve::{Answer, MeasureId, Query};
use dayfold::time::{Day, DayRange, EventTime};
use dayfold::view::View;
use dayfold::{Archive, FoldChanges, Moment};
use differential_dataflow::input::InputSession;
use proptest::prelude::*;
use timely::dataflow::operators::{Enter, Inspect, Probe};
use timely::dataflow::{InputHandle, ProbeHandle};

type Stats = (Count, Sum);
type Event = (EventTime, u64, i64);
type Value = ((Day, u64), Stats);
type Groups = BTreeMap<(Option<Day>, Option<u64>), Stats>;

const HOUR: i64 = 3_600_000;

/// One tick. Changes may be entered some ticks before their moment.
#[derive(Clone, Debug)]
struct Tick {
    hours: i64,
    /// Hours before the watermark, key, value, times, and by how many ticks it is entered early.
    events: Vec<(i64, u64, i64, isize, usize)>,
    /// Which earlier events are retracted.
    back: Vec<usize>,
    steps: usize,
}

fn tick() -> impl Strategy<Value = Tick> {
    let hours = prop_oneof![4 => Just(0i64), 3 => 1..9i64, 2 => 20..60i64];
    let event = (0..80i64, 0..4u64, -3..4i64, prop_oneof![Just(1isize), 2..4isize], 0..3usize);
    let events = prop::collection::vec(event, 0..6);
    let back = prop::collection::vec(0..100usize, 0..6);
    (hours, events, back, 0..4usize).prop_map(|(hours, events, back, steps)| Tick {
        hours,
        events,
        back,
        steps,
    })
}

/// A change, the tick in which it is entered, and its moment.
type Change = (usize, Event, Moment, isize);

/// The moments of the ticks, and all changes.
fn plan(view: &View, ticks: &[Tick]) -> (Vec<Moment>, Vec<Change>) {
    let (mut watermark, mut floor) = (0, EventTime::MIN);
    let (mut moments, mut changes, mut there) = (Vec::new(), Vec::new(), Vec::new());
    for (number, tick) in ticks.iter().enumerate() {
        watermark += tick.hours * HOUR;
        floor = floor.max(view.floor_at(watermark));
        let moment = Moment::new(floor, number as u64 + 1);
        moments.push(moment);
        for &(hours, key, value, times, early) in &tick.events {
            let event = (watermark - hours * HOUR, key, value);
            changes.push((number.saturating_sub(early), event, moment, times));
            there.push((event, times));
        }
        for at in &tick.back {
            if !there.is_empty() {
                let (event, times) = there.swap_remove(at % there.len());
                changes.push((number, event, moment, -times));
            }
        }
    }
    (moments, changes)
}

fn queries() -> [Query<u64>; 5] {
    [
        Query::rows(KeyRange::all(), DayRange::ALL),
        Query::total(DayRange::ALL),
        Query::point(1, DayRange::ALL),
        Query::top(2, MeasureId::FIRST, DayRange::ALL),
        Query::series(2, DayRange::ALL),
    ]
}

fn recompute(view: &View, changes: &[Change], as_of: Moment, query: usize) -> Groups {
    let mut groups = Groups::new();
    for &(_, (time, key, value), _, times) in changes.iter().filter(|(_, _, at, _)| *at <= as_of) {
        let day = Some(view.calendar().day_of(time));
        let place = match query {
            0 => (day, Some(key)),
            1 => (None, None),
            2 if key == 1 => (None, None),
            3 => (None, Some(key)),
            4 if key == 2 => (day, None),
            _ => continue,
        };
        let more = (Count(times as i64), Sum::from(value * times as i64));
        groups.entry(place).or_insert((Count(0), Sum::from(0i64))).plus_equals(&more);
    }
    groups.retain(|_, sum| *sum != (Count(0), Sum::from(0i64)));
    if query == 3 {
        let mut ranked: Vec<_> = groups.into_iter().collect();
        // The least first: a key without remaining events would be the first.
        ranked.sort_by_key(|((_, key), sum)| (sum.0, *key));
        ranked.truncate(2);
        groups = ranked.into_iter().collect();
    }
    groups
}

#[derive(Default)]
struct Outcome {
    answers: Vec<Answer<u64, Stats>>,
    changes: Vec<((Day, u64), Moment, Stats)>,
    values: Vec<(Value, Moment, isize)>,
}

fn run(view: &View, ticks: &[Tick], workers: usize) -> Outcome {
    let outcome = Arc::new(Mutex::new(Outcome::default()));
    let (moments, changes) = plan(view, ticks);
    let (archive, out, view) = (Archive::in_memory(), Arc::clone(&outcome), view.clone());
    let (done, steps) = (AtomicUsize::new(0), ticks.iter().map(|t| t.steps).collect::<Vec<_>>());
    let guards = timely::execute(timely::Config::process(workers), move |worker| {
        let (index, peers) = (worker.index(), worker.peers());
        let mut events = InputSession::<Moment, Event, isize>::new();
        let mut asking = InputHandle::<Moment, _>::new();
        let probe = ProbeHandle::new();
        let status = worker.dataflow(|scope| {
            let events = events.to_collection(scope);
            // In a separate region within the scope.
            scope.clone().region(|region| {
                let folded = events
                    .enter_region(region)
                    .fold_days(view.clone(), &archive, |&(time, key, value): &Event| {
                        Some((time, key, (Count::one(), Sum::from(value))))
                    })
                    .unwrap()
                    .measure(|stats: &Stats| Some((-stats.0.0).into()));
                let changed = Arc::clone(&out);
                folded.changes().inner.probe_with(&probe).inspect(move |change| {
                    changed.lock().unwrap().changes.push(*change);
                });
                let valued = Arc::clone(&out);
                folded.values().inner.probe_with(&probe).inspect(move |value| {
                    valued.lock().unwrap().values.push(*value);
                });
                let answered = Arc::clone(&out);
                folded
                    .serve(asking.to_stream(scope).enter(region))
                    .probe_with(&probe)
                    .inspect(move |answer| answered.lock().unwrap().answers.push(answer.clone()));
                folded.status()
            })
        });
        for (number, moment) in moments.iter().enumerate() {
            events.advance_to(*moment);
            asking.advance_to(*moment);
            let due = changes
                .iter()
                .enumerate()
                .filter(|(at, change)| at % peers == index && change.0 == number);
            due.for_each(|(_, &(_, event, at, times))| events.update_at(event, at, times));
            events.flush();
            if number % peers == index {
                (0u64..).zip(queries()).for_each(|(id, query)| asking.send(query.id(id)));
            }
            asking.flush();
            (0..steps[number]).for_each(|_| {
                worker.step();
            });
        }
        events.close();
        asking.advance_to(Moment::new(EventTime::MAX, 0));
        // Workers finish separately: wait for all, and keep stepping for the others.
        let pause = Some(std::time::Duration::from_millis(1));
        worker.step_or_park_while(pause, || !status.finished());
        done.fetch_add(1, Ordering::SeqCst);
        worker.step_or_park_while(pause, || done.load(Ordering::SeqCst) < peers);
        if index == 0 {
            asking.send(Query::rows(KeyRange::all(), DayRange::ALL).id(0));
        }
        asking.close();
        worker.step_or_park_while(None, || !probe.done());
    });
    guards.unwrap().join().into_iter().for_each(|result| result.unwrap());
    Arc::into_inner(outcome).unwrap().into_inner().unwrap()
}

fn check(view: &View, ticks: &[Tick], workers: usize) {
    let outcome = run(view, ticks, workers);
    let (moments, changes) = plan(view, ticks);
    assert_eq!(outcome.answers.len(), queries().len() * ticks.len() + 1);
    for answer in &outcome.answers {
        let as_of = answer.certificate.as_of;
        let is_sealed = as_of.floor == EventTime::MAX;
        let expect = recompute(view, &changes, as_of, answer.id as usize);
        let items = answer.items.iter();
        let got: Groups =
            items.map(|item| ((item.day, item.key), item.parts.merged().unwrap())).collect();
        assert_eq!(got, expect, "query {} as of {as_of} on {workers} workers", answer.id);
        for item in answer.items.iter().filter(|_| is_sealed) {
            assert!(item.parts.speed.is_none() && item.parts.amendments.is_none(), "{item:?}");
        }
    }
    for as_of in moments {
        let expect = recompute(view, &changes, as_of, 0);
        let mut sums = Groups::new();
        for ((day, key), _, change) in outcome.changes.iter().filter(|(_, at, _)| *at <= as_of) {
            let sum = sums.entry((Some(*day), Some(*key)));
            sum.or_insert((Count(0), Sum::from(0i64))).plus_equals(change);
        }
        sums.retain(|_, sum| *sum != (Count(0), Sum::from(0i64)));
        assert_eq!(sums, expect, "changes up to {as_of}");
        let mut rows: BTreeMap<Value, isize> = BTreeMap::new();
        for (row, _, times) in outcome.values.iter().filter(|(_, at, _)| *at <= as_of) {
            *rows.entry(*row).or_insert(0) += times;
        }
        rows.retain(|_, times| *times != 0);
        assert!(rows.values().all(|times| *times == 1));
        let rows: Groups =
            rows.into_keys().map(|((day, key), sum)| ((Some(day), Some(key)), sum)).collect();
        assert_eq!(rows, expect, "values as of {as_of}");
    }
}

/// The number of schedules; fewer without optimisation.
const CASES: u32 = if cfg!(debug_assertions) { 40 } else { 1_000 };

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, ..ProptestConfig::default() })]

    #[test]
    fn oracle_answers_equal_a_recomputation_over_what_is_left(
        ticks in prop::collection::vec(tick(), 1..16),
        workers in 1..4usize,
        grace in prop_oneof![Just(0), Just(30 * HOUR)],
    ) {
        let view = View::new("back").unwrap().grace(Duration::from_millis(grace as u64));
        check(&view, &ticks, workers);
    }
}

/// One event comes on the first day, and is retracted after that day is sealed.
#[test]
fn a_sealed_row_that_is_taken_back_is_gone() {
    let view = View::new("back").unwrap().grace(Duration::ZERO);
    let first = Tick { hours: 1, events: vec![(0, 1, 3, 1, 0)], back: vec![], steps: 4 };
    let wait = Tick { hours: 48, events: vec![], back: vec![], steps: 20 };
    let last = Tick { hours: 0, events: vec![], back: vec![0], steps: 4 };
    check(&view, &[first, wait.clone(), last, wait], 2);
}
