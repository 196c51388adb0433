//! The handle of a view as one without types.

use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use super::batches::{Rows, Wait};
use super::resolve::{Resolved, RowsOf, resolve};
use super::rows::WholeRows;
use super::streamed::{Asked, StreamedRows};
use super::{Batch, Batches, Cursor, ErasedView, Scan, ScanError, ScanSubscription, Snapshot};
use crate::aggregate::Aggregate;
use crate::engine::{AskError, KeptSnapshot, ViewHandle, ViewState};
use crate::key::Key;
use crate::schema::{Kind, Measure, ViewSchema};
use crate::serve::{self, Certificate, Merge, Question, this_process};
use crate::view::View;

/// How many pieces of an answer each worker sends before the first is taken.
const CREDIT: u64 = 2;

impl<K: Key, A: Aggregate> ErasedView for ViewHandle<K, A> {
    fn schema(&self) -> &ViewSchema {
        ViewHandle::schema(self)
    }

    fn definition(&self) -> &View {
        self.view()
    }

    fn status(&self) -> ViewState {
        ViewHandle::status(self)
    }

    fn shown(&self) -> Vec<Measure> {
        let own =
            self.measures.iter().map(|(name, _)| Measure::new(name, Kind::Decimal).nullable());
        match self.measures.is_empty() {
            false => own.collect(),
            true => {
                let all = self.schema.measures.iter();
                all.filter(|measure| measure.kind != Kind::Bytes).cloned().collect()
            }
        }
    }

    fn ranked_by(&self) -> Vec<&str> {
        self.ranks.0.iter().map(String::as_str).collect()
    }

    fn ordered_columns(&self) -> usize {
        self.codec.ordered_columns()
    }

    fn check(&self, scan: &Scan) -> Result<(), ScanError> {
        resolve(scan, self, false).map(drop)
    }

    fn scan(&self, scan: &Scan, at: Option<&Snapshot>) -> Result<Batches, ScanError> {
        let Resolved { query, rows: of } = resolve(scan, self, at.is_some())?;
        if at.is_some() && query.revision != serve::Revision::Now {
            return Err(ScanError::Revision { view: self.view().name().to_owned() });
        }
        let query = match at {
            Some(at) => query.at_time(self.view().calendar(), at.time(), &self.mailbox.kept()),
            None => query,
        };
        let columns = Arc::clone(of.layout.columns());
        let snapshot = at.map(|snapshot| Arc::clone(snapshot.kept()));
        let id = snapshot.as_ref().map(|snapshot| snapshot.id);
        if of.has_total {
            // The total covers the whole answer.
            let asked = self.ask_whole(Question { snapshot: id, ..Question::whole(query) })?;
            let rows = AskedRows { asked, of, rows: None, _snapshot: snapshot };
            return Ok(Batches::new(columns, Box::new(rows)));
        }
        let shape = query.shape;
        let is_ranked = matches!(shape, serve::Shape::Top { .. });
        let gives_files = scan.in_any_order
            && matches!(shape, serve::Shape::ByDayAndKey)
            && matches!(&query.keys, serve::Keys::Range(range) if range.is_all())
            && query.revision == serve::Revision::Now
            && query.grain.is_none()
            && !query.unsealed
            && of.pages.limit.is_none();
        let question = Question {
            query,
            after: of.pages.after.clone(),
            // One more row tells whether there are more. Top lists are cut when those of all workers have come.
            limit: of.pages.limit.filter(|_| !is_ranked).map(|limit| limit.saturating_add(1)),
            snapshot: id,
            credit: CREDIT,
            files_to: gives_files.then(this_process),
        };
        let (number, pieces) = self.mailbox.send(question)?;
        let (schema, mailbox) = (Arc::clone(&self.schema), Arc::clone(&self.mailbox));
        let asked = Asked { schema, mailbox, number, pieces, is_over: false };
        let rows = StreamedRows::new(asked, Merge::new(shape, self.ranked()), of, snapshot);
        Ok(Batches::new(columns, Box::new(rows)))
    }

    fn subscribe(&self, scan: &Scan, every: Duration) -> Result<ScanSubscription, ScanError> {
        let Resolved { query, rows } = resolve(scan, self, false)?;
        let answers = self.subscribe_unchecked(query, every)?.shared();
        Ok(ScanSubscription::new(answers, rows))
    }
}

/// The rows of an answer that comes as a whole.
struct AskedRows<K: Key, A: Aggregate> {
    asked: crate::engine::Asked<K, A>,
    of: RowsOf<A>,
    rows: Option<WholeRows<K, A>>,
    /// It is kept as long as it is read.
    _snapshot: Option<Arc<KeptSnapshot>>,
}

impl<K: Key, A: Aggregate> AskedRows<K, A> {
    fn rows(&mut self, wait: Wait<'_, '_>) -> Poll<Result<&mut WholeRows<K, A>, ScanError>> {
        if self.rows.is_none() {
            let answer = match wait {
                Wait::Thread(Some(limit)) => self.asked.wait_timeout(limit),
                Wait::Thread(None) => match self.asked.wait_timeout(Duration::MAX) {
                    Err(AskError::TimedOut { .. }) => Err(AskError::Stopped),
                    answer => answer,
                },
                Wait::Task(context) => {
                    ready!(std::future::Future::poll(std::pin::Pin::new(&mut self.asked), context))
                }
            };
            self.rows = Some(WholeRows::new(Arc::new(answer?), self.of.clone()));
        }
        Poll::Ready(self.rows.as_mut().ok_or(ScanError::Stopped))
    }
}

impl<K: Key, A: Aggregate> Rows for AskedRows<K, A> {
    fn next(&mut self, wait: Wait<'_, '_>) -> Poll<Result<Option<Batch>, ScanError>> {
        match ready!(self.rows(wait)) {
            Ok(rows) => rows.next(Wait::Thread(None)),
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    fn certificate(&mut self, wait: Wait<'_, '_>) -> Poll<Result<Certificate, ScanError>> {
        match ready!(self.rows(wait)) {
            Ok(rows) => rows.certificate(Wait::Thread(None)),
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    fn cursor(&self) -> Option<Cursor> {
        self.rows.as_ref()?.cursor()
    }

    fn has_more(&self) -> bool {
        self.rows.as_ref().is_some_and(WholeRows::has_more)
    }
}
