//! Where a running program can be asked: a file in its data folder.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

const FILE: &str = "addresses.json";

/// The addresses of a running program.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Addresses {
    /// The process.
    pub(crate) pid: u32,
    /// The page and the API.
    pub(crate) http: Option<String>,
    /// PostgreSQL's protocol.
    #[serde(default)]
    pub(crate) postgres: Option<String>,
}

impl Addresses {
    /// Those of the program that has a folder open; none, if it says none.
    pub(crate) fn read(folder: &Path) -> Option<Addresses> {
        let bytes = std::fs::read(folder.join(FILE)).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// Leaves them in a folder, until what is returned is dropped.
    pub(crate) fn leave(&self, folder: &Path) -> std::io::Result<Left> {
        let (path, temporary) = (folder.join(FILE), folder.join("addresses.json.new"));
        let mut file = std::fs::File::create(&temporary)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        drop(file);
        std::fs::rename(&temporary, &path)?;
        Ok(Left(path))
    }
}

/// Addresses that are in a folder.
pub(crate) struct Left(PathBuf);

impl Drop for Left {
    fn drop(&mut self) {
        // Whoever reads them finds that nobody answers there.
        let _ = std::fs::remove_file(&self.0);
    }
}
