//! Compares the flights of 2013 with answers of an independent program: every row, every field, in New York time and in
//! UTC, for several numbers of workers and processes.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use dayfold::aggregate::{Count, Decimal, Distinct, Max, Maybe, Mean, Min, Quantiles, Sum};
use dayfold::engine::{Measures, ViewHandle};
use dayfold::key::KeyRange;
use dayfold::rows::{RowOptions, SealedRows};
use dayfold::schema::{Column, Kind};
use dayfold::serve::Query;
use dayfold::source::{CsvOptions, CsvSource, Input, Row};
use dayfold::store::{self, Disk};
use dayfold::time::{Day, DayRange, EventTime};
use dayfold::view::View;
use dayfold::{Cluster, Engine};

const NEW_YORK: &str = include_str!("../data/flights-2013.by-carrier.new-york.csv");
const UTC: &str = include_str!("../data/flights-2013.by-carrier.utc.csv");
const FLIGHTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/flights-2013.csv.gz");
const RECORDS: i64 = 328_521;

struct Flight {
    time: EventTime,
    carrier: String,
    origin: String,
    tailnum: Vec<u8>,
    delay: Option<Decimal>,
    miles: i64,
}

type Stats = (Count, Maybe<Delay>, Maybe<Distinct>, Sum);
type Delay = (Mean, Min<Decimal>, Max<Decimal>, Quantiles);

fn parse(row: &Row<'_>) -> Result<Flight, String> {
    let text = |at: usize| String::from_utf8_lossy(row.field(at)).into_owned();
    let delay = match row.field(3) {
        [] => None,
        cell => Some(Decimal::parse(cell).map_err(|error| error.to_string())?),
    };
    Ok(Flight {
        time: row.time(),
        carrier: text(0),
        origin: text(1),
        tailnum: row.field(2).to_vec(),
        delay,
        miles: text(4).parse().map_err(|_| "no miles".to_owned())?,
    })
}

fn stats(flight: &Flight) -> Stats {
    let delay = flight.delay.map(|d| (Mean::of(d), Min(d), Max(d), Quantiles::of(d)));
    let aircraft = (!flight.tailnum.is_empty()).then(|| Distinct::of(&flight.tailnum));
    (Count::one(), Maybe(delay), Maybe(aircraft), Sum::of(flight.miles))
}

/// Views of one stream, with days of different zones.
struct Views {
    new_york: ViewHandle<String, Stats>,
    utc: ViewHandle<String, Stats>,
    by_origin: ViewHandle<String, Count>,
}

fn engine(data: Option<&Path>, read: bool) -> (Engine<Flight>, Views) {
    let mut engine = Engine::new();
    if let Some(data) = data {
        engine = engine.data(data);
    }
    let view = |name: &str, zone: &str| View::new(name).unwrap().zone(zone).unwrap();
    let by_carrier = |flight: &Flight| Some((flight.time, flight.carrier.clone(), stats(flight)));
    let new_york = view("new-york", "America/New_York");
    let new_york = engine.view(new_york, Measures::none(), by_carrier);
    let utc = engine.view(view("utc", "UTC"), Measures::none(), by_carrier);
    let by_origin = view("by-origin", "Asia/Kathmandu");
    let by_origin = engine.view(by_origin, Measures::none(), |flight: &Flight| {
        Some((flight.time, flight.origin.clone(), Count::one()))
    });
    let fields = ["carrier", "origin", "tailnum", "arr_delay", "distance"];
    let options = CsvOptions::new("event_time").arrival("ingest_time").fields(fields);
    let open = move || CsvSource::open(Input::file(FLIGHTS), options);
    let engine = engine.csv(move |_| Ok(read.then(open).transpose()?), parse);
    (engine, Views { new_york, utc, by_origin })
}

/// Runs to the end and compares everything.
fn check(data: Option<&Path>, workers: usize, read: bool) {
    let (engine, views) = engine(data, read);
    let running = engine.start(Cluster::workers(workers)).unwrap();
    while !running.wait_sealed(Duration::from_secs(1)).unwrap() {}
    compare(&rows(&views.new_york), NEW_YORK);
    compare(&rows(&views.utc), UTC);
    let origins = views.by_origin.ask(Query::keys(KeyRange::all(), DayRange::ALL)).unwrap();
    let origins: Vec<(String, i64)> = origins
        .items
        .into_iter()
        .map(|item| (item.key.unwrap(), item.parts.merged().unwrap().0))
        .collect();
    assert_eq!(origins.iter().map(|(_, flights)| flights).sum::<i64>(), RECORDS);
    assert_eq!(origins.iter().map(|(origin, _)| origin).collect::<Vec<_>>(), ["EWR", "JFK", "LGA"]);
    let stopped = running.finish().unwrap();
    assert!(stopped.sealed);
    assert_eq!(stopped.progress.rows, if read { RECORDS as u64 } else { 0 });
    assert_eq!(stopped.progress.refused, 0);
}

