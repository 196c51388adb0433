//! Removes what does not count.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::accept::{self, Accepted, list};
use super::error::LogError;
use super::layout::{
    Layout, StreamName, TEMPORARY, is_folder_of_frames, parse_file, parse_merged, parse_temporary,
    temporary,
};
use super::merged::{self, BYTES_MAX, MERGED_AT, MergedStream, STREAM_BYTES_MAX};
use super::stream::StreamWriter;
use crate::store::Storage;

/// What [`repair`] has changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub(crate) struct Repaired {
    /// The number of rewritten commit streams, whose runs had not been repaired before.
    pub streams: u64,
    /// The number of files of events and refused rows that were cut.
    pub files_cut: u64,
    /// The number of bytes cut from files, without those of removed files.
    pub bytes_cut: u64,
    /// The number of removed files, which no commit named or another file had replaced.
    pub files_removed: u64,
    /// The number of commit streams that were moved into the file of merged ones.
    pub streams_merged: u64,
}

impl fmt::Display for Repaired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Repaired { streams, files_cut, bytes_cut, files_removed, streams_merged } = self;
        write!(
            f,
            "{streams} commit streams written anew, {bytes_cut} bytes cut from {files_cut} files, \
             {files_removed} files removed, {streams_merged} commit streams merged"
        )
    }
}

/// Removes what does not count from the log of a part: ends of files beyond the last commit, files that no commit
/// names, torn and superseded commit streams. Runs from `before_run` on are left alone.
///
/// A repair cuts files, so nobody may read this part at the same time: call it before any scan.
///
/// Guarantee: what a reader accepts after `Ok` survives a crash. It may be called again at any time, and a crash inside
/// it is harmless: nothing is changed before everything was checked, and what counts never changes.
///
/// # Errors
/// As [`scan`](super::scan), and then nothing was changed; or [`LogError::Io`] if something could not be removed or
/// synced.
pub(crate) fn repair(
    storage: &dyn Storage,
    part: &Path,
    before_run: u64,
) -> Result<Repaired, LogError> {
    settle_part(storage, part, before_run, false)
}

/// As [`repair`]. Removes empty folders too, unless the program runs: a worker may be about to create a file in one.
pub(super) fn settle_part(
    storage: &dyn Storage,
    part: &Path,
    before_run: u64,
    is_running: bool,
) -> Result<Repaired, LogError> {
    let layout = Layout::new(part);
    let mut repaired = Repaired::default();
    let streams = accept::streams(storage, &layout, before_run)?;
    let folders = list(storage, layout.log())?;
    if folders.is_empty() {
        return Ok(repaired);
    }
    // The names of streams are durable before the streams that they supersede are removed.
    let commits = layout.commits();
    let names = (!streams.is_empty()).then_some(&*commits);
    for folder in [layout.part(), layout.log()].into_iter().chain(names) {
        storage.sync_dir(folder).map_err(LogError::harmless("sync", folder))?;
    }
    let mut kept = BTreeSet::new();
    let mut alone = BTreeSet::new();
    for accepted in &streams {
        let name = settle(storage, &layout, accepted, &mut repaired)?;
        if !accepted.is_merged {
            alone.insert(name);
        }
    }
    let newest = merge(storage, &layout, &mut alone, &mut repaired)?;
    let streams_removed = remove(storage, &commits, |name| {
        if let Some(number) = parse_merged(name.strip_suffix(TEMPORARY).unwrap_or(name)) {
            return Some(number) != newest || name.ends_with(TEMPORARY);
        }
        let stream = StreamName::parse(name);
        let superseded = stream.is_some_and(|stream| !alone.contains(&stream));
        let found = stream.or(parse_temporary(name));
        (superseded || stream.is_none()) && found.is_some_and(|found| found.run < before_run)
    })?;
    repaired.files_removed += streams_removed;
    for accepted in &streams {
        for (path, _, file) in accept::files(&layout, &accepted.state) {
            cut(storage, &path, file.length, &mut repaired)?;
            kept.insert(path);
        }
    }
    for folder in folders.iter().filter(|name| is_folder_of_frames(name)) {
        let folder = layout.log().join(folder);
        repaired.files_removed += remove(storage, &folder, |name| {
            let whole = name.strip_suffix(TEMPORARY).unwrap_or(name);
            let ours = parse_file(whole).is_some_and(|(run, _)| run < before_run);
            ours && !kept.contains(&folder.join(name))
        })?;
        if !is_running && list(storage, &folder)?.is_empty() {
            storage.remove_empty(&folder).map_err(LogError::harmless("remove", &folder))?;
        }
    }
    Ok(repaired)
}

