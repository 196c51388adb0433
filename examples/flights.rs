//! The main job: a year of flights from New York's airports, streamed in the order in which they landed
//! through three views; days close while it runs, late records amend them, and queries are asked while
//! events flow.
//!
//!     cargo run --release --example flights
//!     cargo run --release --example flights -- -w 2 --data /tmp/flights

mod common;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use clap::Parser;
use common::{Workers, input};
use dayfold::Engine;
use dayfold::aggregate::{Count, Decimal, Distinct, Max, Maybe, Mean, Min, Quantiles, Sum};
use dayfold::engine::{EngineError, Measures, Running, ViewHandle};
use dayfold::key::{Key, KeyRange};
use dayfold::log::Durability;
use dayfold::serve::{Answer, MeasureId, Query};
use dayfold::source::{CsvOptions, CsvSource, Input, RefusedWriter, Row};
use dayfold::store::Store;
use dayfold::time::{Day, DayRange, EventTime, parse_duration};
use dayfold::view::View;
use hdrhistogram::Histogram;
use indicatif::{ProgressBar, ProgressStyle};
use serde::{Deserialize, Serialize};

#[derive(Parser)]
#[command(about = "Streams a year of flights through three views", disable_help_flag = true)]
#[command(after_help = "Two processes, each in a terminal of its own; the first one prints:
  cargo run --release --example flights -- --data two-processes -n 2 -p 0
  cargo run --release --example flights -- --data two-processes -n 2 -p 1")]
struct Options {
    /// Prints this help.
    #[arg(long, action = clap::ArgAction::Help)]
    help: Option<bool>,
    /// The flights.
    #[arg(long, value_name = "FILE", default_value = "examples/data/flights-2013.csv.gz")]
    flights: PathBuf,
    /// The folder for sealed days; a second run starts from them.
    #[arg(long, value_name = "DIR", default_value = "flights-data")]
    data: PathBuf,
    /// If the log in the data folder has lost its end or is damaged: sets the folder aside, under another name in the
    /// same place, and reads the flights again.
    #[arg(long)]
    accept_lost_log: bool,
    /// The calendar of the days.
    #[arg(long, value_name = "IANA", default_value = "America/New_York")]
    zone: String,
    /// How long after its end a day closes.
    #[arg(long, value_name = "DURATION", default_value = "1h")]
    grace: String,
    /// Writes every day and carrier as CSV.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    workers: Workers,
}

/// The content of a record; the log keeps it.
#[derive(Serialize, Deserialize)]
struct Flight {
    time: EventTime,
    carrier: String,
    origin: String,
    dest: String,
    tailnum: Vec<u8>,
    /// Minutes, negative if early; empty in records of diverted flights.
    delay: Option<Decimal>,
    miles: i64,
}

const COLUMNS: [&str; 6] = ["carrier", "origin", "dest", "tailnum", "arr_delay", "distance"];

impl Flight {
    fn parse(row: &Row<'_>) -> Result<Flight, String> {
        let text = |at: usize| {
            let cell = std::str::from_utf8(row.field(at));
            cell.map(str::to_owned).map_err(|_| format!("'{}': expected UTF-8", COLUMNS[at]))
        };
        let number = |at: usize| match row.field(at) {
            [] => Ok(None),
            cell => Decimal::parse(cell)
                .map(Some)
                .map_err(|error| format!("'{}': {error}", COLUMNS[at])),
        };
        let miles = text(5)?.parse().map_err(|_| "'distance': expected whole miles".to_owned())?;
        Ok(Flight {
            time: row.time(),
            carrier: text(0)?,
            origin: text(1)?,
            dest: text(2)?,
            tailnum: row.field(3).to_vec(),
            delay: number(4)?,
            miles,
        })
    }
}

/// Flights, delays if known, aircraft, and miles. One definition for both layers.
type Stats = (Count, Maybe<Delay>, Maybe<Distinct>, Sum);
type Delay = (Mean, Min<Decimal>, Max<Decimal>, Quantiles);

/// The names of its parts, for readers of the folder.
const MEASURES: [&[&str]; 4] = [
    &["flights"],
    &["mean_delay", "least_delay", "worst_delay", "delay"],
    &["aircraft"],
    &["miles"],
];

