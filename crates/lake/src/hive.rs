//! A view in Hive's layout: one Parquet file for each day, in a folder with the day as its name.
//!
//! ```text
//! URL/VIEW/day=<day>/part-0.parquet       the rows of the day; the file has no column for it
//!          _dayfold/days.json             what of each day was exported; readers skip names with an underscore
//! ```
//!
//! A view of another grain has its own period column instead of `day`.
//!
//! A file is replaced as a whole, so a reader of one day sees either the old rows or the new ones. A reader of several
//! days may see some of them before and others after an amendment; use Iceberg to read all days as of one moment.

use std::collections::{BTreeMap, BTreeSet};

use dayfold::time::Day;
use serde::{Deserialize, Serialize};

use crate::columns::{DIGITS_MAX, TableColumn};
use crate::commit::{Commit, Exported};
use crate::folder::GRAIN;
use crate::store::Location;
use crate::{LakeError, period};

const STATE: &str = "_dayfold/days.json";
const FORMAT: u32 = 1;

/// An open table.
pub(crate) struct Hive {
    place: Location,
    /// The name of the period column, which is in the names of folders.
    period: String,
    columns: Vec<TableColumn>,
    about: BTreeMap<String, String>,
    days: BTreeMap<Day, Exported>,
}

/// The lake's description of a table.
#[derive(Serialize, Deserialize)]
struct HiveState {
    format: u32,
    /// The view, and its definition at the last export.
    about: BTreeMap<String, String>,
    days: BTreeMap<String, Exported>,
    /// The digits after the point of each column of decimals. Tables of earlier versions have 9 in all of them.
    #[serde(default)]
    digits: Option<BTreeMap<String, u8>>,
}

impl Hive {
    /// Opens the table at a location. The first column is that of periods.
    pub(crate) async fn open(
        place: Location,
        mut columns: Vec<TableColumn>,
        about: BTreeMap<String, String>,
    ) -> Result<Hive, LakeError> {
        let period = columns.remove(0).name;
        let mut table = Hive { place, period, columns, about, days: BTreeMap::new() };
        let state_url = table.place.url_of(STATE);
        let wrong = |what: String| LakeError::Table { path: state_url.clone(), what };
        let state = match table.place.get(STATE).await? {
            Some(bytes) => Some(
                serde_json::from_slice::<HiveState>(&bytes)
                    .map_err(|error| wrong(error.to_string()))?,
            ),
            None => None,
        };
        if let Some(state) = state {
            if state.format != FORMAT {
                return Err(wrong(format!("its format is {}, expected {FORMAT}", state.format)));
            }
            let grain = state.about.get(GRAIN);
            if let Some(grain) = grain.filter(|grain| **grain != table.period) {
                return Err(wrong(format!(
                    "it has a file for each {grain}, and the view one for each {}: export it under another URL",
                    table.period
                )));
            }
            keep_digits(&mut table.columns, state.digits.as_ref(), table.place.url())?;
            for (day, exported) in state.days {
                let day =
                    Day::parse_period(&day).map_err(|_| wrong(format!("'{day}' is no period")))?;
                table.days.insert(day, exported);
            }
        }
        table.find_unknown().await?;
        Ok(table)
    }

    /// Unknown days in the store: a program was killed before it recorded them, or the state is lost.
    async fn find_unknown(&mut self) -> Result<(), LakeError> {
        let found = self.place.list("").await?;
        let prefix = format!("{}=", self.period);
        let day = |name: &str| {
            let name = name.strip_prefix(&prefix)?.strip_suffix("/part-0.parquet")?;
            period::of_hive(name)
        };
        let found: BTreeSet<Day> = found.iter().filter_map(|(name, _)| day(name)).collect();
        for day in found {
            let path = self.path(day);
            self.days.entry(day).or_insert_with(|| Exported {
                version: String::new(),
                path,
                bytes: 0,
                rows: 0,
            });
        }
        Ok(())
    }

    pub(crate) fn columns(&self) -> &[TableColumn] {
        &self.columns
    }

    pub(crate) fn days(&self) -> &BTreeMap<Day, Exported> {
        &self.days
    }

    pub(crate) fn path(&self, day: Day) -> String {
        format!("{}={}/part-0.parquet", self.period, period::in_hive(day))
    }

    /// Records files that are in place, and removes days.
    pub(crate) async fn commit(&mut self, commit: &Commit) -> Result<(), LakeError> {
        self.place.settle().await?;
        for day in &commit.removed {
            self.place.delete(&self.path(*day)).await?;
            self.days.remove(day);
        }
        for file in &commit.added {
            let exported = Exported {
                version: file.version.clone(),
                path: file.path.clone(),
                bytes: file.bytes,
                rows: file.rows,
            };
            self.days.insert(file.day, exported);
        }
        let mut about = self.about.clone();
        about.extend(commit.certificate.clone());
        let days = self.days.iter().map(|(day, exported)| (day.to_string(), exported.clone()));
        let digits =
            self.columns.iter().filter_map(|column| Some((column.name.clone(), column.digits()?)));
        let digits = Some(digits.collect());
        let state = HiveState { format: FORMAT, about, days: days.collect(), digits };
        let bytes = serde_json::to_vec(&state).expect("texts and numbers are JSON");
        self.place.put(STATE, bytes).await
    }
}

/// Gives columns of decimals the digits after the point that the table's files have, so that all of them have one type.
fn keep_digits(
    columns: &mut [TableColumn],
    known: Option<&BTreeMap<String, u8>>,
    table: &str,
) -> Result<(), LakeError> {
    for column in columns {
        let known = known.map_or(Some(DIGITS_MAX), |known| known.get(&column.name).copied());
        let (Some(known), Some(digits)) = (known, column.digits()) else { continue };
        if known < digits {
            return Err(LakeError::Column {
                table: table.to_owned(),
                column: column.name.clone(),
                expected: format!("decimal with {known} digits after the point"),
                found: format!("decimal with {digits}"),
            });
        }
        column.scale = Some(known);
    }
    Ok(())
}
