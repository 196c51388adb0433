//! A source with partitions: each record counts once, or is refused once, however and wherever runs end, and with any
//! number of workers.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dayfold::aggregate::{Count, Sum};
use dayfold::engine::{EngineError, Measures, Running, ViewHandle};
use dayfold::key::KeyRange;
use dayfold::log::Durability;
use dayfold::serve::Query;
use dayfold::source::{More, Partitioned, Partitions, Refused, Share, Start, Taken, Taking};
use dayfold::store::{Failure, Faulty};
use dayfold::time::{DayRange, EventTime};
use dayfold::view::View;
use dayfold::{Cluster, Engine};

/// Time, key, value.
type Event = (EventTime, u64, i64);
type Rows = BTreeMap<(i32, u64), (i64, i128)>;

const DAY_MS: i64 = 86_400_000;
const RECORDS: u64 = 800;
const SOON: Durability = Durability::Every(Duration::from_millis(1));

/// A topic with this many partitions and records in each; the last partition is found while reading.
#[derive(Clone, Copy)]
struct Topic {
    partitions: usize,
    until: u64,
    /// Reading fails here.
    broken_at: u64,
}

const TOPIC: Topic = Topic { partitions: 4, until: RECORDS, broken_at: u64::MAX };

/// A hundred records a day, each up to half a day out of order; partitions are two days apart.
fn time(partition: usize, n: u64) -> EventTime {
    let disorder = (n as i64 * 7_919 + partition as i64) % 50;
    (n as i64 - disorder) * DAY_MS / 100 + partition as i64 * 2 * DAY_MS
}

/// Numbers that only the broker uses.
fn is_record(n: u64) -> bool {
    n % 17 != 5
}

fn is_refused(n: u64) -> bool {
    n % 11 == 3
}

fn value(partition: usize, n: u64) -> i64 {
    n as i64 * 10 + partition as i64
}

impl Partitioned<Event> for Topic {
    fn name(&self) -> &str {
        "topic"
    }

    fn open(&self, share: &Share) -> io::Result<Box<dyn Partitions<Event>>> {
        let mine = (0..self.partitions).filter(|partition| share.has(*partition));
        let to_add = mine
            .map(|partition| {
                let committed = share.committed(&partition.to_string());
                let next = committed.as_ref().map_or(0, |committed| committed.next);
                let mark = committed.map_or_else(Vec::new, |committed| committed.mark);
                assert_eq!(mark, if next == 0 { vec![] } else { next.to_le_bytes().to_vec() });
                (partition, next)
            })
            .collect();
        Ok(Box::new(Reading { topic: *self, to_add, open: Vec::new(), turn: 0 }))
    }
}

struct Reading {
    topic: Topic,
    to_add: Vec<(usize, u64)>,
    /// By index: the partition, and its next number.
    open: Vec<(usize, u64)>,
    turn: u64,
}

impl Partitions<Event> for Reading {
    fn take(&mut self, into: &mut Taking<Event>, _wait: Duration) -> io::Result<More> {
        self.turn += 1;
        // One at a time, as if they were found while the source is read.
        if let Some((partition, next)) = self.to_add.pop() {
            let index = into.add(&partition.to_string(), Start::new(0, next));
            assert_eq!(index, self.open.len());
            self.open.push((partition, next));
        }
        if self.to_add.is_empty() {
            into.ready();
        }
        for (index, (partition, next)) in self.open.iter_mut().enumerate() {
            let batch = 1 + (self.turn * 37 + *partition as u64 * 11) % 60;
            let until = (*next + batch).min(self.topic.until);
            while *next < until {
                let n = *next;
                if n >= self.topic.broken_at {
                    return Err(io::Error::other("the line is down"));
                }
                *next += 1;
                if is_refused(n) && is_record(n) {
                    into.refused(index, "no", n.to_string().as_bytes(), *next);
                } else if is_record(n) {
                    let time = time(*partition, n);
                    let taken = Taken::new(*next, b"");
                    into.event(index, taken, time, (time, n % 7, value(*partition, n)));
                } else {
                    into.passed(index, *next);
                }
            }
            let is_at_end = *next == self.topic.until;
            into.end(index, Some(self.topic.until), is_at_end);
        }
        let has_ended = self.open.iter().all(|(_, next)| *next == self.topic.until);
        Ok(if has_ended && self.to_add.is_empty() { More::Ended } else { More::Later })
    }

    fn mark(&self, partition: usize) -> Vec<u8> {
        self.open[partition].1.to_le_bytes().to_vec()
    }
}

