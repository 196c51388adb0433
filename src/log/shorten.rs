//! Removes what a log no longer keeps.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::accept;
use super::error::LogError;
use super::layout::Layout;
use super::repair::{Repaired, settle_part};
use super::stream::StreamWriter;
use crate::store::Storage;

/// Removes files of events from the log of a part, of runs before `before_run`.
///
/// A commit stream that names one of them is rewritten first, without it, and is durable before anything is removed.
/// From then on no commit names the file, so after a crash the next repair removes it. The rest of the streams stays:
/// the positions in sources, refused rows, keys of pushes.
///
/// As for a repair, nobody may read these files at the same time. While the program runs, the workers of this run
/// continue to write theirs.
///
/// # Errors
/// As [`repair`](super::repair).
pub(crate) fn shorten(
    storage: &dyn Storage,
    part: &Path,
    before_run: u64,
    unwanted: &BTreeSet<PathBuf>,
    is_running: bool,
) -> Result<Repaired, LogError> {
    let layout = Layout::new(part);
    for accepted in accept::streams(storage, &layout, before_run)? {
        let mut state = accepted.state;
        let (run, worker) = (state.run, state.worker);
        let before = (state.files.len(), state.wide.len());
        state.files.retain(|&day, _| !unwanted.contains(&layout.day(day, run, worker)));
        state.wide.retain(|&days, _| !unwanted.contains(&layout.days(days, run, worker)));
        if before != (state.files.len(), state.wide.len()) {
            StreamWriter::create(storage, &layout, accepted.name.next(), &state)?;
        }
    }
    settle_part(storage, part, before_run, is_running)
}
