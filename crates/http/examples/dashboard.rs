//! The main job: a year of flights from New York's airports, played back at a day per second, on a page.
//!
//!     cargo run --example dashboard
//!     cargo run --example dashboard -- --pace 10 --data /tmp/flights

#[path = "../../../examples/common/mod.rs"]
mod common;
#[path = "dashboard/flight.rs"]
mod flight;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use clap::Parser;
use common::{Workers, failed, input, say};
use dayfold::Engine;
use dayfold::engine::{EngineError, LiveOptions, Pusher, Running, ViewHandle};
use dayfold::key::Key;
use dayfold::log::Durability;
use dayfold::serve::Query;
use dayfold::source::{CsvOptions, CsvSource, Input};
use dayfold::time::{DayRange, Grain};
use dayfold::view::View;
use dayfold_http::{Server, Serving};
use flight::{COLUMNS, Flight, MEASURES, Stats, measures, stats};

/// Ports that are tried, from this one on.
const PORTS: std::ops::Range<u16> = 8080..8180;

/// Milliseconds of a day, for the pace.
const DAY: f64 = 86_400_000.0;

#[derive(Parser)]
#[command(about = "Plays a year of flights back and shows it on a page", disable_help_flag = true)]
#[command(
    after_help = "Two processes, each in a terminal of its own; the first one serves the page:
  cargo run --example dashboard -- --data two-processes -n 2 -p 0
  cargo run --example dashboard -- --data two-processes -n 2 -p 1"
)]
struct Options {
    /// Prints this help.
    #[arg(long, action = clap::ArgAction::Help)]
    help: Option<bool>,
    /// The flights.
    #[arg(long, value_name = "FILE", default_value = "examples/data/flights-2013.csv.gz")]
    flights: PathBuf,
    /// How fast the flights are played back, in days per second, or `max`.
    #[arg(long, value_name = "DAYS_PER_S", default_value = "1", value_parser = pace)]
    pace: Pace,
    /// The folder of sealed days and the log; a second run continues from there.
    #[arg(long, value_name = "DIR", default_value = "dashboard-data")]
    data: PathBuf,
    /// The port of the page; otherwise the first free one from 8080.
    #[arg(long)]
    port: Option<u16>,
    /// The address of the page. Everybody who can reach it can read everything. Beyond the loopback interface, adding
    /// flights needs a --token, and names of this machine must be allowed with --host.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    bind: std::net::IpAddr,
    /// A name under which the page is served, besides localhost and addresses. May be given several times.
    #[arg(long = "host", value_name = "NAME")]
    hosts: Vec<String>,
    /// Adding flights over HTTP needs this token.
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
    /// Ends when the data ends, and prints a summary.
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    workers: Workers,
}

/// Milliseconds of event time per millisecond; `None` means as fast as possible.
#[derive(Clone, Copy)]
struct Pace(Option<f64>);

fn pace(text: &str) -> Result<Pace, String> {
    if text == "max" {
        return Ok(Pace(None));
    }
    let days = text.parse().ok().filter(|days: &f64| days.is_finite() && *days > 0.0);
    let days = days.ok_or("expected a number of days per second greater than 0, or 'max'")?;
    Ok(Pace(Some(days * DAY / 1_000.0)))
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
    let (engine, views, pusher) = build(options)?;
    let running = common::start(engine, options.workers.cluster()?, &interrupted)?;
    // A source into which nobody can push would hold back the end of the data for ever.
    let pusher = Some(pusher).filter(|_| !options.once);
    // Other processes serve a page only if they have a port.
    let serving = match options.workers.is_first() || options.port.is_some() {
        true => Some(serve(options, &running, pusher)?),
        false => None,
    };
    if let Some(serving) = &serving {
        say(format_args!("http://{}", serving.address()));
    }
    match options.workers.is_first() {
        true => watch(&running, options, &interrupted)?,
        false => {
            while !running.wait_stopped(Duration::from_millis(50)) {
                if common::is_set(&interrupted) {
                    break;
                }
            }
        }
    }
    if options.once && options.workers.is_first() && !common::is_set(&interrupted) {
        summary(&views)?;
    }
    // Waiting requests are answered while the engine still can.
    drop(serving);
    running.finish().map(|_| ())
}