/// The expected result of a topic: rows, and refusals in order.
fn expect(topic: Topic) -> (Rows, Vec<String>) {
    let (mut rows, mut refused) = (Rows::new(), Vec::new());
    for partition in 0..topic.partitions {
        for n in (0..topic.until).filter(|n| is_record(*n)) {
            if is_refused(n) {
                refused.push(format!("topic/{partition}, {n}: no"));
                continue;
            }
            let day = time(partition, n).div_euclid(DAY_MS) as i32;
            let row = rows.entry((day, n % 7)).or_default();
            (row.0, row.1) = (row.0 + 1, row.1 + i128::from(value(partition, n)));
        }
    }
    refused.sort();
    (rows, refused)
}

struct Program {
    running: Running,
    view: ViewHandle<u64, (Count, Sum)>,
    refused: Arc<Mutex<Vec<Refused>>>,
}

fn engine(disk: &Faulty) -> (Engine<Event>, ViewHandle<u64, (Count, Sum)>) {
    let mut engine =
        Engine::new().data_in(Arc::new(disk.clone()), "data").log(SOON, |e: &Event| e.0);
    let view = View::new("v").unwrap();
    let view = engine.view(view, Measures::none(), |&(time, key, value): &Event| {
        Some((time, key, (Count::one(), Sum::of(value))))
    });
    (engine, view)
}

impl Program {
    fn start(disk: &Faulty, workers: usize, topic: Topic) -> Result<Program, EngineError> {
        let (engine, view) = engine(disk);
        let refused = Arc::new(Mutex::new(Vec::new()));
        let behind = Arc::clone(&refused);
        let engine = engine.partitioned(topic).refused(move |row| {
            behind.lock().unwrap().push(row.clone());
            Ok(())
        });
        let running = engine.start(Cluster::workers(workers))?;
        Ok(Program { running, view, refused })
    }

    /// Waits until all is in.
    fn ended(&self) -> Result<(), EngineError> {
        while !self.running.wait_sealed(Duration::from_secs(1))? {}
        Ok(())
    }

    #[track_caller]
    fn check(self, disk: &Faulty, topic: Topic, what: &str) {
        self.ended().unwrap();
        let answer = self.view.ask(Query::rows(KeyRange::all(), DayRange::ALL)).unwrap();
        let rows: Rows = answer
            .items
            .into_iter()
            .map(|item| {
                let (count, sum) = item.parts.merged().unwrap();
                ((item.day.unwrap().0, item.key.unwrap()), (count.0, sum.value()))
            })
            .collect();
        let (expect_rows, expect_refused) = expect(topic);
        assert_eq!(rows, expect_rows, "{what}");
        for numbers in self.running.progress().sources {
            assert_eq!(numbers.position, Some(topic.until), "{what}: {numbers:?}");
            assert_eq!((numbers.lag, numbers.ended), (Some(0), true), "{what}: {numbers:?}");
        }
        self.running.finish().unwrap();
        // All refused records of all runs, once each.
        let parts = [(0, "data/part-0".into())];
        let state = dayfold::log::scan(disk, &parts, u64::MAX).unwrap();
        let refused = dayfold::log::refused_rows(disk, &state).unwrap();
        let mut refused: Vec<String> = refused.into_iter().map(|row| row.reason).collect();
        refused.sort();
        assert_eq!(refused, expect_refused, "{what}");
    }
}

#[test]
fn topics_grow_and_other_numbers_of_workers_go_on() {
    let disk = Faulty::new(1);
    for (run, workers) in [1, 3, 2, 6, 1].into_iter().enumerate() {
        // One more partition in each run, and more records in existing ones.
        let topic = Topic { partitions: run + 1, until: 200 * (run as u64 + 1), ..TOPIC };
        let program = Program::start(&disk, workers, topic).unwrap();
        let before = if run == 0 {
            0
        } else {
            expect(Topic { partitions: run, until: 200 * run as u64, ..TOPIC }).1.len()
        };
        program.ended().unwrap();
        let told = program.refused.lock().unwrap().len();
        assert_eq!(told, expect(topic).1.len() - before, "run {run}: those that are new");
        program.check(&disk, topic, &format!("run {run}"));
    }
}

#[test]
fn an_interrupted_run_goes_on() {
    let disk = Faulty::new(2);
    for workers in [2, 1, 3] {
        let program = Program::start(&disk, workers, TOPIC).unwrap();
        program.running.interrupt();
        // It may have come to its end before.
        let ended = program.ended();
        assert!(matches!(ended, Ok(()) | Err(EngineError::Interrupted)), "{ended:?}");
        drop(program.running.finish());
    }
    Program::start(&disk, 2, TOPIC).unwrap().check(&disk, TOPIC, "after three interruptions");
}

