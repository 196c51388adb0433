//! What is left of a view in a part from which something was removed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::closing::Closing;
use crate::time::Day;

/// What is still there of a view in a part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    /// The first period that is kept.
    pub(super) from: Day,
    /// Of these periods, the state after this closing and later ones can be told, and no earlier one.
    pub(super) revised: BTreeMap<Day, Closing>,
}

impl Default for Kept {
    fn default() -> Kept {
        Kept { from: Day::MIN, revised: BTreeMap::new() }
    }
}

impl Kept {
    /// Adds what was removed later.
    pub(super) fn add(&mut self, from: Day, revised: impl IntoIterator<Item = (Day, Closing)>) {
        self.from = self.from.max(from);
        for (day, closing) in revised {
            let known = self.revised.entry(day).or_insert(closing);
            *known = closing.max(*known);
        }
        let from = self.from;
        self.revised.retain(|day, _| *day >= from);
    }
}
