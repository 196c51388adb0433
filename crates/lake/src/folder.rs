//! The exportable content of a data folder: the sealed days of a view, and their versions.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dayfold::rows::{RowOptions, RowsError, SealedRows};
use dayfold::schema::{Column, Value};
use dayfold::store::{self, Disk, FolderReport, SealedPeriod, ViewReport};
use dayfold::time::{Day, DayRange};
use dayfold::view::Closing;

use crate::{LakeError, period};

/// The property of a table with the length of its periods.
pub(crate) const GRAIN: &str = "dayfold.grain";

/// A sealed day, as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sealed {
    /// Identifies the rows: the closing of the newest revision, and a hash of their files.
    pub(crate) version: String,
    /// An upper bound on the number of rows: files may hold rows that newer revisions replace.
    pub(crate) rows: u64,
}

/// The state of a data folder when it was read. A program may be writing it.
pub(crate) struct Looked {
    report: Arc<FolderReport>,
}

/// A view of it. Threads that write its days share it.
pub(crate) struct View {
    folder: Arc<FolderReport>,
    /// The place of the view in the folder's report.
    at: usize,
    options: RowOptions,
    /// Measures that are left out.
    without: BTreeSet<String>,
    states: bool,
}

impl Looked {
    pub(crate) fn at(folder: &Path) -> Result<Looked, LakeError> {
        Ok(Looked { report: Arc::new(store::inspect(&Disk, folder)?) })
    }

    pub(crate) fn names(&self) -> Vec<&str> {
        self.report.views.iter().map(|view| view.record.name.as_str()).collect()
    }

    pub(crate) fn view(
        &self,
        name: &str,
        (sketches, states): (bool, bool),
        without: BTreeSet<String>,
    ) -> Result<View, LakeError> {
        let at = self.report.views.iter().position(|view| view.record.name == name);
        let at = at.ok_or_else(|| LakeError::NoView {
            view: name.to_owned(),
            known: match self.names().join(", ") {
                none if none.is_empty() => {
                    "none yet, since it learns of a view with its first sealed period".to_owned()
                }
                names => names,
            },
        })?;
        let options = RowOptions::default().sketches(sketches).states(states);
        Ok(View { folder: Arc::clone(&self.report), at, options, without, states })
    }
}

impl View {
    fn report(&self) -> &ViewReport {
        &self.folder.views[self.at]
    }

    pub(crate) fn name(&self) -> &str {
        &self.report().record.name
    }

    /// The table's description of the view.
    pub(crate) fn about(&self) -> BTreeMap<String, String> {
        let record = &self.report().record;
        let about = [
            (crate::iceberg::VIEW, record.name.clone()),
            ("dayfold.zone", record.zone.clone()),
            (GRAIN, record.grain.name().to_owned()),
            ("dayfold.key", record.key.clone()),
            ("dayfold.aggregate", record.aggregate.clone()),
        ];
        about.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// The state of the sealed days now.
    pub(crate) fn certificate(&self) -> BTreeMap<String, String> {
        let through = self.report().closed_through.map(|day| day.to_string());
        let through = through.unwrap_or_else(|| "none".to_owned());
        let edition = self.report().redefined.to_string();
        let mut certificate =
            vec![("dayfold.sealed-through", through), ("dayfold.edition", edition)];
        if let Some(last) = self.last_closing() {
            certificate.push(("dayfold.revision", last.to_string()));
        }
        certificate.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// The columns of its rows: the day, the columns of the key, the measures, and whether the row is sealed.
    pub(crate) fn columns(&self) -> Vec<Column> {
        self.rows_of(DayRange::ALL).columns()
    }

    /// How many columns the rows of a day are sorted by.
    pub(crate) fn keys(&self) -> usize {
        self.report().schema.as_ref().map_or(0, |schema| schema.key.len())
    }

    /// The last sealed closing: late events may be sealed before the day that they came on has closed.
    pub(crate) fn last_closing(&self) -> Option<Closing> {
        let through = Closing::of(self.report().closed_through?);
        let revisions = self.report().revisions.iter().map(|batch| batch.revision());
        Some(revisions.fold(through, Closing::max))
    }

    /// The last sealed day.
    pub(crate) fn through(&self) -> Option<Day> {
        self.report().closed_through
    }

    /// The sealed days that have rows.
    pub(crate) fn days(&self) -> BTreeMap<Day, Sealed> {
        let periods = self.report().periods();
        periods.into_iter().map(|(day, period)| (day, self.sealed(&period))).collect()
    }

    fn sealed(&self, period: &SealedPeriod<'_>) -> Sealed {
        let files = &period.files;
        let revision = files.iter().map(|file| file.revision()).max();
        let generation = files.iter().map(|file| file.generation).max().unwrap_or(0);
        let closing = revision.map_or_else(String::new, |revision| match revision.floor() {
            None => {
                let last = files.iter().map(|file| file.closing).max().unwrap_or(Day::MIN);
                format!("r{}", period::in_path(last))
            }
            Some(floor) => format!("r{}-f{floor}", period::in_path(files[0].closing)),
        });
        let edition = self.report().redefined;
        // Files that have states are others than those without.
        let states = if self.states { "-s" } else { "" };
        let version =
            format!("{closing}-g{generation}-e{edition}-{:016x}{states}", period.fingerprint);
        Sealed { version, rows: files.iter().map(|file| file.rows).sum() }
    }

    /// Whether every process has committed its files of a day. A process with prepared files commits them after the
    /// first process has committed; until then its files exist, but nothing names them.
    pub(crate) fn is_settled(&self, day: Day) -> Result<bool, LakeError> {
        if self.folder.parts.len() == 1 {
            return Ok(true);
        }
        let of_day = self.report().revisions.iter().filter(|batch| batch.day == day);
        let named: BTreeSet<&PathBuf> = of_day.clone().map(|batch| &batch.path).collect();
        let views = self.folder.parts.iter().map(|part| part.path.join("views"));
        let name = &self.report().record.name;
        for folder in views.map(|views| views.join(name).join(period::in_path(day))) {
            let entries = match std::fs::read_dir(&folder) {
                Ok(entries) => entries,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error.into()),
            };
            for entry in entries {
                let path = entry?.path();
                let is_batch = path.extension().is_some_and(|extension| extension == "batch");
                if is_batch && !named.contains(&path) {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    fn rows_of(&self, days: DayRange) -> SealedRows<'_> {
        let without = self.without.iter().map(String::as_str);
        SealedRows::new(&Disk, self.report(), self.options.days(days)).without(without)
    }

    /// Visits the rows of a day, in the order of keys.
    pub(crate) fn each(
        &self,
        day: Day,
        mut visit: impl FnMut(&[Value]) -> Result<(), LakeError>,
    ) -> Result<(), LakeError> {
        let mut failed = None;
        let read = self.rows_of(DayRange::only(day)).each(&mut |row| {
            visit(row).map_err(|error| {
                failed = Some(error);
                std::io::Error::other("see the error of the visit")
            })
        });
        match (read, failed) {
            (Err(RowsError::Write(_)), Some(error)) => Err(error),
            (read, _) => Ok(read?),
        }
    }
}
