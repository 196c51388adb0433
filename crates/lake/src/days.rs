//! Days of a view as files in the store: made on all processors, and sent side by side.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::sync::Arc;

use dayfold::time::Day;
use futures_util::stream::{self, Stream, StreamExt};
use tokio::sync::Semaphore;

use crate::LakeError;
use crate::commit::NewFile;
use crate::file::{FileFormat, FileWriter, Written};
use crate::folder::{Sealed, View};
use crate::store::Location;
use crate::table::Table;

/// The most days that are in work at the same time.
const DAYS_AT_ONCE: usize = 32;
/// And the most rows of them together: those of one row group. A day with more is in work alone.
const ROWS_AT_ONCE: u32 = 65_536;

/// A day that is to be written.
struct Job {
    day: Day,
    sealed: Sealed,
    path: String,
}

/// What all days of an export share.
struct Work {
    view: Arc<View>,
    format: FileFormat,
    /// Columns at the beginning of rows that files do not have: the day, if the folder has it.
    skipped: usize,
    place: Location,
    /// A permit for each row of the days in work.
    rows: Semaphore,
    /// A permit for each thread that makes files.
    threads: Semaphore,
}

/// Writes days to their places in the store. The files come in the order of days.
pub(crate) fn written(
    view: &Arc<View>,
    table: &Table,
    place: &Location,
    days: BTreeMap<Day, Sealed>,
) -> Result<impl Stream<Item = Result<NewFile, LakeError>> + use<>, LakeError> {
    let skipped = view.columns().len() - table.columns().len();
    // Twice as many as there are processors: none is idle until a thread that has finished gets its next day.
    let threads = 2 * std::thread::available_parallelism().map_or(1, NonZero::get);
    let work = Arc::new(Work {
        view: Arc::clone(view),
        format: FileFormat::new(table.columns(), view.keys() + 1 - skipped)?,
        skipped,
        place: place.clone(),
        rows: Semaphore::new(ROWS_AT_ONCE as usize),
        threads: Semaphore::new(threads),
    });
    let jobs = days.into_iter().map(|(day, sealed)| {
        let path = table.path(day, &sealed.version);
        Job { day, sealed, path }
    });
    let jobs: Vec<Job> = jobs.collect();
    let files = stream::iter(jobs).map(move |job| Arc::clone(&work).write(job));
    Ok(files.buffered(DAYS_AT_ONCE))
}

impl Work {
    async fn write(self: Arc<Work>, job: Job) -> Result<NewFile, LakeError> {
        let rows = u32::try_from(job.sealed.rows).unwrap_or(u32::MAX).clamp(1, ROWS_AT_ONCE);
        // Permits are given in the order of requests, so the first day of the list never waits for a later one.
        let _rows = self.rows.acquire_many(rows).await.expect("it is never closed");
        let thread = self.threads.acquire().await.expect("it is never closed");
        let work = Arc::clone(&self);
        let made = tokio::task::spawn_blocking(move || (work.make(&job), job)).await;
        drop(thread);
        let (made, job) = match made {
            Ok(made) => made,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        };
        let mut made = made?;
        self.place.send(&job.path, &mut made).await?;
        let Written { bytes, rows, bounds, .. } = made;
        let Job { day, sealed: Sealed { version, .. }, path } = job;
        Ok(NewFile { day, version, path, bytes, rows, bounds })
    }

    /// The rows of a day as a local file.
    fn make(&self, job: &Job) -> Result<Written, LakeError> {
        let about =
            [("dayfold.day", job.day.to_string()), ("dayfold.version", job.sealed.version.clone())];
        let mut file = FileWriter::new(&self.format, job.sealed.rows, &about)?;
        self.view.each(job.day, |row| file.push(&row[self.skipped..]))?;
        file.finish()
    }
}
