//! Batches of an answer while its pieces come.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Poll;

use super::batches::{Rows, Wait};
use super::direct::Direct;
use super::layout::place_of;
use super::resolve::RowsOf;
use super::{BATCH_ROWS, Batch, Cursor, Part, ScanError};
use crate::aggregate::Aggregate;
use crate::engine::{Closed, KeptSnapshot, Mailbox, Pieces, Said, Taker};
use crate::key::Key;
use crate::schema::ViewSchema;
use crate::serve::{Certificate, Cut, Merge, Next, RowPosition};
use crate::yielding::let_others_run;

/// After this many rows, the reader yields.
const YIELD_EVERY: usize = 128;

/// A question that was asked. Dropping it before it has its answer cancels it on all workers.
pub(super) struct Asked<K: Key, A: Aggregate> {
    pub(super) schema: Arc<ViewSchema>,
    pub(super) mailbox: Arc<Mailbox<K, A>>,
    pub(super) number: u64,
    pub(super) pieces: Taker<Pieces<K, A>>,
    pub(super) is_over: bool,
}

impl<K: Key, A: Aggregate> Drop for Asked<K, A> {
    fn drop(&mut self) {
        if !self.is_over {
            self.mailbox.say(self.number, Said::Cancel);
        }
    }
}

/// The rows of an answer that arrives in pieces; only a few pieces are here at a time.
pub(super) struct StreamedRows<K: Key, A: Aggregate> {
    asked: Asked<K, A>,
    merge: Merge<K, A>,
    of: RowsOf<A>,
    /// The most rows that are still to come.
    left: u64,
    /// The rows of a batch that is not full.
    begun: Option<Batch>,
    last: Option<RowPosition>,
    has_more: bool,
    /// Files that nobody else reads, and how to read them.
    parts: VecDeque<Part>,
    direct: Option<Arc<Direct>>,
    /// It is kept as long as it is read.
    _snapshot: Option<Arc<KeptSnapshot>>,
}

impl<K: Key, A: Aggregate> StreamedRows<K, A> {
    pub(super) fn new(
        asked: Asked<K, A>,
        merge: Merge<K, A>,
        of: RowsOf<A>,
        _snapshot: Option<Arc<KeptSnapshot>>,
    ) -> Self {
        let left = of.pages.limit.unwrap_or(u64::MAX);
        let (begun, last, has_more) = (None, None, false);
        let (parts, direct) = (VecDeque::new(), Direct::of::<K, A>(&of).map(Arc::new));
        StreamedRows { asked, merge, of, left, begun, last, has_more, parts, direct, _snapshot }
    }

    /// The reason why the answer ends early.
    fn error(&self, cut: Cut) -> ScanError {
        match cut {
            Cut::Stopped => ScanError::Stopped,
            Cut::Removed { kept_from } => {
                ScanError::Removed { view: self.asked.schema.name.clone(), kept_from }
            }
            Cut::Superseded { day, since } => ScanError::Superseded { day, since },
            Cut::Expired => {
                let why = "the moment of this scan was kept for as long as it may be".to_owned();
                ScanError::Expired { why }
            }
        }
    }

    /// Waits until more pieces have come.
    fn receive(&mut self, wait: &mut Wait<'_, '_>) -> Poll<Result<(), ScanError>> {
        let taken = match wait {
            Wait::Thread(limit) => match self.asked.pieces.take(*limit) {
                Ok(Some(pieces)) => Ok(pieces),
                Ok(None) => {
                    let limit = limit.unwrap_or_default();
                    return Poll::Ready(Err(ScanError::TimedOut { limit }));
                }
                Err(closed) => Err(closed),
            },
            Wait::Task(context) => std::task::ready!(self.asked.pieces.poll_take(context)),
        };
        let Ok(pieces): Result<_, Closed> = taken else {
            self.asked.is_over = true;
            return Poll::Ready(Err(ScanError::Stopped));
        };
        pieces.into_iter().for_each(|piece| self.merge.add(piece));
        self.asked.is_over |= self.merge.is_complete();
        Poll::Ready(Ok(()))
    }

