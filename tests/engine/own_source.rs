//! A custom source: each record counts once, or is refused once, however and wherever runs end, and with any number of
//! workers.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dayfold::aggregate::{Count, Sum};
use dayfold::engine::{EngineError, Measures, Resume, Running, ViewHandle};
use dayfold::key::KeyRange;
use dayfold::log::Durability;
use dayfold::serve::Query;
use dayfold::source::{CsvOptions, CsvSource, Input, Next, Refused, Row, Source};
use dayfold::store::{Failure, Faulty};
use dayfold::time::{DayRange, EventTime};
use dayfold::view::View;
use dayfold::{Cluster, Engine};

/// Time, key, value.
type Event = (EventTime, u64, i64);
type Rows = BTreeMap<(i32, u64), (i64, i128)>;

const DAY_MS: i64 = 86_400_000;
const RECORDS: u64 = 3_000;
const SOON: Durability = Durability::Every(Duration::from_millis(1));

/// A topic of three partitions that are read in turn. Messages that only the broker understands are skipped.
struct Topic {
    offsets: Vec<u64>,
    message: String,
    until: u64,
    /// Whether it sometimes reports that there is nothing yet.
    falters: bool,
    faltered: bool,
}

impl Topic {
    fn open(offsets: Option<Vec<u64>>, until: u64) -> Topic {
        let offsets = offsets.unwrap_or_else(|| vec![0; 3]);
        Topic { offsets, message: String::new(), until, falters: true, faltered: false }
    }
}

/// The message with this number; `None` if it is not a record.
fn message(n: u64) -> Option<String> {
    (n % 17 != 5).then(|| n.to_string())
}

/// Two hundred messages a day, each up to half a day out of order.
fn time(n: u64) -> EventTime {
    n as i64 * DAY_MS / 200 - n as i64 * 7_919 % 100 * DAY_MS / 200
}

fn is_refused_by_source(n: u64) -> bool {
    n % 11 == 3
}

fn is_refused_by_worker(n: u64) -> bool {
    n % 13 == 4
}

impl Source for Topic {
    type Position = Vec<u64>;

    fn name(&self) -> &str {
        "topic"
    }

    fn read(&mut self) -> io::Result<Next<'_>> {
        loop {
            let n: u64 = self.offsets.iter().sum();
            if n >= self.until {
                return Ok(Next::End);
            }
            if self.falters && n % 500 == 499 && !std::mem::replace(&mut self.faltered, true) {
                return Ok(Next::Later);
            }
            self.faltered = false;
            self.offsets[(n % 3) as usize] += 1;
            let Some(text) = message(n) else { continue };
            self.message = text;
            let bytes = self.message.as_bytes();
            return Ok(if is_refused_by_source(n) {
                Next::Refused { reason: "source".to_owned(), bytes }
            } else {
                Next::Record { time: time(n), arrival: None, bytes }
            });
        }
    }

    fn position(&self) -> Vec<u64> {
        self.offsets.clone()
    }
}

fn parse(row: &Row<'_>) -> Result<Event, String> {
    let n: u64 = std::str::from_utf8(row.raw()).unwrap().parse().unwrap();
    if is_refused_by_worker(n) {
        return Err("worker".to_owned());
    }
    Ok((row.time(), n % 7, n as i64))
}

