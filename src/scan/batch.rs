//! Rows in columns.

use std::sync::Arc;

use super::ScanError;
use crate::aggregate::Decimal;
use crate::schema::{Column, Kind, Value, ValueRef};
use crate::serve::Certificate;
use crate::time::{Day, EventTime};

/// The most rows of a batch.
pub const BATCH_ROWS: usize = 4_096;

/// Some rows of an answer, column by column: at most [`BATCH_ROWS`].
///
/// ```
/// use dayfold::scan::{Batch, Cell, Cells, Strings, ValueRef};
///
/// /// The greatest of a column of integers, read column by column.
/// fn greatest(batch: &Batch, column: usize) -> Option<i64> {
///     let cells: &Cells = batch.cells(column);
///     match cells.values() {
///         Cell::Integer(values) => values.iter().copied().max(),
///         _ => None,
///     }
/// }
///
/// /// The bytes of a column of texts, without what is between them.
/// fn bytes(cells: &Cells) -> usize {
///     match cells.values() {
///         Cell::Text(texts) | Cell::Bytes(texts) => Strings::bytes(texts).len(),
///         _ => 0,
///     }
/// }
///
/// /// The texts of a row.
/// fn texts(batch: &Batch, row: usize) -> Vec<&str> {
///     let values = (0..batch.columns().len()).map(|column| batch.value_ref(row, column));
///     values.filter_map(|value| if let ValueRef::Text(text) = value { Some(text) } else { None }).collect()
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    columns: Arc<[Column]>,
    data: Vec<Cells>,
    rows: usize,
    certificate: Certificate,
}

/// The values of a column: one for each row, with a placeholder for each null.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cells {
    values: Cell,
    /// Which rows have no value; `None` if all have one.
    nulls: Option<Vec<bool>>,
}

/// Values of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cell {
    /// Texts.
    Text(Strings),
    /// Bytes.
    Bytes(Strings),
    /// Integers that all have 64 bits.
    Integer(Vec<i64>),
    /// Integers of which some need more.
    LongInteger(Vec<i128>),
    /// Exact decimal numbers.
    Decimal(Vec<Decimal>),
    /// True or false.
    Boolean(Vec<bool>),
    /// Days.
    Date(Vec<Day>),
    /// Milliseconds since 1970, UTC.
    Timestamp(Vec<EventTime>),
}

/// Texts or bytes, one after the other, and the end of each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Strings {
    bytes: Vec<u8>,
    /// One more than there are rows: the first is 0.
    offsets: Vec<usize>,
}

impl Strings {
    /// The number of them.
    pub fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All bytes, without anything between them.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The beginning of each, and the end of the last one.
    pub fn offsets(&self) -> &[usize] {
        &self.offsets
    }

    /// The bytes of one.
    ///
    /// # Panics
    /// If there are fewer.
    pub fn get(&self, row: usize) -> &[u8] {
        &self.bytes[self.offsets[row]..self.offsets[row + 1]]
    }

    fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.offsets.push(self.bytes.len());
    }
}

impl Cells {
    /// A column with room for so many values.
    fn new(kind: Kind, rows: usize) -> Cells {
        let strings = || {
            let mut offsets = Vec::with_capacity(rows + 1);
            offsets.push(0);
            Strings { bytes: Vec::new(), offsets }
        };
        let values = match kind {
            Kind::Text => Cell::Text(strings()),
            Kind::Bytes => Cell::Bytes(strings()),
            Kind::Integer => Cell::Integer(Vec::with_capacity(rows)),
            Kind::Decimal => Cell::Decimal(Vec::with_capacity(rows)),
            Kind::Boolean => Cell::Boolean(Vec::with_capacity(rows)),
            Kind::Date => Cell::Date(Vec::with_capacity(rows)),
            Kind::Timestamp => Cell::Timestamp(Vec::with_capacity(rows)),
        };
        Cells { values, nulls: None }
    }

    /// The values; rows without a value have a placeholder.
    pub fn values(&self) -> &Cell {
        &self.values
    }

    /// Which rows have no value; `None` if all have one.
    pub fn nulls(&self) -> Option<&[bool]> {
        self.nulls.as_deref()
    }

    fn len(&self) -> usize {
        match &self.values {
            Cell::Text(strings) | Cell::Bytes(strings) => strings.len(),
            Cell::Integer(numbers) => numbers.len(),
            Cell::LongInteger(numbers) => numbers.len(),
            Cell::Decimal(numbers) => numbers.len(),
            Cell::Boolean(values) => values.len(),
            Cell::Date(days) => days.len(),
            Cell::Timestamp(times) => times.len(),
        }
    }

    /// Adds an integer; returns `false` if the column has another kind.
    #[inline]
    pub(super) fn push_integer(&mut self, number: i128) -> bool {
        match (&mut self.values, i64::try_from(number), &self.nulls) {
            (Cell::Integer(numbers), Ok(number), None) => {
                numbers.push(number);
                true
            }
            _ => self.push_ref(ValueRef::Integer(number)),
        }
    }

