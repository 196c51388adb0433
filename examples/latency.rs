//! Measures latencies of Dayfold itself with the latency lab.
//!
//!     cargo run --release --example latency -- --rate 1000000 --seconds 60 --out latency
//!
//! Events come by a schedule, a day passes every ten seconds, and each latency counts from the instant at which the
//! event was due. `docs/latency.md` explains what is counted and how to read it.

mod common;
#[path = "latency/load.rs"]
mod load;
#[path = "latency/measure.rs"]
mod measure;
#[path = "latency/observe.rs"]
mod observe;
#[path = "latency/options.rs"]
mod options;
#[path = "latency/parts.rs"]
mod parts;
#[path = "latency/program.rs"]
mod program;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use clap::Parser;
use common::{failed, input, say};
use dayfold::engine::{EngineError, Running};
use dayfold_latency::{Against, File, Latencies, Recording, Report, Sweep};
use load::{DayClock, Load};
use measure::Run;
use options::Options;
use program::{Folder, Handle, Program};

fn main() -> ExitCode {
    common::init_tracing();
    let options = Options::parse();
    common::exit_code(options.check().and_then(|()| run(&options)))
}

fn run(options: &Options) -> Result<(), EngineError> {
    let interrupted = common::interrupted();
    // Files that cannot be read or written are found before anything is measured.
    let other = options.against.as_deref().map(read).transpose()?;
    write(options.out.as_deref(), &[])?;
    if options.sweep {
        return sweep(options, &interrupted);
    }
    let Some(report) = once(options, &interrupted)? else { return Ok(()) };
    let mut files = report.files();
    let mut shown = report.table();
    if let (Some(other), Some(folder)) = (&other, &options.against) {
        let (this, other_name) =
            (options.out.as_deref().map_or("this run".to_owned(), name), name(folder));
        let against = Against::new(&report, &this, other, &other_name);
        shown = format!("{shown}\n{}", against.table());
        files.extend(against.files());
    }
    write(options.out.as_deref(), &files)?;
    print(&shown)
}

/// Measures once, over all processes. Process 0 has the report.
fn once(options: &Options, interrupted: &AtomicBool) -> Result<Option<Report>, EngineError> {
    let (process, processes) = (options.workers.process(), options.workers.processes());
    let folder = Folder::new(&options.data(), process)?;
    if let Some(out) = options.out.as_deref().filter(|_| processes > 1) {
        // Done before the processes connect, so that nobody takes files of an earlier run.
        parts::remove(out, process)?;
    }
    let clock = Arc::new(DayClock::new(options));
    let load = Load::new(options, &clock);
    let Program { engine, view, pusher } = Program::new(options, &clock, &folder)?;
    let running = common::start(engine, options.workers.cluster()?, interrupted)?;
    // While this pusher exists, the open day stays open.
    let last = pusher.clone();
    let run = Run::new(options, &clock, &view, &running, interrupted);
    let mut report = options.describe(run.measure(pusher, &load)?);
    if let Some(out) = options.out.as_deref().filter(|_| processes > 1) {
        if process > 0 {
            parts::write(out, process, &report)?;
            running.wait_stopped(parts::PATIENCE);
            drop((last, running));
            if options.log.durability.is_some() {
                let Program { engine, view: _view, pusher } =
                    Program::new(options, &clock, &folder)?;
                let running = common::start(engine, options.workers.cluster()?, interrupted)?;
                running.wait_stopped(parts::PATIENCE);
                drop(pusher);
            }
            return Ok(None);
        }
        for other in 1..processes {
            report.merge(&parts::wait(out, other, &running, interrupted)?);
        }
    }
    let pace = *report.pace();
    check(&view, pace.scheduled - pace.unseen)?;
    report = recover(options, &clock, &folder, (running, interrupted), report)?;
    if !options.log.promises() {
        report = report.note("Not measured: durable; no log promises it.");
    }
    Ok(Some(report))
}

/// Every event must count once; otherwise the figures are meaningless.
fn check(view: &Handle, expect: u64) -> Result<(), EngineError> {
    let events = program::total(view)?;
    if events == expect {
        return Ok(());
    }
    Err(failed(format_args!("{expect} events were pushed, and {events} are in the answer")))
}

/// Stops the engine, starts it again over its folder, and measures how long it takes until it answers. Without a log
/// there is nothing to recover.
fn recover(
    options: &Options,
    clock: &Arc<DayClock>,
    folder: &Folder,
    (running, interrupted): (Running, &AtomicBool),
    report: Report,
) -> Result<Report, EngineError> {
    // Without `finish`, it stops at once and does not seal open days, as if the process were killed.
    drop(running);
    if options.log.durability.is_none() {
        return Ok(report);
    }
    let Program { engine, view, pusher } = Program::new(options, clock, folder)?;
    let started = Instant::now();
    let running = common::start(engine, options.workers.cluster()?, interrupted)?;
    let events = program::total(&view)?;
    let mut took = Latencies::new();
    took.record(started.elapsed().as_nanos() as u64);
    let replayed = running.progress().to_replay;
    let pace = *report.pace();
    drop((pusher, running));
    if events != pace.scheduled - pace.unseen {
        let pushed = pace.scheduled - pace.unseen;
        return Err(failed(format_args!(
            "{pushed} events were pushed, and {events} have come back"
        )));
    }
    Ok(report
        .with(Recording::of("recovery to the first answer", took))
        .note(format!("Recovery let {replayed} events of open days in again.")))
}

/// Finds the highest rate that the bound allows.
fn sweep(options: &Options, interrupted: &AtomicBool) -> Result<(), EngineError> {
    let bound = options.bound.as_nanos() as u64;
    let mut sweep = Sweep::new("freshness", bound, options.rate);
    while let Some(rate) = sweep.next() {
        say(format_args!("{rate} events a second for {} s", options.seconds));
        let Some(report) = once(&options.at_rate(rate), interrupted)? else { break };
        let step = format!("rate-{rate}");
        write(options.out.as_deref().map(|out| out.join(step)).as_deref(), &report.files())?;
        sweep.tried(&report);
        // So that an interrupted sweep keeps its results.
        write(options.out.as_deref(), &sweep.files())?;
    }
    print(&sweep.table())
}

fn read(folder: &Path) -> Result<Report, EngineError> {
    let path = folder.join(Report::FILE);
    let bytes =
        std::fs::read(&path).map_err(|error| input(format_args!("{}: {error}", path.display())))?;
    Report::from_bytes(&bytes).map_err(|error| input(format_args!("{}: {error}", path.display())))
}

/// Writes files into a folder, which is created if it does not exist.
fn write(folder: Option<&Path>, files: &[File]) -> Result<(), EngineError> {
    let Some(folder) = folder else { return Ok(()) };
    let failed = |path: &Path, error| input(format_args!("{}: {error}", path.display()));
    std::fs::create_dir_all(folder).map_err(|error| failed(folder, error))?;
    for file in files {
        let path = folder.join(&file.name);
        std::fs::write(&path, &file.bytes).map_err(|error| failed(&path, error))?;
    }
    Ok(())
}

fn name(folder: &Path) -> String {
    folder
        .file_name()
        .map_or_else(|| folder.display().to_string(), |name| name.to_string_lossy().into_owned())
}

fn print(text: &str) -> Result<(), EngineError> {
    let mut out = std::io::stdout();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(failed)
}
