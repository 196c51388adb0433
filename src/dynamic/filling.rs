//! How events enter a dynamic view: the work for each event.

use xxhash_rust::xxh3::xxh3_64;

use super::plan::Plan;
use super::{Key, RowBuilder, RowError, State, read_values};
use crate::codec::{decode, unpack_row};
use crate::fold::Enter;
use crate::key::KeyRef;
use crate::schema::Value;
use crate::speed::{Combiner, StateOfOne, Term};
use crate::time::EventTime;

/// How an event fills a row: its event time, or `None` if the view does not want it.
pub(super) type Fill<E> =
    dyn for<'e> Fn(&'e E, &mut RowBuilder<'e>) -> Option<EventTime> + Send + Sync + 'static;

/// How events of a type enter a view.
pub(super) struct Filling<E> {
    plan: Plan,
    fill: Box<Fill<E>>,
}

impl<E> Filling<E> {
    pub(super) fn new(plan: Plan, fill: Box<Fill<E>>) -> Filling<E> {
        Filling { plan, fill }
    }

    /// The key and the state of an event alone.
    #[cfg(test)]
    pub(super) fn whole(&self, event: &E) -> Option<(EventTime, Key, State)> {
        let mut row = RowBuilder::new(&self.plan.columns);
        let time = (self.fill)(event, &mut row)?;
        let mut key = Vec::new();
        self.plan.put_key(&row, &mut key);
        Some((time, Key::of_encoded(&key), State::of(&self.plan, time, &row)))
    }

    /// Adds an event that the view wants to a state.
    #[cfg(test)]
    pub(super) fn add(&self, event: &E, state: &mut State) {
        let mut row = RowBuilder::new(&self.plan.columns);
        let time = (self.fill)(event, &mut row).expect("the view wants the event");
        state.add(&self.plan, time, &row);
    }
}

/// A key in the scratch of an event.
#[derive(Clone, Copy)]
pub(super) struct Encoded<'a>(pub(super) &'a [u8]);

impl KeyRef<Key> for Encoded<'_> {
    fn encode_key(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.0);
    }
    #[inline]
    fn hash_key(&self) -> u64 {
        xxh3_64(self.0)
    }
    #[inline]
    fn is_key(&self, key: &Key) -> bool {
        self.0 == key.as_bytes()
    }
    fn into_key(self) -> Key {
        Key::of_encoded(self.0)
    }
}

/// The key and the state of a whole row, if it is one of the view.
fn row_of<'b>(plan: &Plan, bytes: &'b [u8]) -> Option<(&'b [u8], State)> {
    let (key, state) = unpack_row(bytes)?;
    let (mut rest, mut values) = (key, Vec::new());
    read_values(&mut rest, &mut values).ok()?;
    let fits = |(value, &at): (&Value, &usize)| {
        value.kind().is_none_or(|kind| plan.columns.kind(at) == Some(kind))
    };
    let is_of_view =
        rest.is_empty() && values.len() == plan.key.len() && values.iter().zip(&plan.key).all(fits);
    let state: State = decode(state).ok()?;
    let kinds: Vec<_> = plan.cells.iter().map(|(kind, _)| *kind).collect();
    (is_of_view && state.fits(&kinds)).then_some((key, state))
}

/// The contribution of an event to the state of its group.
struct One<'a, 'e>(&'a Plan, EventTime, &'a RowBuilder<'e>);

impl Term<State> for One<'_, '_> {
    fn state(self) -> State {
        State::of(self.0, self.1, self.2)
    }
    fn add_to(self, state: &mut State) {
        state.add(self.0, self.1, self.2);
    }
}

impl<E: 'static> Enter<E, Key, State> for Filling<E> {
    fn enter<'e>(
        &self,
        events: impl Iterator<Item = &'e E>,
        combiner: &mut Combiner<Key, State>,
        mut took: impl FnMut(&'e E, EventTime),
    ) {
        // The row and the encoding of its key, for one event after the other.
        let (mut row, mut key) = (RowBuilder::new(&self.plan.columns), Vec::new());
        for event in events {
            row.clear();
            let Some(time) = (self.fill)(event, &mut row) else { continue };
            if let Some(bytes) = row.state() {
                match row_of(&self.plan, bytes) {
                    Some((key, state)) => combiner.add(time, Encoded(key), StateOfOne(state)),
                    None => combiner.refuse(&RowError::State),
                }
                took(event, time);
                continue;
            }
            match row.error() {
                None => {
                    key.clear();
                    self.plan.put_key(&row, &mut key);
                    combiner.add(time, Encoded(&key), One(&self.plan, time, &row));
                }
                Some(error) => combiner.refuse(error),
            }
            took(event, time);
        }
    }
}
