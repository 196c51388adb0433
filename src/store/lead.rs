//! How much further a run begins than a view has events, which decides what is kept of the view.

use std::sync::PoisonError;

use super::opened::Store;
use crate::time::{Day, EventTime};
use crate::view::{Lead, View};

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
        self.leads.lock().unwrap_or_else(PoisonError::into_inner).get(view).copied()
    }

    /// Notes how much further this run begins than the view has events, if it begins under this floor. A view that is
    /// computed from the log has none at first.
    pub(crate) fn note_lead(&self, view: &View, floor: EventTime) {
        let closed = view.closed_before(view.first_open(floor));
        let latest = self.latest(view.name()).unwrap_or(Day::MIN);
        if latest < closed {
            let mut leads = self.leads.lock().unwrap_or_else(PoisonError::into_inner);
            leads.insert(view.name().to_owned(), Lead { closed, latest });
        }
    }
}
