//! The laws of [`Aggregate`], to be tested on samples; for your own aggregates too.

use std::cmp::Ordering;

use super::Aggregate;
use crate::schema::id::TypeId;
use crate::schema::{AggregateShape, Presented};

/// Checks the laws of [`Aggregate`] on a sample of states: ⊕ is associative and commutative, by `==`, by `cmp` and by
/// the bytes of [`bincode`]; a state that says it is zero is the identity; a state survives serialization; the id is
/// valid; and a state presents one value for each of its measures, of its kind.
///
/// Every triple of the sample is tried, so a dozen states are a good sample: the extremes, states of one event, and
/// states large enough to have changed their form. Do not mix states that never meet in one view, such as vectors of
/// different lengths.
///
/// # Panics
/// With a message that names the law and the states.
pub fn check_laws<A: Aggregate>(sample: &[A]) {
    check_laws_of(&A::shape(), sample);
}

/// As [`check_laws`], for states that are presented otherwise than their type says.
#[track_caller]
pub(crate) fn check_laws_of<A: Aggregate>(shape: &AggregateShape, sample: &[A]) {
    let id = A::id();
    assert!(TypeId::parse(&id).is_some(), "'{id}' is no id: see Aggregate::id");
    for a in sample {
        check_presented(shape, a);
        check_round_trip(a);
        for b in sample {
            let sum = plus(a, b);
            check_round_trip(&sum);
            check_same("a ⊕ b = b ⊕ a", &sum, &plus(b, a), &[a, b]);
            if a.is_zero() {
                check_same("0 ⊕ b = b", &sum, b, &[a, b]);
            }
            for c in sample {
                let (left, right) = (plus(&sum, c), plus(a, &plus(b, c)));
                check_same("(a ⊕ b) ⊕ c = a ⊕ (b ⊕ c)", &left, &right, &[a, b, c]);
            }
        }
    }
}

/// Checks that `add` equals ⊕ with the state of one event, for an aggregate with an `add` in place, and for a
/// [`Fold`](crate::Fold), whose keys [`check_fold`](crate::fold::check_fold) checks as well.
///
/// Every event is added to every state of the sample, and to each sum of such a state and another event. All events are
/// also added one after the other to the state of the first.
///
/// ```
/// use dayfold::aggregate::{Distinct, laws};
///
/// let users = ["ada", "grace", "ada"];
/// let states = users.map(|user| Distinct::of(user.as_bytes()));
/// let add = |user: &&str, state: &mut Distinct| state.add(user.as_bytes());
/// laws::check_add(&states, &users, add, |user| Distinct::of(user.as_bytes()));
/// ```
///
/// # Panics
/// With a message that names the law and the states.
pub fn check_add<E, A: Aggregate>(
    sample: &[A],
    events: &[E],
    add: impl Fn(&E, &mut A),
    state: impl Fn(&E) -> A,
) {
    let check = |before: &A, event: &E| {
        let (mut added, one) = (before.clone(), state(event));
        add(event, &mut added);
        check_same("add(e) = ⊕ of its state", &added, &plus(before, &one), &[before, &one]);
        added
    };
    let few = &events[..events.len().min(12)];
    for before in sample {
        for event in few {
            let added = check(before, event);
            few.iter().for_each(|next| drop(check(&added, next)));
        }
    }
    if let Some((first, rest)) = events.split_first() {
        let mut all = state(first);
        for event in rest {
            all = check(&all, event);
        }
    }
}

fn plus<A: Aggregate>(a: &A, b: &A) -> A {
    let mut sum = a.clone();
    sum.plus_equals(b);
    sum
}

#[track_caller]
fn check_same<A: Aggregate>(law: &str, left: &A, right: &A, states: &[&A]) {
    assert!(left == right, "{law} is broken: {left:?} != {right:?}, from {states:?}");
    assert!(left.cmp(right) == Ordering::Equal, "{law} is broken by cmp, from {states:?}");
    let (left, right) = (bytes(left), bytes(right));
    assert!(left == right, "{law} is broken in the bytes {left:?} != {right:?}, from {states:?}");
}

