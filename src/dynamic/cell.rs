//! Cells of states: any aggregate of the library, over values of a declared kind.

use serde::{Deserialize, Serialize};

use super::{RowValue, top};
use crate::aggregate::{
    Aggregate as _, Count, Decimal, DecimalSum, Distinct, First, Last, Max, Maybe, Mean, Min,
    Quantiles, Semigroup, Sum, Top,
};
use crate::schema::id::{TypeId, compose};
use crate::schema::{Kind, Value};
use crate::time::EventTime;

/// One aggregate of a state, over the values of one column, without nulls.
// Files identify a kind by its position, so new kinds come last.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[non_exhaustive]
pub enum MeasureState {
    /// The number of values, or of true values.
    Count(Count),
    /// The sum of integers.
    Sum(Maybe<Sum>),
    /// The sum of decimals.
    DecimalSum(Maybe<DecimalSum>),
    /// The mean of integers or decimals.
    Mean(Maybe<Mean>),
    /// The least value.
    Min(Maybe<Min<Value>>),
    /// The greatest value.
    Max(Maybe<Max<Value>>),
    /// The value of the earliest event.
    First(Maybe<First<Value>>),
    /// The value of the latest event.
    Last(Maybe<Last<Value>>),
    /// How many different values there are.
    Distinct(Maybe<Distinct>),
    /// The quantiles of integers or decimals.
    Quantiles(Maybe<Quantiles>),
    /// The most frequent values, encoded as in a key.
    Top(Maybe<Top>),
}

/// The type of a view's cells at one place of its states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MeasureKind {
    /// How many values there are.
    Count,
    /// How many are true.
    CountIf,
    Sum,
    DecimalSum,
    Mean,
    Min(Kind),
    Max(Kind),
    First(Kind),
    Last(Kind),
    Distinct(Kind),
    Quantiles,
    Top(Kind),
}

impl MeasureKind {
    /// Its part of the view's aggregate id.
    pub(super) fn id(self) -> String {
        let of = |name: &str, kind: Kind| compose(name, &[kind.to_string()]);
        match self {
            MeasureKind::Count => "count".to_owned(),
            MeasureKind::CountIf => "count-if".to_owned(),
            MeasureKind::Sum => "sum".to_owned(),
            MeasureKind::DecimalSum => "decimal-sum".to_owned(),
            MeasureKind::Mean => "mean".to_owned(),
            MeasureKind::Min(kind) => of("min", kind),
            MeasureKind::Max(kind) => of("max", kind),
            MeasureKind::First(kind) => of("first", kind),
            MeasureKind::Last(kind) => of("last", kind),
            MeasureKind::Distinct(kind) => of("distinct", kind),
            MeasureKind::Quantiles => "quantiles".to_owned(),
            MeasureKind::Top(kind) => of("top", kind),
        }
    }

    /// The cell with this id.
    pub(crate) fn of_id(id: &TypeId) -> Option<MeasureKind> {
        let kind = match id.parts.as_deref() {
            None => None,
            Some([TypeId { name, parts: None }]) => Some(Kind::named(name)?),
            Some(_) => return None,
        };
        Some(match (id.name.as_str(), kind) {
            ("count", None) => MeasureKind::Count,
            ("count-if", None) => MeasureKind::CountIf,
            ("sum", None) => MeasureKind::Sum,
            ("decimal-sum", None) => MeasureKind::DecimalSum,
            ("mean", None) => MeasureKind::Mean,
            ("min", Some(kind)) => MeasureKind::Min(kind),
            ("max", Some(kind)) => MeasureKind::Max(kind),
            ("first", Some(kind)) => MeasureKind::First(kind),
            ("last", Some(kind)) => MeasureKind::Last(kind),
            ("distinct", Some(kind)) => MeasureKind::Distinct(kind),
            ("quantiles", None) => MeasureKind::Quantiles,
            ("top", Some(kind)) => MeasureKind::Top(kind),
            _ => return None,
        })
    }

