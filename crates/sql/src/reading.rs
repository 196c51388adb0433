//! The ways in which a statement reads a view: as it is now or as of a revision of before, and with its sketches or without.
//!
//! What a statement wants is seen in its words. `AS OF` is no part of the parser's SQL, so it is found among the tokens; and
//! sketches are columns of a view for those statements alone that name or merge one. In the statement, the view then has a name
//! that says the way, by which the tables have it, and its own name as an alias.

use std::collections::{BTreeMap, HashSet};
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, Ident, ObjectName, ObjectNamePart, Query, Statement,
    TableAlias, TableFactor, TableFunctionArgs, Value as Literal, Visit, VisitMut, Visitor,
    VisitorMut,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer, Word};

use crate::depth;
use crate::functions::{MERGE_DISTINCT, MERGE_QUANTILE};

/// Between the name of a view and a revision; names of views have no spaces.
const AS_OF: &str = " as of ";
/// Behind the name of a view.
const WITH_SKETCHES: &str = " with sketches";

/// The function whose table is a view, limited to its last periods.
pub(crate) const LAST: &str = "last";

/// By view: measures, and the columns of the sketches that they are computed from.
pub(crate) type Sketches = BTreeMap<String, Vec<(String, String)>>;

/// A way to read a view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    pub(crate) view: String,
    pub(crate) revision: Option<String>,
    pub(crate) sketches: bool,
}

impl Reading {
    /// The way that a name says.
    pub(crate) fn of(name: &str) -> Reading {
        let (name, sketches) = match name.strip_suffix(WITH_SKETCHES) {
            Some(name) => (name, true),
            None => (name, false),
        };
        let (view, revision) = match name.split_once(AS_OF) {
            Some((view, revision)) => (view, Some(revision.to_owned())),
            None => (name, None),
        };
        Reading { view: view.to_owned(), revision, sketches }
    }

    /// Whether it is no other than that of the view's name.
    pub(crate) fn is_plain(&self) -> bool {
        self.revision.is_none() && !self.sketches
    }

    fn name(&self) -> String {
        let revision = self.revision.as_ref().map(|revision| format!("{AS_OF}{revision}"));
        let sketches = if self.sketches { WITH_SKETCHES } else { "" };
        format!("{}{}{sketches}", self.view, revision.unwrap_or_default())
    }
}

/// What a text says, as far as it can be seen without a parser.
pub(crate) struct Read {
    tokens: Vec<TokenWithSpan>,
    /// Whether a revision is asked for.
    pub(crate) has_revision: bool,
    /// All names, and those that are merged.
    words: HashSet<String>,
    merged: HashSet<String>,
}

impl Read {
    /// Reads a text.
    ///
    /// # Errors
    /// [`ParserError`]: it has no tokens, or is too deep.
    pub(crate) fn new(text: &str) -> Result<Read, ParserError> {
        let tokens = Tokenizer::new(&PostgreSqlDialect {}, text).tokenize_with_location()?;
        depth::check(&tokens)?;
        let before = tokens.len();
        let tokens = with_revisions(tokens);
        let has_revision = tokens.len() < before;
        let words = tokens.iter().filter_map(|token| word(&token.token)).map(normal).collect();
        let merged = merged(&tokens);
        Ok(Read { tokens, has_revision, words, merged })
    }

    /// Its statements, in which tables with a revision have the names of their [`Reading`]s.
    ///
    /// # Errors
    /// [`ParserError`]: it is no SQL.
    pub(crate) fn statements(&mut self) -> Result<Vec<Statement>, ParserError> {
        let tokens = std::mem::take(&mut self.tokens);
        Parser::new(&PostgreSqlDialect {}).with_tokens_with_locations(tokens).parse_statements()
    }