#[test]
fn a_crash_at_any_operation_loses_nothing_and_doubles_nothing() {
    let disk = Faulty::new(3);
    Program::start(&disk, 3, TOPIC).unwrap().check(&disk, TOPIC, "undisturbed");
    let operations = disk.operations() + 3;
    let step = if cfg!(debug_assertions) { 7 } else { 1 };
    for (n, at) in (1..=operations).step_by(step).enumerate() {
        let disk = Faulty::new(at);
        match n % 4 {
            0 | 1 => disk.crash_at(at),
            2 => disk.fail_at(at, Failure::NotDone),
            _ => disk.fail_at(at, Failure::DoneButReported),
        }
        // It fails, or is done before.
        if let Ok(program) = Program::start(&disk, 3, TOPIC) {
            drop(program.ended());
            drop(program);
        }
        disk.crash();
        let disk = if n % 4 == 1 { disk.after_power_loss(at) } else { disk.after_kill() };
        disk.free_space();
        let workers = 1 + n % 5;
        let what = format!("crash at operation {at}, then {workers} workers");
        Program::start(&disk, workers, TOPIC).unwrap().check(&disk, TOPIC, &what);
    }
}

/// An error of a source stops the engine; records before it have entered, and a working source continues.
#[test]
fn an_error_of_the_source_stops_the_engine() {
    let disk = Faulty::new(5);
    let program = Program::start(&disk, 2, Topic { broken_at: 300, ..TOPIC }).unwrap();
    let told = program.ended().unwrap_err().to_string();
    assert!(told.contains("cannot read 'topic'") && told.contains("the line is down"), "{told}");
    drop(program);
    Program::start(&disk, 3, TOPIC).unwrap().check(&disk, TOPIC, "after the error");
}

#[test]
fn what_cannot_work_is_refused() {
    let view = |engine: &mut Engine<Event>| {
        let event = |&(time, key, _): &Event| Some((time, key, Count::one()));
        drop(engine.view(View::new("v").unwrap(), Measures::none(), event));
    };
    let told = |engine: Engine<Event>| engine.start(Cluster::workers(1)).err().unwrap().to_string();
    let mut twice = Engine::new().partitioned(TOPIC).partitioned(TOPIC);
    view(&mut twice);
    assert!(told(twice).contains("two sources have the name 'topic'"));
    let mut unlogged = Engine::new().data_in(Arc::new(Faulty::new(1)), "data").partitioned(TOPIC);
    view(&mut unlogged);
    assert!(told(unlogged).contains("kept in the log"));
}

/// A source of one event, which ends a while after it was read.
struct OneEvent;

impl Partitioned<Event> for OneEvent {
    fn name(&self) -> &str {
        "one"
    }

    fn open(&self, _: &Share) -> io::Result<Box<dyn Partitions<Event>>> {
        Ok(Box::new(ReadingOne { has_read: false }))
    }
}

struct ReadingOne {
    has_read: bool,
}

impl Partitions<Event> for ReadingOne {
    fn take(&mut self, into: &mut Taking<Event>, _wait: Duration) -> io::Result<More> {
        if std::mem::replace(&mut self.has_read, true) {
            std::thread::sleep(Duration::from_millis(200));
            return Ok(More::Ended);
        }
        let index = into.add("0", Start::new(0, 0));
        into.ready();
        into.event(index, Taken::new(1, b""), DAY_MS, (DAY_MS, 1, 1));
        into.ended(index);
        Ok(More::Later)
    }
}

/// The days of a source that ends close by its own clock, however long it takes to say that it has ended. If the wall
/// clock closed them, later rows of such a source would be late.
#[test]
fn the_wall_clock_closes_no_days_of_a_source_that_ends() {
    let mut engine = Engine::new();
    let view = View::new("all").unwrap();
    let handle =
        engine.view(view, Measures::none(), |event: &Event| Some((event.0, event.1, Count::one())));
    let running = engine.partitioned(OneEvent).start(Cluster::workers(1)).unwrap();
    while !running.wait_sealed(Duration::from_secs(1)).unwrap() {}
    let sealed = handle.status().numbers.sealed_through.unwrap();
    assert_eq!(sealed.to_string(), "1970-01-02");
    running.finish().unwrap();
}
