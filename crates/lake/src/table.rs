//! A view's table in a lake: what is there, and how it is replaced.

use std::collections::BTreeMap;

use dayfold::time::Day;
use serde::{Deserialize, Serialize};

use crate::LakeError;
use crate::columns::TableColumn;
use crate::file::Bounds;
use crate::hive::Hive;
use crate::iceberg::Iceberg;

/// A day as it is in the lake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Exported {
    /// Names what of the day was exported.
    pub(crate) version: String,
    /// The object, within the table.
    pub(crate) path: String,
    pub(crate) bytes: u64,
    pub(crate) rows: u64,
}

/// A file that is in the store, and does not count yet.
pub(crate) struct NewFile {
    pub(crate) day: Day,
    pub(crate) version: String,
    pub(crate) path: String,
    pub(crate) bytes: u64,
    pub(crate) rows: u64,
    pub(crate) bounds: Vec<Bounds>,
}

/// What changes at once.
#[derive(Default)]
pub(crate) struct Commit {
    pub(crate) added: Vec<NewFile>,
    pub(crate) removed: Vec<Day>,
    /// What the table says of itself behind it.
    pub(crate) certificate: BTreeMap<String, String>,
}

/// A table of either kind.
pub(crate) enum Table {
    Hive(Hive),
    Iceberg(Box<Iceberg>),
}

impl Table {
    pub(crate) fn days(&self) -> &BTreeMap<Day, Exported> {
        match self {
            Table::Hive(table) => table.days(),
            Table::Iceberg(table) => table.days(),
        }
    }

    /// The columns of its files. Those of Hive have no day: the folder says it.
    pub(crate) fn columns(&self) -> &[TableColumn] {
        match self {
            Table::Hive(table) => table.columns(),
            Table::Iceberg(table) => table.columns(),
        }
    }

    /// Where a version of a day goes.
    pub(crate) fn path(&self, day: Day, version: &str) -> String {
        match self {
            Table::Hive(_) => Hive::path(day),
            Table::Iceberg(_) => Iceberg::path(day, version),
        }
    }

    pub(crate) async fn commit(&mut self, commit: &Commit) -> Result<(), LakeError> {
        match self {
            Table::Hive(table) => table.commit(commit).await,
            Table::Iceberg(table) => table.commit(commit).await,
        }
    }
}
