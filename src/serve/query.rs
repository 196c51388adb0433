//! Queries to a view.

use serde::{Deserialize, Serialize};

use crate::key::{Key, KeyRange};
use crate::store::Revision;
use crate::time::{Calendar, Day, DayRange, EventTime, Grain, Last};
use crate::view::KeptFrom;

/// A query: its keys, its days, and the shape of the answer.
///
/// ```
/// use dayfold::key::KeyRange;
/// use dayfold::serve::{Keys, Query, Revision, Shape};
/// use dayfold::time::DayRange;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let may = DayRange::through("2024-05-01".parse()?, "2024-05-31".parse()?);
///
/// // One page, day by day; all pages of the shop, each by itself; and both as they were first sealed.
/// let page = Query::series("/home".to_owned(), may).id(7); // The answer has it, too.
/// let shop = Query::<String>::keys(KeyRange::prefix("/shop/"), may);
/// let first = shop.clone().revision(Revision::First);
/// assert!(matches!((&page.keys, page.shape), (Keys::One(_), Shape::ByDay)));
/// # let _ = first;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(bound = "")]
#[non_exhaustive]
pub struct Query<K: Key> {
    /// The asker's own number for the query; it comes back in the answer.
    pub id: u64,
    /// The keys.
    pub keys: Keys<K>,
    /// The days.
    pub days: DayRange,
    /// The shape of the answer.
    pub shape: Shape,
    /// Which revision of sealed days to read. Any but [`Revision::Now`] leaves out what is not sealed: open days, and
    /// amendments. Such a query is slow and meant to be rare: each worker reads the manifests of the folder and opens
    /// the files it needs, and does nothing else meanwhile.
    pub revision: Revision,
    /// The grain of shapes by day; `None` is the grain of the view. A coarser period combines the periods of the view
    /// that are within it and in `days`. It has no meaning in other shapes.
    pub grain: Option<Grain>,
    /// In the shapes by key, and by day and key: only items to which something unsealed contributes. Periods that are
    /// entirely sealed are not read. It has no meaning in other shapes.
    pub unsealed: bool,
    /// The last periods as of now, by the clock of the engine; replaces `days`. See [`Query::last`].
    pub last: Option<Last>,
}

/// The keys of a query.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound = "")]
#[non_exhaustive]
pub enum Keys<K: Key> {
    /// One key.
    One(K),
    /// The keys of a range: all of them, an interval, or those with a prefix.
    Range(KeyRange),
}

/// One of the measures of a view, by which keys can be ranked.
///
/// [`ViewHandle::measure`](crate::engine::ViewHandle::measure) finds it by its name. A measure that is added to a
/// [`DayView`](crate::DayView) has no name and is identified by its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MeasureId(u32);

impl MeasureId {
    /// The first measure of a view.
    pub const FIRST: MeasureId = MeasureId(0);

    /// The measure at a place among those of the view, counted from 0.
    pub const fn at(place: u32) -> MeasureId {
        MeasureId(place)
    }

    /// The place among the measures of the view, counted from 0.
    pub const fn place(self) -> usize {
        self.0 as usize
    }
}

impl std::fmt::Display for MeasureId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// The shape of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Shape {
    /// One value, with keys and days combined: at most one item, without day and key.
    Total,
    /// One value for each day, with keys combined, in order of day. [`Query::by`] asks for coarser periods.
    ByDay,
    /// One value for each key, with days combined, in order of key.
    ByKey,
    /// One value for each day and key, in order of day, then key.
    ByDayAndKey,
    /// The `n` keys with the greatest value of a measure, with days combined. The greatest comes first; keys with equal
    /// values (1.5 equals 1.50) are in order of key; keys without a value come last.
    ///
    /// A measure that the view does not have is an error: [`DayView::serve`](crate::DayView::serve) answers with
    /// [`Answer::error`](crate::serve::Answer::error), and the handle of an engine refuses such a query.
    Top {
        /// How many keys.
        n: u32,
        /// The measure.
        measure: MeasureId,
    },
}

impl<K: Key> Query<K> {
    /// Any query.
    pub fn new(keys: Keys<K>, days: DayRange, shape: Shape) -> Query<K> {
        let (revision, grain, unsealed, last) = (Revision::Now, None, false, None);
        Query { id: 0, keys, days, shape, revision, grain, unsealed, last }
    }

    /// The value of one key over `days`.
    pub fn point(key: K, days: DayRange) -> Query<K> {
        Query::new(Keys::One(key), days, Shape::Total)
    }

    /// The values of one key, day by day.
    pub fn series(key: K, days: DayRange) -> Query<K> {
        Query::new(Keys::One(key), days, Shape::ByDay)
    }

    /// All keys combined, over `days`.
    pub fn total(days: DayRange) -> Query<K> {
        Query::new(Keys::Range(KeyRange::all()), days, Shape::Total)
    }

    /// The `n` greatest keys by a measure, over `days`; see [`Shape::Top`].
    pub fn top(n: u32, measure: MeasureId, days: DayRange) -> Query<K> {
        Query::new(Keys::Range(KeyRange::all()), days, Shape::Top { n, measure })
    }

    /// Each key of a range, over `days`.
    pub fn keys(range: KeyRange, days: DayRange) -> Query<K> {
        Query::new(Keys::Range(range), days, Shape::ByKey)
    }