    /// Takes in the files, once every worker has said which.
    fn take_files(&mut self) {
        let Some(certificate) = self.merge.certificate() else { return };
        for file in self.merge.take_files() {
            let of = (self.of.clone(), self.direct.clone());
            self.parts.push_back(Part::new(file, of, certificate));
        }
    }

    /// Fills a batch; `None` if there are no more rows.
    fn fill(&mut self, wait: &mut Wait<'_, '_>) -> Poll<Result<Option<Batch>, ScanError>> {
        if self.has_more {
            return Poll::Ready(Ok(None));
        }
        loop {
            self.take_files();
            while let Some(part) = self.parts.front_mut() {
                match part.next() {
                    Some(batch) => return Poll::Ready(batch.map(Some)),
                    None => drop(self.parts.pop_front()),
                }
            }
            match self.merge.next() {
                Next::Cut(cut) => return Poll::Ready(Err(self.error(cut))),
                Next::End => return Poll::Ready(Ok(self.begun.take())),
                Next::Waiting => {
                    if let Err(error) = std::task::ready!(self.receive(wait)) {
                        return Poll::Ready(Err(error));
                    }
                }
                Next::Item(_) if self.left == 0 => {
                    self.has_more = true;
                    self.asked.mailbox.say(self.asked.number, Said::Cancel);
                    self.asked.is_over = true;
                    return Poll::Ready(Ok(self.begun.take()));
                }
                Next::Item(item) => {
                    let place = place_of(&item);
                    let row = match self.of.layout.row(&item, &place, self.of.own.as_deref()) {
                        Ok(row) => row,
                        Err(error) => return Poll::Ready(Err(error)),
                    };
                    let certificate = self.merge.certificate();
                    let batch = self.begun.get_or_insert_with(|| {
                        let columns = Arc::clone(self.of.layout.columns());
                        Batch::new(columns, certificate.expect("every worker has said something"))
                    });
                    if let Err(error) = batch.push(self.of.layout.view(), &row) {
                        return Poll::Ready(Err(error));
                    }
                    (self.last, self.left) = (Some(place), self.left - 1);
                    for worker in self.merge.used_up() {
                        self.asked.mailbox.say(self.asked.number, Said::More(worker));
                    }
                    if batch.rows().is_multiple_of(YIELD_EVERY) {
                        let_others_run();
                    }
                    if batch.rows() == BATCH_ROWS {
                        return Poll::Ready(Ok(self.begun.take()));
                    }
                }
            }
        }
    }
}

impl<K: Key, A: Aggregate> Rows for StreamedRows<K, A> {
    fn next(&mut self, mut wait: Wait<'_, '_>) -> Poll<Result<Option<Batch>, ScanError>> {
        self.fill(&mut wait)
    }

    fn certificate(&mut self, mut wait: Wait<'_, '_>) -> Poll<Result<Certificate, ScanError>> {
        loop {
            if let Some(cut) = self.merge.cut() {
                return Poll::Ready(Err(self.error(cut)));
            }
            if let Some(certificate) = self.merge.certificate() {
                return Poll::Ready(Ok(certificate));
            }
            if let Err(error) = std::task::ready!(self.receive(&mut wait)) {
                return Poll::Ready(Err(error));
            }
        }
    }

    fn parts(&mut self, wait: Wait<'_, '_>) -> Poll<Result<Vec<Part>, ScanError>> {
        std::task::ready!(self.certificate(wait))?;
        self.take_files();
        Poll::Ready(Ok(std::mem::take(&mut self.parts).into()))
    }

    fn cursor(&self) -> Option<Cursor> {
        self.of.pages.cursor(self.last.as_ref()?)
    }

    fn has_more(&self) -> bool {
        self.has_more
    }
}
