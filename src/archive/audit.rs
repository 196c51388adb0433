//! An audit computes sealed days again from the log and compares them with the files that count.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::recompute::{LogRows, recompute};
use super::rollup::RollupCheck;
use super::seal::rolled_up;
use super::sealed::Sealed;
use super::{ArchiveError, Place};
use crate::aggregate::Aggregate;
use crate::batch::{Coverage, Digest};
use crate::closing::Closing;
use crate::key::{Key, KeyRange};
use crate::store::{self, LiveBatch, Store, StoreError};
use crate::table::Table;
use crate::time::{Day, DayRange};

/// Each finding lists at most this many keys that differ; the rest is counted.
const KEYS_LISTED: usize = 10;

/// A difference between a sealed day and the log.
///
/// ```
/// use dayfold::archive::{Fault, Finding, KeyDifference};
///
/// fn describe(finding: &Finding) -> String {
///     let what = match &finding.fault {
///         Fault::Damaged { path, what } => format!("{}: {what}", path.display()),
///         Fault::Differs { keys, differing, .. } => {
///             let keys = keys.iter().map(|KeyDifference { key, .. }| key.as_str());
///             format!("{differing} keys differ: {}", keys.collect::<Vec<_>>().join(", "))
///         }
///         fault => format!("{fault:?}"),
///     };
///     format!("view {}, day {}: {what}", finding.view, finding.day)
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Finding {
    /// The view.
    pub view: String,
    /// The day.
    pub day: Day,
    /// What is wrong with the day.
    pub fault: Fault,
}

/// A fault of a sealed day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Fault {
    /// A file cannot be read, or is not the one that was sealed.
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where; the text names the file.
        what: String,
    },
    /// In the partitions of one worker, the rows are not those that the log gives.
    Differs {
        /// The digest of the sealed rows.
        sealed: Digest,
        /// The digest of the rows that the log gives.
        logged: Digest,
        /// The first keys that differ, in order of key.
        keys: Vec<KeyDifference>,
        /// The number of keys that differ.
        differing: u64,
    },
}

/// A key whose sealed value differs from the value that the log gives, as texts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct KeyDifference {
    /// The key.
    pub key: String,
    /// Its sealed value, if it has one.
    pub sealed: Option<String>,
    /// The value that the log gives, if any.
    pub logged: Option<String>,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Finding { view, day, fault } = self;
        match fault {
            Fault::Damaged { what, .. } => write!(f, "view '{view}', day {day}: {what}"),
            Fault::Differs { sealed, logged, keys, differing } => {
                write!(
                    f,
                    "view '{view}', day {day}: {differing} keys differ, sealed {sealed}, log {logged}"
                )?;
                let none = || "nothing".to_owned();
                for KeyDifference { key, sealed, logged } in keys {
                    let (sealed, logged) = (sealed.clone(), logged.clone());
                    let (sealed, logged) =
                        (sealed.unwrap_or_else(none), logged.unwrap_or_else(none));
                    write!(f, "\n  {key}: sealed {sealed}, log {logged}")?;
                }
                Ok(())
            }
        }
    }
}

/// Days of one view to be audited, in some partitions.
#[derive(Clone, Debug)]
pub(crate) struct AuditJob {
    pub(crate) view: String,
    pub(crate) coverage: Coverage,
    /// The last sealed closing when the audit began. The audit compares what was live then, whatever is sealed
    /// meanwhile.
    pub(crate) through: Closing,
    pub(crate) days: DayRange,
}

/// What an audit has read and found.
#[derive(Debug, Default)]
pub(crate) struct Audited {
    pub(crate) days: u64,
    pub(crate) rows: u64,
    pub(crate) events: u64,
    pub(crate) findings: Vec<Finding>,
    /// Rollups that are not what they should be, unless they were taken out of the way or removed meanwhile.
    pub(crate) rollups: Vec<FaultyRollup>,
}

/// A rollup that is not what it should be.
#[derive(Debug)]
pub(crate) struct FaultyRollup {
    pub(crate) path: PathBuf,
    pub(crate) finding: Finding,
    /// Whether the periods that it is made of are there.
    pub(crate) can_be_made: bool,
}

impl AuditJob {
    /// Reads the files afresh, computes their days, and compares; and rollups with what they are made of.
    pub(crate) fn run<K: Key, A: Aggregate>(
        &self,
        place: &Place,
        log: &dyn LogRows<K, A>,
        share: f64,
        rollups: &[RollupCheck<K, A>],
    ) -> Result<Audited, ArchiveError> {
        let Place::Folder(store) = place else { return Err(ArchiveError::NoLog) };
        let mut live = store.sealed(&self.view, self.days, |_, closing| closing <= self.through)?;
        live.retain(|file| !file.coverage.intersection(self.coverage).is_empty());
        let mut audited = Audited::default();
        let recomputed = recompute(log, self.days, self.through, self.coverage, share)?;
        audited.events = recomputed.events;
        let mut tables = recomputed.tables;
        let mut days: BTreeMap<Day, Vec<&LiveBatch>> = BTreeMap::new();
        live.iter().for_each(|live| days.entry(live.day).or_default().push(live));
        // Days for which no file counts.
        for day in tables.keys() {
            days.entry(*day).or_default();
        }
        for (day, files) in days {
            let table = tables.remove(&day).unwrap_or_else(Table::new);
            audited.days += 1;
            let found = self.audit_day(store, &files, &table, &mut audited.rows)?;
            audited.findings.extend(found.map(|fault| Finding {
                view: self.view.clone(),
                day,
                fault,
            }));
        }
        for check in rollups {
            let Some(fault) = self.audit_rollup(store, check)? else { continue };
            let (view, day) = (self.view.clone(), check.file.file.day);
            let finding = Finding { view, day, fault };
            let (path, can_be_made) = (check.file.file.path.clone(), check.parts.is_some());
            audited.rollups.push(FaultyRollup { path, finding, can_be_made });
        }
        Ok(audited)
    }