    /// Each day and key of a range.
    pub fn rows(range: KeyRange, days: DayRange) -> Query<K> {
        Query::new(Keys::Range(range), days, Shape::ByDayAndKey)
    }

    /// Whether entirely sealed items are left out. One worker holds all parts of a key, so it can decide.
    pub(super) fn leaves_out_sealed(&self) -> bool {
        self.unsealed && matches!(self.shape, Shape::ByKey | Shape::ByDayAndKey)
    }

    /// Whether the answer may use rollups of this grain instead of the periods that they combine.
    pub(super) fn takes_rollups(&self, grain: Grain) -> bool {
        let is_by_day = matches!(self.shape, Shape::ByDay | Shape::ByDayAndKey);
        let is_whole = !is_by_day || self.grain.is_some_and(|asked| grain.is_within(asked));
        is_whole && self.revision == Revision::Now
    }

    /// The period in which the answer shows a day, for a valid query.
    pub(super) fn period_of(&self, day: Day, calendar: &Calendar) -> Day {
        self.grain.and_then(|grain| calendar.coarser(day, grain)).unwrap_or(day)
    }

    /// The same query, only for the keys of a range.
    ///
    /// ```
    /// use dayfold::key::KeyRange;
    /// use dayfold::serve::{MeasureId, Query};
    /// use dayfold::time::DayRange;
    ///
    /// let query = Query::<String>::top(3, MeasureId::FIRST, DayRange::ALL);
    /// let query = query.within(KeyRange::prefix("north-"));
    /// ```
    #[must_use]
    pub fn within(mut self, range: KeyRange) -> Query<K> {
        self.keys = Keys::Range(range);
        self
    }

    /// The same query of sealed days, as they were first sealed or after some closing.
    ///
    /// For closings up to the certificate's `sealed_through`, the answer equals a recomputation over the events of
    /// these closings. Later closings are still under way: some workers may have sealed them, and others not.
    #[must_use]
    pub fn revision(mut self, revision: Revision) -> Query<K> {
        self.revision = revision;
        self
    }

    /// The same query by a coarser grain than the view's, in shapes by day: one value for each week, month, quarter or
    /// year. The view need not keep rollups.
    ///
    /// Periods that do not consist of whole periods of the view ([`Grain::is_within`]) are an error:
    /// [`DayView::serve`](crate::DayView::serve) answers with it, and the handle of an engine refuses such a query.
    ///
    /// ```
    /// use dayfold::serve::Query;
    /// use dayfold::time::{DayRange, Grain};
    ///
    /// let by_month = Query::series(7u64, DayRange::ALL).by(Grain::Month);
    /// assert!(Grain::Day.is_within(Grain::Month) && !Grain::Week.is_within(Grain::Month));
    /// assert!(Grain::Month.coarser().eq([Grain::Month, Grain::Quarter, Grain::Year]));
    /// ```
    #[must_use]
    pub fn by(mut self, grain: Grain) -> Query<K> {
        self.grain = Some(grain);
        self
    }

    /// The same query, limited to items to which something unsealed contributes; see [`Query::unsealed`].
    #[must_use]
    pub fn unsealed(mut self) -> Query<K> {
        self.unsealed = true;
        self
    }

    /// The same query of those of its days that are in the last periods as of now.
    ///
    /// *Now* is the time of the engine's clock when it takes up the query, not the progress of a stream: a window moves
    /// on even if its source stops. The answer has the events of those periods so far, open periods included. A
    /// subscription is asked again when its window moves. If periods of the window were removed, the answer has those
    /// that are kept.
    ///
    /// Only an engine has a clock: [`DayView::serve`](crate::DayView::serve) answers with
    /// [`QueryError::NoClock`](crate::serve::QueryError). There, use [`Last::periods`] for the days as of any time.
    ///
    /// ```
    /// use dayfold::serve::Query;
    /// use dayfold::time::{DayRange, Grain, Last};
    ///
    /// let week = Query::series(7u64, DayRange::ALL).last(Last::new(7, Grain::Day)?);
    /// # Ok::<(), dayfold::time::TimeError>(())
    /// ```
    #[must_use]
    pub fn last(mut self, last: Last) -> Query<K> {
        self.last = Some(last);
        self
    }

    /// The same query, with its window, if it has one, replaced by the days at this time, as far as they are kept.
    pub(crate) fn at_time(
        mut self,
        calendar: &Calendar,
        now: EventTime,
        kept: &KeptFrom,
    ) -> Query<K> {
        // A window that the view cannot answer was refused before.
        if let Some(window) = self.last.take().and_then(|last| last.periods(calendar, now)) {
            let lower = self.days.lower.max(window.lower);
            self.days = DayRange::new(lower, self.days.upper.min(window.upper).max(lower));
            return self.limited_to(calendar, kept);
        }
        self
    }

    /// The same query of those of its days that are kept.
    pub(crate) fn limited_to(mut self, calendar: &Calendar, kept: &KeptFrom) -> Query<K> {
        self.days = kept.fit(calendar, self.days, |grain| self.takes_rollups(grain));
        self
    }

    /// Whether the query is about days that are not kept for it: the day from which on there is more.
    pub(crate) fn refused_by(&self, calendar: &Calendar, kept: &KeptFrom) -> Option<Day> {
        kept.refuses(calendar, self.days, |grain| self.takes_rollups(grain))
    }

    /// The same query with the asker's number.
    #[must_use]
    pub fn id(mut self, id: u64) -> Query<K> {
        self.id = id;
        self
    }
}
