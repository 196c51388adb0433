//! The answer to a scan, batch by batch.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;

use super::{Batch, Cursor, Part, ScanError};
use crate::schema::Column;
use crate::serve::Certificate;

/// How to wait for the next piece: a thread waits for a limited time, a task is woken.
pub(crate) enum Wait<'a, 'b> {
    Thread(Option<Duration>),
    Task(&'a mut Context<'b>),
}

/// The source of batches.
pub(crate) trait Rows: Send {
    /// The next batch; `None` after the last one. Pending only for a task, which is woken later.
    fn next(&mut self, wait: Wait<'_, '_>) -> Poll<Result<Option<Batch>, ScanError>>;

    /// The certificate of the answer, once it is known.
    fn certificate(&mut self, wait: Wait<'_, '_>) -> Poll<Result<Certificate, ScanError>>;

    /// After the last row that was given, if the shape has pages.
    fn cursor(&self) -> Option<Cursor>;

    /// The sealed files that are part of the answer and were not read yet, once all of them are known.
    fn parts(&mut self, _: Wait<'_, '_>) -> Poll<Result<Vec<Part>, ScanError>> {
        Poll::Ready(Ok(Vec::new()))
    }

    /// After the last batch: whether there are more rows than the limit.
    fn has_more(&self) -> bool;
}

/// The answer to a scan: batches in the order of its shape, all as of the same moment.
///
/// It is an iterator, which waits, and a [`Stream`] for tasks of any runtime. Batches are made as they are taken.
/// Dropping it cancels the rest of the scan on all workers of all processes.
///
/// ```
/// use std::time::Duration;
///
/// use dayfold::scan::{Batches, Cursor, ErasedView, Scan, ScanError, ScanShape};
///
/// /// The first rows of a view, and where the next ones begin.
/// fn page(view: &dyn ErasedView) -> Result<(usize, Option<Cursor>), ScanError> {
///     let scan = Scan::new(ScanShape::ByKey).limit(100);
///     let mut page: Batches = view.scan(&scan, None)?.timeout(Duration::from_secs(10));
///     let mut rows = 0;
///     for batch in page.by_ref() {
///         rows += batch?.rows();
///     }
///     Ok((rows, page.next_page()))
/// }
/// ```
#[must_use = "dropped, it cancels the scan"]
pub struct Batches {
    columns: Arc<[Column]>,
    rows: Box<dyn Rows>,
    limit: Option<Duration>,
    is_over: bool,
    version: u64,
}

impl std::fmt::Debug for Batches {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Batches")
            .field("columns", &self.columns)
            .field("is_over", &self.is_over)
            .finish_non_exhaustive()
    }
}

impl Batches {
    pub(crate) fn new(columns: Arc<[Column]>, rows: Box<dyn Rows>) -> Batches {
        Batches { columns, rows, limit: None, is_over: false, version: 0 }
    }

    /// The same, as an answer of a subscription.
    pub(super) fn numbered(self, version: u64) -> Batches {
        Batches { version, ..self }
    }

    /// The same, with a time limit: the iterator waits at most this long for each batch, and then returns
    /// [`ScanError::TimedOut`]. It can be called again after that.
    pub fn timeout(self, limit: Duration) -> Batches {
        Batches { limit: Some(limit), ..self }
    }

    /// For a [subscription](super::ErasedView::subscribe): the number of the answer. It rises whenever the answer has
    /// changed, and is the same for all subscribers of the same question.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The columns of all batches.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Waits for the certificate of the answer. Batches have it as well, but an answer without rows has no batches.
    ///
    /// # Errors
    /// [`ScanError`] as for batches.
    pub fn certificate(&mut self) -> Result<Certificate, ScanError> {
        let limit = self.limit;
        now(self.rows.certificate(Wait::Thread(limit)))
    }

    /// As [`Batches::certificate`], for a task.
    pub async fn certificate_async(&mut self) -> Result<Certificate, ScanError> {
        std::future::poll_fn(|context| self.rows.certificate(Wait::Task(context))).await
    }