    /// The statement with the names of the ways in which it reads its views.
    pub(crate) fn name_views(&self, mut statement: Statement, sketches: &Sketches) -> Statement {
        let is_wanted = |(measure, sketch): &(String, String)| {
            self.words.contains(sketch) || self.merged.contains(measure)
        };
        let with_sketches = sketches.iter().filter(|(_, all)| all.iter().any(is_wanted));
        let with_sketches: HashSet<&str> = with_sketches.map(|(view, _)| &view[..]).collect();
        if self.has_revision || !with_sketches.is_empty() || self.words.contains(LAST) {
            let mut subqueries = Subqueries::default();
            let _ = Visit::visit(&statement, &mut subqueries);
            let mut naming = Naming { with_sketches, subqueries };
            let _ = VisitMut::visit(&mut statement, &mut naming);
        }
        statement
    }
}

/// The names of `WITH`, which are no views whatever they are called.
#[derive(Default)]
struct Subqueries(HashSet<String>);

impl Visitor for Subqueries {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let all = query.with.iter().flat_map(|with| &with.cte_tables);
        self.0.extend(all.map(|one| normal_ident(&one.alias.name)));
        ControlFlow::Continue(())
    }
}

struct Naming<'a> {
    with_sketches: HashSet<&'a str>,
    subqueries: Subqueries,
}

impl VisitorMut for Naming<'_> {
    type Break = ();

    fn post_visit_table_factor(&mut self, table: &mut TableFactor) -> ControlFlow<()> {
        let TableFactor::Table { name, alias, args, .. } = table else {
            return ControlFlow::Continue(());
        };
        if let Some(args) = args {
            self.name_window(name, alias, args);
            return ControlFlow::Continue(());
        }
        let is_alone = name.0.len() == 1;
        let Some(ObjectNamePart::Identifier(last)) = name.0.last_mut() else {
            return ControlFlow::Continue(());
        };
        let mut reading = Reading::of(&normal_ident(last));
        reading.sketches |= self.with_sketches.contains(&reading.view[..])
            && !(is_alone && self.subqueries.0.contains(&reading.view));
        if !reading.is_plain() {
            let span = last.span;
            let own = |value: String| Ident { value, quote_style: Some('"'), span };
            *last = own(reading.name());
            alias.get_or_insert_with(|| TableAlias {
                explicit: true,
                name: own(reading.view),
                columns: Vec::new(),
                at: None,
            });
        }
        ControlFlow::Continue(())
    }
}

impl Naming<'_> {
    /// Names the view of `last('sales', '7 days')`. The function has its name in lower case, which is also that of the
    /// table, as PostgreSQL has it.
    fn name_window(
        &self,
        name: &mut ObjectName,
        alias: &mut Option<TableAlias>,
        args: &mut TableFunctionArgs,
    ) {
        let [ObjectNamePart::Identifier(function)] = &mut name.0[..] else { return };
        if normal_ident(function) != LAST {
            return;
        }
        *function = Ident { value: LAST.to_owned(), quote_style: None, span: function.span };
        alias.get_or_insert_with(|| TableAlias {
            explicit: true,
            name: function.clone(),
            columns: Vec::new(),
            at: None,
        });
        if let Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(value)))) =
            args.args.first_mut()
            && let Literal::SingleQuotedString(view) = &mut value.value
            && self.with_sketches.contains(&view[..])
        {
            *view = Reading { view: view.clone(), revision: None, sketches: true }.name();
        }
    }
}

/// The tokens, in which a name with `AS OF 'first'` or `FOR SYSTEM_TIME AS OF 'first'` behind it is one name.
fn with_revisions(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let mut out: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while at < tokens.len() {
        if let Some((revision, next)) = revision(&tokens, at)
            && let Some(name) = name_before(&out)
            && let Token::Word(word) = &out[name].token
        {
            let (view, revision) = (normal(word), Some(revision.to_owned()));
            let value = Reading { view, revision, sketches: false }.name();
            let word = Word { value, quote_style: Some('"'), keyword: Keyword::NoKeyword };
            out[name].token = Token::Word(word);
            out.truncate(name + 1);
            at = next;
        } else {
            out.push(tokens[at].clone());
            at += 1;
        }
    }
    out
}

