//! The handle that queries a view, from any thread and from tasks of any runtime.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::aggregate::{Aggregate, Decimal};
use crate::engine::ask::error::AskError;
use crate::engine::ask::mailbox::{Mailbox, Pieces, Said, ViewState};
use crate::engine::ask::slot::{Closed, Taker};
use crate::engine::ask::subscription::Subscription;
use crate::engine::upkeep::maintenance::{MaintainError, Maintained, Task, TaskKind};
use crate::key::Key;
use crate::schema::{KeyCodec, ViewSchema};
use crate::serve::{Answer, Cut, MeasureFn, MeasureId, Merge, Query, QueryError, Question, RankFn};
use crate::time::{Day, DayRange, Last};
use crate::view::View;

/// The named numbers of an aggregate.
pub(crate) type Named<A> = Vec<(String, Arc<MeasureFn<A>>)>;

/// The named numbers of a view's aggregate, by which keys can be ranked.
pub struct Measures<A> {
    pub(crate) named: Named<A>,
}

impl<A> std::fmt::Debug for Measures<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Measures")
            .field("named", &self.named.iter().map(|(name, _)| name).collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

impl<A> Measures<A> {
    /// No measures.
    pub fn none() -> Measures<A> {
        Measures { named: Vec::new() }
    }

    /// Adds a measure.
    #[must_use]
    pub fn measure(
        mut self,
        name: &str,
        measure: impl Fn(&A) -> Option<Decimal> + Send + Sync + 'static,
    ) -> Measures<A> {
        self.named.push((name.to_owned(), Arc::new(measure)));
        self
    }
}

/// Queries a view of an engine, from any thread. Clones query the same view.
///
/// ```
/// use std::time::Duration;
///
/// use dayfold::aggregate::Count;
/// use dayfold::engine::{AskError, Asked, Subscription, ViewHandle, ViewState};
/// use dayfold::serve::Query;
/// use dayfold::time::{Day, DayRange};
///
/// /// How often something was counted on all days.
/// fn count(view: &ViewHandle<String, Count>, key: &str) -> Result<i64, AskError> {
///     let answer = view.ask(Query::point(key.to_owned(), DayRange::ALL))?;
///     Ok(answer.value().map_or(0, |count| count.0))
/// }
///
/// /// Asks two questions at once.
/// fn both(view: &ViewHandle<String, Count>) -> Result<usize, AskError> {
///     let ask = |key: &str| view.send(Query::series(key.to_owned(), DayRange::ALL));
///     let (one, other): (Asked<_, _>, Asked<_, _>) = (ask("/home")?, ask("/about")?);
///     Ok(one.wait()?.items.len() + other.wait()?.items.len())
/// }
///
/// /// Prints the total whenever it has changed, at most once a second.
/// fn follow(view: &ViewHandle<String, Count>) -> Result<(), AskError> {
///     let query = Query::total(DayRange::ALL);
///     let mut totals: Subscription<_, _> = view.subscribe(query, Duration::from_secs(1))?;
///     while let Some(answer) = totals.next() {
///         println!("{:?}, as of {:?}", answer.value(), answer.certificate.as_of);
///     }
///     Ok(())
/// }
///
/// /// The day as it was sealed, once it is.
/// fn sealed(view: &ViewHandle<String, Count>, day: Day) -> Result<Option<Count>, AskError> {
///     view.wait_sealed_through(day, Duration::from_secs(60))?;
///     Ok(view.ask(Query::total(DayRange::only(day)))?.value())
/// }
///
/// /// Whether all is well with the view.
/// fn is_well(view: &ViewHandle<String, Count>) -> bool {
///     let ViewState { error, numbers, .. } = view.status();
///     error.is_none() && numbers.refused == 0
/// }
/// ```
pub struct ViewHandle<K: Key, A: Aggregate> {
    pub(crate) view: View,
    pub(crate) measures: Arc<Named<A>>,
    pub(crate) schema: Arc<ViewSchema>,
    pub(crate) codec: Arc<KeyCodec>,
    pub(crate) ranks: Arc<(Vec<String>, Ranks<A>)>,
    pub(crate) mailbox: Arc<Mailbox<K, A>>,
}

impl<K: Key, A: Aggregate> std::fmt::Debug for ViewHandle<K, A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ViewHandle").field("view", &self.view).finish_non_exhaustive()
    }
}

