//! Subscriptions to a query: the latest answer, whenever it has changed.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;

use crate::aggregate::Aggregate;
use crate::engine::ask::error::AskError;
use crate::engine::ask::mailbox::{Delivered, Mailbox};
use crate::engine::ask::slot::{Closed, Taker};
use crate::key::Key;
use crate::serve::{Answer, Query};

/// The latest answer of a query, whenever its items, its parts, or its last sealed day have changed. Made by
/// [`ViewHandle::subscribe`](crate::engine::ViewHandle::subscribe).
///
/// At most one answer waits, and a newer one replaces it: a slow reader misses some, always gets the latest, and delays
/// nothing. The end of the engine comes after the last answer. Dropping it ends the subscription.
pub struct Subscription<K: Key, A: Aggregate> {
    id: u64,
    number: u64,
    taker: Taker<Delivered<K, A>>,
    mailbox: Arc<Mailbox<K, A>>,
}

impl<K: Key, A: Aggregate> std::fmt::Debug for Subscription<K, A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscription").field("id", &self.id).finish_non_exhaustive()
    }
}

impl<K: Key, A: Aggregate> Subscription<K, A> {
    pub(crate) fn begin(
        mailbox: &Arc<Mailbox<K, A>>,
        query: Query<K>,
        every: Duration,
    ) -> Result<Self, AskError> {
        let id = query.id;
        let (number, taker) = mailbox.subscribe(query.id(0), every)?;
        Ok(Subscription { id, number, taker, mailbox: Arc::clone(mailbox) })
    }

    /// Waits for the next answer. `None`: the engine has stopped, and there are no more.
    #[expect(clippy::should_implement_trait, reason = "an iterator would hide that it waits")]
    pub fn next(&mut self) -> Option<Answer<K, A>> {
        let taken = self.taker.take(None).ok().flatten()?;
        Some(self.own(taken))
    }

    /// Waits for the next answer, at most for `limit`.
    ///
    /// # Errors
    /// [`AskError::TimedOut`]: nothing has changed, or the change is not known yet; the call may be repeated.
    /// [`AskError::Stopped`]: there are no more.
    pub fn next_timeout(&mut self, limit: Duration) -> Result<Answer<K, A>, AskError> {
        match self.taker.take(Some(limit)) {
            Ok(Some(taken)) => Ok(self.own(taken)),
            Ok(None) => Err(AskError::TimedOut { limit }),
            Err(Closed) => Err(AskError::Stopped),
        }
    }

    /// The waiting answer, if there is one.
    ///
    /// # Errors
    /// [`AskError::Stopped`]: there are no more.
    pub fn try_next(&mut self) -> Result<Option<Answer<K, A>>, AskError> {
        let taken = self.taker.try_take().map_err(|Closed| AskError::Stopped)?;
        Ok(taken.map(|taken| self.own(taken)))
    }

    /// As [`Subscription::next`], for a task of any runtime. If it is dropped before it is done, no answer is lost.
    pub async fn next_async(&mut self) -> Option<Answer<K, A>> {
        std::future::poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }

    fn own(&self, (_, taken): Delivered<K, A>) -> Answer<K, A> {
        Answer { id: self.id, ..Arc::unwrap_or_clone(taken) }
    }

    /// The answers in the form that all subscriptions of the same query share, without copies. Each comes with a rising
    /// number, which is the same for all of them.
    pub(crate) fn shared(self) -> SharedAnswers<K, A> {
        SharedAnswers(self)
    }
}

/// The shared answers of a subscription; see [`Subscription::shared`].
pub(crate) struct SharedAnswers<K: Key, A: Aggregate>(Subscription<K, A>);

impl<K: Key, A: Aggregate> SharedAnswers<K, A> {
    /// Waits for the next answer, at most for `limit` if there is one. `None`: the engine has stopped.
    pub(crate) fn next(
        &self,
        limit: Option<Duration>,
    ) -> Result<Option<Delivered<K, A>>, AskError> {
        match (self.0.taker.take(limit), limit) {
            (Ok(Some(taken)), _) => Ok(Some(taken)),
            (Ok(None), Some(limit)) => Err(AskError::TimedOut { limit }),
            (Ok(None), None) | (Err(Closed), _) => Ok(None),
        }
    }
}

impl<K: Key, A: Aggregate> Stream for SharedAnswers<K, A> {
    type Item = (u64, Arc<Answer<K, A>>);

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.taker.poll_take(context).map(Result::ok)
    }
}

impl<K: Key, A: Aggregate> Stream for Subscription<K, A> {
    type Item = Answer<K, A>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Answer<K, A>>> {
        self.taker.poll_take(context).map(|taken| taken.ok().map(|taken| self.own(taken)))
    }
}

impl<K: Key, A: Aggregate> Drop for Subscription<K, A> {
    fn drop(&mut self) {
        self.mailbox.unsubscribe(self.number);
    }
}
