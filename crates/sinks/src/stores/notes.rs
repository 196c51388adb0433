//! Epochs and marks of stores that cannot keep them: a JSON file beside the rows.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use dayfold::time::Day;
use serde_json::{Map, Value};

/// The notes about a view.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Notes {
    pub(crate) epoch: i64,
    pub(crate) marks: BTreeMap<Day, String>,
}

impl Notes {
    /// Reads the notes; empty if there is no such file.
    pub(crate) fn read(path: &Path) -> io::Result<Notes> {
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Notes::default()),
            Err(error) => return Err(error),
        };
        let wrong =
            || io::Error::new(io::ErrorKind::InvalidData, "notes of a sink that cannot be read");
        let notes: Map<String, Value> = serde_json::from_slice(&bytes).map_err(|_| wrong())?;
        let epoch = notes.get("epoch").and_then(Value::as_i64).ok_or_else(wrong)?;
        let marks = notes.get("marks").and_then(Value::as_object).ok_or_else(wrong)?;
        let mark = |(day, version): (&String, &Value)| {
            Some((Day::parse_period(day).ok()?, version.as_str()?.to_owned()))
        };
        let marks = marks.iter().map(|entry| mark(entry).ok_or_else(wrong));
        Ok(Notes { epoch, marks: marks.collect::<io::Result<_>>()? })
    }

    /// Writes them atomically and durably.
    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        let marks =
            self.marks.iter().map(|(day, version)| (day.to_string(), version.as_str().into()));
        let marks: Map<String, Value> = marks.collect();
        let text = serde_json::json!({ "epoch": self.epoch, "marks": marks }).to_string();
        let new = path.with_extension("new");
        let mut file = File::create(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&new, path)?;
        path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    }

    #[cfg(any(feature = "files", feature = "webhook"))]
    pub(crate) fn note(&mut self, marks: &BTreeMap<Day, Option<String>>) {
        for (day, version) in marks {
            match version {
                Some(version) => self.marks.insert(*day, version.clone()),
                None => self.marks.remove(day),
            };
        }
    }
}
