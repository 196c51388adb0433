//! Days of a table, and the changes of one commit.

use std::collections::BTreeMap;

use dayfold::time::Day;
use serde::{Deserialize, Serialize};

use crate::file::Bounds;

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

/// A file that is in the store but does not count yet.
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
