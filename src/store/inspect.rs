//! Reports what a folder contains, for people and tools. The folder is not opened for writing and not locked.

use std::path::PathBuf;

use super::batch_file::open_raw;
use super::config::{RunState, StoreConfig};
use super::error::StoreError;
use super::folder::Folder;
use super::kept::Kept;
use super::layout::Layout;
use super::live::{LiveBatch, Revision, RollupFile, narrow};
use super::open::run_state;
use super::proof::LogPosition;
use super::record::Run;
use super::storage::Storage;
use super::view_record::{FormerNames, ViewRecord};
use super::{live, lower_end, zones};
use crate::closing::Closing;
use crate::schema::ViewSchema;
use crate::time::{Day, DayRange, Grain};
use crate::view::{RollupsFrom, View};

/// The contents of a folder.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FolderReport {
    /// The number that all parts of a folder share; `None` if no part has it yet.
    pub cluster: Option<u128>,
    /// How the last run left the folder; incomplete while a run goes on.
    pub state: RunState,
    /// The first UTC day whose events are all in the log, if earlier ones were removed.
    pub log_from: Option<Day>,
    /// The parts, by process.
    pub parts: Vec<PartReport>,
    /// The views, by name.
    pub views: Vec<ViewReport>,
}

impl FolderReport {
    /// Checks that the log has what a new definition of a view needs that is sealed here
    /// ([`Engine::redefine`](crate::Engine::redefine)).
    ///
    /// # Errors
    /// [`StoreError::LogShortened`] if days of the view would be lost.
    ///
    /// ```
    /// use dayfold::store::{self, Disk};
    /// use dayfold::view::View;
    ///
    /// /// Whether the log still has all that a changed view has to be computed from.
    /// fn can_be_redefined(folder: &str, view: &View) -> bool {
    ///     store::inspect(&Disk, folder).is_ok_and(|report| report.check_redefined(view).is_ok())
    /// }
    /// # assert!(!can_be_redefined("there-is-none", &View::new("v").unwrap()));
    /// ```
    pub fn check_redefined(&self, view: &View) -> Result<(), StoreError> {
        let known = self.views.iter().find(|known| known.record.name == view.name());
        let known = known.filter(|known| known.sealed_through.is_some());
        let Some((known, log_from)) = known.zip(self.log_from) else { return Ok(()) };
        let first = lower_end::first_after(view.calendar(), view.skew_ms(), log_from);
        match known.kept_from.is_none_or(|from| from < first) {
            true => Err(StoreError::LogShortened { view: view.name().to_owned(), first, log_from }),
            false => Ok(()),
        }
    }
}

/// A part: the files that one process writes.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PartReport {
    /// The process.
    pub process: usize,
    /// The folder of the part.
    pub path: PathBuf,
    /// The length of the manifest, in bytes.
    pub manifest_bytes: u64,
    /// Bytes at the end of the manifest that do not count: an append was cut short by a crash, or is in progress.
    pub torn_bytes: u64,
    /// The last run that the process began.
    pub run: Option<RunReport>,
    /// The durable ends of the commit streams of the part's log, as the manifests of all parts name them. The content
    /// of sealed days was in the log before these ends: see [`log::prove`](crate::log::prove).
    pub proven: Vec<LogPosition>,
    /// The names of the program's facts with the lengths of their values in bytes, by name.
    pub facts: Vec<(String, u64)>,
}

/// A run of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunReport {
    /// The number of the run in the folder, from 1.
    pub number: u64,
    /// The number of processes.
    pub processes: usize,
    /// Whether the process of this part has recorded that the run is complete.
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
    /// The schema of the view; `None` if the folder was not opened since version 0.1, or if the program declares no
    /// schema.
    pub schema: Option<ViewSchema>,
    /// The release of the time zone database with which the days were sealed; `None` if the folder was not opened since
    /// version 0.1.
    pub zone_data: Option<String>,
    /// Sealed days that begin or end at another time in the time zone database of this program
    /// ([`zone_data_release`](crate::time::zone_data_release)).
    pub changed_days: Vec<Day>,
    /// How often the view was redefined under its name.
    pub redefined: u32,
    /// The last closed day. A process that was behind after a crash finds the files of its last closings only when it
    /// opens its part: they may be missing in `revisions`.
    pub closed_through: Option<Day>,
    /// The last sealed closing: that of a day, or a later one of late events.
    pub sealed_through: Option<Closing>,
    /// The first day that is kept, if earlier days were removed.
    pub kept_from: Option<Day>,
    /// Days whose older revisions were removed, each with the first closing after which the day's state is known.
    pub revised: Vec<(Day, Closing)>,
    /// All revisions, by day, then closing, generation, process and worker. `coverage` has the partitions for which the
    /// rows of the file count: none if it is superseded.
    pub revisions: Vec<LiveBatch>,
    /// The rollups that its manifests name, by process. One whose periods have changed since stays until it is made again.
    pub rollups: Vec<RollupFile>,
    /// The first day of the rollups that outlive their periods.
    pub(super) outliving: RollupsFrom,
}

