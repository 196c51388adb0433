//! The law: an answer equals a recomputation from scratch over the events up to its moment, whatever is sealed, in
//! whatever order events came, on any number of workers.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dayfold::aggregate::{Count, Max, Semigroup, Sum};
use dayfold::key::KeyRange;
use dayfold::serve::{Answer, MeasureId, Query};
use dayfold::time::{Day, DayRange, EventTime, Grain};
use dayfold::view::View;
use dayfold::{Archive, Fold, FoldDays, Moment};
use proptest::prelude::*;
use timely::dataflow::operators::{Inspect, Probe};
use timely::dataflow::{InputHandle, ProbeHandle};

type Stats = (Count, Sum, Max<i64>);
type Event = (EventTime, u64, i64);

const HOUR: i64 = 3_600_000;
/// 2013-03-08T00:00:00Z: New York's clocks go forward two days later.
const START: EventTime = 1_362_700_800_000;

/// One tick: its events, and how far the floor may move before it.
#[derive(Clone, Debug)]
struct Tick {
    /// Hours by which the watermark moves; it may jump over days.
    hours: i64,
    /// Event times (hours relative to the watermark, mostly before it), keys and values.
    events: Vec<(i64, u64, i64)>,
    /// Whether the floor is a millisecond higher from here on: no day closes, but late events can be sealed.
    higher: bool,
    /// Steps of the dataflow before the next tick: none leaves ticks in flight.
    steps: usize,
}

fn tick() -> impl Strategy<Value = Tick> {
    let hours = prop_oneof![6 => Just(0i64), 3 => 1..9i64, 1 => 20..90i64];
    let event = (prop_oneof![8 => -12..3i64, 1 => -200..0i64], 0..24u64, -50..50i64);
    (hours, prop_oneof![4 => prop::collection::vec(event.clone(), 0..12), 1 => prop::collection::vec(event, 40..80)], any::<bool>(), 0..4usize)
        .prop_map(|(hours, events, higher, steps)| Tick { hours, events, higher, steps })
}

fn stats(value: i64) -> Stats {
    (Count::one(), Sum::of(value), Max(value))
}

/// The same as [`stats`], in place.
struct InPlace;

impl Fold<Event> for InPlace {
    type Key = u64;
    type KeyRef<'a> = u64;
    type State = Stats;

    fn group<'a>(&'a self, &(time, key, _): &'a Event) -> Option<(EventTime, u64)> {
        Some((time, key))
    }

    fn state(&self, &(.., value): &Event) -> Stats {
        stats(value)
    }

    fn add(&self, &(.., value): &Event, (count, sum, max): &mut Stats) {
        count.add();
        sum.add(value);
        max.add(&value);
    }
}

/// The queries that are asked in every tick.
fn queries(number: u64, day: Day, grain: Grain) -> Vec<Query<u64>> {
    let around = DayRange::new(Day(day.0 - 2), Day(day.0 + 2));
    let coarser: Vec<Grain> = grain.coarser().collect();
    let coarser = coarser[number as usize % coarser.len()];
    let queries = vec![
        Query::point(number % 6, DayRange::ALL),
        Query::point(number % 6, around),
        Query::series((number + 1) % 6, DayRange::ALL),
        Query::total(around),
        Query::new(
            dayfold::serve::Keys::Range(KeyRange::all()),
            DayRange::ALL,
            dayfold::serve::Shape::ByDay,
        ),
        Query::top(3, MeasureId::FIRST, DayRange::ALL),
        Query::keys(KeyRange::between(&1u64, &4u64), around),
        Query::rows(KeyRange::all(), DayRange::ALL),
        Query::series(number % 6, DayRange::ALL).by(coarser),
        Query::rows(KeyRange::all(), around).by(coarser),
    ];
    let number = |(at, query): (usize, Query<u64>)| query.id(at as u64);
    queries.into_iter().enumerate().map(number).collect()
}

/// Answers a query from scratch: `(day, key) -> value`, in the shape of the answer.
fn recompute(
    query: &Query<u64>,
    view: &View,
    events: &[Event],
) -> Vec<(Option<Day>, Option<u64>, Stats)> {
    use dayfold::serve::{Keys, Shape};
    let mut groups: BTreeMap<(Option<Day>, Option<u64>), Stats> = BTreeMap::new();
    for &(time, key, value) in events {
        let day = view.calendar().day_of(time);
        let wanted = match &query.keys {
            Keys::One(one) => *one == key,
            Keys::Range(range) => range.contains(&dayfold::key::encoded(&key)),
            keys => panic!("not asked here: {keys:?}"),
        };
        if !wanted || !query.days.contains(day) {
            continue;
        }
        // From the event itself, whatever the grain of the view.
        let calendar = view.calendar().clone();
        let day = query.grain.map_or(day, |grain| calendar.by(grain).day_of(time));
        let place = match query.shape {
            Shape::Total => (None, None),
            Shape::ByDay => (Some(day), None),
            Shape::ByDayAndKey => (Some(day), Some(key)),
            _ => (None, Some(key)),
        };
        let more = stats(value);
        groups.entry(place).and_modify(|sum| sum.plus_equals(&more)).or_insert(more);
    }
    let mut rows: Vec<_> = groups.into_iter().map(|((day, key), sum)| (day, key, sum)).collect();
    if let Shape::Top { n, .. } = query.shape {
        rows.sort_by_key(|(_, key, sum)| (std::cmp::Reverse(sum.0), *key));
        rows.truncate(n as usize);
    }
    rows
}

