//! SQL over the views of a [Dayfold](dayfold).
//!
//! Every view is a table with its name: the period (`day`), the columns of the key, the measures, and `sealed`. A
//! statement reads batch and speed layer as one table. Everything that it reads has one moment, however often it reads.
//! [DataFusion](https://datafusion.apache.org) plans and runs statements. Parts that the engine does better are read
//! from the states that it keeps: conditions on the period and on leading columns of the key, sums by key or by period,
//! and the keys with the greatest sums.
//!
//! [`Sql`] answers in the process, with Arrow batches. [`server`] speaks PostgreSQL's protocol.
//!
//! ```
//! use dayfold::aggregate::{Count, Sum};
//! use dayfold::engine::{LiveOptions, Measures};
//! use dayfold::view::View;
//! use dayfold::{Cluster, Engine};
//! use dayfold_sql::{Limits, Sql};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut engine = Engine::<(i64, &str, u32)>::new();
//! let view = View::new("sales")?.key_columns(["shop"])?.measure_names([["sales"], ["cents"]])?;
//! engine.view(view, Measures::none(), |&(time, shop, cents)| {
//!     Some((time, shop.to_owned(), (Count::one(), Sum::of(cents))))
//! });
//! let pusher = engine.live(LiveOptions::new(|sale: &(i64, &str, u32)| sale.0));
//! let running = engine.start(Cluster::workers(1))?;
//! let pushed = pusher.push(vec![(0, "Oslo", 50), (1, "Rome", 70), (2, "Oslo", 5)])?;
//! pushed.receipt.wait_visible(std::time::Duration::from_secs(10))?;
//!
//! let sql = Sql::new(running.views(), Limits::default())?;
//! let rows = sql.query("SELECT shop, sum(cents) FROM sales GROUP BY shop ORDER BY 2 DESC").await?;
//! let table = dayfold_sql::pretty(&rows.collect().await?)?;
//! assert!(table.contains("| Rome | 70"), "{table}");
//! drop(pusher);
//! running.finish()?;
//! # Ok(())
//! # }
//! ```

mod batches;
mod bounds;
mod cache;
mod catalogue;
mod depth;
mod divided;
mod engine;
mod error;
mod exec;
mod folder;
mod form;
mod functions;
#[cfg(feature = "http")]
pub mod http;
mod last;
mod numeric;
mod patterns;
mod predicates;
mod reading;
pub mod server;
mod session;
mod settings;
mod shared;
mod statement;
mod table;
mod tables;
mod threads;
mod values;
mod window;
mod write;

pub use engine::QuerySql;
pub use error::SqlError;
pub use session::Sql;
pub use shared::Limits;
pub use statement::{Batches, Rows, Statement};
pub use write::{Format, Writer, kind, texts};

pub use datafusion::arrow;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::util::pretty::pretty_format_batches;

/// Rows as a table of text.
///
/// # Errors
/// [`SqlError`]: a column has a type without a text form.
pub fn pretty(rows: &[RecordBatch]) -> Result<String, SqlError> {
    Ok(pretty_format_batches(rows).map_err(datafusion::error::DataFusionError::from)?.to_string())
}
