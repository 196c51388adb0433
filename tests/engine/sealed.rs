//! The law of the past: a sealed day, as first sealed or after any closing, equals a recomputation from scratch over
//! the events of the closings up to then, even if days were amended, rebuilt or reopened with other workers since.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use dayfold::aggregate::{Count, Semigroup, Sum};
use dayfold::key::KeyRange;
use dayfold::serve::{Answer, Keys, Query, Revision, Shape};
use dayfold::store::{LiveBatch, Memory, Storage, Store, StoreConfig, ViewRecord};
use dayfold::time::{Day, DayRange, EventTime};
use dayfold::view::View;
use dayfold::{Archive, FoldDays, Moment};
use proptest::prelude::*;
use timely::dataflow::operators::{Inspect, Probe};
use timely::dataflow::{InputHandle, ProbeHandle};

type Stats = (Count, Sum);
type Event = (EventTime, u64, i64);
/// The first column has totals of its own.
type Key = (u8, u64);
/// Day, closing, key and value of an event.
type Fate = (Day, Day, u64, i64);
/// Whether everything was sealed at the time of the query, the query, and its answer.
type Asked = (bool, Query<Key>, Answer<Key, Stats>);
/// A tick: hours by which the watermark moves, and events with their times relative to it.
type Tick = (i64, Vec<(i64, u64, i64)>);

const HOUR: i64 = 3_600_000;

#[derive(Clone, Debug)]
struct Run {
    workers: usize,
    ticks: Vec<Tick>,
}

fn a_run() -> impl Strategy<Value = Run> {
    let hours = prop_oneof![2 => 0..9i64, 1 => 20..60i64];
    let event = (prop_oneof![2 => -12..1i64, 1 => -120..0i64], 0..40u64, -50..50i64);
    let tick = (
        hours,
        prop_oneof![3 => prop::collection::vec(event.clone(), 0..8), 1 => prop::collection::vec(event, 40..120)],
    );
    (1..4usize, prop::collection::vec(tick, 1..8))
        .prop_map(|(workers, ticks)| Run { workers, ticks })
}

fn key(number: u64) -> Key {
    ((number % 3) as u8, number)
}

/// The keys whose first column is 1.
fn of_first(days: DayRange, shape: Shape) -> Query<Key> {
    Query::new(Keys::Range(KeyRange::within(&1u8)), days, shape)
}

/// The queries: of all rows, of one key and of a few days, as first sealed, after closings, and now.
fn queries(days: &[Day]) -> Vec<Query<Key>> {
    let at = days.iter().map(|&day| Revision::At(day));
    let revisions = at.chain([Revision::First, Revision::Now]);
    let middle = days[days.len() / 2];
    let around = DayRange::new(Day(middle.0 - 1), Day(middle.0 + 2));
    let kinds = revisions.flat_map(|revision| {
        [
            Query::rows(KeyRange::all(), DayRange::ALL).revision(revision),
            Query::rows(KeyRange::between(&key(3), &key(20)), around).revision(revision),
            Query::series(key(7), DayRange::ALL).revision(revision),
            Query::total(around).revision(revision),
            of_first(DayRange::ALL, Shape::Total).revision(revision),
            of_first(DayRange::ALL, Shape::ByDay).revision(revision),
            Query::new(Keys::Range(KeyRange::all()), around, Shape::ByDay).revision(revision),
        ]
    });
    kinds.enumerate().map(|(at, query)| query.id(at as u64)).collect()
}

/// The answer from scratch.
fn recompute(query: &Query<Key>, fates: &[Fate]) -> Vec<(Option<Day>, Option<Key>, Stats)> {
    let mut groups: BTreeMap<(Option<Day>, Option<Key>), Stats> = BTreeMap::new();
    for &(day, closing, key, value) in fates {
        let holds = match query.revision {
            Revision::First => closing == day,
            Revision::At(last) => closing <= last,
            _ => true,
        };
        let wanted = match &query.keys {
            Keys::One(one) => *one == self::key(key),
            Keys::Range(range) => range.contains(&dayfold::key::encoded(&self::key(key))),
            keys => panic!("not asked here: {keys:?}"),
        };
        if !holds || !wanted || !query.days.contains(day) {
            continue;
        }
        let place = match query.shape {
            Shape::Total => (None, None),
            Shape::ByDay => (Some(day), None),
            _ => (Some(day), Some(self::key(key))),
        };
        let more = (Count::one(), Sum::of(value));
        groups.entry(place).and_modify(|sum| sum.plus_equals(&more)).or_insert(more);
    }
    groups.into_iter().map(|((day, key), sum)| (day, key, sum)).collect()
}

