//! The definition of a view, and the pure decisions that follow from it: which day an event belongs
//! to, which closing takes it, and when that closing is complete.
//!
//! ```
//! use std::time::Duration;
//!
//! use dayfold::time::Day;
//! use dayfold::view::{Closing, LimitError, Limits, View, ViewError};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let view = View::new("sales")?
//!     .zone("Europe/Oslo")?
//!     .grace(Duration::from_secs(600))
//!     .limits(Limits::default().bytes(8 << 30));
//!
//! // An event in time belongs to its own day, a late one to the first day that is open.
//! let day: Day = "2024-05-01".parse()?;
//! let closed = view.upper(day);
//! assert_eq!(view.closing(day, closed - 1), Closing::of(day));
//! assert_eq!(view.closing(day, closed), Closing::late(day.next(), closed));
//!
//! assert!(matches!(View::new("Sales!"), Err(ViewError::Name { .. })));
//! # Ok(())
//! # }
//!
//! /// Why a view of a dataflow has stopped, if a bound was met.
//! fn bound(error: &(dyn std::error::Error + 'static)) -> Option<&'static str> {
//!     error.downcast_ref::<LimitError>().map(|met| met.what)
//! }
//! ```

mod kept;
mod limits;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use kept::{
    KeptFrom, KeptRevisions, Lead, Retention, RevisionLimit, RollupsFrom, begin, begin_from,
};
pub use limits::{LimitError, Limits};

use crate::aggregate::Aggregate;
pub use crate::closing::Closing;
use crate::key::Key;
use crate::schema::RowTypes;
use crate::schema::names::is_column_name;
use crate::time::{Calendar, DAY_MS, Day, EventTime, Grain, TimeError, milliseconds};

/// The definition of a view: a name, a calendar, a grace, and bounds.
///
/// Together with a function `event ↦ (event time, key, aggregate)` this is all that both layers need:
/// the speed view and the batch views are computed from the same definition.
#[derive(Clone, Debug)]
pub struct View {
    name: String,
    calendar: Calendar,
    grace: i64,
    skew: i64,
    limits: Limits,
    retention: Retention,
    lead: Option<Lead>,
    rollups: Vec<Grain>,
    definition: String,
    key_columns: Option<Vec<String>>,
    measure_names: Vec<Vec<String>>,
    /// Of a dynamic view: what its definition says of its rows.
    described: Option<Arc<RowTypes>>,
}

/// Whether a view may have this name. It names a folder, on any file system.
pub(crate) fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
    (1..=64).contains(&name.len()) && name.bytes().all(allowed)
}

impl View {
    /// A view over the days of UTC, with an hour of grace and the default [`Limits`].
    ///
    /// # Errors
    /// [`ViewError::Name`] unless the name is 1 to 64 of `a-z`, `0-9`, `-` and `_`: it names a folder.
    pub fn new(name: &str) -> Result<View, ViewError> {
        if !is_name(name) {
            return Err(ViewError::Name { name: name.to_owned() });
        }
        Ok(View {
            name: name.to_owned(),
            calendar: Calendar::utc(),
            grace: 3_600_000,
            skew: 0,
            limits: Limits::default(),
            retention: Retention::default(),
            lead: None,
            rollups: Vec::new(),
            definition: String::new(),
            key_columns: None,
            measure_names: Vec::new(),
            described: None,
        })
    }

    /// The same view over the days of an IANA time zone.
    ///
    /// # Errors
    /// [`ViewError::Zone`] if the zone is not known.
    pub fn zone(mut self, name: &str) -> Result<View, ViewError> {
        self.calendar = Calendar::new(name)?.by(self.calendar.grain());
        Ok(self)
    }

    /// The same view over periods of another length: hours, weeks, months, quarters or years of its zone. The default
    /// is days. The grace follows the end of each period.
    ///
    /// A data folder keeps the grain, and refuses a view that has another one, as it refuses another zone.
    #[must_use]
    pub fn grain(mut self, grain: Grain) -> View {
        self.calendar = self.calendar.by(grain);
        self
    }

