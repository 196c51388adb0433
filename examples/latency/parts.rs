//! The processes of a run pass their reports to process 0 as files in the folder of `--out`.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use dayfold::engine::{EngineError, Running};
use dayfold_latency::Report;

use crate::common::{failed, is_set};

/// How long a process waits for the others once it is done.
pub(crate) const PATIENCE: Duration = Duration::from_secs(300);

fn path(out: &Path, process: usize) -> PathBuf {
    out.join(format!("part-{process}.report"))
}

/// Removes files that this process left in an earlier run.
pub(crate) fn remove(out: &Path, process: usize) -> Result<(), EngineError> {
    match std::fs::remove_file(path(out, process)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed(error)),
        _ => Ok(()),
    }
}

/// Delivers the report of this process.
pub(crate) fn write(out: &Path, process: usize, report: &Report) -> Result<(), EngineError> {
    let (whole, partial) = (path(out, process), out.join(format!("part-{process}.partial")));
    // A visible file is complete.
    let written = std::fs::write(&partial, report.to_bytes());
    written.and_then(|()| std::fs::rename(&partial, &whole)).map_err(failed)
}

/// Waits for the report of another process, and takes it.
pub(crate) fn wait(
    out: &Path,
    process: usize,
    running: &Running,
    interrupted: &AtomicBool,
) -> Result<Report, EngineError> {
    let (path, began) = (path(out, process), Instant::now());
    while !path.exists() {
        if is_set(interrupted) {
            return Err(EngineError::Interrupted);
        }
        if running.wait_stopped(Duration::from_millis(10)) {
            return Err(failed(format_args!("process {process} has stopped early")));
        }
        if began.elapsed() >= PATIENCE {
            let path = path.display();
            return Err(failed(format_args!("process {process} has not handed in {path}")));
        }
    }
    let report = Report::from_bytes(&std::fs::read(&path).map_err(failed)?).map_err(failed)?;
    remove(out, process)?;
    Ok(report)
}
