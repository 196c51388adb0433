//! Encoded states, read without making them.

use super::cell::MeasureState;
use super::put::PutValues;
use super::shown::{How, Shown};
use crate::aggregate::{DecimalSum, Maybe};
use crate::codec::Reader;
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
const COUNT: u64 = 0;
const SUM: u64 = 1;
const DECIMAL_SUM: u64 = 2;

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
    pub(crate) fn read(&self, state: &[u8], out: &mut impl PutValues) -> Option<bool> {
        let mut reader = Reader(state);
        let rows = reader.signed().ok()?;
        if rows == 0 {
            return Some(false);
        }
        self.rows.iter().for_each(|column| out.integer(*column, rows.into()));
        let cells = reader.number().ok()?;
        for (at, shown) in self.cells.iter().enumerate() {
            if at as u64 >= cells {
                shown.iter().for_each(|(_, column)| out.value(*column, ValueRef::Null));
                continue;
            }
            read_cell(&mut reader, shown, out)?;
        }
        self.unknown.iter().for_each(|column| out.value(*column, ValueRef::Null));
        Some(true)
    }
}

/// Reads a cell. The most frequent kinds are read without serde.
#[inline]
fn read_cell(
    reader: &mut Reader<'_>,
    shown: &[(How, usize)],
    out: &mut impl PutValues,
) -> Option<()> {
    let whole = reader.0;
    let null = |out: &mut _| {
        shown.iter().for_each(|(_, column)| PutValues::value(out, *column, ValueRef::Null));
    };
    match reader.number().ok()? {
        COUNT => {
            let count = reader.signed().ok()?;
            shown.iter().for_each(|(_, column)| out.integer(*column, count.into()));
        }
        SUM if reader.is_some().ok()? => {
            let sum = reader.signed_wide().ok()?;
            shown.iter().for_each(|(_, column)| out.integer(*column, sum));
        }
        SUM => null(out),
        DECIMAL_SUM => match reader.take::<Maybe<DecimalSum>>().ok()? {
            Maybe(Some(sum)) => {
                let value = ValueRef::Decimal(sum.value());
                shown.iter().for_each(|(_, column)| out.value(*column, value));
            }
            Maybe(None) => null(out),
        },
        _ => {
            reader.0 = whole;
            let cell: MeasureState = reader.take().ok()?;
            for (how, column) in shown {
                let value = how.of(&cell);
                out.value(*column, value.as_ref().map_or(ValueRef::Null, Value::by_ref));
            }
        }
    }
    Some(())
}