impl<K: Key, A: Aggregate> Clone for ViewHandle<K, A> {
    fn clone(&self) -> Self {
        ViewHandle {
            view: self.view.clone(),
            measures: Arc::clone(&self.measures),
            schema: Arc::clone(&self.schema),
            codec: Arc::clone(&self.codec),
            ranks: Arc::clone(&self.ranks),
            mailbox: Arc::clone(&self.mailbox),
        }
    }
}

impl<K: Key, A: Aggregate> ViewHandle<K, A> {
    /// The view's definition.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// The measure of this name, for [`Query::top`].
    pub fn measure(&self, name: &str) -> Option<MeasureId> {
        let place = self.measures.iter().position(|(measure, _)| measure == name);
        place.map(|place| MeasureId::at(place as u32))
    }

    /// The named numbers of the view's aggregate, in order.
    pub fn measures(&self) -> impl ExactSizeIterator<Item = (&str, &MeasureFn<A>)> {
        self.measures.iter().map(|(name, measure)| (name.as_str(), measure.as_ref()))
    }

    /// Asks and waits for the answer. It is exact as of a moment that was complete when the worker took the query;
    /// asking does not create a tick.
    ///
    /// # Errors
    /// [`AskError`]; nothing has happened then.
    pub fn ask(&self, query: Query<K>) -> Result<Answer<K, A>, AskError> {
        self.send(query)?.wait()
    }

    /// Asks and waits for the answer, at most for `limit`.
    ///
    /// # Errors
    /// [`AskError`]; nothing has happened then.
    pub fn ask_timeout(&self, query: Query<K>, limit: Duration) -> Result<Answer<K, A>, AskError> {
        self.send(query)?.wait_timeout(limit)
    }

    /// Asks at once and returns a future of the answer, for any runtime. Dropping the future cancels the query.
    ///
    /// # Errors
    /// [`AskError`]; nothing has happened then.
    pub fn ask_async(
        &self,
        query: Query<K>,
    ) -> impl Future<Output = Result<Answer<K, A>, AskError>> + Send + use<K, A> {
        let asked = self.send(query);
        async move { asked?.await }
    }

    /// Asks without waiting: the answer can be taken, waited for or awaited later.
    ///
    /// # Errors
    /// [`AskError::Full`], [`AskError::NoMeasure`], [`AskError::Grain`], [`AskError::NotStarted`],
    /// [`AskError::Stopped`]; nothing has happened then.
    pub fn send(&self, query: Query<K>) -> Result<Asked<K, A>, AskError> {
        self.check(&query)?;
        self.send_unchecked(query)
    }

    /// As [`ViewHandle::send`], for a query whose measure is known to exist.
    pub(crate) fn send_unchecked(&self, query: Query<K>) -> Result<Asked<K, A>, AskError> {
        self.ask_whole(Question::whole(query))
    }

    /// Asks for a whole answer at once.
    pub(crate) fn ask_whole(&self, question: Question<K>) -> Result<Asked<K, A>, AskError> {
        let (id, shape) = (question.query.id, question.query.shape);
        let (number, pieces) = self.mailbox.send(question)?;
        let merge = Some(Merge::new(shape, self.ranked()));
        let (schema, mailbox) = (Arc::clone(&self.schema), Arc::clone(&self.mailbox));
        Ok(Asked { schema, id, number, pieces, merge, mailbox })
    }

    /// The functions that rank keys.
    pub(crate) fn ranked(&self) -> Arc<Vec<Arc<RankFn<A>>>> {
        Arc::clone(&self.ranks.1)
    }

    /// Subscribes to a query. The first answer comes at once. After that, the latest answer comes whenever its items,
    /// their parts or `sealed_through` have changed, at most once in `every`. Zero means at each complete moment that
    /// changes it.
    ///
    /// Subscribers of equal queries share the evaluation, and nothing is evaluated while no events enter.
    ///
    /// # Errors
    /// [`AskError::TooManySubscribers`], [`AskError::NoMeasure`], [`AskError::Grain`], [`AskError::NotStarted`],
    /// [`AskError::Stopped`]; nothing has happened then.
    pub fn subscribe(
        &self,
        query: Query<K>,
        every: Duration,
    ) -> Result<Subscription<K, A>, AskError> {
        self.check(&query)?;
        self.subscribe_unchecked(query, every)
    }

    /// As [`ViewHandle::subscribe`], for a query whose measure is known to exist.
    pub(crate) fn subscribe_unchecked(
        &self,
        query: Query<K>,
        every: Duration,
    ) -> Result<Subscription<K, A>, AskError> {
        Subscription::begin(&self.mailbox, query, every)
    }

    /// The schema of the view as a table. If the names of columns do not match its types, the engine does not start,
    /// and this schema has the names that the types give.
    pub fn schema(&self) -> &ViewSchema {
        &self.schema
    }

