//! Runs a file that was checked.
//!
//! - `session`: a running engine, with its exports, sinks and servers
//! - `engine`: the library's engine for a plan
//! - `kafka`: sources that are Kafka topics
//! - `parquet`: sources that are Parquet files
//! - `exports`: sealed periods, written as Parquet
//! - `past`: a new folder that is started from an export
//! - `sinks`: answers, written to other stores
//! - `targets`: the stores that sinks name
//! - `refused`: the refused rows
//! - `serve`: the page, the API, and pushes
//! - `sql`: PostgreSQL's protocol, and statements over HTTP
//! - `status`: a line on the terminal with the progress
//! - `tokens`: who may query and push
//! - `addresses`: the addresses of a running program
//! - `reload`: how a running program follows changes of its file
//! - `control`: requests to read the file again

mod addresses;
mod control;
mod engine;
#[cfg(feature = "lake")]
mod exports;
#[cfg(feature = "kafka")]
mod kafka;
#[cfg(feature = "parquet")]
mod parquet;
#[cfg(feature = "lake")]
mod past;
mod refused;
mod reload;
mod serve;
mod session;
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
use std::time::{Duration, Instant};

use dayfold::engine::{ChangeError, Running};

pub(crate) use addresses::Addresses;
pub(crate) use control::ask as ask_to_reload;
pub(crate) use engine::changed_files;
#[cfg(feature = "lake")]
pub(crate) use exports::{check as check_exports, lakes};
#[cfg(feature = "sinks")]
pub(crate) use sinks::{reach as reach_sinks, sync as sync_sink};
#[cfg(feature = "sql")]
pub(crate) use sql::check as check_sql;
#[cfg(feature = "sinks")]
pub(crate) use targets::{check as check_sinks, check_table};
#[cfg(feature = "tls")]
pub(crate) use tls::read as read_tls;
pub(crate) use tokens::to_read as token_to_read;

use control::Request;
use reload::{How, Prepared};
use serve::Served;
use session::Session;
use status::Status;

use crate::config::{Config, MaxRefused};
use crate::error::ProgramError;
use crate::options::RunOptions;
use crate::plan::Plan;

/// How long requests wait at most for the engine of a file that was read again. Later ones are told that it recovers.
const HELD_WITHIN: Duration = Duration::from_secs(10);

/// Runs a file until its sources end, or the program is interrupted.
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

/// As [`run`], and calls `last` with the engine at the end, while it still answers.
///
/// # Errors
/// As [`run`], and those of `last`.
pub(crate) fn run_then(
    config: Config,
    options: RunOptions,
    stop: &Arc<AtomicBool>,
    last: &mut dyn FnMut(&Running) -> Result<(), ProgramError>,
) -> Result<(), ProgramError> {
    let mut plan = Plan::new(config)?;
    if let Some(export) = &options.start_from {
        plan = started_from(plan, export)?;
    }
    plan.check_names(&options.rebuild, &options.remove)?;
    serve::check_files(&plan.config)?;
    let process = options.cluster.process();
    let processes = (process, options.cluster.processes());
    let mut session = Session::start(&plan, &options, stop, None)?;
    let (pusher, numbers) = (session.pusher.as_ref(), session.numbers());
    let served = serve::serve(&plan, &session.running, pusher, processes, numbers);
    let served = served.inspect_err(|error| session.running.fail(&error.to_string()))?;
    let left = match process {
        0 => serve::leave_addresses(&plan.config, served.as_ref(), session.postgres())?,
        _ => None,
    };
    let postgres = session.postgres().map(|address| format!("postgres://{address}/dayfold"));
    let addresses =
        [("http", served.as_ref().map(|served| served.url.clone())), ("postgres", postgres)];
    for (what, address) in addresses {
        if let Some(address) = address {
            say(options.json, "serves", what, &address);
        }
    }
    let outcome = loop {
        let turn = watch(&session, &plan, &options, stop);
        let request = match turn {
            Ok(Turn::Over) => break last(&session.running),
            Ok(Turn::Reload(request)) => request,
            Err(error) => break Err(error),
        };
        let (next_plan, next, answer) =
            follow(plan, session, served.as_ref(), &options, request.as_ref(), stop)?;
        (plan, session) = (next_plan, next);
        tell(&plan, &options, request.as_ref(), answer);
    };
    if let Err(error) = &outcome {
        session.running.fail(&error.to_string());
    }
    #[cfg(feature = "sinks")]
    if options.once && outcome.is_ok() {
        session.complete_sinks(stop);
    }
    #[cfg(feature = "lake")]
    let exports = session.take_exports().filter(|_| options.once);
    // Queries that were accepted are answered while the engine still can.
    drop((left, served));
    let ended = session.end();
    outcome?;
    ended?;
    #[cfg(feature = "lake")]
    if let Some(exports) = exports {
        exports.complete(stop)?;
    }
    Ok(())
}

