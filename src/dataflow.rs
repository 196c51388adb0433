//! The whole graph, and how to put it into your own dataflow.
//!
//! ```text
//!     events ─► combine ─► exchange ─► speed view ─► seal ─► batch views
//!                                          │                     │
//!     queries ─► route ─► exchange ────────┴──► look up ◄────────┘
//!                                                 │
//!                                 answers ◄─── gather
//! ```

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use differential_dataflow::{AsCollection, VecCollection};
use timely::Container;
use timely::dataflow::operators::generic::Operator;
use timely::dataflow::{Stream, StreamVec};

use crate::aggregate::{Aggregate, Decimal};
use crate::archive::{Archive, ArchiveError, Loaded};
use crate::fold::{Enter, Fold, InPlace, Whole};
use crate::key::Key;
use crate::log::LogHandle;
use crate::moment::Moment;
use crate::serve::{Answer, Call, Piece, Query, RankFn, by_measure, serve, serve_calls};
use crate::speed::{
    Combiner, Counts, Room, SharedSpeed, Speed, ViewNumbers, combine, speed_view, to_owner,
};
use crate::table::TableRow;
use crate::time::{Day, EventTime};
use crate::view::{KeptFrom, View};

/// Makes views of streams of events.
pub trait FoldDays<'scope, E> {
    /// Folds events into a view: `event` returns the event time, key and aggregate of an event, or `None` if the view
    /// does not want it.
    ///
    /// Shape: one aggregate for each day (in the view's calendar) and key. Guarantee: each event is in exactly one term
    /// of each answer, whenever its day is sealed. A day closes when the frontier's floor passes its end and grace;
    /// when the stream ends, every day that holds events closes. An event with a time that no calendar can place,
    /// outside [`EVENT_TIME_MIN`](crate::time::EVENT_TIME_MIN) to [`EVENT_TIME_MAX`](crate::time::EVENT_TIME_MAX), is
    /// refused: it is in no answer, and counted in [`ViewNumbers::refused`] and in the certificates of answers.
    ///
    /// # Errors
    /// [`ArchiveError`] if the sealed days of the archive cannot be opened. All workers get the same.
    fn fold_days<K: Key, A: Aggregate>(
        self,
        view: View,
        archive: &Archive,
        event: impl Fn(&E) -> Option<(EventTime, K, A)> + 'static,
    ) -> Result<DayView<'scope, K, A>, ArchiveError>;

    /// As [`FoldDays::fold_days`], with a [`Fold`], which adds events in place.
    ///
    /// # Errors
    /// [`ArchiveError`] if the sealed days of the archive cannot be opened. All workers get the same.
    fn fold_in_place<F: Fold<E>>(
        self,
        view: View,
        archive: &Archive,
        fold: F,
    ) -> Result<DayView<'scope, F::Key, F::State>, ArchiveError>;
}

impl<'scope, E: Clone + 'static> FoldDays<'scope, E> for StreamVec<'scope, Moment, E> {
    fn fold_days<K: Key, A: Aggregate>(
        self,
        view: View,
        archive: &Archive,
        event: impl Fn(&E) -> Option<(EventTime, K, A)> + 'static,
    ) -> Result<DayView<'scope, K, A>, ArchiveError> {
        fold_stream(self, view, archive, Whole(event))
    }

    fn fold_in_place<F: Fold<E>>(
        self,
        view: View,
        archive: &Archive,
        fold: F,
    ) -> Result<DayView<'scope, F::Key, F::State>, ArchiveError> {
        fold_stream(self, view, archive, InPlace(fold))
    }
}

fn fold_stream<'scope, E: Clone + 'static, K: Key, A: Aggregate>(
    events: StreamVec<'scope, Moment, E>,
    view: View,
    archive: &Archive,
    enter: impl Enter<E, K, A>,
) -> Result<DayView<'scope, K, A>, ArchiveError> {
    let loaded = archive.load(&view, events.scope().index(), events.scope().peers())?;
    Ok(fold(events, None, view, (archive, None), loaded, move |events: &mut Vec<E>, combiner| {
        enter.enter(events.iter(), combiner, |_, _| {});
        events.clear();
    }))
}

