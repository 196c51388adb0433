//! Pushes with a key count once, whenever and wherever they are repeated, and whatever happened in between.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use dayfold::aggregate::Count;
use dayfold::engine::{
    LiveOptions, Measures, Once, OnceError, Pusher, Running, ViewHandle, WaitError,
};
use dayfold::log::Durability;
use dayfold::serve::Query;
use dayfold::store::{Disk, Failure, Faulty, Storage};
use dayfold::time::{DayRange, EventTime};
use dayfold::view::View;
use dayfold::{Cluster, Engine};

use crate::LONG;

/// Time, and the request in which it came.
type Event = (EventTime, u64);

const NOW: EventTime = 1_700_000_000_000;
const DAY_MS: i64 = 86_400_000;
const SOON: Durability = Durability::Every(Duration::from_millis(1));

struct Program {
    running: Running,
    view: ViewHandle<u64, Count>,
    pusher: Pusher<Event>,
    clock: Arc<AtomicI64>,
}

impl Program {
    fn try_start(
        storage: Arc<dyn Storage>,
        folder: &std::path::Path,
        durability: Durability,
        cluster: Cluster,
    ) -> Option<Program> {
        let clock = Arc::new(AtomicI64::new(NOW));
        let now = Arc::clone(&clock);
        let mut engine = Engine::<Event>::new().clock(move || now.load(Ordering::SeqCst));
        let view = View::new("v").unwrap();
        let view = engine.view(view, Measures::none(), |&(time, request): &Event| {
            Some((time, request, Count::one()))
        });
        let pusher = engine.live(LiveOptions::new(|event: &Event| event.0));
        let engine = engine.data_in(storage, folder).log(durability, |event| event.0);
        let running = engine.start(cluster).ok()?;
        Some(Program { running, view, pusher, clock })
    }

    fn start(disk: &Faulty, workers: usize) -> Program {
        let (disk, folder) = (Arc::new(disk.clone()), "data".as_ref());
        Program::try_start(disk, folder, SOON, Cluster::workers(workers)).unwrap()
    }

    fn ask(&self, request: u64) -> Result<Once, OnceError<Event>> {
        self.pusher.push_once(&format!("request {request}"), events(request), LONG)
    }

    #[track_caller]
    fn is_in(&self, request: u64, repeated: bool) {
        let once = self.ask(request).unwrap();
        assert_eq!((once.events, once.repeated), (1 + request % 3, repeated), "request {request}");
        self.counts_once(request);
    }

    /// The events are visible, and were added once.
    #[track_caller]
    fn counts_once(&self, request: u64) {
        let answer = self.view.ask(Query::point(request, DayRange::ALL)).unwrap();
        assert_eq!(answer.value(), Some(Count(1 + request as i64 % 3)), "request {request}");
    }

    fn finish(self) {
        drop(self.pusher);
        self.running.finish().unwrap();
    }
}

fn events(request: u64) -> Vec<Event> {
    vec![(NOW, request); 1 + request as usize % 3]
}

#[test]
fn the_same_request_counts_once_through_restarts_and_other_numbers_of_workers() {
    let disk = Faulty::new(1);
    for (run, workers) in [1, 3, 2, 1].into_iter().enumerate() {
        let program = Program::start(&disk, workers);
        for request in 0..20 * (run as u64 + 1) {
            program.is_in(request, request < 20 * run as u64);
            program.is_in(request, true);
        }
        program.finish();
    }
}

#[test]
fn many_at_once_with_the_same_key_are_one() {
    for workers in [1, 3] {
        let program = Program::start(&Faulty::new(2), workers);
        for request in 0..20 {
            let first = std::thread::scope(|scope| {
                let asks: Vec<_> = (0..8).map(|_| scope.spawn(|| program.ask(request))).collect();
                let onces = asks.into_iter().map(|ask| ask.join().unwrap().unwrap());
                onces.filter(|once| !once.repeated).count()
            });
            assert_eq!(first, 1, "one of them is the first");
            program.counts_once(request);
        }
        program.finish();
    }
}

