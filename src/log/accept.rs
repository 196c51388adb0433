//! Decides which records of a stream count.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::error::{Damage, LogError};
use super::format::{self, check_growth};
use super::layout::{Layout, StreamName, parse_merged};
use super::merged::{self, MergedStream};
use super::record::{Commit, FileState, StreamState};
use super::stream::{position, replay};
use crate::journal::Magic;
use crate::store::{LogPosition, Storage};

/// How many replacements of a stream are followed while it is read.
const ATTEMPTS: usize = 1_000;

/// A stream, and what counts in it.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) name: StreamName,
    pub(super) state: StreamState,
    /// The position up to which it is synced.
    pub(super) synced: LogPosition,
    /// Whether it has an opening only, which was durable before the stream got its name.
    pub(super) settled: bool,
    /// Files whose counted length comes from records that do not say `synced`, with that length.
    pub(super) unsynced: BTreeMap<PathBuf, u64>,
    /// Bytes at the end of the stream that do not count.
    pub(super) tail: u64,
    /// Whether it is in the file of merged streams.
    pub(super) is_merged: bool,
}

/// A stream that was found: in a file of its own, or merged with others.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) name: StreamName,
    /// Its bytes, if it is merged.
    merged: Option<Vec<u8>>,
}

/// The streams of a part that count, of runs before `before_run`, in order of run and worker.
pub(super) fn streams(
    storage: &dyn Storage,
    layout: &Layout,
    before_run: u64,
) -> Result<Vec<Accepted>, LogError> {
    let found = latest(storage, layout, before_run)?;
    found.into_iter().map(|found| accepted(storage, layout, found)).collect()
}

/// A stream, or the one that has replaced it meanwhile, in which case the files that it names may be removed.
fn accepted(
    storage: &dyn Storage,
    layout: &Layout,
    mut found: Found,
) -> Result<Accepted, LogError> {
    let mut name = found.name;
    for _ in 0..ATTEMPTS {
        let is_merged = found.merged.is_some();
        let bytes;
        (name, bytes) = newest(storage, layout, found)?;
        let error = match accept(storage, layout, name, &bytes) {
            Ok(accepted) => return Ok(Accepted { is_merged, ..accepted }),
            Err(error) => error,
        };
        match again(storage, layout, name)? {
            Some(now) if now.name.seq > name.seq => found = now,
            _ => return Err(error),
        }
    }
    Err(replaced(layout, name))
}

/// What is found now of the run and worker of a stream.
fn again(
    storage: &dyn Storage,
    layout: &Layout,
    name: StreamName,
) -> Result<Option<Found>, LogError> {
    let now = latest(storage, layout, name.run + 1)?.into_iter();
    let mut now = now.filter(|now| (now.name.run, now.name.worker) == (name.run, name.worker));
    Ok(now.next())
}

fn replaced(layout: &Layout, name: StreamName) -> LogError {
    let path = layout.stream(name);
    let error = io::Error::new(ErrorKind::TimedOut, "it is replaced again and again");
    LogError::harmless("read", &path)(error)
}

/// The stream with the greatest `seq`, for each run and worker. If it is merged, it counts there.
pub(super) fn latest(
    storage: &dyn Storage,
    layout: &Layout,
    before_run: u64,
) -> Result<Vec<Found>, LogError> {
    for _ in 0..ATTEMPTS {
        let names = list(storage, &layout.commits())?;
        let merged = match names.iter().filter_map(|name| parse_merged(name)).max() {
            None => Vec::new(),
            // If another file has replaced it, the streams that were in files of their own may be in that one.
            Some(number) => match merged::read(storage, layout, number)? {
                Some(merged) => merged,
                None => continue,
            },
        };
        let alone = names.iter().filter_map(|name| StreamName::parse(name));
        let alone = alone.map(|name| Found { name, merged: None });
        let merged = merged
            .into_iter()
            .map(|stream: MergedStream| Found { name: stream.name(), merged: Some(stream.bytes) });
        let mut latest = BTreeMap::new();
        for found in alone.chain(merged).filter(|found| found.name.run < before_run) {
            match latest.entry((found.name.run, found.name.worker)) {
                Entry::Vacant(entry) => _ = entry.insert(found),
                Entry::Occupied(mut entry) if entry.get().name.seq <= found.name.seq => {
                    entry.insert(found);
                }
                Entry::Occupied(_) => {}
            }
        }
        return Ok(latest.into_values().collect());
    }
    let folder = layout.commits();
    let error = io::Error::new(ErrorKind::TimedOut, "its files are replaced again and again");
    Err(LogError::harmless("list", &folder)(error))
}

/// The names in a folder; none if the folder does not exist.
pub(super) fn list(storage: &dyn Storage, folder: &Path) -> Result<Vec<String>, LogError> {
    match storage.list(folder) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(Vec::new())
        }
        result => result.map_err(LogError::harmless("list", folder)),
    }
}

