//! The state that all statements share: tables, limits, and the number of running ones.

use std::sync::Arc;
use std::time::Duration;

use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::GreedyMemoryPool;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::prelude::SessionContext;
use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::parser::ParserError;
use datafusion_pg_catalog::sql::PostgresCompatibilityParser;
use dayfold::engine::Views;
use tokio::sync::Semaphore;

use crate::cache::Cache;
use crate::reading::Read;
use crate::tables::Tables;
use crate::threads::Readers;
use crate::{SqlError, catalogue};

/// The limits of a statement, and how many may run at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The bytes that sorting, grouping and joining may hold. A statement that needs more fails; nothing is written to
    /// a disk.
    pub memory: usize,
    /// The time of a statement, until its last row has been taken.
    pub time: Duration,
    /// The rows of a result.
    pub rows: u64,
    /// The statements that run at once.
    pub statements: usize,
}

impl Default for Limits {
    /// 256 MiB, one minute, ten million rows, and eight statements.
    fn default() -> Limits {
        Limits { memory: 256 << 20, time: Duration::from_secs(60), rows: 10_000_000, statements: 8 }
    }
}

impl Limits {
    /// Sets the bytes of a statement.
    #[must_use]
    pub fn memory(self, bytes: usize) -> Limits {
        Limits { memory: bytes, ..self }
    }

    /// Sets the time of a statement.
    #[must_use]
    pub fn time(self, time: Duration) -> Limits {
        Limits { time, ..self }
    }

    /// Sets the rows of a result.
    #[must_use]
    pub fn rows(self, rows: u64) -> Limits {
        Limits { rows, ..self }
    }

    /// Sets the statements that run at once.
    #[must_use]
    pub fn statements(self, statements: usize) -> Limits {
        Limits { statements, ..self }
    }
}

/// The tables of a session.
pub(crate) struct Shared {
    pub(crate) context: SessionContext,
    pub(crate) parser: PostgresCompatibilityParser,
    pub(crate) tables: Arc<Tables>,
    /// The views of a running engine.
    pub(crate) views: Option<Views>,
    pub(crate) limits: Limits,
    pub(crate) running: Arc<Semaphore>,
    /// Statements that were planned before.
    pub(crate) cache: Cache,
    /// The threads that read sealed files.
    pub(crate) readers: Arc<Readers>,
}

impl Shared {
    /// Parses the statements in a text.
    pub(crate) fn parse(&self, text: &str) -> Result<Vec<ast::Statement>, SqlError> {
        let parse = |error: ParserError| SqlError::plan(error.into());
        let mut read = Read::new(text).map_err(parse)?;
        let mut has_subqueries = false;
        let statements = read.statements().map(|statements| {
            let protected = statements.into_iter().map(catalogue::with_subqueries);
            let own = protected.map(|(statement, has_any)| {
                has_subqueries |= has_any;
                statement
            });
            own.collect::<Vec<_>>()
        });
        // Statements about the catalogue may have to be replaced as a whole. The catalogue's parser does that, but
        // loses positions.
        let text_lower = text.to_ascii_lowercase();
        let is_of_catalogue =
            ["pg_", "information_schema"].iter().any(|name| text_lower.contains(name));
        let statements = match statements {
            Ok(statements) if !is_of_catalogue => {
                Ok(statements.into_iter().map(|one| self.parser.rewrite(one)).collect())
            }
            // That parser does not recognize the search path, nor revisions, and replaces subqueries.
            Ok(statements)
                if read.has_revision || has_subqueries || text_lower.contains("'search_path'") =>
            {
                let statements = statements.into_iter().map(catalogue::rewrite);
                let text = statements.map(|one| one.to_string()).collect::<Vec<_>>().join("; ");
                self.parser.parse(&text)
            }
            Ok(_) => self.parser.parse(text),
            Err(error) => self.parser.parse(text).map_err(|_| error),
        };
        let statements = statements.map_err(parse)?.into_iter().map(catalogue::rewrite);
        Ok(statements.map(|one| read.name_views(one, &self.tables.sketches())).collect())
    }
}

/// The environment of a statement: its own memory, and no disk.
pub(crate) fn runtime(memory: usize) -> Result<RuntimeEnv, SqlError> {
    let no_disk = DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled);
    RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(GreedyMemoryPool::new(memory)))
        .with_disk_manager_builder(no_disk)
        .build()
        .map_err(SqlError::plan)
}