/// The plan of a new folder that takes over the sealed periods of an export.
#[cfg(feature = "lake")]
fn started_from(plan: Plan, export: &str) -> Result<Plan, ProgramError> {
    past::begin(&plan, export)?;
    Ok(Plan::new(plan.config)?)
}

#[cfg(not(feature = "lake"))]
fn started_from(_: Plan, export: &str) -> Result<Plan, ProgramError> {
    let needs = crate::config::not_built("lake");
    Err(ProgramError::Input(format!("--start-from {export}: {needs}")))
}

/// Prints a message on standard error, as a line of JSON if requested.
fn say(json: bool, message: &str, what: &str, value: &str) {
    let fields = serde_json::json!({ "message": message, what: value });
    let said = serde_json::json!({ "level": "INFO", "fields": fields });
    let said = if json { said.to_string() } else { value.to_owned() };
    let _ = writeln!(std::io::stderr(), "{said}");
}

/// The result of reading the file again: what has changed, or why the program keeps the old file.
type Followed = Result<Vec<String>, Vec<String>>;

/// Reads the file again, and runs it as it is now. If that is not possible, the program keeps the old file.
///
/// # Errors
/// [`ProgramError`] if it cannot go on at all.
fn follow(
    plan: Plan,
    session: Session,
    served: Option<&Served>,
    options: &RunOptions,
    request: Option<&Request>,
    stop: &Arc<AtomicBool>,
) -> Result<(Plan, Session, Followed), ProgramError> {
    let Prepared { plan: next_plan, how, serves_otherwise, mut said } =
        match reload::prepare(&plan, options, request) {
            Ok(prepared) => prepared,
            Err(why) => return Ok((plan, session, Err(why))),
        };
    let serve = |plan: &Plan, session: &Session| {
        let (pusher, numbers) = (session.pusher.as_ref(), session.numbers());
        served.map_or(Ok(()), |served| served.replace(plan, &session.running, pusher, numbers))
    };
    let why_again = match how {
        How::Goes => {
            return Ok(match serve(&next_plan, &session) {
                Ok(()) => (next_plan, session, Ok(said)),
                Err(error) => (plan, session, Err(vec![error.in_full()])),
            });
        }
        How::Changes { added, removed } => {
            match change(&session, &next_plan, (&added, &removed), stop)? {
                Ok(()) => {
                    session.change_views(&removed)?;
                    if let Some(served) = served {
                        served.change_views(&next_plan.config, &session.running);
                        if serves_otherwise || served.has_other_files(&next_plan.config) {
                            serve(&next_plan, &session)?;
                        }
                    }
                    said.push("the engine has gone on: nothing had to wait".to_owned());
                    return Ok((next_plan, session, Ok(said)));
                }
                Err(ChangeError::NotPossible { why }) => why,
                Err(error) => return Ok((plan, session, Err(vec![error.to_string()]))),
            }
        }
        How::Again(why) => why,
    };
    said.push(format!("the engine was started again: {why_again}"));
    // From here on pushes and queries wait, so that none is cut off.
    served.iter().for_each(|served| served.pause());
    let postgres = session.postgres();
    session.end()?;
    // What was to be rebuilt or removed at the start is done already.
    let mut again = RunOptions { rebuild: Vec::new(), remove: Vec::new(), ..options.clone() };
    let remove = request.map_or_else(Vec::new, |request| request.remove.clone());
    let with_removed = RunOptions { remove, ..again.clone() };
    let started = Session::start(&next_plan, &with_removed, stop, postgres);
    let (plan, session, followed) = match started {
        Ok(session) => (next_plan, session, Ok(said)),
        Err(error) if stop.load(Ordering::Relaxed) => return Err(error),
        Err(error) => {
            // A view that was removed already comes back from the log; one that was added is removed again.
            again.remove = reload::others(&plan, &next_plan);
            // The folder may have the columns of events of the other file by now.
            let plan = Plan::new(plan.config)?;
            let session = Session::start(&plan, &again, stop, postgres)?;
            (plan, session, Err(vec![error.in_full()]))
        }
    };
    let is_in = session.wait_recovered(Some(Instant::now() + HELD_WITHIN), stop);
    serve(&plan, &session)?;
    if !is_in {
        session.wait_recovered(None, stop);
    }
    Ok((plan, session, followed))
}

