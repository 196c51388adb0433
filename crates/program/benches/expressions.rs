//! Views of a file's expressions beside the same views in Rust, over the flights of ten years as CSV:
//! `cargo bench -p dayfold-program --bench expressions`.
//!
//! Two views of the same rows: *columns*, which only names columns (count; seven statistics of two columns; distinct tail
//! numbers; by UTC day and carrier), and *expressions*, with a filter, a key and measures that are computed. Both sides
//! read the file in the same way, with one worker, in memory. Each run is a process of its own; processor time is user
//! and system. Before that, both sides write the same views into data folders, and all rows are compared.
#![allow(clippy::unwrap_used, reason = "a bench that cannot go on panics")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Read, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use dayfold::aggregate::{
    Aggregate, Count, Decimal, DecimalSum, Distinct, Max, Maybe, Min, Quantiles, Sum,
};
use dayfold::engine::{Measures, ViewHandle};
use dayfold::key::KeyRange;
use dayfold::serve::Query;
use dayfold::source::{CsvOptions, Files, Row};
use dayfold::time::{DayRange, EventTime};
use dayfold::view::View;
use dayfold::{Cluster, Engine, Fold};

const FLIGHTS: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/data/flights-2013.csv.gz");
const PROGRAM: &str = env!("CARGO_BIN_EXE_dayfold");
const LONG: Duration = Duration::from_secs(600);

/// The two views: name, definition, and the columns that are compared.
const VIEWS: [(&str, &str, &str); 2] = [
    (
        "columns",
        r#"key = { carrier = "carrier" }
measures = { n = "count()", dn = "count(arr_delay)", ds = "sum(arr_delay)", d0 = "min(arr_delay)", d1 = "max(arr_delay)", da = "avg(arr_delay)", d50 = "median(arr_delay)", d99 = "quantile(arr_delay, 0.99)", mn = "count(distance)", ms = "sum(distance)", m0 = "min(distance)", m1 = "max(distance)", ma = "avg(distance)", m50 = "median(distance)", m99 = "quantile(distance, 0.99)", tails = "distinct(tailnum)" }
"#,
        "day, carrier, n, dn, ds, d0, d1, d50, d99, mn, ms, m0, m1, m50, m99, tails",
    ),
    (
        "expressions",
        r#"where = "origin <> 'LGA' AND distance >= 200"
key = { carrier = "lower(carrier)", far = "distance > 1000" }
measures = { n = "count()", late = "count_if(arr_delay > 15)", km = "sum(distance * 1.609)", recovered = "sum(CASE WHEN arr_delay < 0 THEN -arr_delay ELSE 0 END)", worst = "max(arr_delay * 60)" }
"#,
        "day, carrier, far, n, late, km, recovered, worst",
    ),
];

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|argument| argument == "rust") {
        let prints = arguments.get(at + 3).is_some_and(|argument| argument == "print");
        run_in_rust(&arguments[at + 1], Path::new(&arguments[at + 2]), prints);
        return;
    }
    let short = std::env::var_os("DAYFOLD_BENCH_SHORT").is_some();
    let (years, runs) = if short { (1, 1) } else { (10, 5) };
    let folder = tempfile::tempdir().unwrap();
    let csv = folder.path().join("flights.csv");
    let rows = make(&csv, years);
    println!("{rows} flights; medians of {runs} runs in turn, one worker, in memory\n");
    println!(
        "{:<14}{:>22}{:>22}{:>8}",
        "", "Rust: processor, wall", "file: processor, wall", "ratio"
    );
    for (view, text, columns) in VIEWS {
        let file = folder.path().join(format!("{view}.toml"));
        std::fs::write(&file, config(&csv, view, text, None)).unwrap();
        let kept = folder.path().join(format!("{view}-kept.toml"));
        std::fs::write(&kept, config(&csv, view, text, Some(&folder.path().join(view)))).unwrap();
        compare(view, columns, &csv, &kept);
        let (mut rust, mut declared) = (Vec::new(), Vec::new());
        for _ in 0..runs {
            rust.push(timed(in_rust(view, &csv)));
            declared.push(timed(program(&["run", file.to_str().unwrap(), "--once"])));
        }
        let (rust, declared) = (median(rust), median(declared));
        let cell = |(processor, wall): (f64, f64)| format!("{processor:.2} s, {wall:.2} s");
        println!("{view:<14}{:>22}{:>22}{:>8.2}", cell(rust), cell(declared), declared.0 / rust.0);
    }
}

/// The file of a view: in memory, or with a data folder.
fn config(csv: &Path, view: &str, text: &str, data: Option<&Path>) -> String {
    let data = data.map_or(String::new(), |folder| format!("data = {folder:?}\n"));
    format!(
        "[engine]\nworkers = 1\n{data}\n[sources.flights]\ntype = \"file\"\npath = {csv:?}\nevent_time = \"event_time\"\n\n\
         [views.{view}]\nfrom = \"flights\"\n{text}"
    )
}