    /// The cell of no value.
    pub(super) fn empty(self) -> MeasureState {
        match self {
            MeasureKind::Count | MeasureKind::CountIf => MeasureState::Count(Count(0)),
            MeasureKind::Sum => MeasureState::Sum(Maybe(None)),
            MeasureKind::DecimalSum => MeasureState::DecimalSum(Maybe(None)),
            MeasureKind::Mean => MeasureState::Mean(Maybe(None)),
            MeasureKind::Min(_) => MeasureState::Min(Maybe(None)),
            MeasureKind::Max(_) => MeasureState::Max(Maybe(None)),
            MeasureKind::First(_) => MeasureState::First(Maybe(None)),
            MeasureKind::Last(_) => MeasureState::Last(Maybe(None)),
            MeasureKind::Distinct(_) => MeasureState::Distinct(Maybe(None)),
            MeasureKind::Quantiles => MeasureState::Quantiles(Maybe(None)),
            MeasureKind::Top(_) => MeasureState::Top(Maybe(None)),
        }
    }

    /// Whether a cell that was read has this type.
    pub(super) fn fits(self, cell: &MeasureState) -> bool {
        let is_of = |value: Option<&Value>, kind| value.is_none_or(|v| v.kind() == Some(kind));
        match (self, cell) {
            (MeasureKind::Min(kind), MeasureState::Min(Maybe(min))) => {
                is_of(min.as_ref().map(|m| &m.0), kind)
            }
            (MeasureKind::Max(kind), MeasureState::Max(Maybe(max))) => {
                is_of(max.as_ref().map(|m| &m.0), kind)
            }
            (MeasureKind::First(kind), MeasureState::First(Maybe(first))) => {
                is_of(first.as_ref().map(|first| &first.value), kind)
            }
            (MeasureKind::Last(kind), MeasureState::Last(Maybe(last))) => {
                is_of(last.as_ref().map(|last| &last.value), kind)
            }
            _ => std::mem::discriminant(&self.empty()) == std::mem::discriminant(cell),
        }
    }
}

impl MeasureState {
    /// Adds the value of an event in place, which equals ⊕ with a cell of that value alone. A
    /// [`RowBuilder`](super::RowBuilder) has checked its kind.
    pub(super) fn add(&mut self, kind: MeasureKind, time: EventTime, value: &RowValue<'_>) {
        if value.is_null() {
            return;
        }
        match self {
            MeasureState::Count(count) => {
                let counts = kind == MeasureKind::Count || *value == RowValue::Boolean(true);
                count.plus_equals(&Count(counts.into()));
            }
            MeasureState::Sum(sum) => plus(sum, integer(value)),
            MeasureState::DecimalSum(sum) => plus(sum, DecimalSum::of(decimal(value))),
            MeasureState::Mean(mean) => {
                mean.add(|mean| mean.add(decimal(value)), || Mean::of(decimal(value)));
            }
            MeasureState::Min(Maybe(min)) => match min {
                Some(Min(least)) if value.cmp_value(least).is_ge() => {}
                _ => *min = Some(Min(value.to_value())),
            },
            MeasureState::Max(Maybe(max)) => match max {
                Some(Max(greatest)) if value.cmp_value(greatest).is_le() => {}
                _ => *max = Some(Max(value.to_value())),
            },
            MeasureState::First(Maybe(first)) => match first {
                Some(f) if time.cmp(&f.time).then_with(|| value.cmp_value(&f.value)).is_ge() => {}
                _ => *first = Some(First::of(time, value.to_value())),
            },
            MeasureState::Last(Maybe(last)) => match last {
                Some(l) if time.cmp(&l.time).then_with(|| value.cmp_value(&l.value)).is_le() => {}
                _ => *last = Some(Last::of(time, value.to_value())),
            },
            MeasureState::Distinct(distinct) => with_bytes(value, |bytes| {
                distinct.add(|distinct| distinct.add(bytes), || Distinct::of(bytes));
            }),
            MeasureState::Quantiles(quantiles) => {
                let value = decimal(value);
                quantiles.add(|quantiles| quantiles.add(value), || Quantiles::of(value));
            }
            MeasureState::Top(top) => {
                let value = top::encoded(value);
                top.add(|top| top.add(time, &value), || Top::of(time, &value));
            }
        }
    }

