//! Answers and their certificates.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::aggregate::{Aggregate, Decimal};
use crate::key::Key;
use crate::moment::Moment;
use crate::serve::{Query, Rank, RankFn, Shape};
use crate::speed::Layer;
use crate::time::Day;

/// An answer: exact as of one moment over all workers, and saying what it is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound = "")]
pub struct Answer<K: Key, A: Aggregate> {
    /// The number that the asker gave the query.
    pub id: u64,
    /// What the answer is exact as of.
    pub certificate: Certificate,
    /// The values, in the order of the query's [`Shape`]. Nothing was found: no items.
    pub items: Vec<Item<K, A>>,
    /// Why the query cannot be answered; there are no items then. The handle of an engine refuses such a
    /// query before it is asked, so its answers never have an error.
    pub error: Option<QueryError>,
}

/// Why a view cannot answer a query.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// The view has no measure at this place to rank keys by.
    #[error(
        "the view has no measure {measure}: it has {measures}, and the first one is number 0; add measures \
         with DayView::measure before serving"
    )]
    NoMeasure {
        /// The place that was asked for.
        measure: u32,
        /// How many measures the view has.
        measures: usize,
    },
}

impl QueryError {
    /// What is wrong with a query of this shape to a view of so many measures.
    pub(crate) fn of(shape: Shape, measures: usize) -> Option<QueryError> {
        match shape {
            Shape::Top { measure, .. } if measure as usize >= measures => {
                Some(QueryError::NoMeasure { measure, measures })
            }
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

/// What an answer is exact as of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// Every event that entered at or before this moment is in the answer, and no later one. (Of a
    /// [`Revision`](crate::serve::Revision) of sealed days, those that it holds.)
    pub as_of: Moment,
    /// Days up to this one came from batch views (late events aside): the least that any worker that took
    /// part has sealed. `None` if one of them has sealed nothing.
    pub sealed_through: Option<Day>,
    /// Events that had come late by then, over the whole view, since the program started: a data folder
    /// does not keep this count.
    pub late: u64,
    /// Events that had been refused by then, since the program started.
    pub refused: u64,
}

/// A value of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound = "")]
pub struct Item<K: Key, A: Aggregate> {
    /// The day, in shapes by day.
    pub day: Option<Day>,
    /// The key, in shapes by key.
    pub key: Option<K>,
    /// The latest revision of a batch view that took part, named by its closing.
    pub revision: Option<Day>,
    /// The value, by layer.
    pub parts: Parts<A>,
}

/// A value, told apart by where it came from: `batch ⊕ speed ⊕ amendments` is the answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound = "")]
pub struct Parts<A: Aggregate> {
    /// From batch views: sealed days.
    pub batch: Option<A>,
    /// From speed views: days that are not sealed.
    pub speed: Option<A>,
    /// From speed views: late events of days that were closed when they came.
    pub amendments: Option<A>,
}

impl<A: Aggregate> Parts<A> {
    /// No part at all.
    pub(crate) fn empty() -> Self {
        Parts { batch: None, speed: None, amendments: None }
    }

    /// All parts combined.
    pub fn merged(&self) -> Option<A> {
        let mut merged = self.batch.clone();
        for part in [&self.speed, &self.amendments].into_iter().flatten() {
            add(&mut merged, part);
        }
        merged
    }

    /// Whether all parts together are zero. Only where there are several does this combine them.
    fn is_zero(&self) -> bool {
        let mut parts = [&self.batch, &self.speed, &self.amendments].into_iter().flatten();
        match (parts.next(), parts.next()) {
            (Some(part), None) => part.is_zero(),
            _ => self.merged().is_none_or(|merged| merged.is_zero()),
        }
    }

    fn add(&mut self, layer: Layer, aggregate: &A) {
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
                add(mine, theirs);
            }
        }
    }
}

fn add<A: Aggregate>(sum: &mut Option<A>, aggregate: &A) {
    match sum {
        Some(sum) => sum.plus_equals(aggregate),
        None => *sum = Some(aggregate.clone()),
    }
}

/// A named number of an aggregate, to rank keys by and to show.
pub type MeasureFn<A> = dyn Fn(&A) -> Option<Decimal> + Send + Sync;

/// Gathers the items of an answer, on one worker or from many.
pub(crate) struct Gather<K: Key, A: Aggregate> {
    shape: Shape,
    items: BTreeMap<Place<K>, (Option<Day>, Parts<A>)>,
}

/// The day and key of an item, as far as the shape tells them apart.
type Place<K> = (Option<Day>, Option<K>);

impl<K: Key, A: Aggregate> Gather<K, A> {
    pub(crate) fn new(query: &Query<K>) -> Self {
        Gather { shape: query.shape, items: BTreeMap::new() }
    }

    pub(crate) fn with_shape(shape: Shape) -> Self {
        Gather { shape, items: BTreeMap::new() }
    }

    pub(crate) fn shape(&self) -> Shape {
        self.shape
    }

    /// Adds a value; in shapes without keys, that of one key or of several.
    pub(crate) fn add(&mut self, day: Day, key: Option<&K>, layer: Layer, aggregate: &A) {
        let (day, key) = match self.shape {
            Shape::Total => (None, None),
            Shape::ByDay => (Some(day), None),
            Shape::ByKey | Shape::Top { .. } => (None, key),
            Shape::ByDayAndKey => (Some(day), key),
        };
        let place = self.items.entry((day, key.cloned()));
        let (revision, parts) = place.or_insert_with(|| (None, Parts::empty()));
        if let Layer::Batch(closing) = layer {
            *revision = (*revision).max(Some(closing));
        }
        parts.add(layer, aggregate);
    }

    pub(crate) fn merge(&mut self, items: Vec<Item<K, A>>) {
        for item in items {
            let place = self.items.entry((item.day, item.key));
            let (revision, parts) = place.or_insert_with(|| (None, Parts::empty()));
            *revision = (*revision).max(item.revision);
            parts.combine(&item.parts);
        }
    }

    /// The items of the whole answer, without those that are zero: differential would not list them.
    pub(crate) fn finish(self, measures: &[Arc<RankFn<A>>]) -> Vec<Item<K, A>> {
        let mut items = self.partial(measures);
        items.retain(|item| !item.parts.is_zero());
        items
    }

    /// The items of one worker, in the order of the shape. Zeros stay where other workers may have more.
    pub(crate) fn partial(self, measures: &[Arc<RankFn<A>>]) -> Vec<Item<K, A>> {
        let items = self.items.into_iter().map(|((day, key), (revision, parts))| Item {
            day,
            key,
            revision,
            parts,
        });
        let Shape::Top { n, measure } = self.shape else { return items.collect() };
        // Without the measure there is no ranking: the answer carries the error.
        let Some(measure) = measures.get(measure as usize) else { return Vec::new() };
        let mut ranked: Vec<(Option<Rank>, Item<K, A>)> = items
            .filter_map(|item| {
                // All of a key is on one worker, and a key that is zero takes no place of another one.
                let merged = item.parts.merged().filter(|merged| !merged.is_zero())?;
                Some((measure(&merged), item))
            })
            .collect();
        // Stable: keys with equal values stay in order of key.
        ranked.sort_by_key(|(value, _)| Reverse(*value));
        ranked.truncate(n as usize);
        ranked.into_iter().map(|(_, item)| item).collect()
    }
}
