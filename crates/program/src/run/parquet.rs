//! Sources that are files of Parquet: each file is a partition, and its position is the number of rows that were read of it.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use dayfold::dynamic::Event;
use dayfold::source::{
    More, PartitionOptions, Partitioned, Partitions, Share, Start, Taken, Taking,
};
use dayfold::time::EventTime;
use dayfold_lake::ParquetRows;

use crate::config::{Config, SourceKind};
use crate::plan::SourcePlan;

/// Files that are open at once; of others only the time of the next row is known.
const OPEN: usize = 64;
/// Rows that are taken of a file before its clock is compared with the others'.
const TURN: usize = 1_024;

/// The Parquet files of a source.
pub(super) struct ParquetFiles {
    plan: Arc<SourcePlan>,
    /// The names of the files' partitions.
    files: BTreeMap<String, PathBuf>,
}

impl ParquetFiles {
    pub(super) fn new(config: &Config, plan: &Arc<SourcePlan>) -> ParquetFiles {
        let SourceKind::File { path, .. } = &plan.config.kind else {
            unreachable!("only files are Parquet")
        };
        // They are the same files when the folder of the configuration was moved.
        let within =
            if PathBuf::from(&path.value).is_relative() { config.path("") } else { PathBuf::new() };
        let name = |file: &PathBuf| {
            let name = file.strip_prefix(&within).unwrap_or(file);
            (name.to_string_lossy().into_owned(), file.clone())
        };
        ParquetFiles { plan: Arc::clone(plan), files: plan.files().iter().map(name).collect() }
    }
}

impl Partitioned<Event> for ParquetFiles {
    fn name(&self) -> &str {
        &self.plan.config.name.value
    }

    fn open(&self, share: &Share) -> io::Result<Box<dyn Partitions<Event>>> {
        let mine = self.files.iter().filter(|(name, _)| share.has_named(name));
        let files = mine.map(|(name, path)| {
            let committed = share.committed(name);
            let mark = committed.as_ref().map(|committed| committed.mark.as_slice());
            let mut file = File {
                name: name.clone(),
                path: path.clone(),
                stamp: Stamp::default(),
                next: committed.as_ref().map_or(0, |committed| committed.next),
                clock: EventTime::MIN,
                open: None,
                has_ended: false,
            };
            file.check(mark, &self.plan)?;
            Ok(file)
        });
        let files = files.collect::<io::Result<Vec<File>>>()?;
        Ok(Box::new(Reading { plan: Arc::clone(&self.plan), files, is_known: false }))
    }

    fn options(&self) -> PartitionOptions {
        self.plan.partition_options()
    }
}

/// What tells whether a file is still the one that was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Stamp {
    bytes: u64,
    rows: u64,
}

impl Stamp {
    fn encode(self) -> Vec<u8> {
        [self.bytes.to_le_bytes(), self.rows.to_le_bytes()].concat()
    }

    fn decode(bytes: &[u8]) -> Option<Stamp> {
        let number = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        Some(Stamp { bytes: number(0)?, rows: number(8)? })
    }
}

struct File {
    /// The name of the partition.
    name: String,
    path: PathBuf,
    stamp: Stamp,
    /// The number of the next row.
    next: u64,
    /// The greatest time so far; before the first row, that of the first row.
    clock: EventTime,
    open: Option<ParquetRows>,
    has_ended: bool,
}