    /// Adds a value; returns `false` if it has another kind.
    pub(super) fn push_ref(&mut self, value: ValueRef<'_>) -> bool {
        match (&mut self.values, value) {
            (_, ValueRef::Null) => {
                let rows = self.len();
                self.push_nothing();
                self.nulls.get_or_insert_with(|| vec![false; rows]).push(true);
                return true;
            }
            (Cell::Text(texts), ValueRef::Text(text)) => texts.push(text.as_bytes()),
            (Cell::Bytes(all), ValueRef::Bytes(bytes)) => all.push(bytes),
            (Cell::Integer(numbers), ValueRef::Integer(number)) => match i64::try_from(number) {
                Ok(number) => numbers.push(number),
                Err(_) => {
                    let mut long: Vec<i128> = numbers.iter().map(|&n| n.into()).collect();
                    long.push(number);
                    self.values = Cell::LongInteger(long);
                }
            },
            (Cell::LongInteger(numbers), ValueRef::Integer(number)) => numbers.push(number),
            (Cell::Decimal(numbers), ValueRef::Decimal(number)) => numbers.push(number),
            (Cell::Boolean(values), ValueRef::Boolean(is_so)) => values.push(is_so),
            (Cell::Date(days), ValueRef::Date(day)) => days.push(day),
            (Cell::Timestamp(times), ValueRef::Timestamp(time)) => times.push(time),
            _ => return false,
        }
        if let Some(nulls) = &mut self.nulls {
            nulls.push(false);
        }
        true
    }

    /// Adds the same value until there are this many.
    pub(super) fn fill(&mut self, value: &Value, rows: usize) {
        match (&mut self.values, value) {
            (Cell::Date(days), Value::Date(day)) => days.resize(rows, *day),
            (Cell::Timestamp(times), Value::Timestamp(time)) => times.resize(rows, *time),
            (Cell::Boolean(values), Value::Boolean(is_so)) => values.resize(rows, *is_so),
            _ => unreachable!("columns of periods and flags alone are filled"),
        }
    }

    fn push_nothing(&mut self) {
        match &mut self.values {
            Cell::Text(strings) | Cell::Bytes(strings) => strings.push(&[]),
            Cell::Integer(numbers) => numbers.push(0),
            Cell::LongInteger(numbers) => numbers.push(0),
            Cell::Decimal(numbers) => numbers.push(Decimal::default()),
            Cell::Boolean(values) => values.push(false),
            Cell::Date(days) => days.push(Day::default()),
            Cell::Timestamp(times) => times.push(0),
        }
    }

    /// The value of a row.
    ///
    /// # Panics
    /// If there are fewer rows.
    pub fn value(&self, row: usize) -> ValueRef<'_> {
        if self.nulls.as_ref().is_some_and(|nulls| nulls[row]) {
            return ValueRef::Null;
        }
        match &self.values {
            Cell::Text(texts) => {
                ValueRef::Text(std::str::from_utf8(texts.get(row)).expect("only texts were put in"))
            }
            Cell::Bytes(all) => ValueRef::Bytes(all.get(row)),
            Cell::Integer(numbers) => ValueRef::Integer(numbers[row].into()),
            Cell::LongInteger(numbers) => ValueRef::Integer(numbers[row]),
            Cell::Decimal(numbers) => ValueRef::Decimal(numbers[row]),
            Cell::Boolean(values) => ValueRef::Boolean(values[row]),
            Cell::Date(days) => ValueRef::Date(days[row]),
            Cell::Timestamp(times) => ValueRef::Timestamp(times[row]),
        }
    }
}

impl Batch {
    pub(super) fn new(columns: Arc<[Column]>, certificate: Certificate) -> Batch {
        Batch::with_room(columns, certificate, 0)
    }

    /// An empty batch with room for so many rows.
    pub(super) fn with_room(
        columns: Arc<[Column]>,
        certificate: Certificate,
        rows: usize,
    ) -> Batch {
        let data = columns.iter().map(|column| Cells::new(column.kind, rows)).collect();
        Batch { columns, data, rows: 0, certificate }
    }

    /// Adds a row.
    pub(super) fn push(&mut self, view: &str, row: &[Value]) -> Result<(), ScanError> {
        debug_assert_eq!(row.len(), self.columns.len(), "a value for each column");
        for ((cells, column), value) in self.data.iter_mut().zip(self.columns.iter()).zip(row) {
            if !cells.push_ref(value.by_ref()) {
                let (view, column, expected) = (view.to_owned(), column.name.clone(), column.kind);
                return Err(ScanError::Presented { view, column, expected });
            }
        }
        self.rows += 1;
        Ok(())
    }

    pub(super) fn data_mut(&mut self) -> &mut [Cells] {
        &mut self.data
    }

    /// Counts a row whose values were added to all columns, except to those that are filled later.
    pub(super) fn add_row(&mut self) {
        self.rows += 1;
    }

    /// The columns, in order.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The values of a column.
    ///
    /// # Panics
    /// If there are fewer columns.
    pub fn cells(&self, column: usize) -> &Cells {
        &self.data[column]
    }

    /// A value.
    ///
    /// # Panics
    /// If there are fewer rows or columns.
    pub fn value(&self, row: usize, column: usize) -> Value {
        self.value_ref(row, column).to_value()
    }

    /// A value, without a copy of it.
    ///
    /// # Panics
    /// If there are fewer rows or columns.
    pub fn value_ref(&self, row: usize, column: usize) -> ValueRef<'_> {
        self.data[column].value(row)
    }

    /// The certificate of the whole answer; the same in all its batches.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }
}