/// Builds the graph of one view: the picture above, one arrow after the other. If there is a log, a day is sealed only
/// after the log holds its events durably.
pub(crate) fn fold<'scope, C: Container, K: Key, A: Aggregate>(
    events: Stream<'scope, Moment, C>,
    refused: Option<StreamVec<'scope, Moment, Counts>>,
    view: View,
    (archive, log): (&Archive, Option<LogHandle>),
    (sealed, through): Loaded<K, A>,
    read: impl Fn(&mut C, &mut Combiner<K, A>) + 'static,
) -> DayView<'scope, K, A> {
    let peers = events.scope().peers();
    let lead = archive.store().and_then(|store| store.lead(view.name()));
    let view = view.with_lead(lead);
    let kept_from = sealed.kept_from();
    let state = Rc::new(RefCell::new(Speed::new(view.clone(), peers, sealed, through)));

    let (rows, counts) = combine(events, refused, &view, (through, kept_from), read);
    let progress = speed_view(rows.clone(), counts, &state, archive, log);
    DayView { rows, progress, state, measures: Vec::new() }
}

/// A view inside a dataflow, to query and to build on.
///
/// ```
/// use dayfold::aggregate::Count;
/// use dayfold::time::EventTime;
/// use dayfold::view::View;
/// use dayfold::{Archive, DayView, FoldDays, Moment, ViewNumbers, ViewStatus};
/// use timely::dataflow::InputHandle;
///
/// timely::execute_directly(|worker| {
///     let mut visits = InputHandle::<Moment, _>::new();
///     let status: ViewStatus = worker.dataflow(|scope| {
///         let per_page: DayView<'_, String, Count> = visits
///             .to_stream(scope)
///             .fold_days(
///                 View::new("per-page").unwrap(),
///                 &Archive::in_memory(),
///                 |(time, page): &(EventTime, String)| Some((*time, page.clone(), Count::one())),
///             )
///             .unwrap();
///         per_page.status()
///     });
///     visits.send((0, "/home".to_owned()));
///     visits.close(); // Nothing more comes: all days close, and are sealed.
///     while !status.finished() {
///         worker.step();
///     }
///     let numbers: ViewNumbers = status.numbers();
///     assert_eq!((numbers.late, numbers.refused, numbers.unsealed_days), (0, 0, 0));
/// });
/// ```
pub struct DayView<'scope, K: Key, A: Aggregate> {
    rows: StreamVec<'scope, Moment, TableRow<K, A>>,
    progress: StreamVec<'scope, Moment, ()>,
    state: SharedSpeed<K, A>,
    measures: Vec<Arc<RankFn<A>>>,
}

impl<K: Key, A: Aggregate> std::fmt::Debug for DayView<'_, K, A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DayView").field("measures", &self.measures.len()).finish_non_exhaustive()
    }
}

impl<'scope, K: Key, A: Aggregate> DayView<'scope, K, A> {
    /// Adds a measure: a number to rank keys by in [`Shape::Top`](crate::serve::Shape::Top). The first
    /// one added has place 0. Add them before [`DayView::serve`].
    #[must_use]
    pub fn measure(
        mut self,
        measure: impl Fn(&A) -> Option<Decimal> + Send + Sync + 'static,
    ) -> Self {
        self.measures.push(by_measure(Arc::new(measure)));
        self
    }

