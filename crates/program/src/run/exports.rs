//! Exports sealed periods as Parquet: while the program runs, and completely when a run ends.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dayfold::engine::LogRelease;
use dayfold::time::{Calendar, Day, EventTime};
use dayfold::view::Closing;
use dayfold_http::{ExportNumbers, Server};
use dayfold_lake::{Catalog, Exporter, ExporterOptions, Lake, LakeError, LakeOptions, Layout};

use crate::config::{Config, ExportConfig, FileError, TableLayout};
use crate::error::ProgramError;

/// How often the last export of a run is retried if its store cannot be reached.
const TRIES: u32 = 6;

/// The exports of a running program.
pub(crate) struct Exports {
    exporters: Arc<Mutex<Vec<Exporter>>>,
    targets: Vec<(ExportConfig, String)>,
    /// Of each of them.
    options: Vec<LakeOptions>,
    folder: PathBuf,
    told: Told,
    /// What the log may forget, and the calendar of each view, if the log is kept until everything is exported.
    released: Option<(LogRelease, Vec<(String, Calendar)>)>,
}

/// Checks the exports of a file, without connecting to their stores.
///
/// # Errors
/// [`FileError`] if there is no data folder, or a URL is not valid.
pub(crate) fn check(config: &Config) -> Result<(), FileError> {
    for export in &config.exports {
        if config.data.is_none() {
            let message = "what is exported are sealed days of a data folder: expected data = \"…\" in [engine]";
            return Err(export.name.error(&config.document, message));
        }
        if export.catalog && config.serve.as_ref().is_none_or(|serve| serve.http.is_none()) {
            let message =
                "the catalogue is asked over HTTP: expected http = \"127.0.0.1:8080\" in [serve]";
            return Err(export.name.error(&config.document, message));
        }
        Lake::open(&url(config, export), options(config, export))
            .map_err(|error| export.url.error(&config.document, error.to_string()))?;
    }
    Ok(())
}

/// The URL; a path without a scheme is a folder, relative to the file.
pub(super) fn url(config: &Config, export: &ExportConfig) -> String {
    let said = &export.url.value;
    if said.contains("://") {
        return said.clone();
    }
    let path = config.path(said);
    let whole = std::path::absolute(&path).unwrap_or(path);
    format!("file://{}", whole.display())
}

fn options(config: &Config, export: &ExportConfig) -> LakeOptions {
    let layout = match export.table {
        TableLayout::Iceberg => Layout::Iceberg,
        TableLayout::Hive => Layout::Hive,
    };
    let mut options = LakeOptions::default().layout(layout).states(export.states);
    // Sketches that the file does not name.
    for view in config.views.iter().filter(|_| !export.sketches) {
        let names = || view.measures.iter().map(|(name, _)| &name.value);
        let sketches = names().map(|name| format!("{name}_sketch"));
        let sketches = sketches.filter(|sketch| names().all(|name| name != sketch));
        options = options.without(&view.name.value, sketches);
    }
    options
}

/// How far sources had been read when a closing of a view was complete, if that is known.
pub(crate) type Positions = dyn Fn(&str, Closing) -> Option<BTreeMap<String, u64>> + Send + Sync;
/// How many late events a view has had since the program started.
pub(crate) type LateEvents = dyn Fn(&str) -> Option<u64> + Send + Sync;

/// What exports record of the engine.
#[derive(Clone)]
pub(crate) struct Told {
    pub(crate) positions: Arc<Positions>,
    pub(crate) late_events: Arc<LateEvents>,
}

impl Told {
    /// Opens a lake that records it.
    fn open(&self, options: LakeOptions, url: &str) -> Result<Lake, LakeError> {
        let Told { positions, late_events } = self.clone();
        let lake = Lake::open(url, options)?.late_events(move |view| late_events(view));
        Ok(lake.positions(move |view, closing| positions(view, closing)))
    }
}

/// The lakes of a file, each with the name of its export and the views in it.
pub(crate) fn lakes(
    config: &Config,
) -> impl Iterator<Item = (&str, Result<Lake, LakeError>, &[String])> {
    config.exports.iter().map(|export| {
        let lake = Lake::open(&url(config, export), options(config, export));
        (export.name.value.as_str(), lake, &export.views[..])
    })
}

fn lock(exporters: &Mutex<Vec<Exporter>>) -> MutexGuard<'_, Vec<Exporter>> {
    exporters.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Adds a catalogue of the tables of those exports that ask for one.
