//! Named cursors: `DECLARE`, `FETCH`, `CLOSE`.

use std::collections::{BTreeMap, VecDeque};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use futures_util::StreamExt;
use pgwire::error::PgWireResult;

use super::error::of_code;
use crate::Rows;

/// The maximum number of cursors of a connection: each holds a running statement.
const CURSORS_MAX: usize = 8;

/// The cursors of a connection.
#[derive(Default)]
pub(super) struct Cursors {
    open: BTreeMap<String, Cursor>,
}

struct Cursor {
    rows: Rows,
    /// The rows that were read and not fetched.
    read: VecDeque<RecordBatch>,
}

impl Cursors {
    pub(super) fn declare(&mut self, name: &str, rows: Rows) -> PgWireResult<()> {
        if self.open.contains_key(name) {
            return Err(of_code("42P03", format!("cursor \"{name}\" already exists")));
        }
        if self.open.len() >= CURSORS_MAX {
            return Err(of_code("53400", format!("{CURSORS_MAX} cursors are open: close one")));
        }
        self.open.insert(name.to_owned(), Cursor { rows, read: VecDeque::new() });
        Ok(())
    }

    /// The next rows; `None` means all that are left.
    pub(super) async fn fetch(
        &mut self,
        name: &str,
        rows: Option<usize>,
    ) -> PgWireResult<(SchemaRef, Vec<RecordBatch>)> {
        let cursor = self.open.get_mut(name).ok_or_else(|| unknown(name))?;
        let schema = SchemaRef::clone(cursor.rows.schema());
        let (mut left, mut fetched) = (rows.unwrap_or(usize::MAX), Vec::new());
        while left > 0 {
            let batch = match cursor.read.pop_front() {
                Some(batch) => batch,
                None => match cursor.rows.next().await {
                    Some(batch) => batch?,
                    None => break,
                },
            };
            let taken = batch.num_rows().min(left);
            if taken < batch.num_rows() {
                cursor.read.push_front(batch.slice(taken, batch.num_rows() - taken));
            }
            left -= taken;
            fetched.push(batch.slice(0, taken));
        }
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

fn unknown(name: &str) -> pgwire::error::PgWireError {
    of_code("34000", format!("cursor \"{name}\" does not exist"))
}
