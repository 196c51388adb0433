//! How a view takes in the events of this run and of earlier ones, whose columns may have been others.

use std::borrow::Cow;
use std::sync::Arc;

use dayfold::dynamic::{Event, RowBuilder, RowValue};
use dayfold::time::EventTime;

use super::layouts::Layout;
use super::record::{Record, Splitter};
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
    derived: Arc<Derived>,
    source: Arc<SourcePlan>,
    /// The view takes no events from before this time.
    after: Option<EventTime>,
    /// The slot of each value of an event, if anything reads it now.
    slots: Vec<Option<usize>>,
    /// The slots of the view that are read from the record: the events do not have their columns, or with another type.
    from_record: Vec<usize>,
    /// The slots of the view whose columns had another type when the event was read, and which are in no record.
    retyped: Vec<usize>,
    /// For each value of an event the places in the view's rows that it goes to, if nothing is computed.
    direct: Option<Vec<Vec<usize>>>,
}

impl KnownColumns {
    pub(crate) fn new(
        derived: &Arc<Derived>,
        source: &Arc<SourcePlan>,
        layout: &Layout,
        after: Option<EventTime>,
    ) -> KnownColumns {
        let columns = &source.reader.slots;
        let slot = |name: &str| columns.iter().position(|column| column.name == name);
        let slots: Vec<Option<usize>> = layout.columns.iter().map(|(name, _)| slot(name)).collect();
        let was = |wanted: usize| slots.iter().position(|slot| *slot == Some(wanted));
        let is_other = |wanted: &usize| {
            was(*wanted)
                .is_none_or(|at| layout.columns[at].1 != columns[*wanted].kind().to_string())
        };
        let others: Vec<usize> = derived.slots.iter().copied().filter(is_other).collect();
        let (from_record, retyped) = match layout.has_record {
            true => (others, Vec::new()),
            // The files of CSV had no such columns.
            false => {
                (Vec::new(), others.into_iter().filter(|other| was(*other).is_some()).collect())
            }
        };
        let columns = derived.columns().filter(|_| from_record.is_empty() && retyped.is_empty());
        let direct = columns.map(|columns| {
            let places = |slot: &Option<usize>| {
                let takes = |(at, column): (usize, &usize)| (Some(*column) == *slot).then_some(at);
                columns.iter().enumerate().filter_map(takes).collect()
            };
            slots.iter().map(places).collect()
        });
        let (derived, source) = (Arc::clone(derived), Arc::clone(source));
        KnownColumns { derived, source, after, slots, from_record, retyped, direct }
    }

    /// Fills a row with the values of an event; `None` if the view does not want it, or if one of its columns is not of
    /// the type that it has now.
    fn take<'e>(
        &self,
        mut values: impl Iterator<Item = RowValue<'e>>,
        filling: &mut RowBuilder<'e>,
    ) -> Option<()> {
        if let Some(direct) = &self.direct {
            for (places, value) in direct.iter().zip(values) {
                match places[..] {
                    [] => {}
                    [at] => filling.set(at, value),
                    _ => places.iter().for_each(|at| filling.set(*at, value.clone())),
                }
            }
            return Some(());
        }
        let columns = &self.source.reader.slots;
        let mut cells: Vec<Cell<'e>> = vec![Cell::Null; columns.len()];
        for (slot, value) in self.slots.iter().zip(values.by_ref()) {
            if let Some(slot) = slot {
                cells[*slot] = cell(value);
            }
        }
        for &slot in &self.retyped {
            cells[slot] =
                columns[slot].retyped(std::mem::replace(&mut cells[slot], Cell::Null)).ok()?;
        }
        if !self.from_record.is_empty() {
            // The values of an event are borrowed from it. Records are kept as JSON, whatever the source has now.
            let Some(RowValue::Text(Cow::Borrowed(record))) = values.next() else { return None };
            let Ok(Record::Object(object)) = Splitter::Json.split(record.as_bytes()) else {
                return None;
            };
            for &slot in &self.from_record {
                cells[slot] = columns[slot].of_object(&object).ok()?;
            }
        }
        self.derived.fill(&cells, filling).then_some(())
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
        match self.layouts.get(layout)?.as_ref()? {
            Known::Row => {
                let Some(RowValue::Bytes(row)) = values.next() else { return None };
                filling.set_state(row);
                Some(event.time())
            }
            Known::Columns(known) if known.after.is_some_and(|after| event.time() < after) => None,
            Known::Columns(known) => known.take(values, filling).map(|()| event.time()),
        }
    }
}