    /// Waits at most this long for the next batch; `None` if there are no more.
    ///
    /// # Errors
    /// [`ScanError::TimedOut`]: you may wait again. After any other error, there are no more batches.
    pub fn next_timeout(&mut self, limit: Duration) -> Result<Option<Batch>, ScanError> {
        match self.advance(Wait::Thread(Some(limit))) {
            Poll::Ready(next) => next.transpose(),
            Poll::Pending => unreachable!("a thread waits"),
        }
    }

    /// The next batch, for a task. Dropping the future loses nothing.
    pub async fn next_async(&mut self) -> Option<Result<Batch, ScanError>> {
        std::future::poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }

    /// Of a scan [in any order](super::Scan::in_any_order): waits until the engine has said which files have whole sealed
    /// periods, and takes them out of this answer, to be read on other threads. The remaining batches have all other
    /// rows. Empty for other scans.
    ///
    /// ```
    /// use dayfold::scan::{ErasedView, Part, Scan, ScanError};
    ///
    /// /// The number of rows, by two threads.
    /// fn count(view: &dyn ErasedView) -> Result<usize, ScanError> {
    ///     let scan = Scan::rows().columns(["sealed"]).in_any_order();
    ///     let mut others = view.scan(&scan, None)?;
    ///     let mut parts = others.parts()?;
    ///     let half = parts.split_off(parts.len() / 2);
    ///     let count = |parts: Vec<Part>| -> Result<usize, ScanError> {
    ///         parts.into_iter().flatten().map(|batch| batch.map(|batch| batch.rows())).sum()
    ///     };
    ///     let other_half = std::thread::spawn(move || count(half));
    ///     let mut rows = count(parts)? + other_half.join().expect("it does not panic")?;
    ///     for batch in others {
    ///         rows += batch?.rows();
    ///     }
    ///     Ok(rows)
    /// }
    /// ```
    ///
    /// # Errors
    /// [`ScanError`] as for batches.
    pub fn parts(&mut self) -> Result<Vec<Part>, ScanError> {
        let limit = self.limit;
        now(self.rows.parts(Wait::Thread(limit)))
    }

    /// As [`Batches::parts`], for a task.
    ///
    /// # Errors
    /// [`ScanError`] as for batches.
    pub async fn parts_async(&mut self) -> Result<Vec<Part>, ScanError> {
        std::future::poll_fn(|context| self.rows.parts(Wait::Task(context))).await
    }

    /// The position after the last row that was given, to continue a scan. `None` before the first row, and in shapes
    /// without pages: totals, and the greatest by a measure.
    pub fn cursor(&self) -> Option<Cursor> {
        self.rows.cursor()
    }

    /// The beginning of the next page, known after the last batch, if there are rows beyond the
    /// [limit](super::Scan::limit).
    pub fn next_page(&self) -> Option<Cursor> {
        if self.is_over && self.rows.has_more() { self.cursor() } else { None }
    }

    /// Takes all remaining batches, for answers that are known to be small.
    ///
    /// # Errors
    /// The first [`ScanError`].
    pub fn collect_rows(self) -> Result<Vec<Vec<crate::schema::Value>>, ScanError> {
        let mut rows = Vec::new();
        for batch in self {
            let batch = batch?;
            let columns = batch.columns().len();
            rows.extend(
                (0..batch.rows()).map(|row| (0..columns).map(|at| batch.value(row, at)).collect()),
            );
        }
        Ok(rows)
    }

    fn advance(&mut self, wait: Wait<'_, '_>) -> Poll<Option<Result<Batch, ScanError>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        let next = std::task::ready!(self.rows.next(wait));
        self.is_over = !matches!(next, Ok(Some(_)) | Err(ScanError::TimedOut { .. }));
        Poll::Ready(next.transpose())
    }
}

/// The result of a thread's wait.
fn now<T>(polled: Poll<Result<T, ScanError>>) -> Result<T, ScanError> {
    match polled {
        Poll::Ready(result) => result,
        Poll::Pending => unreachable!("a thread waits"),
    }
}

impl Iterator for Batches {
    type Item = Result<Batch, ScanError>;

    fn next(&mut self) -> Option<Self::Item> {
        let limit = self.limit;
        match self.advance(Wait::Thread(limit)) {
            Poll::Ready(next) => next,
            Poll::Pending => unreachable!("a thread waits"),
        }
    }
}

impl Stream for Batches {
    type Item = Result<Batch, ScanError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.advance(Wait::Task(context))
    }
}
