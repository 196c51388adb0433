//! Views without their Rust types: one trait, one kind of question, and rows in columns.
//!
//! Code that serves any view (a server, an SQL table, a columnar file) does not know the types of keys and aggregates.
//! It uses an [`ErasedView`], which has a schema ([`ErasedView::schema`]) and one way to read ([`ErasedView::scan`]). A
//! [`Scan`] chooses columns, periods, keys, the shape, the number of rows, and the row after which to start. The answer
//! comes in [`Batch`]es of at most [`BATCH_ROWS`] rows, column by column.
//!
//! ```
//! use std::time::Duration;
//!
//! use dayfold::aggregate::{Count, Sum};
//! use dayfold::engine::{LiveOptions, Measures};
//! use dayfold::scan::{ErasedView, Scan, ScanKeys};
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
//! let oslo = ScanKeys::One(vec![Value::Text("Oslo".to_owned())]);
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
mod direct;
mod erased;
mod error;
mod layout;
mod part;
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
pub use part::Part;
pub use question::{Scan, ScanKeys, ScanShape};
pub use snapshot::Snapshot;
pub use subscription::ScanSubscription;

pub use crate::schema::ValueRef;

use crate::engine::ViewState;
use crate::schema::{Measure, ViewSchema};
use crate::view::View;

/// A view of an engine without its key and aggregate types.
///
/// Every [`ViewHandle`](crate::engine::ViewHandle) is one; [`Running::views`](crate::engine::Running::views) lists
/// those of an engine.
pub trait ErasedView: Send + Sync {
    /// The schema of the view.
    fn schema(&self) -> &ViewSchema;

    /// The definition.
    fn definition(&self) -> &View;

    /// The state of the view in this process: its first and last day, up to which day it is sealed, how much is
    /// unsealed, and errors. It does not query the workers.
    fn status(&self) -> ViewState;

    /// The measures to show to people: the program's own ([`Measures::measure`](crate::engine::Measures::measure)), or,
    /// if there are none, those of the schema that are not sketches.
    fn shown(&self) -> Vec<Measure>;

    /// The measures by which keys can be ranked ([`ScanShape::Top`]).
    fn ranked_by(&self) -> Vec<&str>;

    /// How many columns of the key, from the first one on, sort as their values do. For these, a [`ScanKeys::Range`]
    /// contains the same keys as a comparison of values.
    fn ordered_columns(&self) -> usize;

    /// Checks a scan against the view, without asking the workers.
    ///
    /// # Errors
    /// [`ScanError`] if it does not fit.
    fn check(&self, scan: &Scan) -> Result<(), ScanError>;

    /// Asks without waiting; take batches from the result. The answer is as of a complete moment, or as of a snapshot
    /// of the same engine.
    ///
    /// The columns are, in this order: `day` (the period), the columns of the key, the measures, and `sealed` (whether
    /// all parts of the row are sealed). The day or the key is missing if the shape combines them.
    ///
    /// # Errors
    /// [`ScanError`] if the scan does not fit the view, or nothing can be asked now.
    fn scan(&self, scan: &Scan, at: Option<&Snapshot>) -> Result<Batches, ScanError>;

    /// Asks repeatedly: returns the first answer at once, then the latest one whenever it has changed, at most one per
    /// `every`. A slow subscriber misses some answers, always gets the latest, and holds nothing up.
    ///
    /// # Errors
    /// As [`ErasedView::scan`].
    fn subscribe(&self, scan: &Scan, every: Duration) -> Result<ScanSubscription, ScanError>;

    /// The name.
    fn name(&self) -> &str {
        &self.schema().name
    }
}
