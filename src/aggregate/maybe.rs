//! An aggregate of values that some events lack.

use differential_dataflow::difference::{IsZero, Monoid, Semigroup};
use serde::{Deserialize, Serialize};

use super::Aggregate;
use crate::schema::id::compose;
use crate::schema::{AggregateShape, Presented};

/// An aggregate, or none if no event had a value. `Maybe(None)` is the identity of ⊕.
///
/// ```
/// use dayfold::aggregate::{Max, Maybe, Semigroup};
///
/// let mut longest = Maybe(None);
/// longest.plus_equals(&Maybe(Some(Max(7))));
/// longest.plus_equals(&Maybe(None));
/// assert_eq!(longest, Maybe(Some(Max(7))));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Maybe<A>(pub Option<A>);

impl<A> Maybe<A> {
    /// Adds an event to an existing state with `add`, or makes the first state with `state`.
    ///
    /// ```
    /// use dayfold::aggregate::{Max, Maybe};
    ///
    /// let mut longest = Maybe(None);
    /// for minutes in [Some(3), None, Some(7)] {
    ///     if let Some(minutes) = minutes {
    ///         longest.add(|longest: &mut Max<u64>| longest.add(&minutes), || Max(minutes));
    ///     }
    /// }
    /// assert_eq!(longest, Maybe(Some(Max(7))));
    /// ```
    #[inline]
    pub fn add(&mut self, add: impl FnOnce(&mut A), state: impl FnOnce() -> A) {
        match &mut self.0 {
            Some(there) => add(there),
            None => self.0 = Some(state()),
        }
    }
}

impl<A> Default for Maybe<A> {
    fn default() -> Maybe<A> {
        Maybe(None)
    }
}

impl<A> IsZero for Maybe<A> {
    /// Whether there is no value. Values that cancel out are values.
    #[inline]
    fn is_zero(&self) -> bool {
        self.0.is_none()
    }
}

impl<A: Semigroup> Semigroup for Maybe<A> {
    #[inline]
    fn plus_equals(&mut self, rhs: &Maybe<A>) {
        match (&mut self.0, &rhs.0) {
            (Some(left), Some(right)) => left.plus_equals(right),
            (None, Some(right)) => self.0 = Some(right.clone()),
            (_, None) => {}
        }
    }
}

impl<A: Semigroup> Monoid for Maybe<A> {
    #[inline]
    fn zero() -> Maybe<A> {
        Maybe(None)
    }
}

impl<A: Aggregate> Aggregate for Maybe<A> {
    fn id() -> String {
        compose("maybe", &[A::id()])
    }

    fn shape() -> AggregateShape {
        A::shape().nullable()
    }

    fn present(state: Option<&Maybe<A>>, out: &mut Presented<'_>) {
        A::present(state.and_then(|state| state.0.as_ref()), out);
    }

    #[inline]
    fn heap_bytes(&self) -> usize {
        self.0.as_ref().map_or(0, Aggregate::heap_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::laws::{check_add, check_laws};
    use crate::aggregate::{Count, Max, Min};

    #[test]
    fn laws_of_maybe() {
        check_laws(&[Maybe(None), Maybe(Some(Max(3u64))), Maybe(Some(Max(5)))]);
        check_laws(&[Maybe(None), Maybe(Some(Count(0))), Maybe(Some(Count(-2)))]);
    }

    #[test]
    fn to_add_an_event_is_plus() {
        let sample = [Maybe(None), Maybe(Some(Max(3u64)))];
        let add = |value: &u64, state: &mut Maybe<Max<u64>>| {
            state.add(|max| max.add(value), || Max(*value));
        };
        check_add(&sample, &[1, 5, 3], add, |value| Maybe(Some(Max(*value))));
    }

    #[test]
    fn heap_of_what_is_there() {
        assert_eq!(Maybe(Some(Min(vec![1u8, 2]))).heap_bytes(), 2);
        assert_eq!(Maybe::<Min<Vec<u8>>>(None).heap_bytes(), 0);
    }
}
