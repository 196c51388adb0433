//! A file that was checked, running.
//!
//! - `engine`: the library's engine of a plan
//! - `kafka`: sources that are topics of Kafka
//! - `exports`: sealed periods, written as Parquet
//! - `sinks`: answers, written to other stores
//! - `targets`: the stores that sinks name
//! - `refused`: the rows that are not counted
//! - `serve`: the page, the API, and what is pushed
//! - `sql`: PostgreSQL's protocol
//! - `status`: a line on the terminal that says how far it is
//! - `tokens`: who may ask and push
//! - `addresses`: where a running program can be asked

mod addresses;
mod engine;
#[cfg(feature = "lake")]
mod exports;
#[cfg(feature = "kafka")]
mod kafka;
mod refused;
mod serve;
#[cfg(feature = "sinks")]
mod sinks;
#[cfg(feature = "sql")]
mod sql;
mod status;
#[cfg(feature = "sinks")]
mod targets;
#[cfg(feature = "tls")]
mod tls;
mod tokens;

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dayfold::Cluster;
use dayfold::engine::{EngineError, Running};

pub(crate) use addresses::Addresses;
#[cfg(feature = "lake")]
pub(crate) use exports::check as check_exports;
use refused::Refusals;
#[cfg(feature = "sinks")]
pub(crate) use sinks::{reach as reach_sinks, sync as sync_sink};
#[cfg(feature = "sql")]
pub(crate) use sql::check as check_sql;
use status::Status;
#[cfg(feature = "sinks")]
pub(crate) use targets::check as check_sinks;
#[cfg(feature = "tls")]
pub(crate) use tls::read as read_tls;
pub(crate) use tokens::to_read as token_to_read;

use crate::config::{Config, MaxRefused};
use crate::error::ProgramError;
use crate::options::RunOptions;
use crate::plan::Plan;

/// Runs a file until its sources end, or somebody ends it.
///
/// # Errors
/// [`ProgramError`], with the exit code.
pub fn run(
    config: Config,
    options: RunOptions,
    stop: &Arc<AtomicBool>,
) -> Result<(), ProgramError> {
    run_then(config, options, stop, &mut |_| Ok(()))
}

/// The same, and does something with the engine at the end, while it still answers.
///
/// # Errors
/// As [`run`], and what `last` says.
pub(crate) fn run_then(
    config: Config,
    options: RunOptions,
    stop: &Arc<AtomicBool>,
    last: &mut dyn FnMut(&Running) -> Result<(), ProgramError>,
) -> Result<(), ProgramError> {
    let plan = Plan::new(config)?;
    plan.check_names(&options.rebuild)?;
    tokens::tokens(&plan.config)?;
    #[cfg(feature = "tls")]
    tls::read(&plan.config)?;
    let (process, once, json) = (options.cluster.process(), options.once, options.json);
    let refusals = Refusals::new(plan.config.data.as_deref(), process);
    let built = engine::build(&plan, &options, &refusals)?;
    if let Some(folder) = &plan.config.data {
        plan.layouts
            .write(folder)
            .map_err(|error| ProgramError::Failed(format!("{}: {error}", folder.display())))?;
    }
    let processes = (process, options.cluster.processes());
    let running = start(built.engine, options.cluster, stop)?;
    #[cfg(feature = "lake")]
    let exports = match plan.config.data.as_deref().filter(|_| process == 0) {
        Some(folder) if !plan.config.exports.is_empty() => {
            let exports = exports::Exports::start(&plan.config, folder);
            Some(exports.inspect_err(|error| running.fail(&error.to_string()))?)
        }
        _ => None,
    };
    #[cfg(feature = "lake")]
    let numbers = exports.as_ref().map(exports::Exports::numbers);
    #[cfg(not(feature = "lake"))]
    let numbers: Option<Box<dyn Fn() -> Vec<dayfold_http::ExportNumbers> + Send + Sync>> = None;
    #[cfg(feature = "sinks")]
    let sinks = match plan.config.data.as_deref().filter(|_| process == 0) {
        Some(folder) if !plan.config.sinks.is_empty() => {
            let sinks = sinks::Sinks::start(&plan, &running, folder, once);
            Some(sinks.inspect_err(|error| running.fail(&error.to_string()))?)
        }
        _ => None,
    };
    #[cfg(feature = "sinks")]
    let in_stores = sinks.as_ref().map(sinks::Sinks::numbers);
    #[cfg(not(feature = "sinks"))]
    let in_stores: Option<Box<dyn Fn() -> Vec<dayfold_http::SinkNumbers> + Send + Sync>> = None;
    let numbers = serve::Numbers { exports: numbers, sinks: in_stores };
    #[cfg(feature = "sql")]
    let sql = sql::serve(&plan.config, &running, process)
        .inspect_err(|error| running.fail(&error.to_string()))?;
    #[cfg(feature = "sql")]
    let postgres = sql.as_ref().map(dayfold_sql::server::Serving::address);
    #[cfg(not(feature = "sql"))]
    let postgres: Option<std::net::SocketAddr> = None;
    let pusher = built.pusher.as_ref();
    let served = serve::serve(&plan, &running, pusher, processes, numbers, postgres);
    let served = served.inspect_err(|error| running.fail(&error.to_string()))?;
    if let Some(served) = &served {
        let address = &served.url;
        let said = serde_json::json!({ "level": "INFO", "fields": { "message": "serves", "http": address } });
        let said = if json { said.to_string() } else { address.clone() };
        let _ = writeln!(std::io::stderr(), "{said}");
    }
    if let Some(address) = postgres {
        let address = format!("postgres://{address}/dayfold");
        let said = serde_json::json!({ "level": "INFO", "fields": { "message": "serves", "postgres": address } });
        let said = if json { said.to_string() } else { address };
        let _ = writeln!(std::io::stderr(), "{said}");
    }
    let outcome = watch(&running, &plan, once && process == 0, json, &refusals, stop)
        .and_then(|()| last(&running));
    if let Err(error) = &outcome {
        running.fail(&error.to_string());
    }
    #[cfg(feature = "sinks")]
    if let Some(sinks) = sinks {
        if once && outcome.is_ok() {
            sinks.complete(stop);
        }
        drop(sinks);
    }
    // What was asked is answered while the engine can.
    drop(served);
    #[cfg(feature = "sql")]
    drop(sql);
    drop(built.pusher);
    let stopped = running.finish();
    refusals.finish()?;
    outcome?;
    stopped?;
    #[cfg(feature = "lake")]
    if let Some(exports) = exports.filter(|_| once) {
        exports.complete(stop)?;
    }
    Ok(())
}