/// The bytes of a stream, or of the one that has replaced it meanwhile.
pub(super) fn newest(
    storage: &dyn Storage,
    layout: &Layout,
    found: Found,
) -> Result<(StreamName, Vec<u8>), LogError> {
    let Found { mut name, mut merged } = found;
    for _ in 0..ATTEMPTS {
        if let Some(bytes) = merged {
            return Ok((name, bytes));
        }
        let path = layout.stream(name);
        match storage.read(&path) {
            Ok(bytes) => return Ok((name, bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                match again(storage, layout, name)? {
                    Some(now) if now.name.seq > name.seq || now.merged.is_some() => {
                        (name, merged) = (now.name, now.merged);
                    }
                    _ => return Err(LogError::harmless("read", &path)(error)),
                }
            }
            Err(error) => return Err(LogError::harmless("read", &path)(error)),
        }
    }
    Err(replaced(layout, name))
}

/// Decides which records count, by the tail rules in the module's documentation.
pub(super) fn accept(
    storage: &dyn Storage,
    layout: &Layout,
    name: StreamName,
    bytes: &[u8],
) -> Result<Accepted, LogError> {
    let replayed = replay(bytes, &layout.stream(name))?;
    let crc = crc32fast::hash(&bytes[..replayed.synced_length as usize]);
    let synced = position(name, replayed.synced_length, crc, &replayed.synced);
    let mut state = replayed.synced;
    if (state.run, state.worker) != (name.run, name.worker) {
        let damage = Damage::new(0, "it is the stream of another run or worker");
        return Err(LogError::corrupt(&layout.stream(name), damage));
    }
    for (path, _, file) in files(layout, &state) {
        let length = length(storage, &path)?;
        if length < file.length {
            return Err(LogError::corrupt(&path, Damage::new(length, "it is cut short")));
        }
    }
    let settled = replayed.length == replayed.opening;
    let mut tail = replayed.length - replayed.good;
    let mut unsynced = BTreeMap::new();
    for commit in replayed.unsynced {
        let grown = grown(layout, &state, &commit);
        if !holds(storage, &grown)? {
            // The length of the tail does not matter here, only that there is one.
            tail = tail.max(1);
            break;
        }
        unsynced.extend(grown.into_iter().map(|(path, _, _, to)| (path, to.length)));
        state.apply(commit);
    }
    Ok(Accepted { name, state, synced, settled, unsynced, tail, is_merged: false })
}

/// The files that a state names, with the file of refused rows last.
pub(super) fn files<'a>(
    layout: &'a Layout,
    state: &'a StreamState,
) -> impl Iterator<Item = (PathBuf, Magic, FileState)> + 'a {
    let (run, worker) = (state.run, state.worker);
    let days = state
        .files
        .iter()
        .map(move |(&day, file)| (layout.day(day, run, worker), format::EVENTS, *file));
    let wide = state.wide.iter();
    let wide =
        wide.map(move |(&days, wide)| (layout.days(days, run, worker), format::EVENTS, wide.file));
    let refused = (state.refused.length > 0)
        .then(|| (layout.refused(run, worker), format::REFUSED, state.refused));
    days.chain(wide).chain(refused)
}

/// The length of a file that a synced record names.
pub(super) fn length(storage: &dyn Storage, path: &Path) -> Result<u64, LogError> {
    match storage.map(path) {
        Ok(bytes) => Ok(bytes.len() as u64),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Err(LogError::corrupt(path, Damage::new(0, "it is missing")))
        }
        Err(error) => Err(LogError::harmless("open", path)(error)),
    }
}

/// The files that a commit adds to: their states before and after.
fn grown(
    layout: &Layout,
    state: &StreamState,
    commit: &Commit,
) -> Vec<(PathBuf, Magic, FileState, FileState)> {
    let (run, worker) = (state.run, state.worker);
    let days = commit
        .files
        .iter()
        .map(|(&day, to)| (layout.day(day, run, worker), format::EVENTS, state.file(day), *to));
    let wide = commit.wide.iter().map(|(&days, to)| {
        let from = state.wide(days).file;
        (layout.days(days, run, worker), format::EVENTS, from, to.file)
    });
    let refused = commit
        .refused
        .iter()
        .map(|to| (layout.refused(run, worker), format::REFUSED, state.refused, *to));
    days.chain(wide).chain(refused).collect()
}

/// Whether the files hold what an unsynced commit adds.
fn holds(
    storage: &dyn Storage,
    grown: &[(PathBuf, Magic, FileState, FileState)],
) -> Result<bool, LogError> {
    for (path, magic, from, to) in grown {
        let bytes = match storage.map(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(LogError::harmless("open", path)(error)),
        };
        match check_growth(&bytes, *magic, path, from, to) {
            Ok(()) => {}
            Err(LogError::Corrupt { .. }) => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}
