//! Statements over HTTP, and the interface of the function that answers them.

use std::io;
use std::pin::Pin;

use axum::http::StatusCode;
use dayfold::schema::Value;
use futures_util::Stream;
use serde_json::json;

use crate::error::ApiError;

/// A statement, the values of its parameters `$1`, `$2` and so on, and the format of its rows.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SqlQuery {
    /// The statement.
    pub sql: String,
    /// The values: texts, integers, decimals, booleans or null, as JSON has them.
    pub params: Vec<Value>,
    /// The format of its rows.
    pub format: SqlFormat,
}

/// The format of a statement's rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SqlFormat {
    /// `{"columns":[{"name","kind","nullable"},…],"rows":[[…],…]}`.
    Json,
    /// An object for each row, one on each line.
    JsonLines,
    /// CSV with a header.
    Csv,
    /// A stream of Arrow's IPC format.
    Arrow,
}

/// The bytes of an answer, in pieces. An error cuts the answer off, which the client notices. Dropping it stops the
/// statement.
pub type SqlAnswer = Pin<Box<dyn Stream<Item = io::Result<Vec<u8>>> + Send>>;

/// An answer in progress. It is ready when the first rows are, so that most errors have a status. Dropping it stops the
/// statement.
pub type SqlAnswering = Pin<Box<dyn Future<Output = Result<SqlAnswer, SqlRefusal>> + Send>>;

/// Why a statement has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlRefusal {
    reason: SqlReason,
    message: String,
    position: Option<(u64, u64)>,
}

/// The kind of the reason, which determines the status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SqlReason {
    /// The statement is not SQL, or names something that does not exist: 400.
    Statement,
    /// The values of its parameters do not match: 400.
    Parameters,
    /// It would change something: 400.
    ReadOnly,
    /// It failed while it ran, for example by a division by zero: 422.
    Failed,
    /// It exceeds a limit of time, memory or rows: 422.
    Limit,
    /// Too many other statements are running: 503.
    Busy,
    /// The engine does not answer: 503.
    Unavailable,
}

impl SqlRefusal {
    /// A refusal, with a sentence for people.
    pub fn new(reason: SqlReason, message: impl Into<String>) -> SqlRefusal {
        SqlRefusal { reason, message: message.into(), position: None }
    }

    /// Adds the position in the statement: a line and a column, from 1.
    #[must_use]
    pub fn at(self, line: u64, column: u64) -> SqlRefusal {
        SqlRefusal { position: Some((line, column)), ..self }
    }
}

impl From<SqlRefusal> for ApiError {
    fn from(refusal: SqlRefusal) -> ApiError {
        let (status, code) = match refusal.reason {
            SqlReason::Statement => (StatusCode::BAD_REQUEST, "bad_statement"),
            SqlReason::Parameters => return ApiError::parameter("params", refusal.message),
            SqlReason::ReadOnly => (StatusCode::BAD_REQUEST, "read_only"),
            SqlReason::Failed => (StatusCode::UNPROCESSABLE_ENTITY, "statement_failed"),
            SqlReason::Limit => (StatusCode::UNPROCESSABLE_ENTITY, "limit_exceeded"),
            SqlReason::Busy => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
            SqlReason::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "no_answer"),
        };
        let error = ApiError::new(status, code, refusal.message);
        match refusal.position {
            Some((line, column)) => {
                error.with("position", json!({ "line": line, "column": column }))
            }
            None => error,
        }
    }
}

/// A function that answers statements, for [`Server::sql`](crate::Server::sql).
pub type AnswerSql = dyn Fn(SqlQuery) -> SqlAnswering + Send + Sync;
