//! Files of JSON lines: a journal of rows for each view.
//!
//! `VIEW.ndjson` only grows. A line is a row, or says which rows are gone: `{"removed":"2024-05-01","as_of":7}` means
//! all rows of that period with a smaller `as_of`, `{"removed_all_but":["2024-05-01"],"as_of":7}` those of all other
//! periods. Of several rows with the same period and key, the last one counts. A reader that applies all lines from the
//! beginning has the engine's answer.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use dayfold::time::Day;

use super::notes::Notes;
use crate::{Opened, Row, Stamp, Store, StoreError, Sweep, Table};

const NAME: &str = "files";

/// A folder of files, one for each view.
#[derive(Debug)]
pub struct Files {
    folder: PathBuf,
    open: BTreeMap<String, Journal>,
}

#[derive(Debug)]
struct Journal {
    file: File,
    notes: Notes,
    /// Whether all of the file is durable.
    is_synced: bool,
}

fn unavailable(error: &io::Error) -> StoreError {
    StoreError::Unavailable { store: NAME, why: error.to_string() }
}

impl Files {
    /// Files in a folder, which is created if necessary.
    pub fn new(folder: impl Into<PathBuf>) -> Files {
        Files { folder: folder.into(), open: BTreeMap::new() }
    }

    fn rows(&self, view: &str) -> PathBuf {
        self.folder.join(format!("{view}.ndjson"))
    }

    fn notes(&self, view: &str) -> PathBuf {
        self.folder.join(format!("{view}.sink"))
    }

    fn journal(&mut self, table: &Table) -> Result<&mut Journal, StoreError> {
        let closed = || StoreError::Unavailable { store: NAME, why: "it is not open".to_owned() };
        self.open.get_mut(&table.view).ok_or_else(closed)
    }

    fn append(&mut self, table: &Table, text: &str) -> Result<(), StoreError> {
        let journal = self.journal(table)?;
        journal.is_synced = false;
        // Written at once: a line that is cut short is removed when the file is opened.
        journal.file.write_all(text.as_bytes()).map_err(|error| unavailable(&error))
    }
}

/// A file that ends with a complete line.
fn whole_lines(path: &Path) -> io::Result<File> {
    let mut file = OpenOptions::new().create(true).read(true).append(true).open(path)?;
    let length = file.metadata()?.len();
    let mut end = length;
    let mut block = [0; 4096];
    while end > 0 {
        let from = end.saturating_sub(block.len() as u64);
        let bytes = &mut block[..(end - from) as usize];
        file.seek(SeekFrom::Start(from))?;
        file.read_exact(bytes)?;
        match bytes.iter().rposition(|&byte| byte == b'\n') {
            Some(at) => {
                end = from + at as u64 + 1;
                break;
            }
            None => end = from,
        }
    }
    if end < length {
        file.set_len(end)?;
    }
    Ok(file)
}

