//! What remains of a view in a part from which something was removed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::closing::Closing;
use crate::time::Day;

/// What a part still has of a view.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    /// The first kept period.
    pub(super) from: Day,
    /// For these periods, only the states after this closing or a later one are known.
    pub(super) revised: BTreeMap<Day, Closing>,
}

impl Default for Kept {
    fn default() -> Kept {
        Kept { from: Day::MIN, revised: BTreeMap::new() }
    }
}

impl Kept {
    /// Adds a later removal.
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
