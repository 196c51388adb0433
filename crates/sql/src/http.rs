//! `POST /api/sql` for `dayfold-http`: the feature `http`.

use std::io;

use datafusion::error::DataFusionError;
use dayfold::scan::ScanError;
use dayfold_http::{SqlAnswer, SqlAnswering, SqlFormat, SqlQuery, SqlReason, SqlRefusal};
use futures_util::{StreamExt, stream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

use crate::threads::Threads;
use crate::{Format, Rows, Sql, SqlError, Writer};

/// The number of pieces of an answer that wait for the client. When it has taken one, the statement goes on.
const PIECES: usize = 2;

/// Answers statements over HTTP, on its own threads: for `Server::sql` of `dayfold-http`.
///
/// ```
/// use dayfold_http::Server;
/// use dayfold_sql::{Sql, http};
///
/// fn with_sql(server: Server, sql: Sql) -> std::io::Result<Server> {
///     Ok(server.sql(http::answers(sql)?))
/// }
/// ```
///
/// # Errors
/// The system has no threads for it.
pub fn answers(sql: Sql) -> io::Result<impl Fn(SqlQuery) -> SqlAnswering + Send + Sync + 'static> {
    let threads = Threads::start()?;
    Ok(move |query| {
        let (begun, beginning) = oneshot::channel();
        let (sender, receiver) = mpsc::channel(PIECES);
        let task = threads.spawn(answer(sql.clone(), query, begun, sender));
        let stop = Stop(task.abort_handle());
        Box::pin(async move {
            // A task that is gone was stopped together with its threads.
            let stopped = |_| SqlRefusal::new(SqlReason::Unavailable, "the server stops");
            beginning.await.map_err(stopped)??;
            let pieces = stream::unfold((receiver, stop), async |(mut receiver, stop)| {
                Some((receiver.recv().await?, (receiver, stop)))
            });
            Ok(Box::pin(pieces) as SqlAnswer)
        }) as SqlAnswering
    })
}

/// Stops a task that nobody waits for any longer.
struct Stop(AbortHandle);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Runs a statement, reports whether it has begun, and sends its result.
async fn answer(
    sql: Sql,
    query: SqlQuery,
    begun: oneshot::Sender<Result<(), SqlRefusal>>,
    pieces: mpsc::Sender<io::Result<Vec<u8>>>,
) {
    let (mut rows, mut writer, mut piece) = match begin(&sql, &query).await {
        Ok(beginning) => beginning,
        Err(error) => return drop(begun.send(Err(refusal(&error)))),
    };
    if begun.send(Ok(())).is_err() {
        return;
    }
    loop {
        if pieces.send(Ok(piece)).await.is_err() {
            return;
        }
        piece = Vec::new();
        let (written, is_last) = match rows.next().await {
            Some(batch) => (batch.and_then(|batch| writer.batch(&batch, &mut piece)), false),
            None => (writer.end(&mut piece), true),
        };
        let sent = match written {
            Ok(()) if !is_last => continue,
            Ok(()) => pieces.send(Ok(piece)).await,
            Err(error) => pieces.send(Err(io::Error::other(error))).await,
        };
        // A client that has disconnected needs no end.
        return drop(sent);
    }
}

/// Runs the statement up to its first rows; returns the rest, the writer, and the first bytes.
async fn begin(sql: &Sql, query: &SqlQuery) -> Result<(Rows, Writer, Vec<u8>), SqlError> {
    let statement = sql.prepare(&query.sql).await?;
    let mut rows = statement.run_with(&query.params).await?;
    let first = rows.next().await.transpose()?;
    let format = match query.format {
        SqlFormat::Csv => Format::Csv,
        SqlFormat::JsonLines => Format::JsonLines,
        SqlFormat::Arrow => Format::Arrow,
        _ => Format::Json,
    };
    let (mut writer, mut piece) = (Writer::new(format, rows.schema()), Vec::new());
    writer.begin(&mut piece)?;
    if let Some(first) = first {
        writer.batch(&first, &mut piece)?;
    }
    Ok((rows, writer, piece))
}

fn refusal(error: &SqlError) -> SqlRefusal {
    let is_out_of_memory = |error: &DataFusionError| {
        matches!(error.find_root(), DataFusionError::ResourcesExhausted(_))
    };
    let reason = match error {
        SqlError::ReadOnly { .. } => SqlReason::ReadOnly,
        SqlError::Parameters { .. } => SqlReason::Parameters,
        SqlError::Failed(error) if is_out_of_memory(error) => SqlReason::Limit,
        SqlError::Failed(_) => SqlReason::Failed,
        SqlError::TimedOut { .. } | SqlError::TooManyRows { .. } => SqlReason::Limit,
        SqlError::Busy { .. } | SqlError::View(ScanError::Busy { .. }) => SqlReason::Busy,
        SqlError::View(_) => SqlReason::Unavailable,
        _ => SqlReason::Statement,
    };
    let refusal = SqlRefusal::new(reason, error.to_string());
    match error.position() {
        Some((line, column)) => refusal.at(line, column),
        None => refusal,
    }
}
