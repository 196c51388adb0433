//! Builds the library's engine for a plan.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dayfold::dynamic::{Engine, Event};
use dayfold::engine::{EngineError, LiveOptions, LogRelease, Pusher, Resume, ViewChanger};
use dayfold::log::{Durability, LogState};
#[cfg(feature = "parquet")]
use dayfold::source::Partitioned;
use dayfold::source::{Changed, CsvSource, Files, Input, Row, Share, SourceError};

use super::refused::Refusals;
use crate::config::{Config, LogKept, SourceKind};
use crate::error::ProgramError;
use crate::options::RunOptions;
use crate::plan::{Plan, SourcePlan};

/// An engine, ready to be started.
pub(crate) struct Built {
    pub(crate) engine: Engine,
    /// Pushes the events of sources that programs push to.
    pub(crate) pusher: Option<Pusher<Event>>,
    /// Adds views while it runs, and removes them.
    pub(crate) changer: ViewChanger<Event>,
}

/// Builds the engine: its views, its sources, its folder.
pub(crate) fn build(
    plan: &Plan,
    options: &RunOptions,
    removed: &[String],
    refusals: &Refusals,
    released: Option<&LogRelease>,
) -> Result<Built, ProgramError> {
    let mut engine = Engine::new();
    let of_kind = |is: fn(&SourceKind) -> bool| {
        plan.sources.iter().filter(move |source| is(&source.config.kind))
    };
    // With --once nothing is pushed: such a source would never end.
    let pushed = of_kind(|kind| *kind == SourceKind::Http).next().is_some() && !options.once;
    if options.once && of_kind(|kind| *kind != SourceKind::Http).next().is_none() {
        let message = "--once: programs push to all sources of the file, so none of them ends; leave --once out";
        return Err(ProgramError::Input(message.to_owned()));
    }
    if let Some(folder) = &plan.config.data {
        // If the machine stops, lost log entries of a file can be read again; pushed events cannot.
        let durability =
            if pushed { Durability::Every(Duration::from_millis(10)) } else { Durability::System };
        engine = engine.data(folder).log(durability, Event::time);
        engine = match plan.config.log {
            Some(LogKept::For(span)) => engine.keep_log(span),
            Some(LogKept::Exported) | None => engine,
        };
        if let Some(released) = released {
            engine = engine.keep_log_until(released.clone());
        }
    }
    engine = options.rebuild.iter().fold(engine, |engine, view| engine.redefine(view));
    engine = removed.iter().fold(engine, |engine, view| engine.remove_view(view));
    for view in &plan.views {
        let taking = plan.taking(view);
        engine.dynamic_view(view.definition.clone(), move |event: &Event, row| {
            taking.take(event, row)
        });
    }
    let pusher = pushed.then(|| engine.live(LiveOptions::new(Event::time)));
    #[cfg(feature = "kafka")]
    for source in of_kind(|kind| matches!(kind, SourceKind::Kafka(_))) {
        engine = super::kafka::read(engine, &plan.config, source, options.once)?;
    }
    for source in of_kind(|kind| matches!(kind, SourceKind::File { .. })) {
        #[cfg(feature = "parquet")]
        if source.config.format == crate::config::FileFormat::Parquet {
            engine = engine.partitioned(super::parquet::ParquetFiles::new(&plan.config, source));
            continue;
        }
        engine = match options.pace {
            Some(pace) => play_back(engine, source, refusals, pace),
            None => engine.partitioned(files(&plan.config, source, options.once)),
        };
    }
    #[cfg(feature = "lake")]
    if let Some((rows, reread)) = super::past::Rows::of(plan).zip(super::past::reread(plan)) {
        engine = engine.partitioned(rows).reread(reread);
    }
    #[cfg(not(feature = "lake"))]
    if plan.past.is_some() {
        let needs = crate::config::not_built("lake");
        return Err(ProgramError::Input(format!(
            "the data folder was started from an export: {needs}"
        )));
    }
    let (before, kept) = (refusals.clone(), refusals.clone());
    // Older builds, which did not treat files as partitions, read a file in order; so does `demo` at a pace.
    engine = engine.refuse_former_source();
    if options.pace.is_none() {
        engine =
            engine.refused_before(move |rows| before.begin(rows).map_err(|error| failed(&error)));
    }
    let engine = engine.refused(move |refused| kept.keep(refused).map_err(|error| failed(&error)));
    let changer = engine.changer();
    Ok(Built { engine, pusher, changer })
}

/// The files of a source, read side by side.
fn files(config: &Config, source: &Arc<SourcePlan>, once: bool) -> Files<Event> {
    let (name, plan) = (source.config.name.value.clone(), Arc::clone(source));
    let parse = move |row: &Row<'_>| plan.event_of_row(row);
    let mut files = Files::new(name, source.pattern(config), source.options(), parse);
    let SourceKind::File { path, follow } = &source.config.kind else { return files };
    if Path::new(&path.value).is_relative() {
        // The files stay the same wherever the program is started, and if the folder is moved.
        files = files.within(config.path(""));
    }
    // With --once they are read up to their present ends.
    if *follow && !once { files.changed(Changed::ReadAnew).watch() } else { files }
}

/// The sources of files that the next run cannot read on, because what it has read of them has changed, each with the
/// error of that run. `log` is what the data folder has.
pub(crate) fn changed_files(plan: &Plan, log: &LogState) -> Vec<(String, ProgramError)> {
    let is_files =
        |source: &&Arc<SourcePlan>| matches!(source.config.kind, SourceKind::File { .. });
    let changed = plan.sources.iter().filter(is_files).filter_map(|source| {
        let name = source.config.name.value.clone();
        let share = Share::of_log(&name, log);
        let error = share.and_then(|share| check_files(&plan.config, source, &share)).err()?;
        let error = SourceError::Io { name: name.clone(), source: error };
        Some((name, EngineError::from(error).into()))
    });
    changed.collect()
}

fn check_files(config: &Config, source: &Arc<SourcePlan>, share: &Share) -> std::io::Result<()> {
    #[cfg(feature = "parquet")]
    if source.config.format == crate::config::FileFormat::Parquet {
        return super::parquet::ParquetFiles::new(config, source).open(share).map(drop);
    }
    files(config, source, false).check(share)
}

/// Plays one file back at a pace.
fn play_back(engine: Engine, source: &Arc<SourcePlan>, refusals: &Refusals, pace: f64) -> Engine {
    let (parsing, opening, refusals) = (Arc::clone(source), Arc::clone(source), refusals.clone());
    let open = move |resume: &Resume<'_>| {
        refusals.begin(resume.refused()).map_err(|error| failed(&error))?;
        let (input, options) = (Input::file(&opening.files()[0]), opening.options());
        let source = match resume.consumed() {
            Some(consumed) => CsvSource::resume_after(input, options, consumed)?,
            None => CsvSource::open(input, options)?,
        };
        Ok(Some(source.paced(pace)))
    };
    engine.csv(open, move |row| parsing.event_of_row(row))
}

fn failed(error: &std::io::Error) -> EngineError {
    EngineError::Failed { message: format!("refused rows cannot be kept: {error}") }
}
