//! The library's engine of a plan.

use std::sync::Arc;
use std::time::Duration;

use dayfold::dynamic::{Engine, Event};
use dayfold::engine::{EngineError, LiveOptions, Pusher, Resume};
use dayfold::log::Durability;
use dayfold::source::{CsvSource, Input};

use super::files::{Files, Position};
use super::refused::Refusals;
use crate::config::{SourceKind, not_built};
use crate::error::ProgramError;
use crate::options::RunOptions;
use crate::plan::{Plan, SourcePlan};

/// An engine, ready to be started.
pub(crate) struct Built {
    pub(crate) engine: Engine,
    /// Where events of sources are pushed that programs push to.
    pub(crate) pusher: Option<Pusher<Event>>,
}

/// Builds the engine: its views, its sources, its folder.
pub(crate) fn build(
    plan: &Plan,
    options: &RunOptions,
    refusals: &Refusals,
) -> Result<Built, ProgramError> {
    let mut engine = Engine::new();
    let of_kind = |is: fn(&SourceKind) -> bool| {
        plan.sources.iter().filter(move |source| is(&source.config.kind))
    };
    // With --once nothing is pushed: a source that nobody can push into would hold the end back for ever.
    let pushed = of_kind(|kind| *kind == SourceKind::Http).next().is_some() && !options.once;
    if let Some(folder) = &plan.config.data {
        // What a machine that stops takes from the log of a file can be read again; what was pushed cannot.
        let durability =
            if pushed { Durability::Every(Duration::from_millis(10)) } else { Durability::System };
        engine = engine.data(folder).log(durability, Event::time);
    }
    engine = options.rebuild.iter().fold(engine, |engine, view| engine.redefine(view));
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
    let mut files = of_kind(|kind| matches!(kind, SourceKind::File { .. }));
    if let Some(source) = files.next() {
        engine = read(engine, source, refusals, options.pace);
    }
    if let Some(second) = files.next() {
        let message = format!("a second source that is read from files: {}", not_built("sources"));
        return Err(second.config.name.error(&plan.config.document, message).into());
    }
    let kept = refusals.clone();
    let engine = engine.refused(move |refused| kept.keep(refused).map_err(|error| failed(&error)));
    Ok(Built { engine, pusher })
}

/// Reads a source: by the library's own reader if it can, else file by file.
fn read(
    engine: Engine,
    source: &Arc<SourcePlan>,
    refusals: &Refusals,
    pace: Option<f64>,
) -> Engine {
    let (parsing, opening, refusals) = (Arc::clone(source), Arc::clone(source), refusals.clone());
    let parse = move |row: &dayfold::source::Row<'_>| parsing.event(row.time(), row.raw());
    let Some(options) = source.plain() else {
        let open = move |resume: &Resume<'_, Position>| {
            refusals.begin(resume.refused()).map_err(|error| failed(&error))?;
            let files = Files::open(opening, resume.consumed());
            files.map(Some).map_err(|error| EngineError::Input { message: error.to_string() })
        };
        return engine.source(open, parse);
    };
    let open = move |resume: &Resume<'_>| {
        refusals.begin(resume.refused()).map_err(|error| failed(&error))?;
        let path = &opening.files()[0];
        let follow = matches!(opening.config.kind, SourceKind::File { follow: true, .. });
        let input = if follow { Input::follow(path) } else { Input::file(path) };
        let source = match resume.consumed() {
            Some(consumed) => CsvSource::resume_after(input, options, consumed)?,
            None => CsvSource::open(input, options)?,
        };
        Ok(Some(match pace {
            Some(pace) => source.paced(pace),
            None => source,
        }))
    };
    engine.csv(open, parse)
}

fn failed(error: &std::io::Error) -> EngineError {
    EngineError::Failed { message: format!("refused rows cannot be kept: {error}") }
}
