//! A tour of the log: a program that is killed, a file that is damaged, and a view that is added later.
//!
//!     cargo run --release --example recover
//!     cargo run --release --example recover -- -w 2
//!
//! It streams the flights into its own folder, kills itself in the middle, and continues. Then it shows a day as it was
//! first sealed, damages a sealed file and repairs it from the log, and adds a view whose past is computed from the
//! log. Finally it copies the folder, deletes a part of the log, and continues from the copy, or reads everything
//! again. Each step says what to expect, and fails if the result differs.

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use clap::Parser;
use common::{Workers, failed, input, say};
use dayfold::Engine;
use dayfold::aggregate::{Count, Decimal, Max, Maybe};
use dayfold::engine::{EngineError, Measures, Running, ViewHandle};
use dayfold::key::KeyRange;
use dayfold::log::{self, Durability, LogError};
use dayfold::serve::{Query, Revision};
use dayfold::source::{CsvOptions, CsvSource, Input, Row};
use dayfold::store::{self, Disk};
use dayfold::time::{Day, DayRange, EventTime};
use dayfold::view::View;
use serde::{Deserialize, Serialize};

#[derive(Parser)]
#[command(
    about = "A tour of the log: killed, damaged, and found in order",
    disable_help_flag = true
)]
#[command(after_help = "Two processes, each in a terminal of its own; the first one prints:
  cargo run --release --example recover -- --data two-processes -n 2 -p 0
  cargo run --release --example recover -- --data two-processes -n 2 -p 1")]
struct Options {
    /// Prints this help.
    #[arg(long, action = clap::ArgAction::Help)]
    help: Option<bool>,
    /// The flights.
    #[arg(long, value_name = "FILE", default_value = "examples/data/flights-2013.csv.gz")]
    flights: PathBuf,
    /// The folder for the data; it must not exist yet. Without it, a temporary folder. Several processes need one
    /// shared folder, because an audit and a rebuild read all logs.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Kills this process when this many records were read; the tour does this to a process that it starts.
    #[arg(long, value_name = "RECORDS", requires = "data")]
    die_after: Option<u64>,
    #[command(flatten)]
    workers: Workers,
}

/// The log keeps any type that derives serde's traits.
#[derive(Serialize, Deserialize)]
struct Flight {
    time: EventTime,
    carrier: String,
    origin: String,
    delay: Option<Decimal>,
}

/// How many flights are in the file.
const FLIGHTS: i64 = 328_521;

/// Flights, and how late the latest was.
type Stats = (Count, Maybe<Max<Decimal>>);

fn main() -> ExitCode {
    common::init_tracing();
    common::exit_code(run(&Options::parse()))
}

fn run(options: &Options) -> Result<(), EngineError> {
    if let (Some(folder), Some(records)) = (&options.data, options.die_after) {
        return die_after(options, folder, records);
    }
    if options.workers.are_several() && options.data.is_none() {
        return Err(input("several processes need a folder that all of them see: --data DIR"));
    }
    let temporary = tempfile::tempdir().map_err(failed)?;
    let folder = options.data.clone().unwrap_or_else(|| temporary.path().join("data"));
    // The first process is also the first to write there.
    if options.workers.is_first() && folder.exists() {
        return Err(input(format_args!("{} is there already", folder.display())));
    }
    killed(options, &folder)?;
    step(options, &folder, false, gone_on)?;
    step(options, &folder, false, as_first_sealed)?;
    step(options, &folder, false, |views, running| damaged_and_mended(views, running, &folder))?;
    step(options, &folder, true, a_view_added)?;
    // Other processes would have to be stopped and started with this one.
    if options.workers.are_several() { Ok(()) } else { cut_and_restored(options, &folder) }
}

/// An engine, and the handles of its views.
type Program = (Engine<Flight>, Vec<ViewHandle<String, Stats>>);

/// One view of the flights, or two; a log; and the file, from the position in the log.
fn program(options: &Options, folder: &Path, with_origin: bool) -> Result<Program, EngineError> {
    let stats = |flight: &Flight| (Count::one(), Maybe(flight.delay.map(Max)));
    let mut engine = Engine::new();
    let view = |name| View::new(name).and_then(|view| view.zone("America/New_York")).map_err(input);
    let mut views = vec![engine.view(view("by-carrier")?, Measures::none(), move |f: &Flight| {
        Some((f.time, f.carrier.clone(), stats(f)))
    })];
    if with_origin {
        views.push(engine.view(view("by-origin")?, Measures::none(), move |f: &Flight| {
            Some((f.time, f.origin.clone(), stats(f)))
        }));
    }
    let file = options.flights.clone();
    let every = Durability::Every(Duration::from_millis(10));
    let engine = engine.data(folder).log(every, |flight: &Flight| flight.time).csv(
        move |resume| {
            let csv = CsvOptions::new("event_time").arrival("ingest_time");
            let csv = csv.fields(["carrier", "origin", "arr_delay"]);
            let source = match resume.consumed() {
                // The log knows which rows it already has.
                Some(consumed) => CsvSource::resume_after(Input::file(file), csv, consumed)?,
                None => CsvSource::open(Input::file(file), csv)?,
            };
            Ok(Some(source))
        },
        |row: &Row<'_>| {
            let text = |at: usize| String::from_utf8_lossy(row.field(at)).into_owned();
            let delay = (!row.field(2).is_empty()).then(|| Decimal::parse(row.field(2)));
            let delay = delay.transpose().map_err(|error| error.to_string())?;
            Ok(Flight { time: row.time(), carrier: text(0), origin: text(1), delay })
        },
    );
    Ok((engine, views))
}

