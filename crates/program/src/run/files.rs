//! A source of one or many files, record by record.

use std::hash::Hasher;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use dayfold::source::{Input, Next, RawRecord, RawRecords, Source, SourceError};
use serde::{Deserialize, Serialize};

use crate::config::SourceKind;
use crate::plan::{SourcePlan, csv_options};

/// Where the reading goes on: in which file, and behind how many of its records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Position {
    file: u64,
    records: u64,
    /// The hash of the file's name, so that a file which came in between is noticed.
    name: u64,
}

/// Files that are read one after the other, in the order of their names.
pub(crate) struct Files {
    plan: Arc<SourcePlan>,
    follow: bool,
    open: Option<RawRecords>,
    position: Position,
    /// The record that was read last.
    record: Vec<u8>,
    /// The header of the first file, which the others have as well.
    header: Option<Vec<Vec<u8>>>,
    bytes_before: u64,
    bytes_total: u64,
}

impl Files {
    /// Opens the files of a source, behind what was read of them.
    ///
    /// # Errors
    /// If a file cannot be read, or is not there any more, or another one has come before it.
    pub(crate) fn open(plan: Arc<SourcePlan>, position: Option<Position>) -> io::Result<Files> {
        let size = |path: &std::path::PathBuf| path.metadata().map_or(0, |metadata| metadata.len());
        let sizes: Vec<u64> = plan.files().iter().map(size).collect();
        let follow = matches!(plan.config.kind, SourceKind::File { follow: true, .. });
        let place = position.unwrap_or_default();
        let bytes_before = sizes.iter().take(place.file as usize).sum();
        let mut files = Files {
            follow,
            open: None,
            position: Position { records: 0, ..place },
            record: Vec::new(),
            header: None,
            bytes_before,
            bytes_total: sizes.iter().sum(),
            plan,
        };
        files.position.name = files.name_of_file();
        let Some(place) = position else { return Ok(files) };
        if place.name != files.name_of_file() {
            let message = "the files are not those that were read: one that was read is gone, or another has come before it";
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        while files.position.records < place.records {
            match files.next_record()? {
                Step::Record | Step::Refused(_) => {}
                Step::Later | Step::End => {
                    let message = format!(
                        "a file has {} records, and {} were read of it",
                        files.position.records, place.records
                    );
                    return Err(io::Error::new(io::ErrorKind::InvalidData, message));
                }
            }
        }
        Ok(files)
    }

    fn name_of_file(&self) -> u64 {
        let path = self.plan.files().get(self.position.file as usize);
        let name = path.and_then(|path| path.file_name()).unwrap_or_default();
        // The position is kept: the hash has to be the same in every run.
        let mut hash = Fnv(0xcbf2_9ce4_8422_2325);
        hash.write(name.as_encoded_bytes());
        hash.finish()
    }

    /// Reads the next record of the file that is open into `self.record`.
    fn next_record(&mut self) -> io::Result<Step> {
        let Some(path) = self.plan.files().get(self.position.file as usize) else {
            return Ok(Step::End);
        };
        if self.open.is_none() {
            let input = if self.follow { Input::follow(path) } else { Input::file(path) };
            let records = RawRecords::open(input, csv_options(&self.plan.config.format, ""))
                .map_err(failed)?;
            if let Some(columns) = records.columns() {
                let header = self.header.get_or_insert_with(|| columns.to_vec());
                if header != columns {
                    let message =
                        format!("{} has other columns than the files before it", path.display());
                    return Err(io::Error::new(io::ErrorKind::InvalidData, message));
                }
            }
            self.open = Some(records);
        }
        let Some(open) = &mut self.open else { return Ok(Step::End) };
        let step = match open.read(self.follow).map_err(failed)? {
            RawRecord::Record { bytes, .. } => {
                self.record.clear();
                self.record.extend_from_slice(bytes);
                Step::Record
            }
            RawRecord::Refused { reason, bytes, .. } => {
                self.record.clear();
                self.record.extend_from_slice(bytes);
                Step::Refused(reason.to_owned())
            }
            RawRecord::Later => return Ok(Step::Later),
            _ => return Ok(Step::End),
        };
        self.position.records += 1;
        Ok(step)
    }
}

enum Step {
    Record,
    Refused(String),
    Later,
    End,
}

fn failed(error: SourceError) -> io::Error {
    io::Error::other(error)
}

impl Source for Files {
    type Position = Position;

    fn name(&self) -> &str {
        &self.plan.config.name.value
    }

    fn read(&mut self) -> io::Result<Next<'_>> {
        loop {
            match self.next_record()? {
                Step::Later => return Ok(Next::Later),
                Step::Refused(reason) => return Ok(Next::Refused { reason, bytes: &self.record }),
                Step::Record => {
                    return Ok(match self.plan.times.of(&self.record) {
                        Ok((time, arrival)) => Next::Record { time, arrival, bytes: &self.record },
                        Err(reason) => Next::Refused { reason, bytes: &self.record },
                    });
                }
                Step::End if self.position.file as usize + 1 >= self.plan.files().len() => {
                    return Ok(Next::End);
                }
                Step::End => {
                    let read = self.open.take().map_or(0, |open| open.progress().0);
                    self.bytes_before += read;
                    self.position = Position { file: self.position.file + 1, records: 0, name: 0 };
                    self.position.name = self.name_of_file();
                }
            }
        }
    }

    fn position(&self) -> Position {
        self.position
    }

    fn ahead_limit(&self) -> Duration {
        self.plan.config.max_ahead.unwrap_or(Duration::from_secs(86_400))
    }

    fn behind_limit(&self) -> Duration {
        self.plan.config.max_behind.unwrap_or(Duration::MAX)
    }

    fn progress(&self) -> (u64, Option<u64>) {
        let read = self.open.as_ref().map_or(0, |open| open.progress().0);
        (self.bytes_before + read, Some(self.bytes_total))
    }
}

/// FNV-1a of 64 bits (Fowler, Noll, Vo): short, and the same on every machine.
struct Fnv(u64);

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}
