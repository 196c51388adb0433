//! What the command line says of a run.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use dayfold::Cluster;

/// How a file is run.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// Ends when all sources that have an end have ended, and everything is sealed.
    pub once: bool,
    /// The workers of all processes.
    pub cluster: Cluster,
    /// Views whose sealed days are given up, and computed again from the log.
    pub rebuild: Vec<String>,
    /// Views that the file does not have any more, and that are removed from the data folder whatever the log has.
    pub remove: Vec<String>,
    /// The data folder, in the place of the one that the file names.
    pub data: Option<PathBuf>,
    /// Set when somebody asks, with SIGHUP, that the file is read again.
    pub reload: Arc<AtomicBool>,
    /// What is said on standard error is lines of JSON.
    pub json: bool,
    /// How many milliseconds of a file's clock are played back in one of the wall clock; `None` is as fast as it goes.
    pub pace: Option<f64>,
}
