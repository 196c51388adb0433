//! Answers and their certificates.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::aggregate::{Aggregate, Decimal};
use crate::key::Key;
use crate::moment::Moment;
use crate::serve::{Cut, MeasureId, Query, Shape};
use crate::speed::Layer;
use crate::time::{Day, Grain, Last};

/// An answer, exact as of one moment over all workers, with a certificate of what it contains.
///
/// ```
/// use dayfold::aggregate::Count;
/// use dayfold::serve::{Answer, Certificate, Item, Parts};
///
/// /// The rows of an answer, and which of them may still grow.
/// fn show(answer: &Answer<String, Count>) {
///     let Certificate { sealed_through, refused, .. } = &answer.certificate;
///     println!("sealed through {sealed_through:?}; {refused} events were refused");
///     for Item { day, key, parts, .. } in &answer.items {
///         let is_open = is_open(parts);
///         println!("{day:?} {key:?}: {:?}, still open: {is_open}", parts.merged());
///     }
/// }
///
/// /// Whether some of it is not sealed.
/// fn is_open(parts: &Parts<Count>) -> bool {
///     parts.speed.is_some() || parts.amendments.is_some()
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound = "")]
#[non_exhaustive]
pub struct Answer<K: Key, A: Aggregate> {
    /// The number that the asker gave the query.
    pub id: u64,
    /// The certificate of the answer.
    pub certificate: Certificate,
    /// The values, in the order of the query's [`Shape`]; empty if nothing was found.
    pub items: Vec<Item<K, A>>,
    /// Why the query cannot be answered; then there are no items. The handle of an engine refuses such a query before
    /// asking it, so its answers never have an error.
    pub error: Option<QueryError>,
}

/// Why a view cannot answer a query.
///
/// ```
/// use dayfold::aggregate::Count;
/// use dayfold::serve::{Answer, QueryError};
///
/// /// A dataflow answers a query that cannot be answered with an error, and goes on.
/// fn why_not(answer: &Answer<String, Count>) -> Option<String> {
///     match &answer.error {
///         Some(QueryError::NoMeasure { measure, measures }) => {
///             Some(format!("measure {measure} of {measures}"))
///         }
///         Some(error) => Some(error.to_string()),
///         None => None,
///     }
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// The view has no measure at this place to rank keys by.
    #[error(
        "the view has no measure {measure}: it has {measures}, and the first one is number 0; add measures \
         with DayView::measure before serving"
    )]
    NoMeasure {
        /// The requested place.
        measure: MeasureId,
        /// How many measures the view has.
        measures: usize,
    },
    /// The days were removed because of [`View::keep`](crate::view::View::keep).
    #[error(
        "days before {kept_from} were removed: ask from there on, for whole periods of rollups that are kept, or without a \
         beginning for all that is kept"
    )]
    Removed {
        /// The first day that is kept.
        kept_from: Day,
    },
    /// The revision was removed because of [`View::keep_revisions`](crate::view::View::keep_revisions).
    #[error(
        "the revisions of {day} before the closing of {since} were removed: ask for a later revision"
    )]
    Superseded {
        /// The day.
        day: Day,
        /// The closing after which its state is known.
        since: Day,
    },
    /// A query of the last periods where there is no clock.
    #[error(
        "the last {last}: only an engine has a clock; ask for the days that Last::periods gives"
    )]
    NoClock {
        /// The requested one.
        last: Last,
    },
    /// The periods do not consist of whole periods of the view.
    #[error("by {asked}: the view is kept by {grain}, of which a {asked} is not made")]
    Grain {
        /// The requested one.
        asked: Grain,
        /// The grain of the view.
        grain: Grain,
    },
}

impl QueryError {
    /// The error of a query that ended with this.
    pub(super) fn of_cut(cut: Cut) -> Option<QueryError> {
        match cut {
            Cut::Superseded { day, since } => Some(QueryError::Superseded { day, since }),
            Cut::Removed { kept_from } => Some(QueryError::Removed { kept_from }),
            Cut::Expired | Cut::Stopped => None,
        }
    }

    /// The error of a query to a view with this grain and number of measures, if there is one.
    pub(crate) fn of<K: Key>(
        query: &Query<K>,
        grain: Grain,
        measures: usize,
    ) -> Option<QueryError> {
        if let Some(last) = query.last {
            let asked = last.grain();
            return Some(match grain.is_within(asked) {
                true => QueryError::NoClock { last },
                false => QueryError::Grain { asked, grain },
            });
        }
        match (query.shape, query.grain) {
            (Shape::Top { measure, .. }, _) if measure.place() >= measures => {
                Some(QueryError::NoMeasure { measure, measures })
            }
            (_, Some(asked)) if !grain.is_within(asked) => Some(QueryError::Grain { asked, grain }),
            _ => None,
        }
    }
}

impl<K: Key, A: Aggregate> Answer<K, A> {
    /// The one value of a [`Shape::Total`], both layers combined; `None` if there were no events.
    pub fn value(&self) -> Option<A> {
        self.items.first().and_then(|item| item.parts.merged())
    }
}