impl File {
    /// Looks at the file, and compares it with what is known of it.
    fn check(&mut self, mark: Option<&[u8]>, plan: &SourcePlan) -> io::Result<()> {
        let rows = ParquetRows::open(&self.path, self.next).map_err(io::Error::other)?;
        let columns = rows.columns();
        let is_there = |name: &String| columns.iter().any(|(column, _)| column == name);
        if let Some((name, _)) = plan.columns.columns.iter().find(|(name, _)| !is_there(name)) {
            let message = format!(
                "{} lacks the column '{name}', which the first file has",
                self.path.display()
            );
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        let bytes = self.path.metadata()?.len();
        self.stamp = Stamp { bytes, rows: rows.rows() };
        let known = mark.map(|mark| Stamp::decode(mark).unwrap_or_default());
        if let Some(known) = known.filter(|known| *known != self.stamp) {
            let (path, rows) = (self.path.display(), self.stamp.rows);
            let message = format!(
                "{path} has {rows} rows in {bytes} bytes, and had {} in {} when it was read: put its former content back, or \
                 give the new content another name",
                known.rows, known.bytes
            );
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        self.has_ended = self.next >= self.stamp.rows;
        Ok(())
    }

    /// The rows behind those that were taken.
    fn rows(&mut self) -> io::Result<&mut ParquetRows> {
        if self.open.is_none() {
            self.open = Some(ParquetRows::open(&self.path, self.next).map_err(io::Error::other)?);
        }
        Ok(self.open.as_mut().expect("it was opened just now"))
    }

    /// Finds the time of the next row, so that files are read in the order of their times.
    fn look(&mut self, plan: &SourcePlan) -> io::Result<()> {
        let mut rows = ParquetRows::open(&self.path, self.next).map_err(io::Error::other)?;
        if let Some(row) = rows.next_row().map_err(io::Error::other)? {
            let time = plan.times.of(row);
            self.clock = time.map_or(EventTime::MIN, |(time, arrival)| arrival.unwrap_or(time));
        }
        Ok(())
    }

    /// Takes rows, until there are enough for this turn.
    fn take(
        &mut self,
        index: usize,
        plan: &SourcePlan,
        into: &mut Taking<Event>,
    ) -> io::Result<()> {
        for _ in 0..TURN {
            if into.is_full() {
                return Ok(());
            }
            let next = self.next + 1;
            let Some(row) = self.rows()?.next_row().map_err(io::Error::other)? else {
                (self.open, self.has_ended) = (None, true);
                return Ok(());
            };
            let found = plan.times.of(row);
            let found = found.and_then(|at| Ok((at, plan.event(at.0, row)?)));
            let clock = match found {
                Ok(((time, arrival), event)) => {
                    let taken = Taken::new(next, row).arrival(arrival);
                    into.event(index, taken, time, event);
                    arrival.unwrap_or(time)
                }
                Err(reason) => {
                    into.refused(index, reason, row, next);
                    EventTime::MIN
                }
            };
            (self.next, self.clock) = (next, self.clock.max(clock));
        }
        Ok(())
    }
}

/// The files of one worker.
struct Reading {
    plan: Arc<SourcePlan>,
    files: Vec<File>,
    is_known: bool,
}

impl Reading {
    /// Adds the files, with the time of each one's next row.
    fn begin(&mut self, into: &mut Taking<Event>) -> io::Result<()> {
        for (index, file) in self.files.iter_mut().enumerate() {
            into.add(&file.name, Start::new(0, file.next));
            if file.has_ended {
                into.ended(index);
            } else {
                file.look(&self.plan)?;
                // Days before a file's first row need not wait for it.
                into.idle(index, file.clock);
                into.end(index, Some(file.stamp.rows), false);
            }
        }
        into.ready();
        Ok(())
    }

    /// Closes the files that are furthest ahead, if too many are open.
    fn close_some(&mut self) {
        let mut open: Vec<&mut File> =
            self.files.iter_mut().filter(|file| file.open.is_some()).collect();
        if open.len() > OPEN {
            open.sort_by_key(|file| file.clock);
            open[OPEN / 2..].iter_mut().for_each(|file| file.open = None);
        }
    }
}

impl Partitions<Event> for Reading {
    fn take(&mut self, into: &mut Taking<Event>, wait: Duration) -> io::Result<More> {
        if !std::mem::replace(&mut self.is_known, true) {
            self.begin(into)?;
        }
        let mut has_taken = false;
        while !into.is_full() {
            let left = self.files.iter().enumerate().filter(|(_, file)| !file.has_ended);
            let mut left: Vec<(EventTime, usize)> =
                left.map(|(index, file)| (file.clock, index)).collect();
            if left.is_empty() {
                return Ok(More::Ended);
            }
            left.retain(|(_, index)| !into.is_paused(*index));
            let Some((_, index)) = left.into_iter().min() else { break };
            let file = &mut self.files[index];
            file.take(index, &self.plan, into)?;
            into.end(index, Some(file.stamp.rows), file.has_ended);
            if file.has_ended {
                into.ended(index);
            }
            has_taken = true;
            self.close_some();
        }
        if !has_taken {
            // All of them wait for other workers. Woken earlier when days close.
            std::thread::park_timeout(wait);
        }
        Ok(More::Later)
    }

    fn mark(&self, partition: usize) -> Vec<u8> {
        self.files[partition].stamp.encode()
    }
}
