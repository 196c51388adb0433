//! Batches of the items of an answer.

use std::cmp::Reverse;
use std::sync::Arc;
use std::task::Poll;

use super::batches::{Rows, Wait};
use super::layout::place_of;
use super::resolve::RowsOf;
use super::{BATCH_ROWS, Batch, Cursor, ScanError};
use crate::aggregate::Aggregate;
use crate::key::Key;
use crate::serve::{Answer, Certificate, Item, Parts, RankFn, RowPosition};

/// The rows of a whole answer, which may be shared.
pub(super) struct WholeRows<K: Key, A: Aggregate> {
    answer: Arc<Answer<K, A>>,
    of: RowsOf<A>,
    /// The indices of the items that are rows, unless they are all items in order.
    order: Option<Vec<usize>>,
    /// The next of them.
    at: usize,
    /// The most rows that are still to come.
    left: u64,
    last: Option<RowPosition>,
    has_more: bool,
    /// Whether the total row is still to come.
    owes_total: bool,
}

impl<K: Key, A: Aggregate> WholeRows<K, A> {
    pub(super) fn new(answer: Arc<Answer<K, A>>, of: RowsOf<A>) -> Self {
        let is_before =
            |after: &RowPosition| answer.items.partition_point(|item| place_of(item) <= *after);
        let at = of.pages.after.as_ref().map_or(0, is_before);
        let left = of.pages.limit.unwrap_or(u64::MAX);
        let order = of.top.as_ref().map(|(n, rank)| greatest(&answer.items, *n, &**rank));
        let owes_total = of.has_total;
        WholeRows { answer, of, order, at, left, last: None, has_more: false, owes_total }
    }

    fn batch(&mut self) -> Result<Option<Batch>, ScanError> {
        let answer = Arc::clone(&self.answer);
        let all = self.order.as_ref().map_or(answer.items.len(), Vec::len) - self.at;
        let rows = (all as u64).min(self.left).min(BATCH_ROWS as u64) as usize;
        if rows == 0 {
            self.has_more = all > 0;
            return self.total();
        }
        let mut batch = self.empty();
        for at in self.at..self.at + rows {
            let item = &answer.items[self.order.as_ref().map_or(at, |order| order[at])];
            let place = place_of(item);
            self.push(&mut batch, item, &place)?;
            self.last = Some(place);
        }
        (self.at, self.left) = (self.at + rows, self.left - rows as u64);
        Ok(Some(batch))
    }

    /// The total row, once.
    fn total(&mut self) -> Result<Option<Batch>, ScanError> {
        if !std::mem::take(&mut self.owes_total) {
            return Ok(None);
        }
        let mut all = Item { day: None, key: None, parts: Parts::empty(), revision: None };
        for item in &self.answer.items {
            all.parts.combine(&item.parts);
            all.revision = all.revision.max(item.revision);
        }
        let mut batch = self.empty();
        self.push(&mut batch, &all, &RowPosition::default())?;
        Ok(Some(batch))
    }

    fn empty(&self) -> Batch {
        Batch::new(Arc::clone(self.of.layout.columns()), self.answer.certificate)
    }

    fn push(
        &self,
        batch: &mut Batch,
        item: &Item<K, A>,
        place: &RowPosition,
    ) -> Result<(), ScanError> {
        let layout = &self.of.layout;
        batch.push(layout.view(), &layout.row(item, place, self.of.own.as_deref())?)
    }
}

/// The indices of the `n` greatest items; items with equal values keep their order, items without a value are last.
fn greatest<K: Key, A: Aggregate>(items: &[Item<K, A>], n: u32, rank: &RankFn<A>) -> Vec<usize> {
    let value = |item: &Item<K, A>| item.parts.merged().and_then(|merged| rank(&merged));
    let ranked = items.iter().enumerate().map(|(at, item)| (Reverse(value(item)), at));
    let mut ranked: Vec<_> = ranked.collect();
    ranked.sort();
    ranked.truncate(n as usize);
    ranked.into_iter().map(|(_, at)| at).collect()
}

impl<K: Key, A: Aggregate> Rows for WholeRows<K, A> {
    fn next(&mut self, _: Wait<'_, '_>) -> Poll<Result<Option<Batch>, ScanError>> {
        Poll::Ready(self.batch())
    }

    fn certificate(&mut self, _: Wait<'_, '_>) -> Poll<Result<Certificate, ScanError>> {
        Poll::Ready(Ok(self.answer.certificate))
    }

    fn cursor(&self) -> Option<Cursor> {
        self.of.pages.cursor(self.last.as_ref()?)
    }

    fn has_more(&self) -> bool {
        self.has_more
    }
}
