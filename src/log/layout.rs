//! The paths in the log of a part.

use std::path::{Path, PathBuf};

use super::days::Days;
use crate::time::Day;

/// The suffix of names of unfinished files.
pub(super) const TEMPORARY: &str = ".tmp";

/// The paths of a log; the module's documentation shows them.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    part: PathBuf,
    log: PathBuf,
}

impl Layout {
    pub(super) fn new(part: &Path) -> Layout {
        Layout { part: part.to_owned(), log: part.join("log") }
    }

    pub(super) fn part(&self) -> &Path {
        &self.part
    }

    pub(super) fn log(&self) -> &Path {
        &self.log
    }

    pub(super) fn commits(&self) -> PathBuf {
        self.log.join("commits")
    }

    pub(super) fn day(&self, day: Day, run: u64, worker: u32) -> PathBuf {
        self.log.join(day.to_string()).join(file_name(run, worker))
    }

    /// A file with events of several days.
    pub(super) fn days(&self, days: Days, run: u64, worker: u32) -> PathBuf {
        self.log.join(days.to_string()).join(file_name(run, worker))
    }

    pub(super) fn refused(&self, run: u64, worker: u32) -> PathBuf {
        self.log.join("refused").join(file_name(run, worker))
    }

    /// The file of merged streams with this number.
    pub(super) fn merged(&self, number: u64) -> PathBuf {
        self.commits().join(merged_name(number))
    }

    pub(super) fn stream(&self, name: StreamName) -> PathBuf {
        self.commits().join(name.to_file_name())
    }
}

fn file_name(run: u64, worker: u32) -> String {
    format!("r{run}-w{worker}.log")
}

fn merged_name(number: u64) -> String {
    format!("merged-{number}.log")
}

/// The number in the name of a file of merged streams.
pub(super) fn parse_merged(name: &str) -> Option<u64> {
    let number = name.strip_prefix("merged-")?.strip_suffix(".log")?.parse().ok()?;
    (merged_name(number) == name).then_some(number)
}

/// The run and the worker in the name of a file of frames.
pub(super) fn parse_file(name: &str) -> Option<(u64, u32)> {
    let (run, worker) = name.strip_prefix('r')?.strip_suffix(".log")?.split_once("-w")?;
    let (run, worker) = (run.parse().ok()?, worker.parse().ok()?);
    (file_name(run, worker) == name).then_some((run, worker))
}

/// Whether a folder of the log is that of a day, or that of refused rows.
pub(super) fn is_folder_of_frames(name: &str) -> bool {
    name == "refused" || name.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-')
}

/// The name of a commit stream. Names are ordered by run, worker and `seq`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct StreamName {
    pub(super) run: u64,
    pub(super) worker: u32,
    pub(super) seq: u64,
}

impl StreamName {
    fn to_file_name(self) -> String {
        format!("r{}-w{}-{}.log", self.run, self.worker, self.seq)
    }

    pub(super) fn parse(name: &str) -> Option<StreamName> {
        let (run, rest) = name.strip_prefix('r')?.strip_suffix(".log")?.split_once("-w")?;
        let (worker, seq) = rest.split_once('-')?;
        let (run, worker) = (run.parse().ok()?, worker.parse().ok()?);
        let parsed = StreamName { run, worker, seq: seq.parse().ok()? };
        (parsed.to_file_name() == name).then_some(parsed)
    }

    /// The stream that replaces this one.
    pub(super) fn next(self) -> StreamName {
        StreamName { seq: self.seq + 1, ..self }
    }
}

/// The name of a stream until it is renamed to `path`.
pub(super) fn temporary(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(TEMPORARY);
    name.into()
}

/// The stream that a temporary file was to become.
pub(super) fn parse_temporary(name: &str) -> Option<StreamName> {
    StreamName::parse(name.strip_suffix(TEMPORARY)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_ours_are_parsed() {
        assert_eq!(parse_file("r12-w3.log"), Some((12, 3)));
        for name in ["r012-w3.log", "r12-w3", "r12-w+3.log", "r12-w3-1.log", "r12-w3.log.tmp", "-w"]
        {
            assert_eq!(parse_file(name), None, "{name}");
        }
        let stream = StreamName { run: 12, worker: 3, seq: 7 };
        assert_eq!(StreamName::parse("r12-w3-7.log"), Some(stream));
        assert_eq!(parse_temporary("r12-w3-7.log.tmp"), Some(stream));
        for name in ["r12-w3.log", "r12-w3-07.log", "r12-w3-7.log.tmp", "r12-w3-7-7.log"] {
            assert_eq!(StreamName::parse(name), None, "{name}");
        }
        assert_eq!(parse_merged("merged-12.log"), Some(12));
        for name in ["merged-.log", "merged-012.log", "merged-12.log.tmp", "r12-w3-7.log"] {
            assert_eq!(parse_merged(name), None, "{name}");
        }
    }
}
