//! What is in a folder, for a person or a tool: read without opening it for writing or locking it.

use std::path::PathBuf;

use super::batch_file::open_raw;
use super::config::{RunState, StoreConfig};
use super::error::StoreError;
use super::folder::Folder;
use super::kept::Kept;
use super::layout::Layout;
use super::live::{LiveBatch, narrow};
use super::open::run_state;
use super::proof::LogPosition;
use super::record::Run;
use super::storage::Storage;
use super::view_record::{FormerNames, ViewRecord};
use super::{live, zones};
use crate::closing::Closing;
use crate::schema::ViewSchema;
use crate::time::Day;

/// What is in a folder.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FolderReport {
    /// The number by which parts of a folder know each other; `None` if none has it yet.
    pub cluster: Option<u128>,
    /// How the last run left the folder; incomplete while one goes on.
    pub state: RunState,
    /// The first UTC day of which the log has all events, if any were removed.
    pub log_from: Option<Day>,
    /// By process.
    pub parts: Vec<PartReport>,
    /// By name.
    pub views: Vec<ViewReport>,
}

/// A part: what one process writes.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PartReport {
    /// The process.
    pub process: usize,
    /// The folder of the part.
    pub path: PathBuf,
    /// The length of its manifest, in bytes.
    pub manifest_bytes: u64,
    /// Bytes at the manifest's end that do not count: a crash has cut an append short, or one is going on.
    pub torn_bytes: u64,
    /// The last run that the process began.
    pub run: Option<RunReport>,
    /// Up to where the commit streams of its log have been durable, as the manifests of all parts say. What sealed days
    /// hold was in the log before that: see [`log::prove`](crate::log::prove).
    pub proven: Vec<LogPosition>,
    /// The names of the program's facts, and the lengths of their values in bytes. By name.
    pub facts: Vec<(String, u64)>,
}

/// A run of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunReport {
    /// Its number in the folder, from 1.
    pub number: u64,
    /// The number of processes.
    pub processes: usize,
    /// Whether the process whose part this is has said that the run is complete.
    pub complete: bool,
    /// Whether accepted events were logged.
    pub logged: bool,
}

/// A view of a folder.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ViewReport {
    /// Its definition.
    pub record: ViewRecord,
    /// What it looks like; `None` in a folder that was not opened since version 0.1, or by a program that does not say it.
    pub schema: Option<ViewSchema>,
    /// The release of the time zone database that its sealed days were made with; `None` in a folder that was not opened
    /// since version 0.1.
    pub zone_data: Option<String>,
    /// Sealed days that begin or end elsewhere by the time zone database of this program
    /// ([`zone_data_release`](crate::time::zone_data_release)).
    pub changed_days: Vec<Day>,
    /// How often it was defined anew under its name.
    pub redefined: u32,
    /// Up to which day it is closed, the day included. A process that a crash left behind finds the
    /// files of these closings when it opens its part: they may be missing below.
    pub closed_through: Option<Day>,
    /// The last closing that is sealed: that of this day, or late events beyond it.
    pub sealed_through: Option<Closing>,
    /// The first day that is kept, if days before it were removed.
    pub kept_from: Option<Day>,
    /// Days that have lost revisions, and the closing after which each state of them can be told.
    pub revised: Vec<(Day, Closing)>,
    /// All revisions, by day, then closing, generation, process and worker. `coverage` is the partitions
    /// for which the rows of a file count: none, if it is superseded.
    pub revisions: Vec<LiveBatch>,
}

