//! What an event adds to a state.

use crate::aggregate::Aggregate;

/// What an event adds to the state of its group.
pub(crate) trait Term<A> {
    /// The state of this event alone.
    fn state(self) -> A;
    /// Adds the event to a state.
    fn add_to(self, state: &mut A);
}

/// The state of a single event.
pub(crate) struct StateOfOne<A>(pub(crate) A);

impl<A: Aggregate> Term<A> for StateOfOne<A> {
    #[inline]
    fn state(self) -> A {
        self.0
    }
    #[inline]
    fn add_to(self, state: &mut A) {
        state.plus_equals(&self.0);
    }
}
