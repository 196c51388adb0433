//! Checks whether a log holds what manifests prove of it.
//!
//! A commit stream whose end is lost looks like one whose end was never written. The proofs tell them apart.

use std::collections::BTreeMap;
use std::path::Path;

use super::accept;
use super::error::LogError;
use super::layout::{Layout, StreamName};
use crate::moment::Moment;
use crate::store::{FolderReport, LogPosition, PartReport, Storage};

/// Checks the log of a part: that it holds what is proven, that it has no run after the last one in the part's
/// manifest, and that nothing that its streams name is missing or damaged. Changes nothing.
///
/// # Errors
/// [`LogError::Lost`], [`LogError::Ahead`], or as [`scan`](super::scan).
pub(crate) fn check(
    storage: &dyn Storage,
    part: &Path,
    newest_run: u64,
    proven: &[LogPosition],
) -> Result<(), LogError> {
    let layout = Layout::new(part);
    let by_stream = |position: &LogPosition| ((position.run, position.worker), *position);
    let mut proven: BTreeMap<(u64, u32), LogPosition> = proven.iter().map(by_stream).collect();
    for found in accept::latest(storage, &layout, u64::MAX)? {
        if found.name.run > newest_run {
            let (path, run, known) = (layout.stream(found.name), found.name.run, newest_run);
            return Err(LogError::Ahead { path, run, known });
        }
        let (name, bytes) = accept::newest(storage, &layout, found)?;
        let is_held = |position: &LogPosition, latest| holds(name, &bytes, latest, position);
        let position = proven.remove(&(name.run, name.worker));
        // A damaged end is a lost one, whatever else is wrong with it.
        let accepted = accept::accept(storage, &layout, name, &bytes);
        let latest = accepted.as_ref().ok().and_then(|accepted| accepted.synced.latest);
        if let Some(position) = position.filter(|position| !is_held(position, latest)) {
            accepted?;
            let (path, found) = (layout.stream(name), Some(bytes.len() as u64));
            return Err(LogError::Lost { path, found, proven: position.bytes });
        }
        accepted?;
    }
    match proven.into_values().next() {
        Some(LogPosition { run, worker, seq, bytes, .. }) => {
            let path = layout.stream(StreamName { run, worker, seq });
            Err(LogError::Lost { path, found: None, proven: bytes })
        }
        None => Ok(()),
    }
}

/// Whether a stream holds what was proven of it, or of one that it has replaced.
fn holds(name: StreamName, bytes: &[u8], latest: Option<Moment>, proven: &LogPosition) -> bool {
    if name.seq == proven.seq {
        let before = usize::try_from(proven.bytes).ok().and_then(|length| bytes.get(..length));
        return before.is_some_and(|before| crc32fast::hash(before) == proven.crc);
    }
    name.seq > proven.seq && latest >= proven.latest
}

/// The positions up to which the commit streams of one run in a part are synced.
///
/// # Errors
/// As [`scan`](super::scan).
pub(crate) fn synced(
    storage: &dyn Storage,
    part: &Path,
    run: u64,
) -> Result<Vec<LogPosition>, LogError> {
    let layout = Layout::new(part);
    let found = accept::latest(storage, &layout, run + 1)?.into_iter();
    let synced = found.filter(|found| found.name.run == run).map(|found| {
        let (name, bytes) = accept::newest(storage, &layout, found)?;
        Ok(accept::accept(storage, &layout, name, &bytes)?.synced)
    });
    synced.collect()
}

/// The differences between the logs in a folder and the proofs in its manifests; empty if there are none. Changes
/// nothing. A program may be writing the folder, as long as the report was made before this is called.
pub fn prove(storage: &dyn Storage, report: &FolderReport) -> Vec<LogError> {
    let check = |part: &PartReport| {
        let newest_run = part.run.map_or(0, |run| run.number);
        match check(storage, &part.path, newest_run, &part.proven) {
            // The run may have begun since.
            Err(LogError::Ahead { run, .. }) if newest_run_now(storage, part) >= Some(run) => {
                check(storage, &part.path, run, &part.proven)
            }
            result => result,
        }
    };
    report.parts.iter().filter_map(|part| check(part).err()).collect()
}

fn newest_run_now(storage: &dyn Storage, part: &PartReport) -> Option<u64> {
    let report = crate::store::inspect(storage, part.path.parent()?).ok()?;
    let now = report.parts.into_iter().find(|now| now.process == part.process)?;
    Some(now.run?.number)
}
