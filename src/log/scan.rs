//! The contents of the logs of all parts.

use std::path::PathBuf;
use std::time::Duration;

use super::accept::{self, Accepted};
use super::error::LogError;
use super::format::{EVENTS, REFUSED};
use super::layout::Layout;
use super::once::OnceKey;
use super::partitions::Extent;
use super::record::{FileState, Ranges, SourceRange};
use crate::journal::Magic;
use crate::moment::Moment;
use crate::store::{LogPosition, LogProof, Storage};
use crate::time::{Day, EventTime, duration};

/// The content of the commit records of some parts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogState {
    /// What each worker of each run has written, by part, run and worker.
    pub streams: Vec<StreamInfo>,
    /// The files of events, by day, part, run and worker.
    pub files: Vec<LogFile>,
    /// The files of refused rows, by part, run and worker. Their day is [`Day::MIN`].
    pub refused_files: Vec<LogFile>,
    /// The committed ranges of the sources, by source and beginning. Ranges that touch are merged.
    pub ranges: Vec<SourceRange>,
    /// The committed extents of the partitions of sources, by the names of both, separately for each run and worker.
    pub extents: Vec<(String, Extent)>,
    /// The keys of pushes that count once. A key may occur again after a day.
    pub(crate) once: Vec<OnceKey>,
    /// The number of refused rows and events, including those that are not kept in files.
    pub refused: u64,
    /// The number of events.
    pub events: u64,
    /// The greatest floor of a committed entry.
    pub floor_max: Option<EventTime>,
    /// The greatest tick of a committed entry.
    pub tick_max: Option<u64>,
}

/// What one worker has written in one run.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamInfo {
    /// The process whose part has it.
    pub part: u32,
    /// The run of the program.
    pub run: u64,
    /// The worker, by its index in the cluster of that run.
    pub worker: u32,
    /// The views of that run, each with its grace.
    pub graces: Vec<(String, Duration)>,
    /// The greatest moment of a committed entry.
    pub latest: Option<Moment>,
    /// The number of events.
    pub events: u64,
    /// The number of refused rows that are kept.
    pub refused: u64,
    /// The number of refused events that are only counted.
    pub refused_elsewhere: u64,
    /// Bytes at the end of its commit stream that do not count; at least 1 if there are any. A crash has cut a write
    /// short or lost one, or a write is in progress.
    pub torn_bytes: u64,
    /// The position up to which its commit stream is synced.
    pub synced: LogPosition,
}

/// A file of the log, up to its counted length.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogFile {
    /// The path of the file.
    pub path: PathBuf,
    /// The process whose part has it.
    pub part: u32,
    /// The run of the program.
    pub run: u64,
    /// The worker, by its index in the cluster of that run.
    pub worker: u32,
    /// The UTC day of its events, or the first one.
    pub day: Day,
    /// The last UTC day of its events.
    pub last_day: Day,
    /// The counted length, in bytes.
    pub length: u64,
    /// The greatest floor of its frames.
    pub floor_max: EventTime,
    /// The number of events or refused rows.
    pub events: u64,
    /// The index in [`LogState::streams`].
    pub stream: usize,
    pub(super) frames: u64,
}

impl LogFile {
    pub(super) fn state(&self) -> FileState {
        let LogFile { length, floor_max, frames, events, .. } = *self;
        FileState { length, floor_max, frames, events }
    }

    pub(super) fn magic(&self) -> Magic {
        if self.day == REFUSED_DAY { REFUSED } else { EVENTS }
    }
}

/// The day that stands for refused rows. No event has it, however early.
const REFUSED_DAY: Day = Day::MIN;

/// Reads the commit records of some parts, each given with its process. Changes nothing; a log may be written
/// meanwhile. Runs from `before_run` on are ignored.
///
/// No other process may repair one of these parts at the same time, because a repair cuts files.
///
/// The lengths of files are checked. Checksums are verified only for what was never synced, which may have been lost;
/// [`verify`](super::verify) checks the rest.
///
/// # Errors
/// [`LogError::Corrupt`] if what was synced is missing or damaged, [`LogError::Version`] for a file with another format
/// version, [`LogError::Io`] if a file cannot be read.
pub fn scan(
    storage: &dyn Storage,
    parts: &[(u32, PathBuf)],
    before_run: u64,
) -> Result<LogState, LogError> {
    let mut state = LogState::default();
    let mut ranges = Ranges::default();
    for (part, path) in parts {
        let layout = Layout::new(path);
        for accepted in accept::streams(storage, &layout, before_run)? {
            state.add(*part, &layout, &accepted);
            accepted.state.ranges.iter().for_each(|range| ranges.add(range));
            state.once.extend(accepted.state.once.iter().cloned());
            state.extents.extend(accepted.state.extents.clone());
        }
    }
    state.ranges = ranges.iter().collect();
    state.files.sort_by_key(|file| (file.day, file.part, file.run, file.worker));
    Ok(state)
}

impl LogState {
    /// The position up to which each stream is synced.
    pub(crate) fn proofs(&self) -> impl Iterator<Item = LogProof> {
        let proof = |stream: &StreamInfo| LogProof { part: stream.part, position: stream.synced };
        self.streams.iter().map(proof)
    }

    fn add(&mut self, part: u32, layout: &Layout, accepted: &Accepted) {
        let found = &accepted.state;
        let (run, worker, stream) = (found.run, found.worker, self.streams.len());
        let file = |path, (day, last_day), file: &FileState| {
            let FileState { length, floor_max, frames, events } = *file;
            LogFile {
                path,
                part,
                run,
                worker,
                day,
                last_day,
                length,
                floor_max,
                events,
                stream,
                frames,
            }
        };
        let days = found.files.iter();
        let path = |day| layout.day(day, run, worker);
        self.files.extend(days.map(|(&day, of)| file(path(day), (day, day), of)));
        let wide = found.wide.iter();
        let path = |days| layout.days(days, run, worker);
        self.files.extend(wide.map(|(&days, of)| file(path(days), (of.first, of.last), &of.file)));
        if found.refused.length > 0 {
            let path = layout.refused(run, worker);
            self.refused_files.push(file(path, (REFUSED_DAY, REFUSED_DAY), &found.refused));
        }
        let graces = found.definition.iter().map(|(view, grace)| (view.clone(), duration(*grace)));
        let info = StreamInfo {
            part,
            run,
            worker,
            graces: graces.collect(),
            latest: found.latest,
            events: found.events(),
            refused: found.refused.events,
            refused_elsewhere: found.refused_elsewhere,
            torn_bytes: accepted.tail,
            synced: accepted.synced,
        };
        self.events = self.events.saturating_add(info.events);
        let refused = info.refused.saturating_add(info.refused_elsewhere);
        self.refused = self.refused.saturating_add(refused);
        self.floor_max = self.floor_max.max(info.latest.map(|moment| moment.floor));
        self.tick_max = self.tick_max.max(info.latest.map(|moment| moment.tick));
        self.streams.push(info);
    }
}