#[track_caller]
fn check_round_trip<A: Aggregate>(state: &A) {
    let written = bytes(state);
    match bincode::deserialize::<A>(&written) {
        Ok(read) => check_same("read(write(a)) = a", &read, state, &[state]),
        Err(error) => panic!("read(write(a)) = a is broken: {error}, from {state:?}"),
    }
}

/// There is one value for each measure, of its kind, and null only if the measure allows it.
#[track_caller]
fn check_presented<A: Aggregate>(shape: &AggregateShape, state: &A) {
    let measures = shape.unnamed();
    for state in [Some(state), None] {
        let mut out = Presented::new(shape.parameters(), None);
        A::present(state, &mut out);
        assert_eq!(out.values().len(), measures.len(), "as many values as measures, of {state:?}");
        for (value, measure) in out.values().iter().zip(&measures) {
            let is_kind = match value.kind() {
                Some(kind) => kind == measure.kind,
                None => measure.nullable || state.is_none(),
            };
            assert!(is_kind, "{value:?} is no value of {measure:?}, of {state:?}");
        }
    }
}

#[track_caller]
fn bytes<A: Aggregate>(state: &A) -> Vec<u8> {
    match bincode::serialize(state) {
        Ok(bytes) => bytes,
        Err(error) => panic!("a state is not written: {error}, from {state:?}"),
    }
}

#[cfg(test)]
mod tests {
    use differential_dataflow::difference::{IsZero, Semigroup};
    use serde::{Deserialize, Serialize};

    use super::*;
    use crate::schema::{Kind, Measure};

    /// The last value seen, which depends on the order.
    #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
    struct Last(u64);

    impl IsZero for Last {
        fn is_zero(&self) -> bool {
            false
        }
    }

    impl Semigroup for Last {
        fn plus_equals(&mut self, rhs: &Last) {
            self.0 = rhs.0;
        }
    }

    impl Aggregate for Last {
        fn id() -> String {
            "last".to_owned()
        }
    }

    /// Half the sum: commutative, not associative.
    #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
    struct Middle(u64);

    impl IsZero for Middle {
        fn is_zero(&self) -> bool {
            false
        }
    }

    impl Semigroup for Middle {
        fn plus_equals(&mut self, rhs: &Middle) {
            self.0 = (self.0 + rhs.0) / 2;
        }
    }

    impl Aggregate for Middle {
        fn id() -> String {
            "middle".to_owned()
        }
    }

    #[test]
    #[should_panic(
        expected = "a ⊕ b = b ⊕ a is broken: Last(2) != Last(1), from [Last(1), Last(2)]"
    )]
    fn what_does_not_commute_is_named() {
        check_laws(&[Last(1), Last(2)]);
    }

    /// It declares measures, but presents none.
    #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
    struct Silent(u64);

    impl IsZero for Silent {
        fn is_zero(&self) -> bool {
            false
        }
    }

    impl Semigroup for Silent {
        fn plus_equals(&mut self, rhs: &Silent) {
            self.0 |= rhs.0;
        }
    }

    impl Aggregate for Silent {
        fn id() -> String {
            "silent".to_owned()
        }

        fn shape() -> AggregateShape {
            AggregateShape::one("n", Measure::new("", Kind::Integer))
        }
    }

    #[test]
    #[should_panic(expected = "as many values as measures, of Some(Silent(1))")]
    fn what_is_not_shown_as_it_says_is_named() {
        check_laws(&[Silent(1)]);
    }

    #[test]
    #[should_panic(expected = "(a ⊕ b) ⊕ c = a ⊕ (b ⊕ c) is broken")]
    fn what_does_not_associate_is_named() {
        check_laws(&[Middle(0), Middle(4), Middle(8)]);
    }
}