/// The floor of a tick, after that of the one before.
fn next_floor(view: &View, floor: EventTime, watermark: EventTime, tick: &Tick) -> EventTime {
    floor.max(view.floor_at(watermark)).saturating_add(i64::from(tick.higher))
}

struct Outcome {
    answers: Vec<(u64, Answer<u64, Stats>)>,
    changes: Vec<((Day, u64), Moment, Stats)>,
    entered: Vec<(Moment, Event)>,
    finished: bool,
}

/// Runs the schedule on `workers` workers; events and queries are spread over them.
fn run(view: &View, ticks: &[Tick], workers: usize, (lag, in_place): (bool, bool)) -> Outcome {
    let outcome = Arc::new(Mutex::new(Outcome {
        answers: Vec::new(),
        changes: Vec::new(),
        entered: Vec::new(),
        finished: true,
    }));
    let archive = Archive::in_memory();
    let (out, view, ticks) = (Arc::clone(&outcome), view.clone(), ticks.to_vec());
    let done = AtomicUsize::new(0);
    let config = timely::Config::process(workers);
    let guards = timely::execute(config, move |worker| {
        let (index, peers) = (worker.index(), worker.peers());
        let mut events = InputHandle::<Moment, _>::new();
        let mut asking = InputHandle::<Moment, _>::new();
        let probe = ProbeHandle::new();
        let status = worker.dataflow(|scope| {
            let events = events.to_stream(scope);
            let folded = if in_place {
                events.fold_in_place(view.clone(), &archive, InPlace)
            } else {
                events.fold_days(view.clone(), &archive, |&(time, key, value): &Event| {
                    Some((time, key, stats(value)))
                })
            };
            let folded = folded.unwrap().measure(|stats: &Stats| Some(stats.0.0.into()));
            let changed = Arc::clone(&out);
            folded.changes().inspect(move |change| {
                changed.lock().unwrap().changes.push(*change);
            });
            folded.progress().probe_with(&probe);
            let answers = folded.serve(asking.to_stream(scope));
            let answered = Arc::clone(&out);
            answers
                .inspect(move |answer: &Answer<u64, Stats>| {
                    answered.lock().unwrap().answers.push((answer.id % 1_000, answer.clone()));
                })
                .probe_with(&probe);
            folded.status()
        });
        let (mut watermark, mut floor) = (START, EventTime::MIN);
        for (number, tick) in ticks.iter().enumerate() {
            watermark += tick.hours * HOUR;
            floor = next_floor(&view, floor, watermark, tick);
            let moment = Moment::new(floor, number as u64 + 1);
            events.advance_to(moment);
            for (at, &(hours, key, value)) in tick.events.iter().enumerate() {
                let event = (watermark + hours * HOUR, key, value);
                if at % peers == index {
                    events.send(event);
                    out.lock().unwrap().entered.push((moment, event));
                }
            }
            // Queries are asked at the tick, or as of an earlier one.
            let asked = if lag { number / 2 } else { number };
            let due = !lag || number % 2 == 0;
            if due {
                let mut past = (START, EventTime::MIN);
                for tick in &ticks[..=asked] {
                    past.0 += tick.hours * HOUR;
                    past.1 = next_floor(&view, past.1, past.0, tick);
                }
                asking.advance_to(Moment::new(past.1, asked as u64 + 1));
                let day = view.calendar().day_of(past.0);
                let grain = view.calendar().grain();
                if number % peers == index {
                    queries(number as u64, day, grain).into_iter().for_each(|query| {
                        let id = query.id + 1_000 * number as u64;
                        asking.send(query.id(id));
                    });
                }
                asking.flush();
            }
            (0..tick.steps).for_each(|_| {
                worker.step();
            });
            if !view.rollups().is_empty() {
                // Rollups are made in the background, and would mostly come when everything is over.
                for _ in 0..4 {
                    std::thread::sleep(Duration::from_micros(300));
                    worker.step();
                }
            }
        }
        events.close();
        asking.advance_to(Moment::new(EventTime::MAX, 0));
        // Workers finish separately: wait for all, and keep stepping for the others.
        let pause = Some(std::time::Duration::from_millis(1));
        worker.step_or_park_while(pause, || !status.finished());
        done.fetch_add(1, Ordering::SeqCst);
        worker.step_or_park_while(pause, || done.load(Ordering::SeqCst) < peers);
        if index == 0 {
            asking.send(Query::rows(KeyRange::all(), DayRange::ALL).id(999));
        }
        asking.close();
        worker.step_or_park_while(None, || !probe.done());
        out.lock().unwrap().finished &= status.error().is_none();
    });
    guards.unwrap().join().into_iter().for_each(|result| result.unwrap());
    Arc::into_inner(outcome).unwrap().into_inner().unwrap()
}

