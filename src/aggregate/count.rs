//! Counting.

use differential_dataflow::difference::{Abelian, IsZero, Monoid, Semigroup};
use serde::{Deserialize, Serialize};

use super::Aggregate;
use crate::schema::additive;
use crate::schema::{AggregateShape, Kind, Presented, Value};

/// How many events.
///
/// An `i64`, so that counts can be retracted ([`Abelian`]). It holds 9·10¹⁸ events; ⊕ wraps beyond that, which keeps
/// the laws and cannot panic.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Count(pub i64);

impl Count {
    /// The count of one event.
    #[inline]
    pub fn one() -> Count {
        Count(1)
    }

    /// Counts one more event: ⊕ of [`Count::one`].
    #[inline]
    pub fn add(&mut self) {
        self.0 = self.0.wrapping_add(1);
    }
}

impl IsZero for Count {
    #[inline]
    fn is_zero(&self) -> bool {
        self.0 == 0
    }
}

impl Semigroup for Count {
    #[inline]
    fn plus_equals(&mut self, rhs: &Count) {
        self.0 = self.0.wrapping_add(rhs.0);
    }
}

impl Monoid for Count {
    #[inline]
    fn zero() -> Count {
        Count(0)
    }
}

impl Abelian for Count {
    #[inline]
    fn negate(&mut self) {
        self.0 = self.0.wrapping_neg();
    }
}

super::multiply!(Count(i64) by i32, i64, isize);

impl Aggregate for Count {
    fn id() -> String {
        "count".to_owned()
    }

    fn shape() -> AggregateShape {
        AggregateShape::one("count", additive(Kind::Integer))
    }

    fn present(state: Option<&Count>, out: &mut Presented<'_>) {
        out.put(|| Value::or_null(state.map(|count| Value::Integer(count.0.into()))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::laws::{check_add, check_laws};

    #[test]
    fn laws_of_count() {
        let sample = [Count(0), Count::one(), Count(-3), Count(i64::MAX), Count(i64::MIN)];
        check_laws(&sample);
        check_add(&sample, &[(), ()], |(), count| count.add(), |()| Count::one());
    }

    #[test]
    fn a_count_and_its_negation_are_zero() {
        let mut count = Count(5);
        let mut back = count;
        back.negate();
        count.plus_equals(&back);
        assert!(count.is_zero());
        assert_eq!(count, Count::zero());
    }
}
