//! Runs the commands of a connection, in the simple and the extended protocol.

use std::fmt::Debug;
use std::sync::Arc;

use arrow_pg::datatypes::{arrow_schema_to_pg_fields, field_into_pg_type, into_pg_type};
use async_trait::async_trait;
use datafusion::arrow::array::{RecordBatch, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use futures_util::{Sink, Stream, StreamExt, stream};
use pgwire::api::portal::{Format, Portal};
use pgwire::api::query::{ExtendedQueryHandler, SimpleQueryHandler, send_describe_response};
use pgwire::api::results::{
    DataRowEncoder, DescribePortalResponse, FieldInfo, QueryResponse, Response, Tag,
};
use pgwire::api::stmt::QueryParser;
use pgwire::api::store::PortalStore;
use pgwire::api::{ClientInfo, ClientPortalStore, ConnectionHandle, Type};
use pgwire::error::{PgWireError, PgWireResult};
use pgwire::messages::PgWireBackendMessage;
use pgwire::messages::extendedquery::{Describe, TARGET_TYPE_BYTE_PORTAL};
use pgwire::messages::response::TransactionStatus;
use tokio::sync::Mutex;

use super::command::{self, Command};
use super::cursor::Cursors;
use super::error::of_code;
use super::{copy, encode, parameters};
use crate::{Sql, settings};

/// Runs the commands of one connection.
pub(super) struct Queries {
    sql: Sql,
    parser: Arc<Parser>,
    cursors: Arc<Mutex<Cursors>>,
}

impl Queries {
    pub(super) fn new(sql: Sql) -> Queries {
        let cursors = Arc::default();
        let parser = Parser { sql: sql.clone(), cursors: Arc::clone(&cursors) };
        Queries { sql, parser: Arc::new(parser), cursors }
    }

    /// The responses to a command, with the values of its parameters if it has any.
    async fn run<C: ClientInfo>(
        &self,
        client: &C,
        command: &Command,
        values: Option<datafusion::common::ParamValues>,
        format: &Format,
    ) -> PgWireResult<Response> {
        let execution = |tag: &str| Ok(Response::Execution(Tag::new(tag)));
        let ends_block = matches!(command, Command::Commit | Command::Rollback);
        if client.transaction_status() == TransactionStatus::Error && !ends_block {
            let message =
                "current transaction is aborted, commands ignored until end of transaction block";
            return Err(of_code("25P02", message));
        }
        match command {
            Command::Select(statement) => {
                let rows = statement.run(values).await?;
                let schema = SchemaRef::clone(rows.schema());
                let rows = cancellable(client, rows.map(|batch| batch.map_err(Into::into)));
                Ok(Response::Query(response(&schema, rows, format)?))
            }
            Command::Copy(statement, format) => {
                let rows = statement.run(values).await?;
                let schema = SchemaRef::clone(rows.schema());
                let rows = cancellable(client, rows.map(|batch| batch.map_err(Into::into)));
                Ok(Response::CopyOut(copy::response(&schema, rows, format)?))
            }
            Command::Show(name) => {
                let unknown =
                    || of_code("42704", format!("unrecognized configuration parameter \"{name}\""));
                let value = settings::value(name).ok_or_else(unknown)?;
                let schema = show_schema(name);
                let column = Arc::new(StringArray::from(vec![value]));
                let row = RecordBatch::try_new(Arc::clone(&schema), vec![column]);
                let row = row.map_err(|error| PgWireError::ApiError(Box::new(error)));
                let mut shown = response(&schema, stream::iter([row]), format)?;
                shown.set_command_tag("SHOW");
                Ok(Response::Query(shown))
            }
            Command::Set => execution("SET"),
            Command::Begin => Ok(Response::TransactionStart(Tag::new("BEGIN"))),
            Command::Commit => {
                self.cursors.lock().await.close(None)?;
                Ok(Response::TransactionEnd(Tag::new("COMMIT")))
            }
            Command::Rollback => {
                self.cursors.lock().await.close(None)?;
                Ok(Response::TransactionEnd(Tag::new("ROLLBACK")))
            }
            Command::Nothing(tag) => execution(tag),
            Command::Declare { name, statement, scroll } => {
                let rows = statement.run(values).await?;
                self.cursors.lock().await.declare(name, rows, *scroll)?;
                execution("DECLARE CURSOR")
            }
            Command::Move(name, step) => {
                let (_, batches) = self.cursors.lock().await.fetch(name, *step).await?;
                let rows = batches.iter().map(RecordBatch::num_rows).sum();
                Ok(Response::Execution(Tag::new("MOVE").with_rows(rows)))
            }
            Command::Fetch(name, step) => {
                let (schema, batches) = self.cursors.lock().await.fetch(name, *step).await?;
                let mut fetched =
                    response(&schema, stream::iter(batches.into_iter().map(Ok)), format)?;
                fetched.set_command_tag("FETCH");
                Ok(Response::Query(fetched))
            }
            Command::Close(name) => {
                self.cursors.lock().await.close(name.as_deref())?;
                execution("CLOSE CURSOR")
            }
        }
    }
}

fn show_schema(name: &str) -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new(name, DataType::Utf8, false)]))
}

