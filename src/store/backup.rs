//! Copies a data folder while a program may be writing to it.
//!
//! The copy locks nothing and blocks nobody. The order of reading makes it consistent. Sealed files never change and
//! the log only grows, so a file that is read later holds at least what was true before:
//!
//! 1. The manifests of all parts: they say what counts.
//! 2. The sealed files. All of them exist by then, also those that a part finds when it rolls forward.
//! 3. The commit streams, which hold at least what the manifests prove.
//! 4. The files of the log, which hold at least what the commit streams name, and everything else.
//!
//! Whatever was added meanwhile is left out when the copy is opened, as after a crash. If a run begins during the copy,
//! the copy is made again, because a new run removes what was never committed.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::batch_file::open_raw;
use super::disk::Disk;
use super::error::StoreError;
use super::inspect::{FolderReport, inspect};
use super::layout::{TEMPORARY, parse_part};
use super::live::LiveBatch;
use super::storage::Storage;

/// The copy is started at most this many times if runs keep beginning meanwhile.
const ATTEMPTS: usize = 5;

/// The result of a backup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackupReport {
    /// The number of parts copied.
    pub parts: u64,
    /// The number of files copied.
    pub files: u64,
    /// The number of bytes copied.
    pub bytes: u64,
}

/// Why a backup failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// The target of the copy is not empty. Nothing was changed.
    #[error("{} is not empty: name a folder that is not there yet", path.display())]
    NotEmpty {
        /// The target of the copy.
        path: PathBuf,
    },
    /// The target of the copy is inside the folder to be copied. Nothing was changed.
    #[error("{} is inside the data folder: name a folder elsewhere", path.display())]
    Inside {
        /// The target of the copy.
        path: PathBuf,
    },
    /// The system refused an operation. What was copied so far is not a data folder yet.
    #[error("cannot {operation} {}: remove what was copied, and try again", path.display())]
    Io {
        /// The operation that failed.
        operation: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The folder cannot be read, or is damaged.
    #[error(transparent)]
    Folder(#[from] StoreError),
    /// The copy is incomplete: the folder is damaged, or the program was started again and again during the copy. What
    /// was copied was removed.
    #[error("no whole copy of {}: {reason}; inspect the folder, and try again", folder.display())]
    NotWhole {
        /// The folder to be copied.
        folder: PathBuf,
        /// What is wrong with the last copy.
        reason: String,
    },
}

fn failed(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BackupError {
    let path = path.to_owned();
    move |source| BackupError::Io { operation, path, source }
}

/// Copies the data folder `from` to `to`, while a program may be writing to `from`. `to` must be empty or not exist.
/// The copy is a data folder in the state that a crash at this moment would have left, and the program can go on from
/// it.
///
/// Guarantee: after `Ok` the copy is durable, its manifests name only files that exist, and its logs hold what its
/// manifests prove. Not verified: the checksums inside sealed files and the log. They may have been damaged before.
///
/// `from` must have the parts of all processes. Processes with separate folders have no moment in common: stop them
/// before you copy their folders. (Opening refuses copies that do not match.)
///
/// # Errors
/// [`BackupError`]; `from` is never changed.
pub fn backup(from: &Path, to: &Path) -> Result<BackupReport, BackupError> {
    check_target(from, to)?;
    let mut reason = String::new();
    for _ in 0..ATTEMPTS {
        let report = attempt(from, to)?;
        match check(from, to) {
            Ok(()) => return Ok(report),
            Err(error) => reason = error,
        }
        fs::remove_dir_all(to).map_err(failed("remove", to))?;
    }
    Err(BackupError::NotWhole { folder: from.to_owned(), reason })
}

fn check_target(from: &Path, to: &Path) -> Result<(), BackupError> {
    let is_empty = match fs::read_dir(to) {
        Ok(mut names) => names.next().is_none(),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    };
    if !is_empty {
        return Err(BackupError::NotEmpty { path: to.to_owned() });
    }
    let source = fs::canonicalize(from).map_err(failed("look into", from))?;
    let above = std::path::absolute(to).map_err(failed("look into", to))?;
    let mut above = above.ancestors().filter_map(|folder| fs::canonicalize(folder).ok());
    match above.next().is_some_and(|folder| folder.starts_with(&source)) {
        true => Err(BackupError::Inside { path: to.to_owned() }),
        false => Ok(()),
    }
}

/// Makes one copy, in the order described above.
fn attempt(from: &Path, to: &Path) -> Result<BackupReport, BackupError> {
    let names = Disk.list(from).map_err(failed("list", from))?;
    let parts: Vec<String> = names.into_iter().filter(|name| parse_part(name).is_some()).collect();
    let mut manifests = Vec::new();
    for part in &parts {
        let path = from.join(part).join("manifest");
        match Disk.read(&path) {
            Ok(bytes) => manifests.push((to.join(part).join("manifest"), bytes)),
            // The process is about to create it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed("read", &path)(error)),
        }
    }
    let mut copied = BackupReport { parts: parts.len() as u64, ..BackupReport::default() };
    let sealed = ["views", "rollups", "packs"].map(Path::new);
    let commits = Path::new("log").join("commits");
    let folders = sealed.into_iter().chain([&*commits, Path::new("")]);
    for folder in folders {
        for part in &parts {
            copy_folder(&from.join(part).join(folder), &to.join(part).join(folder), &mut copied)?;
        }
    }
    // Manifests come last: if copying is interrupted, the copy has none and is not a data folder.
    for (path, bytes) in manifests {
        copied.files += 1;
        copied.bytes += bytes.len() as u64;
        let written = fs::write(&path, bytes).and_then(|()| File::open(&path)?.sync_all());
        written.map_err(failed("write", &path))?;
        sync_folder(path.parent().unwrap_or(to))?;
    }
    for folder in to.ancestors().take(2) {
        sync_folder(folder)?;
    }
    Ok(copied)
}

/// Copies the files of a folder that are not in the copy yet.
fn copy_folder(from: &Path, to: &Path, copied: &mut BackupReport) -> Result<(), BackupError> {
    let Some(names) = if_there(Disk.list(from)).map_err(failed("list", from))? else {
        return Ok(());
    };
    fs::create_dir_all(to).map_err(failed("make", to))?;
    for name in names {
        let (from, to) = (from.join(&name), to.join(&name));
        let Some(metadata) = if_there(fs::metadata(&from)).map_err(failed("look at", &from))?
        else {
            continue;
        };
        if metadata.is_dir() {
            copy_folder(&from, &to, copied)?;
        } else if metadata.is_file() && is_copied(&name) && !to.exists() {
            // If a file was removed meanwhile, another one has replaced it; that one is found below.
            let bytes = if_there(copy_file(&from, &to)).map_err(failed("copy", &from))?;
            copied.files += u64::from(bytes.is_some());
            copied.bytes += bytes.unwrap_or(0);
        }
    }
    sync_folder(to)
}

/// Whether a file is copied with the rest. Locks, unfinished files and files that are copied last are not.
fn is_copied(name: &str) -> bool {
    name != "lock" && name != "manifest" && !name.ends_with(TEMPORARY)
}

fn copy_file(from: &Path, to: &Path) -> io::Result<u64> {
    let bytes = fs::copy(from, to)?;
    File::open(to)?.sync_all()?;
    Ok(bytes)
}

fn sync_folder(folder: &Path) -> Result<(), BackupError> {
    Disk.sync_dir(folder).map_err(failed("sync", folder))
}

fn if_there<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        result => result.map(Some),
    }
}

