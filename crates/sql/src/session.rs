//! Views as tables for statements.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use datafusion::catalog::SchemaProvider;
use datafusion::execution::SessionStateBuilder;
use datafusion::prelude::{CsvReadOptions, ParquetReadOptions, SessionConfig, SessionContext};
use datafusion_pg_catalog::pg_catalog::context::EmptyContextProvider;
use datafusion_pg_catalog::sql::PostgresCompatibilityParser;
use dayfold::engine::Views;
use dayfold::schema::{Column, Value};
use dayfold::serve::Revision;
use dayfold::store::{self, Disk};
use tokio::sync::Semaphore;

use crate::cache::Cache;
use crate::folder::SealedTable;
use crate::form::{ReadCombined, ReadInAnyOrder};
use crate::functions::{self, CheckIntegers, MergeSketches};
use crate::last::LastOf;
use crate::reading::LAST;
use crate::shared::{Limits, Shared, runtime};
use crate::statement::{Batches, Rows, Statement};
use crate::table::ViewTable;
use crate::tables::{Readable, Tables, in_memory};
use crate::threads::{Readers, Threads};
use crate::{SqlError, catalogue, statement};

/// The database and the schema of the tables.
pub(crate) const DATABASE: &str = "dayfold";
const SCHEMA: &str = "public";

/// The views of a running engine, by name.
fn readable(views: &Views) -> BTreeMap<String, Readable> {
    let tables = views.iter().map(|view| {
        let table = ViewTable::new(Arc::clone(view), Revision::Now);
        (view.name().to_owned(), Readable::Running(table))
    });
    tables.collect()
}

/// Views as tables. Clones share them, and their limits.
#[derive(Clone)]
pub struct Sql {
    inner: Arc<Shared>,
}

impl Sql {
    /// Tables of all these views, with PostgreSQL's catalogue of them.
    ///
    /// # Errors
    /// [`SqlError::Plan`]: the catalogue cannot be made.
    pub fn new(views: Views, limits: Limits) -> Result<Sql, SqlError> {
        Sql::of_tables(readable(&views), Some(views), limits)
    }

    /// Has the views of the running engine as they are now, when it has added or removed some: see
    /// [`ViewChanger`](dayfold::engine::ViewChanger). Statements that are running go on.
    ///
    /// # Errors
    /// [`SqlError::Plan`]: another table has the name of a view.
    pub fn change_views(&self) -> Result<(), SqlError> {
        let Some(views) = &self.inner.views else { return Ok(()) };
        let changed = self.inner.tables.change_views(readable(&views.now()));
        // Plans of before read the views of before.
        self.inner.cache.clear();
        changed.map_err(SqlError::plan)
    }

    /// Tables of the sealed periods in a data folder, which is read without taking its lock: for folders that no
    /// program has open. They have no `dayfold_certificate()`, no `last(…)` and no `revision_of(…)`, but `AS OF`.
    ///
    /// ```no_run
    /// # async fn ask() -> Result<(), dayfold_sql::SqlError> {
    /// use dayfold_sql::{Limits, Sql};
    ///
    /// let sql = Sql::of_folder("dayfold-data", Limits::default())?;
    /// let rows = sql.query("SELECT shop, sum(cents) FROM sales GROUP BY shop").await?.collect().await?;
    /// println!("{}", dayfold_sql::pretty(&rows)?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`SqlError::Folder`]: it is not a data folder, or it is damaged.
    pub fn of_folder(folder: impl Into<PathBuf>, limits: Limits) -> Result<Sql, SqlError> {
        let folder =
            store::inspect(&Disk, folder).map_err(|error| SqlError::Folder(Box::new(error)))?;
        let folder = Arc::new(folder);
        let tables = folder.views.iter().enumerate().map(|(at, view)| {
            let table = SealedTable::new(Arc::clone(&folder), at);
            (view.record.name.clone(), Readable::Sealed(table))
        });
        Sql::of_tables(tables.collect(), None, limits)
    }

