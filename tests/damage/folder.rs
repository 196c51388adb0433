//! A data folder as data: the content of its files, for each of its disks.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dayfold::store::{Memory, Storage};

pub(crate) const ROOT: &str = "/data";

/// The files of each disk.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Folder {
    pub(crate) disks: Vec<BTreeMap<PathBuf, Vec<u8>>>,
}

impl Folder {
    pub(crate) fn of(disks: &[Memory]) -> Folder {
        let files = |disk: &Memory| {
            let mut files = BTreeMap::new();
            collect(disk, Path::new(ROOT), &mut files);
            files
        };
        Folder { disks: disks.iter().map(files).collect() }
    }

    /// The same files on separate disks.
    pub(crate) fn disks(&self) -> Vec<Memory> {
        let disk = |files: &BTreeMap<PathBuf, Vec<u8>>| {
            let disk = Memory::default();
            for (path, bytes) in files {
                disk.create_dirs(path.parent().unwrap()).unwrap();
                disk.create(path).unwrap().write_all(bytes).unwrap();
            }
            disk
        };
        self.disks.iter().map(disk).collect()
    }
}

fn collect(disk: &Memory, folder: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for name in disk.list(folder).unwrap_or_default() {
        let path = folder.join(name);
        match disk.read(&path) {
            // Lock files and files that are being written are ignored.
            Ok(_) if path.ends_with("lock") => {}
            Ok(bytes) => drop(files.insert(path, bytes)),
            Err(_) => collect(disk, &path, files),
        }
    }
}