fn rows(view: &ViewHandle<String, Stats>) -> Vec<String> {
    let answer = view.ask(Query::rows(KeyRange::all(), DayRange::ALL)).unwrap();
    for item in &answer.items {
        assert!(item.parts.speed.is_none() && item.parts.amendments.is_none(), "all is sealed");
    }
    let row = |item: dayfold::serve::Item<String, Stats>| {
        row(item.day.unwrap(), &item.key.unwrap(), &item.parts.merged().unwrap())
    };
    answer.items.into_iter().map(row).collect()
}

fn row(day: Day, key: &str, (events, delay, aircraft, miles): &Stats) -> String {
    let delays = delay.0.as_ref().map_or("0,0,,,,".to_owned(), |(mean, min, max, quantiles)| {
        let [median, p99] = [50, 99].map(|part| quantiles.quantile(part, 100).unwrap());
        format!("{},{},{},{},{median},{p99}", mean.count(), mean.sum(), min.0, max.0)
    });
    let aircraft = aircraft.0.as_ref().map_or(0, Distinct::rounded);
    format!("{day},{key},{},{delays},{aircraft},{}", events.0, miles.value())
}

/// Every row, field by field.
fn compare(found: &[String], expected: &str) {
    let mut lines = expected.lines();
    let header: Vec<&str> = lines.next().unwrap().split(',').collect();
    let expected: Vec<&str> = lines.collect();
    for (found, line) in found.iter().zip(&expected) {
        let (found, expected) = (found.split(','), line.split(','));
        assert_eq!(found.clone().count(), header.len());
        for ((found, expected), name) in found.zip(expected).zip(&header) {
            assert_eq!(found, expected, "{name} of {line}");
        }
    }
    assert_eq!(found.len(), expected.len());
}

#[test]
fn one_worker_gives_the_right_answers() {
    check(None, 1, true);
}

#[test]
fn two_workers_give_the_right_answers() {
    check(None, 2, true);
}

#[test]
fn three_workers_give_the_right_answers() {
    check(None, 3, true);
}

/// Sealed by three workers, answered by two and by one, which read nothing.
#[test]
fn a_folder_answers_the_same_whoever_opens_it() {
    let folder = tempfile::tempdir().unwrap();
    check(Some(folder.path()), 3, true);
    check(Some(folder.path()), 2, false);
    check(Some(folder.path()), 1, false);
}

/// The example, run as people do.
fn flights() -> Command {
    let mut command = Command::new(crate::example::program("flights"));
    command.current_dir(env!("CARGO_MANIFEST_DIR")).stdin(Stdio::null());
    command
}

/// Ends the process if a test fails.
struct Killed(Option<Child>);

impl Killed {
    fn spawn(command: &mut Command) -> Killed {
        Killed(Some(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()))
    }

    fn id(&self) -> u32 {
        self.0.as_ref().unwrap().id()
    }