    /// Checks a query. A measure that does not exist, for example, could not rank keys.
    fn check(&self, query: &Query<K>) -> Result<(), AskError> {
        let view = || self.view.name().to_owned();
        let calendar = self.view.calendar();
        let grain = calendar.grain();
        if let Some(asked) = query.last.map(Last::grain).filter(|asked| !grain.is_within(*asked)) {
            return Err(AskError::Grain { view: view(), asked, grain });
        }
        // The window is determined when a worker takes the query, and has those of its periods that are kept.
        let is_window = query.last.is_some();
        let query = &Query { last: None, ..query.clone() };
        let removed = query.refused_by(calendar, &self.mailbox.kept());
        if let Some(kept_from) = removed.filter(|_| !is_window) {
            return Err(AskError::Removed { view: view(), kept_from });
        }
        match QueryError::of(query, grain, self.measures.len()) {
            Some(QueryError::NoMeasure { measure, measures }) => {
                Err(AskError::NoMeasure { view: view(), measure, measures })
            }
            Some(QueryError::Grain { asked, grain }) => {
                Err(AskError::Grain { view: view(), asked, grain })
            }
            Some(QueryError::Removed { kept_from }) => {
                Err(AskError::Removed { view: view(), kept_from })
            }
            // Only the reader of the answer can know.
            Some(QueryError::Superseded { .. } | QueryError::NoClock { .. }) | None => Ok(()),
        }
    }

    /// Waits, at most for `limit`, until a day and all days before it are sealed, and live on all workers of this
    /// process. A day without events also closes, with the floor.
    ///
    /// # Errors
    /// [`AskError::TimedOut`]: the call may be repeated. [`AskError::Stopped`]: the day was not sealed before the
    /// engine stopped; it will be in the next run, or at its end.
    pub fn wait_sealed_through(&self, day: Day, limit: Duration) -> Result<(), AskError> {
        self.mailbox.wait_sealed(day, limit)
    }

    /// The state of the view on the workers of this process: its first and last day, its last sealed day, how much is
    /// not sealed, and its error, if any. The call asks nobody: the workers publish the state every 20 ms, and when
    /// days are sealed. It works before the engine has started and after it has stopped.
    pub fn status(&self) -> ViewState {
        self.mailbox.status()
    }

    /// The number of queries that wait for a worker, and the number of subscriptions, in this process.
    pub fn waiting(&self) -> (usize, usize) {
        self.mailbox.waiting()
    }

    /// Computes sealed days again from the log, with the operators that made them, and compares them key by key with
    /// the files that count. Returns when all workers have done so. `share` is the share of a processor's time that
    /// each worker may use for it, from 0 to 1. Ingest and queries go on meanwhile.
    ///
    /// # Errors
    /// [`MaintainError`]; nothing was changed.
    pub fn audit(&self, days: DayRange, share: f64) -> Result<Maintained, MaintainError> {
        self.maintain(Task { kind: TaskKind::Audit, days, is_all: days.lower == Day::MIN, share })
    }

    /// Computes sealed days again from the log. Each becomes a new revision, which replaces the old one in one step.
    /// Returns when all workers have done so. `share` is as in [`ViewHandle::audit`]. Queries see the old revision or
    /// the new one. Late events of a day that is being computed are sealed afterwards.
    ///
    /// # Errors
    /// [`MaintainError`]; days that were rebuilt before the error stay rebuilt.
    pub fn rebuild(&self, days: DayRange, share: f64) -> Result<Maintained, MaintainError> {
        self.maintain(Task { kind: TaskKind::Rebuild, days, is_all: false, share })
    }

    fn maintain(&self, mut task: Task) -> Result<Maintained, MaintainError> {
        let kept_from = self.mailbox.kept().periods;
        if task.days.lower != Day::MIN && task.days.lower < kept_from {
            return Err(MaintainError::Removed { view: self.view.name().to_owned(), kept_from });
        }
        let from = self.mailbox.computed_from();
        if task.days.lower != Day::MIN && task.days.lower < from {
            return Err(MaintainError::LogShortened { view: self.view.name().to_owned(), from });
        }
        task.days.lower = task.days.lower.max(kept_from).max(from);
        let (reply, result) = mpsc::sync_channel(1);
        self.mailbox.send_task((task, reply))?;
        result.recv().unwrap_or(Err(MaintainError::Stopped))
    }
}