    /// ⊕ of cells at one place.
    pub(super) fn plus_equals(&mut self, other: &MeasureState) {
        match (self, other) {
            (MeasureState::Count(cell), MeasureState::Count(other)) => cell.plus_equals(other),
            (MeasureState::Sum(cell), MeasureState::Sum(other)) => cell.plus_equals(other),
            (MeasureState::DecimalSum(cell), MeasureState::DecimalSum(other)) => {
                cell.plus_equals(other)
            }
            (MeasureState::Mean(cell), MeasureState::Mean(other)) => cell.plus_equals(other),
            (MeasureState::Min(cell), MeasureState::Min(other)) => cell.plus_equals(other),
            (MeasureState::Max(cell), MeasureState::Max(other)) => cell.plus_equals(other),
            (MeasureState::First(cell), MeasureState::First(other)) => cell.plus_equals(other),
            (MeasureState::Last(cell), MeasureState::Last(other)) => cell.plus_equals(other),
            (MeasureState::Distinct(cell), MeasureState::Distinct(other)) => {
                cell.plus_equals(other)
            }
            (MeasureState::Quantiles(cell), MeasureState::Quantiles(other)) => {
                cell.plus_equals(other)
            }
            (MeasureState::Top(cell), MeasureState::Top(other)) => cell.plus_equals(other),
            (cell, other) => {
                panic!(
                    "the cells of a view are of the kinds that it declares: {cell:?} meets {other:?}"
                )
            }
        }
    }

    /// Bytes of heap that the cell holds.
    pub(super) fn heap_bytes(&self) -> usize {
        let of = |value: Option<&Value>| match value {
            Some(Value::Text(text)) => text.capacity(),
            Some(Value::Bytes(bytes)) => bytes.capacity(),
            _ => 0,
        };
        match self {
            MeasureState::Min(Maybe(min)) => of(min.as_ref().map(|min| &min.0)),
            MeasureState::Max(Maybe(max)) => of(max.as_ref().map(|max| &max.0)),
            MeasureState::First(Maybe(first)) => of(first.as_ref().map(|first| &first.value)),
            MeasureState::Last(Maybe(last)) => of(last.as_ref().map(|last| &last.value)),
            MeasureState::Distinct(distinct) => distinct.heap_bytes(),
            MeasureState::Quantiles(quantiles) => quantiles.heap_bytes(),
            MeasureState::Top(top) => top.heap_bytes(),
            MeasureState::Count(_)
            | MeasureState::Sum(_)
            | MeasureState::DecimalSum(_)
            | MeasureState::Mean(_) => 0,
        }
    }
}

/// ⊕ of a value alone.
#[inline]
fn plus<A: Semigroup>(cell: &mut Maybe<A>, one: A) {
    match &mut cell.0 {
        Some(state) => state.plus_equals(&one),
        None => cell.0 = Some(one),
    }
}

/// A row's integers have 64 bits and a sign.
#[inline]
fn integer(value: &RowValue<'_>) -> Sum {
    let RowValue::Integer(number) = value else { return Sum::of(0i64) };
    let size = number.unsigned_abs() as u64;
    match i64::try_from(*number) {
        Ok(number) => Sum::of(number),
        Err(_) if *number > 0 => Sum::from(size),
        // Subtracts the absolute value, because it may not fit an `i64`.
        Err(_) => differential_dataflow::difference::Multiply::multiply(Sum::from(size), &-1i64),
    }
}

#[inline]
fn decimal(value: &RowValue<'_>) -> Decimal {
    match value {
        RowValue::Decimal(number) => *number,
        RowValue::Integer(number) => Decimal::from_billionths(number * 1_000_000_000, 0),
        _ => Decimal::default(),
    }
}

/// The bytes that a distinct count hashes for a value. Texts and bytes are used as they are, without a length. Others
/// are little-endian numbers: 64 bits, or 128 for decimals and larger numbers. Decimals that are equal as numbers are
/// one value.
#[inline]
fn with_bytes(value: &RowValue<'_>, count: impl FnOnce(&[u8])) {
    match value {
        RowValue::Text(text) => count(text.as_bytes()),
        RowValue::Bytes(bytes) => count(bytes),
        RowValue::Integer(number) => match i64::try_from(*number) {
            Ok(number) => count(&number.to_le_bytes()),
            Err(_) => count(&number.to_le_bytes()),
        },
        RowValue::Decimal(number) => count(&number.billionths().to_le_bytes()),
        RowValue::Date(day) => count(&i64::from(day.0).to_le_bytes()),
        RowValue::Timestamp(time) => count(&time.to_le_bytes()),
        RowValue::Boolean(is_so) => count(&i64::from(*is_so).to_le_bytes()),
        RowValue::Null => count(&[]),
    }
}