fn stats(flight: &Flight) -> Stats {
    let delay = flight.delay.map(|d| (Mean::of(d), Min(d), Max(d), Quantiles::of(d)));
    let aircraft = (!flight.tailnum.is_empty()).then(|| Distinct::of(&flight.tailnum));
    (Count::one(), Maybe(delay), Maybe(aircraft), Sum::of(flight.miles))
}

struct Views {
    by_carrier: ViewHandle<String, Stats>,
    by_route: ViewHandle<(String, String), Stats>,
    by_origin: ViewHandle<String, Stats>,
}

fn main() -> ExitCode {
    common::init_tracing();
    common::exit_code(run(&Options::parse()))
}

fn run(options: &Options) -> Result<(), EngineError> {
    let interrupted = common::interrupted();
    let (engine, views) = build(options)?;
    let started = Instant::now();
    let running = common::start(engine, options.workers.cluster()?, &interrupted)?;
    if !options.workers.is_first() {
        return common::follow(running, &interrupted);
    }
    let latency = watch(&running, &views, &interrupted)?;
    let elapsed = started.elapsed();
    if !running.is_interrupted() {
        report(&views, options)?;
    }
    let late = running.progress().views.first().map_or(0, |numbers| numbers.late);
    let stopped = running.finish()?;
    summary(&options.workers, stopped.progress.rows, late, elapsed, &latency);
    Ok(())
}