    /// No views, for files alone.
    ///
    /// # Errors
    /// [`SqlError::Plan`]: the catalogue cannot be made.
    pub fn without_views(limits: Limits) -> Result<Sql, SqlError> {
        Sql::of_tables(BTreeMap::new(), None, limits)
    }

    fn of_tables(
        readable: BTreeMap<String, Readable>,
        views: Option<Views>,
        limits: Limits,
    ) -> Result<Sql, SqlError> {
        let config = SessionConfig::new()
            .with_default_catalog_and_schema(DATABASE, SCHEMA)
            .with_information_schema(true)
            .set_str("datafusion.sql_parser.dialect", "PostgreSQL")
            // Errors have positions.
            .set_bool("datafusion.sql_parser.collect_spans", true)
            .set_bool("datafusion.sql_parser.map_string_types_to_utf8view", false)
            // Views do not use them, and plans with them cannot be run again.
            .set_bool("datafusion.optimizer.enable_dynamic_filter_pushdown", false)
            .set_bool("datafusion.execution.parquet.schema_force_view_types", false);
        let state = SessionStateBuilder::new()
            .with_default_features()
            .with_config(config)
            .with_runtime_env(Arc::new(runtime(limits.memory)?))
            .with_optimizer_rule(Arc::new(ReadCombined))
            .with_optimizer_rule(Arc::new(ReadInAnyOrder))
            .with_analyzer_rule(Arc::new(MergeSketches))
            .with_analyzer_rule(Arc::new(CheckIntegers))
            .build();
        let context = SessionContext::new_with_state(state);
        let tables = Arc::new(Tables::new(readable).map_err(SqlError::plan)?);
        let database = context.catalog(DATABASE).ok_or_else(|| {
            SqlError::Plan(datafusion::common::exec_datafusion_err!("no catalogue '{DATABASE}'"))
        })?;
        let schema: Arc<dyn SchemaProvider> = Arc::clone(&tables) as _;
        database.register_schema(SCHEMA, schema).map_err(SqlError::plan)?;
        datafusion_pg_catalog::setup_pg_catalog(&context, DATABASE, EmptyContextProvider)
            .map_err(|error| SqlError::plan(*error))?;
        catalogue::complete(&*database).map_err(SqlError::plan)?;
        // Registered after the catalogue, to replace its functions of the same names.
        functions::register(&context, views.as_ref());
        context.register_udtf(LAST, Arc::new(LastOf::new(views.as_ref())));
        let running = Arc::new(Semaphore::new(limits.statements));
        let parser = PostgresCompatibilityParser::new();
        let readers = Arc::new(Readers::new(context.state().config().target_partitions()));
        let cache = Cache::default();
        let shared = Shared { context, parser, tables, views, limits, running, cache, readers };
        Ok(Sql { inner: Arc::new(shared) })
    }

    /// Adds a table: a CSV file with a header, so that statements can join views with it.
    ///
    /// # Errors
    /// [`SqlError::Taken`], or [`SqlError::Plan`]: it cannot be read.
    pub async fn csv(&self, name: &str, path: &str) -> Result<(), SqlError> {
        self.check_free(name)?;
        let context = &self.inner.context;
        context.register_csv(name, path, CsvReadOptions::new()).await.map_err(SqlError::plan)
    }

    /// Adds a table: a Parquet file, or a folder of them.
    ///
    /// # Errors
    /// [`SqlError::Taken`], or [`SqlError::Plan`]: it cannot be read.
    pub async fn parquet(&self, name: &str, path: &str) -> Result<(), SqlError> {
        self.check_free(name)?;
        let context = &self.inner.context;
        context
            .register_parquet(name, path, ParquetReadOptions::new())
            .await
            .map_err(SqlError::plan)
    }

