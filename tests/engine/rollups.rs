//! Rollups: answers are the same with and without them, whatever events come.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use dayfold::aggregate::{Count, Sum};
use dayfold::archive::Fault;
use dayfold::engine::{LiveOptions, Measures, Pusher, Running, ViewHandle};
use dayfold::key::KeyRange;
use dayfold::log::Durability;
use dayfold::scan::Scan;
use dayfold::schema::Value;
use dayfold::serve::{MeasureId, Query, Revision};
use dayfold::store::{Memory, Storage};
use dayfold::time::{Day, DayRange, EventTime, Grain};
use dayfold::view::View;
use dayfold::{Cluster, Engine};

use crate::LONG;

type Stats = (Count, Sum);
type Event = (EventTime, u64, i64);

const DAY: EventTime = 86_400_000;
/// 2020-01-01.
const FIRST: i64 = 18_262;
/// Two years, one of which has 366 days.
const DAYS: i64 = 366 + 365;

struct Started {
    running: Running,
    pusher: Pusher<Event>,
    plain: ViewHandle<u64, Stats>,
    rolled: ViewHandle<u64, Stats>,
    clock: Arc<AtomicI64>,
}

impl Started {
    /// An engine whose clock is set to the beginning of a day.
    fn new(storage: &Memory, workers: usize, day: i64) -> Started {
        let clock = Arc::new(AtomicI64::new((FIRST + day) * DAY));
        let now = Arc::clone(&clock);
        let mut engine = Engine::<Event>::new()
            .clock(move || now.load(Ordering::SeqCst))
            .data_in(Arc::new(storage.clone()), "data")
            .log(Durability::System, |event: &Event| event.0);
        let view = |name: &str| View::new(name).unwrap().grace(Duration::ZERO);
        let measures = || Measures::none().measure("count", |stats: &Stats| Some(stats.0.0.into()));
        let enter = |&(time, key, value): &Event| Some((time, key, (Count::one(), Sum::of(value))));
        let plain = engine.view(view("plain"), measures(), enter);
        let rolled = view("rolled").rollup([Grain::Year, Grain::Month]);
        let rolled = engine.view(rolled, measures(), enter);
        let options = LiveOptions::new(|event: &Event| event.0)
            .ahead_limit(Duration::from_secs(1_000 * 86_400));
        let pusher = engine.live(options);
        let running = engine.start(Cluster::workers(workers)).unwrap();
        Started { running, pusher, plain, rolled, clock }
    }

    /// Until all days before this one are sealed.
    fn seal_before(&self, day: i64) {
        self.clock.store((FIRST + day) * DAY + 1, Ordering::SeqCst);
        for view in [&self.plain, &self.rolled] {
            view.wait_sealed_through(Day((FIRST + day - 1) as i32), LONG).unwrap();
        }
    }

    fn push(&self, events: Vec<Event>) {
        self.pusher.push(events).unwrap().receipt.wait_visible(LONG).unwrap();
    }

