//! A question to a view without its Rust types.

use super::Cursor;
use crate::schema::Value;
use crate::serve::Revision;
use crate::time::{DayRange, Grain, Last};

/// A question to a view: *these columns, of these periods and keys, in this shape, this many rows, after this row*.
///
/// Nothing is checked here; [`ErasedView::scan`](super::ErasedView::scan) returns an error if it does not fit the view.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Scan {
    pub(super) columns: Option<Vec<String>>,
    pub(super) periods: DayRange,
    pub(super) keys: ScanKeys,
    pub(super) shape: ScanShape,
    pub(super) limit: Option<u64>,
    pub(super) after: Option<Cursor>,
    pub(super) revision: Revision,
    pub(super) layers: bool,
    pub(super) shown: bool,
    pub(super) total_row: bool,
    pub(super) grain: Option<Grain>,
    pub(super) unsealed: bool,
    pub(super) last: Option<Last>,
    pub(super) in_any_order: bool,
}

/// The keys of a scan, as values of the key's columns.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ScanKeys {
    /// All of them.
    #[default]
    All,
    /// One key: a value for each column.
    One(Vec<Value>),
    /// Keys whose first columns have these values.
    Prefix(Vec<Value>),
    /// The same, but the last value is only the beginning of a text, or of bytes.
    StartingWith(Vec<Value>),
    /// Keys from `lower` on and below `upper`, in the order of keys: column by column, numbers as numbers, texts by
    /// their bytes. Either may have fewer values than the key has columns; without values it is no bound.
    Range {
        /// The first keys of the range begin with these values.
        lower: Vec<Value>,
        /// All keys that begin with these values, and all keys after them, are outside the range.
        upper: Vec<Value>,
    },
}

/// The rows of a scan, and their order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ScanShape {
    /// One row for each period and key, by period, then by key.
    Rows,
    /// One row for each period, with keys combined, by period.
    ByPeriod,
    /// One row for each key, with periods combined, by key.
    ByKey,
    /// One row, with keys and periods combined; no row if there is nothing.
    Total,
    /// The `n` keys with the greatest value of a measure, with periods combined. The greatest comes first; keys with
    /// equal values are in the order of keys; keys without a value come last.
    Top {
        /// How many rows.
        n: u32,
        /// The name of a measure of the schema (a number, a date, a timestamp or a boolean), or of one of the program's
        /// own ([`Measures::measure`](crate::engine::Measures::measure)).
        by: String,
    },
}

impl Scan {
    /// Everything in one shape: all columns but sketches, all periods and keys, all rows.
    pub fn new(shape: ScanShape) -> Scan {
        Scan {
            columns: None,
            periods: DayRange::ALL,
            keys: ScanKeys::All,
            shape,
            limit: None,
            after: None,
            revision: Revision::Now,
            layers: false,
            shown: false,
            total_row: false,
            grain: None,
            unsealed: false,
            last: None,
            in_any_order: false,
        }
    }

    /// Each period and key.
    pub fn rows() -> Scan {
        Scan::new(ScanShape::Rows)
    }

    /// Each period.
    pub fn by_period() -> Scan {
        Scan::new(ScanShape::ByPeriod)
    }

    /// Each key.
    pub fn by_key() -> Scan {
        Scan::new(ScanShape::ByKey)
    }

    /// Everything combined.
    pub fn total() -> Scan {
        Scan::new(ScanShape::Total)
    }

    /// The `n` keys with the greatest value of a measure.
    pub fn top(n: u32, by: impl Into<String>) -> Scan {
        Scan::new(ScanShape::Top { n, by: by.into() })
    }

    /// Only these columns, in this order. Other columns are not computed. Sketches
    /// ([`Kind::Bytes`](crate::schema::Kind::Bytes)) come only if named here.
    #[must_use]
    pub fn columns(self, names: impl IntoIterator<Item = impl Into<String>>) -> Scan {
        Scan { columns: Some(names.into_iter().map(Into::into).collect()), ..self }
    }

    /// Only these periods.
    #[must_use]
    pub fn periods(self, periods: DayRange) -> Scan {
        Scan { periods, ..self }
    }