impl ViewReport {
    /// The view as of a past revision: its files, with the coverage that they had then. Only `days` are considered.
    ///
    /// ```
    /// use dayfold::serve::Revision;
    /// use dayfold::store::{StoreError, ViewReport};
    /// use dayfold::time::DayRange;
    ///
    /// /// How many files had rows that counted, when the days were sealed for the first time.
    /// fn files(view: &ViewReport) -> Result<usize, StoreError> {
    ///     let first = view.as_of(Revision::First, DayRange::ALL)?;
    ///     Ok(first.revisions.iter().filter(|file| !file.coverage.is_empty()).count())
    /// }
    /// ```
    ///
    /// # Errors
    /// [`StoreError::Superseded`] if a file that counted then was removed.
    pub fn as_of(&self, revision: Revision, days: DayRange) -> Result<ViewReport, StoreError> {
        let mut revised = self.revised.iter().filter(|(day, _)| days.contains(*day));
        if let Some(&(day, since)) = revised.find(|(day, since)| !revision.holds(*day, *since)) {
            let view = self.record.name.clone();
            return Err(StoreError::Superseded { view, day, since });
        }
        let mut view = self.clone();
        let is_there = |file: &LiveBatch| {
            days.contains(file.day)
                && self.kept_from.is_none_or(|from| file.day >= from)
                && revision.holds(file.day, file.revision())
        };
        view.revisions.retain(is_there);
        view.revisions = narrow(view.revisions);
        Ok(view)
    }

    /// The first period that is kept, if some of these days come before it and have rollups that outlived their periods:
    /// the view's rows are not all of what a running program answers.
    ///
    /// ```
    /// use dayfold::store::ViewReport;
    /// use dayfold::time::DayRange;
    ///
    /// fn warn(view: &ViewReport) {
    ///     if let Some(from) = view.outlived_before(DayRange::ALL) {
    ///         println!("there are rollups of days before {from}, and not the days");
    ///     }
    /// }
    /// ```
    pub fn outlived_before(&self, days: DayRange) -> Option<Day> {
        let is_outlived = |from: Day| {
            let before = DayRange::new(days.lower, days.upper.min(from));
            let outlives = |grain: Grain| self.outliving[grain as usize].is_some();
            let mut outliving = self.rollups.iter().filter(|rollup| outlives(rollup.grain));
            outliving.any(|rollup| before.contains(rollup.file.day))
        };
        self.kept_from.filter(|from| days.lower < *from && is_outlived(*from))
    }
}

/// Reads a folder and changes nothing. If a program is writing to it, the report has what was committed when each
/// part's manifest was read, one after the other.
///
/// # Errors
/// [`StoreError::MissingPart`] if there is no folder here, or a part of it is lost; [`StoreError::Corrupt`],
/// [`StoreError::Version`], [`StoreError::IdentityMismatch`] and [`StoreError::ViewMismatch`] if the parts cannot be
/// read or do not match each other; [`StoreError::Io`] from the system.
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
    // The same checks as on opening, for a program that expects what is there.
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
        let rollups = current.iter();
        let rollups =
            rollups.flat_map(|(process, state)| live::rollups(state, &layout, &name, *process));
        let rollups = rollups.collect();
        let current = current.into_iter();
        let revisions =
            current.flat_map(|(process, state)| live::batches(state, &layout, &name, process));
        // A part that is behind still names what the others have removed, with their share of the same rows.
        let kept_from = agreed.kept.get(&name).copied().filter(|day| *day > Day::MIN);
        let is_kept = |batch: &LiveBatch| kept_from.is_none_or(|from| from <= batch.day);
        let revisions: Vec<_> = revisions.filter(is_kept).collect();
        let days = || revisions.iter().map(|batch| batch.day);
        let oldest = data
            .iter()
            .max_by_key(|data| data.changed(&definition.zone, definition.grain, days()).len());
        ViewReport {
            redefined: agreed.edition(&name),
            closed_through: agreed.through.get(&name).map(|through| through.last_closed()),
            sealed_through: agreed.through.get(&name).copied(),
            kept_from,
            revised: kept.revised.into_iter().collect(),
            zone_data: oldest.map(|data| data.release.clone()),
            changed_days: oldest.map_or_else(Vec::new, |data| {
                data.changed(&definition.zone, definition.grain, days())
            }),
            revisions: narrow(revisions),
            rollups,
            outliving: agreed.outliving.get(&name).copied().unwrap_or_default(),
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

/// Reads a whole sealed file, checks its checksums and that it is the file that the manifest names. It cannot check
/// that the rows decode, because it does not know their types; [`BatchView::verify`](crate::batch::BatchView::verify)
/// can.
///
/// # Errors
/// [`StoreError::Batch`] with the position if the file is damaged, [`StoreError::WrongBatch`] if it is another file,
/// [`StoreError::Io`] if it cannot be read.
pub fn verify(storage: &dyn Storage, batch: &LiveBatch) -> Result<(), StoreError> {
    Ok(open_raw(storage, batch)?.verify()?)
}

impl From<Run> for RunReport {
    fn from(run: Run) -> RunReport {
        let Run { number, complete, logged, .. } = run;
        RunReport { number, processes: run.processes as usize, complete, logged }
    }
}
