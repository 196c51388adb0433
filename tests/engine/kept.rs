//! Views that keep only the newest periods and revisions: what is removed, what is refused, and that the rest is right.

mod log;

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use dayfold::aggregate::Count;
use dayfold::engine::{
    AskError, LiveOptions, LogRelease, MaintainError, Measures, Pusher, Running, ViewHandle,
};
use dayfold::key::KeyRange;
use dayfold::log::Durability;
use dayfold::scan::{ErasedView, Scan, ScanError};
use dayfold::serve::{Query, Revision};
use dayfold::store::{Memory, Storage};
use dayfold::time::{Day, DayRange, EventTime, Grain};
use dayfold::view::View;
use dayfold::{Cluster, Engine};

use crate::LONG;

const DAY: EventTime = 86_400_000;

struct Started {
    running: Running,
    pusher: Pusher<EventTime>,
    view: ViewHandle<u64, Count>,
    clock: Arc<AtomicI64>,
}

impl Started {
    /// A live engine over a folder, at the beginning of a day.
    fn new(storage: &Memory, day: i64, workers: usize, keep: impl Fn(View) -> View) -> Started {
        Started::of(storage, day, workers, keep, |engine| engine)
    }

    fn of(
        storage: &Memory,
        day: i64,
        workers: usize,
        keep: impl Fn(View) -> View,
        change: impl Fn(Engine<EventTime>) -> Engine<EventTime>,
    ) -> Started {
        let clock = Arc::new(AtomicI64::new(day * DAY));
        Started::in_cluster(storage, clock, Cluster::workers(workers), keep, change)
    }

    fn in_cluster(
        storage: &Memory,
        clock: Arc<AtomicI64>,
        cluster: Cluster,
        keep: impl Fn(View) -> View,
        change: impl Fn(Engine<EventTime>) -> Engine<EventTime>,
    ) -> Started {
        let now = Arc::clone(&clock);
        let engine = Engine::new()
            .clock(move || now.load(Ordering::SeqCst))
            .data_in(Arc::new(storage.clone()), "data")
            .log(Durability::System, |time: &EventTime| *time);
        let mut engine = change(engine);
        let view = keep(View::new("events").unwrap().grace(Duration::ZERO));
        let view = engine.view(view, Measures::none(), |time: &EventTime| {
            Some((*time, (*time % 7) as u64, Count::one()))
        });
        let pusher = engine.live(LiveOptions::new(|time: &EventTime| *time));
        let running = engine.start(cluster).unwrap();
        Started { running, pusher, view, clock }
    }

    fn push(&self, times: impl IntoIterator<Item = EventTime>) {
        let pushed = self.pusher.push(times.into_iter().collect()).unwrap();
        pushed.receipt.wait_visible(LONG).unwrap();
    }

    /// Waits until all days before this one are sealed.
    fn seal_before(&self, day: i64) {
        self.clock.store(day * DAY + 1, Ordering::SeqCst);
        self.view.wait_sealed_through(Day(day as i32 - 1), LONG).unwrap();
    }

    /// The days that have events, each with their number.
    fn days(&self, query: Query<u64>) -> Result<Vec<(i32, i64)>, AskError> {
        let answer = self.view.ask_timeout(query, LONG)?;
        let of = |item: &dayfold::serve::Item<u64, Count>| {
            (item.day.unwrap().0, item.parts.merged().unwrap().0)
        };
        let mut days: Vec<(i32, i64)> = Vec::new();
        for (day, count) in answer.items.iter().map(of) {
            match days.last_mut() {
                Some(last) if last.0 == day => last.1 += count,
                _ => days.push((day, count)),
            }
        }
        Ok(days)
    }
}

fn revisions(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap()
}

fn rows() -> Query<u64> {
    Query::rows(KeyRange::all(), DayRange::ALL)
}

/// The number of folders of days on disk.
fn folders(storage: &Memory) -> usize {
    let views = Path::new("data/part-0/views/events");
    let days = storage.list(views).unwrap_or_default();
    days.iter().filter(|day| !storage.list(&views.join(day)).unwrap().is_empty()).count()
}

