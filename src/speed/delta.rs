//! Ticks that are not folded into the tables yet.

use std::cell::OnceCell;

use hashbrown::HashTable;

use crate::aggregate::Aggregate;
use crate::key::Key;
use crate::moment::Moment;
use crate::table::TableRow;
use crate::time::Day;

/// Below this many rows, reading all of them is as fast as an index.
const INDEX_FROM: usize = 64;

/// The rows of one moment, as they came from each worker.
#[derive(Debug)]
pub(crate) struct Delta<K: Key, A: Aggregate> {
    pub(crate) moment: Moment,
    chunks: Vec<Vec<TableRow<K, A>>>,
    rows: usize,
    /// Made when the first query looks for a key. Most deltas are folded before that.
    index: OnceCell<HashTable<(u32, u32)>>,
    /// Made at the first use, for the same reason.
    span: OnceCell<Option<(Day, Day)>>,
}

impl<K: Key, A: Aggregate> Delta<K, A> {
    pub(crate) fn new(moment: Moment) -> Self {
        let (index, span) = (OnceCell::new(), OnceCell::new());
        Delta { moment, chunks: Vec::new(), rows: 0, index, span }
    }

    pub(crate) fn push(&mut self, chunk: Vec<TableRow<K, A>>) {
        self.rows += chunk.len();
        self.chunks.push(chunk);
        (self.index, self.span) = (OnceCell::new(), OnceCell::new());
    }

    /// The first and the last day.
    pub(crate) fn span(&self) -> Option<(Day, Day)> {
        *self.span.get_or_init(|| {
            let mut days = self.rows().map(|row| row.day);
            let first = days.next()?;
            Some(days.fold((first, first), |(min, max), day| (min.min(day), max.max(day))))
        })
    }

    pub(crate) fn rows(&self) -> impl Iterator<Item = &TableRow<K, A>> {
        self.chunks.iter().flatten()
    }

    pub(crate) fn into_chunks(self) -> Vec<Vec<TableRow<K, A>>> {
        self.chunks
    }

    /// Visits the rows of `key`.
    pub(crate) fn visit(&self, hash: u64, key: &K, mut visit: impl FnMut(&TableRow<K, A>)) {
        if self.rows < INDEX_FROM {
            self.rows().filter(|row| row.hash == hash && row.key == *key).for_each(visit);
            return;
        }
        let at = |&(chunk, row): &(u32, u32)| &self.chunks[chunk as usize][row as usize];
        let index = self.index.get_or_init(|| {
            let mut index = HashTable::with_capacity(self.rows);
            for (chunk, rows) in self.chunks.iter().enumerate() {
                for (row, content) in rows.iter().enumerate() {
                    let place = (chunk as u32, row as u32);
                    index.insert_unique(content.hash, place, |place| at(place).hash);
                }
            }
            index
        });
        for place in index.iter_hash(hash) {
            let row = at(place);
            if row.hash == hash && row.key == *key {
                visit(row);
            }
        }
    }
}