/// The revision of an `AS OF` that begins here, and where it ends.
fn revision(tokens: &[TokenWithSpan], at: usize) -> Option<(&str, usize)> {
    let mut rest = tokens.iter().enumerate().skip(at);
    let mut next = || rest.find(|(_, token)| !is_space(token));
    let is_as = next().is_some_and(|(found, token)| found == at && is(token, Keyword::AS));
    if !is_as || !is(next()?.1, Keyword::OF) {
        return None;
    }
    let mut value = next()?;
    if is(value.1, Keyword::DATE) {
        value = next()?;
    }
    match &value.1.token {
        Token::SingleQuotedString(revision) => Some((revision, value.0 + 1)),
        _ => None,
    }
}

/// The place of the name that an `AS OF` is of.
fn name_before(tokens: &[TokenWithSpan]) -> Option<usize> {
    let before = |end: usize| tokens[..end].iter().rposition(|token| !is_space(token));
    let last = before(tokens.len())?;
    let name = match is(&tokens[last], Keyword::SYSTEM_TIME) {
        false => last,
        true => {
            let of = before(last).filter(|&at| is(&tokens[at], Keyword::FOR))?;
            before(of)?
        }
    };
    matches!(tokens[name].token, Token::Word(_)).then_some(name)
}

/// The columns that statements merge: all names in the first argument of the functions that merge.
fn merged(tokens: &[TokenWithSpan]) -> HashSet<String> {
    let mut found = HashSet::new();
    let mut tokens = tokens.iter().map(|token| &token.token);
    while let Some(token) = tokens.next() {
        let name = word(token).map(normal);
        if name.is_some_and(|name| [MERGE_DISTINCT, MERGE_QUANTILE].contains(&&name[..])) {
            let argument =
                tokens.by_ref().take_while(|token| !matches!(token, Token::Comma | Token::RParen));
            found.extend(argument.filter_map(word).map(normal));
        }
    }
    found
}

fn is_space(token: &TokenWithSpan) -> bool {
    matches!(token.token, Token::Whitespace(_))
}

fn is(token: &TokenWithSpan, keyword: Keyword) -> bool {
    word(&token.token).is_some_and(|word| word.keyword == keyword)
}

fn word(token: &Token) -> Option<&Word> {
    match token {
        Token::Word(word) => Some(word),
        _ => None,
    }
}

/// A name as tables and columns have it: in lower case, if it is not quoted.
fn normal(word: &Word) -> String {
    match word.quote_style {
        Some(_) => word.value.clone(),
        None => word.value.to_ascii_lowercase(),
    }
}

fn normal_ident(ident: &Ident) -> String {
    match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_ascii_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_the_way() {
        for name in [
            "sales",
            "sales as of first",
            "sales with sketches",
            "sales as of 2024-05-01 with sketches",
        ] {
            let reading = Reading::of(name);
            assert_eq!(reading.view, "sales");
            assert_eq!(reading.name(), name);
        }
    }

    #[test]
    fn revisions_are_found_among_tokens() {
        let first = "\"sales as of first\"";
        for (text, expected) in [
            ("SELECT 1 AS of FROM t", "SELECT 1 AS of FROM t"),
            ("FROM Sales AS OF 'first' s", &format!("FROM {first} s")),
            ("FROM public.sales\nas -- why\n of DATE 'first'", &format!("FROM public.{first}")),
            (
                "FROM \"sales\" FOR SYSTEM_TIME AS OF 'first' JOIN t",
                &format!("FROM {first} JOIN t"),
            ),
            ("SELECT ' AS OF ', x AS of", "SELECT ' AS OF ', x AS of"),
            ("AS OF 'first'", "AS OF 'first'"),
        ] {
            let read = Read::new(text).unwrap();
            let found: String = read.tokens.iter().map(|token| token.token.to_string()).collect();
            assert_eq!(found, expected);
            assert_eq!(read.has_revision, found != text);
        }
    }

    #[test]
    fn merged_columns_are_found_among_tokens() {
        let read = Read::new("SELECT merge_distinct(s.\"users\"), Merge_Quantile ( ms , 0.99 ), x")
            .unwrap();
        let mut merged: Vec<_> = read.merged.into_iter().collect();
        merged.sort();
        assert_eq!(merged, ["ms", "s", "users"]);
    }
}