    fn output(mut self) -> Output {
        self.0.take().unwrap().wait_with_output().unwrap()
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn succeeded(output: Output) -> String {
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{}: {errors}", output.status);
    assert!(!errors.contains("panicked"), "{errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// Standard output and the file of `--out`.
fn run(folder: &Path, arguments: &[&str]) -> (String, String) {
    let out = folder.join("out.csv");
    let mut command = flights();
    command.arg("--data").arg(folder.join("data")).arg("--out").arg(&out).args(arguments);
    let stdout = succeeded(Killed::spawn(&mut command).output());
    (stdout, std::fs::read_to_string(out).unwrap())
}

#[test]
fn the_example_prints_the_same_on_any_number_of_workers_and_processes() {
    let mut outputs = Vec::new();
    for workers in ["1", "2", "3"] {
        let folder = tempfile::tempdir().unwrap();
        let (stdout, out) = run(folder.path(), &["-w", workers]);
        assert!(out == NEW_YORK, "-w {workers}: --out differs from the right answers");
        check_inspected(&folder.path().join("data"));
        outputs.push(stdout);
        if workers == "3" {
            // A second run starts from the sealed days.
            let (stdout, out) = run(folder.path(), &["-w", "2"]);
            assert!(out == NEW_YORK, "second run: --out differs from the right answers");
            outputs.push(stdout);
        }
    }
    outputs.extend([(2, 2), (3, 1), (3, 2)].map(|(count, workers)| processes(count, workers)));
    let first = outputs.remove(0);
    for line in ["UA           57979", "328521 flights on 366 days sealed"] {
        assert!(first.contains(line), "'{line}' in {first}");
    }
    outputs.iter().for_each(|other| assert_eq!(*other, first));
}

/// Reading its folder without its types gives the same rows, with the program's names.
fn check_inspected(data: &Path) {
    let report = store::inspect(&Disk, data).unwrap();
    let view = report.views.iter().find(|view| view.record.name == "by-carrier").unwrap();
    let rows = SealedRows::new(&Disk, view, RowOptions::default());
    let names: Vec<String> = rows.columns().into_iter().map(|column| column.name).collect();
    let expected = "day carrier flights mean_delay mean_delay_sum mean_delay_count least_delay worst_delay \
                    delay_p50 delay_p99 aircraft miles sealed";
    assert_eq!(names.join(" "), expected);
    let mut found = Vec::new();
    let each =
        rows.each(&mut |row| {
            let cells: Vec<String> = row.iter().map(ToString::to_string).collect();
            let [
                day,
                carrier,
                flights,
                _,
                sum,
                count,
                least,
                worst,
                p50,
                p99,
                aircraft,
                miles,
                sealed,
            ] = &cells[..]
            else {
                panic!("{cells:?}");
            };
            assert_eq!(sealed, "true");
            // Without delays there is no sum, and without tail numbers no count of aircraft: null, where the other
            // program has 0.
            let [count, sum, aircraft] = [count, sum, aircraft].map(|cell| match cell.as_str() {
                "" => "0",
                number => number,
            });
            found.push(format!(
            "{day},{carrier},{flights},{count},{sum},{least},{worst},{p50},{p99},{aircraft},{miles}"
        ));
            Ok(())
        });
    each.unwrap();
    compare(&found, NEW_YORK);
    let routes = report.views.iter().find(|view| view.record.name == "by-route").unwrap();
    let key = &routes.schema.as_ref().unwrap().key;
    assert_eq!(key, &[Column::new("origin", Kind::Text), Column::new("dest", Kind::Text)]);
}

#[test]
fn the_example_counts_days_of_utc_too() {
    let folder = tempfile::tempdir().unwrap();
    let (_, out) = run(folder.path(), &["-w", "2", "--zone", "UTC"]);
    assert!(out == UTC, "--out differs from the right answers");
}

/// Runs processes with workers each. Returns the output of the first process.
fn processes(count: usize, workers: usize) -> String {
    let folder = tempfile::tempdir().unwrap();
    let hosts = host_file(folder.path(), count);
    let start = |process: usize| {
        let mut command = flights();
        let numbers = [("-w", workers), ("-n", count), ("-p", process)];
        for (name, number) in numbers {
            command.args([name, &number.to_string()]);
        }
        command.arg("-h").arg(&hosts).arg("--data").arg(folder.path().join("data"));
        command.arg("--out").arg(folder.path().join("out.csv"));
        Killed::spawn(&mut command)
    };
    let mut started: Vec<Killed> = (0..count).map(start).collect();
    let first = succeeded(started.remove(0).output());
    for other in started {
        assert_eq!(succeeded(other.output()), "", "only the first process prints");
    }
    let out = std::fs::read_to_string(folder.path().join("out.csv")).unwrap();
    assert!(out == NEW_YORK, "{count} processes with {workers} workers: --out differs");
    first
}

/// Free ports, in a file for timely's `-h`.
fn host_file(folder: &Path, processes: usize) -> PathBuf {
    let sockets: Vec<TcpListener> =
        (0..processes).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let lines = sockets.iter().map(|socket| format!("{}\n", socket.local_addr().unwrap()));
    let path = folder.join("hosts");
    std::fs::write(&path, lines.collect::<String>()).unwrap();
    path
}

/// When interrupted, it seals all events so far and ends; the next run continues, and gives the right answers.
#[test]
#[cfg(unix)]
fn an_interrupt_ends_it_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut command = flights();
    command.arg("--data").arg(&data).args(["-w", "2"]);
    let child = Killed::spawn(&mut command);
    let days = data.join("part-0/views/by-carrier");
    let sealed = || std::fs::read_dir(&days).map_or(0, Iterator::count);
    let started = Instant::now();
    while sealed() < 3 {
        assert!(started.elapsed() < Duration::from_secs(60), "no day was sealed");
        std::thread::sleep(Duration::from_millis(2));
    }
    let signalled = Instant::now();
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    let output = child.output();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{errors}");
    assert!(signalled.elapsed() < Duration::from_secs(20), "{:?}", signalled.elapsed());
    assert!(errors.contains("interrupted") && !errors.contains("panicked"), "{errors}");
    assert!(output.stdout.is_empty());

    // The events so far are sealed, and another run continues from there.
    let (_, out) = run(folder.path(), &["-w", "3"]);
    assert!(out == NEW_YORK, "after an interruption: --out differs from the right answers");
}
