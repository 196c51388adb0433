//! Large queries: what they read, what ends them, why they are refused, and snapshots over two processes.

use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Barrier, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use dayfold::aggregate::{Aggregate, Count, IsZero, Semigroup, Sum};
use dayfold::engine::{LiveOptions, Measures, Pusher, Running, Views};
use dayfold::scan::{Batches, ErasedView, Scan, ScanError, ScanKeys, Snapshot};
use dayfold::schema::{AggregateShape, Kind, Measure, Presented, Value};
use dayfold::serve::Revision;
use dayfold::view::View;
use dayfold::{Cluster, Engine};
use serde::{Deserialize, Serialize};

use crate::LONG;

const NOON: i64 = 1_714_557_600_000;

/// Rows that reading threads have made, the ones that still exist, and their peak number.
static READ: AtomicI64 = AtomicI64::new(0);
static HELD: AtomicI64 = AtomicI64::new(0);
static MOST: AtomicI64 = AtomicI64::new(0);
/// The reading thread stops at this row, until the gate is open.
static STOP_AT: AtomicI64 = AtomicI64::new(i64::MAX);
static GATE: Mutex<()> = Mutex::new(());
/// Tests that use the counts run alone.
static COUNTING: Mutex<()> = Mutex::new(());

/// A number that counts its copies on reading threads.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Told(i64, #[serde(skip)] bool);

impl Clone for Told {
    fn clone(&self) -> Told {
        if std::thread::current().name() != Some("dayfold:look-up") {
            return Told(self.0, false);
        }
        MOST.fetch_max(HELD.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        if READ.fetch_add(1, Ordering::SeqCst) + 1 == STOP_AT.load(Ordering::SeqCst) {
            drop(GATE.lock().unwrap());
        }
        Told(self.0, true)
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        HELD.fetch_sub(i64::from(self.1), Ordering::SeqCst);
    }
}

impl IsZero for Told {
    fn is_zero(&self) -> bool {
        self.0 == 0
    }
}

impl Semigroup for Told {
    fn plus_equals(&mut self, other: &Told) {
        self.0 += other.0;
    }
}

impl Aggregate for Told {
    fn id() -> String {
        "told".to_owned()
    }
    fn shape() -> AggregateShape {
        AggregateShape::one("told", Measure::new("", Kind::Integer))
    }
    fn present(state: Option<&Told>, out: &mut Presented<'_>) {
        out.put(|| Value::or_null(state.map(|told| Value::Integer(told.0.into()))));
    }
}

const KEYS: u64 = 300_000;

/// An engine with two workers and a view with this many keys, on an open day.
struct Counted {
    view: Arc<dyn ErasedView>,
    running: Running,
    _alone: MutexGuard<'static, ()>,
}

impl Counted {
    fn new() -> Counted {
        let alone = COUNTING.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let mut engine = Engine::<u64>::new().clock(|| NOON);
        let view = View::new("counted").unwrap();
        engine.view(view, Measures::none(), |key: &u64| {
            Some((NOON, key.wrapping_mul(0x9E37_79B9_7F4A_7C15), Told(*key as i64 + 1, false)))
        });
        let pusher = engine.live(LiveOptions::new(|_: &u64| NOON));
        let running = engine.start(Cluster::workers(2)).unwrap();
        for from in (0..KEYS).step_by(10_000) {
            pusher
                .push((from..from + 10_000).collect())
                .unwrap()
                .receipt
                .wait_visible(LONG)
                .unwrap();
        }
        let view = running.view("counted").unwrap();
        READ.store(0, Ordering::SeqCst);
        MOST.store(0, Ordering::SeqCst);
        Counted { view, running, _alone: alone }
    }

    fn scan(&self, scan: &Scan) -> Batches {
        self.view.scan(scan, None).unwrap().timeout(LONG)
    }

