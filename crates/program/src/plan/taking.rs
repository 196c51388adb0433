//! How a view takes in the events of this run and of earlier ones, whose columns may have been others.

use std::sync::Arc;

use dayfold::dynamic::{Event, RowBuilder, RowValue};
use dayfold::time::EventTime;

use super::source::SourcePlan;
use super::values::cell;
use super::view::Derived;
use crate::expr::Cell;

/// How a view uses events of one layout.
pub(crate) enum Known {
    /// The values are columns of a source.
    Columns(KnownColumns),
    /// The one value is a whole row of the view.
    Row,
}

/// How a view uses the columns of a source.
pub(crate) struct KnownColumns {
    pub(crate) derived: Arc<Derived>,
    pub(crate) source: Arc<SourcePlan>,
    /// The view takes no events from before this time.
    pub(crate) after: Option<EventTime>,
    /// The slot of each value of an event, if anything reads it now.
    pub(crate) slots: Vec<Option<usize>>,
    /// The slots whose columns had another type when the event was read.
    pub(crate) retyped: Vec<usize>,
    /// For each value of an event the places in the view's rows that it goes to, if nothing is computed.
    pub(crate) direct: Option<Vec<Vec<usize>>>,
}

impl KnownColumns {
    pub(crate) fn new(
        derived: Arc<Derived>,
        source: &Arc<SourcePlan>,
        after: Option<EventTime>,
        slots: Vec<Option<usize>>,
        retyped: Vec<usize>,
    ) -> KnownColumns {
        let columns = derived.columns().filter(|_| retyped.is_empty());
        let direct = columns.map(|columns| {
            let places = |slot: &Option<usize>| {
                let takes = |(at, column): (usize, &usize)| (Some(*column) == *slot).then_some(at);
                columns.iter().enumerate().filter_map(takes).collect()
            };
            slots.iter().map(places).collect()
        });
        KnownColumns { derived, source: Arc::clone(source), after, slots, retyped, direct }
    }
}

/// Takes events of any layout into a view.
pub(crate) struct Taking {
    layouts: Vec<Option<Known>>,
}

impl Taking {
    /// A view that takes events of these layouts.
    pub(crate) fn new(layouts: Vec<Option<Known>>) -> Taking {
        Taking { layouts }
    }

    /// Fills a row with an event; `None` if the view does not want it.
    pub(crate) fn take<'e>(
        &self,
        event: &'e Event,
        filling: &mut RowBuilder<'e>,
    ) -> Option<EventTime> {
        let mut values = event.values();
        let layout = match values.next() {
            Some(RowValue::Integer(layout)) => usize::try_from(layout).ok()?,
            _ => return None,
        };
        let known = match self.layouts.get(layout)?.as_ref()? {
            Known::Row => {
                let Some(RowValue::Bytes(row)) = values.next() else { return None };
                filling.set_state(row);
                return Some(event.time());
            }
            Known::Columns(known) => known,
        };
        let KnownColumns { derived, source, after, slots, retyped, direct } = known;
        if after.is_some_and(|after| event.time() < after) {
            return None;
        }
        if let Some(direct) = direct {
            for (places, value) in direct.iter().zip(values) {
                match places[..] {
                    [] => {}
                    [at] => filling.set(at, value),
                    _ => places.iter().for_each(|at| filling.set(*at, value.clone())),
                }
            }
            return Some(event.time());
        }
        let columns = &source.reader.slots;
        let mut cells: Vec<Cell<'e>> = vec![Cell::Null; columns.len()];
        for (slot, value) in slots.iter().zip(values) {
            if let Some(slot) = slot {
                cells[*slot] = cell(value);
            }
        }
        for &slot in retyped {
            // A value that is not of the new type stays as it is, and is refused with its type.
            if let Some(cell) = columns[slot].retyped(&cells[slot]) {
                cells[slot] = cell;
            }
        }
        derived.fill(&cells, filling).then(|| event.time())
    }
}