    /// The same view, which also keeps coarser periods, called rollups: months and years of a view of days, for
    /// example. A rollup is made in the background once all of its days are sealed. A query reads the coarsest rollups
    /// that lie within its range: one key over ten years is ten values to read. After a late event, the rollups of its
    /// month and year are not used until they have been made again. Answers are the same with and without rollups.
    /// Grains that do not consist of whole periods of the view ([`Grain::is_within`]) are ignored.
    ///
    /// Rollups are files beside the sealed days of a data folder, and the next run uses them again; with another number
    /// of workers it makes its own. Audits compare them with their days. Without a folder they are in memory.
    ///
    /// ```
    /// use dayfold::time::Grain;
    /// use dayfold::view::View;
    ///
    /// let view = View::new("visits")?.rollup([Grain::Month, Grain::Year]);
    /// assert_eq!(view.rollups(), [Grain::Month, Grain::Year]);
    /// # Ok::<(), dayfold::view::ViewError>(())
    /// ```
    #[must_use]
    pub fn rollup(mut self, grains: impl IntoIterator<Item = Grain>) -> View {
        for grain in grains {
            if !self.rollups.contains(&grain) {
                self.rollups.push(grain);
            }
        }
        self
    }

    /// The grains of [`View::rollup`] and [`View::keep_rollup`].
    pub fn rollups(&self) -> &[Grain] {
        &self.rollups
    }

