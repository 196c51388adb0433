//! The handle of a view as one without types.

use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use super::batches::{Rows, Wait};
use super::resolve::{Resolved, resolve};
use super::rows::WholeRows;
use super::{Batch, Batches, Cursor, ErasedView, Scan, ScanError, ScanSubscription, Snapshot};
use crate::aggregate::Aggregate;
use crate::engine::{AskError, Asked, ViewHandle, ViewState};
use crate::key::Key;
use crate::schema::ViewSchema;
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

    fn ranked_by(&self) -> Vec<&str> {
        self.ranks.iter().map(|(name, _)| name.as_str()).collect()
    }

    fn scan(&self, scan: &Scan, at: Option<&Snapshot>) -> Result<Batches, ScanError> {
        let _ = at;
        let resolved = resolve(scan, self)?;
        let asked = self.send_unchecked(resolved.query.clone())?;
        let columns = Arc::clone(resolved.layout.columns());
        Ok(Batches::new(columns, Box::new(AskedRows { asked, resolved, rows: None })))
    }

    fn subscribe(&self, scan: &Scan, every: Duration) -> Result<ScanSubscription, ScanError> {
        let Resolved { query, layout, pages } = resolve(scan, self)?;
        let answers = self.subscribe_unchecked(query, every)?.shared();
        Ok(ScanSubscription::new(answers, layout, pages))
    }
}

/// The rows of an answer that is waited for as a whole.
struct AskedRows<K: Key, A: Aggregate> {
    asked: Asked<K, A>,
    resolved: Resolved<K>,
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
            let Resolved { layout, pages, .. } = &self.resolved;
            let answer = Arc::new(answer?);
            self.rows = Some(WholeRows::new(answer, Arc::clone(layout), pages.clone()));
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
