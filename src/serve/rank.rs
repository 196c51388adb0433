//! The numbers by which keys are ranked: of any size, compared by value.

use std::sync::Arc;

use crate::aggregate::{Aggregate, Decimal};
use crate::schema::{Kind, Value, ViewSchema};
use crate::serve::MeasureFn;

/// The billionths of one decimal unit.
const BILLIONTHS: i128 = 1_000_000_000;

/// A number: its whole part, rounded down, and the rest in billionths. 1.5 and 1.50 are equal, however they were
/// written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank(i128, i128);

/// Computes the rank of an aggregate; `None` comes last.
pub(crate) type RankFn<A> = dyn Fn(&A) -> Option<Rank> + Send + Sync;

impl From<Decimal> for Rank {
    fn from(number: Decimal) -> Rank {
        let billionths = number.billionths();
        Rank(billionths.div_euclid(BILLIONTHS), billionths.rem_euclid(BILLIONTHS))
    }
}

impl Rank {
    /// Whether values of this kind are ranked.
    pub(crate) fn is_of(kind: Kind) -> bool {
        !matches!(kind, Kind::Text | Kind::Bytes)
    }

    /// The rank of a value; `None` for null and texts.
    fn of(value: &Value) -> Option<Rank> {
        match value {
            Value::Integer(number) => Some(Rank(*number, 0)),
            Value::Decimal(number) => Some(Rank::from(*number)),
            Value::Boolean(is_so) => Some(Rank(i128::from(*is_so), 0)),
            Value::Date(day) => Some(Rank(day.0.into(), 0)),
            Value::Timestamp(time) => Some(Rank((*time).into(), 0)),
            Value::Null | Value::Text(_) | Value::Bytes(_) => None,
        }
    }
}

/// Ranks by a measure of the program's own.
pub(crate) fn by_measure<A: 'static>(measure: Arc<MeasureFn<A>>) -> Arc<RankFn<A>> {
    Arc::new(move |aggregate| measure(aggregate).map(Rank::from))
}

/// Ranks by a measure of the schema.
pub(crate) fn by_column<A: Aggregate>(schema: &Arc<ViewSchema>, measure: usize) -> Arc<RankFn<A>> {
    let schema = Arc::clone(schema);
    let wanted: Vec<bool> = (0..schema.measures.len()).map(|at| at == measure).collect();
    Arc::new(move |aggregate| {
        let values = schema.present_wanted(Some(aggregate), &wanted).ok()?;
        Rank::of(&values[measure])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_any_size_compare_by_value() {
        let decimal = |text: &str| Rank::of(&Value::Decimal(text.parse().unwrap()));
        assert_eq!(decimal("1.5"), decimal("1.50"));
        let integer = |number| Rank::of(&Value::Integer(number));
        let ascending = [
            None,
            integer(i128::MIN),
            decimal("-1.000000001"),
            integer(-1),
            decimal("-0.5"),
            decimal("0"),
            decimal("0.000000001"),
            integer(1),
            integer(i128::MAX),
        ];
        assert!(ascending.is_sorted_by(|a, b| a < b), "{ascending:?}");
    }
}