/// Makes what counts of a stream, and the files that it names, durable. Returns the stream that counts then.
///
/// What was not synced is rewritten rather than synced: an earlier sync may have failed, and then a later one succeeds
/// and makes nothing durable. The same holds for the records of the stream.
fn settle(
    storage: &dyn Storage,
    layout: &Layout,
    accepted: &Accepted,
    repaired: &mut Repaired,
) -> Result<StreamName, LogError> {
    if accepted.settled {
        return Ok(accepted.name);
    }
    let mut folders = BTreeSet::new();
    for (path, length) in &accepted.unsynced {
        write_anew(storage, path, *length).map_err(LogError::harmless("write anew", path))?;
        folders.extend(path.parent());
    }
    for folder in folders {
        storage.sync_dir(folder).map_err(LogError::harmless("sync", folder))?;
    }
    let next = accepted.name.next();
    StreamWriter::create(storage, layout, next, &accepted.state)?;
    repaired.streams += 1;
    Ok(next)
}

/// Merges short streams if those of many runs are in files of their own; `alone` keeps the others. Returns the number of
/// the file of merged streams that counts.
fn merge(
    storage: &dyn Storage,
    layout: &Layout,
    alone: &mut BTreeSet<StreamName>,
    repaired: &mut Repaired,
) -> Result<Option<u64>, LogError> {
    let names = list(storage, &layout.commits())?;
    let newest = names.iter().filter_map(|name| parse_merged(name)).max();
    let (mut short, mut bytes) = (BTreeSet::new(), 0);
    for &name in &*alone {
        let length = accept::length(storage, &layout.stream(name))?;
        if length <= STREAM_BYTES_MAX {
            short.insert(name);
            bytes += length as usize;
        }
    }
    let runs: BTreeSet<u64> = short.iter().map(|name| name.run).collect();
    if runs.len() < MERGED_AT {
        return Ok(newest);
    }
    let merged = newest.map(|number| merged::read(storage, layout, number)).transpose()?;
    let mut all = merged.flatten().unwrap_or_default();
    let is_alone = |of: StreamName| {
        let mut same =
            alone.range(StreamName { seq: 0, ..of }..=StreamName { seq: u64::MAX, ..of });
        same.next().is_some()
    };
    all.retain(|stream| !is_alone(stream.name()));
    bytes += all.iter().map(|stream| stream.bytes.len()).sum::<usize>();
    // Half of the room is left for names and lengths.
    if bytes > BYTES_MAX / 2 {
        return Ok(newest);
    }
    for &name in &short {
        let path = layout.stream(name);
        let bytes = storage.read(&path).map_err(LogError::harmless("read", &path))?;
        all.push(MergedStream::new(name, bytes));
    }
    let number = newest.map_or(0, |newest| newest + 1);
    merged::write(storage, layout, number, &all)?;
    repaired.streams_merged += short.len() as u64;
    alone.retain(|name| !short.contains(name));
    Ok(Some(number))
}

/// Replaces a file with a new one of the same bytes, up to a length.
fn write_anew(storage: &dyn Storage, path: &Path, length: u64) -> io::Result<()> {
    let bytes = storage.map(path)?;
    let counts = bytes.get(..length as usize).ok_or(io::ErrorKind::UnexpectedEof)?;
    let unfinished = temporary(path);
    let mut file = storage.create(&unfinished)?;
    file.write_all(counts)?;
    file.sync()?;
    storage.rename(&unfinished, path)
}

fn cut(
    storage: &dyn Storage,
    path: &Path,
    length: u64,
    repaired: &mut Repaired,
) -> Result<(), LogError> {
    let found = accept::length(storage, path)?;
    if found > length {
        let cut = storage.append(path).and_then(|mut file| {
            file.truncate(length)?;
            file.sync()
        });
        cut.map_err(LogError::harmless("cut", path))?;
        repaired.files_cut += 1;
        repaired.bytes_cut += found - length;
    }
    Ok(())
}

/// Removes files of a folder, and syncs the folder. Returns the number of files.
fn remove(
    storage: &dyn Storage,
    folder: &Path,
    mut unwanted: impl FnMut(&str) -> bool,
) -> Result<u64, LogError> {
    let found: Vec<PathBuf> = list(storage, folder)?
        .iter()
        .filter(|name| unwanted(name))
        .map(|name| folder.join(name))
        .collect();
    for path in &found {
        storage.remove(path).map_err(LogError::harmless("remove", path))?;
    }
    if !found.is_empty() {
        storage.sync_dir(folder).map_err(LogError::harmless("sync", folder))?;
    }
    Ok(found.len() as u64)
}
