//! The first and the last value, by event time.

use differential_dataflow::difference::{IsZero, Semigroup};
use serde::{Deserialize, Serialize};

use super::{Aggregate, Scalar};
use crate::schema::id::compose;
use crate::schema::{AggregateShape, Measure, Presented, Value};
use crate::time::EventTime;

/// The value of the earliest event. If several have the same time, it is the least value, so that ⊕ is commutative.
///
/// Values that are equal must be the same to the bit, as they are with a derived [`Ord`].
///
/// ```
/// use dayfold::aggregate::{First, Semigroup};
///
/// let mut status = First::of(2_000, "paid".to_owned());
/// status.plus_equals(&First::of(1_000, "ordered".to_owned()));
/// assert_eq!(status.value, "ordered");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct First<T> {
    /// When it was.
    pub time: EventTime,
    /// The value.
    pub value: T,
}

/// The value of the latest event. If several have the same time, it is the greatest value, so that ⊕ is commutative.
///
/// Values that are equal must be the same to the bit, as they are with a derived [`Ord`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Last<T> {
    /// When it was.
    pub time: EventTime,
    /// The value.
    pub value: T,
}

macro_rules! end {
    ($name:ident, $id:literal keeps $better:tt) => {
        impl<T> $name<T> {
            /// The value of one event.
            #[inline]
            pub fn of(time: EventTime, value: T) -> Self {
                $name { time, value }
            }
        }

        impl<T> IsZero for $name<T> {
            #[inline]
            fn is_zero(&self) -> bool {
                false
            }
        }

        impl<T: Ord + Clone> Semigroup for $name<T> {
            #[inline]
            fn plus_equals(&mut self, rhs: &Self) {
                if (rhs.time, &rhs.value) $better (self.time, &self.value) {
                    self.clone_from(rhs);
                }
            }
        }

        impl<T: Scalar> Aggregate for $name<T> {
            fn id() -> String {
                compose($id, &[T::id()])
            }

            fn shape() -> AggregateShape {
                AggregateShape::one($id, Measure::new("", T::KIND))
            }

            fn present(state: Option<&Self>, out: &mut Presented<'_>) {
                out.put(|| Value::or_null(state.map(|state| state.value.value())));
            }

            #[inline]
            fn heap_bytes(&self) -> usize {
                self.value.heap_bytes()
            }
        }
    };
}

end!(First, "first" keeps <);
end!(Last, "last" keeps >);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::Decimal;
    use crate::aggregate::laws::check_laws;

    #[test]
    fn laws_of_first_and_last() {
        let texts = [(5, "b"), (5, "a"), (-1, "c"), (EventTime::MAX, "")];
        check_laws(&texts.map(|(time, text)| First::of(time, text.to_owned())));
        check_laws(&texts.map(|(time, text)| Last::of(time, text.to_owned())));
        let numbers = [(0, "1.5"), (0, "1.50"), (0, "-2")];
        check_laws(&numbers.map(|(time, text)| First::of(time, text.parse::<Decimal>().unwrap())));
    }

    #[test]
    fn time_decides_and_then_the_value() {
        let events = [(3, "x"), (1, "b"), (1, "a"), (4, "c"), (4, "d")];
        let mut first = First::of(events[0].0, events[0].1);
        let mut last = Last::of(events[0].0, events[0].1);
        for (time, value) in events {
            first.plus_equals(&First::of(time, value));
            last.plus_equals(&Last::of(time, value));
        }
        assert_eq!((first, last), (First::of(1, "a"), Last::of(4, "d")));
    }
}