/// The flights of 2013, once for each of some years; the number of rows.
fn make(csv: &Path, years: i32) -> usize {
    let mut text = String::new();
    flate2::read::MultiGzDecoder::new(File::open(FLIGHTS).unwrap())
        .read_to_string(&mut text)
        .unwrap();
    let (header, rows) = text.split_once('\n').unwrap();
    let mut out = BufWriter::new(File::create(csv).unwrap());
    writeln!(out, "{header}").unwrap();
    let mut count = 0;
    for year in 2014 - years..2014 {
        for row in rows.lines() {
            // Both times are at the beginning of a row.
            let (event, rest) = row.split_once(',').unwrap();
            let (arrival, rest) = rest.split_once(',').unwrap();
            let shifted = |time: &str| {
                let of: i32 = time[..4].parse().unwrap();
                format!("{}{}", of - 2013 + year, &time[4..])
            };
            writeln!(out, "{},{},{rest}", shifted(event), shifted(arrival)).unwrap();
            count += 1;
        }
    }
    out.flush().unwrap();
    count
}

fn in_rust(view: &str, csv: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["rust", view]).arg(csv);
    command
}

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(arguments);
    command
}

/// Processor time and wall time of a process, in seconds.
fn timed(mut command: Command) -> (f64, f64) {
    let (before, start) = (processor_of_children(), Instant::now());
    let output = command.stdin(Stdio::null()).output().unwrap();
    let wall = start.elapsed().as_secs_f64();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    (processor_of_children() - before, wall)
}

/// User and system time of all children that have ended. The kernel counts in hundredths of a second.
fn processor_of_children() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    // The name, which may have spaces, is in brackets.
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    fields[13..15].iter().map(|ticks| ticks.parse::<f64>().unwrap()).sum::<f64>() / 100.0
}

fn median(mut of: Vec<(f64, f64)>) -> (f64, f64) {
    of.sort_by(|left, right| left.0.total_cmp(&right.0));
    of[of.len() / 2]
}

/// Compares all rows of a view, as both sides have them.
fn compare(view: &str, columns: &str, csv: &Path, kept: &Path) {
    let output = |mut command: Command| {
        let output = command.stdin(Stdio::null()).output().unwrap();
        assert!(
            output.status.success(),
            "{command:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    };
    let kept = kept.to_str().unwrap();
    output(program(&["run", kept, "--once"]));
    let sql = format!("SELECT {columns} FROM {view}");
    let declared = output(program(&["query", kept, &sql, "--format", "csv"]));
    let declared: BTreeSet<&str> = declared.lines().skip(1).collect();
    let mut rust = in_rust(view, csv);
    rust.arg("print");
    let rust = output(rust);
    let rust: BTreeSet<&str> = rust.lines().collect();
    assert!(rust.len() > 365, "{view}: {} rows", rust.len());
    let differs = rust.symmetric_difference(&declared).take(4).collect::<Vec<_>>();
    assert!(differs.is_empty(), "{view}: in one alone: {differs:#?}");
}

type Statistics = (Count, DecimalSum, (Min<Decimal>, Max<Decimal>, Quantiles));

struct Flight {
    time: EventTime,
    carrier: String,
    lower: String,
    arr_delay: Option<Decimal>,
    distance: Decimal,
    /// The tail number, or the origin.
    last: String,
}

/// A flight of a row, with the fields in this order: carrier, arr_delay, distance, and what is last.
fn flight(row: &Row<'_>, has_lower: bool) -> Result<Flight, String> {
    let text = |at: usize| std::str::from_utf8(row.field(at)).map_err(|error| error.to_string());
    let number = |at: usize| Decimal::parse(row.field(at)).map_err(|error| error.to_string());
    let arr_delay = if row.field(1).is_empty() { None } else { Some(number(1)?) };
    let (carrier, last) = (text(0)?.to_owned(), text(3)?.to_owned());
    let lower = if has_lower { carrier.to_lowercase() } else { String::new() };
    Ok(Flight { time: row.time(), carrier, lower, arr_delay, distance: number(2)?, last })
}

impl Flight {
    fn tail(&self) -> Option<&[u8]> {
        Some(self.last.as_bytes()).filter(|tail| !tail.is_empty())
    }
}

struct Columns;

impl Fold<Flight> for Columns {
    type Key = String;
    type KeyRef<'a> = &'a str;
    type State = (Count, Maybe<Statistics>, Maybe<Statistics>, Maybe<Distinct>);

    fn group<'a>(&'a self, flight: &'a Flight) -> Option<(EventTime, &'a str)> {
        Some((flight.time, &flight.carrier))
    }

    fn state(&self, flight: &Flight) -> Self::State {
        let tails = Maybe(flight.tail().map(Distinct::of));
        (
            Count::one(),
            Maybe(flight.arr_delay.map(statistics)),
            Maybe(Some(statistics(flight.distance))),
            tails,
        )
    }

    fn add(&self, flight: &Flight, (count, delays, distances, tails): &mut Self::State) {
        count.add();
        if let Some(delay) = flight.arr_delay {
            delays.add(|there| add(there, delay), || statistics(delay));
        }
        distances.add(|there| add(there, flight.distance), || statistics(flight.distance));
        if let Some(tail) = flight.tail() {
            tails.add(|tails| tails.add(tail), || Distinct::of(tail));
        }
    }
}

fn statistics(value: Decimal) -> Statistics {
    (Count::one(), DecimalSum::of(value), (Min(value), Max(value), Quantiles::of(value)))
}

fn add((count, sum, (least, greatest, quantiles)): &mut Statistics, value: Decimal) {
    count.add();
    sum.add(value);
    least.add(&value);
    greatest.add(&value);
    quantiles.add(value);
}

struct Expressions {
    kilometres: Decimal,
    seconds: Decimal,
}

/// Count, late ones, kilometres, recovered minutes, the worst delay in seconds.
type Computed = (Count, Sum, (DecimalSum, DecimalSum), Maybe<Max<Decimal>>);

impl Fold<Flight> for Expressions {
    type Key = (String, bool);
    type KeyRef<'a> = (&'a str, bool);
    type State = Computed;

    fn group<'a>(&'a self, flight: &'a Flight) -> Option<(EventTime, (&'a str, bool))> {
        let is_wanted = flight.last != "LGA" && flight.distance >= Decimal::from(200);
        is_wanted.then_some((flight.time, (&flight.lower, flight.distance > Decimal::from(1000))))
    }

    fn state(&self, flight: &Flight) -> Computed {
        let none = DecimalSum::of(Decimal::from(0));
        let mut state = (Count::default(), Sum::default(), (none, none), Maybe(None));
        self.add(flight, &mut state);
        state
    }

    fn add(&self, flight: &Flight, (count, late, (kilometres, recovered), worst): &mut Computed) {
        count.add();
        kilometres.add(flight.distance.checked_mul(self.kilometres).unwrap());
        let Some(delay) = flight.arr_delay else { return recovered.add(Decimal::from(0)) };
        late.add(i64::from(delay > Decimal::from(15)));
        let zero = Decimal::from(0);
        recovered.add(if delay < zero { zero.checked_sub(delay).unwrap() } else { zero });
        let seconds = delay.checked_mul(self.seconds).unwrap();
        worst.add(|worst| worst.add(&seconds), || Max(seconds));
    }
}