/// Checks that a copy is complete; the error says what is wrong.
fn check(from: &Path, to: &Path) -> Result<(), String> {
    let report = inspect(&Disk, to).map_err(|error| error.to_string())?;
    // The periods of other rollups are there, so these are made again.
    let rollups = report.views.iter().flat_map(|view| {
        let is_alone = |file: &&LiveBatch| view.kept_from.is_some_and(|from| file.day < from);
        view.rollups.iter().map(|rollup| &rollup.file).filter(is_alone)
    });
    let (packed, files): (Vec<_>, Vec<_>) =
        report.views.iter().flat_map(|view| &view.revisions).partition(|batch| batch.is_packed());
    for batch in packed {
        if let Err(error) = open_raw(&Disk, batch) {
            return Err(error.to_string());
        }
    }
    for batch in files.into_iter().chain(rollups) {
        let length = fs::metadata(&batch.path).map(|metadata| metadata.len()).unwrap_or(0);
        if length != batch.bytes {
            return Err(format!("{} has {length} of {} bytes", batch.path.display(), batch.bytes));
        }
    }
    if let Some(error) = crate::log::prove(&Disk, &report).first() {
        return Err(error.to_string());
    }
    let now = inspect(&Disk, from).map_err(|error| error.to_string())?;
    match runs(&report) == runs(&now) {
        true => Ok(()),
        false => Err("a run has begun while it was copied".to_owned()),
    }
}

/// The run of each part.
fn runs(report: &FolderReport) -> Vec<(usize, Option<u64>)> {
    report.parts.iter().map(|part| (part.process, part.run.map(|run| run.number))).collect()
}
