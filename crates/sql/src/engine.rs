//! Statements directly on a running engine.

use datafusion::arrow::array::RecordBatch;
use dayfold::engine::{Running, Views};

use crate::{Limits, Sql, SqlError};

/// `engine.sql("SELECT …")` on a running engine, for programs with occasional statements. The tables are made for each
/// statement; a program with many statements keeps a [`Sql`].
///
/// ```
/// use dayfold::aggregate::{Count, Sum};
/// use dayfold::engine::{LiveOptions, Measures};
/// use dayfold::view::View;
/// use dayfold::{Cluster, Engine};
/// use dayfold_sql::QuerySql;
/// use dayfold_sql::arrow::array::RecordBatch;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut engine = Engine::<(i64, &str, u32)>::new();
/// let view = View::new("sales")?.key_columns(["shop"])?.measure_names([["sales"], ["cents"]])?;
/// engine.view(view, Measures::none(), |&(time, shop, cents)| {
///     Some((time, shop.to_owned(), (Count::one(), Sum::of(cents))))
/// });
/// let pusher = engine.live(LiveOptions::new(|sale: &(i64, &str, u32)| sale.0));
/// let engine = engine.start(Cluster::workers(1))?;
/// let pushed = pusher.push(vec![(0, "Oslo", 50), (1, "Rome", 70), (2, "Oslo", 5)])?;
/// pushed.receipt.wait_visible(std::time::Duration::from_secs(10))?;
///
/// let batches: Vec<RecordBatch> =
///     engine.sql("SELECT shop, sum(cents) AS cents FROM sales GROUP BY shop ORDER BY shop")?;
/// assert_eq!(batches[0].num_rows(), 2);
/// assert_eq!(dayfold_sql::texts(&batches[0])?[1], [Some("Rome".to_owned()), Some("70".to_owned())]);
/// drop(pusher);
/// engine.finish()?;
/// # Ok(())
/// # }
/// ```
pub trait QuerySql {
    /// Its views as tables.
    ///
    /// # Errors
    /// As [`Sql::new`].
    fn tables(&self) -> Result<Sql, SqlError>;

    /// Runs a statement within [`Limits::default`], and waits for its rows.
    ///
    /// # Errors
    /// [`SqlError`].
    ///
    /// # Panics
    /// Within a runtime of `tokio`: use [`QuerySql::sql_async`] there.
    fn sql(&self, statement: &str) -> Result<Vec<RecordBatch>, SqlError> {
        self.tables()?.query_blocking(statement)?.collect()
    }

    /// The same within a runtime of `tokio`.
    ///
    /// # Errors
    /// [`SqlError`].
    fn sql_async(
        &self,
        statement: &str,
    ) -> impl Future<Output = Result<Vec<RecordBatch>, SqlError>> {
        let tables = self.tables();
        async move { tables?.query(statement).await?.collect().await }
    }
}

impl QuerySql for Views {
    fn tables(&self) -> Result<Sql, SqlError> {
        Sql::new(self.clone(), Limits::default())
    }
}

impl QuerySql for Running {
    fn tables(&self) -> Result<Sql, SqlError> {
        self.views().tables()
    }
}
