//! Writes the answers of views to stores while the program runs.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dayfold::engine::Running;
use dayfold_http::SinkNumbers;
use dayfold_sinks::{Sink, SinkOptions, SinkWatch, StoreError, Table};

use super::targets::{folder_of, store};
use crate::config::{SinkConfig, SourceKind};
use crate::error::ProgramError;
use crate::plan::Plan;

/// The sinks of a running program, by name.
pub(crate) struct Sinks {
    sinks: Vec<(String, Sink)>,
}

/// The tables of a sink.
fn tables<'a>(plan: &'a Plan, sink: &'a SinkConfig) -> impl Iterator<Item = Table> + 'a {
    let views = plan.views.iter().filter(|view| sink.views.contains(&view.config.name.value));
    views.map(|view| Table::of(&view.schema))
}

/// Connects to the stores of all sinks, and prints what is there.
///
/// # Errors
/// [`ProgramError::Input`] if a store cannot be reached, or something else has the name of a view there.
pub(crate) fn reach(plan: &Plan, out: &mut dyn std::io::Write) -> Result<(), ProgramError> {
    for sink in &plan.config.sinks {
        let mut store = store(&plan.config, sink)?;
        let name = &sink.name.value;
        for table in tables(plan, sink) {
            let failed = |error: StoreError| ProgramError::Input(format!("sinks.{name}: {error}"));
            store.check(&table).map_err(failed)?;
        }
        writeln!(out, "sink {name}: {} can be reached", store.name())?;
    }
    Ok(())
}

/// Writes everything of a sink again and compares it: the running program does it, or else the next run.
///
/// # Errors
/// [`ProgramError::Input`] if there is no such sink; [`ProgramError::Failed`] if its store cannot be reached.
pub(crate) fn sync(
    plan: &Plan,
    name: &str,
    out: &mut dyn std::io::Write,
) -> Result<(), ProgramError> {
    let sinks = &plan.config.sinks;
    let sink = sinks.iter().find(|sink| sink.name.value == name).ok_or_else(|| {
        let known =
            sinks.iter().map(|sink| sink.name.value.as_str()).collect::<Vec<_>>().join(", ");
        ProgramError::Input(format!("the file has no sink '{name}': expected one of {known}"))
    })?;
    let mut store = store(&plan.config, sink)?;
    for table in tables(plan, sink) {
        let failed = |error: StoreError| ProgramError::Failed(format!("sinks.{name}: {error}"));
        store.forget(&table).map_err(failed)?;
        writeln!(
            out,
            "{}: all rows are written again and compared by the program that runs, or by the next run",
            table.view
        )?;
    }
    Ok(())
}

impl Sinks {
    /// Starts to write.
    pub(crate) fn start(
        plan: &Plan,
        running: &Running,
        folder: &Path,
        once: bool,
    ) -> Result<Sinks, ProgramError> {
        let sinks = plan.config.sinks.iter().map(|sink| {
            let name = sink.name.value.clone();
            let aside = folder_of(folder, &name);
            // Rows that were read can be read again; pushed events cannot.
            let is_pushed =
                plan.sources.iter().any(|source| source.config.kind == SourceKind::Http) && !once;
            let options = SinkOptions::default().every(sink.every).durable(is_pushed);
            let store = store(&plan.config, sink)?;
            let started = Sink::start(running, folder, &aside, &sink.views, store, options);
            let started =
                started.map_err(|error| ProgramError::Failed(format!("sinks.{name}: {error}")))?;
            Ok((name, started))
        });
        Ok(Sinks { sinks: sinks.collect::<Result<_, ProgramError>>()? })
    }

    /// Returns their progress.
    pub(crate) fn numbers(&self) -> Box<dyn Fn() -> Vec<SinkNumbers> + Send + Sync> {
        let watches = self.sinks.iter().map(|(name, sink)| (name.clone(), sink.watch()));
        let watches: Vec<(String, SinkWatch)> = watches.collect();
        Box::new(move || {
            let of = |(name, watch): &(String, SinkWatch)| {
                let views = watch.status().into_iter();
                let numbers = views.map(|(view, status)| SinkNumbers {
                    sink: name.clone(),
                    view,
                    written: status.written,
                    refused: status.refused,
                    lag_events: status.lag_events,
                    lag: status.lag,
                    is_in_step: status.is_in_step,
                    failures: status.failures,
                    error: status.error,
                });
                numbers.collect::<Vec<_>>()
            };
            watches.iter().flat_map(of).collect()
        })
    }

    /// Waits until the stores have everything, unless the program is interrupted.
    pub(crate) fn complete(&self, stop: &AtomicBool) {
        for (_, sink) in &self.sinks {
            while !stop.load(Ordering::Relaxed) && !sink.complete(Duration::from_millis(500)) {}
        }
    }
}
