//! The least and the greatest value.

use std::borrow::Borrow;

use differential_dataflow::difference::{IsZero, Semigroup};
use serde::{Deserialize, Serialize};

use super::{Aggregate, Scalar};
use crate::schema::id::compose;
use crate::schema::{AggregateShape, Measure, Presented, Value};

/// The least value.
///
/// Values that are equal must be the same to the bit, as they are with a derived [`Ord`].
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Min<T>(pub T);

/// The greatest value.
///
/// Values that are equal must be the same to the bit, as they are with a derived [`Ord`].
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Max<T>(pub T);

macro_rules! extreme {
    ($name:ident, $id:literal keeps $better:tt) => {
        impl<T: Ord> $name<T> {
            /// Adds a borrowed value by ⊕. It is copied only if it becomes the result.
            #[inline]
            pub fn add<V: ?Sized + Ord + ToOwned<Owned = T>>(&mut self, value: &V)
            where
                T: Borrow<V>,
            {
                if value $better self.0.borrow() {
                    value.clone_into(&mut self.0);
                }
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
                if rhs.0 $better self.0 {
                    self.0.clone_from(&rhs.0);
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
                out.put(|| Value::or_null(state.map(|state| state.0.value())));
            }

            #[inline]
            fn heap_bytes(&self) -> usize {
                self.0.heap_bytes()
            }
        }
    };
}

extreme!(Min, "min" keeps <);
extreme!(Max, "max" keeps >);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::Decimal;
    use crate::aggregate::laws::{check_add, check_laws};

    #[test]
    fn laws_of_extremes() {
        check_laws(&[Min(3u64), Min(0), Min(u64::MAX)]);
        check_laws(&["b", "", "a"].map(|text| Max(text.to_owned())));
        // The same number at two scales: the same one is kept, whatever the order.
        let values = ["1.5", "1.50", "-2"].map(|text| text.parse::<Decimal>().unwrap());
        check_laws(&values.map(Min));
        check_laws(&values.map(Max));
    }

    #[test]
    fn to_add_a_borrowed_value_is_plus() {
        let texts = ["b", "", "a", "b"];
        let max = |text: &&str| Max((*text).to_owned());
        check_add(&texts.each_ref().map(max), &texts, |text, state| state.add(*text), max);
        let min = |text: &&str| Min((*text).to_owned());
        check_add(&texts.each_ref().map(min), &texts, |text, state| state.add(*text), min);
        let numbers = [3u64, 0, u64::MAX];
        check_add(
            &numbers.map(Max),
            &numbers,
            |value, state| state.add(value),
            |value| Max(*value),
        );
    }

    #[test]
    fn the_least_and_the_greatest_stay() {
        let (mut least, mut greatest) = (Min(5), Max(5));
        for value in [7, -2, 6] {
            least.plus_equals(&Min(value));
            greatest.plus_equals(&Max(value));
        }
        assert_eq!((least, greatest), (Min(-2), Max(7)));
    }

    #[test]
    fn heap_of_texts_is_counted() {
        assert_eq!(Max("four".to_owned()).heap_bytes(), 4);
        assert_eq!(Max(4u64).heap_bytes(), 0);
    }
}
