//! The plain writer: the cost of the same commits for a program that only writes.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::traced::Step;
use crate::workload::Event;

/// Events as the log has them on disk: three 64-bit integers each.
pub(super) fn encoded(events: &[Event]) -> Vec<u8> {
    let words = events.iter().flat_map(|&(time, key, value)| [time as u64, key, value]);
    words.flat_map(u64::to_le_bytes).collect()
}

/// Repeats what the log has done to its files of events: writes as much to as many files and syncs them as often, one
/// step after the other, from an existing buffer. It has no frames, no checksums, no commit records, and does not wait
/// for 10 ms to pass.
pub(super) fn write(steps: &[Step], bytes: &[u8], folder: &Path) -> Duration {
    let mut files: HashMap<&Path, File> = HashMap::new();
    let mut names = (0..).map(|number| folder.join(format!("plain-{number}")));
    let open = |path: PathBuf| OpenOptions::new().create_new(true).append(true).open(path);
    let mut from = 0;
    let start = Instant::now();
    for step in steps {
        let (Step::Write(path, _) | Step::Sync(path)) = step;
        let file = files.entry(path).or_insert_with(|| open(names.next().unwrap()).unwrap());
        match step {
            Step::Write(_, length) => {
                // Heads of frames make the log's files a little longer than the events.
                from = if from + length > bytes.len() { 0 } else { from };
                file.write_all(&bytes[from..from + length]).unwrap();
                from += length;
            }
            Step::Sync(_) => file.sync_data().unwrap(),
        }
    }
    let time = start.elapsed();
    drop(files);
    fs::remove_dir_all(folder).unwrap();
    time
}
