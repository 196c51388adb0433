//! A connection to a cluster, and what its answers mean.

use scylla::client::execution_profile::ExecutionProfile;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::errors::{DbError, ExecutionError, RequestAttemptError};
use scylla::response::query_result::QueryResult;
use scylla::statement::prepared::PreparedStatement;
use scylla::statement::{Consistency, SerialConsistency};
use scylla::value::{CqlValue, Row as Values};
use tokio::runtime::Runtime;

use super::error::{EXPECTED, LIMIT, mismatch, refused, unavailable};
use crate::StoreError;
use crate::stores::address::Parts;

/// A keyspace of a cluster.
pub(super) struct Cluster {
    runtime: Runtime,
    session: Session,
    pub(super) keyspace: String,
}

/// So many statements are on their way together.
const AT_ONCE: usize = 64;

/// What an error means. A value that does not fit is refused by the driver or by the server.
fn failed(error: ExecutionError) -> StoreError {
    match &error {
        // A table that somebody has dropped is invalid, too.
        ExecutionError::LastAttemptError(RequestAttemptError::DbError(DbError::Invalid, why))
            if why.contains("table") =>
        {
            unavailable(error)
        }
        ExecutionError::BadQuery(_)
        | ExecutionError::LastAttemptError(
            RequestAttemptError::SerializationError(_)
            | RequestAttemptError::DbError(DbError::Invalid, _),
        ) => refused(error.to_string()),
        _ => unavailable(error),
    }
}

impl Cluster {
    pub(super) fn connect(parts: &Parts) -> Result<Cluster, StoreError> {
        // A thread of its own answers the cluster while a sink waits.
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        runtime.worker_threads(1).thread_name("dayfold:cassandra").enable_all();
        let runtime = runtime.build().map_err(unavailable)?;
        let profile = ExecutionProfile::builder()
            .consistency(Consistency::LocalQuorum)
            .serial_consistency(Some(SerialConsistency::LocalSerial))
            .request_timeout(Some(LIMIT))
            .build();
        let mut builder = SessionBuilder::new()
            .known_nodes(parts.hosts.split(','))
            .connection_timeout(LIMIT)
            .default_execution_profile_handle(profile.into_handle());
        if let Some((user, password)) = &parts.login {
            builder = builder.user(user, password);
        }
        let session = runtime.block_on(builder.build()).map_err(unavailable)?;
        let cluster = Cluster { runtime, session, keyspace: parts.path.clone() };
        let there = "SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = ?";
        if cluster.rows(there, &[text(&cluster.keyspace)])?.is_empty() {
            return Err(mismatch(format!("there is no keyspace '{}'", cluster.keyspace), EXPECTED));
        }
        let used = cluster.session.use_keyspace(&cluster.keyspace, true);
        cluster.runtime.block_on(used).map_err(unavailable)?;
        Ok(cluster)
    }

    /// Prepares a statement. One that may be repeated is, if a node does not answer.
    pub(super) fn prepare(&self, statement: &str) -> Result<PreparedStatement, StoreError> {
        let prepared = self.runtime.block_on(self.session.prepare(statement));
        let mut prepared = prepared.map_err(unavailable)?;
        prepared.set_is_idempotent(!statement.contains(" IF "));
        Ok(prepared)
    }

    /// Changes the tables, and waits until all nodes know.
    pub(super) fn define(&self, statement: &str) -> Result<(), StoreError> {
        let done = self.runtime.block_on(self.session.query_unpaged(statement, &[]));
        done.map(drop).map_err(failed)
    }

    fn values(result: QueryResult) -> Result<Vec<Vec<Option<CqlValue>>>, StoreError> {
        let rows = result.into_rows_result().map_err(unavailable)?;
        let rows = rows.rows::<Values>().map_err(unavailable)?;
        rows.map(|row| row.map(|row| row.columns).map_err(unavailable)).collect()
    }

    /// The rows of an answer that is not large.
    pub(super) fn rows(
        &self,
        statement: &str,
        values: &[Option<CqlValue>],
    ) -> Result<Vec<Vec<Option<CqlValue>>>, StoreError> {
        let prepared = self.prepare(statement)?;
        let done = self.runtime.block_on(self.session.execute_unpaged(&prepared, values));
        Cluster::values(done.map_err(failed)?)
    }

    /// The rows of an answer after all changes that were made conditionally.
    pub(super) fn latest(
        &self,
        statement: &str,
        values: &[Option<CqlValue>],
    ) -> Result<Vec<Vec<Option<CqlValue>>>, StoreError> {
        let mut prepared = self.prepare(statement)?;
        prepared.set_consistency(Consistency::LocalSerial);
        let done = self.runtime.block_on(self.session.execute_unpaged(&prepared, values));
        Cluster::values(done.map_err(failed)?)
    }

    /// Makes a change under a condition. Says whether that held.
    pub(super) fn applied(
        &self,
        prepared: &PreparedStatement,
        values: &[Option<CqlValue>],
    ) -> Result<bool, StoreError> {
        let done = self.runtime.block_on(self.session.execute_unpaged(prepared, values));
        let rows = Cluster::values(done.map_err(failed)?)?;
        match rows.first().and_then(|row| row.first()) {
            Some(Some(CqlValue::Boolean(is_applied))) => Ok(*is_applied),
            _ => Err(unavailable("it does not say whether a change was made")),
        }
    }

    /// Runs a statement with each of these values, many at once. Of errors, one that refuses counts least.
    pub(super) fn each(
        &self,
        prepared: &PreparedStatement,
        all: &[Vec<Option<CqlValue>>],
    ) -> Result<(), StoreError> {
        let run = async {
            let mut refused = Ok(());
            for some in all.chunks(AT_ONCE) {
                let runs = some.iter().map(|values| self.session.execute_unpaged(prepared, values));
                for done in futures_util::future::join_all(runs).await {
                    match done.map_err(failed) {
                        Ok(_) => {}
                        Err(error @ StoreError::Refused { .. }) => refused = Err(error),
                        Err(error) => return Err(error),
                    }
                }
            }
            refused
        };
        self.runtime.block_on(run)
    }

    /// The first values of all rows of a table, page by page.
    pub(super) fn firsts(&self, statement: &str) -> Result<Vec<CqlValue>, StoreError> {
        let prepared = self.prepare(statement)?;
        let run = async {
            let mut state = scylla::response::PagingState::start();
            let mut firsts = Vec::new();
            loop {
                let page = self.session.execute_single_page(&prepared, &[], state).await;
                let (result, next) = page.map_err(failed)?;
                let rows = Cluster::values(result)?.into_iter();
                firsts.extend(rows.filter_map(|row| row.into_iter().next()?));
                match next.into_paging_control_flow() {
                    std::ops::ControlFlow::Break(()) => return Ok(firsts),
                    std::ops::ControlFlow::Continue(next) => state = next,
                }
            }
        };
        self.runtime.block_on(run)
    }
}

/// A text as a value.
pub(super) fn text(text: &str) -> Option<CqlValue> {
    Some(CqlValue::Text(text.to_owned()))
}

/// A number as a value.
pub(super) fn number(number: i64) -> Option<CqlValue> {
    Some(CqlValue::BigInt(number))
}
