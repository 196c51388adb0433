//! Differential collections in and out: views of changes with retractions, and views as collections of
//! values.

use std::collections::BTreeMap;

use differential_dataflow::difference::{Abelian, Multiply, Semigroup};
use differential_dataflow::{AsCollection, VecCollection};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::Operator;

use crate::aggregate::Aggregate;
use crate::archive::{Archive, ArchiveError};
use crate::dataflow::{DayView, fold};

use crate::key::{Key, Made};
use crate::moment::Moment;
use crate::speed::StateOfOne;
use crate::time::{Day, EventTime};
use crate::view::View;

/// Makes views of differential collections; their events can be retracted.
pub trait FoldChanges<'scope, E, R> {
    /// Folds a collection of events into a view, as [`FoldDays`](crate::FoldDays) does with a stream. An event with a
    /// difference of `n` counts `n` times, and a difference of `-1` retracts an event.
    ///
    /// Guarantee: an answer equals a recomputation over the collection as of its moment. A retraction enters at its own
    /// moment, like any event: it changes an open day, and for a closed day it is an amendment and part of the day's
    /// next revision. A key whose value has become zero is in no answer and in no sealed day. Not checked: that a
    /// retracted event was there. The value may go below zero.
    ///
    /// The aggregate must support retractions: [`Count`](crate::aggregate::Count), [`Sum`](crate::aggregate::Sum),
    /// [`DecimalSum`](crate::aggregate::DecimalSum), [`Mean`](crate::aggregate::Mean), tuples and vectors of these, or
    /// your own with [`Abelian`] and [`Multiply`]. A maximum cannot be retracted, and does not compile:
    ///
    /// ```compile_fail,E0277
    /// use dayfold::aggregate::Max;
    /// use dayfold::view::View;
    /// use dayfold::{Archive, FoldChanges, Moment};
    /// use differential_dataflow::input::InputSession;
    ///
    /// timely::execute_directly(|worker| {
    ///     let mut orders = InputSession::<Moment, (i64, u64), isize>::new();
    ///     worker.dataflow(|scope| {
    ///         let view = View::new("largest").unwrap();
    ///         let orders = orders.to_collection(scope);
    ///         orders
    ///             .fold_days(view, &Archive::in_memory(), |&(time, cents)| Some((time, 0u64, Max(cents))))
    ///             .unwrap();
    ///     });
    /// });
    /// ```
    ///
    /// A sum can:
    ///
    /// ```
    /// use dayfold::aggregate::{Count, Sum};
    /// use dayfold::serve::Query;
    /// use dayfold::time::DayRange;
    /// use dayfold::view::View;
    /// use dayfold::{Archive, FoldChanges, Moment};
    /// use differential_dataflow::input::InputSession;
    /// use timely::dataflow::InputHandle;
    /// use timely::dataflow::operators::Inspect;
    ///
    /// timely::execute_directly(|worker| {
    ///     let mut orders = InputSession::<Moment, (i64, u64), isize>::new();
    ///     let mut queries = InputHandle::<Moment, _>::new();
    ///     worker.dataflow(|scope| {
    ///         let view = View::new("turnover").unwrap();
    ///         let turnover = orders
    ///             .to_collection(scope)
    ///             .fold_days(view, &Archive::in_memory(), |&(time, cents)| {
    ///                 Some((time, 0u64, (Count::one(), Sum::from(cents))))
    ///             })
    ///             .unwrap();
    ///         turnover
    ///             .serve(queries.to_stream(scope))
    ///             .inspect(|answer| assert_eq!(answer.value(), Some((Count(1), Sum::from(5u64)))));
    ///     });
    ///     orders.insert((0, 5));
    ///     orders.insert((0, 7));
    ///     orders.advance_to(Moment::new(200_000_000, 1)); // The day closes.
    ///     orders.remove((0, 7));
    ///     orders.flush();
    ///     queries.advance_to(Moment::new(200_000_000, 1));
    ///     queries.send(Query::point(0, DayRange::ALL));
    /// });
    /// ```
    ///
    /// # Errors
    /// [`ArchiveError`] if the sealed days of the archive cannot be opened. All workers get the same error.
    fn fold_days<K: Key, A: Aggregate + Abelian + Multiply<R, Output = A>>(
        self,
        view: View,
        archive: &Archive,
        event: impl Fn(&E) -> Option<(EventTime, K, A)> + 'static,
    ) -> Result<DayView<'scope, K, A>, ArchiveError>;
}

impl<'scope, E, R> FoldChanges<'scope, E, R> for VecCollection<'scope, Moment, E, R>
where
    E: Clone + 'static,
    R: Semigroup + 'static,
{
    fn fold_days<K: Key, A: Aggregate + Abelian + Multiply<R, Output = A>>(
        self,
        view: View,
        archive: &Archive,
        event: impl Fn(&E) -> Option<(EventTime, K, A)> + 'static,
    ) -> Result<DayView<'scope, K, A>, ArchiveError> {
        let scope = self.inner.scope();
        let loaded = archive.load(&view, scope.index(), scope.peers())?;
        let changes = at_their_moments(self.inner);
        Ok(fold(changes, None, view, (archive, None), loaded, move |changes, combiner| {
            for (data, _, times) in changes.drain(..) {
                if let Some((time, key, aggregate)) = event(&data) {
                    combiner.add(time, Made(key), StateOfOne(aggregate.multiply(&times)));
                }
            }
        }))
    }
}

type Changes<E, R> = Vec<(E, Moment, R)>;

/// Sends each change at its own moment. Differential may deliver it at any earlier one, but the moment decides to which
/// closing it belongs.
fn at_their_moments<E: Clone + 'static, R: Clone + 'static>(
    changes: StreamVec<'_, Moment, (E, Moment, R)>,
) -> StreamVec<'_, Moment, (E, Moment, R)> {
    changes.unary::<CapacityContainerBuilder<_>, _, _, _>(Pipeline, "At their moments", |_, _| {
        |input, output| {
            input.for_each(|capability, data| {
                let mut by_moment: BTreeMap<Moment, Changes<E, R>> = BTreeMap::new();
                for change in data.drain(..) {
                    by_moment.entry(change.1).or_default().push(change);
                }
                for (moment, mut changes) in by_moment {
                    let capability = capability.delayed(&moment, output.output_index());
                    output.session(&capability).give_container(&mut changes);
                }
            });
        }
    })
}

impl<'scope, K: Key, A: Aggregate> DayView<'scope, K, A> {
    /// The view as a differential collection of its rows: one value for each day and key, replaced as it changes. Join
    /// it with a dimension table, filter it for an alert, or reduce it to a top list. It works with any aggregate.
    ///
    /// Shape: `((day, key), value)`, each with a difference of 1. It has only what enters while the dataflow runs, as
    /// [`DayView::changes`] does. All of it is arranged, so it takes memory for each day and key, sealed ones too; if
    /// that is too much, filter [`DayView::changes`] instead.
    pub fn values(&self) -> VecCollection<'scope, Moment, ((Day, K), A), isize> {
        let rows = self.changes().inner;
        let rows = timely::dataflow::operators::vec::Map::map(rows, |(row, moment, aggregate)| {
            ((row, ()), moment, aggregate)
        });
        rows.as_collection().reduce(|_, sum, values| values.push((sum[0].1.clone(), 1)))
    }
}
