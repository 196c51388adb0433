//! Cells of states: any aggregate of the library, over values whose kind the declaration fixes.

use serde::{Deserialize, Serialize};

use super::ValueRef;
use crate::aggregate::{
    Aggregate as _, Count, Decimal, DecimalSum, Distinct, First, Last, Max, Maybe, Mean, Min,
    Quantiles, Semigroup, Sum,
};
use crate::schema::id::{TypeId, compose};
use crate::schema::{Kind, Value};
use crate::time::EventTime;

/// One aggregate of a state, of the values of one column. Nulls are in none of them.
// A kind is known on disk by its place, so new ones come last.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Cell {
    /// How many values there are, or how many are true.
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
}

/// What the cells of a view are, at one place of its states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CellKind {
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
}

impl CellKind {
    /// The part of the view's aggregate id that names it.
    pub(super) fn id(self) -> String {
        let of = |name: &str, kind: Kind| compose(name, &[kind.to_string()]);
        match self {
            CellKind::Count => "count".to_owned(),
            CellKind::CountIf => "count-if".to_owned(),
            CellKind::Sum => "sum".to_owned(),
            CellKind::DecimalSum => "decimal-sum".to_owned(),
            CellKind::Mean => "mean".to_owned(),
            CellKind::Min(kind) => of("min", kind),
            CellKind::Max(kind) => of("max", kind),
            CellKind::First(kind) => of("first", kind),
            CellKind::Last(kind) => of("last", kind),
            CellKind::Distinct(kind) => of("distinct", kind),
            CellKind::Quantiles => "quantiles".to_owned(),
        }
    }

    /// The cell that has this id.
    pub(crate) fn of_id(id: &TypeId) -> Option<CellKind> {
        let kind = match id.parts.as_deref() {
            None => None,
            Some([TypeId { name, parts: None }]) => Some(Kind::named(name)?),
            Some(_) => return None,
        };
        Some(match (id.name.as_str(), kind) {
            ("count", None) => CellKind::Count,
            ("count-if", None) => CellKind::CountIf,
            ("sum", None) => CellKind::Sum,
            ("decimal-sum", None) => CellKind::DecimalSum,
            ("mean", None) => CellKind::Mean,
            ("min", Some(kind)) => CellKind::Min(kind),
            ("max", Some(kind)) => CellKind::Max(kind),
            ("first", Some(kind)) => CellKind::First(kind),
            ("last", Some(kind)) => CellKind::Last(kind),
            ("distinct", Some(kind)) => CellKind::Distinct(kind),
            ("quantiles", None) => CellKind::Quantiles,
            _ => return None,
        })
    }

    /// The cell of no value.
    pub(super) fn empty(self) -> Cell {
        match self {
            CellKind::Count | CellKind::CountIf => Cell::Count(Count(0)),
            CellKind::Sum => Cell::Sum(Maybe(None)),
            CellKind::DecimalSum => Cell::DecimalSum(Maybe(None)),
            CellKind::Mean => Cell::Mean(Maybe(None)),
            CellKind::Min(_) => Cell::Min(Maybe(None)),
            CellKind::Max(_) => Cell::Max(Maybe(None)),
            CellKind::First(_) => Cell::First(Maybe(None)),
            CellKind::Last(_) => Cell::Last(Maybe(None)),
            CellKind::Distinct(_) => Cell::Distinct(Maybe(None)),
            CellKind::Quantiles => Cell::Quantiles(Maybe(None)),
        }
    }

    /// Whether a cell that was read is one of these.
    pub(super) fn fits(self, cell: &Cell) -> bool {
        let is_of = |value: Option<&Value>, kind| value.is_none_or(|v| v.kind() == Some(kind));
        match (self, cell) {
            (CellKind::Min(kind), Cell::Min(Maybe(min))) => is_of(min.as_ref().map(|m| &m.0), kind),
            (CellKind::Max(kind), Cell::Max(Maybe(max))) => is_of(max.as_ref().map(|m| &m.0), kind),
            (CellKind::First(kind), Cell::First(Maybe(first))) => {
                is_of(first.as_ref().map(|first| &first.value), kind)
            }
            (CellKind::Last(kind), Cell::Last(Maybe(last))) => {
                is_of(last.as_ref().map(|last| &last.value), kind)
            }
            _ => std::mem::discriminant(&self.empty()) == std::mem::discriminant(cell),
        }
    }
}

