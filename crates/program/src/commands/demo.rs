//! `dayfold demo`: a year of flights, played back on the page.

use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use dayfold::Cluster;
use dayfold::engine::Running;
use dayfold::scan::Scan;

use crate::config::{Config, Document};
use crate::error::ProgramError;
use crate::options::RunOptions;
use crate::run::run_then;

/// The ports to try, in order.
const PORTS: std::ops::Range<u16> = 8080..8180;

/// Options for playing back the flights.
#[derive(Clone, Debug)]
pub struct Demo {
    /// The file of the flights.
    pub flights: PathBuf,
    /// How many of their days pass in a second; `None` is as fast as possible.
    pub pace: Option<f64>,
    /// The port of the page; otherwise the first free one from 8080.
    pub port: Option<u16>,
    /// The folder for sealed days and the log.
    pub data: PathBuf,
    /// Whether to end when the flights end, and print a summary.
    pub once: bool,
    /// Whether messages on standard error are lines of JSON.
    pub json: bool,
}

/// Plays the flights back.
///
/// # Errors
/// As [`run`](crate::run::run).
pub fn demo(demo: &Demo, stop: &Arc<AtomicBool>, out: &mut dyn Write) -> Result<(), ProgramError> {
    let free = || PORTS.clone().find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
    let none = || {
        ProgramError::Input(format!("no port from {} to {} is free", PORTS.start, PORTS.end - 1))
    };
    let port = demo.port.or_else(free).ok_or_else(none)?;
    let path = std::path::absolute(&demo.flights)?;
    if !path.is_file() {
        let message = format!(
            "there is no file '{}': run it in the repository, or give --flights FILE",
            demo.flights.display()
        );
        return Err(ProgramError::Input(message));
    }
    let text = include_str!("demo.toml")
        .replace("FLIGHTS", &toml_text(&path)?)
        .replace("8080", &port.to_string());
    let config = Config::parse(Document::new(Path::new("flights"), text))?
        .with_data(Some(demo.data.clone()));
    let options = RunOptions {
        start_from: None,
        once: demo.once,
        cluster: Cluster::workers(1),
        rebuild: Vec::new(),
        remove: Vec::new(),
        data: None,
        reload: Arc::default(),
        json: demo.json,
        // The milliseconds of the flights' clock per millisecond of the wall clock.
        pace: demo.pace.map(|days| days * 86_400.0),
    };
    run_then(config, options, stop, &mut |running| {
        if demo.once { summary(running, out) } else { Ok(()) }
    })
}

/// A path as the content of a TOML string.
fn toml_text(path: &Path) -> Result<String, ProgramError> {
    let text = path
        .to_str()
        .ok_or_else(|| ProgramError::Input(format!("'{}' is not UTF-8", path.display())))?;
    Ok(text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Prints all flights by each view, which are the same for any number of workers.
fn summary(running: &Running, out: &mut dyn Write) -> Result<(), ProgramError> {
    let failed = |error: &dyn std::fmt::Display| ProgramError::Failed(error.to_string());
    for view in running.views().iter() {
        let scan = Scan::total().columns(["flights", "miles"]);
        let rows = view
            .scan(&scan, None)
            .and_then(|batches| batches.collect_rows())
            .map_err(|error| failed(&error))?;
        let shown = |at: usize| rows.first().map_or("0".to_owned(), |row| row[at].to_string());
        let sealed = view
            .status()
            .numbers
            .sealed_through
            .map_or("nothing".to_owned(), |day| day.to_string());
        writeln!(
            out,
            "{}: {} flights, {} miles, sealed through {sealed}",
            view.name(),
            shown(0),
            shown(1)
        )?;
    }
    Ok(())
}
