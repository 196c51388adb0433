//! A command of a client: a statement that reads, or a command for the connection itself.

use datafusion::sql::sqlparser::ast::{
    CloseCursor, CopyLegacyOption, CopyOption, CopySource, CopyTarget, FetchDirection, Query, Set,
    Statement as Parsed,
};
use pgwire::error::{PgWireError, PgWireResult};

use super::copy::Format;
use super::error::of_code;
use crate::statement::{self, Statement};
use crate::{Sql, SqlError};

/// A command of a client.
#[derive(Clone)]
pub(super) enum Command {
    /// The rows of a statement.
    Select(Box<Statement>),
    /// The same as `COPY`, in text or binary.
    Copy(Box<Statement>, Format),
    /// The value of a setting.
    Show(String),
    /// A setting. It does not affect statements.
    Set,
    Begin,
    Commit,
    Rollback,
    /// A command that needs no action.
    Nothing(&'static str),
    /// Declares a named cursor.
    Declare(String, Box<Statement>),
    /// Fetches this many of its rows; `None` means all that are left.
    Fetch(String, Option<usize>),
    /// Closes a cursor, or all.
    Close(Option<String>),
}

/// Parses the commands in a text.
pub(super) async fn read(sql: &Sql, text: &str) -> PgWireResult<Vec<Command>> {
    let mut commands = Vec::new();
    for statement in sql.inner().parse(text)? {
        commands.push(command(sql, statement).await?);
    }
    Ok(commands)
}

async fn command(sql: &Sql, parsed: Parsed) -> PgWireResult<Command> {
    Ok(match parsed {
        Parsed::ShowVariable { variable } => {
            let words: Vec<_> = variable.iter().map(|word| word.value.to_lowercase()).collect();
            Command::Show(words.join(" "))
        }
        Parsed::Set(Set::SetTimeZone { .. }) | Parsed::Set(_) => Command::Set,
        Parsed::StartTransaction { .. } => Command::Begin,
        Parsed::Commit { .. } => Command::Commit,
        Parsed::Rollback { savepoint: None, .. } => Command::Rollback,
        Parsed::Rollback { .. } => Command::Nothing("ROLLBACK"),
        Parsed::Savepoint { .. } => Command::Nothing("SAVEPOINT"),
        Parsed::ReleaseSavepoint { .. } => Command::Nothing("RELEASE"),
        Parsed::Discard { .. } => Command::Nothing("DISCARD ALL"),
        Parsed::Deallocate { .. } => Command::Nothing("DEALLOCATE"),
        Parsed::Reset(_) => Command::Nothing("RESET"),
        Parsed::LISTEN { .. } => Command::Nothing("LISTEN"),
        Parsed::UNLISTEN { .. } => Command::Nothing("UNLISTEN"),
        Parsed::Copy { source, to: true, target, options, legacy_options, .. } => {
            copy(sql, source, target, &options, &legacy_options).await?
        }
        Parsed::Declare { stmts } => declare(sql, stmts).await?,
        Parsed::Fetch { name, direction, .. } => {
            Command::Fetch(name.value, rows(&direction).ok_or_else(not_forward)?)
        }
        Parsed::Close { cursor: CloseCursor::All } => Command::Close(None),
        Parsed::Close { cursor: CloseCursor::Specific { name } } => {
            Command::Close(Some(name.value))
        }
        other => Command::Select(Box::new(plan(sql, other).await?)),
    })
}

async fn plan(sql: &Sql, parsed: Parsed) -> Result<Statement, SqlError> {
    statement::plan(std::sync::Arc::clone(sql.inner()), parsed).await
}

async fn declare(
    sql: &Sql,
    declared: Vec<datafusion::sql::sqlparser::ast::Declare>,
) -> PgWireResult<Command> {
    let expected = || of_code("42601", "expected DECLARE name CURSOR FOR SELECT …");
    let [declared] = <[_; 1]>::try_from(declared).map_err(|_| expected())?;
    let name = declared.names.first().ok_or_else(expected)?.value.clone();
    let query = declared.for_query.ok_or_else(expected)?;
    if declared.scroll == Some(true) {
        return Err(not_forward());
    }
    Ok(Command::Declare(name, Box::new(plan(sql, Parsed::Query(query)).await?)))
}

/// The number of rows to fetch, if they are the next ones.
fn rows(direction: &FetchDirection) -> Option<Option<usize>> {
    let number = |limit: &dyn std::fmt::Display| limit.to_string().parse().ok().map(Some);
    match direction {
        FetchDirection::Next | FetchDirection::Forward { limit: None } => Some(Some(1)),
        FetchDirection::All | FetchDirection::ForwardAll => Some(None),
        FetchDirection::Count { limit } | FetchDirection::Forward { limit: Some(limit) } => {
            number(limit)
        }
        _ => None,
    }
}

fn not_forward() -> PgWireError {
    of_code("0A000", "cursors go forward only: FETCH n, FETCH NEXT or FETCH ALL")
}

async fn copy(
    sql: &Sql,
    source: CopySource,
    target: CopyTarget,
    options: &[CopyOption],
    legacy: &[CopyLegacyOption],
) -> PgWireResult<Command> {
    // Copying to a file or a program of the server would be writing.
    if target != CopyTarget::Stdout {
        let what = "COPY to a file or a program of the server".to_owned();
        return Err(SqlError::ReadOnly { what }.into());
    }
    let format = Format::of(options, legacy)?;
    let query: Box<Query> = match source {
        CopySource::Query(query) => query,
        CopySource::Table { table_name, columns } => {
            let columns = match &columns[..] {
                [] => "*".to_owned(),
                columns => columns.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
            };
            let text = format!("SELECT {columns} FROM {table_name}");
            let mut parsed = sql.inner().parser.parse(&text);
            match parsed.as_mut().map(Vec::pop) {
                Ok(Some(Parsed::Query(query))) => query,
                _ => return Err(of_code("42601", "expected COPY table TO STDOUT")),
            }
        }
    };
    Ok(Command::Copy(Box::new(plan(sql, Parsed::Query(query)).await?), format))
}
