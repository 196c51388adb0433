//! Detects changes of sealed rows, for programs that keep a copy of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use xxhash_rust::xxh3::Xxh3;

use super::inspect::ViewReport;
use super::live::LiveBatch;
use crate::time::Day;

/// The manifests of a data folder, with their lengths and modification times. While they stay equal, nothing has been
/// sealed, rebuilt or removed.
///
/// ```
/// use dayfold::store::Manifests;
///
/// let folder = tempfile::tempdir()?;
/// let before = Manifests::of(folder.path());
/// assert_eq!(Manifests::of(folder.path()), before);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifests(Vec<(PathBuf, u64, Option<SystemTime>)>);

impl Manifests {
    /// The manifests of a folder on a disk, as they are now; none if it cannot be read.
    pub fn of(folder: &Path) -> Manifests {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let found = entries.filter_map(|entry| {
            let path = entry.path().join("manifest");
            let about = std::fs::metadata(&path).ok()?;
            Some((path, about.len(), about.modified().ok()))
        });
        let mut found: Vec<_> = found.collect();
        found.sort();
        Manifests(found)
    }
}

/// A sealed period of a view, with the files that its rows come from.
///
/// ```
/// use dayfold::store::{SealedPeriod, ViewReport};
///
/// /// What a copy of a period is labelled with: another label, other rows.
/// fn label(view: &ViewReport, period: &SealedPeriod<'_>) -> String {
///     format!("{}-{:016x}", view.redefined, period.fingerprint)
/// }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SealedPeriod<'a> {
    /// The files, by process and name.
    pub files: Vec<&'a LiveBatch>,
    /// A hash of the names and digests of the files, and of the partitions for which they count. If the rows differ,
    /// the fingerprint differs.
    pub fingerprint: u64,
}

impl ViewReport {
    /// The sealed periods that have rows and are kept.
    pub fn periods(&self) -> BTreeMap<Day, SealedPeriod<'_>> {
        let counts = |file: &&LiveBatch| !file.coverage.is_empty();
        let is_kept = |file: &&LiveBatch| self.kept_from.is_none_or(|from| file.day >= from);
        let live: Vec<&LiveBatch> = self.revisions.iter().filter(counts).filter(is_kept).collect();
        let periods = live.chunk_by(|a, b| a.day == b.day);
        periods.map(|files| (files[0].day, SealedPeriod::of(files))).collect()
    }
}

impl<'a> SealedPeriod<'a> {
    fn of(files: &[&'a LiveBatch]) -> SealedPeriod<'a> {
        let mut files = files.to_vec();
        files.sort_by_key(|file| (file.process, file.name()));
        let mut hash = Xxh3::new();
        for file in &files {
            hash.update(&(file.process as u64).to_le_bytes());
            // Not the path: a file may move into a pack.
            hash.update(file.name().as_bytes());
            hash.update(&file.digest.0.to_le_bytes());
            for partition in file.coverage.iter() {
                hash.update(&(partition as u16).to_le_bytes());
            }
        }
        SealedPeriod { files, fingerprint: hash.digest() }
    }
}
