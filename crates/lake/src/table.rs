//! A view's table in a lake: its content, and how it is replaced.

use std::collections::BTreeMap;

use dayfold::time::Day;

use crate::LakeError;
use crate::columns::TableColumn;
use crate::commit::{Commit, Exported};
use crate::cut::Cut;
use crate::hive::Hive;
use crate::iceberg::{self, Iceberg};

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

    /// The columns of its files. Files of Hive's layout have no period, because the folder has it.
    pub(crate) fn columns(&self) -> &[TableColumn] {
        match self {
            Table::Hive(table) => table.columns(),
            Table::Iceberg(table) => table.columns(),
        }
    }

    /// The path of a version of a day.
    pub(crate) fn path(&self, day: Day, version: &str) -> String {
        match self {
            Table::Hive(table) => table.path(day),
            Table::Iceberg(_) => iceberg::data_path(day, version),
        }
    }

    /// Whether a later period can be started from than the table says. Files of Hive's layout are replaced one by one,
    /// so it has no state of all of them.
    pub(crate) fn is_behind(&self, cut: &Cut) -> bool {
        match self {
            Table::Hive(_) => false,
            Table::Iceberg(table) => table.is_behind(cut),
        }
    }

    pub(crate) async fn commit(&mut self, commit: &Commit) -> Result<(), LakeError> {
        match self {
            Table::Hive(table) => table.commit(commit).await,
            Table::Iceberg(table) => table.commit(commit).await,
        }
    }
}
