//! How much further a run begins than a view has events, which decides what is kept of the view.

use super::config::RunState;
use super::error::StoreError;
use super::opened::Store;
use crate::time::Day;
use crate::view::Lead;

impl Store {
    /// The last period of a view that has sealed events, in any part.
    pub(crate) fn latest(&self, view: &str) -> Option<Day> {
        let state = self.read();
        let edition = state.own.edition(view);
        let parts = state.others.values().chain([&state.own]);
        let parts = parts.filter(|part| part.edition(view) == edition);
        parts.filter_map(|part| part.latest(view)).max()
    }

    /// How much further this run begins than the view has events.
    pub(crate) fn lead(&self, view: &str) -> Option<Lead> {
        bincode::deserialize(&self.fact(&lead(view))?).ok()
    }

    /// Records how much further this run begins than the view has events, if its periods through `closed` are closed. All
    /// processes record the same.
    ///
    /// Events that an interrupted run has taken in are read from the log again, and must count as they did. So the lead stays
    /// what it was for them; `entered` tells whether there are any that came when these periods were closed.
    ///
    /// # Errors
    /// As [`Store::set_fact`].
    pub(crate) fn note_lead(
        &self,
        view: &str,
        closed: Day,
        entered: bool,
    ) -> Result<(), StoreError> {
        let is_new = self.last == RunState::Complete || !entered;
        let latest = self.latest(view).filter(|latest| is_new && *latest < closed);
        let known = self.facts(&lead(view)).into_iter();
        let known = known.filter_map(|(_, bytes)| bincode::deserialize::<Lead>(&bytes).ok());
        let known = known.filter(|known| known.closed == closed && !is_new);
        let Some(latest) = known.map(|known| known.latest).min().or(latest) else {
            return Ok(());
        };
        let now = Lead { closed, latest };
        match self.lead(view) == Some(now) {
            true => Ok(()),
            false => self.set_fact(&lead(view), bincode::serialize(&now).unwrap_or_default()),
        }
    }
}

const OWN: &str = "lead: ";

/// The name of the fact that says how much further a run begins than a view has events.
fn lead(view: &str) -> String {
    format!("{OWN}{view}")
}

/// Whether a fact is one of these.
pub(super) fn is_own(name: &str) -> bool {
    name.starts_with(OWN)
}