/// The engine: a file that is played back, flights from programs, three views, and a folder.
fn build(options: &Options) -> Result<(Engine<Flight>, Views, Pusher<Flight>), EngineError> {
    let view = |name: &str, columns: &[&str]| -> Result<View, EngineError> {
        let view = View::new(name).and_then(|view| view.zone("America/New_York")).map_err(input)?;
        // A query of the whole year reads a few files instead of hundreds.
        let view = view.rollup([Grain::Month, Grain::Year]);
        let view = view.key_columns(columns.iter().copied()).map_err(input)?;
        view.measure_names(MEASURES.map(|part| part.iter().copied())).map_err(input)
    };
    let every = Durability::Every(Duration::from_millis(10));
    let mut engine = Engine::new().data(&options.data).log(every, |flight: &Flight| flight.time);
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
    let pusher = engine.live(LiveOptions::new(|flight: &Flight| flight.time));
    let (file, pace) = (options.flights.clone(), options.pace);
    let open = move |resume: &dayfold::engine::Resume<'_>| {
        let csv = CsvOptions::new("event_time").arrival("ingest_time").fields(COLUMNS);
        let source = match resume.consumed() {
            None => CsvSource::open(Input::file(file), csv)?,
            Some(consumed) => CsvSource::resume_after(Input::file(file), csv, consumed)?,
        };
        Ok(Some(match pace.0 {
            Some(pace) => source.paced(pace),
            None => source,
        }))
    };
    let engine = engine.csv(open, Flight::parse);
    Ok((engine, Views { by_carrier, by_route, by_origin }, pusher))
}

/// Serves the views on the given port, or on the first free one.
fn serve(
    options: &Options,
    running: &Running,
    pusher: Option<Pusher<Flight>>,
) -> Result<Serving, EngineError> {
    let server = || {
        let mut server = Server::new("flights")
            .observe(running.observer())
            .process(options.workers.process(), options.workers.processes())
            .views(&running.views());
        if let Some(token) = &options.token {
            server = server.token(token);
        }
        server = options.hosts.iter().fold(server, |server, host| server.host(host));
        match &pusher {
            Some(pusher) => server.events(pusher.clone(), Flight::of_json),
            None => server,
        }
    };
    if let Some(port) = options.port {
        let serving = server().serve((options.bind, port));
        return serving.map_err(|error| input(format_args!("--port {port}: {error}")));
    }
    for port in PORTS {
        match server().serve((options.bind, port)) {
            Err(error) if error.is_in_use() => {}
            serving => return serving.map_err(input),
        }
    }
    Err(input(format_args!("no port from {} to {} is free", PORTS.start, PORTS.end - 1)))
}

/// Waits for Ctrl-C, or with --once for the end of the data.
fn watch(
    running: &Running,
    options: &Options,
    interrupted: &AtomicBool,
) -> Result<(), EngineError> {
    while !common::is_set(interrupted) {
        let sealed = running.wait_sealed(Duration::from_millis(50))?;
        if sealed && options.once {
            return Ok(());
        }
        if sealed {
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    Ok(())
}

/// All flights by each view: the same for any number of workers.
fn summary(views: &Views) -> Result<(), EngineError> {
    line("by-carrier", &views.by_carrier)?;
    line("by-route", &views.by_route)?;
    line("by-origin", &views.by_origin)
}

fn line<K: Key>(name: &str, view: &ViewHandle<K, Stats>) -> Result<(), EngineError> {
    let answer = view.ask(Query::total(DayRange::ALL)).map_err(failed)?;
    let (flights, miles) = answer.value().map_or((0, 0), |stats| (stats.0.0, stats.3.value()));
    let sealed = answer.certificate.sealed_through;
    let sealed = sealed.map_or_else(|| "nothing".to_owned(), |day| day.to_string());
    println!("{name}: {flights} flights, {miles} miles, sealed through {sealed}");
    Ok(())
}