/// Runs the ticks; queries meanwhile and, with everything sealed, at the end. Returns the final watermark.
fn run(
    view: &View,
    archive: &Archive,
    Run { workers, ticks }: &Run,
    start: EventTime,
    fates: &mut Vec<Fate>,
) -> (EventTime, Vec<Asked>) {
    let closed = archive.store().and_then(|store| store.closed_through(view.name()));
    let mut floor = closed.map_or(EventTime::MIN, |through| view.upper(through));
    let mut watermark = start;
    let mut schedule: Vec<(Moment, Vec<Event>)> = Vec::new();
    for (number, (hours, events)) in ticks.iter().enumerate() {
        watermark += hours * HOUR;
        floor = floor.max(view.floor_at(watermark));
        let events = events.iter().map(|(at, key, value)| (watermark + at * HOUR, *key, *value));
        let events: Vec<Event> = events.collect();
        fates.extend(events.iter().map(|&(time, key, value)| {
            let day = view.calendar().day_of(time);
            (day, view.closing(day, floor).day, key, value)
        }));
        schedule.push((Moment::new(floor, number as u64 + 1), events));
    }
    let last = fates.iter().map(|(_, closing, ..)| *closing).max().unwrap_or(Day(0));
    let asked = queries(&(last.0 - 4..last.0 + 2).map(Day).collect::<Vec<_>>());

    let answers = Arc::new(Mutex::new(Vec::new()));
    let (out, archive, view, done) =
        (Arc::clone(&answers), archive.clone(), view.clone(), AtomicUsize::new(0));
    let guards = timely::execute(timely::Config::process(*workers), move |worker| {
        let (index, peers) = (worker.index(), worker.peers());
        let mut events = InputHandle::<Moment, _>::new();
        let mut asking = InputHandle::<Moment, _>::new();
        let probe = ProbeHandle::new();
        let status = worker.dataflow(|scope| {
            let folded = events
                .to_stream(scope)
                .fold_days(view.clone(), &archive, |&(time, key, value): &Event| {
                    Some((time, self::key(key), (Count::one(), Sum::of(value))))
                })
                .unwrap();
            let (out, asked) = (Arc::clone(&out), asked.clone());
            let answers = folded.serve(asking.to_stream(scope));
            let found = move |answer: &Answer<Key, Stats>| {
                let query = asked[answer.id as usize % 1_000].clone();
                out.lock().unwrap().push((answer.id >= 1_000, query, answer.clone()));
            };
            answers.inspect(found).probe_with(&probe);
            folded.status()
        });
        for (number, (moment, of_tick)) in schedule.iter().enumerate() {
            events.advance_to(*moment);
            asking.advance_to(*moment);
            let mine = of_tick.iter().enumerate().filter(|(at, _)| at % peers == index);
            mine.for_each(|(_, event)| events.send(*event));
            if number % peers == index {
                asked.iter().cloned().for_each(|query| asking.send(query));
                asking.flush();
            }
            worker.step();
        }
        events.close();
        asking.advance_to(Moment::new(EventTime::MAX, 0));
        let pause = Some(std::time::Duration::from_millis(1));
        let going = |is_going| {
            if let Some(error) = status.error() {
                // It answers nothing more, and a panic of one worker would leave the others waiting.
                eprintln!("the view stopped: {error}");
                std::process::exit(101);
            }
            is_going
        };
        worker.step_or_park_while(pause, || going(!status.finished()));
        done.fetch_add(1, Ordering::SeqCst);
        worker.step_or_park_while(pause, || going(done.load(Ordering::SeqCst) < peers));
        if index == 0 {
            asked.iter().for_each(|query| asking.send(query.clone().id(query.id + 1_000)));
        }
        asking.close();
        worker.step_or_park_while(pause, || going(!probe.done()));
    });
    guards.unwrap().join().into_iter().for_each(|result| result.unwrap());
    (watermark, Arc::into_inner(answers).unwrap().into_inner().unwrap())
}