    /// The same view, which closes a day this long after its end. The default is an hour.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> View {
        self.grace = milliseconds(grace);
        self
    }

    /// The same view, whose event times differ from those in the engine's log by at most this much: a view of landings
    /// over a log of departures, for example. The log is kept by day, and the skew tells which of its days a view has
    /// to read. An event that is further away stops the view. The default is zero.
    #[must_use]
    pub fn skew(mut self, skew: Duration) -> View {
        self.skew = milliseconds(skew);
        self
    }

    /// The same view, with a text that describes what its key and aggregate are made of. A data folder keeps this text
    /// and refuses a view whose text has changed, because its sealed days would mean something else.
    #[must_use]
    pub fn defined_as(mut self, words: &str) -> View {
        self.definition = words.to_owned();
        self
    }

    /// The text of [`View::defined_as`].
    pub fn definition(&self) -> &str {
        &self.definition
    }

    /// The same view, with names for the columns of its key, in order. They replace the default names: `key` for a
    /// single value, `key_1`, `key_2` for a tuple. A key that is a vector has as many columns as there are names.
    ///
    /// A data folder keeps the names for readers of its files. The next run may use other names.
    ///
    /// # Errors
    /// [`ViewError::Column`] if a name is not valid, is taken, or comes twice. The number of names is checked later,
    /// when the type of the key is known.
    pub fn key_columns(
        mut self,
        names: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<View, ViewError> {
        self.key_columns = Some(column_names(names)?);
        Ok(self)
    }

    /// The same view, with names for its measures: a list of names for each part of a tuple of aggregates, or one list.
    /// A part has either one name, which becomes a prefix if the part has several measures, or a name for each of them.
    /// A vector has a name for each element; elements without a name are not shown.
    ///
    /// `(Count, Maybe<(Mean, Quantiles)>)` with `[["trips"], ["delay"]]` has the measures `trips`, `delay_mean` with
    /// `delay_mean_sum` and `delay_mean_count`, `delay_p50`, `delay_p99` and `delay_sketch`.
    ///
    /// # Errors
    /// [`ViewError::Column`] if a name is not valid, is taken, or comes twice in a list. The number of names is checked
    /// later, when the type of the aggregate is known.
    pub fn measure_names(
        mut self,
        parts: impl IntoIterator<Item = impl IntoIterator<Item = impl Into<String>>>,
    ) -> Result<View, ViewError> {
        self.measure_names = parts.into_iter().map(column_names).collect::<Result<_, _>>()?;
        Ok(self)
    }

    /// The same view, whose rows are described by `types` instead of their Rust types.
    pub(crate) fn described_as(self, types: RowTypes) -> View {
        View { described: Some(Arc::new(types)), ..self }
    }

    /// The types of the rows, if keys and aggregates have these Rust types.
    pub(crate) fn row_types<K: Key, A: Aggregate>(&self) -> RowTypes {
        self.described.as_deref().cloned().unwrap_or_else(RowTypes::of::<K, A>)
    }

    /// The names of [`View::key_columns`].
    pub(crate) fn names_of_key(&self) -> Option<&[String]> {
        self.key_columns.as_deref()
    }

    /// The names of [`View::measure_names`].
    pub(crate) fn names_of_measures(&self) -> &[Vec<String>] {
        &self.measure_names
    }

    /// The same view with other bounds.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> View {
        self.limits = limits;
        self
    }

    /// The same view, which keeps a period for this long after its end, counted up to the end of the last sealed
    /// period. Older periods are removed while the program runs, as soon as no reader needs them. Queries and rebuilds
    /// of removed periods are refused, and their late events are in the log only.
    ///
    /// A data folder remembers what was removed. A longer time brings nothing back; a new definition does, as far as
    /// the log reaches.
    ///
    /// ```
    /// use std::num::NonZeroU32;
    /// use std::time::Duration;
    ///
    /// use dayfold::view::View;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// const DAY: Duration = Duration::from_secs(86_400);
    /// let view = View::new("visits")?.keep(400 * DAY).keep_revisions(NonZeroU32::MIN);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn keep(mut self, span: Duration) -> View {
        self.retention.keep = Some(span);
        self
    }

    /// The same view, which keeps rollups of this grain, and keeps them for this long after their end, although the
    /// periods that they combine are removed earlier ([`View::keep`]). [`Duration::MAX`] is for ever. Hours may be kept
    /// for a week, their days for a year, and months for ever:
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use dayfold::time::Grain;
    /// use dayfold::view::View;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// const DAY: Duration = Duration::from_secs(86_400);
    /// let view = View::new("visits")?
    ///     .grain(Grain::Hour)
    ///     .keep(7 * DAY)
    ///     .keep_rollup(Grain::Day, 365 * DAY)
    ///     .keep_rollup(Grain::Month, Duration::MAX);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Periods are removed by whole rollups, and only when the rollup is durable. Questions about that time are answered
    /// from rollups. One that asks for finer periods than are kept, or whose range begins or ends within a rollup, is
    /// refused with the first day from which on it can be answered. A question without a beginning is about all that is
    /// kept by its grain. Late events of periods that were to be removed when they came are in the log only, and no answer
    /// is about such periods any more: they are in their rollups.
    ///
    /// Rollups that are kept longer than the periods are made of each other, and a coarser one is kept at least as long
    /// as a finer one; an engine does not start otherwise. One that is kept no longer than the periods goes with them, as
    /// one of [`View::rollup`] does. A grain that is named for the first time over a folder begins where the folder's
    /// periods begin; a grain that is named no more loses its rollups.
    #[must_use]
    pub fn keep_rollup(mut self, grain: Grain, span: Duration) -> View {
        if !self.rollups.contains(&grain) {
            self.rollups.push(grain);
        }
        self.retention.spans[grain as usize] = Some(span);
        self
    }

    /// The same view, which keeps only this many of the newest revisions of each period; 1 keeps the current one only.
    /// Older revisions are removed from the data folder while the program runs, as soon as no reader needs them, and
    /// queries of them are refused. Without a data folder all of them are kept.
    #[must_use]
    pub fn keep_revisions(mut self, revisions: NonZeroU32) -> View {
        self.retention.revisions = Some(KeptRevisions::Newest(revisions));
        self
    }

    /// The same view, which keeps superseded revisions of its periods for `span`. A revision is superseded when a period
    /// closes and late events are sealed with it. It is removed when that period ended longer ago than `span`. So a query
    /// of the past is answered as of every period that ended within the span.
    ///
    /// This replaces [`View::keep_revisions`], and removes in the same way.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use dayfold::view::View;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let view = View::new("visits")?.keep_revisions_for(Duration::from_secs(30 * 86_400));
    /// # let _ = view;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn keep_revisions_for(mut self, span: Duration) -> View {
        self.retention.revisions = Some(KeptRevisions::Within(span));
        self
    }

    /// What the view keeps.
    pub(crate) fn retention(&self) -> Retention {
        let mut rollups = [false; Grain::ALL.len()];
        self.rollups.iter().for_each(|grain| rollups[*grain as usize] = true);
        Retention { skew_ms: self.skew, rollups, ..self.retention }
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The calendar.
    pub fn calendar(&self) -> &Calendar {
        &self.calendar
    }

    /// The grace, in milliseconds.
    pub(crate) fn grace_ms(&self) -> i64 {
        self.grace
    }

    /// How far event times may be from those of the log, in milliseconds.
    pub(crate) fn skew_ms(&self) -> i64 {
        self.skew
    }

    /// The bounds.
    pub fn bounds(&self) -> Limits {
        self.limits
    }

    /// The same view in a run that begins with this lead.
    pub(crate) fn with_lead(self, lead: Option<Lead>) -> View {
        View { lead, ..self }
    }

    /// The period from which is counted back what is kept, if the periods through `closed` are closed.
    pub(crate) fn counted_from(&self, closed: Day) -> Day {
        match self.lead {
            Some(lead) if lead.closed == closed => closed.min(lead.latest),
            _ => closed,
        }
    }

    /// What is kept if it is counted back from the end of this period.
    pub(crate) fn kept_behind(&self, through: Day) -> KeptFrom {
        let retention = self.retention();
        match retention.keep {
            // The period that contains the end of time is never over.
            Some(keep) if through > Day::MIN && through < Day::MAX => {
                let outliving = retention.outliving(self.calendar.grain());
                KeptFrom::before(&self.calendar, self.calendar.end_of(through), keep, &outliving)
            }
            _ => self.kept_first(),
        }
    }

    /// What is kept before anything is removed.
    pub(crate) fn kept_first(&self) -> KeptFrom {
        let mut kept = KeptFrom::ALL;
        for (grain, _) in self.outliving() {
            kept.rollups[grain as usize] = Some(Day::MIN);
        }
        kept
    }

    /// The rollups that outlive the view's periods, the finest first.
    pub(crate) fn outliving(&self) -> Vec<(Grain, Duration)> {
        self.retention().outliving(self.calendar.grain())
    }

    /// The last period that is closed if this one is the first that is open; [`Day::MIN`] if there is none.
    pub(crate) fn closed_before(&self, open: Day) -> Day {
        match open {
            Day::MIN | Day::MAX => Day::MIN,
            open => self.calendar.preceding(open),
        }
    }

    /// The first day that is not closed under `floor`.
    pub fn first_open(&self, floor: EventTime) -> Day {
        self.first_open_with(floor, Some(self.grace))
    }

    /// As [`View::first_open`], with the grace of an earlier run; `None` if that run did not have the view, so that no
    /// day of it had closed and nothing was late. (With the grace of this run instead, events would move between
    /// closings, some of which may be sealed.)
    pub(crate) fn first_open_with(&self, floor: EventTime, grace: Option<i64>) -> Day {
        grace.map_or(Day::MIN, |grace| self.calendar.first_open_after(floor, grace))
    }

    /// The closing that an event of `day` belongs to when it enters under `floor`.
    ///
    /// The closing of an event of an open day is that day. A late event belongs to the first day that is still open,
    /// and to its floor; it becomes part of its own day's next revision when that day closes, or earlier. This depends
    /// on the event and its moment alone, so it is the same on every worker and in every recomputation.
    pub fn closing(&self, day: Day, floor: EventTime) -> Closing {
        late_or_not(day, self.first_open(floor), floor)
    }

    /// The least floor that allows for all closings up to this one being sealed.
    pub(crate) fn floor_after(&self, closing: Closing) -> EventTime {
        let late = closing.floor().map_or(EventTime::MIN, |floor| floor.saturating_add(1));
        self.upper(closing.last_closed()).max(late)
    }

    /// The first and the last day that an event of the view can have if the log keeps it under this UTC day.
    pub(crate) fn days_of_log(&self, utc: Day) -> (Day, Day) {
        let lower = i64::from(utc.0).saturating_mul(DAY_MS);
        let upper = lower.saturating_add(DAY_MS).saturating_add(self.skew);
        self.calendar.days_within(lower.saturating_sub(self.skew), upper)
    }

    /// The least floor under which `closing` is complete: nothing can be added to it any more.
    pub fn upper(&self, closing: Day) -> EventTime {
        self.calendar.end_of(closing).saturating_add(self.grace)
    }

    /// The greatest end of a day, grace included, that `watermark` has reached.
    pub fn floor_at(&self, watermark: EventTime) -> EventTime {
        if watermark == EventTime::MIN {
            return EventTime::MIN;
        }
        self.upper(self.first_open(watermark).previous()).min(watermark)
    }

    /// The least watermark beyond `watermark` at which [`View::floor_at`] changes.
    pub fn next_floor(&self, watermark: EventTime) -> EventTime {
        if watermark == EventTime::MIN {
            return EventTime::MIN.saturating_add(1);
        }
        self.upper(self.first_open(watermark))
    }
}

