//! The rows that are not counted: kept in a file, and counted by reason.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dayfold::source::{Refused, RefusedWriter};

/// So many reasons are told apart, and so many of them are shown.
const REASONS: usize = 1_000;
const SHOWN: usize = 3;

/// Rows that were refused. In a data folder they are in `refused.csv`; in memory they are counted.
#[derive(Clone)]
pub(crate) struct Refusals(Arc<Mutex<Kept>>);

struct Kept {
    path: Option<PathBuf>,
    writer: Option<RefusedWriter<BufWriter<File>>>,
    count: u64,
    reasons: BTreeMap<String, u64>,
}

impl Refusals {
    /// Those of a run over a folder. The first process keeps them.
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

    /// Begins the file again: what earlier runs refused is in the log, and comes first.
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
        // Of a partition, it begins with where the row stands.
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

    /// Hands what was written to the system, for those who watch the file.
    pub(crate) fn flush(&self) -> io::Result<()> {
        self.lock().writer.as_mut().map_or(Ok(()), RefusedWriter::flush)
    }

    /// Writes all of it to the disk.
    pub(crate) fn finish(&self) -> io::Result<()> {
        let Some(writer) = self.lock().writer.take() else { return Ok(()) };
        let file = writer.into_inner().into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()
    }

    /// The commonest reasons, each with the number of its rows.
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
