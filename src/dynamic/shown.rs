//! How a measure is computed from a state.

use super::cell::MeasureState;
use super::top;
use crate::aggregate::{Distinct, Maybe};
use crate::schema::Value;

/// What a measure shows of a state: which cell, and what of it. A view's schema keeps this as three numbers, so that
/// every reader of a folder shows the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    /// 0 is the number of events; otherwise the place of a cell, from 1.
    pub(super) cell: u32,
    pub(super) how: How,
}

/// The part of a cell that is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// What it is.
    Whole,
    /// The sum of a mean.
    Sum,
    /// The number of values of a mean.
    Count,
    /// The quantile at this many billionths.
    Quantile(u32),
    /// The sketch, which others can merge.
    Sketch,
    /// This many of the most frequent values.
    Top(u32),
}

/// One, in billionths.
pub(super) const ONE: u32 = 1_000_000_000;

impl Shown {
    pub(super) fn parameters(self) -> [u32; 3] {
        let (how, of) = match self.how {
            How::Whole => (0, 0),
            How::Sum => (1, 0),
            How::Count => (2, 0),
            How::Quantile(of) => (3, of),
            How::Sketch => (4, 0),
            How::Top(n) => (5, n),
        };
        [self.cell, how, of]
    }

    /// Unknown measures have null values.
    pub(super) fn read(parameters: &[u32]) -> impl Iterator<Item = Shown> {
        parameters.as_chunks().0.iter().map(|&[cell, how, of]| {
            let how = match how {
                0 => How::Whole,
                1 => How::Sum,
                2 => How::Count,
                3 => How::Quantile(of),
                5 => How::Top(of),
                _ => How::Sketch,
            };
            Shown { cell, how }
        })
    }

    /// The value for a state with this many events and these cells.
    pub(super) fn of(self, state: Option<(i64, &[MeasureState])>) -> Value {
        let Some((rows, cells)) = state else { return Value::Null };
        match self.cell.checked_sub(1) {
            None => Value::Integer(rows.into()),
            Some(at) => {
                let cell = cells.get(at as usize);
                Value::or_null(cell.and_then(|cell| self.how.of(cell)))
            }
        }
    }
}

impl How {
    pub(super) fn of(self, cell: &MeasureState) -> Option<Value> {
        Some(match (cell, self) {
            (MeasureState::Count(count), _) => Value::Integer(count.0.into()),
            (MeasureState::Sum(Maybe(sum)), _) => Value::Integer((*sum)?.value()),
            (MeasureState::DecimalSum(Maybe(sum)), _) => Value::Decimal((*sum)?.value()),
            (MeasureState::Mean(Maybe(mean)), How::Sum) => Value::Decimal((*mean)?.sum()),
            (MeasureState::Mean(Maybe(mean)), How::Count) => {
                Value::Integer(mean.map_or(0, |mean| mean.count().into()))
            }
            (MeasureState::Mean(Maybe(mean)), _) => Value::Decimal((*mean)?.rounded()?),
            (MeasureState::Min(Maybe(min)), _) => min.as_ref()?.0.clone(),
            (MeasureState::Max(Maybe(max)), _) => max.as_ref()?.0.clone(),
            (MeasureState::First(Maybe(first)), _) => first.as_ref()?.value.clone(),
            (MeasureState::Last(Maybe(last)), _) => last.as_ref()?.value.clone(),
            (MeasureState::Distinct(Maybe(distinct)), How::Sketch) => {
                Value::Bytes(distinct.as_ref()?.to_sketch_bytes())
            }
            (MeasureState::Distinct(Maybe(distinct)), _) => {
                Value::Integer(distinct.as_ref().map_or(0, Distinct::rounded).into())
            }
            (MeasureState::Quantiles(Maybe(quantiles)), How::Quantile(of)) => {
                Value::Decimal(quantiles.as_ref()?.quantile(of.into(), ONE.into())?)
            }
            (MeasureState::Top(Maybe(top)), How::Top(n)) => top::shown(top.as_ref()?, n),
            (MeasureState::Top(_), _) => return None,
            (MeasureState::Quantiles(Maybe(quantiles)), _) => {
                Value::Bytes(quantiles.as_ref()?.to_bytes())
            }
        })
    }
}