/// Computes a view in Rust; its rows, as `dayfold query` writes them as CSV, if they are to be printed.
fn run_in_rust(name: &str, csv: &Path, prints: bool) {
    let has_lower = name == "expressions";
    let fields =
        ["carrier", "arr_delay", "distance", if name == "columns" { "tailnum" } else { "origin" }];
    let options = CsvOptions::new("event_time").fields(fields);
    let files =
        Files::new("flights", csv.to_str().unwrap(), options, move |row| flight(row, has_lower));
    let mut engine = Engine::<Flight>::new().partitioned(files);
    let view = View::new(name).unwrap();
    if name == "columns" {
        let view = engine.fold(view, Measures::none(), Columns);
        run_engine(engine, &view, prints, |carrier, (count, delays, distances, tails)| {
            let mut line = format!("{carrier},{}", count.0);
            for statistics in [delays, distances] {
                match &statistics.0 {
                    None => line.push_str(",0,,,,,"),
                    Some((count, sum, (least, greatest, quantiles))) => {
                        let [median, p99] = [(1, 2), (99, 100)]
                            .map(|(of, from)| quantiles.quantile(of, from).unwrap());
                        let (sum, count) = (sum.value(), count.0);
                        write!(line, ",{count},{sum},{},{},{median},{p99}", least.0, greatest.0)
                            .unwrap();
                    }
                }
            }
            format!(
                "{line},{}",
                tails.0.as_ref().map_or(0, |tails| tails.estimate().round() as i64)
            )
        });
    } else {
        let fold =
            Expressions { kilometres: Decimal::from_scaled(1609, 3), seconds: Decimal::from(60) };
        let view = engine.fold(view, Measures::none(), fold);
        run_engine(
            engine,
            &view,
            prints,
            |(carrier, far), (count, late, (kilometres, recovered), worst)| {
                let worst = worst.0.map_or(String::new(), |worst| worst.0.to_string());
                let (kilometres, recovered) = (kilometres.value(), recovered.value());
                format!(
                    "{carrier},{far},{},{},{kilometres},{recovered},{worst}",
                    count.0,
                    late.value()
                )
            },
        );
    }
}

fn run_engine<K: dayfold::Key, A: Aggregate>(
    engine: Engine<Flight>,
    view: &ViewHandle<K, A>,
    prints: bool,
    line: impl Fn(&K, &A) -> String,
) {
    let running = engine.start(Cluster::workers(1)).unwrap();
    while !running.wait_sealed(LONG).unwrap() {}
    if prints {
        for item in view.ask(Query::rows(KeyRange::all(), DayRange::ALL)).unwrap().items {
            let (day, key, state) =
                (item.day.unwrap(), item.key.unwrap(), item.parts.merged().unwrap());
            println!("{day},{}", line(&key, &state));
        }
    }
    running.finish().unwrap();
}
