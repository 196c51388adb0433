//! Views as tables that statements can name.

use std::sync::Arc;

use datafusion::catalog::{MemorySchemaProvider, SchemaProvider};
use datafusion::execution::SessionStateBuilder;
use datafusion::prelude::{CsvReadOptions, ParquetReadOptions, SessionConfig, SessionContext};
use datafusion_pg_catalog::pg_catalog::context::EmptyContextProvider;
use datafusion_pg_catalog::sql::PostgresCompatibilityParser;
use dayfold::engine::Views;
use dayfold::serve::Revision;
use tokio::sync::Semaphore;

use crate::form::ReadCombined;
use crate::functions::{self, CheckIntegers, MergeSketches};
use crate::shared::{Limits, Shared, runtime};
use crate::statement::{Rows, Statement};
use crate::table::ViewTable;
use crate::{SqlError, statement};

/// The database and the schema that tables are in.
pub(crate) const DATABASE: &str = "dayfold";
const SCHEMA: &str = "public";

/// The views of an engine as tables. Clones share them, and their limits.
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
        let config = SessionConfig::new()
            .with_default_catalog_and_schema(DATABASE, SCHEMA)
            .with_information_schema(true)
            .set_str("datafusion.sql_parser.dialect", "PostgreSQL")
            .set_bool("datafusion.sql_parser.map_string_types_to_utf8view", false);
        let state = SessionStateBuilder::new()
            .with_default_features()
            .with_config(config)
            .with_runtime_env(Arc::new(runtime(limits.memory)?))
            .with_optimizer_rule(Arc::new(ReadCombined))
            .with_analyzer_rule(Arc::new(MergeSketches))
            .with_analyzer_rule(Arc::new(CheckIntegers))
            .build();
        let context = SessionContext::new_with_state(state);
        let tables = MemorySchemaProvider::new();
        for view in views.iter() {
            let table = ViewTable::new(Arc::clone(view), Revision::Now);
            tables
                .register_table(view.name().to_owned(), Arc::new(table))
                .map_err(SqlError::plan)?;
        }
        let database = context.catalog(DATABASE).ok_or_else(|| {
            SqlError::Plan(datafusion::common::exec_datafusion_err!("no catalogue '{DATABASE}'"))
        })?;
        database.register_schema(SCHEMA, Arc::new(tables)).map_err(SqlError::plan)?;
        datafusion_pg_catalog::setup_pg_catalog(&context, DATABASE, EmptyContextProvider)
            .map_err(|error| SqlError::plan(*error))?;
        // After the catalogue, whose functions of the same names they replace.
        functions::register(&context, &views);
        let running = Arc::new(Semaphore::new(limits.statements));
        let parser = PostgresCompatibilityParser::new();
        Ok(Sql { inner: Arc::new(Shared { context, parser, views, limits, running }) })
    }

    /// One more table: a CSV file with a header, for statements to join views with.
    ///
    /// # Errors
    /// [`SqlError::Taken`], or [`SqlError::Plan`]: it cannot be read.
    pub async fn csv(&self, name: &str, path: &str) -> Result<(), SqlError> {
        self.check_free(name)?;
        let context = &self.inner.context;
        context.register_csv(name, path, CsvReadOptions::new()).await.map_err(SqlError::plan)
    }

    /// One more table: a Parquet file, or a folder of them.
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

    fn check_free(&self, name: &str) -> Result<(), SqlError> {
        match self.inner.context.table_exist(name).map_err(SqlError::plan)? {
            true => Err(SqlError::Taken { name: name.to_owned() }),
            false => Ok(()),
        }
    }

    /// Plans a statement, for it to be run any number of times.
    ///
    /// # Errors
    /// [`SqlError`]: it is wrong, or would change something.
    pub async fn prepare(&self, statement: &str) -> Result<Statement, SqlError> {
        let parsed = self.inner.parser.parse(statement);
        let parsed = parsed.map_err(|error| SqlError::plan(error.into()))?;
        let [statement] = <[_; 1]>::try_from(parsed)
            .map_err(|statements| SqlError::NotOne { found: statements.len() })?;
        statement::plan(Arc::clone(&self.inner), statement).await
    }

    /// Runs a statement without parameters.
    ///
    /// # Errors
    /// [`SqlError`]: as [`Sql::prepare`], or it cannot run now.
    pub async fn query(&self, statement: &str) -> Result<Rows, SqlError> {
        self.prepare(statement).await?.run(None).await
    }

    pub(crate) fn inner(&self) -> &Arc<Shared> {
        &self.inner
    }
}
