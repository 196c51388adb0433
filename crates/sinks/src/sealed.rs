//! Which version of which period is sealed, by the manifests of a data folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use dayfold::store::{self, Disk, LiveBatch, StoreError};
use dayfold::time::Day;
use xxhash_rust::xxh3::Xxh3;

/// A sealed period, as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    /// Names the rows: other files, another version.
    pub(crate) name: String,
    /// Whether it was rebuilt: the files of a rebuild are in the manifest a moment before they answer.
    pub(crate) is_rebuilt: bool,
}

/// The sealed periods of the views of a folder.
pub(crate) struct SealedPeriods {
    folder: PathBuf,
    seen: Option<Vec<(PathBuf, u64, Option<SystemTime>)>>,
    views: BTreeMap<String, BTreeMap<Day, Version>>,
}

impl SealedPeriods {
    pub(crate) fn of(folder: &Path) -> SealedPeriods {
        SealedPeriods { folder: folder.to_owned(), seen: None, views: BTreeMap::new() }
    }

    /// Those of a view now. While no manifest has changed, nothing is read.
    pub(crate) fn look(&mut self, view: &str) -> Result<BTreeMap<Day, Version>, StoreError> {
        let manifests = manifests(&self.folder);
        if self.seen.as_ref() != Some(&manifests) {
            let report = store::inspect(&Disk, &self.folder)?;
            self.views =
                report.views.iter().map(|view| (view.record.name.clone(), of(view))).collect();
            self.seen = Some(manifests);
        }
        Ok(self.views.get(view).cloned().unwrap_or_default())
    }
}

fn of(view: &store::ViewReport) -> BTreeMap<Day, Version> {
    let kept = |file: &&LiveBatch| view.kept_from.is_none_or(|from| file.day >= from);
    let live = view.revisions.iter().filter(|file| !file.coverage.is_empty()).filter(kept);
    let live: Vec<&LiveBatch> = live.collect();
    let days = live.chunk_by(|a, b| a.day == b.day);
    days.map(|files| (files[0].day, version(files, view.redefined))).collect()
}

fn version(files: &[&LiveBatch], edition: u32) -> Version {
    let mut files = files.to_vec();
    files.sort_by_key(|file| (file.process, file.path.clone()));
    let mut hash = Xxh3::new();
    hash.update(&edition.to_le_bytes());
    for file in &files {
        hash.update(&(file.process as u64).to_le_bytes());
        hash.update(file.path.file_name().unwrap_or_default().as_encoded_bytes());
        hash.update(&file.digest.0.to_le_bytes());
        for partition in file.coverage.iter() {
            hash.update(&(partition as u16).to_le_bytes());
        }
    }
    let is_rebuilt = files.iter().any(|file| file.generation > 0);
    Version { name: format!("{:016x}", hash.digest()), is_rebuilt }
}

/// The manifests of a folder, with their lengths and when they were written.
fn manifests(folder: &Path) -> Vec<(PathBuf, u64, Option<SystemTime>)> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let found = entries.filter_map(|entry| {
        let path = entry.path().join("manifest");
        let about = std::fs::metadata(&path).ok()?;
        Some((path, about.len(), about.modified().ok()))
    });
    let mut found: Vec<_> = found.collect();
    found.sort();
    found
}
