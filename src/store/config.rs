//! What a program says about itself when it opens a folder, and how it finds it.

use std::collections::BTreeMap;

use super::view_record::{FormerNames, ViewRecord};
use crate::schema::ViewSchema;
use crate::view::Retention;

/// What a program says about itself when it opens a folder.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    pub(crate) process: usize,
    pub(crate) processes: usize,
    pub(crate) views: Vec<ViewRecord>,
    pub(crate) logged: bool,
    pub(crate) rebuild: Vec<String>,
    pub(crate) removed: Vec<String>,
    pub(crate) schemas: Vec<ViewSchema>,
    /// By view, what a folder of version 0.1 may say in the place of the ids of its types. Where it does, it says the ids
    /// from now on.
    pub(crate) former: BTreeMap<String, FormerNames>,
    /// By view, what it keeps; all of it, where nothing is said. Opening removes what is not kept.
    pub(crate) retention: BTreeMap<String, Retention>,
}

impl StoreConfig {
    /// Process `process` of `processes`, with these views, without a log and with nothing to rebuild.
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
        }
    }

    /// The same, for a program that appends every accepted event to a log before it is acknowledged. A folder keeps to what
    /// its first run said: a log that began later, or paused, would not hold all events of what is sealed.
    #[must_use]
    pub fn logged(self, logged: bool) -> StoreConfig {
        StoreConfig { logged, ..self }
    }

    /// The same, where the views of these names may be defined otherwise than in the folder: what is sealed of such a
    /// view is dropped on opening, and it is closed through no day again, to be computed from the log. Where the
    /// definition has not changed, nothing happens.
    #[must_use]
    pub fn rebuild(self, views: impl IntoIterator<Item = impl Into<String>>) -> StoreConfig {
        StoreConfig { rebuild: views.into_iter().map(Into::into).collect(), ..self }
    }

    /// The same, where the views of these names, which the program does not have, are removed from the folder on opening, with
    /// all that is sealed of them. Where the folder does not have such a view, nothing happens.
    #[must_use]
    pub fn remove(self, views: impl IntoIterator<Item = impl Into<String>>) -> StoreConfig {
        StoreConfig { removed: views.into_iter().map(Into::into).collect(), ..self }
    }

    /// The same, with what the views look like. The folder keeps it for those who do not know their types; it may be another
    /// in each run.
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
    /// The last run was cut short.
    Incomplete,
}