/// Starts the engine; while it looks for other processes, whoever ends the program ends the wait.
fn start(
    engine: dayfold::dynamic::Engine,
    cluster: Cluster,
    stop: &Arc<AtomicBool>,
) -> Result<Running, ProgramError> {
    let (sender, started) = std::sync::mpsc::channel();
    std::thread::spawn(move || drop(sender.send(dayfold::dynamic::start(engine, cluster))));
    loop {
        match started.recv_timeout(Duration::from_millis(50)) {
            Ok(started) => return Ok(started?),
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) if !stop.load(Ordering::Relaxed) => {}
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {
                return Err(EngineError::Interrupted.into());
            }
            Err(_) => return Err(ProgramError::Failed("the engine did not start".to_owned())),
        }
    }
}

/// Waits until everything is sealed, or somebody ends the program.
fn watch(
    running: &Running,
    plan: &Plan,
    ends: bool,
    json: bool,
    refusals: &Refusals,
    stop: &Arc<AtomicBool>,
) -> Result<(), ProgramError> {
    let most = plan.config.max_refused;
    let mut status = Status::new(!json);
    loop {
        let is_sealed = running.wait_sealed(Duration::from_millis(50))?;
        refusals.flush()?;
        let progress = running.progress();
        status.draw(&progress);
        let is_over = is_sealed || stop.load(Ordering::Relaxed);
        // A share says little before there are many rows.
        let rows = progress.events + progress.refused;
        let is_judged = is_over || matches!(most, Some(MaxRefused::Rows(_))) || rows >= 100_000;
        if is_judged && most.is_some_and(|most| most.is_exceeded(progress.refused, rows)) {
            return Err(ProgramError::TooManyRefused {
                refused: progress.refused,
                rows,
                reasons: refusals.commonest(),
            });
        }
        if stop.load(Ordering::Relaxed) || (is_sealed && ends) {
            break;
        }
        if is_sealed {
            std::thread::sleep(Duration::from_millis(50));
        }
        if running.wait_stopped(Duration::ZERO) {
            return Ok(());
        }
    }
    let progress = running.progress();
    if progress.refused > 0 {
        for line in refusals.commonest() {
            tracing::warn!("{line}");
        }
    }
    tracing::info!(events = progress.events, refused = progress.refused, "the run ends");
    Ok(())
}
