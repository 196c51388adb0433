//! Batches of the items of an answer.

use std::sync::Arc;
use std::task::Poll;

use super::batches::{Rows, Wait};
use super::cursor::Place;
use super::layout::{Layout, place_of};
use super::resolve::Pages;
use super::{BATCH_ROWS, Batch, Cursor, ScanError};
use crate::aggregate::Aggregate;
use crate::key::Key;
use crate::serve::{Answer, Certificate};

/// The rows of a whole answer, which others may share.
pub(super) struct WholeRows<K: Key, A: Aggregate> {
    answer: Arc<Answer<K, A>>,
    layout: Arc<Layout>,
    pages: Pages,
    /// The next item.
    at: usize,
    /// How many rows are still to come at most.
    left: u64,
    last: Option<Place>,
    has_more: bool,
}

impl<K: Key, A: Aggregate> WholeRows<K, A> {
    pub(super) fn new(answer: Arc<Answer<K, A>>, layout: Arc<Layout>, pages: Pages) -> Self {
        let is_before =
            |after: &Place| answer.items.partition_point(|item| place_of(item) <= *after);
        let at = pages.after.as_ref().map_or(0, is_before);
        let left = pages.limit.unwrap_or(u64::MAX);
        WholeRows { answer, layout, pages, at, left, last: None, has_more: false }
    }

    fn batch(&mut self) -> Result<Option<Batch>, ScanError> {
        let items = &self.answer.items[self.at..];
        let rows = (items.len() as u64).min(self.left).min(BATCH_ROWS as u64) as usize;
        if rows == 0 {
            self.has_more = !items.is_empty();
            return Ok(None);
        }
        let mut batch = Batch::new(Arc::clone(self.layout.columns()), self.answer.certificate);
        for item in &items[..rows] {
            let place = place_of(item);
            batch.push(self.layout.view(), &self.layout.row(item, &place)?)?;
            self.last = Some(place);
        }
        (self.at, self.left) = (self.at + rows, self.left - rows as u64);
        Ok(Some(batch))
    }
}

impl<K: Key, A: Aggregate> Rows for WholeRows<K, A> {
    fn next(&mut self, _: Wait<'_, '_>) -> Poll<Result<Option<Batch>, ScanError>> {
        Poll::Ready(self.batch())
    }

    fn certificate(&mut self, _: Wait<'_, '_>) -> Poll<Result<Certificate, ScanError>> {
        Poll::Ready(Ok(self.answer.certificate))
    }

    fn cursor(&self) -> Option<Cursor> {
        self.pages.cursor(self.last.as_ref()?)
    }

    fn has_more(&self) -> bool {
        self.has_more
    }
}
