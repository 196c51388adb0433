//! The handle of a view as one without types.

use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use super::batches::{Rows, Wait};
use super::resolve::{Resolved, RowsOf, resolve};
use super::rows::WholeRows;
use super::{Batch, Batches, Cursor, ErasedView, Scan, ScanError, ScanSubscription, Snapshot};
use crate::aggregate::Aggregate;
use crate::engine::{AskError, Asked, ViewHandle, ViewState};
use crate::key::Key;
use crate::schema::{Kind, Measure, ViewSchema};
use crate::serve::Certificate;
use crate::view::View;

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
        self.ranks.iter().map(|(name, _)| name.as_str()).collect()
    }

    fn scan(&self, scan: &Scan, at: Option<&Snapshot>) -> Result<Batches, ScanError> {
        let _ = at;
        let Resolved { query, rows: of } = resolve(scan, self)?;
        let asked = self.send_unchecked(query)?;
        let columns = Arc::clone(of.layout.columns());
        Ok(Batches::new(columns, Box::new(AskedRows { asked, of, rows: None })))
    }

    fn subscribe(&self, scan: &Scan, every: Duration) -> Result<ScanSubscription, ScanError> {
        let Resolved { query, rows } = resolve(scan, self)?;
        let answers = self.subscribe_unchecked(query, every)?.shared();
        Ok(ScanSubscription::new(answers, rows))
    }
}

/// The rows of an answer that is waited for as a whole.
struct AskedRows<K: Key, A: Aggregate> {
    asked: Asked<K, A>,
    of: RowsOf<A>,
    rows: Option<WholeRows<K, A>>,
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
