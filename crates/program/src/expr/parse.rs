//! Parses a text to the parser's tree, and converts the parser's lines and columns to bytes of the text.

use sqlparser::ast::{Expr, Spanned};
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Location, Token};

use super::error::ExprError;

/// The maximum length of an expression, in bytes.
const TEXT_MAX: usize = 16 << 10;
/// The maximum nesting of parentheses and operators.
const DEPTH_MAX: usize = 100;

/// Parses a text that is a single expression.
pub(crate) fn parse(text: &str) -> Result<Expr, ExprError> {
    if text.trim().is_empty() {
        return Err(ExprError::new(0, "empty: expected an expression, such as a column's name"));
    }
    if text.len() > TEXT_MAX {
        return Err(ExprError::new(
            0,
            format!("{} bytes: an expression has at most {TEXT_MAX}", text.len()),
        ));
    }
    let parser = Parser::new(&PostgreSqlDialect {}).with_recursion_limit(DEPTH_MAX);
    let parsed = parser.try_with_sql(text).and_then(|mut parser| {
        let expr = parser.parse_expr()?;
        Ok((expr, parser.peek_token()))
    });
    let (expr, rest) = parsed.map_err(|error| explain(&error, text))?;
    if rest.token != Token::EOF {
        let found = rest.token.to_string();
        let at = offset(text, rest.span.start);
        return Err(ExprError::new(
            at,
            format!("expected the end of the expression, found '{found}'"),
        ));
    }
    Ok(expr)
}

/// The parser's message without its position, which becomes that of the error.
fn explain(error: &ParserError, text: &str) -> ExprError {
    let said = match error {
        ParserError::TokenizerError(said) | ParserError::ParserError(said) => said,
        ParserError::RecursionLimitExceeded => {
            return ExprError::new(
                0,
                format!("more than {DEPTH_MAX} expressions within each other"),
            );
        }
    };
    let (said, at) = match said.rsplit_once(" at Line: ") {
        Some((said, place)) => (said, location(place).map_or(0, |location| offset(text, location))),
        None => (said.as_str(), text.len()),
    };
    let said = said
        .strip_prefix("Expected: ")
        .map_or_else(|| said.to_owned(), |rest| format!("expected {rest}"));
    let said = said.replace("found: EOF", "found the end");
    ExprError::new(at.min(text.len()), said)
}

/// `1, Column: 7`
fn location(place: &str) -> Option<Location> {
    let (line, column) = place.split_once(", Column: ")?;
    let column: String = column.chars().take_while(char::is_ascii_digit).collect();
    Some(Location { line: line.trim().parse().ok()?, column: column.parse().ok()? })
}

/// The byte of a text at a line and a column, which count characters from 1.
pub(crate) fn offset(text: &str, location: Location) -> usize {
    let Some(line) = location.line.checked_sub(1) else { return 0 };
    let begin = match line {
        0 => 0,
        line => {
            text.match_indices('\n').nth(line as usize - 1).map_or(text.len(), |(at, _)| at + 1)
        }
    };
    let column = location.column.saturating_sub(1) as usize;
    text[begin..].char_indices().nth(column).map_or(text.len(), |(at, _)| begin + at)
}

/// The position of an expression. If the parser does not know it, the position of the whole text.
pub(crate) fn place(text: &str, expr: &Expr) -> usize {
    offset(text, expr.span().start)
}