impl Cell {
    /// Adds the value of an event, in place: ⊕ of the cell of that value alone. A [`Row`](super::Row) has made
    /// sure of its kind.
    pub(super) fn add(&mut self, kind: CellKind, time: EventTime, value: &ValueRef<'_>) {
        if value.is_null() {
            return;
        }
        match self {
            Cell::Count(count) => {
                let counts = kind == CellKind::Count || *value == ValueRef::Boolean(true);
                count.plus_equals(&Count(counts.into()));
            }
            Cell::Sum(sum) => plus(sum, integer(value)),
            Cell::DecimalSum(sum) => plus(sum, DecimalSum::of(decimal(value))),
            Cell::Mean(mean) => {
                mean.add(|mean| mean.add(decimal(value)), || Mean::of(decimal(value)));
            }
            Cell::Min(Maybe(min)) => match min {
                Some(Min(least)) if value.cmp_value(least).is_ge() => {}
                _ => *min = Some(Min(value.to_value())),
            },
            Cell::Max(Maybe(max)) => match max {
                Some(Max(greatest)) if value.cmp_value(greatest).is_le() => {}
                _ => *max = Some(Max(value.to_value())),
            },
            Cell::First(Maybe(first)) => match first {
                Some(f) if time.cmp(&f.time).then_with(|| value.cmp_value(&f.value)).is_ge() => {}
                _ => *first = Some(First::of(time, value.to_value())),
            },
            Cell::Last(Maybe(last)) => match last {
                Some(l) if time.cmp(&l.time).then_with(|| value.cmp_value(&l.value)).is_le() => {}
                _ => *last = Some(Last::of(time, value.to_value())),
            },
            Cell::Distinct(distinct) => with_bytes(value, |bytes| {
                distinct.add(|distinct| distinct.add(bytes), || Distinct::of(bytes));
            }),
            Cell::Quantiles(quantiles) => {
                let value = decimal(value);
                quantiles.add(|quantiles| quantiles.add(value), || Quantiles::of(value));
            }
        }
    }

    /// ⊕ of cells at one place.
    pub(super) fn plus_equals(&mut self, other: &Cell) {
        match (self, other) {
            (Cell::Count(cell), Cell::Count(other)) => cell.plus_equals(other),
            (Cell::Sum(cell), Cell::Sum(other)) => cell.plus_equals(other),
            (Cell::DecimalSum(cell), Cell::DecimalSum(other)) => cell.plus_equals(other),
            (Cell::Mean(cell), Cell::Mean(other)) => cell.plus_equals(other),
            (Cell::Min(cell), Cell::Min(other)) => cell.plus_equals(other),
            (Cell::Max(cell), Cell::Max(other)) => cell.plus_equals(other),
            (Cell::First(cell), Cell::First(other)) => cell.plus_equals(other),
            (Cell::Last(cell), Cell::Last(other)) => cell.plus_equals(other),
            (Cell::Distinct(cell), Cell::Distinct(other)) => cell.plus_equals(other),
            (Cell::Quantiles(cell), Cell::Quantiles(other)) => cell.plus_equals(other),
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
            Cell::Min(Maybe(min)) => of(min.as_ref().map(|min| &min.0)),
            Cell::Max(Maybe(max)) => of(max.as_ref().map(|max| &max.0)),
            Cell::First(Maybe(first)) => of(first.as_ref().map(|first| &first.value)),
            Cell::Last(Maybe(last)) => of(last.as_ref().map(|last| &last.value)),
            Cell::Distinct(distinct) => distinct.heap_bytes(),
            Cell::Quantiles(quantiles) => quantiles.heap_bytes(),
            Cell::Count(_) | Cell::Sum(_) | Cell::DecimalSum(_) | Cell::Mean(_) => 0,
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

/// A row's integers are of 64 bits and a sign.
#[inline]
fn integer(value: &ValueRef<'_>) -> Sum {
    let ValueRef::Integer(number) = value else { return Sum::of(0i64) };
    let size = number.unsigned_abs() as u64;
    match i64::try_from(*number) {
        Ok(number) => Sum::of(number),
        Err(_) if *number > 0 => Sum::from(size),
        // The size, taken away: there is no such integer of 64 bits.
        Err(_) => differential_dataflow::difference::Multiply::multiply(Sum::from(size), &-1i64),
    }
}

#[inline]
fn decimal(value: &ValueRef<'_>) -> Decimal {
    match value {
        ValueRef::Decimal(number) => *number,
        ValueRef::Integer(number) => Decimal::from_billionths(number * 1_000_000_000, 0),
        _ => Decimal::default(),
    }
}

/// What a distinct count has of a value. Texts and bytes count as they are, without a length, and others as numbers: 64
/// bits or, of decimals and what is larger, 128, the lowest byte first. Decimals that are equal as numbers are one value.
#[inline]
fn with_bytes(value: &ValueRef<'_>, count: impl FnOnce(&[u8])) {
    match value {
        ValueRef::Text(text) => count(text.as_bytes()),
        ValueRef::Bytes(bytes) => count(bytes),
        ValueRef::Integer(number) => match i64::try_from(*number) {
            Ok(number) => count(&number.to_le_bytes()),
            Err(_) => count(&number.to_le_bytes()),
        },
        ValueRef::Decimal(number) => count(&number.billionths().to_le_bytes()),
        ValueRef::Date(day) => count(&i64::from(day.0).to_le_bytes()),
        ValueRef::Timestamp(time) => count(&time.to_le_bytes()),
        ValueRef::Boolean(is_so) => count(&i64::from(*is_so).to_le_bytes()),
        ValueRef::Null => count(&[]),
    }
}