    /// Rows by a coarser grain than the view's: one for each week, month, quarter or year (and key). The view need not
    /// keep rollups. A period combines the selected periods of the view within it. The column of periods has the name
    /// of the grain. It has no meaning in shapes without periods.
    ///
    /// ```
    /// use dayfold::aggregate::Count;
    /// use dayfold::engine::{LiveOptions, Measures};
    /// use dayfold::scan::{ErasedView, Scan};
    /// use dayfold::time::Grain;
    /// use dayfold::view::View;
    /// use dayfold::{Cluster, Engine};
    /// # use std::time::Duration;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut engine = Engine::<i64>::new();
    /// engine.view(View::new("clicks")?.measure_names([["clicks"]])?, Measures::none(), |&time| {
    ///     Some((time, 0u8, (Count::one(),)))
    /// });
    /// let pusher = engine.live(LiveOptions::new(|time: &i64| *time));
    /// let running = engine.start(Cluster::workers(1))?;
    /// const DAY: i64 = 86_400_000;
    /// let pushed = pusher.push(vec![0, DAY, 30 * DAY, 31 * DAY])?;
    /// pushed.receipt.wait_visible(Duration::from_secs(10))?;
    ///
    /// let clicks = running.view("clicks").ok_or("no such view")?;
    /// let months = Scan::by_period().by(Grain::Month).columns(["month", "clicks"]);
    /// let rows = clicks.scan(&months, None)?.collect_rows()?;
    /// let text = |row: &Vec<_>| format!("{} {}", row[0], row[1]);
    /// assert_eq!(rows.iter().map(text).collect::<Vec<_>>(), ["1970-01-01 3", "1970-02-01 1"]);
    /// running.finish()?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn by(self, grain: Grain) -> Scan {
        Scan { grain: Some(grain), ..self }
    }

    /// Only rows with something unsealed, whose `sealed` is false. Periods that are entirely sealed are not read, so
    /// this returns exactly the rows that may change, and costs no more. For [`ScanShape::Rows`] and [`ScanShape::ByKey`].
    #[must_use]
    pub fn unsealed(self) -> Scan {
        Scan { unsealed: true, ..self }
    }

    /// Only those of its periods that are among the last ones as of now, by the engine's clock when it takes up the
    /// scan, or when the snapshot of the scan was taken. A subscription moves on with them. See [`Query::last`](crate::serve::Query::last).
    #[must_use]
    pub fn last(self, last: Last) -> Scan {
        Scan { last: Some(last), ..self }
    }

    /// Only these keys.
    #[must_use]
    pub fn keys(self, keys: ScanKeys) -> Scan {
        Scan { keys, ..self }
    }

    /// At most this many rows, at least 1. No more are read than needed.
    #[must_use]
    pub fn limit(self, rows: u64) -> Scan {
        Scan { limit: Some(rows), ..self }
    }

    /// Only rows after the row of a cursor.
    #[must_use]
    pub fn after(self, cursor: Cursor) -> Scan {
        Scan { after: Some(cursor), ..self }
    }

    /// Sealed days as they were first sealed, or after some closing, and nothing unsealed; as in
    /// [`Query::revision`](crate::serve::Query::revision).
    #[must_use]
    pub fn revision(self, revision: Revision) -> Scan {
        Scan { revision, ..self }
    }

    /// With columns for the parts of each value, after all others, or by name: `revision` (the latest contributing
    /// sealed revision, named by its closing), and for each of `batch`, `speed` and `amendments` whether there is such
    /// a part, and its measures: `batch.trips`.
    #[must_use]
    pub fn layers(self) -> Scan {
        Scan { layers: true, ..self }
    }

    /// With the program's own measures ([`Measures::measure`](crate::engine::Measures::measure)) instead of those of
    /// the schema, if it has any: [`ErasedView::shown`](super::ErasedView::shown) lists them. They are decimals, and
    /// name the columns.
    #[must_use]
    pub fn shown(self) -> Scan {
        Scan { shown: true, ..self }
    }

    /// With one more row after all others, even if there are none: everything that the scan selects, combined, whatever
    /// the limit and the starting row. Its day and the columns of its key are null.
    #[must_use]
    pub fn total_row(self) -> Scan {
        Scan { total_row: true, ..self }
    }

    /// With rows in any order, and without cursors. Whole sealed periods are then read from their files by whoever takes
    /// the batches, or by several threads at once ([`Batches::parts`](super::Batches::parts)), and not by
    /// the engine. This is the fastest way to read many rows. It has no effect in other shapes than [`ScanShape::Rows`],
    /// nor with a choice of keys, a limit, another grain or another revision.
    #[must_use]
    pub fn in_any_order(self) -> Scan {
        Scan { in_any_order: true, ..self }
    }

    /// The shape.
    pub fn shape(&self) -> &ScanShape {
        &self.shape
    }
}
