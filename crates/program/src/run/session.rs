//! An engine at work, with what goes with it: what is exported, written to stores and served as SQL.
//!
//! A program that reads its file again ends one session and starts the next over the same data folder.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use dayfold::dynamic::Event;
use dayfold::engine::{EngineError, Pusher, Running};

use super::engine;
use super::refused::Refusals;
use super::serve::Numbers;
use crate::error::ProgramError;
use crate::next::{self, Next};
use crate::options::RunOptions;
use crate::plan::Plan;

/// An engine at work. What is dropped first no longer needs what comes after it.
pub(crate) struct Session {
    #[cfg(feature = "sinks")]
    sinks: Option<super::sinks::Sinks>,
    #[cfg(feature = "lake")]
    exports: Option<super::exports::Exports>,
    #[cfg(feature = "sql")]
    sql: super::sql::Served,
    /// Where events of sources are pushed that programs push to.
    pub(crate) pusher: Option<Pusher<Event>>,
    pub(crate) refusals: Refusals,
    pub(crate) running: Running,
}

impl Session {
    /// Starts the engine of a file. `postgres` is the address of the session before, which is taken again.
    ///
    /// # Errors
    /// [`ProgramError`] if something of it does not start; what did has ended then.
    pub(crate) fn start(
        plan: &Plan,
        options: &RunOptions,
        stop: &Arc<AtomicBool>,
        #[cfg_attr(not(feature = "sql"), expect(unused_variables))] postgres: Option<SocketAddr>,
    ) -> Result<Session, ProgramError> {
        let process = options.cluster.process();
        let removed = removed(plan, options)?;
        let refusals = Refusals::new(plan.config.data.as_deref(), process);
        let built = engine::build(plan, options, &removed, &refusals)?;
        if let Some(folder) = &plan.config.data {
            plan.layouts
                .write(folder)
                .map_err(|error| ProgramError::Failed(format!("{}: {error}", folder.display())))?;
        }
        let running = start(built.engine, options.cluster.clone(), stop)?;
        #[cfg(any(feature = "lake", feature = "sinks", feature = "sql"))]
        let failed = |error: &ProgramError| running.fail(&error.to_string());
        #[cfg(any(feature = "lake", feature = "sinks"))]
        let folder = plan.config.data.as_deref().filter(|_| process == 0);
        #[cfg(feature = "lake")]
        let exports = match folder {
            Some(folder) if !plan.config.exports.is_empty() => {
                let exports = super::exports::Exports::start(&plan.config, folder);
                Some(exports.inspect_err(failed)?)
            }
            _ => None,
        };
        #[cfg(feature = "sinks")]
        let sinks = match folder {
            Some(folder) if !plan.config.sinks.is_empty() => {
                let sinks = super::sinks::Sinks::start(plan, &running, folder, options.once);
                Some(sinks.inspect_err(failed)?)
            }
            _ => None,
        };
        #[cfg(feature = "sql")]
        let sql =
            super::sql::serve(&plan.config, &running, process, postgres).inspect_err(failed)?;
        Ok(Session {
            #[cfg(feature = "sinks")]
            sinks,
            #[cfg(feature = "lake")]
            exports,
            #[cfg(feature = "sql")]
            sql,
            pusher: built.pusher,
            refusals,
            running,
        })
    }

    /// What else is served beside the views.
    pub(crate) fn numbers(&self) -> Numbers {
        let refusals = self.refusals.clone();
        Numbers {
            refused: Some(Box::new(move |after, limit| refusals.rows(after, limit))),
            #[cfg(feature = "lake")]
            exports: self.exports.as_ref().map(super::exports::Exports::numbers),
            #[cfg(not(feature = "lake"))]
            exports: None,
            #[cfg(feature = "sinks")]
            sinks: self.sinks.as_ref().map(super::sinks::Sinks::numbers),
            #[cfg(not(feature = "sinks"))]
            sinks: None,
            #[cfg(feature = "sql")]
            sql: self.sql.answers.clone().map(|answers| -> Box<dayfold_http::AnswerSql> {
                Box::new(move |query| answers(query))
            }),
            #[cfg(not(feature = "sql"))]
            sql: None,
        }
    }

    /// Where PostgreSQL's protocol is served.
    pub(crate) fn postgres(&self) -> Option<SocketAddr> {
        #[cfg(feature = "sql")]
        return self.sql.postgres.as_ref().map(dayfold_sql::server::Serving::address);
        #[cfg(not(feature = "sql"))]
        None
    }

    /// Waits until what was before the engine started is all in, the engine stops, somebody ends the program, or the time
    /// is over, if it ever is. Says whether it is in.
    pub(crate) fn wait_recovered(&self, until: Option<Instant>, stop: &AtomicBool) -> bool {
        let is_over = || until.is_some_and(|until| Instant::now() >= until);
        while !self.running.progress().recovered {
            let is_stopped = self.running.wait_stopped(Duration::from_millis(10));
            if is_stopped || is_over() || stop.load(Ordering::Relaxed) {
                return false;
            }
        }
        true
    }

    /// Waits until stores have everything, as long as nobody ends the program.
    #[cfg(feature = "sinks")]
    pub(crate) fn complete_sinks(&self, stop: &AtomicBool) {
        self.sinks.iter().for_each(|sinks| sinks.complete(stop));
    }

    /// Takes the exports, which go on without the engine.
    #[cfg(feature = "lake")]
    pub(crate) fn take_exports(&mut self) -> Option<super::exports::Exports> {
        self.exports.take()
    }

    /// Ends it. What is open stays open in the data folder, and the next one has it back.
    ///
    /// # Errors
    /// [`ProgramError`] if the engine had stopped early, or something could not be written.
    pub(crate) fn end(self) -> Result<(), ProgramError> {
        #[cfg(feature = "sinks")]
        drop(self.sinks);
        #[cfg(feature = "lake")]
        self.exports.iter().for_each(super::exports::Exports::stop);
        #[cfg(feature = "sql")]
        drop(self.sql);
        drop(self.pusher);
        let stopped = self.running.finish();
        self.refusals.finish()?;
        stopped?;
        Ok(())
    }
}

/// The views that are removed from the data folder, because the file does not have them any more.
///
/// # Errors
/// [`ProgramError::Input`] if the folder is refused for one of its views.
fn removed(plan: &Plan, options: &RunOptions) -> Result<Vec<String>, ProgramError> {
    let named = || options.remove.clone();
    // The processes of a group may each have a part of the folder: what is removed is said to all of them.
    let Some(folder) = plan.config.data.as_ref().filter(|_| options.cluster.processes() == 1)
    else {
        return Ok(named());
    };
    // What is wrong with the folder, the engine says.
    let Ok(Some(report)) = next::folder(folder) else { return Ok(named()) };
    let mut removed = Vec::new();
    for (view, next) in next::views(plan, &report, &options.rebuild, &options.remove) {
        match next {
            Next::Removes(_) => removed.push(view),
            Next::Refuses(why) => {
                let folder = folder.display();
                let message = format!("the data folder {folder} is refused: view {view}: {why}");
                return Err(ProgramError::Input(message));
            }
            Next::GoesOn(_) | Next::Computes(_) => {}
        }
    }
    Ok(removed)
}

/// Starts the engine; while it looks for other processes, whoever ends the program ends the wait.
fn start(
    engine: dayfold::dynamic::Engine,
    cluster: dayfold::Cluster,
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
