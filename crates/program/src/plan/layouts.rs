//! The columns of the events in the log of a data folder.
//!
//! An event has the number of its layout, followed by the values of its columns. Sources and views change from run to
//! run, and the log keeps the events of all runs. So the folder stores every layout in `layouts.json`, and a view finds
//! the columns that it needs by their names.

use std::collections::BTreeMap;
use std::path::Path;

use dayfold::time::EventTime;
use serde::{Deserialize, Serialize};

use crate::replace::replace_durably;

const FILE: &str = "layouts.json";

/// The columns of events.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// The source of the events.
    pub source: String,
    /// Names and types, in the order of values.
    pub columns: Vec<(String, String)>,
    /// Whether the record itself follows, as it is in the source.
    pub has_record: bool,
    /// Views that have counted events of these records up to a time, in another folder: they take none from before it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub after: BTreeMap<String, EventTime>,
    /// The events are whole rows of this view, and have one value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows_of: Option<String>,
}

/// All layouts that events of a folder may have; an event has the position of its layout.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layouts {
    layouts: Vec<Layout>,
    /// The number of layouts that the folder has already.
    written: usize,
}

impl Layouts {
    /// The layouts of a data folder; none if it has no such file.
    pub(crate) fn read(folder: &Path) -> Result<Layouts, String> {
        let path = folder.join(FILE);
        let bytes = match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Layouts::default());
            }
            read => read.map_err(|error| format!("{}: {error}", path.display()))?,
        };
        let layouts: Vec<Layout> = serde_json::from_slice(&bytes).map_err(|error| {
            format!("{}: {error}: the log of the folder cannot be read without it, restore it from a copy", path.display())
        })?;
        Ok(Layouts { written: layouts.len(), layouts })
    }

    /// The position of a layout; a new one is added.
    pub(crate) fn position(&mut self, layout: Layout) -> usize {
        let known = self.layouts.iter().position(|known| *known == layout);
        known.unwrap_or_else(|| {
            self.layouts.push(layout);
            self.layouts.len() - 1
        })
    }

    /// The newest layout of a source that an earlier run has used.
    pub(crate) fn latest(&self, source: &str) -> Option<&Layout> {
        self.layouts[..self.written].iter().rev().find(|layout| layout.source == source)
    }

    /// All layouts.
    pub fn iter(&self) -> impl Iterator<Item = &Layout> {
        self.layouts.iter()
    }

    /// Writes new layouts atomically, before any event has them.
    pub(crate) fn write(&self, folder: &Path) -> std::io::Result<()> {
        if self.written == self.layouts.len() {
            return Ok(());
        }
        replace_durably(&folder.join(FILE), &serde_json::to_vec_pretty(&self.layouts)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_keep_their_places() {
        let folder = tempfile::tempdir().unwrap();
        let layout = |name: &str| Layout {
            source: "s".to_owned(),
            columns: vec![(name.to_owned(), "text".to_owned())],
            ..Layout::default()
        };
        let mut layouts = Layouts::read(folder.path()).unwrap();
        assert_eq!(
            [layout("a"), layout("b"), layout("a")].map(|layout| layouts.position(layout)),
            [0, 1, 0]
        );
        assert_eq!(layouts.latest("s"), None, "nothing is written yet");
        layouts.write(folder.path()).unwrap();
        let mut again = Layouts::read(folder.path()).unwrap();
        assert_eq!(again.latest("s"), Some(&layout("b")));
        assert_eq!([layout("b"), layout("c")].map(|layout| again.position(layout)), [1, 2]);
        std::fs::write(folder.path().join(FILE), "no").unwrap();
        assert!(Layouts::read(folder.path()).unwrap_err().contains("restore it from a copy"));
    }
}
