//! The command line options of a run.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use dayfold::Cluster;

/// The options of a run.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// Whether to end when all sources that have an end have ended, and everything is sealed.
    pub once: bool,
    /// The workers of all processes.
    pub cluster: Cluster,
    /// Views whose sealed days are dropped, and computed again from the log.
    pub rebuild: Vec<String>,
    /// Views that the file no longer has, and that are removed from the data folder whatever the log has.
    pub remove: Vec<String>,
    /// The export whose sealed periods a new data folder takes over.
    pub start_from: Option<String>,
    /// The data folder; replaces the one that the file names.
    pub data: Option<PathBuf>,
    /// Set by SIGHUP, which requests that the file is read again.
    pub reload: Arc<AtomicBool>,
    /// Whether messages on standard error are lines of JSON.
    pub json: bool,
    /// The milliseconds of a file's clock per millisecond of the wall clock; `None` is as fast as possible.
    pub pace: Option<f64>,
}