/// The response with the rows of a statement.
fn response(
    schema: &SchemaRef,
    rows: impl Stream<Item = PgWireResult<RecordBatch>> + Send + 'static,
    format: &Format,
) -> PgWireResult<QueryResponse> {
    let fields = Arc::new(arrow_schema_to_pg_fields(schema, format, None)?);
    let mut encoder = DataRowEncoder::new(Arc::clone(&fields));
    let of_rows = Arc::clone(&fields);
    let rows = rows.flat_map(move |batch| {
        let rows: Vec<_> = match batch {
            Ok(batch) => {
                let rows = 0..batch.num_rows();
                rows.map(|at| encode::row(&mut encoder, &batch, at, &of_rows)).collect()
            }
            Err(error) => vec![Err(error)],
        };
        stream::iter(rows)
    });
    Ok(QueryResponse::new(fields, rows))
}

/// The rows, until the client cancels them: the protocol's library checks for that only until the first rows.
fn cancellable<C: ClientInfo>(
    client: &C,
    rows: impl Stream<Item = PgWireResult<RecordBatch>> + Send + 'static,
) -> impl Stream<Item = PgWireResult<RecordBatch>> + Send + 'static {
    let handle = client.session_extensions().get::<Arc<ConnectionHandle>>();
    let cancelled = async move {
        match handle {
            // Dropping it ends this query, and lets the next one begin.
            Some(handle) => drop(handle.start_query().await.await),
            None => std::future::pending().await,
        }
    };
    let end = stream::once(async move {
        cancelled.await;
        Err(PgWireError::QueryCanceled)
    });
    // The first error is the last item.
    let rows = rows.map(Some).chain(stream::iter([None]));
    let both = stream::select(rows, end.map(Some));
    both.take_while(|item| std::future::ready(item.is_some())).filter_map(std::future::ready)
}

#[async_trait]
impl SimpleQueryHandler for Queries {
    async fn do_query<C>(&self, client: &mut C, query: &str) -> PgWireResult<Vec<Response>>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let mut responses = Vec::new();
        for command in command::read(&self.sql, query, &[]).await? {
            responses.push(self.run(client, &command, None, &Format::UnifiedText).await?);
        }
        Ok(responses)
    }
}

#[async_trait]
impl ExtendedQueryHandler for Queries {
    type Statement = Command;
    type QueryParser = Parser;

    fn query_parser(&self) -> Arc<Parser> {
        Arc::clone(&self.parser)
    }

    async fn on_describe<C>(&self, client: &mut C, message: Describe) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Command>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let name = message.name.as_deref().unwrap_or_default();
        let is_portal = message.target_type == TARGET_TYPE_BYTE_PORTAL;
        // A cursor is a portal with its name.
        if is_portal && client.portal_store().get_portal(name).is_none() {
            let schema = self.cursors.lock().await.schema(name);
            if let Ok(schema) = schema {
                let fields = arrow_schema_to_pg_fields(&schema, &Format::UnifiedText, None)?;
                return send_describe_response(client, &DescribePortalResponse::new(fields)).await;
            }
        }
        self._on_describe(client, message).await
    }

    async fn do_query<C>(
        &self,
        client: &mut C,
        portal: &Portal<Command>,
        _max_rows: usize,
    ) -> PgWireResult<Response>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Command>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let command = &portal.statement.statement;
        let values = match command {
            Command::Select(statement) | Command::Declare { statement, .. }
                if portal.parameter_len() > 0 =>
            {
                Some(parameters::values(portal, &statement.parameters()?)?)
            }
            _ => None,
        };
        self.run(client, command, values, &portal.result_column_format).await
    }
}

/// Plans the statements that clients prepare.
pub(super) struct Parser {
    sql: Sql,
    cursors: Arc<Mutex<Cursors>>,
}

impl Parser {
    fn schema(&self, command: &Command) -> PgWireResult<Option<SchemaRef>> {
        Ok(match command {
            Command::Select(statement) => Some(statement.schema()),
            Command::Show(name) => Some(show_schema(name)),
            Command::Fetch(name, _) => match self.cursors.try_lock() {
                Ok(cursors) => Some(cursors.schema(name)?),
                Err(_) => None,
            },
            _ => None,
        })
    }
}

#[async_trait]
impl QueryParser for Parser {
    type Statement = Command;

    async fn parse_sql<C>(
        &self,
        _client: &C,
        sql: &str,
        types: &[Option<Type>],
    ) -> PgWireResult<Option<Command>>
    where
        C: ClientInfo + Unpin + Send + Sync,
    {
        let mut commands = command::read(&self.sql, sql, types).await?;
        match commands.len() {
            0 => Ok(None),
            1 => Ok(commands.pop()),
            found => Err(crate::SqlError::NotOne { found }.into()),
        }
    }

    fn get_parameter_types(&self, command: &Command) -> PgWireResult<Vec<Type>> {
        let (Command::Select(statement) | Command::Declare { statement, .. }) = command else {
            return Ok(Vec::new());
        };
        let types = statement.parameters()?.into_iter();
        types.map(|of| of.map_or(Ok(Type::UNKNOWN), |of| into_pg_type(&of))).collect()
    }

    fn get_result_schema(
        &self,
        command: &Command,
        format: Option<&Format>,
    ) -> PgWireResult<Vec<FieldInfo>> {
        let Some(schema) = self.schema(command)? else { return Ok(Vec::new()) };
        let format = format.unwrap_or(&Format::UnifiedText);
        // A type without a name in PostgreSQL is an error here, before rows are sent.
        schema.fields().iter().try_for_each(|field| field_into_pg_type(field).map(drop))?;
        arrow_schema_to_pg_fields(&schema, format, None)
    }
}