    /// What is wrong with a rollup. What is wrong with its parts is found with these.
    fn audit_rollup<K: Key, A: Aggregate>(
        &self,
        store: &Store,
        check: &RollupCheck<K, A>,
    ) -> Result<Option<Fault>, ArchiveError> {
        let file = &check.file.file;
        let damaged = |what: String| Some(Fault::Damaged { path: file.path.clone(), what });
        if let Err(error) = store::verify(&**store.storage(), file) {
            return Ok(damaged(error.to_string()));
        }
        let Some(parts) = &check.parts else { return Ok(None) };
        let parts: Result<Vec<_>, _> = parts.iter().map(Sealed::open).collect();
        let Ok(parts) = parts else { return Ok(None) };
        let sum = rolled_up(&parts, file.file_coverage, |rows| {
            rows.map(|(_, key, aggregate)| Digest::of(&key, &aggregate)).sum::<Result<Digest, _>>()
        });
        let Ok(sum) = sum else { return Ok(None) };
        let sum = sum.map_err(|error| ArchiveError::Encode { what: error.to_string() })?;
        let (grain, path, found) = (check.file.grain, file.path.display(), file.digest);
        Ok(match sum == found {
            true => None,
            false => damaged(format!(
                "{path} has not the rows of its {grain}: found {found}, expected {sum}"
            )),
        })
    }

    fn audit_day<K: Key, A: Aggregate>(
        &self,
        store: &Store,
        files: &[&LiveBatch],
        table: &Table<K, A>,
        rows: &mut u64,
    ) -> Result<Option<Fault>, ArchiveError> {
        let mut sealed = Table::new();
        for file in files {
            // A file that a worker has open was verified when it was first read, and may have been damaged since.
            match self.read(store, file, &mut sealed) {
                Ok(()) => {}
                Err(error @ (ArchiveError::Batch(_) | ArchiveError::Store(_))) => {
                    let (path, what) = (file.path.clone(), error.to_string());
                    return Ok(Some(Fault::Damaged { path, what }));
                }
                Err(error) => return Err(error),
            }
        }
        *rows += sealed.len() as u64;
        let (on_disk, logged) = (digest(&sealed)?, digest(table)?);
        Ok((on_disk != logged).then(|| differences(on_disk, logged, &sealed, table)))
    }

    fn read<K: Key, A: Aggregate>(
        &self,
        store: &Store,
        file: &LiveBatch,
        sealed: &mut Table<K, A>,
    ) -> Result<(), ArchiveError> {
        store::verify(&**store.storage(), file)?;
        let coverage = file.coverage.intersection(self.coverage);
        let view = store.open_batch::<K, A>(file)?;
        view.range(&KeyRange::all(), &coverage, |hash, key, aggregate| {
            sealed.add(hash, key, aggregate);
        })?;
        Ok(())
    }
}

fn digest<K: Key, A: Aggregate>(table: &Table<K, A>) -> Result<Digest, ArchiveError> {
    // Zeros are not sealed.
    let rows = table.iter().filter(|(_, aggregate)| !aggregate.is_zero());
    let rows = rows.map(|(key, aggregate)| Digest::of(key, aggregate));
    let sum = rows.sum::<Result<Digest, _>>();
    sum.map_err(|error| ArchiveError::Encode { what: error.to_string() })
}

fn differences<K: Key, A: Aggregate>(
    on_disk: Digest,
    logged: Digest,
    sealed: &Table<K, A>,
    table: &Table<K, A>,
) -> Fault {
    let of = |table: &'_ Table<K, A>, key: &K| {
        table.get(key.hash64(), key).filter(|aggregate| !aggregate.is_zero()).cloned()
    };
    let mut keys: Vec<&K> = table.iter().chain(sealed.iter()).map(|row| &row.0).collect();
    keys.retain(|key| of(sealed, key) != of(table, key));
    keys.sort_unstable();
    keys.dedup();
    let text = |value: Option<A>| value.map(|value| format!("{value:?}"));
    let listed = keys.iter().take(KEYS_LISTED).map(|key| KeyDifference {
        key: format!("{key:?}"),
        sealed: text(of(sealed, key)),
        logged: text(of(table, key)),
    });
    let (keys, differing) = (listed.collect(), keys.len() as u64);
    Fault::Differs { sealed: on_disk, logged, keys, differing }
}

/// The sealed days of a view that cannot be read, each with its first fault.
pub(crate) fn damaged(
    store: &Store,
    view: &str,
    live: &[LiveBatch],
) -> Result<Vec<Finding>, StoreError> {
    let mut findings: Vec<Finding> = Vec::new();
    for file in live {
        let Err(error) = store::verify(&**store.storage(), file) else { continue };
        let (view, day) = (view.to_owned(), file.day);
        let mut what = error.to_string();
        if let StoreError::Io { source, .. } = &error {
            what = format!("{what}: {source}");
        }
        let fault = Fault::Damaged { path: file.path.clone(), what };
        if findings.last().is_none_or(|last| last.day != day) {
            findings.push(Finding { view, day, fault });
        }
    }
    Ok(findings)
}