/// The engine: a source, three views of it, a folder.
fn build(options: &Options) -> Result<(Engine<Flight>, Views), EngineError> {
    let grace = parse_duration(&options.grace).map_err(input)?;
    let view = |name: &str, columns: &[&str]| -> Result<View, EngineError> {
        let view = View::new(name).and_then(|view| view.zone(&options.zone)).map_err(input)?;
        let view = view.key_columns(columns.iter().copied()).map_err(input)?;
        let view = view.measure_names(MEASURES.map(|part| part.iter().copied())).map_err(input)?;
        Ok(view.grace(grace))
    };
    let measures = || Measures::none().measure("flights", |stats: &Stats| Some(stats.0.0.into()));
    // Events that the log loses when the machine stops can be read from the file again.
    let mut engine =
        Engine::new().data(&options.data).log(Durability::System, |flight: &Flight| flight.time);
    if options.accept_lost_log {
        engine = engine.accept_lost_log();
    }
    let by_carrier =
        engine.view(view("by-carrier", &["carrier"])?, measures(), |flight: &Flight| {
            Some((flight.time, flight.carrier.clone(), stats(flight)))
        });
    let by_route =
        engine.view(view("by-route", &["origin", "dest"])?, measures(), |flight: &Flight| {
            Some((flight.time, (flight.origin.clone(), flight.dest.clone()), stats(flight)))
        });
    let by_origin = engine.view(view("by-origin", &["origin"])?, measures(), |flight: &Flight| {
        Some((flight.time, flight.origin.clone(), stats(flight)))
    });
    let file = options.flights.clone();
    let rejected = Arc::new(Mutex::new(None));
    let (opening, keeping) = (Arc::clone(&rejected), rejected);
    let engine = engine.csv(
        move |resume| {
            let csv = CsvOptions::new("event_time").arrival("ingest_time").fields(COLUMNS);
            let source = match resume.consumed() {
                None => CsvSource::open(Input::file(file), csv)?,
                Some(consumed) => CsvSource::resume_after(Input::file(file), csv, consumed)?,
            };
            // The log has the refused records, so their file is written again.
            let path = resume.store().map(Store::rejected_path).unwrap_or_default();
            let mut writer = rejected_file(&path).map_err(common::failed)?;
            resume
                .refused()
                .iter()
                .try_for_each(|row| writer.write(row))
                .map_err(common::failed)?;
            *lock(&opening) = Some(writer);
            Ok(Some(source))
        },
        Flight::parse,
    );
    let engine = engine.refused(move |refused| match lock(&keeping).as_mut() {
        Some(writer) => writer.write(refused).map_err(common::failed),
        None => Ok(()),
    });
    Ok((engine, Views { by_carrier, by_route, by_origin }))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn rejected_file(path: &Path) -> std::io::Result<RefusedWriter<std::fs::File>> {
    std::fs::create_dir_all(path.parent().unwrap_or(path))?;
    RefusedWriter::new(std::fs::File::create(path)?)
}

/// Follows the run: a progress bar, and queries while events flow.
fn watch(
    running: &Running,
    views: &Views,
    interrupted: &std::sync::atomic::AtomicBool,
) -> Result<Histogram<u64>, EngineError> {
    let bar = ProgressBar::new(0);
    let style =
        ProgressStyle::with_template("{elapsed_precise} {bar:32.cyan/blue} {percent:>3} %  {msg}");
    bar.set_style(style.map_err(input)?);
    let mut latency = Histogram::new(3).map_err(input)?;
    let mut shown = 0;
    let mut asked = 0u32;
    while !running.wait_sealed(Duration::from_millis(2))? {
        if common::is_set(interrupted) {
            running.interrupt();
            continue;
        }
        let progress = running.progress();
        bar.set_length(progress.bytes_total.unwrap_or(0));
        bar.set_position(progress.bytes_read);
        if let Some(numbers) = progress.views.first() {
            let through =
                numbers.sealed_through.map_or("nothing".to_owned(), |day| day.to_string());
            bar.set_message(match progress.recovered {
                true => format!(
                    "{} flights, sealed through {through}, {} late",
                    progress.rows, numbers.late
                ),
                false => format!("{} of {} flights back", progress.replayed, progress.to_replay),
            });
        }
        let carriers = ["UA", "B6", "EV", "DL", "AA", "MQ", "US", "9E"];
        let carrier = carriers[asked as usize % carriers.len()];
        asked += 1;
        let before = Instant::now();
        let through = progress.views.first().and_then(|numbers| numbers.sealed_through);
        let week = through.map_or(DayRange::ALL, |day| DayRange::new(Day(day.0 - 6), Day::MAX));
        let Ok(answer) = views.by_carrier.ask(Query::point(carrier.to_owned(), week)) else {
            continue;
        };
        latency.record(before.elapsed().as_nanos() as u64).map_err(input)?;
        // A few answers on the way, which use both layers.
        let parts = answer.items.first().map(|item| &item.parts);
        if progress.rows / 45_000 > shown
            && let Some(parts) =
                parts.filter(|parts| parts.batch.is_some() && parts.speed.is_some())
        {
            shown = progress.rows / 45_000;
            bar.suspend(|| show(carrier, &answer, parts));
        }
    }
    bar.finish_and_clear();
    Ok(latency)
}

/// One answer, by layer.
fn show(carrier: &str, answer: &Answer<String, Stats>, parts: &dayfold::serve::Parts<Stats>) {
    let flights = |stats: &Option<Stats>| stats.as_ref().map_or(0, |stats| stats.0.0);
    let total = parts.merged().map_or(0, |stats| stats.0.0);
    let sealed = answer.certificate.sealed_through.map_or("-".to_owned(), |day| day.to_string());
    eprintln!(
        "  {carrier}, last 7 sealed days and since: {total:>5} flights = {:>4} from batch views \
         (through {sealed}) + {:>4} from the speed view + {} amendments",
        flights(&parts.batch),
        flights(&parts.speed),
        flights(&parts.amendments),
    );
}

/// The tables at the end. The same for any number of workers.
fn report(views: &Views, options: &Options) -> Result<(), EngineError> {
    if let Some(path) = &options.out {
        write_days(&views.by_carrier, path)?;
    }
    let days =
        ask(&views.by_origin, Query::new(all(), DayRange::ALL, dayfold::serve::Shape::ByDay))?;
    let mut out = std::io::stdout().lock();
    table(
        &mut out,
        "carrier",
        &ask(&views.by_carrier, Query::top(8, MeasureId::FIRST, DayRange::ALL))?,
        |k| k.clone(),
    )?;
    let route = |(origin, dest): &(String, String)| format!("{origin}-{dest}");
    table(
        &mut out,
        "route",
        &ask(&views.by_route, Query::top(8, MeasureId::FIRST, DayRange::ALL))?,
        route,
    )?;
    table(
        &mut out,
        "origin",
        &ask(&views.by_origin, Query::top(8, MeasureId::FIRST, DayRange::ALL))?,
        |k| k.clone(),
    )?;
    let total = ask(&views.by_carrier, Query::total(DayRange::ALL))?;
    let flights = total.value().map_or(0, |stats| stats.0.0);
    let first = days.items.first().and_then(|item| item.day).unwrap_or_default();
    let last = days.items.last().and_then(|item| item.day).unwrap_or_default();
    line(
        &mut out,
        &format!(
            "{flights} flights on {} days sealed, {first} to {last} ({}); {} records refused",
            days.items.len(),
            options.zone,
            total.certificate.refused,
        ),
    )
}

fn all<K: Key>() -> dayfold::serve::Keys<K> {
    dayfold::serve::Keys::Range(KeyRange::all())
}

fn ask<K: Key>(
    view: &ViewHandle<K, Stats>,
    query: Query<K>,
) -> Result<Answer<K, Stats>, EngineError> {
    view.ask(query).map_err(|error| EngineError::Failed { message: error.to_string() })
}

fn line(out: &mut impl Write, text: &str) -> Result<(), EngineError> {
    writeln!(out, "{text}").map_err(|error| EngineError::Failed { message: error.to_string() })
}

fn table<K: Key>(
    out: &mut impl Write,
    title: &str,
    answer: &Answer<K, Stats>,
    name: impl Fn(&K) -> String,
) -> Result<(), EngineError> {
    line(
        out,
        &format!(
            "{title:<8} {:>9} {:>10} {:>8} {:>8} {:>8} {:>9} {:>12}",
            "flights", "mean delay", "median", "p99", "worst", "aircraft", "miles"
        ),
    )?;
    for item in &answer.items {
        let (Some(key), Some(stats)) = (&item.key, item.parts.merged()) else { continue };
        let (Count(flights), Maybe(delay), Maybe(aircraft), miles) = &stats;
        let none = || "-".to_owned();
        let quantile =
            |delay: &Delay, num| delay.3.quantile(num, 100).map_or_else(none, |d| d.to_string());
        let of = |show: &dyn Fn(&Delay) -> String| delay.as_ref().map_or_else(none, show);
        line(
            out,
            &format!(
                "{:<8} {flights:>9} {:>10} {:>8} {:>8} {:>8} {:>9} {:>12}",
                name(key),
                of(&|delay| delay.0.to_string_with(2)),
                of(&|delay| quantile(delay, 50)),
                of(&|delay| quantile(delay, 99)),
                of(&|delay| delay.2.0.to_string()),
                aircraft.as_ref().map_or(0, Distinct::rounded),
                miles.value(),
            ),
        )?;
    }
    line(out, "")
}

/// Every day and carrier, with the columns of an independent program's answers.
fn write_days(view: &ViewHandle<String, Stats>, path: &PathBuf) -> Result<(), EngineError> {
    let failed = |error: std::io::Error| EngineError::Failed { message: error.to_string() };
    let mut text = String::from(
        "day,key,events,delay_count,delay_sum,delay_min,delay_max,delay_p50,delay_p99,\
         distinct_tailnum,distance_sum\n",
    );
    for item in ask(view, Query::rows(KeyRange::all(), DayRange::ALL))?.items {
        let (Some(day), Some(key), Some(stats)) = (item.day, item.key, item.parts.merged()) else {
            continue;
        };
        text.push_str(&day_row(day, &key, &stats));
    }
    std::fs::write(path, text).map_err(failed)
}

fn day_row(day: Day, key: &str, (events, delay, aircraft, miles): &Stats) -> String {
    let delays = match &delay.0 {
        None => "0,0,,,,".to_owned(),
        Some((mean, min, max, quantiles)) => {
            let quantile =
                |num| quantiles.quantile(num, 100).map_or(String::new(), |d| d.to_string());
            let (sum, count) = (mean.sum(), mean.count());
            format!("{count},{sum},{},{},{},{}", min.0, max.0, quantile(50), quantile(99))
        }
    };
    let aircraft = aircraft.0.as_ref().map_or(0, Distinct::rounded);
    format!("{day},{key},{},{delays},{aircraft},{}\n", events.0, miles.value())
}

/// Figures that depend on the machine, separate from the tables.
fn summary(workers: &Workers, rows: u64, late: u64, elapsed: Duration, latency: &Histogram<u64>) {
    let seconds = elapsed.as_secs_f64();
    let percentile = |p| latency.value_at_quantile(p) as f64 / 1_000.0;
    if rows == 0 {
        eprintln!("everything came from sealed days; nothing was read ({seconds:.2} s)");
        return;
    }
    eprintln!(
        "{}: {rows} records into three views in {seconds:.2} s, {:.0} events/s, sealing included\n\
         {late} of them came after their day had closed, and amended it\n\
         {} queries while they flowed, p50 {:.0} µs, p99 {:.0} µs, max {:.0} µs",
        workers.describe(),
        rows as f64 / seconds,
        latency.len(),
        percentile(0.5),
        percentile(0.99),
        latency.max() as f64 / 1_000.0,
    );
}