fn check(answers: &[Asked], fates: &[Fate], what: &str) {
    for (at_end, query, answer) in answers {
        // Meanwhile, the certificate claims only what all workers have sealed.
        let sealed = match (at_end, query.revision, answer.certificate.sealed_through) {
            (true, ..) => true,
            (_, Revision::At(last), Some(through)) => last <= through,
            _ => false,
        };
        let items = answer.items.iter();
        let got: Vec<_> =
            items.map(|item| (item.day, item.key, item.parts.merged().unwrap())).collect();
        if sealed {
            assert_eq!(got, recompute(query, fates), "{what}: {query:?}");
        }
        if query.revision != Revision::Now {
            let is_batch = |parts: &dayfold::serve::Parts<Stats>| {
                parts.speed.is_none() && parts.amendments.is_none()
            };
            assert!(answer.items.iter().all(|item| is_batch(&item.parts)), "{what}: {query:?}");
        }
    }
    assert!(answers.iter().any(|(at_end, ..)| *at_end));
}

fn open(memory: &Memory) -> Arc<Store> {
    let views = vec![ViewRecord::of::<Key, Stats>(&View::new("sealed").unwrap())];
    let store = Store::open(Arc::new(memory.clone()), "/data", StoreConfig::new(0, 1, views));
    let store = store.unwrap();
    store.begin().unwrap();
    Arc::new(store)
}

/// Writes a sealed file again, as the next generation, and removes the old one, which nobody may need.
fn rebuild(memory: &Memory, store: &Store, day: Day, which: usize) {
    // For each closing, the files that are not rebuilt yet; the others are gone.
    let mut revisions = store.revisions("sealed", day).unwrap();
    let all = revisions.clone();
    revisions.retain(|batch| {
        let again = |of: &LiveBatch| of.revision() == batch.revision() && of.worker == batch.worker;
        !all.iter().any(|of| again(of) && of.generation > batch.generation)
    });
    let Some(batch) = revisions.get(which % revisions.len().max(1)) else { return };
    let opened = store.open_batch::<Key, Stats>(batch).unwrap();
    let rows: Vec<_> = opened.scan(&batch.file_coverage).collect::<Result<_, _>>().unwrap();
    let (closing, worker, coverage) = (batch.revision(), batch.worker, batch.file_coverage);
    let entry = store.write_rebuilt("sealed", day, closing, worker, coverage, batch.rows, rows);
    store.commit_rebuilt("sealed", vec![entry.unwrap()]).unwrap();
    memory.remove(Path::new(&batch.path)).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(debug_assertions) { 60 } else { 1_000 },
        ..ProptestConfig::default()
    })]

    #[test]
    fn oracle_the_past_equals_a_recomputation(
        runs in prop::collection::vec(a_run(), 1..4),
        rebuilt in prop::collection::vec((-6..1i32, 0..8usize), 0..6),
    ) {
        let view = View::new("sealed").unwrap();
        let memory = Memory::default();
        let (mut fates, mut watermark) = (Vec::new(), 0);
        for (number, one) in runs.iter().enumerate() {
            let store = open(&memory);
            for &(ago, which) in &rebuilt {
                let last = store.closed_through("sealed").unwrap_or(Day(0));
                rebuild(&memory, &store, Day(last.0 + ago), which);
            }
            let archive = Archive::folder(store);
            let (end, answers) = run(&view, &archive, one, watermark, &mut fates);
            check(&answers, &fates, &format!("run {number}"));
            watermark = end;
        }
        // Without a folder the past of one run is kept, too.
        let mut fates = Vec::new();
        let (_, answers) = run(&view, &Archive::in_memory(), &runs[0], 0, &mut fates);
        check(&answers, &fates, "in memory");
    }
}
