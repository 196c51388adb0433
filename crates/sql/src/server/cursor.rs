//! Named cursors: `DECLARE`, `FETCH`, `MOVE`, `CLOSE`.

use std::collections::{BTreeMap, VecDeque};

use datafusion::arrow::array::{RecordBatch, UInt32Array};
use datafusion::arrow::compute::{concat_batches, take_record_batch};
use datafusion::arrow::datatypes::SchemaRef;
use futures_util::StreamExt;
use pgwire::error::{PgWireError, PgWireResult};

use super::error::of_code;
use crate::Rows;

/// The maximum number of cursors of a connection: each holds a running statement.
const CURSORS_MAX: usize = 8;

/// The bytes of rows that a cursor keeps to go backward.
const KEPT_MAX: usize = 64 << 20;

/// Which rows to fetch, from the current row of the cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The next rows; `None` means all that are left.
    Forward(Option<usize>),
    /// The rows before the current one, the nearest first; `None` means all of them.
    Backward(Option<usize>),
    /// The row with this number: the first is 1, the last is -1.
    Absolute(i64),
    /// The row at this distance; 0 is the current row.
    Relative(i64),
}

/// The cursors of a connection.
#[derive(Default)]
pub(super) struct Cursors {
    open: BTreeMap<String, Cursor>,
}

struct Cursor {
    rows: Rows,
    /// The rows that were read and not fetched.
    read: VecDeque<RecordBatch>,
    /// The rows that were fetched, if the cursor goes backward.
    kept: Option<Kept>,
}

/// All rows up to some row.
#[derive(Default)]
struct Kept {
    batches: Vec<RecordBatch>,
    rows: usize,
    bytes: usize,
    /// The number of the current row; 0 is before the first row, and one more than the rows is after the last one.
    at: usize,
}

impl Cursors {
    pub(super) fn declare(
        &mut self,
        name: &str,
        rows: Rows,
        goes_backward: bool,
    ) -> PgWireResult<()> {
        if self.open.contains_key(name) {
            return Err(of_code("42P03", format!("cursor \"{name}\" already exists")));
        }
        if self.open.len() >= CURSORS_MAX {
            return Err(of_code("53400", format!("{CURSORS_MAX} cursors are open: close one")));
        }
        let kept = goes_backward.then(Kept::default);
        self.open.insert(name.to_owned(), Cursor { rows, read: VecDeque::new(), kept });
        Ok(())
    }

    /// Rows of a cursor, which moves to the last of them.
    pub(super) async fn fetch(
        &mut self,
        name: &str,
        step: Step,
    ) -> PgWireResult<(SchemaRef, Vec<RecordBatch>)> {
        let cursor = self.open.get_mut(name).ok_or_else(|| unknown(name))?;
        let schema = SchemaRef::clone(cursor.rows.schema());
        let fetched = match (step, cursor.kept.is_some()) {
            (Step::Forward(rows), false) => cursor.next(rows).await?,
            (Step::Relative(rows @ 1..), false) => {
                cursor.next(usize::try_from(rows - 1).ok()).await?;
                cursor.next(Some(1)).await?
            }
            (_, false) => {
                let message = "cursor can only scan forward: declare it with SCROLL";
                return Err(of_code("55000", message));
            }
            (step, true) => cursor.step(step).await?,
        };
        Ok((schema, fetched))
    }

    /// The columns of a cursor.
    pub(super) fn schema(&self, name: &str) -> PgWireResult<SchemaRef> {
        let cursor = self.open.get(name).ok_or_else(|| unknown(name))?;
        Ok(SchemaRef::clone(cursor.rows.schema()))
    }

    pub(super) fn close(&mut self, name: Option<&str>) -> PgWireResult<()> {
        match name {
            None => self.open.clear(),
            Some(name) => {
                self.open.remove(name).ok_or_else(|| unknown(name))?;
            }
        }
        Ok(())
    }
}

