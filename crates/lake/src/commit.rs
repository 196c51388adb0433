//! Days of a table, and the changes of one commit.

use std::collections::BTreeMap;

use dayfold::time::Day;
use serde::{Deserialize, Serialize};

use crate::bounds::Bounds;
use crate::cut::Cut;

/// A day in the lake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Exported {
    /// Identifies the exported version of the day.
    pub(crate) version: String,
    /// The object, within the table.
    pub(crate) path: String,
    pub(crate) bytes: u64,
    pub(crate) rows: u64,
}

/// A file that is in the store but does not count yet.
pub(crate) struct NewFile {
    pub(crate) day: Day,
    pub(crate) version: String,
    pub(crate) path: String,
    pub(crate) bytes: u64,
    pub(crate) rows: u64,
    pub(crate) bounds: Vec<Bounds>,
}

/// The changes of one commit.
#[derive(Default)]
pub(crate) struct Commit {
    pub(crate) added: Vec<NewFile>,
    pub(crate) removed: Vec<Day>,
    /// What the view can be started from after it.
    pub(crate) cut: Option<Cut>,
    /// The table's description after it.
    pub(crate) certificate: BTreeMap<String, String>,
}
