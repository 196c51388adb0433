//! A running engine, with its exports, sinks and SQL server.
//!
//! A program that reads its file again ends one session and starts the next one with the same data folder.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use dayfold::dynamic::Event;
use dayfold::engine::{
    ChangeError, Changing, EngineError, LogRelease, Pusher, Running, ViewChanger,
};

use super::engine;
use super::refused::Refusals;
use super::serve::Numbers;
use crate::config::LogKept;
use crate::error::ProgramError;
use crate::next::{self, Next};
use crate::options::RunOptions;
use crate::plan::{Plan, SourcePlan};

/// A running engine. Fields are dropped in order: each may need the ones after it.
pub(crate) struct Session {
    #[cfg(feature = "sinks")]
    sinks: Option<super::sinks::Sinks>,
    #[cfg(feature = "lake")]
    exports: Option<super::exports::Exports>,
    #[cfg(feature = "sql")]
    sql: super::sql::Served,
    /// Pushes the events of sources that programs push to.
    pub(crate) pusher: Option<Pusher<Event>>,
    changer: ViewChanger<Event>,
    /// The sources as the engine reads them. If views were added since its start, the file's plan of them may differ.
    sources: Vec<Arc<SourcePlan>>,
    pub(crate) refusals: Refusals,
    pub(crate) running: Running,
}

impl Session {
    /// Starts the engine of a file. `postgres` is the address of the session before, which is used again.
    ///
    /// # Errors
    /// [`ProgramError`] if a part does not start; the parts that did have ended then.
    pub(crate) fn start(
        plan: &Plan,
        options: &RunOptions,
        stop: &Arc<AtomicBool>,
        #[cfg_attr(not(feature = "sql"), expect(unused_variables))] postgres: Option<SocketAddr>,
    ) -> Result<Session, ProgramError> {
        let process = options.cluster.process();
        let removed = removed(plan, options)?;
        let refusals = Refusals::new(plan.config.data.as_deref(), process);
        let released = (plan.config.log == Some(LogKept::Exported)).then(LogRelease::new);
        let built = engine::build(plan, options, &removed, &refusals, released.as_ref())?;
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
                let exports = super::exports::Exports::start(
                    &plan.config,
                    folder,
                    super::past::told(plan, &running),
                    released.map(|released| (released, calendars(plan))),
                );
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
            changer: built.changer,
            sources: plan.sources.clone(),
            refusals,
            running,
        })
    }

    /// Begins to add views of a plan to the running engine, and to remove others.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub(crate) fn begin_change(
        &self,
        plan: &Plan,
        added: &[String],
        removed: &[String],
    ) -> Result<Changing, ChangeError> {
        let mut change = self.changer.change();
        for view in plan.views.iter().filter(|view| added.contains(&view.config.name.value)) {
            let taking = plan.taking(view);
            change.dynamic_view(view.definition.clone(), move |event: &Event, row| {
                taking.take(event, row)
            });
        }
        removed.iter().for_each(|view| change.remove_view(view));
        change.begin()
    }

    /// Makes statements find the views that the engine has now, and refuses no more rows because of removed views. Rows
    /// that an added view has no value for are left out of it, as those of the past are.
    ///
    /// # Errors
    /// [`ProgramError::Failed`] if a file has the name of a view.
    pub(crate) fn change_views(&self, removed: &[String]) -> Result<(), ProgramError> {
        self.sources.iter().for_each(|source| source.forget(removed));
        #[cfg(feature = "sql")]
        self.sql.change_views()?;
        Ok(())
    }

    /// What is served besides the views.
    pub(crate) fn numbers(&self) -> Numbers {
        let refusals = self.refusals.clone();
        Numbers {
            sources: self.sources.clone(),
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

    /// Releases the events of the log that are exported, if the log is kept for that long.
    pub(crate) fn release_log(&self) {
        #[cfg(feature = "lake")]
        self.exports.iter().for_each(super::exports::Exports::release_log);
    }

    /// The address of PostgreSQL's protocol.
    pub(crate) fn postgres(&self) -> Option<SocketAddr> {
        #[cfg(feature = "sql")]
        return self.sql.postgres.as_ref().map(dayfold_sql::server::Serving::address);
        #[cfg(not(feature = "sql"))]
        None
    }

    /// Waits until everything from before the engine's start is in, the engine stops, the program is interrupted, or
    /// the time is over, if there is a limit. Returns whether it is in.
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

    /// Waits until stores have everything, unless the program is interrupted.
    #[cfg(feature = "sinks")]
    pub(crate) fn complete_sinks(&self, stop: &AtomicBool) {
        self.sinks.iter().for_each(|sinks| sinks.complete(stop));
    }

    /// Takes the exports, which go on without the engine.
    #[cfg(feature = "lake")]
    pub(crate) fn take_exports(&mut self) -> Option<super::exports::Exports> {
        self.exports.take()
    }

    /// Ends the session. Open days stay open in the data folder, and the next session has them.
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

/// The calendar of each view.
#[cfg(feature = "lake")]
fn calendars(plan: &Plan) -> Vec<(String, dayfold::time::Calendar)> {
    let views = plan.views.iter().map(|view| view.definition.view());
    views.map(|view| (view.name().to_owned(), view.calendar().clone())).collect()
}

/// The views that are removed from the data folder, because the file no longer has them.
///
/// # Errors
/// [`ProgramError::Input`] if the folder is refused because of one of its views.
fn removed(plan: &Plan, options: &RunOptions) -> Result<Vec<String>, ProgramError> {
    let named = || options.remove.clone();
    // Processes of a cluster may each have only a part of the folder, so all of them must be told what to remove.
    let Some(folder) = plan.config.data.as_ref().filter(|_| options.cluster.processes() == 1)
    else {
        return Ok(named());
    };
    // The engine reports what is wrong with the folder.
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

/// Starts the engine. While it waits for other processes, an interruption of the program ends the wait.
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
