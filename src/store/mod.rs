//! The data folder: which batch views exist, and which of them count.
//!
//! ```text
//! ROOT/part-<process>/lock                  held while a program runs
//!                     manifest              an append log of records: definitions, commits, facts
//!                     views/<view>/<day>/<closing>-w<worker>.batch
//!                     views/<view>/<day>/<closing>-f<floor>-w<worker>.batch
//!                     views/<view>/<day>/<closing>[-f<floor>]-g<generation>-w<worker>.batch
//!                     packs/<view>/<number>.pack
//!                     rejected/rows.csv     what was refused
//! ```
//!
//! Each process of a cluster owns one part. The other parts may be in the same folder, or in folders on other machines,
//! whose processes report about them (`said.rs`). A program may be restarted with another number of processes or
//! workers: each file says which partitions it covers, and for each day and partition the rows of the newest revision
//! count ([`Store::live`]).
//!
//! # Sealing
//!
//! 1. A worker writes its files (`Store::write_batch`): under a temporary name, synced, renamed.
//! 2. It registers them (`Store::prepare`), even if it has none.
//! 3. When all workers *of the cluster* have done so, each process commits (`Store::commit`): one record with all its
//!    workers' files, synced. From then on the files count.
//!
//! # Rebuilding
//!
//! A revision that was computed again from the log is written as the next *generation* of the same closing
//! (`Store::write_rebuilt`), and counts from one record on (`Store::commit_rebuilt`). It holds the same rows, so each
//! process commits on its own: each partition is right before and after.
//!
//! # Removing
//!
//! A view may keep only its newest periods, and only the newest revisions of each. A record says what is removed; then
//! the files are removed (`removal.rs`), when the folder is opened and while it is open. The first kept period is the
//! same in all parts when a run begins.
//!
//! # Packs
//!
//! Small sealed files of older periods move into one file, when the folder is opened (`pack.rs`). A record says where they
//! are from then on. Nothing else changes: a file in a pack keeps its name, its revision, and its checks.
//!
//! # Rollups
//!
//! A view may keep coarser periods as well. One is written when its parts are sealed, and counts from one record on
//! (`rollup.rs`), as long as its parts are what they were.
//!
//! # Starting
//!
//! 1. [`Store::open`] checks the folder. Then it rolls the process's own part forward: if one process committed a
//!    closing, all had prepared it. Then it removes what no process committed. Nothing is created or changed before all
//!    checks have passed.
//!
//!    A view gets a new definition here if [`StoreConfig::rebuild`] names it: each part drops its sealed days of the
//!    view. Once one part has done so, the others follow, whatever happened in between. A view is removed in the same
//!    way if [`StoreConfig::remove`] names it.
//! 2. When all processes of the cluster have opened their parts, each calls [`Store::begin`], which reads the other
//!    parts again and fails if they disagree.
//!
//! This module knows no dataflow, and accesses files only through [`Storage`].
//!
//! ```
//! use std::path::Path;
//!
//! use dayfold::store::{
//!     self, BackupError, BackupReport, Disk, FolderReport, LiveBatch, LogPosition, PartReport,
//!     RollupFile, RunReport, RunState, StoreError, ViewReport,
//! };
//!
//! /// What is in a folder, whether or not an engine has it open.
//! fn show(folder: &Path) -> Result<(), StoreError> {
//!     let FolderReport { state, parts, views, .. } = store::inspect(&Disk, folder)?;
//!     println!("the last run was cut short: {}", state == RunState::Incomplete);
//!     for PartReport { path, run, proven, .. } in &parts {
//!         let run = run.as_ref().map(|RunReport { number, .. }| *number);
//!         let logged: u64 = proven.iter().map(|LogPosition { bytes, .. }| *bytes).sum();
//!         println!("{}: run {run:?}, at least {logged} bytes of log", path.display());
//!     }
//!     for ViewReport { record, revisions, rollups, .. } in &views {
//!         let rows: u64 = revisions.iter().map(|LiveBatch { rows, .. }| *rows).sum();
//!         println!("{}: {rows} sealed rows", record.name);
//!         for RollupFile { grain, file, .. } in rollups {
//!             println!("  {grain} from {} on: {} bytes", file.day, file.bytes);
//!         }
//!     }
//!     Ok(())
//! }
//!
//! /// Copies a folder while it is in use.
//! fn copy(from: &Path, to: &Path) -> Result<u64, String> {
//!     match store::backup(from, to) {
//!         Ok(BackupReport { bytes, .. }) => Ok(bytes),
//!         Err(BackupError::NotEmpty { path }) => Err(format!("there is something in {}", path.display())),
//!         Err(error) => Err(error.to_string()),
//!     }
//! }
//! ```

mod backup;
mod batch_file;
mod change;
mod config;
mod disk;
mod error;
#[cfg(any(test, feature = "testing"))]
mod faulty;
mod folder;
mod inspect;
mod kept;
mod layout;
mod lead;
mod live;
mod lower_end;
mod manifest;
mod memory;
mod names;
mod open;
mod opened;
mod pack;
mod packed;
mod proof;
mod rebuild;
mod record;
mod recovery;
mod removal;
mod rollup;
mod said;
mod seal;
mod storage;
#[cfg(test)]
mod tests;
mod versions;
mod view_record;
mod whole;
mod zones;

pub use backup::{BackupError, BackupReport, backup};
pub(crate) use batch_file::open_once;
pub(crate) use config::Packing;
pub use config::{RunState, StoreConfig};
pub use disk::Disk;
pub use error::{Effect, StoreError};
#[cfg(any(test, feature = "testing"))]
pub use faulty::{Failure, Faulty, Operation};
pub use inspect::{FolderReport, PartReport, RunReport, ViewReport, inspect, verify};
pub(crate) use live::SealedFile;
pub use live::{LiveBatch, Revision, RollupFile};
pub use memory::Memory;
pub(crate) use open::Looked;
pub use opened::Store;
pub(crate) use packed::Packed;
pub use proof::LogPosition;
pub(crate) use proof::{LogProof, Share};
pub use record::BatchEntry;
pub(crate) use rollup::NewRollup;
pub(crate) use said::Said;
pub use storage::{FolderLock, Storage, StorageFile};
pub use versions::{Manifests, SealedPeriod};
pub use view_record::{FormerNames, ViewRecord};