    /// Waits until this many rollups exist, on all workers.
    #[track_caller]
    fn wait_rollups(&self, expected: usize) {
        let began = Instant::now();
        loop {
            let found = self.rolled.status().numbers.rollups;
            if found == expected {
                return;
            }
            assert!(began.elapsed() < LONG, "{found} rollups: expected {expected}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// All kinds of queries, over ranges that begin and end within periods or at their bounds.
    #[track_caller]
    fn check(&self, what: &str) {
        let day = |at: i64| Day((FIRST + at) as i32);
        let ranges = [
            DayRange::ALL,
            DayRange::new(day(0), day(366)),
            DayRange::new(day(1), day(366)),
            DayRange::new(day(17), day(600)),
            DayRange::new(day(31), day(60)),
            DayRange::new(day(400), day(401)),
        ];
        for days in ranges {
            let mut queries = vec![
                Query::point(3, days),
                Query::total(days),
                Query::keys(KeyRange::all(), days),
                Query::top(3, MeasureId::FIRST, days),
                Query::series(3, days),
                Query::rows(KeyRange::all(), days),
                Query::total(days).revision(Revision::First),
                Query::keys(KeyRange::all(), days).unsealed(),
            ];
            for grain in [Grain::Month, Grain::Quarter, Grain::Year] {
                queries.push(Query::series(3, days).by(grain));
                queries.push(Query::rows(KeyRange::all(), days).by(grain));
            }
            for query in queries {
                let ask = |view: &ViewHandle<u64, Stats>| {
                    let answer = view.ask_timeout(query.clone(), LONG).unwrap();
                    let items = answer.items.into_iter();
                    items.map(|item| (item.day, item.key, item.parts.merged())).collect::<Vec<_>>()
                };
                let (plain, rolled) = (ask(&self.plain), ask(&self.rolled));
                assert!(rolled == plain, "{what}: {query:?}: {rolled:?}, without {plain:?}");
            }
            self.check_unsealed(days, what);
        }
    }

    /// Scans of unsealed rows have exactly the unsealed rows of a full scan. Returns the number of keys. Revisions are
    /// left out, because a rollup's revision is that of the whole period.
    #[track_caller]
    fn check_unsealed(&self, days: DayRange, what: &str) -> usize {
        let view = self.running.view("rolled").unwrap();
        let [_, keys] = [Scan::rows().by(Grain::Month), Scan::by_key()].map(|scan| {
            let scan = scan.periods(days).layers();
            let batches = view.scan(&scan, None).unwrap();
            let at = |name| batches.columns().iter().position(|column| column.name == name);
            let (sealed, revision) = (at("sealed").unwrap(), at("revision").unwrap());
            let ask = |scan: &Scan| {
                let mut rows = view.scan(scan, None).unwrap().timeout(LONG).collect_rows().unwrap();
                rows.iter_mut().for_each(|row| row[revision] = Value::Null);
                rows
            };
            let mut expected = ask(&scan);
            expected.retain(|row| row[sealed] == Value::Boolean(false));
            let unsealed = ask(&scan.clone().unsealed());
            assert!(unsealed == expected, "{what}: {scan:?}: {unsealed:?}, of all {expected:?}");
            unsealed.len()
        });
        keys
    }
}

/// Some keys each day; key 9 is rare.
fn events() -> Vec<Event> {
    let of_day = |day: i64| {
        let time = (FIRST + day) * DAY + 3_600_000;
        let keys =
            (0..7).filter(move |key| (day + key) % 3 != 0).chain((day % 90 == 0).then_some(9));
        keys.map(move |key| (time, key as u64, day * 10 + key))
    };
    (0..DAYS).flat_map(of_day).collect()
}

/// 24 months and 2 years, for each worker.
const ALL: usize = 26;

#[test]
fn answers_are_the_same_with_rollups_while_they_come_and_go() {
    for workers in [1, 2] {
        let storage = Memory::default();
        let started = Started::new(&storage, workers, 0);
        started.push(events());
        started.check("open");
        started.seal_before(DAYS);
        started.check("sealed");
        started.wait_rollups(ALL * workers);
        started.check("rolled up");
        assert_eq!(started.check_unsealed(DayRange::ALL, "rolled up"), 0);
        let files = storage.list(Path::new("data/part-0/rollups/rolled")).unwrap();
        assert_eq!(files.len(), ALL * workers);
        assert!(storage.list(Path::new("data/part-0/rollups/plain")).is_err());

        // A late event of every key: it is an amendment first, and then sealed with its day.
        let late = |at: i64| (0..12).map(move |key| ((FIRST + at) * DAY, key, 1_000)).collect();
        started.push(late(40));
        started.check("amended");
        assert_eq!(started.check_unsealed(DayRange::ALL, "amended"), 12);
        started.seal_before(DAYS + 1);
        started.check("sealed anew");
        started.wait_rollups(ALL * workers);
        started.check("rolled up anew");
        started.rolled.rebuild(DayRange::only(Day((FIRST + 40) as i32)), 1.0).unwrap();
        started.check("rebuilt");
        started.wait_rollups(ALL * workers);
        started.check("rolled up after a rebuild");
        let audited = started.rolled.audit(DayRange::ALL, 1.0).unwrap();
        assert_eq!(audited.findings, []);
        drop(started.pusher);
        started.running.finish().unwrap();

        // The next run goes on with them; it makes those anew whose days have changed.
        let files = || {
            let files = storage.list(Path::new("data/part-0/rollups/rolled")).unwrap();
            files.into_iter().collect::<BTreeSet<String>>()
        };
        let before = files();
        let started = Started::new(&storage, workers, DAYS + 1);
        started.wait_rollups(ALL * workers);
        started.check("opened");
        assert_eq!(files(), before);
        started.push(late(40));
        started.seal_before(DAYS + 2);
        started.wait_rollups(ALL * workers);
        started.check("opened, and sealed anew");
        // February 2020 and its year.
        assert_eq!(before.difference(&files()).count(), 2 * workers);
        drop(started.pusher);
        started.running.finish().unwrap();

        // What no record names is not used, whatever it is; workers of another number make their own.
        let left = Path::new("data/part-0/rollups/rolled/month-2020-01-01-w0-1");
        storage.create(left).unwrap().write_all(b"something else").unwrap();
        let started = Started::new(&storage, 3 - workers, DAYS + 2);
        started.check("opened by others");
        started.wait_rollups(ALL * (3 - workers));
        started.check("opened and rolled up by others");
        drop(started.pusher);
        started.running.finish().unwrap();
        // Those that these cover go with the next opening.
        let started = Started::new(&storage, 3 - workers, DAYS + 2);
        assert_eq!(files().len(), ALL * (3 - workers));
        drop(started.pusher);
        started.running.finish().unwrap();
    }
}

#[test]
fn a_rollup_that_is_damaged_or_gone_is_found_and_made_again() {
    let storage = Memory::default();
    let started = Started::new(&storage, 1, 0);
    started.push(events());
    started.seal_before(DAYS);
    started.wait_rollups(ALL);
    let folder = Path::new("data/part-0/rollups/rolled");
    let file = |period: &str| {
        let names = storage.list(folder).unwrap();
        folder.join(names.iter().find(|name| name.starts_with(period)).unwrap())
    };
    let damage = |path: &Path| {
        let mut bytes = storage.read(path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle..middle + 16].iter_mut().for_each(|byte| *byte ^= 0xFF);
        storage.create(path).unwrap().write_all(&bytes).unwrap();
    };
    // The first half of the year, and the rollups that begin in it.
    let days = DayRange::new(Day(FIRST as i32), Day(FIRST as i32 + 182));
    let audit = |started: &Started| started.rolled.audit(days, 1.0).unwrap().findings;
    assert_eq!(audit(&started), []);

    let (march, may) = (file("month-2020-03-01"), file("month-2020-05-01"));
    damage(&march);
    storage.remove(&may).unwrap();
    let findings = audit(&started);
    let paths = findings.iter().map(|finding| match &finding.fault {
        Fault::Damaged { path, .. } => path.clone(),
        fault => panic!("{fault:?}"),
    });
    assert_eq!(paths.collect::<Vec<_>>(), [march.clone(), may.clone()]);
    // They are made again, under other names.
    let began = Instant::now();
    let is_mended = || storage.read(&march).is_err() && storage.list(folder).unwrap().len() == ALL;
    while !is_mended() {
        assert!(began.elapsed() < LONG, "{:?}", storage.list(folder));
        std::thread::sleep(Duration::from_millis(1));
    }
    started.wait_rollups(ALL);
    assert_eq!(audit(&started), []);
    started.check("made again");
    drop(started.pusher);
    started.running.finish().unwrap();

    // Rows that are whole and wrong: another month in the place of this one.
    let (march, june) = (file("month-2020-03-01"), file("month-2020-06-01"));
    assert!(storage.read(&may).is_err());
    storage.remove(&file("month-2020-05-01")).unwrap();
    let other = storage.read(&june).unwrap();
    storage.create(&march).unwrap().write_all(&other).unwrap();
    let started = Started::new(&storage, 1, DAYS);
    started.wait_rollups(ALL);
    assert_eq!(audit(&started), []);
    started.check("opened without them");
    drop(started.pusher);
    started.running.finish().unwrap();
}

#[test]
fn a_damaged_day_keeps_its_rollups_from_being_made_until_it_is_repaired_and_nothing_else() {
    let storage = Memory::default();
    let started = Started::new(&storage, 1, 0);
    started.push(events());
    started.seal_before(DAYS);
    started.wait_rollups(ALL);
    drop(started.pusher);
    started.running.finish().unwrap();

    let folder = Path::new("data/part-0/views/rolled/2020-01-15");
    let file = folder.join(&storage.list(folder).unwrap()[0]);
    let mut bytes = storage.read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 16].iter_mut().for_each(|byte| *byte ^= 0xFF);
    storage.create(&file).unwrap().write_all(&bytes).unwrap();
    // Rollups that were made before do not need the day.
    let rollups = Path::new("data/part-0/rollups/rolled");
    for name in storage.list(rollups).unwrap() {
        storage.remove(&rollups.join(name)).unwrap();
    }

    let started = Started::new(&storage, 1, DAYS);
    // Its month and its year are missing.
    started.wait_rollups(ALL - 2);
    let of_2021 = DayRange::new(Day((FIRST + 366) as i32), Day((FIRST + DAYS) as i32));
    let ask = |view: &ViewHandle<u64, Stats>| view.ask(Query::point(3, of_2021)).unwrap().value();
    assert_eq!(ask(&started.rolled), ask(&started.plain));
    // Events still enter.
    started.push(vec![((FIRST + DAYS) * DAY, 3, 1)]);

    let day = DayRange::only(Day((FIRST + 14) as i32));
    started.rolled.rebuild(day, 1.0).unwrap();
    started.wait_rollups(ALL);
    started.check("repaired");
    drop(started.pusher);
    started.running.finish().unwrap();
}
