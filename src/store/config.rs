//! How a program configures a folder, and the state in which it finds the folder.

use std::collections::BTreeMap;

use super::view_record::{FormerNames, ViewRecord};
use crate::schema::ViewSchema;
use crate::view::Retention;

/// Which sealed files move into packs when a folder is opened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packing {
    /// The newest periods of a view whose files stay: late events mostly change these.
    pub(crate) newest: usize,
    /// The least number of files for which a pack is made.
    pub(crate) least: usize,
}

impl Default for Packing {
    fn default() -> Packing {
        Packing { newest: 32, least: 32 }
    }
}

/// What a program declares when it opens a folder.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    pub(crate) process: usize,
    pub(crate) processes: usize,
    pub(crate) views: Vec<ViewRecord>,
    pub(crate) logged: bool,
    pub(crate) rebuild: Vec<String>,
    pub(crate) removed: Vec<String>,
    pub(crate) schemas: Vec<ViewSchema>,
    /// By view, the names that a folder of version 0.1 may have instead of type ids. If a folder has them, they are
    /// replaced with the ids.
    pub(crate) former: BTreeMap<String, FormerNames>,
    /// By view, what it keeps. A view without an entry keeps everything. Opening the folder removes the rest.
    pub(crate) retention: BTreeMap<String, Retention>,
    /// Which files move into packs.
    pub(crate) packing: Packing,
}

impl StoreConfig {
    /// A configuration for process `process` of `processes` with these views, without a log and without rebuilds.
    pub fn new(process: usize, processes: usize, views: Vec<ViewRecord>) -> StoreConfig {
        StoreConfig {
            process,
            processes,
            views,
            logged: false,
            rebuild: Vec::new(),
            removed: Vec::new(),
            schemas: Vec::new(),
            former: BTreeMap::new(),
            retention: BTreeMap::new(),
            packing: Packing::default(),
        }
    }

    /// Sets whether the program appends every accepted event to a log before it acknowledges it. All runs of a folder
    /// must have the same setting as its first run: a log that started later, or paused, would lack events of sealed
    /// days.
    #[must_use]
    pub fn logged(self, logged: bool) -> StoreConfig {
        StoreConfig { logged, ..self }
    }

    /// Allows the views with these names to have definitions other than those in the folder. If a definition has
    /// changed, opening drops the sealed days of the view. The view is then closed through no day, and is computed from
    /// the log. If a definition has not changed, nothing happens.
    #[must_use]
    pub fn rebuild(self, views: impl IntoIterator<Item = impl Into<String>>) -> StoreConfig {
        StoreConfig { rebuild: views.into_iter().map(Into::into).collect(), ..self }
    }

    /// Removes the views with these names, which the program does not define, from the folder on opening, with all
    /// their sealed days. If the folder has no such view, nothing happens.
    #[must_use]
    pub fn remove(self, views: impl IntoIterator<Item = impl Into<String>>) -> StoreConfig {
        StoreConfig { removed: views.into_iter().map(Into::into).collect(), ..self }
    }

    /// Sets the schemas of the views. The folder stores them for readers that do not know the types of the views. They
    /// may differ from run to run.
    #[must_use]
    pub fn schemas(self, schemas: Vec<ViewSchema>) -> StoreConfig {
        StoreConfig { schemas, ..self }
    }
}

/// How the last run left the folder.
#[expect(
    clippy::exhaustive_enums,
    reason = "who looks at a folder says something of each of the three"
)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunState {
    /// No run has begun.
    Fresh,
    /// Every process of the last run said that it was complete.
    Complete,
    /// The last run was interrupted.
    Incomplete,
}