///
/// # Errors
/// [`ProgramError::Failed`] if a URL is not valid.
pub(super) fn serve_catalog(config: &Config, server: Server) -> Result<Server, ProgramError> {
    let mut catalog = None;
    for export in config.exports.iter().filter(|export| export.catalog) {
        let lake = Lake::open(&url(config, export), options(config, export));
        let lake = lake.map_err(|error| ProgramError::Failed(error.to_string()))?;
        let namespaces: Catalog = catalog.unwrap_or_default();
        catalog = Some(namespaces.namespace(&export.name.value, lake));
    }
    Ok(match catalog {
        Some(catalog) => server.catalog(catalog.router()),
        None => server,
    })
}

impl Exports {
    /// Starts to export the views of a folder that a program has open.
    pub(crate) fn start(
        config: &Config,
        folder: &Path,
        told: Told,
        released: Option<(LogRelease, Vec<(String, Calendar)>)>,
    ) -> Result<Exports, ProgramError> {
        let targets: Vec<(ExportConfig, String)> =
            config.exports.iter().map(|export| (export.clone(), url(config, export))).collect();
        let exporters = targets.iter().map(|(export, url)| {
            let lake = told.open(options(config, export), url)?;
            Exporter::start(lake, folder, export.views.clone(), ExporterOptions::default())
        });
        let exporters: Result<Vec<Exporter>, LakeError> = exporters.collect();
        let exporters = exporters.map_err(|error| ProgramError::Failed(error.to_string()))?;
        let exporters = Arc::new(Mutex::new(exporters));
        let options = config.exports.iter().map(|export| options(config, export)).collect();
        let folder = folder.to_owned();
        Ok(Exports { exporters, targets, options, folder, told, released })
    }

    /// Returns their progress.
    pub(crate) fn numbers(&self) -> Box<dyn Fn() -> Vec<ExportNumbers> + Send + Sync> {
        let exporters = Arc::clone(&self.exporters);
        let names: Vec<String> =
            self.targets.iter().map(|(export, _)| export.name.value.clone()).collect();
        Box::new(move || {
            let exporters = lock(&exporters);
            let of = |(exporter, name): (&Exporter, &String)| {
                let views = exporter.status().into_iter();
                let numbers = views.map(|(view, status)| ExportNumbers {
                    export: name.clone(),
                    view,
                    exported: status.exported,
                    waiting: status.waiting,
                    failures: status.failures,
                    error: status.error,
                });
                numbers.collect::<Vec<_>>()
            };
            exporters.iter().zip(&names).flat_map(of).collect()
        })
    }

    /// Releases the events of the log whose periods are in the lake, in all exports and of all views.
    pub(crate) fn release_log(&self) {
        let Some((released, calendars)) = &self.released else { return };
        let statuses: Vec<_> = lock(&self.exporters).iter().map(Exporter::status).collect();
        let end = |(view, calendar): &(String, Calendar)| {
            let of_view = statuses.iter().filter_map(|status| status.get(view));
            // Options are less than what is known.
            let through = of_view.map(|status| status.through).min().flatten()?;
            Some(if through == Day::MAX { EventTime::MAX } else { calendar.end_of(through) })
        };
        if let Some(time) = calendars.iter().map(end).min().flatten() {
            released.before(time);
        }
    }

    /// Stops them, even while somebody reads their progress: only one program at a time may write a table.
    pub(crate) fn stop(&self) {
        let exporters = std::mem::take(&mut *lock(&self.exporters));
        exporters.into_iter().for_each(Exporter::stop);
    }

    /// Waits until everything that is sealed is written. Retries for a while if a store cannot be reached.
    ///
    /// # Errors
    /// [`ProgramError::Failed`] with the last error of the store.
    pub(crate) fn complete(self, stop: &AtomicBool) -> Result<(), ProgramError> {
        self.stop();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        for ((export, url), options) in self.targets.iter().zip(&self.options) {
            let failed = |error: LakeError| {
                ProgramError::Failed(format!("exports.{}: {error}", export.name.value))
            };
            let lake = self.told.open(options.clone(), url).map_err(failed)?;
            for view in &export.views {
                runtime.block_on(self.complete_view(&lake, view, stop)).map_err(failed)?;
            }
        }
        Ok(())
    }

    async fn complete_view(
        &self,
        lake: &Lake,
        view: &str,
        stop: &AtomicBool,
    ) -> Result<(), LakeError> {
        let mut failures = 0;
        while !stop.load(Ordering::Relaxed) {
            match lake.export(&self.folder, view).await {
                Ok(done) if done.unsettled == 0 => {
                    tracing::info!(view, written = done.written, rows = done.rows, "exported");
                    return Ok(());
                }
                // A period is just being committed.
                Ok(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                Err(error @ (LakeError::Store { .. } | LakeError::Locked { .. }))
                    if failures < TRIES =>
                {
                    failures += 1;
                    tracing::warn!(view, %error, failures, "cannot export; trying again");
                    tokio::time::sleep(Duration::from_millis(250 << failures)).await;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