/// Thirty days of ten events, sealed; then late events of all of them, sealed with the next day.
fn folder(storage: &Memory) {
    let started = Started::new(storage, 100, 2, |view| view);
    for day in 100..130 {
        started.clock.store(day * DAY + DAY / 2, Ordering::SeqCst);
        started.push((0..10).map(|n| day * DAY + n));
    }
    started.seal_before(130);
    started.push((100..130).map(|day| day * DAY + 11));
    started.push([130 * DAY]);
    started.seal_before(131);
    started.running.finish().unwrap();
}

#[test]
fn what_is_older_is_removed_and_refused() {
    let storage = Memory::default();
    folder(&storage);
    assert_eq!(folders(&storage), 31);
    for workers in 1..=3 {
        let keep = |view: View| view.keep(Duration::from_secs(10 * 86_400));
        let started = Started::new(&storage, 131, workers, keep);
        assert_eq!(folders(&storage), 10);
        let kept: Vec<_> = (121..131).map(|day| (day, if day == 130 { 1 } else { 11 })).collect();
        assert_eq!(started.days(rows()).unwrap(), kept);
        let answer = started.view.ask(rows()).unwrap();
        assert_eq!(answer.certificate.kept_from, Some(Day(121)));
        // Any part of the kept days can be queried.
        let around = DayRange::new(Day(121), Day(123));
        assert_eq!(started.days(Query::rows(KeyRange::all(), around)).unwrap(), kept[..2]);
        // Days that are not kept are refused, with the limit.
        let below = DayRange::new(Day(120), Day(123));
        let kept_from = Day(121);
        let removed = AskError::Removed { view: "events".to_owned(), kept_from };
        let error = started.days(Query::rows(KeyRange::all(), below)).unwrap_err();
        assert_eq!(error, removed);
        assert!(error.to_string().contains("keeps days from 1970-05-02 on"), "{error}");
        let error = started.view.subscribe(Query::point(3, below), LONG).map(|_| ()).unwrap_err();
        assert_eq!(error, removed);
        let error = started.view.scan(&Scan::rows().periods(below), None).map(|_| ()).unwrap_err();
        assert!(matches!(error, ScanError::Removed { kept_from: Day(121), .. }), "{error}");
        for result in [started.view.audit(below, 1.0), started.view.rebuild(below, 1.0)] {
            let error = result.unwrap_err();
            assert!(matches!(error, MaintainError::Removed { kept_from: Day(121), .. }), "{error}");
        }
        // The log has everything, but an audit and a rebuild of all days cover only the kept ones.
        let audited = started.view.audit(DayRange::ALL, 1.0).unwrap();
        assert!(audited.findings.is_empty(), "{:?}", audited.findings);
        started.view.rebuild(DayRange::ALL, 1.0).unwrap();
        assert_eq!(started.days(rows()).unwrap(), kept);
        // A late event of a removed day is in the log, and nowhere else.
        let late = started.view.ask(rows()).unwrap().certificate.late;
        started.push([105 * DAY + 5]);
        assert_eq!(started.days(rows()).unwrap(), kept);
        assert_eq!(started.view.ask(rows()).unwrap().certificate.late, late + 1);
        started.running.finish().unwrap();
    }
}

#[test]
fn old_revisions_are_removed_and_refused() {
    let storage = Memory::default();
    folder(&storage);
    let past = |day| rows().revision(Revision::At(Day(day)));
    let started = Started::new(&storage, 131, 2, |view| view.keep_revisions(revisions(2)));
    let first: Vec<_> = (100..130).map(|day| (day, 10)).collect();
    assert_eq!(started.days(past(129)).unwrap(), first, "two of them are there");
    started.running.finish().unwrap();

    let started = Started::new(&storage, 131, 2, |view| view.keep_revisions(revisions(1)));
    for query in [past(129), rows().revision(Revision::First)] {
        let error = started.days(query).unwrap_err();
        assert!(matches!(error, AskError::Superseded { .. }), "{error}");
    }
    let error = started
        .view
        .scan(&Scan::rows().revision(Revision::First), None)
        .and_then(|rows| rows.timeout(LONG).collect_rows())
        .unwrap_err();
    assert!(matches!(error, ScanError::Superseded { .. }), "{error}");
    // A query that can be answered is answered, and the view goes on.
    let now = started.days(rows()).unwrap();
    assert_eq!(now.iter().map(|(_, count)| count).sum::<i64>(), 331);
    assert_eq!(started.days(past(130)).unwrap(), now);
    let last = DayRange::only(Day(130));
    let query = Query::rows(KeyRange::all(), last).revision(Revision::First);
    assert_eq!(started.days(query).unwrap(), [(130, 1)]);
    started.running.finish().unwrap();
}