impl Cursor {
    /// The next rows; `None` means all that are left.
    async fn next(&mut self, rows: Option<usize>) -> PgWireResult<Vec<RecordBatch>> {
        let (mut left, mut fetched) = (rows.unwrap_or(usize::MAX), Vec::new());
        while left > 0 {
            let batch = match self.read.pop_front() {
                Some(batch) => batch,
                None => match self.rows.next().await {
                    Some(batch) => batch?,
                    None => break,
                },
            };
            let taken = batch.num_rows().min(left);
            if taken < batch.num_rows() {
                self.read.push_front(batch.slice(taken, batch.num_rows() - taken));
            }
            left -= taken;
            fetched.push(batch.slice(0, taken));
        }
        Ok(fetched)
    }

    /// The same for a cursor that keeps its rows.
    async fn step(&mut self, step: Step) -> PgWireResult<Vec<RecordBatch>> {
        let at = self.kept().at;
        let last = match step {
            Step::Forward(Some(0)) => at,
            Step::Forward(rows) => {
                let last = rows.map(|rows| at.saturating_add(rows));
                let has = self.keep(last).await?;
                let end = last.filter(|last| *last <= has).unwrap_or(has + 1);
                self.kept_mut().at = end;
                return self.kept().rows(at + 1, end.min(has), false);
            }
            Step::Backward(Some(0)) => at,
            Step::Backward(rows) => {
                let first = rows.map_or(0, |rows| at.saturating_sub(rows));
                self.kept_mut().at = first;
                return self.kept().rows(first.max(1), at.saturating_sub(1), true);
            }
            Step::Absolute(number @ 0..) => usize::try_from(number).unwrap_or(usize::MAX),
            Step::Absolute(number) => {
                let back = usize::try_from(number.unsigned_abs()).unwrap_or(usize::MAX);
                (self.keep(None).await? + 1).saturating_sub(back)
            }
            Step::Relative(number) => {
                let distance = usize::try_from(number.unsigned_abs()).unwrap_or(usize::MAX);
                match number {
                    0.. => at.saturating_add(distance),
                    _ => at.saturating_sub(distance),
                }
            }
        };
        let has = self.keep(Some(last)).await?;
        self.kept_mut().at = last.min(has + 1);
        self.kept().rows(last, last.min(has), false)
    }

    /// Keeps rows up to this one, or all; returns how many there are.
    async fn keep(&mut self, last: Option<usize>) -> PgWireResult<usize> {
        let missing = last.map(|last| last.saturating_sub(self.kept().rows));
        for batch in self.next(missing).await? {
            let kept = self.kept_mut();
            kept.rows += batch.num_rows();
            kept.bytes += batch.get_array_memory_size();
            kept.batches.push(batch);
            if kept.bytes > KEPT_MAX {
                let message =
                    format!("a cursor with SCROLL has more than {KEPT_MAX} bytes of rows");
                return Err(of_code("53200", message));
            }
        }
        Ok(self.kept().rows)
    }

    fn kept(&self) -> &Kept {
        self.kept.as_ref().expect("only cursors that keep rows step")
    }

    fn kept_mut(&mut self) -> &mut Kept {
        self.kept.as_mut().expect("only cursors that keep rows step")
    }
}

impl Kept {
    /// The rows with these numbers, the last of them included; none if the first is 0 or beyond the last.
    fn rows(&self, first: usize, last: usize, backward: bool) -> PgWireResult<Vec<RecordBatch>> {
        let (mut rows, mut before) = (Vec::new(), 0);
        if first == 0 || first > last {
            return Ok(rows);
        }
        for batch in &self.batches {
            let (from, to) = (before, before + batch.num_rows());
            before = to;
            let (from, to) = (from.max(first - 1), to.min(last));
            if from < to {
                rows.push(batch.slice(from + batch.num_rows() - before, to - from));
            }
        }
        let Some(schema) = rows.first().map(RecordBatch::schema).filter(|_| backward) else {
            return Ok(rows);
        };
        let api = |error| PgWireError::ApiError(Box::new(error));
        let whole = concat_batches(&schema, &rows).map_err(api)?;
        let count = u32::try_from(whole.num_rows()).unwrap_or(u32::MAX);
        let reversed = UInt32Array::from_iter_values((0..count).rev());
        Ok(vec![take_record_batch(&whole, &reversed).map_err(api)?])
    }
}

fn unknown(name: &str) -> PgWireError {
    of_code("34000", format!("cursor \"{name}\" does not exist"))
}
