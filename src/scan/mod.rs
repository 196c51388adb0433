//! Views without their Rust types: one trait, one question, and rows in columns.
//!
//! What is made for any view (a server, a table of SQL, a file of columns) knows no types of keys and aggregates. It has
//! an [`ErasedView`]: what the view looks like ([`ErasedView::schema`]), and one way to read it
//! ([`ErasedView::scan`]). A [`Scan`] says which columns, periods and keys, in which shape, how many rows, and from
//! behind which one. The answer comes in [`Batch`]es of at most [`BATCH_ROWS`] rows, column by column.
//!
//! ```
//! use std::time::Duration;
//!
//! use dayfold::aggregate::{Count, Sum};
//! use dayfold::engine::{LiveOptions, Measures};
//! use dayfold::scan::{ErasedView, Keys, Scan};
//! use dayfold::schema::Value;
//! use dayfold::view::View;
//! use dayfold::{Cluster, Engine};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut engine = Engine::<(i64, &str, u32)>::new();
//! let view = View::new("sales")?.key_columns(["shop"])?.measure_names([["sales"], ["cents"]])?;
//! engine.view(view, Measures::none(), |&(time, shop, cents)| {
//!     Some((time, shop.to_owned(), (Count::one(), Sum::of(cents))))
//! });
//! let pusher = engine.live(LiveOptions::new(|sale: &(i64, &str, u32)| sale.0));
//! let running = engine.start(Cluster::workers(1))?;
//! let pushed = pusher.push(vec![(0, "Oslo", 50), (1, "Rome", 70), (2, "Oslo", 5)])?;
//! pushed.receipt.wait_visible(Duration::from_secs(10))?;
//!
//! // From here on, nothing knows the types.
//! let sales = running.view("sales").ok_or("no such view")?;
//! let oslo = Keys::One(vec![Value::Text("Oslo".to_owned())]);
//! let scan = Scan::rows().keys(oslo).columns(["day", "cents"]);
//! for batch in sales.scan(&scan, None)? {
//!     let batch = batch?;
//!     assert_eq!(batch.rows(), 1);
//!     assert_eq!(batch.value(0, 0).to_string(), "1970-01-01");
//!     assert_eq!(batch.value(0, 1), Value::Integer(55));
//! }
//! let best = sales.scan(&Scan::top(1, "sales"), None)?.collect_rows()?;
//! assert_eq!(best[0][0], Value::Text("Oslo".to_owned()));
//!
//! // Page by page.
//! let scan = Scan::by_key().columns(["shop"]).limit(1);
//! let mut page = sales.scan(&scan, None)?;
//! assert_eq!(page.by_ref().count(), 1);
//! let next = page.next_page().ok_or("no more")?;
//! let rome = sales.scan(&scan.after(next), None)?.collect_rows()?;
//! assert_eq!(rome, [[Value::Text("Rome".to_owned())]]);
//! running.finish()?;
//! # Ok(())
//! # }
//! ```

mod batch;
mod batches;
mod cursor;
mod erased;
mod error;
mod layout;
mod question;
mod resolve;
mod rows;
mod snapshot;
mod streamed;
mod subscription;

use std::time::Duration;

pub use batch::{BATCH_ROWS, Batch, Cell, Cells, Strings};
pub use batches::Batches;
pub use cursor::Cursor;
pub use error::ScanError;
pub use question::{Keys, Scan, Shape};
pub use snapshot::Snapshot;
pub use subscription::ScanSubscription;

pub use crate::schema::ValueRef;

use crate::engine::ViewState;
use crate::schema::{Measure, ViewSchema};
use crate::view::View;

/// A view of an engine whose key and aggregate are not known.
///
/// Every [`ViewHandle`](crate::engine::ViewHandle) is one; [`Running::views`](crate::engine::Running::views) lists those of an
/// engine.
pub trait ErasedView: Send + Sync {
    /// What the view looks like as a table.
    fn schema(&self) -> &ViewSchema;

    /// The definition.
    fn definition(&self) -> &View;

    /// How the view is in this process: its first and last day, up to which day it is sealed, how much is
    /// not, and what went wrong. It asks nobody.
    fn status(&self) -> ViewState;

    /// The measures that people are shown: the program's own ([`Measures::measure`](crate::engine::Measures::measure)), or, if there are
    /// none, those of the schema that are not sketches.
    fn shown(&self) -> Vec<Measure>;

    /// The measures by which keys can be ranked ([`Shape::Top`]).
    fn ranked_by(&self) -> Vec<&str>;

    /// How many columns of the key, from the first one on, are ordered as their values are. Of these, a [`Keys::Range`]
    /// from one value to another has the keys that a comparison of the values has.
    fn ordered_columns(&self) -> usize;

    /// Whether a scan fits the view. Nobody is asked.
    ///
    /// # Errors
    /// [`ScanError`]: what does not fit.
    fn check(&self, scan: &Scan) -> Result<(), ScanError>;

    /// Asks, and does not wait: batches are taken from what is returned. The answer is as of a moment that is complete, or
    /// as of that of a snapshot of the same engine.
    ///
    /// Columns, in this order: `day` (the period), those of the key, the measures, and `sealed` (whether nothing that is
    /// not sealed took part); without the day or the key where the shape combines them.
    ///
    /// # Errors
    /// [`ScanError`]: what does not fit the view, or why nothing can be asked now.
    fn scan(&self, scan: &Scan, at: Option<&Snapshot>) -> Result<Batches, ScanError>;

    /// Asks again and again: the first answer at once, then the latest one whenever it has changed, one in `every` at most.
    /// Whoever is slow misses some, always gets the latest, and holds nothing up.
    ///
    /// # Errors
    /// As [`ErasedView::scan`].
    fn subscribe(&self, scan: &Scan, every: Duration) -> Result<ScanSubscription, ScanError>;

    /// The name.
    fn name(&self) -> &str {
        &self.schema().name
    }
}
