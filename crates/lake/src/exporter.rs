//! Keeps a lake in step with a data folder, on a thread of its own.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use dayfold::store::Manifests;
use dayfold::time::Day;

use crate::folder::Looked;
use crate::lake::Lake;
use crate::table::Table;
use crate::{Export, LakeError, random};

/// How often an [`Exporter`] checks the folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExporterOptions {
    every: Duration,
    longest_wait: Duration,
}

impl Default for ExporterOptions {
    fn default() -> ExporterOptions {
        ExporterOptions { every: Duration::from_secs(1), longest_wait: Duration::from_secs(60) }
    }
}

impl ExporterOptions {
    /// The same, with this time between two checks of the folder. The default is a second.
    #[must_use]
    pub fn every(self, every: Duration) -> ExporterOptions {
        ExporterOptions { every, ..self }
    }

    /// The same, with this longest wait after failures. The default is a minute. The first wait is the time between two
    /// checks, and each following one is twice as long.
    #[must_use]
    pub fn longest_wait(self, longest_wait: Duration) -> ExporterOptions {
        ExporterOptions { longest_wait, ..self }
    }
}

/// The progress of a view's export.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ExportStatus {
    /// Days whose version in the lake was that of the folder at the last check.
    pub exported: u64,
    /// Sealed days that are not in the lake yet, or were amended since. Known once the lake can be reached.
    pub waiting: u64,
    /// The last day that was sealed when everything was in the lake.
    pub through: Option<Day>,
    /// Rows and bytes that this exporter has written.
    pub rows: u64,
    /// See `rows`.
    pub bytes: u64,
    /// The number of failures in a row; 0 while all is well.
    pub failures: u32,
    /// Why it failed last, if it has not succeeded since.
    pub error: Option<String>,
    /// When everything was last in the lake.
    pub in_step: Option<Instant>,
}

/// Exports the days of views as they are sealed, on its own thread. It reads sealed files, which never change, so it
/// holds nothing up. If the store cannot be reached, it tries again, and days wait in the folder meanwhile.
pub struct Exporter {
    shared: Arc<ExportedViews>,
    end: SyncSender<()>,
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exporter").field("status", &self.status()).finish_non_exhaustive()
    }
}

struct ExportedViews {
    views: Mutex<BTreeMap<String, ExportStatus>>,
}

impl ExportedViews {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, ExportStatus>> {
        self.views.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Exporter {
    /// Begins to export views of a folder.
    ///
    /// # Errors
    /// [`LakeError::Temporary`] if no thread can be started.
    pub fn start(
        lake: Lake,
        folder: impl Into<PathBuf>,
        views: impl IntoIterator<Item = String>,
        options: ExporterOptions,
    ) -> Result<Exporter, LakeError> {
        let views = views.into_iter().map(|view| (view, ExportStatus::default())).collect();
        let shared = Arc::new(ExportedViews { views: Mutex::new(views) });
        let (end, ended) = sync_channel(1);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut work = Work {
            lake,
            folder: folder.into(),
            options,
            shared: Arc::clone(&shared),
            tables: BTreeMap::new(),
            seen: None,
        };
        let thread = std::thread::Builder::new().name("dayfold:export".to_owned());
        let thread = thread.spawn(move || runtime.block_on(work.run(&ended)))?;
        Ok(Exporter { shared, end, thread: Some(thread) })
    }

    /// How far the export of each view is, by name.
    pub fn status(&self) -> BTreeMap<String, ExportStatus> {
        self.shared.lock().clone()
    }

    /// Ends the thread after its present write. The next exporter continues with the remaining days.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        // A thread that has ended, or was already told to, needs no signal.
        let _ = self.end.try_send(());
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been reported where it happened.
            let _ = thread.join();
        }
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.end();
    }
}

struct Work {
    lake: Lake,
    folder: PathBuf,
    options: ExporterOptions,
    shared: Arc<ExportedViews>,
    /// Open tables. A failed one is reopened.
    tables: BTreeMap<String, Table>,
    /// The manifests as they were when everything was in step.
    seen: Option<Manifests>,
}

impl Work {
    async fn run(&mut self, ended: &Receiver<()>) {
        let mut failures = 0;
        loop {
            let is_well = self.look().await;
            failures = if is_well { 0 } else { failures + 1 };
            match ended.recv_timeout(self.wait(failures)) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// How long to wait after this many failures in a row.
    fn wait(&self, failures: u32) -> Duration {
        let ExporterOptions { every, longest_wait } = self.options;
        if failures == 0 {
            return every;
        }
        let doubled = every.saturating_mul(1 << (failures - 1).min(16)).min(longest_wait);
        // Random, so that not all exporters return at once when a store is back.
        doubled.mul_f64(0.5 + random::share() / 2.0)
    }

    /// Exports the sealed days that are there now. Returns whether all is well.
    async fn look(&mut self) -> bool {
        let manifests = Manifests::of(&self.folder);
        if self.seen.as_ref() == Some(&manifests) {
            return true;
        }
        let names: Vec<String> = self.shared.lock().keys().cloned().collect();
        let looked = Looked::at(&self.folder);
        let (mut is_well, mut is_in_step) = (true, true);
        for name in names {
            let done = match &looked {
                Ok(looked) => self.export(looked, &name).await,
                Err(error) => Err(error.to_string()),
            };
            let mut views = self.shared.lock();
            let status = views.entry(name.clone()).or_default();
            match done {
                Ok((done, through)) => {
                    status.exported = done.unchanged + done.written;
                    status.waiting = done.unsettled;
                    (status.rows, status.bytes) =
                        (status.rows + done.rows, status.bytes + done.bytes);
                    (status.failures, status.error) = (0, None);
                    if done.unsettled == 0 {
                        (status.through, status.in_step) = (through, Some(Instant::now()));
                    }
                    is_in_step &= done.unsettled == 0;
                }
                Err(error) => {
                    tracing::warn!(view = name, error, "cannot export");
                    status.failures += 1;
                    status.error = Some(error);
                    is_well = false;
                }
            }
        }
        self.seen = (is_well && is_in_step).then_some(manifests);
        is_well
    }

    async fn export(
        &mut self,
        looked: &Looked,
        name: &str,
    ) -> Result<(Export, Option<Day>), String> {
        let done = self.try_export(looked, name).await;
        done.map_err(|error| {
            self.tables.remove(name);
            error.to_string()
        })
    }

    async fn try_export(
        &mut self,
        looked: &Looked,
        name: &str,
    ) -> Result<(Export, Option<Day>), LakeError> {
        let view = match self.lake.view_of(looked, name) {
            Ok(view) => view,
            // A folder knows a view only from its first sealed period on; until then there is nothing to export.
            Err(LakeError::NoView { .. }) => return Ok((Export::default(), None)),
            Err(error) => return Err(error),
        };
        // Before that, it does not know the columns either, which a table needs.
        if view.through().is_none() && view.days().is_empty() {
            return Ok((Export::default(), None));
        }
        let mut table = match self.tables.remove(name) {
            Some(table) => table,
            None => self.lake.table(&view).await?,
        };
        let days = view.days();
        let is_there = |(day, sealed): &(&Day, &crate::folder::Sealed)| {
            table.days().get(day).is_some_and(|exported| exported.version == sealed.version)
        };
        let waiting = days.len() - days.iter().filter(is_there).count();
        self.shared.lock().entry(name.to_owned()).or_default().waiting = waiting as u64;
        let done = self.lake.bring_in_step(&view, &mut table).await?;
        self.tables.insert(name.to_owned(), table);
        Ok((done, view.through()))
    }
}