    /// Joins a stream of queries with the view. Each query is answered on the worker that asked it, as
    /// of its own moment, as soon as all events up to that moment are in.
    ///
    /// It may be called several times; all streams of queries have the measures that were added before.
    /// A query by a measure that the view does not have is answered with [`Answer::error`].
    ///
    /// A query stream that lags holds the deltas of later ticks in memory: advance its input.
    pub fn serve(
        &self,
        queries: StreamVec<'scope, Moment, Query<K>>,
    ) -> StreamVec<'scope, Moment, Answer<K, A>> {
        serve(queries, self.progress.clone(), &self.state, Arc::new(self.measures.clone()))
    }

    /// As [`DayView::serve`], for an engine: answers come in pieces.
    pub(crate) fn serve_calls(
        &self,
        calls: StreamVec<'scope, Moment, Call<K>>,
        ranks: Arc<Vec<Arc<RankFn<A>>>>,
    ) -> StreamVec<'scope, Moment, Piece<K, A>> {
        serve_calls(calls, self.progress.clone(), &self.state, ranks)
    }

    /// The view's changes, tick by tick, as a differential collection of `(day, key)` whose diffs are
    /// aggregates: accumulated up to a moment, it is the view as of that moment.
    ///
    /// It has only what enters while the dataflow runs, and not the sealed days that were there before.
    pub fn changes(&self) -> VecCollection<'scope, Moment, (Day, K), A> {
        let changes =
            self.rows.clone().unary::<timely::container::CapacityContainerBuilder<_>, _, _, _>(
                to_owner(),
                "Changes",
                |_, _| {
                    |input, output| {
                        input.for_each(|capability, data| {
                            let Some(moment) = capability.least().copied() else { return };
                            // Changes that cancel out within a tick are no change.
                            let rows = data.drain(..).filter(|row| !row.aggregate.is_zero());
                            let changes =
                                rows.map(|row| ((row.day, row.key), moment, row.aggregate));
                            output.session(&capability).give_iterator(changes);
                        });
                    }
                },
            );
        changes.as_collection()
    }

    /// A stream without records. Its frontier is the frontier of the events that the view holds: probe it to learn when
    /// a tick is visible.
    pub fn progress(&self) -> StreamVec<'scope, Moment, ()> {
        self.progress.clone()
    }

    /// This worker's part of the view.
    pub(crate) fn shared(&self) -> &SharedSpeed<K, A> {
        &self.state
    }

    /// A handle to the view's state on this worker; it may leave the dataflow's scope.
    pub fn status(&self) -> ViewStatus {
        ViewStatus { state: Rc::clone(&self.state) as Rc<dyn Inspect> }
    }
}

/// What a view holds on one worker, and whether it stopped.
#[derive(Clone)]
pub struct ViewStatus {
    state: Rc<dyn Inspect>,
}

impl std::fmt::Debug for ViewStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ViewStatus").field("numbers", &self.numbers()).finish_non_exhaustive()
    }
}

impl ViewStatus {
    /// The last closing that is sealed and live on this worker.
    pub fn sealed_through(&self) -> Option<Day> {
        self.state.sealed_through()
    }

    /// The numbers of this worker.
    pub fn numbers(&self) -> ViewNumbers {
        self.state.numbers()
    }

    /// The first period of which no event was dropped, if any was.
    pub(crate) fn not_dropped_from(&self) -> Option<Day> {
        self.state.not_dropped_from()
    }

    /// What is kept for a question of this moment, if it is asked here.
    pub(crate) fn kept_at(&self, moment: Moment) -> KeptFrom {
        self.state.kept_at(moment)
    }

    /// Whether nothing is left to seal, ever: the stream has ended and every day is sealed.
    pub fn finished(&self) -> bool {
        self.state.finished()
    }

    /// Tables of closed days that are being sealed on this worker.
    pub fn sealing(&self) -> usize {
        self.state.sealing()
    }

    /// The number of closings that are not sealed on all workers yet. It bounds how far a source may run ahead.
    /// Admitted events are sealed without further events being admitted, so waiting for this to fall always ends.
    pub(crate) fn closed(&self) -> usize {
        self.state.closed()
    }

    /// How much more this worker can take of the view.
    pub(crate) fn room(&self) -> Room {
        self.state.room()
    }

    /// The view does not stop at a bound by itself; instead, no more events are let in.
    pub(crate) fn has_door(&self) {
        self.state.has_door();
    }

    /// Stops the view if it exceeds a bound on this worker.
    pub(crate) fn stop_over_limit(&self) {
        self.state.stop_over_limit();
    }

    /// The latest moment that any event here carries.
    pub(crate) fn newest(&self) -> Option<Moment> {
        self.state.newest()
    }

    /// How many queries this worker has looked up.
    pub(crate) fn answered(&self) -> u64 {
        self.state.answered()
    }

    /// Why the view stopped, if it did: a [`LimitError`](crate::view::LimitError) or an [`ArchiveError`]. A stopped
    /// view answers nothing more on this worker and holds back the streams of answers, so check this while you wait for
    /// an answer.
    pub fn error(&self) -> Option<Arc<dyn std::error::Error + Send + Sync>> {
        self.state.error()
    }

