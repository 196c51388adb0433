//! Refused rows: kept in a file, and counted by reason.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dayfold::source::{Refused, RefusedWriter};
use dayfold_http::{RefusedRow, RefusedRows};

use crate::plan::fields;

/// The number of reasons that are counted separately; at most this many of them are shown.
const REASONS: usize = 1_000;
const SHOWN: usize = 3;
/// The number of reasons that are listed with the rows.
const TOLD: usize = 20;
/// The longest row of the file that is read: rows are cut when they are refused.
const ROW_BYTES: u64 = 1 << 20;

/// Refused rows. With a data folder they are in `refused.csv`; in memory they are only counted.
#[derive(Clone)]
pub(crate) struct Refusals(Arc<Mutex<Kept>>);

struct Kept {
    path: Option<PathBuf>,
    writer: Option<RefusedWriter<BufWriter<File>>>,
    count: u64,
    reasons: BTreeMap<String, u64>,
}

impl Refusals {
    /// The refused rows of a run of a folder. The first process keeps them.
    pub(crate) fn new(folder: Option<&Path>, process: usize) -> Refusals {
        let path = folder.filter(|_| process == 0).map(|folder| folder.join("refused.csv"));
        Refusals(Arc::new(Mutex::new(Kept {
            path,
            writer: None,
            count: 0,
            reasons: BTreeMap::new(),
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the file again with the rows that earlier runs refused, which are in the log.
    pub(crate) fn begin(&self, before: &[Refused]) -> io::Result<()> {
        if let Some(path) = &self.lock().path
            && path.exists()
        {
            std::fs::remove_file(path)?;
        }
        before.iter().try_for_each(|row| self.keep(row))
    }

    /// Keeps a row.
    pub(crate) fn keep(&self, refused: &Refused) -> io::Result<()> {
        let kept = &mut *self.lock();
        kept.count += 1;
        // For a partition, the reason begins with the position of the row.
        let place = format!(", {}: ", refused.line);
        let reason = refused.reason.split_once(&place).map_or(&*refused.reason, |(_, why)| why);
        if kept.reasons.len() < REASONS || kept.reasons.contains_key(reason) {
            *kept.reasons.entry(reason.to_owned()).or_default() += 1;
        }
        let Some(path) = &kept.path else { return Ok(()) };
        if kept.writer.is_none() {
            let file = File::options().create(true).append(true).open(path)?;
            kept.writer = Some(RefusedWriter::new(BufWriter::new(file))?);
        }
        kept.writer.as_mut().map_or(Ok(()), |writer| writer.write(refused))
    }

    /// Flushes written rows to the system, for readers of the file.
    pub(crate) fn flush(&self) -> io::Result<()> {
        self.lock().writer.as_mut().map_or(Ok(()), RefusedWriter::flush)
    }

    /// Rows of the file from a position on, at most `limit`, and the most common reasons of all.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] if no row begins at this position.
    pub(crate) fn rows(&self, after: u64, limit: usize) -> io::Result<RefusedRows> {
        self.flush()?;
        let (path, mut found) = {
            let kept = self.lock();
            let mut reasons: Vec<(String, u64)> = kept.reasons.clone().into_iter().collect();
            reasons.sort_by_key(|(_, rows)| std::cmp::Reverse(*rows));
            reasons.truncate(TOLD);
            (
                kept.path.clone(),
                RefusedRows { total: kept.count, reasons, ..RefusedRows::default() },
            )
        };
        let Some(path) = path else { return Ok(found) };
        let file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
            opened => opened?,
        };
        (found.rows, found.next) = read_rows(BufReader::new(file), after, limit)?;
        Ok(found)
    }

    /// Writes everything to the disk.
    pub(crate) fn finish(&self) -> io::Result<()> {
        let Some(writer) = self.lock().writer.take() else { return Ok(()) };
        let file = writer.into_inner().into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()
    }

    /// The most common reasons, each with the number of its rows.
    pub(crate) fn commonest(&self) -> Vec<String> {
        let kept = self.lock();
        let mut reasons: Vec<(&String, &u64)> = kept.reasons.iter().collect();
        reasons.sort_by_key(|(_, rows)| std::cmp::Reverse(**rows));
        let shown: Vec<String> = reasons
            .iter()
            .take(SHOWN)
            .map(|(reason, rows)| format!("{rows} refused: {reason}"))
            .collect();
        let others = kept.count - reasons.iter().take(SHOWN).map(|(_, rows)| **rows).sum::<u64>();
        let others = (others > 0).then(|| format!("{others} refused for other reasons"));
        let place = kept
            .path
            .as_ref()
            .filter(|_| kept.count > 0)
            .map(|path| format!("refused rows are in {}", path.display()));
        shown.into_iter().chain(others).chain(place).collect()
    }
}

/// Rows from a byte after the end of a line; and the byte after them, if more follow.
fn read_rows(
    mut file: impl BufRead + Seek,
    after: u64,
    limit: usize,
) -> io::Result<(Vec<RefusedRow>, Option<u64>)> {
    let mut at = after;
    let mut record = Vec::new();
    if after == 0 {
        // The header.
        at += file.read_until(b'\n', &mut record)? as u64;
    } else {
        let mut before = [0];
        file.seek(SeekFrom::Start(after - 1))?;
        let is_there = file.read(&mut before)? == 1;
        if !is_there || before != *b"\n" {
            return Err(io::ErrorKind::InvalidInput.into());
        }
    }
    let mut rows = Vec::new();
    while rows.len() < limit {
        if !read_record(&mut file, &mut record)? {
            return Ok((rows, None));
        }
        at += record.len() as u64;
        let text = String::from_utf8_lossy(&record);
        let mut cells = fields(text.trim_end_matches('\n'), b',').into_iter();
        let mut next = || cells.next().unwrap_or_default().into_owned();
        let (line, reason, row) = (next(), next(), next());
        // Inside a row, this is not a number.
        let line = line.parse().map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        rows.push(RefusedRow { line, reason, row });
    }
    let has_more = !file.fill_buf()?.is_empty();
    Ok((rows, has_more.then_some(at)))
}

/// Reads up to the end of a row, which may have line breaks between quotes. Returns false if there is no complete row.
fn read_record(file: &mut impl BufRead, record: &mut Vec<u8>) -> io::Result<bool> {
    record.clear();
    loop {
        let room = ROW_BYTES.saturating_sub(record.len() as u64);
        let read = file.by_ref().take(room).read_until(b'\n', record)?;
        if read == 0 || record.last() != Some(&b'\n') {
            return Ok(false);
        }
        // Quotes within a cell are doubled, so a complete row has an even number of them.
        if record.iter().filter(|byte| **byte == b'"').count().is_multiple_of(2) {
            return Ok(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn rows_are_read_page_by_page_as_they_were_refused() {
        let text = "line,reason,row\n3,\"a, b\",\"x,\"\"y\"\"\nz\"\n5,no number,plain\n9,no number,\n10,half";
        let read = |after, limit| read_rows(Cursor::new(text), after, limit);
        let row = |line, reason: &str, row: &str| RefusedRow {
            line,
            reason: reason.to_owned(),
            row: row.to_owned(),
        };
        let expect =
            [row(3, "a, b", "x,\"y\"\nz"), row(5, "no number", "plain"), row(9, "no number", "")];
        // The last row is not complete yet.
        assert_eq!(read(0, 10).unwrap(), (expect.to_vec(), None));
        let (mut found, mut after) = (Vec::new(), 0);
        loop {
            let (rows, next) = read(after, 1).unwrap();
            found.extend(rows);
            let Some(next) = next else { break };
            after = next;
        }
        assert_eq!(found, expect);
        for after in [1, 17, 31, 1 << 40] {
            let error = read(after, 1).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{after}");
        }
        assert_eq!(read_rows(Cursor::new(""), 0, 10).unwrap(), (Vec::new(), None));
        let none = Refusals::new(None, 0).rows(0, 10).unwrap();
        assert_eq!(none, RefusedRows::default());
    }
}