/// The closing of an event of `day`, where `first_open` is the first day that is open under `floor`.
pub(crate) fn late_or_not(day: Day, first_open: Day, floor: EventTime) -> Closing {
    if day < first_open { Closing::late(first_open, floor) } else { Closing::of(day) }
}

/// Names of columns, each once.
fn column_names(
    names: impl IntoIterator<Item = impl Into<String>>,
) -> Result<Vec<String>, ViewError> {
    let names: Vec<String> = names.into_iter().map(Into::into).collect();
    for (at, name) in names.iter().enumerate() {
        let is_twice = names[..at].iter().any(|other| other == name);
        if is_twice || !is_column_name(name) {
            return Err(ViewError::Column { name: name.clone() });
        }
    }
    Ok(names)
}

/// What can be wrong with the definition of a view.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ViewError {
    /// The name cannot name a folder on every file system.
    #[error("'{name}' is not a name of a view: expected 1 to 64 of a-z, 0-9, - and _")]
    Name {
        /// What was given.
        name: String,
    },
    /// The name cannot name a column.
    #[error(
        "'{name}' is not a name of a column: expected 1 to 128 bytes without control characters, other than \
         'day' and 'sealed', and once"
    )]
    Column {
        /// What was given.
        name: String,
    },
    /// The zone is not known.
    #[error(transparent)]
    Zone(#[from] TimeError),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> Day {
        text.parse().unwrap()
    }

    #[test]
    fn closings_are_functions_of_the_moment() {
        let view = View::new("v").unwrap().zone("America/New_York").unwrap();
        let floor = view.upper(day("2013-03-10"));
        assert_eq!(view.first_open(floor), day("2013-03-11"));
        let late = view.closing(day("2013-03-09"), floor);
        assert_eq!(late, Closing::late(day("2013-03-11"), floor));
        assert_eq!(view.floor_after(late), floor + 1);
        assert_eq!(view.floor_after(Closing::of(day("2013-03-10"))), floor);
        assert_eq!(view.closing(day("2013-03-12"), floor), Closing::of(day("2013-03-12")));
        assert_eq!(view.closing(day("2013-03-10"), floor - 1), Closing::of(day("2013-03-10")));
        assert_eq!(view.closing(Day(-99_999), EventTime::MIN), Closing::of(Day(-99_999)));
    }

    #[test]
    fn floors_move_at_ends_of_days() {
        let view = View::new("v").unwrap().grace(Duration::from_secs(1));
        let end = view.upper(day("2013-03-10"));
        assert_eq!(view.floor_at(end - 1), view.upper(day("2013-03-09")));
        assert_eq!(view.floor_at(end), end);
        assert_eq!(view.next_floor(end - 1), end);
        assert_eq!(view.next_floor(end), view.upper(day("2013-03-11")));
        assert_eq!(view.floor_at(EventTime::MIN), EventTime::MIN);
    }

    #[test]
    fn names() {
        assert!(View::new("by-carrier_2").is_ok());
        for bad in ["", ".", "..", "A", "v1.2", "a/b", "a b", "é", &"x".repeat(65)] {
            assert!(View::new(bad).is_err(), "{bad}");
        }
    }
}