/// A query that was asked. It is a future of its answer, for any runtime; threads call [`Asked::wait`]. Dropping it
/// before it has its answer cancels the query on all workers.
#[must_use = "dropped, it cancels the query"]
pub struct Asked<K: Key, A: Aggregate> {
    schema: Arc<ViewSchema>,
    id: u64,
    number: u64,
    pieces: Taker<Pieces<K, A>>,
    /// The part of the answer that has arrived; `None` once the answer was given.
    merge: Option<Merge<K, A>>,
    mailbox: Arc<Mailbox<K, A>>,
}

impl<K: Key, A: Aggregate> std::fmt::Debug for Asked<K, A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Asked").field("id", &self.id).finish_non_exhaustive()
    }
}

impl<K: Key, A: Aggregate> Asked<K, A> {
    /// Waits for the answer.
    ///
    /// # Errors
    /// [`AskError::Stopped`].
    pub fn wait(mut self) -> Result<Answer<K, A>, AskError> {
        self.take(|pieces| pieces.take(None))?.ok_or(AskError::Stopped)
    }

    /// Waits for the answer, at most for `limit`.
    ///
    /// # Errors
    /// [`AskError::TimedOut`]: the call may be repeated. [`AskError::Stopped`].
    pub fn wait_timeout(&mut self, limit: Duration) -> Result<Answer<K, A>, AskError> {
        let began = Instant::now();
        let taken = self.take(|pieces| pieces.take(Some(limit.saturating_sub(began.elapsed()))));
        taken?.ok_or(AskError::TimedOut { limit })
    }

    /// Whether waiting would return at once.
    pub fn is_ready(&mut self) -> bool {
        let Some(merge) = &mut self.merge else { return true };
        match self.pieces.try_take() {
            Ok(Some(pieces)) => pieces.into_iter().for_each(|piece| merge.add(piece)),
            Ok(None) => {}
            Err(Closed) => return true,
        }
        merge.is_complete()
    }

    /// The answer, if it is there. It is given only once, in whichever way it is taken; afterwards the result is
    /// [`AskError::Stopped`].
    ///
    /// # Errors
    /// [`AskError::Stopped`].
    pub fn try_take(&mut self) -> Result<Option<Answer<K, A>>, AskError> {
        self.take(Taker::try_take)
    }

    /// Takes pieces until the answer is complete, or no piece is left.
    fn take(
        &mut self,
        take: impl Fn(&Taker<Pieces<K, A>>) -> Result<Option<Pieces<K, A>>, Closed>,
    ) -> Result<Option<Answer<K, A>>, AskError> {
        let Some(merge) = &mut self.merge else { return Err(AskError::Stopped) };
        while !merge.is_complete() {
            match take(&self.pieces) {
                Ok(Some(pieces)) => pieces.into_iter().for_each(|piece| merge.add(piece)),
                Ok(None) => return Ok(None),
                Err(Closed) => {
                    self.merge = None;
                    return Err(AskError::Stopped);
                }
            }
        }
        self.finish().map(Some)
    }

    fn finish(&mut self) -> Result<Answer<K, A>, AskError> {
        let merge = self.merge.take().ok_or(AskError::Stopped)?;
        merge.finish(self.id).map_err(|cut| match cut {
            Cut::Expired => AskError::Expired,
            Cut::Stopped => AskError::Stopped,
            Cut::Removed { kept_from } => {
                AskError::Removed { view: self.schema.name.clone(), kept_from }
            }
            Cut::Superseded { day, since } => AskError::Superseded { day, since },
        })
    }
}

// Nothing in it is pinned.
impl<K: Key, A: Aggregate> Unpin for Asked<K, A> {}

impl<K: Key, A: Aggregate> Future for Asked<K, A> {
    type Output = Result<Answer<K, A>, AskError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let this = &mut *self;
            let Some(merge) = &mut this.merge else { return Poll::Ready(Err(AskError::Stopped)) };
            if merge.is_complete() {
                return Poll::Ready(this.finish());
            }
            match std::task::ready!(this.pieces.poll_take(context)) {
                Ok(pieces) => pieces.into_iter().for_each(|piece| merge.add(piece)),
                Err(Closed) => {
                    this.merge = None;
                    return Poll::Ready(Err(AskError::Stopped));
                }
            }
        }
    }
}

impl<K: Key, A: Aggregate> Drop for Asked<K, A> {
    fn drop(&mut self) {
        if self.merge.is_some() {
            self.mailbox.say(self.number, Said::Cancel);
        }
    }
}

/// The functions that rank keys.
pub(crate) type Ranks<A> = Arc<Vec<Arc<RankFn<A>>>>;
