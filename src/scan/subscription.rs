//! Repeated answers to a scan.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;

use super::resolve::RowsOf;
use super::rows::WholeRows;
use super::{Batches, ScanError};
use crate::aggregate::Aggregate;
use crate::engine::SharedAnswers;
use crate::key::Key;
use crate::schema::Column;
use crate::serve::Answer;

/// Returns the latest answer to a scan whenever it has changed. [`ErasedView::subscribe`](super::ErasedView::subscribe)
/// makes it.
///
/// All subscribers with the same question share an answer; rows are made as batches are taken. At most one answer
/// waits, and a newer one replaces it. The end of the engine is reported after the last answer. Dropping it ends the
/// subscription.
///
/// ```
/// use std::time::Duration;
///
/// use dayfold::scan::{ErasedView, Scan, ScanError, ScanSubscription};
///
/// /// Prints the greatest keys whenever they have changed, at most once a second.
/// fn follow(view: &dyn ErasedView) -> Result<(), ScanError> {
///     let best = Scan::top(10, "sales");
///     let mut answers: ScanSubscription = view.subscribe(&best, Duration::from_secs(1))?;
///     while let Some(answer) = answers.next() {
///         println!("{:?}", answer.collect_rows()?);
///     }
///     Ok(())
/// }
/// ```
pub struct ScanSubscription {
    columns: Arc<[Column]>,
    answers: Box<dyn Answers>,
}

impl std::fmt::Debug for ScanSubscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ScanSubscription").field("columns", &self.columns).finish_non_exhaustive()
    }
}

/// Answers with erased types.
trait Answers: Send {
    fn next(&mut self, limit: Option<Duration>) -> Result<Option<Batches>, ScanError>;
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Batches>>;
}

struct TypedAnswers<K: Key, A: Aggregate> {
    answers: SharedAnswers<K, A>,
    of: RowsOf<A>,
}

impl<K: Key, A: Aggregate> TypedAnswers<K, A> {
    fn batches(&self, (version, answer): (u64, Arc<Answer<K, A>>)) -> Batches {
        let rows = WholeRows::new(answer, self.of.clone());
        Batches::new(Arc::clone(self.of.layout.columns()), Box::new(rows)).numbered(version)
    }
}

impl<K: Key, A: Aggregate> Answers for TypedAnswers<K, A> {
    fn next(&mut self, limit: Option<Duration>) -> Result<Option<Batches>, ScanError> {
        let next = self.answers.next(limit)?;
        Ok(next.map(|answer| self.batches(answer)))
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Batches>> {
        let next = std::task::ready!(Pin::new(&mut self.answers).poll_next(context));
        Poll::Ready(next.map(|answer| self.batches(answer)))
    }
}

impl ScanSubscription {
    pub(super) fn new<K: Key, A: Aggregate>(
        answers: SharedAnswers<K, A>,
        of: RowsOf<A>,
    ) -> ScanSubscription {
        let columns = Arc::clone(of.layout.columns());
        ScanSubscription { columns, answers: Box::new(TypedAnswers { answers, of }) }
    }

    /// The columns of all answers.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Waits for the next answer; `None` if the engine has stopped and there are no more.
    #[expect(clippy::should_implement_trait, reason = "an iterator would hide that it waits")]
    pub fn next(&mut self) -> Option<Batches> {
        self.answers.next(None).ok().flatten()
    }

    /// Waits for the next answer at most so long.
    ///
    /// # Errors
    /// [`ScanError::TimedOut`] if nothing has changed, or the answer is not known yet; you may wait again.
    /// [`ScanError::Stopped`]: there are no more.
    pub fn next_timeout(&mut self, limit: Duration) -> Result<Batches, ScanError> {
        self.answers.next(Some(limit))?.ok_or(ScanError::Stopped)
    }

    /// As [`ScanSubscription::next`], for a task of any runtime. Dropping the future loses nothing.
    pub async fn next_async(&mut self) -> Option<Batches> {
        std::future::poll_fn(|context| self.answers.poll_next(context)).await
    }
}

impl Stream for ScanSubscription {
    type Item = Batches;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Batches>> {
        self.answers.poll_next(context)
    }
}
