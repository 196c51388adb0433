//! Rows of dynamic views, decoded from their files straight into columns.

use std::any::TypeId;

use super::batch::{Batch, Cells};
use super::layout::Shows;
use super::resolve::RowsOf;
use crate::aggregate::Aggregate;
use crate::dynamic::{self, PutValues, ShownCells};
use crate::key::Key;
use crate::schema::{Value, ValueRef};
use crate::time::Day;

/// Which columns of a batch the parts of an encoded row fill.
#[derive(Debug)]
pub(super) struct Direct {
    /// For each column of the key, up to the last that is shown.
    key: Vec<Option<usize>>,
    cells: ShownCells,
    period: Option<usize>,
    sealed: Option<usize>,
}

/// The columns of a batch that is made.
struct Out<'a> {
    columns: &'a mut [Cells],
    /// Whether all values were of the kind of their columns.
    fits: bool,
}

impl PutValues for Out<'_> {
    #[inline]
    fn integer(&mut self, column: usize, number: i128) {
        self.fits &= self.columns[column].push_integer(number);
    }

    #[inline]
    fn value(&mut self, column: usize, value: ValueRef<'_>) {
        self.fits &= self.columns[column].push_ref(value);
    }
}

impl Direct {
    /// `None` if the view is not dynamic, or more is shown than a key, measures, the period, and `sealed`.
    pub(super) fn of<K: Key, A: Aggregate>(of: &RowsOf<A>) -> Option<Direct> {
        let is_dynamic = TypeId::of::<K>() == TypeId::of::<dynamic::Key>()
            && TypeId::of::<A>() == TypeId::of::<dynamic::State>();
        if !is_dynamic || of.own.is_some() {
            return None;
        }
        let (mut key, mut measures) = (Vec::new(), Vec::new());
        let (mut period, mut sealed) = (None, None);
        for (column, shows) in of.layout.shows().iter().enumerate() {
            let is_again = match *shows {
                Shows::Day => period.replace(column).is_some(),
                Shows::Sealed => sealed.replace(column).is_some(),
                Shows::Key(at) => {
                    key.resize(key.len().max(at + 1), None);
                    key[at].replace(column).is_some()
                }
                Shows::Measure(measure) => {
                    measures.push((measure, column));
                    false
                }
                _ => return None,
            };
            if is_again {
                return None;
            }
        }
        let cells = ShownCells::new(&of.layout.schema().lists, &measures);
        Some(Direct { key, cells, period, sealed })
    }

    /// Adds a row; returns `false` if it cannot be decoded. A state of no events is no row.
    #[inline]
    pub(super) fn read(&self, mut key: &[u8], state: &[u8], batch: &mut Batch) -> bool {
        let mut out = Out { columns: batch.data_mut(), fits: true };
        match self.cells.read(state, &mut out) {
            None => return false,
            Some(false) => return true,
            Some(true) => {}
        }
        for column in &self.key {
            let read = match column {
                Some(column) => dynamic::take_into(&mut key, *column, &mut out),
                None => dynamic::value_length(key).map(|length| key = &key[length..]),
            };
            if read.is_none() {
                return false;
            }
        }
        let fits = out.fits;
        batch.add_row();
        fits
    }

    /// Fills the columns that are the same in all rows of a file.
    pub(super) fn finish(&self, period: Day, batch: &mut Batch) {
        let rows = batch.rows();
        let mut fill = |column: Option<usize>, value: Value| {
            column.into_iter().for_each(|column| batch.data_mut()[column].fill(&value, rows));
        };
        fill(self.period, Value::period(period));
        fill(self.sealed, Value::Boolean(true));
    }
}