/// The expected result of the first messages: rows, and refusals in order.
fn expect(until: u64) -> (Rows, Vec<String>) {
    let (mut rows, mut refused, mut number) = (Rows::new(), Vec::new(), 0);
    for n in 0..until {
        if message(n).is_none() {
            continue;
        }
        number += 1;
        if is_refused_by_source(n) {
            refused.push(format!("{number} {n} source"));
        } else if is_refused_by_worker(n) {
            refused.push(format!("{number} {n} worker"));
        } else {
            let row = rows.entry((time(n).div_euclid(DAY_MS) as i32, n % 7)).or_default();
            (row.0, row.1) = (row.0 + 1, row.1 + i128::from(n));
        }
    }
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
    fn start(disk: &Faulty, workers: usize, until: u64) -> Result<Program, EngineError> {
        let (engine, view) = engine(disk);
        let refused = Arc::new(Mutex::new(Vec::new()));
        let (before, behind) = (Arc::clone(&refused), Arc::clone(&refused));
        let engine = engine.source(
            move |resume| {
                before.lock().unwrap().extend_from_slice(resume.refused());
                Ok(Some(Topic::open(resume.consumed(), until)))
            },
            parse,
        );
        let engine = engine.refused(move |row| {
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
    fn check(self, until: u64, what: &str) {
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
        let refused = self.refused.lock().unwrap();
        let text = |row: &Refused| String::from_utf8(row.row.clone()).unwrap();
        let refused: Vec<_> = refused
            .iter()
            .map(|row| format!("{} {} {}", row.line, text(row), row.reason))
            .collect();
        let (expect_rows, expect_refused) = expect(until);
        assert_eq!(rows, expect_rows, "{what}");
        assert_eq!(refused, expect_refused, "{what}");
        self.running.finish().unwrap();
    }
}

#[test]
fn a_source_that_grows_is_read_on_with_other_numbers_of_workers() {
    let disk = Faulty::new(1);
    for (run, workers) in [1, 3, 2, 1].into_iter().enumerate() {
        let until = RECORDS * (run as u64 + 1) / 4;
        Program::start(&disk, workers, until).unwrap().check(until, &format!("run {run}"));
    }
}

#[test]
fn an_interrupted_run_goes_on() {
    let disk = Faulty::new(2);
    for workers in [2, 1, 3] {
        let program = Program::start(&disk, workers, RECORDS).unwrap();
        program.running.interrupt();
        // It may have come to its end before.
        let ended = program.ended();
        assert!(matches!(ended, Ok(()) | Err(EngineError::Interrupted)), "{ended:?}");
        drop(program.running.finish());
    }
    Program::start(&disk, 2, RECORDS).unwrap().check(RECORDS, "after three interruptions");
}

#[test]
fn a_crash_at_any_operation_loses_nothing_and_doubles_nothing() {
    let disk = Faulty::new(3);
    Program::start(&disk, 3, RECORDS).unwrap().check(RECORDS, "undisturbed");
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
        if let Ok(program) = Program::start(&disk, 3, RECORDS) {
            drop(program.ended());
            drop(program);
        }
        disk.crash();
        let disk = if n % 4 == 1 { disk.after_power_loss(at) } else { disk.after_kill() };
        disk.free_space();
        let workers = 1 + n % 3;
        let what = format!("crash at operation {at}, then {workers} workers");
        Program::start(&disk, workers, RECORDS).unwrap().check(RECORDS, &what);
    }
}

#[test]
fn a_folder_has_one_source() {
    let disk = Faulty::new(4);
    Program::start(&disk, 1, 100).unwrap().check(100, "first");
    let refusal = |engine: Engine<Event>| {
        let running = engine.start(Cluster::workers(2)).unwrap();
        running.wait_sealed(Duration::from_secs(60)).unwrap_err().to_string()
    };
    let csv = |_: &Resume<'_>| {
        let input = Input::reader("rows", &b"t\n"[..]);
        Ok(Some(CsvSource::open(input, CsvOptions::new("t"))?))
    };
    let error = refusal(engine(&disk).0.csv(csv, parse));
    assert!(error.contains("has changed") && error.contains("94 records"), "{error}");

    let other = engine(&disk).0.source(|_| Ok(None::<Other>), parse);
    let error = refusal(other);
    assert!(error.contains("has changed") && error.contains("type u64"), "{error}");

    let from_its_beginning = |_: &Resume<'_, Vec<u64>>| Ok(Some(Topic::open(None, 200)));
    let error = refusal(engine(&disk).0.source(from_its_beginning, parse));
    assert!(error.contains("'topic' has changed"), "{error}");
    Program::start(&disk, 2, 200).unwrap().check(200, "and goes on");
}

struct Other;

impl Source for Other {
    type Position = u64;

    fn name(&self) -> &str {
        "other"
    }

    fn read(&mut self) -> io::Result<Next<'_>> {
        Ok(Next::End)
    }

    fn position(&self) -> u64 {
        0
    }
}

/// An error of a source stops the engine; records before it have entered, and a working source continues.
#[test]
fn an_error_of_the_source_stops_the_engine() {
    struct Broken(Topic);
    impl Source for Broken {
        type Position = Vec<u64>;
        fn name(&self) -> &str {
            "broken"
        }
        fn read(&mut self) -> io::Result<Next<'_>> {
            match self.0.offsets.iter().sum::<u64>() {
                1_000.. => Err(io::Error::other("the line is down")),
                _ => self.0.read(),
            }
        }
        fn position(&self) -> Vec<u64> {
            self.0.position()
        }
    }
    let disk = Faulty::new(5);
    let open =
        |resume: &Resume<'_, Vec<u64>>| Ok(Some(Broken(Topic::open(resume.consumed(), RECORDS))));
    let running = engine(&disk).0.source(open, parse).start(Cluster::workers(2)).unwrap();
    let error = loop {
        match running.wait_sealed(Duration::from_secs(1)) {
            Ok(sealed) => assert!(!sealed),
            Err(error) => break error,
        }
    };
    let told = error.to_string();
    assert!(told.contains("cannot read 'broken'") && told.contains("the line is down"), "{told}");
    drop(running);
    Program::start(&disk, 3, RECORDS).unwrap().check(RECORDS, "after the error");
}
