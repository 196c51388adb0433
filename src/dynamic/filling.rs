//! How an event gets into a dynamic view: what is done for each one.

use std::cell::RefCell;

use xxhash_rust::xxh3::xxh3_64;

use super::plan::Plan;
use super::row::Spare;
use super::{Key, Row, State};
use crate::fold::Enter;
use crate::key::KeyRef;
use crate::speed::{Combiner, Term};
use crate::time::EventTime;

/// How an event fills a row: its event time, or `None` if the view does not want it.
pub(super) type Fill<E> =
    dyn for<'e> Fn(&'e E, &mut Row<'e>) -> Option<EventTime> + Send + Sync + 'static;

/// How events of a type get into a view.
pub(super) struct Filling<E> {
    plan: Plan,
    fill: Box<Fill<E>>,
}

/// What is used for one event after the other.
#[derive(Default)]
struct Scratch {
    row: Spare,
    key: Vec<u8>,
}

impl<E> Filling<E> {
    pub(super) fn new(plan: Plan, fill: Box<Fill<E>>) -> Filling<E> {
        Filling { plan, fill }
    }

    /// Reads an event, if the view wants it: its event time, its row and the encoding of its key.
    pub(super) fn read<T>(
        &self,
        event: &E,
        take: impl FnOnce(&Plan, EventTime, &Row<'_>, &[u8]) -> T,
    ) -> Option<T> {
        thread_local! {
            static SCRATCH: RefCell<Scratch> = RefCell::default();
        }
        // Taken, so that `fill` may do what it likes.
        let Scratch { row, mut key } = SCRATCH.take();
        let mut row = Row::new(&self.plan.columns, row);
        let taken = (self.fill)(event, &mut row).map(|time| {
            key.clear();
            self.plan.put_key(&row, &mut key);
            take(&self.plan, time, &row, &key)
        });
        SCRATCH.set(Scratch { row: row.into_spare(), key });
        taken
    }

    /// The key and the state of an event alone.
    #[cfg(test)]
    pub(super) fn whole(&self, event: &E) -> Option<(EventTime, Key, State)> {
        self.read(event, |plan, time, row, key| {
            (time, Key::of_encoded(key), State::of(plan, time, row))
        })
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

/// What an event adds to the state of its group.
struct One<'a, 'e>(&'a Plan, EventTime, &'a Row<'e>);

impl Term<State> for One<'_, '_> {
    fn state(self) -> State {
        State::of(self.0, self.1, self.2)
    }
    fn add_to(self, state: &mut State) {
        state.add(self.0, self.1, self.2);
    }
}

impl<E: 'static> Enter<E, Key, State> for Filling<E> {
    fn enter(&self, event: &E, combiner: &mut Combiner<Key, State>) -> Option<EventTime> {
        self.read(event, |plan, time, row, key| {
            match row.error() {
                None => combiner.add(time, Encoded(key), One(plan, time, row)),
                Some(error) => combiner.refuse(error),
            }
            time
        })
    }
}
