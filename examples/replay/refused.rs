//! The file of refused rows, and their counts.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Read};
use std::path::{Path, PathBuf};

use dayfold::source::{Refused, RefusedWriter};

/// How many different reasons are counted separately, and how many of them are printed.
const REASONS: usize = 1_000;
const REASONS_TOLD: usize = 3;

/// The beginning of the file.
const HEADER: &[u8] = b"line,reason,row\n";

/// Keeps refused rows.
///
/// Each run begins the file again; rows refused by earlier runs are in the log. The file named by `--refused` exists
/// even if it has only a header; others exist only if a row was refused.
#[derive(Default)]
pub(crate) struct RefusedRows {
    pub(crate) path: PathBuf,
    writer: Option<RefusedWriter<BufWriter<File>>>,
    /// Rows of the whole file.
    pub(crate) count: u64,
    reasons: BTreeMap<String, u64>,
}

impl RefusedRows {
    /// Prepares the file at `path`, which was `asked` for or is a default.
    pub(crate) fn open(path: PathBuf, asked: bool) -> io::Result<RefusedRows> {
        let mut rows = RefusedRows { path, ..RefusedRows::default() };
        if rows.path.is_file() {
            if !is_own(&rows.path)? {
                let message = "it is there, and is no file of refused rows, which begins with \
                               line,reason,row: choose another --refused FILE, or move it away";
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, message));
            }
            std::fs::remove_file(&rows.path)?;
        }
        if asked {
            rows.writer()?;
        }
        Ok(rows)
    }

    fn writer(&mut self) -> io::Result<&mut RefusedWriter<BufWriter<File>>> {
        if self.writer.is_none() {
            if let Some(parent) = self.path.parent() {
                std::fs::create_dir_all(parent)?;
            }
            let file = File::options().create(true).append(true).open(&self.path)?;
            let writer = RefusedWriter::new(BufWriter::new(file))?;
            self.writer = Some(writer);
        }
        Ok(self.writer.as_mut().expect("made just now"))
    }

    pub(crate) fn write(&mut self, refused: &Refused) -> io::Result<()> {
        self.count += 1;
        let reason = kind(&refused.reason);
        if self.reasons.len() < REASONS || self.reasons.contains_key(&reason) {
            *self.reasons.entry(reason).or_default() += 1;
        }
        self.writer()?.write(refused)
    }

    /// The most common reasons, each with the number of its rows; nothing if no row was refused.
    pub(crate) fn commonest(&self) -> Vec<String> {
        let mut reasons: Vec<(&String, &u64)> = self.reasons.iter().collect();
        reasons.sort_by_key(|(_, rows)| std::cmp::Reverse(**rows));
        let told = reasons.iter().take(REASONS_TOLD);
        let mut lines: Vec<String> =
            told.clone().map(|(reason, rows)| format!("{rows} refused: {reason}")).collect();
        let others = self.count - told.map(|(_, rows)| **rows).sum::<u64>();
        if others > 0 {
            lines.push(format!("{others} refused for other reasons"));
        }
        lines
    }

    /// Flushes written rows to the system, for readers of the file.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.writer.as_mut().map_or(Ok(()), RefusedWriter::flush)
    }

    /// Writes all of it to the disk.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        let Some(writer) = self.writer.take() else { return Ok(()) };
        let file = writer.into_inner().into_inner().map_err(|error| error.into_error())?;
        match file.metadata()?.is_file() {
            true => file.sync_all(),
            false => Ok(()),
        }
    }
}

/// Whether an existing file has refused rows, or is empty.
fn is_own(path: &Path) -> io::Result<bool> {
    let mut begins = Vec::new();
    File::open(path)?.take(HEADER.len() as u64).read_to_end(&mut begins)?;
    Ok(begins.is_empty() || begins == HEADER)
}

/// A reason without the milliseconds that differ from row to row.
fn kind(reason: &str) -> String {
    let mut words: Vec<&str> = reason.split(' ').collect();
    for at in 1..words.len() {
        if words[at] == "ms" && words[at - 1].bytes().all(|byte| byte.is_ascii_digit()) {
            words[at - 1] = "…";
        }
    }
    words.join(" ")
}