    /// Ends the engine, and all readers. Returns how many rows they had read.
    fn read(self) -> i64 {
        self.running.finish().unwrap();
        READ.load(Ordering::SeqCst)
    }
}

/// A ranking sends nothing before all keys are read, so it does not stop for lack of credit.
#[test]
fn a_dropped_scan_stops_the_reading_on_all_workers() {
    let counted = Counted::new();
    STOP_AT.store(5_000, Ordering::SeqCst);
    let shut = GATE.lock().unwrap();
    let ranking = counted.scan(&Scan::top(3, "told"));
    let started = Instant::now();
    while READ.load(Ordering::SeqCst) < 5_000 {
        assert!(started.elapsed() < LONG, "it is read");
        std::thread::yield_now();
    }
    drop(ranking);
    // Once these later queries are answered, both workers know that it was dropped.
    for key in 0..64u64 {
        let key = Value::Integer(key.wrapping_mul(0x9E37_79B9_7F4A_7C15).into());
        let one = counted.scan(&Scan::total().keys(ScanKeys::One(vec![key])));
        assert_eq!(one.collect_rows().unwrap().len(), 1);
    }
    drop(shut);
    STOP_AT.store(i64::MAX, Ordering::SeqCst);
    let read = counted.read();
    // Each row that was read is copied once more to be ranked.
    assert!(read < 2 * (5_000 + 2_048), "{read} rows of {KEYS} were read");
}

#[test]
fn a_limit_stops_the_reading_and_a_ranking_keeps_few_rows() {
    let counted = Counted::new();
    let mut page = counted.scan(&Scan::by_key().limit(10));
    assert_eq!(page.by_ref().map(|batch| batch.unwrap().rows()).sum::<usize>(), 10);
    assert!(page.next_page().is_some());
    drop(page);
    let read = counted.read();
    assert!(read < 2_000, "{read} rows of {KEYS} were copied for a page of 10");

    let counted = Counted::new();
    let rows = counted.scan(&Scan::top(3, "told").columns(["told"])).collect_rows().unwrap();
    let greatest = [0, 1, 2].map(|n| vec![Value::Integer((KEYS - n).into())]);
    assert_eq!(rows, greatest);
    let (read, most) = (counted.read(), MOST.load(Ordering::SeqCst));
    assert!(read >= KEYS as i64, "all of them were looked at");
    assert!(most < KEYS as i64 / 3, "{most} rows were held at once");
}

/// Eight askers ask the same as of one moment. One is slow, and one goes away in the middle; all answers are the same.
#[test]
fn who_asks_the_same_of_one_moment_shares_the_reading_and_waits_for_nobody() {
    let counted = Counted::new();
    let snapshot = counted.running.views().snapshot(LONG).unwrap();
    let whole = |scan: &Scan| {
        counted.view.scan(scan, Some(&snapshot)).unwrap().timeout(LONG).collect_rows().unwrap()
    };
    for scan in [Scan::by_key(), Scan::by_key().limit(200_000), Scan::top(3, "told")] {
        let expected = whole(&scan);
        let mut asked: Vec<Batches> = (0..8)
            .map(|_| counted.view.scan(&scan, Some(&snapshot)).unwrap().timeout(LONG))
            .collect();
        let mut slow = asked.pop().unwrap();
        let first = slow.next().unwrap().unwrap();
        let mut gone = asked.pop().unwrap();
        gone.next().unwrap().unwrap();
        std::thread::scope(|scope| {
            let fast: Vec<_> = asked
                .into_iter()
                .map(|batches| scope.spawn(move || batches.collect_rows().unwrap()))
                .collect();
            drop(gone);
            for fast in fast {
                assert!(fast.join().unwrap() == expected, "a fast one has all of {scan:?}");
            }
        });
        let columns = expected[0].len();
        let row = |row| (0..columns).map(|column| first.value(row, column)).collect::<Vec<_>>();
        let begun: Vec<_> = (0..first.rows()).map(row).collect();
        assert!(begun == expected[..begun.len()], "the first rows of {scan:?}");
        assert!(slow.collect_rows().unwrap() == expected[begun.len()..], "the slow one: {scan:?}");
    }
    drop(snapshot);
    counted.read();
}

#[test]
fn what_waits_to_be_taken_is_bounded_in_bytes_and_nobody_takes_nothing_for_ever() {
    let mut engine = Engine::<u32>::new().clock(|| NOON);
    let view = View::new("wide").unwrap();
    engine.view(view, Measures::none(), |key: &u32| {
        Some((NOON, format!("{key:08}{}", "-".repeat(1_000)), Count::one()))
    });
    let pusher = engine.live(LiveOptions::new(|_: &u32| NOON));
    let running = engine.start(Cluster::workers(1)).unwrap();
    pusher.push((0..30_000).collect()).unwrap().receipt.wait_visible(LONG).unwrap();
    let view = running.view("wide").unwrap();
    let (mut begun, started) = (Vec::new(), Instant::now());
    let refused = loop {
        match view.scan(&Scan::by_key(), None) {
            Ok(mut batches) => {
                batches.certificate().unwrap();
                begun.push(batches.timeout(LONG));
            }
            Err(error) => break error,
        }
        assert!(started.elapsed() < LONG, "{} scans that nobody takes are let in", begun.len());
        std::thread::sleep(Duration::from_millis(10));
    };
    assert!(matches!(refused, ScanError::Busy { .. }), "{refused}");
    assert!(refused.to_string().contains("bytes"), "{refused}");
    // Accepted queries are answered, and then others are accepted.
    let first = begun.swap_remove(0);
    assert_eq!(first.map(|batch| batch.unwrap().rows()).sum::<usize>(), 30_000);
    drop(begun);
    let again = loop {
        match view.scan(&Scan::by_key().limit(5), None) {
            Ok(batches) => break batches,
            Err(error) => assert!(started.elapsed() < 2 * LONG, "{error}"),
        }
    };
    assert_eq!(again.collect_rows().unwrap().len(), 5);
    running.finish().unwrap();
}

#[test]
fn another_revision_than_the_newest_is_refused_of_a_snapshot() {
    let mut engine = Engine::<u32>::new().clock(|| NOON);
    engine.view(View::new("v").unwrap(), Measures::none(), |key: &u32| {
        Some((NOON, *key, Count::one()))
    });
    let _pusher = engine.live(LiveOptions::new(|_: &u32| NOON));
    let running = engine.start(Cluster::workers(1)).unwrap();
    let (view, snapshot) = (running.view("v").unwrap(), running.views().snapshot(LONG).unwrap());
    let first = Scan::rows().revision(Revision::First);
    let refused = view.scan(&first, Some(&snapshot)).err().unwrap().to_string();
    assert!(refused.contains("newest revision"), "{refused}");
    assert_eq!(view.scan(&first, None).unwrap().collect_rows(), Ok(Vec::new()));
    running.finish().unwrap();
}

/// Time, shop, desk. Each is counted by two views.
type Sale = (i64, String, u32);
/// Events of a push: they become visible together.
const TOGETHER: i128 = 10;

/// One of two processes.
fn process(process: usize, workers: usize, hosts: Vec<String>) -> (Pusher<Sale>, Running) {
    let mut engine = Engine::<Sale>::new().clock(|| NOON);
    engine.view(View::new("by-shop").unwrap(), Measures::none(), |(time, shop, _): &Sale| {
        Some((*time, shop.clone(), Count::one()))
    });
    engine.view(View::new("by-desk").unwrap(), Measures::none(), |(time, shop, desk): &Sale| {
        Some((*time, (*desk, shop.clone()), (Count::one(), Sum::of(1))))
    });
    let pusher = engine.live(LiveOptions::new(|sale: &Sale| sale.0));
    let cluster = Cluster::hosts(workers, process, hosts).unwrap();
    (pusher, engine.start(cluster).unwrap())
}

/// The number of events, by each shape of both views, as of one snapshot.
fn counts(views: &Views, snapshot: &Snapshot) -> Vec<i128> {
    let mut counts = Vec::new();
    for (view, measure) in [("by-shop", "count"), ("by-desk", "count"), ("by-desk", "sum")] {
        let view = views.get(view).unwrap();
        let shapes = [
            Scan::rows(),
            Scan::by_period(),
            Scan::by_key(),
            Scan::total(),
            Scan::top(100_000, measure),
        ];
        for scan in shapes {
            let batches = view.scan(&scan.columns([measure]), Some(snapshot)).unwrap();
            let mut batches = batches.timeout(LONG);
            assert_eq!(batches.certificate().unwrap().as_of, snapshot.moment());
            let rows = batches.collect_rows().unwrap();
            let of_row = |row: &Vec<Value>| match row[0] {
                Value::Integer(count) => count,
                ref other => panic!("{other:?}"),
            };
            counts.push(rows.iter().map(of_row).sum());
        }
    }
    counts
}

#[test]
fn oracle_a_snapshot_is_one_moment_of_all_views_in_two_processes_while_events_enter() {
    for workers in 1..=2 {
        let listeners = [0, 1].map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
        let hosts = listeners.each_ref().map(|socket| socket.local_addr().unwrap().to_string());
        drop(listeners);
        let started = [0, 1].map(|index| {
            let hosts = hosts.to_vec();
            std::thread::spawn(move || process(index, workers, hosts))
        });
        let processes = started.map(|process| process.join().unwrap());
        let (is_over, begun) = (Arc::new(AtomicBool::new(false)), Arc::new(Barrier::new(3)));
        let pushing = processes.each_ref().map(|(pusher, _)| {
            let (pusher, is_over) = (pusher.clone(), Arc::clone(&is_over));
            let begun = Arc::clone(&begun);
            std::thread::spawn(move || {
                let mut pushed = 0_i128;
                while !is_over.load(Ordering::Acquire) {
                    let sale = |n| {
                        let n = pushed as i64 * 7 + n;
                        (NOON - n % 3 * 1_000, format!("shop {}", n % 400), (n * n % 90) as u32)
                    };
                    let taken = pusher.push((0..TOGETHER as i64).map(sale).collect()).unwrap();
                    taken.receipt.wait_visible(LONG).unwrap();
                    if pushed == 0 {
                        begun.wait();
                    }
                    pushed += TOGETHER;
                }
                pushed
            })
        });
        begun.wait();
        let (mut last, mut moved) = (0, 0);
        for round in 0..30 {
            let (_, running) = &processes[round % 2];
            let views = running.views();
            let snapshot = views.snapshot(LONG).unwrap();
            let counts = counts(&views, &snapshot);
            assert!(counts.iter().all(|count| *count == counts[0]), "{counts:?}");
            assert_eq!(counts[0] % TOGETHER, 0, "pushes are whole");
            moved += usize::from(counts[0] != last);
            last = counts[0];
        }
        assert!(moved > 1, "events enter meanwhile");
        is_over.store(true, Ordering::Release);
        let pushed: i128 = pushing.into_iter().map(|pushing| pushing.join().unwrap()).sum();
        for (_, running) in &processes {
            let views = running.views();
            // What the other process has acknowledged is complete here a little later.
            let started = Instant::now();
            loop {
                let counts = counts(&views, &views.snapshot(LONG).unwrap());
                assert!(counts.iter().all(|count| *count == counts[0] && *count <= pushed));
                if counts[0] == pushed {
                    break;
                }
                assert!(started.elapsed() < LONG, "{counts:?}, pushed {pushed}");
            }
        }
        let ends = processes.map(|(pusher, running)| {
            drop(pusher);
            std::thread::spawn(|| running.finish().unwrap())
        });
        ends.into_iter().for_each(|end| drop(end.join().unwrap()));
    }
}