/// Looks at a folder and changes nothing. A program may be writing it: then this is what had been
/// committed when each part's manifest was read, one after the other.
///
/// # Errors
/// [`StoreError::MissingPart`] if there is no folder here, or a part of it is lost;
/// [`StoreError::Corrupt`], [`StoreError::Version`], [`StoreError::IdentityMismatch`] and
/// [`StoreError::ViewMismatch`] if the parts cannot be read or do not fit each other;
/// [`StoreError::Io`] from the system.
pub fn inspect(
    storage: &dyn Storage,
    root: impl Into<PathBuf>,
) -> Result<FolderReport, StoreError> {
    let layout = Layout::new(root.into());
    let folder = Folder::read(storage, &layout)?;
    if folder.parts.is_empty() {
        return Err(StoreError::MissingPart { path: layout.manifest(0) });
    }
    let mut definitions = folder.definitions();
    definitions.retain(|_, definition| !definition.view.is_removed());
    // The checks of opening, by a program that expects what is there.
    let views = definitions.values().map(|definition| definition.view.clone()).collect();
    let logged = folder.newest_run().is_some_and(|run| run.logged);
    let former = definitions.keys().map(|name| (name.clone(), FormerNames::ANY)).collect();
    let config = StoreConfig { logged, former, ..StoreConfig::new(0, 1, views) };
    let agreed = folder.check(&config, &[], &layout)?;
    let view = |(name, definition): (String, ViewRecord)| {
        let parts = folder.parts.iter().map(|(&process, part)| (process, &part.state));
        let current = parts.filter(|(_, state)| state.edition(&name) == agreed.edition(&name));
        let current: Vec<_> = current.collect();
        let schema = current.iter().find_map(|(_, state)| state.schemas.get(&name)).cloned();
        let data: Vec<_> =
            current.iter().filter_map(|(_, state)| zones::kept(state, &name)).collect();
        let mut kept = Kept::default();
        for of in current.iter().filter_map(|(_, state)| state.kept.get(&name)) {
            kept.add(of.from, of.revised.iter().map(|(day, since)| (*day, *since)));
        }
        let current = current.into_iter();
        let revisions =
            current.flat_map(|(process, state)| live::batches(state, &layout, &name, process));
        let revisions: Vec<_> = revisions.collect();
        let days = || revisions.iter().map(|batch| batch.day);
        let oldest = data
            .iter()
            .max_by_key(|data| data.changed(&definition.zone, definition.grain, days()).len());
        ViewReport {
            redefined: agreed.edition(&name),
            closed_through: agreed.through.get(&name).map(|through| through.last_closed()),
            sealed_through: agreed.through.get(&name).copied(),
            kept_from: agreed.kept.get(&name).copied().filter(|day| *day > Day::MIN),
            revised: kept.revised.into_iter().collect(),
            zone_data: oldest.map(|data| data.release.clone()),
            changed_days: oldest.map_or_else(Vec::new, |data| {
                data.changed(&definition.zone, definition.grain, days())
            }),
            revisions: narrow(revisions),
            schema,
            record: definition,
        }
    };
    let definitions = definitions.into_iter().map(|(name, found)| (name, found.view));
    let parts = folder.parts.iter().map(|(&process, part)| PartReport {
        process: process as usize,
        path: layout.part(process),
        manifest_bytes: part.length as u64,
        torn_bytes: (part.length - part.good) as u64,
        run: part.state.run.map(RunReport::from),
        proven: folder.proven(process),
        facts: (part.state.facts.iter())
            .filter(|(name, _)| !zones::is_own(name))
            .map(|(name, value)| (name.clone(), value.len() as u64))
            .collect(),
    });
    Ok(FolderReport {
        cluster: agreed.cluster,
        state: run_state(&folder, &agreed),
        log_from: agreed.log_from,
        parts: parts.collect(),
        views: definitions.map(view).collect(),
    })
}

/// Reads a sealed file whole: its checksums, and that it is the one that the manifest names. Without the
/// types of its rows it cannot be told whether they decode; a
/// [`BatchView`](crate::batch::BatchView::verify) can.
///
/// # Errors
/// [`StoreError::Batch`] with the place if it is damaged, [`StoreError::WrongBatch`] if it is another
/// file, [`StoreError::Io`] if it cannot be read.
pub fn verify(storage: &dyn Storage, batch: &LiveBatch) -> Result<(), StoreError> {
    Ok(open_raw(storage, batch)?.verify()?)
}

impl From<Run> for RunReport {
    fn from(run: Run) -> RunReport {
        let Run { number, complete, logged, .. } = run;
        RunReport { number, processes: run.processes as usize, complete, logged }
    }
}
