//! Folding in place: adds events to a view without making a key and a state for each.

use crate::aggregate::{Aggregate, Semigroup, laws};
use crate::key::{Key, KeyRef, Made, check_key_ref};
use crate::speed::{Combiner, StateOfOne, Term};
use crate::time::EventTime;

/// How a view folds events in place. If the group of an event already has a row in this tick, the event is added to the
/// state there, and neither a key nor a state is made.
///
/// It splits the function `event ↦ (time, key, state)`, which [`Engine::view`](crate::Engine::view) and
/// [`FoldDays::fold_days`](crate::FoldDays::fold_days) take, into three parts. It is faster if keys or states use heap.
/// [`check_fold`] tests that the parts agree.
///
/// ```
/// use dayfold::Fold;
/// use dayfold::aggregate::{Count, Distinct};
/// use dayfold::fold::check_fold;
/// use dayfold::time::EventTime;
///
/// struct Visit {
///     time: EventTime,
///     page: String,
///     user: u64,
/// }
///
/// /// Visits and visitors of each page.
/// struct PerPage;
///
/// impl Fold<Visit> for PerPage {
///     type Key = String;
///     type KeyRef<'a> = &'a str;
///     type State = (Count, Distinct);
///
///     fn group<'a>(&'a self, visit: &'a Visit) -> Option<(EventTime, &'a str)> {
///         Some((visit.time, visit.page.as_str()))
///     }
///
///     fn state(&self, visit: &Visit) -> (Count, Distinct) {
///         (Count::one(), Distinct::of(&visit.user.to_le_bytes()))
///     }
///
///     fn add(&self, visit: &Visit, (visits, visitors): &mut (Count, Distinct)) {
///         visits.add();
///         visitors.add(&visit.user.to_le_bytes());
///     }
/// }
///
/// let visit = |page: &str, user| Visit { time: 0, page: page.to_owned(), user };
/// check_fold(&PerPage, &[visit("/", 1), visit("/", 2), visit("/", 1), visit("/about", 2)]);
/// ```
pub trait Fold<E>: 'static {
    /// The key of the view.
    type Key: Key;

    /// The key as an event has it: borrowed from the event or from the fold.
    type KeyRef<'a>: KeyRef<Self::Key>
    where
        Self: 'a,
        E: 'a;

    /// The aggregate of the view.
    type State: Aggregate;

    /// The event time and the key of an event, or `None` if the view does not want it.
    fn group<'a>(&'a self, event: &'a E) -> Option<(EventTime, Self::KeyRef<'a>)>;

    /// The state of one event that the view wants.
    fn state(&self, event: &E) -> Self::State;

    /// Adds an event that the view wants to a state: `state ⊕ self.state(event)`, to the bit.
    fn add(&self, event: &E, state: &mut Self::State) {
        state.plus_equals(&self.state(event));
    }
}

/// Checks that the parts of a [`Fold`] agree on a sample of events: its borrowed keys stand for the keys that they
/// make, and adding an event equals ⊕ with its state. The states of the events satisfy [`laws::check_laws`] as well.
///
/// Every event is added to every state of one event and of two, so a dozen events are a good sample. All events that
/// the view wants are also added one after the other. If a state changes its form beyond some number of events, the
/// sample must be that large to test it.
///
/// # Panics
/// With a message that names the law and the states.
pub fn check_fold<'a, E, F>(fold: &'a F, events: &'a [E])
where
    F: Fold<E>,
    F::KeyRef<'a>: Clone,
{
    let (keys, wanted): (Vec<F::KeyRef<'a>>, Vec<&E>) =
        events.iter().filter_map(|event| fold.group(event).map(|(_, key)| (key, event))).unzip();
    check_key_ref(&keys);
    let few: Vec<F::State> = wanted.iter().take(8).map(|event| fold.state(event)).collect();
    laws::check_laws(&few);
    laws::check_add(
        &few,
        &wanted,
        |event, state| fold.add(event, state),
        |event| fold.state(event),
    );
}

/// An event, and the function that makes its state.
struct Event<'a, E, F>(&'a F, &'a E);

impl<E, F: Fold<E>> Term<F::State> for Event<'_, E, F> {
    #[inline]
    fn state(self) -> F::State {
        self.0.state(self.1)
    }
    #[inline]
    fn add_to(self, state: &mut F::State) {
        self.0.add(self.1, state);
    }
}

/// How events enter the rows of a tick, both when they come in and when the log is read again.
pub(crate) trait Enter<E, K: Key, A: Aggregate>: 'static {
    /// Enters events, and calls `took` with the event time of each event that the view wants.
    fn enter<'e>(
        &self,
        events: impl Iterator<Item = &'e E>,
        combiner: &mut Combiner<K, A>,
        took: impl FnMut(&'e E, EventTime),
    ) where
        E: 'e;
}

/// The simple form: a function that makes a key and a state for every event.
pub(crate) struct Whole<F>(pub(crate) F);

impl<E, K, A, F> Enter<E, K, A> for Whole<F>
where
    K: Key,
    A: Aggregate,
    F: Fn(&E) -> Option<(EventTime, K, A)> + 'static,
{
    #[inline]
    fn enter<'e>(
        &self,
        events: impl Iterator<Item = &'e E>,
        combiner: &mut Combiner<K, A>,
        mut took: impl FnMut(&'e E, EventTime),
    ) where
        E: 'e,
    {
        for event in events {
            let Some((time, key, aggregate)) = (self.0)(event) else { continue };
            combiner.add(time, Made(key), StateOfOne(aggregate));
            took(event, time);
        }
    }
}

/// The form that adds in place.
pub(crate) struct InPlace<F>(pub(crate) F);

impl<E, F: Fold<E>> Enter<E, F::Key, F::State> for InPlace<F> {
    #[inline]
    fn enter<'e>(
        &self,
        events: impl Iterator<Item = &'e E>,
        combiner: &mut Combiner<F::Key, F::State>,
        mut took: impl FnMut(&'e E, EventTime),
    ) where
        E: 'e,
    {
        for event in events {
            let Some((time, key)) = self.0.group(event) else { continue };
            combiner.add(time, key, Event(&self.0, event));
            took(event, time);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::{Count, Max};

    /// It counts, but ignores half of what it adds.
    struct Wrong;

    impl Fold<u64> for Wrong {
        type Key = u64;
        type KeyRef<'a> = u64;
        type State = (Count, Max<u64>);

        fn group<'a>(&'a self, event: &'a u64) -> Option<(EventTime, u64)> {
            (*event > 0).then_some((0, event % 2))
        }

        fn state(&self, event: &u64) -> (Count, Max<u64>) {
            (Count::one(), Max(*event))
        }

        fn add(&self, _: &u64, state: &mut (Count, Max<u64>)) {
            state.0.add();
        }
    }

    #[test]
    #[should_panic(expected = "add(e) = ⊕ of its state is broken")]
    fn what_is_not_added_is_named() {
        check_fold(&Wrong, &[0, 1, 2]);
    }

    #[test]
    fn of_equal_events_nothing_is_wrong() {
        check_fold(&Wrong, &[3, 0, 3]);
    }
}