/// Starts the engine, calls a function on the first process to show something, and stops all.
fn step(
    options: &Options,
    folder: &Path,
    with_origin: bool,
    show: impl FnOnce(&[ViewHandle<String, Stats>], &Running) -> Result<(), EngineError>,
) -> Result<(), EngineError> {
    let (engine, views) = program(options, folder, with_origin)?;
    let running = engine.start(options.workers.cluster()?)?;
    if options.workers.is_first() {
        show(&views, &running)?;
    } else {
        while !running.wait_stopped(Duration::from_secs(1)) {}
    }
    running.finish().map(drop)
}

/// Waits until all is read and sealed.
fn sealed(running: &Running) -> Result<(), EngineError> {
    while !running.wait_sealed(Duration::from_secs(1))? {}
    Ok(())
}

fn flights(view: &ViewHandle<String, Stats>, query: Query<String>) -> Result<i64, EngineError> {
    Ok(view.ask(query).map_err(failed)?.value().map_or(0, |(Count(flights), _)| flights))
}

/// Ends the process like a kill: nothing is flushed, nothing is reported.
fn die_after(options: &Options, folder: &Path, records: u64) -> Result<(), EngineError> {
    let (engine, _views) = program(options, folder, false)?;
    let running = engine.start(options.workers.cluster()?)?;
    loop {
        if running.progress().rows >= records {
            std::process::abort();
        }
        // Other processes read nothing, and end when the first one is gone.
        if running.wait_sealed(Duration::from_millis(1))? {
            return Err(failed("it was done before it died"));
        }
    }
}

fn killed(options: &Options, folder: &Path) -> Result<(), EngineError> {
    let is_first = options.workers.is_first();
    if is_first {
        println!("1. Killed, and gone on");
    }
    let mut child = Command::new(std::env::current_exe().map_err(failed)?);
    child.arg("--die-after=150000").arg("--data").arg(folder);
    child.arg("--flights").arg(&options.flights).args(options.workers.arguments());
    let died = child.output().map_err(failed)?;
    match is_first {
        true => {
            let said = String::from_utf8_lossy(&died.stderr);
            said.lines().for_each(say);
            check(
                died.status.code().is_none(),
                "a process that streamed the flights was killed half-way",
            )
        }
        false => Ok(()),
    }
}

fn gone_on(views: &[ViewHandle<String, Stats>], running: &Running) -> Result<(), EngineError> {
    let started = Instant::now();
    while !running.progress().recovered && !running.wait_sealed(Duration::from_millis(1))? {}
    let recovered = started.elapsed();
    sealed(running)?;
    let progress = running.progress();
    say(format_args!(
        "   {} flights of open days came back from the log in {recovered:.1?}; {} more were read",
        progress.to_replay, progress.rows
    ));
    let total = flights(&views[0], Query::total(DayRange::ALL))?;
    check(total == FLIGHTS, "the next one has every flight once: 328521")
}

fn as_first_sealed(
    views: &[ViewHandle<String, Stats>],
    running: &Running,
) -> Result<(), EngineError> {
    println!("2. As first sealed, and as amended");
    sealed(running)?;
    let day = DayRange::only("2013-03-08".parse::<Day>().map_err(failed)?);
    let first = flights(&views[0], Query::total(day).revision(Revision::First))?;
    let now = flights(&views[0], Query::total(day))?;
    println!("   8 March: {first} flights when it was sealed, {now} with those that landed later");
    check(first < now, "late flights are in the day's later revisions")
}

