//! Encoded states, read without making them.

use super::cell::MeasureState;
use super::shown::{How, Shown};
use crate::aggregate::{Count, DecimalSum, Maybe, Sum};
use crate::codec;
use crate::schema::{Value, ValueRef};

/// What measures show of encoded states, and in which columns.
#[derive(Debug)]
pub(crate) struct ShownCells {
    /// The columns of the number of events.
    rows: Vec<usize>,
    /// For each cell, up to the last that is shown.
    cells: Vec<Vec<(How, usize)>>,
    /// The columns of measures that are not known here; they are null.
    unknown: Vec<usize>,
}

/// The positions of these kinds in [`MeasureState`], which files name them by.
const COUNT: u32 = 0;
const SUM: u32 = 1;
const DECIMAL_SUM: u32 = 2;

impl ShownCells {
    /// For measures with these parameters: the number and the column of each that is shown.
    pub(crate) fn new(parameters: &[u32], shown: &[(usize, usize)]) -> ShownCells {
        let measures: Vec<Shown> = Shown::read(parameters).collect();
        let (mut rows, mut cells, mut unknown) = (Vec::new(), Vec::new(), Vec::new());
        for &(measure, column) in shown {
            let Some(Shown { cell, how }) = measures.get(measure) else {
                unknown.push(column);
                continue;
            };
            let Some(at) = cell.checked_sub(1) else {
                rows.push(column);
                continue;
            };
            cells.resize(cells.len().max(at as usize + 1), Vec::new());
            cells[at as usize].push((*how, column));
        }
        ShownCells { rows, cells, unknown }
    }

    /// Puts the values of an encoded state into their columns. `None` if it cannot be decoded, and `Some(false)` if it
    /// is the state of no events; then nothing is put.
    #[inline]
    pub(crate) fn read(
        &self,
        mut state: &[u8],
        put: &mut impl FnMut(usize, ValueRef<'_>),
    ) -> Option<bool> {
        let bytes = &mut state;
        let Count(rows) = codec::take(bytes).ok()?;
        if rows == 0 {
            return Some(false);
        }
        self.rows.iter().for_each(|column| put(*column, ValueRef::Integer(rows.into())));
        let cells: u64 = codec::take(bytes).ok()?;
        for (at, shown) in self.cells.iter().enumerate() {
            if at as u64 >= cells {
                shown.iter().for_each(|(_, column)| put(*column, ValueRef::Null));
                continue;
            }
            read_cell(bytes, shown, put)?;
        }
        self.unknown.iter().for_each(|column| put(*column, ValueRef::Null));
        Some(true)
    }
}

/// Reads a cell from the front of `bytes`.
#[inline]
fn read_cell(
    bytes: &mut &[u8],
    shown: &[(How, usize)],
    put: &mut impl FnMut(usize, ValueRef<'_>),
) -> Option<()> {
    let whole = *bytes;
    let kind: u32 = codec::take(bytes).ok()?;
    let value = match kind {
        COUNT => ValueRef::Integer(codec::take::<Count>(bytes).ok()?.0.into()),
        SUM => match codec::take::<Maybe<Sum>>(bytes).ok()? {
            Maybe(Some(sum)) => ValueRef::Integer(sum.value()),
            Maybe(None) => ValueRef::Null,
        },
        DECIMAL_SUM => match codec::take::<Maybe<DecimalSum>>(bytes).ok()? {
            Maybe(Some(sum)) => ValueRef::Decimal(sum.value()),
            Maybe(None) => ValueRef::Null,
        },
        _ => {
            *bytes = whole;
            let cell: MeasureState = codec::take(bytes).ok()?;
            for (how, column) in shown {
                let value = how.of(&cell);
                put(*column, value.as_ref().map_or(ValueRef::Null, Value::by_ref));
            }
            return Some(());
        }
    };
    shown.iter().for_each(|(_, column)| put(*column, value));
    Some(())
}