/// Adds views to the running engine and removes others, and waits until that is done. Everything else goes on.
///
/// # Errors
/// [`ProgramError`] if the program cannot go on at all.
fn change(
    session: &Session,
    plan: &Plan,
    (added, removed): (&[String], &[String]),
    stop: &Arc<AtomicBool>,
) -> Result<Result<(), ChangeError>, ProgramError> {
    let changing = match session.begin_change(plan, added, removed) {
        Ok(changing) => changing,
        Err(error) => return Ok(Err(error)),
    };
    loop {
        match changing.wait(Duration::from_millis(50)) {
            Ok(true) => return Ok(Ok(())),
            Ok(false) if stop.load(Ordering::Relaxed) => return Ok(Err(ChangeError::Stopped)),
            Ok(false) => session.refusals.flush()?,
            Err(error) => return Ok(Err(error)),
        }
    }
}

/// Reports the result to the requester, and on standard error.
fn tell(plan: &Plan, options: &RunOptions, request: Option<&Request>, followed: Followed) {
    let path = plan.config.document.path().display();
    let (is_done, said) = match followed {
        Ok(said) => (true, said),
        Err(why) => (false, why),
    };
    let what = if is_done { "runs as it is now" } else { "was not followed" };
    say(options.json, "reloaded", "file", &format!("{path} {what}: {}", said.join("; ")));
    if let (Some(request), Some(folder)) = (request, &plan.config.data) {
        control::answer(folder, request, is_done, said);
    }
}

/// Why a program stops watching its engine.
enum Turn {
    /// Everything is sealed, or the program was interrupted.
    Over,
    /// The file is to be read again, because of a request or a signal.
    Reload(Option<Request>),
}

/// Whether the file is to be read again.
fn asked(plan: &Plan, options: &RunOptions) -> Option<Turn> {
    if options.reload.swap(false, Ordering::AcqRel) {
        return Some(Turn::Reload(None));
    }
    let folder = plan.config.data.as_ref().filter(|_| options.cluster.process() == 0)?;
    control::take(folder).map(|request| Turn::Reload(Some(request)))
}

/// Waits until everything is sealed, the program is interrupted, or the file is to be read again.
fn watch(
    session: &Session,
    plan: &Plan,
    options: &RunOptions,
    stop: &Arc<AtomicBool>,
) -> Result<Turn, ProgramError> {
    let Session { running, refusals, .. } = session;
    let ends = options.once && options.cluster.process() == 0;
    let most = plan.config.max_refused;
    let mut status = Status::new(!options.json);
    loop {
        let is_sealed = running.wait_sealed(Duration::from_millis(50))?;
        refusals.flush()?;
        session.release_log();
        let progress = running.progress();
        status.draw(&progress);
        let is_over = is_sealed || stop.load(Ordering::Relaxed);
        // A share means little before there are many rows.
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
            return Ok(Turn::Over);
        }
        if let Some(turn) = asked(plan, options) {
            return Ok(turn);
        }
    }
    let progress = running.progress();
    if progress.refused > 0 {
        for line in refusals.commonest() {
            tracing::warn!("{line}");
        }
    }
    tracing::info!(events = progress.events, refused = progress.refused, "the run ends");
    Ok(Turn::Over)
}