#[test]
fn a_key_is_kept_for_24_hours_and_not_longer() {
    let disk = Faulty::new(3);
    let program = Program::start(&disk, 2);
    program.is_in(1, false);
    program.clock.store(NOW + DAY_MS - 1, Ordering::SeqCst);
    program.is_in(1, true);
    program.clock.store(NOW + DAY_MS, Ordering::SeqCst);
    assert!(!program.ask(1).unwrap().repeated, "it is forgotten");
    assert!(program.ask(1).unwrap().repeated, "and known again");
    program.finish();
    // It counts as it came last, after a restart too. The clock begins where it stopped.
    let program = Program::start(&disk, 1);
    program.clock.store(NOW + 2 * DAY_MS - 1, Ordering::SeqCst);
    assert!(program.ask(1).unwrap().repeated);
    program.clock.store(NOW + 2 * DAY_MS, Ordering::SeqCst);
    assert!(!program.ask(1).unwrap().repeated);
    program.finish();
}

#[test]
fn what_is_refused_says_so_and_does_not_enter() {
    let program = Program::start(&Faulty::new(4), 2);
    let push = |key: &str, events| program.pusher.push_once(key, events, LONG);
    push("a", vec![(NOW, 1)]).unwrap();
    for other in [vec![(NOW, 2)], vec![(NOW, 1), (NOW, 1)], vec![]] {
        assert!(matches!(push("a", other), Err(OnceError::Reused)));
    }
    let mixed = vec![(NOW, 3), (NOW + 10 * DAY_MS, 3)];
    match push("b", mixed.clone()) {
        Err(OnceError::Refused { at: 1, events, .. }) => assert_eq!(events, mixed),
        other => panic!("{other:?}"),
    }
    assert!(!push("b", vec![(NOW, 4)]).unwrap().repeated, "the refused request left no key");
    for (key, length) in [(String::new(), 0), ("k".repeat(256), 256)] {
        match push(&key, vec![(NOW, 5)]) {
            Err(OnceError::Key { length: found, events }) => {
                assert_eq!((found, events), (length, vec![(NOW, 5)]));
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(push(&"k".repeat(255), vec![]).unwrap().events, 0, "no events are a request too");
    assert!(push(&"k".repeat(255), vec![]).unwrap().repeated);
    assert_eq!(program.view.ask(Query::total(DayRange::ALL)).unwrap().value(), Some(Count(2)));
    let pusher = program.pusher.clone();
    program.finish_and_keep();
    assert!(matches!(
        pusher.push_once("c", vec![(NOW, 6)], LONG),
        Err(OnceError::Stopped { events }) if events == [(NOW, 6)]
    ));
}

impl Program {
    fn finish_and_keep(self) {
        self.running.finish().unwrap();
    }
}

#[test]
fn a_key_needs_a_promise() {
    let disk = Arc::new(Faulty::new(5));
    let cluster = Cluster::workers(1);
    let program = Program::try_start(disk, "data".as_ref(), Durability::System, cluster).unwrap();
    let result = program.ask(1);
    assert!(matches!(result, Err(OnceError::NotPromised { events }) if events.len() == 2));
    program.finish();
}

/// What the disk does at some operation: the process dies, or the operation fails.
fn wrong(disk: &Faulty, at: u64, way: u64) {
    match way {
        0 | 1 => disk.crash_at(at),
        2 => disk.fail_at(at, Failure::NotDone),
        _ => disk.fail_at(at, Failure::DoneButReported),
    }
}

#[test]
fn whoever_asks_again_after_a_crash_at_any_operation_is_counted_once() {
    let disk = Faulty::new(6);
    let program = Program::start(&disk, 2);
    (0..6).for_each(|request| program.is_in(request, false));
    program.finish();
    let operations = disk.operations() + 3;
    let step = if cfg!(debug_assertions) { 3 } else { 1 };
    for (n, at) in (1..=operations).step_by(step).enumerate() {
        let way = n as u64 % 4;
        let disk = Faulty::new(at);
        wrong(&disk, at, way);
        let (storage, folder) = (Arc::new(disk.clone()), "data".as_ref());
        let cluster = Cluster::workers(2);
        let mut told = 0;
        if let Some(program) = Program::try_start(storage, folder, SOON, cluster) {
            // One after the other, until one gets no reply.
            for request in 0..6 {
                match program.ask(request) {
                    Ok(once) => assert!(!once.repeated),
                    Err(OnceError::Unknown { .. } | OnceError::Stopped { .. }) => break,
                    Err(other) => panic!("{other:?} at operation {at}"),
                }
                told += 1;
            }
            drop(program);
        }
        disk.crash();
        let disk = if way == 1 { disk.after_power_loss(at) } else { disk.after_kill() };
        disk.free_space();
        for workers in [1, 3] {
            let program = Program::start(&disk, workers);
            for request in 0..6 {
                let once = program.ask(request).unwrap();
                assert!(once.repeated || request >= told, "request {request} was in, at {at}");
                program.counts_once(request);
            }
            program.finish();
            told = 6;
        }
    }
}

#[test]
fn whoever_asks_while_the_engine_stops_is_told_and_may_ask_again() {
    let disk = Faulty::new(8);
    let program = Program::start(&disk, 3);
    let asking: Vec<_> = (0..4)
        .map(|thread| {
            let pusher = program.pusher.clone();
            std::thread::spawn(move || {
                for request in (thread * 10_000).. {
                    let key = format!("request {request}");
                    match pusher.push_once(&key, events(request), LONG) {
                        Ok(once) => assert!(!once.repeated),
                        Err(OnceError::Stopped { .. }) => return (request, false),
                        Err(OnceError::Unknown { error: WaitError::Stopped }) => {
                            return (request, true);
                        }
                        Err(other) => panic!("{other:?}"),
                    }
                }
                unreachable!("it stops before")
            })
        })
        .collect();
    (100_000..100_005).for_each(|request| program.is_in(request, false));
    program.running.finish().unwrap();
    let program = Program::start(&disk, 2);
    for (thread, asked) in asking.into_iter().enumerate() {
        let (last, may_be_in) = asked.join().unwrap();
        (thread as u64 * 10_000..last).for_each(|request| program.is_in(request, true));
        let once = program.ask(last).unwrap();
        assert!(may_be_in || !once.repeated, "nothing had entered");
        program.counts_once(last);
    }
    program.finish();
}

#[test]
fn any_process_knows_what_another_one_took() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    for run in 0..2 {
        let listeners: Vec<TcpListener> =
            (0..2).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let address = |listener: &TcpListener| listener.local_addr().unwrap().to_string();
        let hosts: Vec<String> = listeners.iter().map(address).collect();
        drop(listeners);
        let programs: Vec<Program> = std::thread::scope(|scope| {
            let starts: Vec<_> = (0..2)
                .map(|process| {
                    let (hosts, data) = (hosts.clone(), &data);
                    scope.spawn(move || {
                        let cluster = Cluster::hosts(1 + run, process, hosts).unwrap();
                        Program::try_start(Arc::new(Disk), data, SOON, cluster).unwrap()
                    })
                })
                .collect();
            starts.into_iter().map(|start| start.join().unwrap()).collect()
        });
        for request in 0..30 {
            let (first, second) = (request as usize % 2, (request as usize + 1) % 2);
            programs[first].is_in(request, run > 0);
            programs[second].is_in(request, true);
            let other = vec![(NOW, 99)];
            let reused =
                programs[second].pusher.push_once(&format!("request {request}"), other, LONG);
            assert!(matches!(reused, Err(OnceError::Reused)));
        }
        std::thread::scope(|scope| {
            programs.into_iter().for_each(|program| drop(scope.spawn(|| program.finish())));
        });
    }
}