impl Store for Files {
    fn name(&self) -> &'static str {
        NAME
    }

    fn open(&mut self, table: &Table, at_least: i64) -> Result<Opened, StoreError> {
        let open = || {
            std::fs::create_dir_all(&self.folder)?;
            let path = self.notes(&table.view);
            let mut notes = Notes::read(&path)?;
            notes.epoch = (notes.epoch + 1).max(at_least);
            let file = whole_lines(&self.rows(&table.view))?;
            if file.metadata()?.len() == 0 {
                // Somebody has removed the rows.
                notes.marks.clear();
            }
            notes.write(&path)?;
            Ok(Journal { file, notes, is_synced: false })
        };
        let journal = open().map_err(|error: io::Error| unavailable(&error))?;
        let opened = Opened::new(journal.notes.epoch, journal.notes.marks.clone());
        self.open.insert(table.view.clone(), journal);
        Ok(opened)
    }

    fn ping(&mut self, table: &Table, stamp: Stamp) -> Result<(), StoreError> {
        let (path, rows) = (self.notes(&table.view), self.rows(&table.view));
        let journal = self.journal(table)?;
        if !journal.is_synced {
            journal.file.sync_data().map_err(|error| unavailable(&error))?;
            journal.is_synced = true;
        }
        let lengths = || Ok((std::fs::metadata(&rows)?.len(), journal.file.metadata()?.len()));
        let (found, ours) = lengths().map_err(|error| unavailable(&error))?;
        if found != ours {
            let why = format!("{} is another file than before", rows.display());
            return Err(StoreError::Unavailable { store: NAME, why });
        }
        let notes = Notes::read(&path).map_err(|error| unavailable(&error))?;
        match notes.epoch == stamp.epoch {
            true => Ok(()),
            false => Err(StoreError::Fenced { store: NAME, view: table.view.clone() }),
        }
    }

    fn write(&mut self, table: &Table, stamp: Stamp, rows: &[Row]) -> Result<(), StoreError> {
        let lines = rows.iter().map(|row| row.json(table, stamp.as_of) + "\n");
        self.append(table, &lines.collect::<String>())
    }

    fn sweep(&mut self, table: &Table, stamp: Stamp, sweep: &Sweep) -> Result<u64, StoreError> {
        let (name, what) = match sweep {
            Sweep::Period(day) => ("removed", serde_json::json!(day.to_string())),
            Sweep::AllBut(kept) => {
                let kept: Vec<String> = kept.iter().map(Day::to_string).collect();
                ("removed_all_but", serde_json::json!(kept))
            }
        };
        self.append(table, &format!("{{\"{name}\":{what},\"as_of\":{}}}\n", stamp.as_of))?;
        Ok(0)
    }

    fn mark(
        &mut self,
        table: &Table,
        stamp: Stamp,
        marks: &BTreeMap<Day, Option<String>>,
    ) -> Result<(), StoreError> {
        // What is marked is durable, and the marks of another writer stay.
        self.ping(table, stamp)?;
        let path = self.notes(&table.view);
        let journal = self.journal(table)?;
        journal.notes.note(marks);
        journal.notes.write(&path).map_err(|error| unavailable(&error))
    }

    fn check(&mut self, _: &Table) -> Result<(), StoreError> {
        let parent = self.folder.ancestors().find(|folder| folder.exists());
        match parent.map(std::fs::metadata) {
            Some(Ok(about)) if about.is_dir() && !about.permissions().readonly() => Ok(()),
            _ => Err(StoreError::Mismatch {
                store: NAME,
                found: format!("{} is no folder that can be written", self.folder.display()),
                expected: "a folder, or one that can be made".to_owned(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::tests::{row, table};

    #[test]
    fn a_second_writer_fences_off_the_first_and_marks_end_with_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let mut first = Files::new(folder.path());
        let opened = first.open(&table(), 1).unwrap();
        let stamp = Stamp::new(opened.epoch, 1);
        first.write(&table(), stamp, &[row(0, "a", 1)]).unwrap();
        let marks = BTreeMap::from([(Day(0), Some("version".to_owned()))]);
        first.mark(&table(), stamp, &marks).unwrap();
        let path = folder.path().join("sales.ndjson");
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"day\"").unwrap();

        let mut second = Files::new(folder.path());
        let again = second.open(&table(), 1).unwrap();
        assert!(again.epoch > opened.epoch);
        assert_eq!(again.marks, BTreeMap::from([(Day(0), "version".to_owned())]));
        let line = row(0, "a", 1).json(&table(), stamp.as_of) + "\n";
        assert_eq!(std::fs::read_to_string(&path).unwrap(), line);
        for refused in [first.ping(&table(), stamp), first.mark(&table(), stamp, &marks)] {
            assert!(matches!(refused, Err(StoreError::Fenced { .. })), "{refused:?}");
        }
        let ours = Stamp::new(again.epoch, 1);
        second.ping(&table(), ours).unwrap();
        std::fs::remove_file(&path).unwrap();
        let gone = second.ping(&table(), ours);
        assert!(matches!(gone, Err(StoreError::Unavailable { .. })), "{gone:?}");
        assert_eq!(second.open(&table(), 1).unwrap().marks, BTreeMap::new());
    }
}