    /// The same for programs without a runtime of `tokio`.
    ///
    /// # Errors
    /// As [`Sql::parquet`], or [`SqlError::Threads`].
    ///
    /// # Panics
    /// Within a runtime of `tokio`.
    pub fn parquet_blocking(&self, name: &str, path: &str) -> Result<(), SqlError> {
        let threads = Threads::start().map_err(|error| SqlError::Threads { error })?;
        threads.block_on(self.parquet(name, path))
    }

    /// One more table: rows that are kept in memory.
    ///
    /// ```
    /// use dayfold::schema::{Column, Kind, Value};
    /// use dayfold_sql::{Limits, Sql};
    ///
    /// # fn main() -> Result<(), dayfold_sql::SqlError> {
    /// let sql = Sql::without_views(Limits::default())?;
    /// let columns = [Column::new("code", Kind::Text), Column::new("name", Kind::Text)];
    /// let rows = [["UA", "United"], ["B6", "JetBlue"]];
    /// let rows = rows.map(|row| row.map(|text| Value::Text(text.to_owned())).to_vec());
    /// sql.rows("carriers", &columns, rows)?;
    /// let names = sql.query_blocking("SELECT name FROM carriers WHERE code = 'B6'")?;
    /// let names = names.collect::<Result<Vec<_>, _>>()?;
    /// assert_eq!(dayfold_sql::texts(&names[0])?, [[Some("JetBlue".to_owned())]]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`SqlError::Taken`], or [`SqlError::Plan`]: a value does not fit its column.
    pub fn rows(
        &self,
        name: &str,
        columns: &[Column],
        rows: impl IntoIterator<Item = Vec<Value>>,
    ) -> Result<(), SqlError> {
        self.check_free(name)?;
        let table = in_memory(columns, rows).map_err(SqlError::plan)?;
        self.inner.context.register_table(name, table).map_err(SqlError::plan)?;
        Ok(())
    }

    fn check_free(&self, name: &str) -> Result<(), SqlError> {
        match self.inner.context.table_exist(name).map_err(SqlError::plan)? {
            true => Err(SqlError::Taken { name: name.to_owned() }),
            false => Ok(()),
        }
    }

    /// Plans a statement that can be run any number of times.
    ///
    /// # Errors
    /// [`SqlError`]: it is wrong, or would change something.
    pub async fn prepare(&self, statement: &str) -> Result<Statement, SqlError> {
        if let Some(kept) = statement::kept(&self.inner, statement) {
            return Ok(kept);
        }
        let [parsed] = <[_; 1]>::try_from(self.inner.parse(statement)?)
            .map_err(|statements| SqlError::NotOne { found: statements.len() })?;
        let planned = statement::plan(Arc::clone(&self.inner), parsed).await?;
        planned.keep(statement);
        Ok(planned)
    }

    /// Runs a statement without parameters.
    ///
    /// # Errors
    /// [`SqlError`]: as [`Sql::prepare`], or it cannot run now.
    pub async fn query(&self, statement: &str) -> Result<Rows, SqlError> {
        self.prepare(statement).await?.run(None).await
    }

    /// The same for programs without a runtime of `tokio`: rows are made on separate threads while they are taken.
    ///
    /// ```
    /// use dayfold_sql::{Sql, SqlError};
    ///
    /// fn count(sql: &Sql) -> Result<usize, SqlError> {
    ///     let mut count = 0;
    ///     for batch in sql.query_blocking("SELECT * FROM sales")? {
    ///         count += batch?.num_rows();
    ///     }
    ///     Ok(count)
    /// }
    /// ```
    ///
    /// # Errors
    /// As [`Sql::query`], or [`SqlError::Threads`].
    ///
    /// # Panics
    /// Within a runtime of `tokio`.
    pub fn query_blocking(&self, statement: &str) -> Result<Batches, SqlError> {
        let threads = Threads::start().map_err(|error| SqlError::Threads { error })?;
        let rows = threads.block_on(self.query(statement))?;
        Ok(Batches::new(rows, threads))
    }

    pub(crate) fn inner(&self) -> &Arc<Shared> {
        &self.inner
    }
}
