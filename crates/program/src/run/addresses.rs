//! The addresses of a running program: a file in its data folder.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::replace::replace;

const FILE: &str = "addresses.json";

/// The addresses of a running program.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Addresses {
    /// The id of the process.
    pub(crate) pid: u32,
    /// The address of the page and the API.
    pub(crate) http: Option<String>,
    /// The address of PostgreSQL's protocol.
    #[serde(default)]
    pub(crate) postgres: Option<String>,
}

impl Addresses {
    /// The addresses of the program that has a folder open, if there are any.
    pub(crate) fn read(folder: &Path) -> Option<Addresses> {
        let bytes = std::fs::read(folder.join(FILE)).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// Leaves the addresses in a folder, until the returned value is dropped.
    pub(crate) fn leave(&self, folder: &Path) -> std::io::Result<Left> {
        let path = folder.join(FILE);
        replace(&path, &serde_json::to_vec(self)?)?;
        Ok(Left(path))
    }
}

/// Addresses that were left in a folder.
pub(crate) struct Left(PathBuf);

impl Drop for Left {
    fn drop(&mut self) {
        // If the file stays, its readers find that nobody answers.
        let _ = std::fs::remove_file(&self.0);
    }
}