/// The certificate of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Certificate {
    /// Every event that entered at or before this moment is in the answer, and no later one. (For a
    /// [`Revision`](crate::serve::Revision) of sealed days: the events that it holds.)
    pub as_of: Moment,
    /// Days up to this one came from batch views (late events aside). It is the least last sealed day of the workers
    /// that took part, and `None` if one of them has sealed nothing.
    pub sealed_through: Option<Day>,
    /// The first day that the view keeps, if earlier days were removed; the answer has nothing of removed days.
    pub kept_from: Option<Day>,
    /// The number of late events by then, over the whole view, since the program started. A data folder does not keep
    /// this count.
    pub late: u64,
    /// The number of refused events by then, since the program started.
    pub refused: u64,
}

/// A value of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound = "")]
#[non_exhaustive]
pub struct Item<K: Key, A: Aggregate> {
    /// The day, in shapes by day; or the coarser period, if the query asked for one.
    pub day: Option<Day>,
    /// The key, in shapes by key.
    pub key: Option<K>,
    /// The latest revision of a batch view that took part, named by its closing.
    pub revision: Option<Day>,
    /// The value, by layer.
    pub parts: Parts<A>,
}

impl<K: Key, A: Aggregate> Item<K, A> {
    /// About how many bytes it takes.
    pub(super) fn bytes(&self) -> usize {
        let Parts { batch, speed, amendments } = &self.parts;
        let parts = [batch, speed, amendments].into_iter().flatten();
        size_of::<Self>()
            + self.key.as_ref().map_or(0, Key::heap_bytes)
            + parts.map(Aggregate::heap_bytes).sum::<usize>()
    }
}

/// A value, split by its origin: `batch ⊕ speed ⊕ amendments` is the answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound = "")]
#[non_exhaustive]
pub struct Parts<A: Aggregate> {
    /// From batch views: sealed days.
    pub batch: Option<A>,
    /// From speed views: unsealed days.
    pub speed: Option<A>,
    /// From speed views: late events of days that were closed when they came.
    pub amendments: Option<A>,
}

impl<A: Aggregate> Parts<A> {
    /// No part at all.
    pub(crate) fn empty() -> Self {
        Parts { batch: None, speed: None, amendments: None }
    }

    /// Whether a part is unsealed.
    pub(crate) fn has_unsealed(&self) -> bool {
        self.speed.is_some() || self.amendments.is_some()
    }

    /// All parts combined.
    pub fn merged(&self) -> Option<A> {
        let mut merged = self.batch.clone();
        for part in [&self.speed, &self.amendments].into_iter().flatten() {
            add(&mut merged, Cow::Borrowed(part));
        }
        merged
    }

    /// All parts combined, without a copy if there is only one.
    ///
    /// ```
    /// use dayfold::aggregate::Count;
    /// use dayfold::serve::Item;
    ///
    /// /// The number of events of each key.
    /// fn counts(items: Vec<Item<String, Count>>) -> Vec<(String, i64)> {
    ///     let count = |item: Item<String, Count>| Some((item.key?, item.parts.into_merged()?.0));
    ///     items.into_iter().filter_map(count).collect()
    /// }
    /// # assert!(counts(Vec::new()).is_empty());
    /// ```
    pub fn into_merged(self) -> Option<A> {
        let mut merged = None;
        for part in [self.batch, self.speed, self.amendments].into_iter().flatten() {
            add(&mut merged, Cow::Owned(part));
        }
        merged
    }

    /// Whether all parts together are zero. Combines them only if there are several.
    pub(crate) fn is_zero(&self) -> bool {
        let mut parts = [&self.batch, &self.speed, &self.amendments].into_iter().flatten();
        match (parts.next(), parts.next()) {
            (Some(part), None) => part.is_zero(),
            _ => self.merged().is_none_or(|merged| merged.is_zero()),
        }
    }

    pub(super) fn add(&mut self, layer: Layer, aggregate: Cow<'_, A>) {
        match layer {
            Layer::Batch(_) => add(&mut self.batch, aggregate),
            Layer::Speed => add(&mut self.speed, aggregate),
            Layer::Amendment => add(&mut self.amendments, aggregate),
        }
    }

    /// Combines each part with the other's.
    pub(crate) fn combine(&mut self, other: &Parts<A>) {
        let pairs = [
            (&mut self.batch, &other.batch),
            (&mut self.speed, &other.speed),
            (&mut self.amendments, &other.amendments),
        ];
        for (mine, theirs) in pairs {
            if let Some(theirs) = theirs {
                add(mine, Cow::Borrowed(theirs));
            }
        }
    }
}

/// Adds an aggregate. What is owned is not copied.
fn add<A: Aggregate>(sum: &mut Option<A>, aggregate: Cow<'_, A>) {
    match sum {
        Some(sum) => sum.plus_equals(&aggregate),
        None => *sum = Some(aggregate.into_owned()),
    }
}

/// A named number of an aggregate, to rank keys by and to show.
///
/// ```
/// use dayfold::aggregate::{Count, Decimal};
/// use dayfold::serve::MeasureFn;
///
/// let visits: Box<MeasureFn<Count>> = Box::new(|count| Some(count.0.into()));
/// assert_eq!(visits(&Count(3)), Some(Decimal::from(3)));
/// ```
pub type MeasureFn<A> = dyn Fn(&A) -> Option<Decimal> + Send + Sync;
