//! Rows that a store has refused, kept with the reason.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The maximum number of bytes that are kept; further rows are only counted.
const BYTES_MAX: u64 = 64 << 20;

/// A file of JSON lines.
pub(crate) struct Aside {
    path: PathBuf,
    file: Option<File>,
}

impl Aside {
    pub(crate) fn new(folder: &Path) -> Aside {
        Aside { path: folder.join("refused.ndjson"), file: None }
    }

    /// Keeps a row, as JSON.
    pub(crate) fn keep(&mut self, view: &str, row: &str, why: &str) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                if let Some(folder) = self.path.parent() {
                    std::fs::create_dir_all(folder)?;
                }
                none.insert(OpenOptions::new().create(true).append(true).open(&self.path)?)
            }
        };
        if file.metadata()?.len() > BYTES_MAX {
            return Ok(());
        }
        let (view, why) = (serde_json::Value::from(view), serde_json::Value::from(why));
        writeln!(file, "{{\"view\":{view},\"why\":{why},\"row\":{row}}}")
    }
}
