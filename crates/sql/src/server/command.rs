//! A command of a client: a statement that reads, or a command for the connection itself.

use datafusion::sql::sqlparser::ast::{
    CloseCursor, CopyLegacyOption, CopyOption, CopySource, CopyTarget, Query, Set,
    Statement as Parsed,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};
use pgwire::api::Type;
use pgwire::error::PgWireResult;

use super::copy::Format;
use super::cursor::Step;
use super::error::of_code;
use super::parameters;
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
    /// Declares a named cursor; one with `SCROLL` goes backward too.
    Declare {
        name: String,
        statement: Box<Statement>,
        scroll: bool,
    },
    /// Fetches rows of it.
    Fetch(String, Step),
    /// Skips rows of it.
    Move(String, Step),
    /// Closes a cursor, or all.
    Close(Option<String>),
}

/// Parses the commands in a text, whose parameters have these types as far as the client gave them.
pub(super) async fn read(
    sql: &Sql,
    text: &str,
    types: &[Option<Type>],
) -> PgWireResult<Vec<Command>> {
    // The parser does not know MOVE, nor negative numbers of rows.
    if let Some(fetch) = fetch(text) {
        return Ok(vec![fetch]);
    }
    // Plans are kept by their text alone.
    let has_casts = parameters::has_casts(types);
    if let Some(kept) = statement::kept(sql.inner(), text).filter(|_| !has_casts) {
        return Ok(vec![Command::Select(Box::new(kept))]);
    }
    let mut commands = Vec::new();
    for statement in sql.inner().parse(text)? {
        commands.push(command(sql, parameters::typed(statement, types)).await?);
    }
    if let [Command::Select(statement)] = &commands[..]
        && !has_casts
    {
        statement.keep(text);
    }
    Ok(commands)
}

/// `FETCH` or `MOVE`, if the text is nothing more.
fn fetch(text: &str) -> Option<Command> {
    let begins_with = |word: &str| {
        text.trim_start().get(..word.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(word))
    };
    if !begins_with("fetch") && !begins_with("move") {
        return None;
    }
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, text).tokenize().ok()?;
    let mut tokens: Vec<Token> =
        tokens.into_iter().filter(|token| !matches!(token, Token::Whitespace(_))).collect();
    tokens.pop_if(|token| *token == Token::SemiColon);
    let (name, mut rest) = tokens.split_last()?;
    if let Some((Token::Word(from), before)) = rest.split_last()
        && matches!(from.keyword, Keyword::FROM | Keyword::IN)
    {
        rest = before;
    }
    let Token::Word(name) = name else { return None };
    let (Token::Word(verb), direction) = rest.split_first()? else { return None };
    let words: Vec<String> =
        direction.iter().map(|token| token.to_string().to_ascii_lowercase()).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let step = step_of(&words)?;
    let name = match name.quote_style {
        Some(_) => name.value.clone(),
        None => name.value.to_ascii_lowercase(),
    };
    Some(match verb.keyword {
        Keyword::FETCH => Command::Fetch(name, step),
        _ => Command::Move(name, step),
    })
}

/// The rows of a direction in words, and with a number.
fn step_of(words: &[&str]) -> Option<Step> {
    let (direction, number) = match words {
        [words @ .., "-", number] => (words, Some(-number.parse::<i64>().ok()?)),
        [words @ .., last] => match last.parse::<i64>() {
            Ok(number) => (words, Some(number)),
            Err(_) => (words, None),
        },
        [] => (words, None),
    };
    let direction = if number.is_none() { words } else { direction };
    // A negative number of rows goes the other way.
    let rows = |is_backward: bool| {
        let number = number.unwrap_or(1);
        let count = usize::try_from(number.unsigned_abs()).ok();
        if is_backward != (number < 0) { Step::Backward(count) } else { Step::Forward(count) }
    };
    Some(match (direction, number) {
        ([] | ["forward"], _) | (["next"], None) => rows(false),
        (["backward"], _) | (["prior"], None) => rows(true),
        (["all"] | ["forward", "all"], None) => Step::Forward(None),
        (["backward", "all"], None) => Step::Backward(None),
        (["first"], None) => Step::Absolute(1),
        (["last"], None) => Step::Absolute(-1),
        (["absolute"], Some(number)) => Step::Absolute(number),
        (["relative"], Some(number)) => Step::Relative(number),
        _ => return None,
    })
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
            let text = direction.to_string().to_ascii_lowercase();
            let words: Vec<&str> = text.split_whitespace().collect();
            let wrong = || of_code("42601", format!("FETCH {direction}: expected a direction"));
            Command::Fetch(name.value, step_of(&words).ok_or_else(wrong)?)
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
    let scroll = declared.scroll == Some(true);
    let statement = Box::new(plan(sql, Parsed::Query(query)).await?);
    Ok(Command::Declare { name, statement, scroll })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directions_of_cursors() {
        let check = |text: &str, expect: Option<(&str, bool, Step)>| {
            let found = fetch(text).map(|command| match command {
                Command::Fetch(name, step) => (name, false, step),
                Command::Move(name, step) => (name, true, step),
                _ => unreachable!("nothing else begins so"),
            });
            let expect = expect.map(|(name, moves, step)| (name.to_owned(), moves, step));
            assert_eq!(found, expect, "{text}");
        };
        check("FETCH c", Some(("c", false, Step::Forward(Some(1)))));
        check("fetch 5 C;", Some(("c", false, Step::Forward(Some(5)))));
        check("FETCH FORWARD 100 FROM \"My c\"", Some(("My c", false, Step::Forward(Some(100)))));
        check("FETCH ALL IN c", Some(("c", false, Step::Forward(None))));
        check("FETCH -3 FROM c", Some(("c", false, Step::Backward(Some(3)))));
        check("MOVE BACKWARD ALL FROM c", Some(("c", true, Step::Backward(None))));
        check("MOVE ABSOLUTE -1 FROM c", Some(("c", true, Step::Absolute(-1))));
        check("move relative 0 from c", Some(("c", true, Step::Relative(0))));
        check("FETCH PRIOR FROM c", Some(("c", false, Step::Backward(Some(1)))));
        for other in ["FETCH ALL FROM c; CLOSE c", "SELECT 1", "FETCH NEXT 5 FROM c", "moved"] {
            check(other, None);
        }
    }
}