    /// Gives the view up: unsealed days will not be sealed.
    pub(crate) fn abandon(&self) {
        self.state.abandon();
    }
}

trait Inspect {
    fn sealing(&self) -> usize;
    fn closed(&self) -> usize;
    fn room(&self) -> Room;
    fn has_door(&self);
    fn stop_over_limit(&self);
    fn finished(&self) -> bool;
    fn sealed_through(&self) -> Option<Day>;
    fn kept_at(&self, moment: Moment) -> KeptFrom;
    fn newest(&self) -> Option<Moment>;
    fn answered(&self) -> u64;
    fn numbers(&self) -> ViewNumbers;
    fn not_dropped_from(&self) -> Option<Day>;
    fn error(&self) -> Option<Arc<dyn std::error::Error + Send + Sync>>;
    fn abandon(&self);
}

impl<K: Key, A: Aggregate> Inspect for RefCell<Speed<K, A>> {
    fn sealing(&self) -> usize {
        self.borrow().sealing_tables()
    }
    fn closed(&self) -> usize {
        self.borrow().closed()
    }
    fn room(&self) -> Room {
        self.borrow().room()
    }
    fn has_door(&self) {
        self.borrow_mut().has_door = true;
    }
    fn stop_over_limit(&self) {
        self.borrow_mut().stop_over_limit();
    }
    fn finished(&self) -> bool {
        self.borrow().finished
    }
    fn sealed_through(&self) -> Option<Day> {
        self.borrow().sealed_through()
    }
    fn kept_at(&self, moment: Moment) -> KeptFrom {
        self.borrow().kept_at(moment)
    }
    fn newest(&self) -> Option<Moment> {
        self.borrow().newest
    }
    fn answered(&self) -> u64 {
        self.borrow().answered
    }
    fn numbers(&self) -> ViewNumbers {
        self.borrow().numbers()
    }
    fn not_dropped_from(&self) -> Option<Day> {
        self.borrow().not_dropped_from()
    }
    fn error(&self) -> Option<Arc<dyn std::error::Error + Send + Sync>> {
        self.borrow().error.clone()
    }
    fn abandon(&self) {
        let mut state = self.borrow_mut();
        state.abandoned = true;
        // The operator may not be scheduled by the frontier again, and has to see that nothing more will come.
        if let Some(sealing) = &state.sealing {
            sealing.activate();
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::serve::MeasureId;
    use std::sync::{Arc, Mutex};

    use timely::dataflow::InputHandle;
    use timely::dataflow::operators::{Inspect, ToStream};

    use super::*;
    use crate::aggregate::Max;
    use crate::serve::QueryError;
    use crate::time::{DayRange, EVENT_TIME_MAX};

    type Found = (u64, Vec<u64>, Option<QueryError>, u64);

    /// The answers, by number, of two streams of queries to one view of these events: time, key, number.
    fn answers(
        events: Vec<(EventTime, u64, &'static str)>,
        queries: [Query<u64>; 2],
    ) -> [Vec<Found>; 2] {
        let found = [(); 2].map(|()| Arc::new(Mutex::new(Vec::new())));
        let keep = found.clone();
        timely::execute_directly(move |worker| {
            let mut asking = InputHandle::<Moment, _>::new();
            let mut again = InputHandle::<Moment, _>::new();
            worker.dataflow(|scope| {
                let view = View::new("v").unwrap();
                let state = |number: &str| Max(number.parse::<Decimal>().unwrap());
                let folded = events
                    .to_stream(scope)
                    .fold_days(view, &Archive::in_memory(), move |&(time, key, number)| {
                        Some((time, key, state(number)))
                    })
                    .unwrap()
                    .measure(|Max(number)| Some(*number));
                for (asking, keep) in [&mut asking, &mut again].into_iter().zip(keep) {
                    folded.serve(asking.to_stream(scope)).inspect(move |answer| {
                        let keys = answer.items.iter().filter_map(|item| item.key).collect();
                        let refused = answer.certificate.refused;
                        let found = (answer.id, keys, answer.error.clone(), refused);
                        keep.lock().unwrap().push(found);
                    });
                }
            });
            let [first, second] = queries;
            asking.send(first);
            again.send(second);
        });
        found.map(|found| std::mem::take(&mut *found.lock().unwrap()))
    }

    #[test]
    fn regression_measures_are_shared_by_all_streams_of_queries() {
        let events = vec![(0, 1, "1"), (0, 2, "3"), (0, 3, "2")];
        let top = |id| Query::top(2, MeasureId::FIRST, DayRange::ALL).id(id);
        let expect = |id| vec![(id, vec![2, 3], None, 0)];
        assert_eq!(answers(events, [top(1), top(2)]), [expect(1), expect(2)]);
    }

    #[test]
    fn regression_a_measure_that_is_not_there_is_an_error() {
        let queries = [7, 0].map(|place| Query::top(2, MeasureId::at(place), DayRange::ALL));
        let error = QueryError::NoMeasure { measure: MeasureId::at(7), measures: 1 };
        assert!(error.to_string().contains("has no measure 7: it has 1"), "{error}");
        let [wrong, right] = answers(vec![(0, 1, "1")], queries);
        assert_eq!(wrong, [(0, vec![], Some(error), 0)]);
        assert_eq!(right, [(0, vec![1], None, 0)]);
    }

    #[test]
    fn regression_keys_with_equal_values_are_in_order_of_key_however_they_were_written() {
        let events = vec![(0, 1, "1.5"), (0, 2, "1.50"), (0, 3, "1.500"), (0, 4, "1.5")];
        let top = |n| Query::top(n, MeasureId::FIRST, DayRange::ALL);
        let [two, all] = answers(events, [top(2), top(9)]);
        assert_eq!((&two[0].1[..], &all[0].1[..]), (&[1, 2][..], &[1, 2, 3, 4][..]));
    }

    #[test]
    fn regression_an_event_beyond_the_calendar_is_refused_and_told() {
        let events = vec![(0, 1, "1"), (EVENT_TIME_MAX + 1, 2, "1"), (EventTime::MIN, 3, "1")];
        let all = Query::keys(crate::key::KeyRange::all(), DayRange::ALL);
        let [found, _] = answers(events, [all.clone(), all]);
        assert_eq!(found, [(0, vec![1], None, 2)]);
    }

    #[test]
    fn decimals_of_a_collection_are_taken_back() {
        use differential_dataflow::input::InputSession;

        use crate::FoldChanges;
        use crate::aggregate::{DecimalSum, Mean};

        let found = Arc::new(Mutex::new(Vec::new()));
        let keep = Arc::clone(&found);
        timely::execute_directly(move |worker| {
            let mut prices = InputSession::<Moment, (u64, &str), isize>::new();
            let mut asking = InputHandle::<Moment, _>::new();
            worker.dataflow(|scope| {
                let of = |&(key, price): &(u64, &str)| {
                    let price = price.parse().unwrap();
                    Some((0, key, (DecimalSum::of(price), Mean::of(price))))
                };
                let view = View::new("prices").unwrap();
                let folded = prices.to_collection(scope);
                let folded = folded.fold_days(view, &Archive::in_memory(), of).unwrap();
                folded.serve(asking.to_stream(scope)).inspect(move |answer| {
                    let texts = answer.items.iter().filter_map(|item| {
                        let (sum, mean) = item.parts.merged()?;
                        Some((item.key?, sum.value().to_string(), mean.to_string_with(3)))
                    });
                    keep.lock().unwrap().extend(texts);
                });
            });
            for (key, price) in [(1, "1.25"), (1, "2.50"), (2, "3.10"), (3, "0.00")] {
                prices.insert((key, price));
            }
            // The first day is sealed when its prices are taken back.
            prices.advance_to(Moment::new(200_000_000, 1));
            prices.remove((1, "1.25"));
            prices.remove((2, "3.10"));
            prices.flush();
            asking.advance_to(Moment::new(200_000_000, 1));
            asking.send(Query::keys(crate::key::KeyRange::all(), DayRange::ALL));
        });
        let expect = [(1, "2.5", "2.500"), (3, "0", "0.000")];
        let expect = expect.map(|(key, sum, mean)| (key, sum.to_owned(), mean.to_owned()));
        assert_eq!(*found.lock().unwrap(), expect);
    }
}