/// The UTC days that have files in the log.
fn logged(storage: &Memory) -> Vec<String> {
    let log = Path::new("data/part-0/log");
    let has_files = |day: &String| !storage.list(&log.join(day)).unwrap().is_empty();
    let days = storage.list(log).unwrap().into_iter();
    let mut days: Vec<String> = days.filter(|day| day.starts_with('1')).filter(has_files).collect();
    days.sort();
    days
}

/// Tries again until it is so: while an engine runs, days are removed a little later.
#[track_caller]
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = std::time::Instant::now();
    while !is_so() {
        assert!(began.elapsed() < LONG, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn kept_on_disk(storage: &Memory) -> Option<Day> {
    dayfold::store::inspect(storage, "data").unwrap().views[0].kept_from
}

#[test]
fn what_is_older_goes_while_the_engine_runs_and_who_reads_it_goes_on() {
    for workers in 1..=3 {
        let storage = Memory::default();
        let keep = |view: View| view.keep(Duration::from_secs(5 * 86_400)).rollup([Grain::Month]);
        let started = Started::new(&storage, 100, workers, keep);
        let views = started.running.views();
        let (mut snapshot, mut scan) = (None, None);
        let subscribed = DayRange::new(Day(100), Day(130));
        let mut answers = started.view.subscribe(Query::total(subscribed), Duration::ZERO).unwrap();
        for day in 100..130 {
            started.push((0..10).map(|n| day * DAY + n));
            started.seal_before(day + 1);
            if day == 105 {
                snapshot = Some(views.snapshot(LONG).unwrap());
                // It is begun now, and read later.
                scan = Some(started.view.scan(&Scan::rows(), snapshot.as_ref()).unwrap());
            }
        }
        let kept: Vec<_> = (125..130).map(|day| (day, 10)).collect();
        assert_eq!(started.days(rows()).unwrap(), kept);
        let answer = started.view.ask(rows()).unwrap();
        assert_eq!(answer.certificate.kept_from, Some(Day(125)));
        let around = Query::rows(KeyRange::all(), DayRange::new(Day(124), Day(130)));
        let removed = AskError::Removed { view: "events".to_owned(), kept_from: Day(125) };
        assert_eq!(started.days(around).unwrap_err(), removed);
        // A subscription has those of its days that are kept.
        until("the subscription follows", || {
            let answer = answers.next_timeout(LONG).unwrap();
            let total = answer.value().map_or(0, |count| count.0);
            total == 50 && answer.certificate.kept_from == Some(Day(125))
        });
        // The snapshot has what was kept when it was taken, and so has a query of it now.
        let count = |scan: &Scan, snapshot| {
            let rows = started.view.scan(scan, snapshot).unwrap().timeout(LONG).collect_rows();
            rows.unwrap().len()
        };
        let early = Scan::rows().periods(DayRange::new(Day(101), Day(103)));
        assert_eq!(count(&early, snapshot.as_ref()), 2 * 7);
        let rows_of_scan = scan.take().unwrap().timeout(LONG).collect_rows().unwrap();
        assert_eq!(rows_of_scan.len(), 5 * 7);
        drop(snapshot);
        until("nobody reads what goes", || folders(&storage) == 5);
        assert_eq!(kept_on_disk(&storage), Some(Day(125)));
        let audited = started.view.audit(DayRange::ALL, 1.0).unwrap();
        assert!(audited.findings.is_empty(), "{:?}", audited.findings);
        started.view.rebuild(DayRange::ALL, 1.0).unwrap();
        // Late events of removed days are not sealed, those of kept days are.
        started.push([110 * DAY + 3, 127 * DAY + 11]);
        started.push([130 * DAY]);
        started.seal_before(131);
        let mut kept: Vec<_> = (126..130).map(|day| (day, 10)).collect();
        kept[1].1 = 11;
        kept.push((130, 1));
        assert_eq!(started.days(rows()).unwrap(), kept);
        until("the next one goes", || kept_on_disk(&storage) == Some(Day(126)));
        started.running.finish().unwrap();
        let started = Started::new(&storage, 131, workers, |view| view);
        assert_eq!(started.days(rows()).unwrap(), kept, "the folder remembers");
        started.running.finish().unwrap();
    }
}

/// The number of files of sealed days on disk.
fn files(storage: &Memory) -> usize {
    let views = Path::new("data/part-0/views/events");
    let days = storage.list(views).unwrap_or_default();
    days.iter().map(|day| storage.list(&views.join(day)).unwrap().len()).sum()
}

#[test]
fn old_revisions_go_while_the_engine_runs() {
    for workers in 1..=2 {
        let storage = Memory::default();
        let keep = |view: View| view.keep_revisions(revisions(1));
        let started = Started::new(&storage, 100, workers, keep);
        for day in 100..110 {
            // Each day has late events of the one before, so each has two revisions.
            started.push((0..10).map(|n| day * DAY + n));
            started.push((0..10).map(|n| (day - 1) * DAY + n));
            started.seal_before(day + 1);
        }
        let days = 11;
        until("one revision is left", || files(&storage) == days * workers);
        let all: Vec<_> = started.days(rows()).unwrap();
        assert_eq!(all.iter().map(|(_, count)| count).sum::<i64>(), 200);
        let past = rows().revision(Revision::First);
        let error = started.days(past).unwrap_err();
        assert!(matches!(error, AskError::Superseded { .. }), "{error}");
        let audited = started.view.audit(DayRange::ALL, 1.0).unwrap();
        assert!(audited.findings.is_empty(), "{:?}", audited.findings);
        // Rebuilt revisions are there twice until the next start.
        started.view.rebuild(DayRange::ALL, 1.0).unwrap();
        assert_eq!(files(&storage), 2 * days * workers);
        started.running.finish().unwrap();
        let started = Started::new(&storage, 110, workers, |view| view);
        assert_eq!(files(&storage), days * workers);
        assert_eq!(started.days(rows()).unwrap(), all);
        started.running.finish().unwrap();
    }
}

#[test]
fn revisions_go_a_while_after_they_were_superseded() {
    for workers in 1..=2 {
        let storage = Memory::default();
        let keep = |view: View| view.keep_revisions_for(Duration::from_secs(3 * 86_400));
        let started = Started::new(&storage, 100, workers, keep);
        for day in 100..110 {
            started.push((0..10).map(|n| day * DAY + n));
            started.push((0..10).map(|n| (day - 1) * DAY + n));
            started.seal_before(day + 1);
        }
        // The last three closed days superseded a revision of the day before each of them.
        until("three old ones are left", || files(&storage) == (11 + 3) * workers);
        let answered = |started: &Started| {
            let past = |day| started.days(rows().revision(Revision::At(Day(day))));
            let as_of = past(106).unwrap();
            assert_eq!(
                as_of.iter().rev().take(2).copied().collect::<Vec<_>>(),
                [(106, 10), (105, 20)]
            );
            let error = past(105).unwrap_err();
            assert!(matches!(error, AskError::Superseded { .. }), "{error}");
        };
        answered(&started);
        started.running.finish().unwrap();
        // Another run keeps the same ones, and a shorter time takes effect when the folder is opened.
        let started = Started::new(&storage, 110, workers, keep);
        answered(&started);
        started.running.finish().unwrap();
        let keep = |view: View| view.keep_revisions_for(Duration::ZERO);
        let started = Started::new(&storage, 110, workers, keep);
        assert_eq!(files(&storage), 11 * workers);
        started.running.finish().unwrap();
    }
}

/// Two processes that share a folder.
fn two_processes(storage: &Memory, clock: &Arc<AtomicI64>) -> [Started; 2] {
    let listeners = [0, 1].map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    let hosts = listeners.each_ref().map(|socket| socket.local_addr().unwrap().to_string());
    drop(listeners);
    let keep = |view: View| view.keep(Duration::from_secs(5 * 86_400)).keep_revisions(revisions(1));
    let log = |engine: Engine<EventTime>| engine.keep_log(Duration::from_secs(5 * 86_400));
    std::thread::scope(|scope| {
        let start = |process: usize| {
            let (hosts, clock) = (hosts.to_vec(), Arc::clone(clock));
            let cluster = Cluster::hosts(2, process, hosts).unwrap();
            scope.spawn(move || Started::in_cluster(storage, clock, cluster, keep, log))
        };
        [0, 1].map(start).map(|started| started.join().unwrap())
    })
}

#[test]
fn two_processes_remove_the_same() {
    let (storage, clock) = (Memory::default(), Arc::new(AtomicI64::new(100 * DAY)));
    let processes = two_processes(&storage, &clock);
    for day in 100..115 {
        for (process, started) in processes.iter().enumerate() {
            started.push((0..10).map(|n| day * DAY + 100 * process as i64 + n));
            // Late events of the day before make a second revision.
            started.push((0..10).map(|n| (day - 1) * DAY + 200 + n));
        }
        processes.iter().for_each(|started| started.seal_before(day + 1));
        let kept: Vec<_> = (day - 4..=day).filter(|kept| *kept >= 99).collect();
        for started in &processes {
            let days = started.days(rows()).unwrap();
            let days: Vec<i64> = days.into_iter().map(|(day, _)| i64::from(day)).collect();
            assert_eq!(days, kept, "after day {day}");
        }
    }
    let views = |part: usize| PathBuf::from(format!("data/part-{part}/views/events"));
    let files = |part: usize| {
        let days = storage.list(&views(part)).unwrap();
        days.iter().map(|day| storage.list(&views(part).join(day)).unwrap().len()).sum::<usize>()
    };
    // Files of five days, and of both workers of each process.
    until("both have removed", || files(0) <= 10 && files(1) <= 10);
    let report = || dayfold::store::inspect(&storage, "data").unwrap();
    until("both have shortened their logs", || {
        report().log_from == Some(Day(110)) && logged(&storage).len() == 5
    });
    for started in &processes {
        let audited = started.view.audit(DayRange::ALL, 1.0).unwrap();
        assert!(audited.findings.is_empty(), "{:?}", audited.findings);
    }
    let all = processes[0].days(rows()).unwrap();
    assert_eq!(all, processes[1].days(rows()).unwrap());
    assert_eq!(all.iter().map(|(_, count)| count).sum::<i64>(), 5 * 20 + 4 * 20);
    std::thread::scope(|scope| {
        processes.into_iter().for_each(|Started { running, pusher, view, .. }| {
            drop((pusher, view));
            scope.spawn(|| running.finish().unwrap());
        });
    });
    assert!(dayfold::log::prove(&storage, &report()).is_empty());
    let started = Started::new(&storage, 115, 3, |view| view);
    assert_eq!(started.days(rows()).unwrap(), all, "on one process");
    started.running.finish().unwrap();
}

/// The bytes of all files below a folder.
fn bytes(storage: &Memory, folder: &Path) -> usize {
    let names = storage.list(folder).unwrap_or_default();
    let of = |path: PathBuf| match storage.read(&path) {
        Ok(bytes) => bytes.len(),
        Err(_) => bytes(storage, &path),
    };
    names.iter().map(|name| of(folder.join(name))).sum()
}

#[test]
fn the_disk_of_an_engine_that_goes_on_is_bounded() {
    const KEPT: Duration = Duration::from_secs(20 * 86_400);
    let run = |removes: bool| {
        let storage = Memory::default();
        let keep = |view: View| match removes {
            true => view.keep(KEPT).keep_revisions(revisions(1)),
            false => view,
        };
        let log = |engine: Engine<EventTime>| match removes {
            true => engine.keep_log(KEPT),
            false => engine,
        };
        let started = Started::of(&storage, 100, 2, keep, log);
        [(100..140), (140..180)].map(|days| {
            for day in days.clone() {
                started.push((0..500).map(|n| day * DAY + n));
                started.push((0..50).map(|n| (day - 1) * DAY + n));
                started.seal_before(day + 1);
            }
            if removes {
                let first = Day(days.end as i32 - 20);
                until("it is removed", || {
                    kept_on_disk(&storage) == Some(first) && logged(&storage).len() == 20
                });
                until("nothing else is left", || files(&storage) <= 40);
            }
            bytes(&storage, Path::new("data"))
        })
    };
    let (kept, all) = (run(true), run(false));
    eprintln!("bytes after 40 and 80 days: {kept:?} of {all:?}");
    assert!(kept[1] < kept[0] + kept[0] / 2, "{kept:?}");
    assert!(2 * kept[1] < all[1], "{kept:?} of {all:?}");
}
