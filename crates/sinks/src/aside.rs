//! Rows that a store has refused, kept with the reason.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A file of JSON lines.
pub(crate) struct Aside {
    path: PathBuf,
    file: Option<File>,
    /// The maximum size of the file; further rows are only counted.
    bytes_max: u64,
}

impl Aside {
    pub(crate) fn new(folder: &Path, bytes_max: u64) -> Aside {
        Aside { path: folder.join("refused.ndjson"), file: None, bytes_max }
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
        let (view, why) = (serde_json::Value::from(view), serde_json::Value::from(why));
        let line = format!("{{\"view\":{view},\"why\":{why},\"row\":{row}}}\n");
        if file.metadata()?.len().saturating_add(line.len() as u64) > self.bytes_max {
            return Ok(());
        }
        file.write_all(line.as_bytes())
    }
}