fn check(view: &View, ticks: &[Tick], workers: usize, (lag, in_place): (bool, bool)) {
    let outcome = run(view, ticks, workers, (lag, in_place));
    assert!(outcome.finished);
    for (_, answer) in &outcome.answers {
        let as_of = answer.certificate.as_of;
        let seen: Vec<Event> = outcome
            .entered
            .iter()
            .filter(|(at, _)| *at <= as_of)
            .map(|(_, event)| *event)
            .collect();
        let last = answer.id % 1_000 == 999;
        let query = if last {
            Query::rows(KeyRange::all(), DayRange::ALL)
        } else {
            let number = answer.id / 1_000;
            let asked = if lag { number / 2 } else { number };
            let watermark =
                START + ticks[..=asked as usize].iter().map(|t| t.hours * HOUR).sum::<i64>();
            let day = view.calendar().day_of(watermark);
            queries(number, day, view.calendar().grain()).swap_remove((answer.id % 1_000) as usize)
        };
        let expect = recompute(&query, view, &seen);
        let items = answer.items.iter();
        let got: Vec<_> =
            items.map(|item| (item.day, item.key, item.parts.merged().unwrap())).collect();
        assert_eq!(got, expect, "{query:?} as of {as_of} on {workers} workers");
        let late = |(at, (time, ..)): &&(Moment, Event)| {
            *at <= as_of && view.calendar().day_of(*time) < view.first_open(at.floor)
        };
        assert_eq!(answer.certificate.late, outcome.entered.iter().filter(late).count() as u64);
        if last {
            for item in &answer.items {
                assert!(item.parts.speed.is_none() && item.parts.amendments.is_none(), "{item:?}");
                assert!(item.revision >= item.day);
            }
        }
    }
    let asked = if lag { ticks.len().div_ceil(2) } else { ticks.len() };
    assert_eq!(outcome.answers.len(), 10 * asked + 1);
    check_changes(view, &outcome);
}

/// The changes, accumulated, are the view.
fn check_changes(view: &View, outcome: &Outcome) {
    let mut moments: Vec<Moment> = outcome.entered.iter().map(|(at, _)| *at).collect();
    moments.dedup();
    for as_of in moments {
        let mut sums: BTreeMap<(Day, u64), Stats> = BTreeMap::new();
        for (place, _, change) in outcome.changes.iter().filter(|(_, at, _)| *at <= as_of) {
            sums.entry(*place).and_modify(|sum| sum.plus_equals(change)).or_insert(*change);
        }
        let mut expect: BTreeMap<(Day, u64), Stats> = BTreeMap::new();
        for (_, (time, key, value)) in outcome.entered.iter().filter(|(at, _)| *at <= as_of) {
            let place = (view.calendar().day_of(*time), *key);
            let more = stats(*value);
            expect.entry(place).and_modify(|sum| sum.plus_equals(&more)).or_insert(more);
        }
        assert_eq!(sums, expect, "changes up to {as_of}");
    }
}

/// The number of schedules; fewer without optimisation.
const CASES: u32 = if cfg!(debug_assertions) { 60 } else { 2_000 };

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, ..ProptestConfig::default() })]

    #[test]
    fn oracle_answers_equal_a_recomputation(
        ticks in prop::collection::vec(tick(), 1..24),
        workers in 1..4usize,
        lag in any::<bool>(),
        in_place in any::<bool>(),
        new_york in any::<bool>(),
        grace in prop_oneof![Just(0), Just(HOUR), Just(30 * HOUR)],
        grain in prop_oneof![2 => Just(Grain::Day), 3 => prop::sample::select(&Grain::ALL[..])],
        rollups in prop::sample::subsequence(Grain::ALL.to_vec(), 0..=3),
    ) {
        let zone = if new_york { "America/New_York" } else { "UTC" };
        let view = View::new("law").unwrap().zone(zone).unwrap().grain(grain);
        let view = view.grace(Duration::from_millis(grace as u64)).rollup(rollups);
        check(&view, &ticks, workers, (lag, in_place));
    }
}

#[test]
fn one_tick() {
    let view = View::new("law").unwrap();
    let ticks = vec![Tick { hours: 0, events: vec![(0, 1, 5)], higher: false, steps: 1 }];
    check(&view, &ticks, 1, (false, false));
    check(&view, &ticks, 2, (false, true));
    check(&view, &ticks, 3, (true, true));
}