fn damaged_and_mended(
    views: &[ViewHandle<String, Stats>],
    running: &Running,
    folder: &Path,
) -> Result<(), EngineError> {
    println!("3. Damaged, and mended");
    sealed(running)?;
    let audited = views[0].audit(DayRange::ALL, 1.0).map_err(failed)?;
    check(audited.findings.is_empty(), "an audit computes 366 days from the log: no difference")?;
    // Files of older days are in packs.
    flip_a_byte(folder, "views/by-carrier/2013-12-24").map_err(failed)?;
    let audited = views[0].audit(DayRange::ALL, 1.0).map_err(failed)?;
    audited.findings.iter().for_each(|finding| say(format_args!("   {finding}")));
    let days: Vec<String> = audited.findings.iter().map(|f| f.day.to_string()).collect();
    check(days == ["2013-12-24"], "a byte of a sealed file is turned, and the audit names it")?;
    let day = DayRange::only(audited.findings[0].day);
    views[0].rebuild(day, 1.0).map_err(failed)?;
    let audited = views[0].audit(DayRange::ALL, 1.0).map_err(failed)?;
    check(audited.findings.is_empty(), "the day is rebuilt from the log: no difference")
}

/// Replaces the newest file of a day by a damaged copy, in the first part that has the day.
fn flip_a_byte(folder: &Path, day: &str) -> std::io::Result<()> {
    let parts = (0..).map(|part| folder.join(format!("part-{part}")));
    let mut days = parts.take_while(|part| part.exists()).map(|part| part.join(day));
    let Some(day) = days.find(|day| day.exists()) else { return Ok(()) };
    let files = std::fs::read_dir(day)?.map(|entry| Ok(entry?.path()));
    let mut files = files.collect::<std::io::Result<Vec<PathBuf>>>()?;
    files.sort();
    let Some(path) = files.pop() else { return Ok(()) };
    let mut bytes = std::fs::read(&path)?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    // The engine has mapped the file, so it keeps the old one until the file is opened again.
    std::fs::remove_file(&path)?;
    std::fs::write(&path, bytes)
}

fn a_view_added(views: &[ViewHandle<String, Stats>], running: &Running) -> Result<(), EngineError> {
    println!("4. A view that nobody thought of");
    sealed(running)?;
    let read = running.progress().rows;
    check(read == 0, "a second view is added: nothing is read from the file again")?;
    let rows = Query::keys(KeyRange::all(), DayRange::ALL);
    for item in views[1].ask(rows).map_err(failed)?.items {
        let flights = item.parts.merged().map_or(0, |(Count(flights), _)| flights);
        println!("   {} {flights:>7}", item.key.unwrap_or_default());
    }
    let by_origin = flights(&views[1], Query::total(DayRange::ALL))?;
    check(by_origin == FLIGHTS, "its past is in the log: as many flights as in the first view")
}

fn cut_and_restored(options: &Options, folder: &Path) -> Result<(), EngineError> {
    println!("5. A log that has lost its end");
    let copy = folder.with_extension("backup");
    let copied = store::backup(folder, &copy).map_err(failed)?;
    say(format_args!("   {} files, {} bytes", copied.files, copied.bytes));
    check(copied.parts == 1, "the folder is copied, as it could be while it is in use")?;
    remove_longest(&folder.join("part-0/log/commits")).map_err(failed)?;
    let report = store::inspect(&Disk, folder)?;
    let lost = log::prove(&Disk, &report);
    lost.iter().for_each(|error| say(format_args!("   {error}")));
    check(lost.len() == 1, "a commit stream is deleted, and what the manifest proves is missing")?;
    let refused = |engine: Engine<Flight>| match engine.start(options.workers.cluster()?) {
        Ok(_) => Ok(false),
        Err(EngineError::Log(LogError::Lost { .. })) => Ok(true),
        Err(error) => Err(error),
    };
    let (engine, _) = program(options, folder, true)?;
    check(refused(engine)?, "the engine does not start: what is sealed would be read again")?;
    let (engine, views) = program(options, folder, true)?;
    let running = engine.accept_lost_log().start(options.workers.cluster()?)?;
    sealed(&running)?;
    let (read, total) = (running.progress().rows, flights(&views[0], Query::total(DayRange::ALL))?);
    running.finish()?;
    check(
        (read as i64, total) >= (FLIGHTS, FLIGHTS) && total == FLIGHTS,
        "the lost log is accepted: the folder is set aside, and all is read again",
    )?;
    step(options, &copy, true, |views, running| {
        sealed(running)?;
        let total = flights(&views[0], Query::total(DayRange::ALL))?;
        let read = running.progress().rows;
        check((total, read) == (FLIGHTS, 0), "or the copy is used: nothing has to be read again")
    })
}

/// Removes the longest file in a folder.
fn remove_longest(folder: &Path) -> std::io::Result<()> {
    let files = std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path()));
    let files = files.collect::<std::io::Result<Vec<PathBuf>>>()?;
    let length = |path: &PathBuf| path.metadata().map_or(0, |metadata| metadata.len());
    files.into_iter().max_by_key(length).map_or(Ok(()), std::fs::remove_file)
}

/// Prints the expectation, or fails with it.
fn check(holds: bool, expected: &str) -> Result<(), EngineError> {
    if !holds {
        return Err(failed(format_args!("not so: {expected}")));
    }
    println!("   {expected}");
    Ok(())
}
