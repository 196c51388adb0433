//! The depth of a statement, found in its tokens before it is parsed.
//!
//! Parser and planner walk through a statement by recursion. The parser bounds what nests in parentheses, but not chains
//! such as `a OR b OR c`, each operator of which is a level, too: some thousands of them would overflow a stack, which
//! ends the process. Planning also takes more and more time with each level of arithmetic.

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::ParserError;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

/// Levels of a statement.
const LEVELS_MAX: u32 = 250;
/// Levels of operators other than `AND` and `OR`.
const TERM_LEVELS_MAX: u32 = 125;
/// Subqueries of a `WITH`, joins, and set operations in a row.
const PARTS_MAX: u32 = 125;

/// Refuses statements that are too deep.
///
/// # Errors
/// [`ParserError`] with the limit.
pub(crate) fn check(tokens: &[TokenWithSpan]) -> Result<(), ParserError> {
    let mut depth = Depth { open: Vec::new(), here: Level::default(), joins: 0, named: 0 };
    let mut tokens = tokens
        .iter()
        .map(|token| &token.token)
        .filter(|token| !matches!(token, Token::Whitespace(_)))
        .peekable();
    let mut before = None;
    while let Some(token) = tokens.next() {
        depth.add(token, before, tokens.peek().copied())?;
        before = Some(token);
    }
    Ok(())
}

/// What is between two parentheses, brackets, or `CASE` and `END`.
#[derive(Clone, Copy, Default)]
struct Level {
    /// Levels of the term that is being read, and of the chain of `AND` and `OR` before it.
    term: u32,
    chain: u32,
    /// The most levels of terms, and of expressions, before.
    terms: u32,
    expressions: u32,
    set_operations: u32,
}

impl Level {
    fn terms(&self) -> u32 {
        self.terms.max(self.term)
    }

    fn levels(&self) -> u32 {
        self.expressions.max(self.chain).max(self.term) + self.set_operations
    }

    /// Another expression begins.
    fn next(&mut self) {
        let (terms, levels) = (self.terms(), self.levels());
        let set_operations = self.set_operations;
        let expressions = levels - set_operations;
        *self = Level { terms, expressions, set_operations, ..Level::default() };
    }

    fn connective(&mut self) {
        self.chain = self.chain.max(self.term) + 1;
        self.terms = self.terms();
        self.term = 0;
    }
}

struct Depth {
    /// The levels around the present one.
    open: Vec<Level>,
    here: Level,
    joins: u32,
    named: u32,
}

impl Depth {
    fn add(
        &mut self,
        token: &Token,
        before: Option<&Token>,
        after: Option<&Token>,
    ) -> Result<(), ParserError> {
        let keyword = |token: Option<&Token>| match token {
            Some(Token::Word(word)) if word.quote_style.is_none() => word.keyword,
            _ => Keyword::NoKeyword,
        };
        match token {
            Token::LParen | Token::LBrace => self.enter(),
            Token::LBracket => {
                self.here.term += 1;
                self.enter();
            }
            Token::RParen | Token::RBracket | Token::RBrace => self.leave(),
            Token::Comma => self.here.next(),
            Token::SemiColon => {
                *self = Depth { open: Vec::new(), here: Level::default(), joins: 0, named: 0 };
            }
            Token::Word(_) => match keyword(Some(token)) {
                Keyword::AND | Keyword::OR | Keyword::XOR => self.here.connective(),
                Keyword::CASE => self.enter(),
                Keyword::END => self.leave(),
                Keyword::UNION | Keyword::INTERSECT | Keyword::EXCEPT | Keyword::MINUS => {
                    self.here.next();
                    self.here.set_operations += 1;
                }
                Keyword::JOIN => {
                    self.joins += 1;
                    self.here.next();
                }
                Keyword::AS => {
                    let is_query = matches!(after, Some(Token::LParen))
                        || matches!(keyword(after), Keyword::MATERIALIZED | Keyword::NOT);
                    self.named += u32::from(is_query);
                }
                Keyword::FROM if keyword(before) != Keyword::DISTINCT => self.here.next(),
                Keyword::GROUP | Keyword::ORDER if keyword(after) == Keyword::BY => {
                    self.here.next();
                }
                Keyword::SELECT
                | Keyword::WHERE
                | Keyword::HAVING
                | Keyword::LIMIT
                | Keyword::WHEN
                | Keyword::THEN
                | Keyword::ELSE => self.here.next(),
                Keyword::NOT
                | Keyword::IS
                | Keyword::NOTNULL
                | Keyword::IN
                | Keyword::LIKE
                | Keyword::ILIKE
                | Keyword::RLIKE
                | Keyword::REGEXP
                | Keyword::SIMILAR
                | Keyword::BETWEEN
                | Keyword::OVERLAPS
                | Keyword::OPERATOR
                | Keyword::COLLATE
                | Keyword::AT
                | Keyword::DIV => self.here.term += 1,
                _ => {}
            },
            Token::Period
            | Token::Number(..)
            | Token::SingleQuotedString(_)
            | Token::EscapedStringLiteral(_)
            | Token::Placeholder(_)
            | Token::EOF => {}
            // Operators, and whatever else there may be between two values.
            _ => self.here.term += 1,
        }
        self.within_limits()
    }

    fn enter(&mut self) {
        self.open.push(std::mem::take(&mut self.here));
    }

    fn leave(&mut self) {
        let Some(outer) = self.open.pop() else { return self.here.next() };
        let (terms, levels) = (self.here.terms() + 1, self.here.levels() + 1);
        self.here = outer;
        self.here.terms = self.here.terms.max(terms);
        self.here.term = self.here.term.max(terms);
        self.here.chain = self.here.chain.max(levels);
    }

    fn within_limits(&self) -> Result<(), ParserError> {
        let too_deep = |what: &str| Err(ParserError::ParserError(format!("too deep: {what}")));
        if self.here.terms() > TERM_LEVELS_MAX {
            return too_deep(&format!(
                "an expression of more than {TERM_LEVELS_MAX} operators in a row or in each other; expected fewer, in several \
                 columns or subqueries"
            ));
        }
        if self.here.levels() > LEVELS_MAX {
            return too_deep(&format!(
                "more than {LEVELS_MAX} conditions in a row; expected IN (…), or a join with VALUES"
            ));
        }
        if self.here.set_operations.max(self.joins).max(self.named) > PARTS_MAX {
            return too_deep(&format!(
                "more than {PARTS_MAX} joins, subqueries of a WITH, or set operations; expected fewer"
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
    use datafusion::sql::sqlparser::tokenizer::Tokenizer;

    use super::*;

    fn refused(text: &str) -> bool {
        let tokens = Tokenizer::new(&PostgreSqlDialect {}, text).tokenize_with_location().unwrap();
        match check(&tokens) {
            Ok(()) => false,
            Err(error) => {
                assert!(error.to_string().contains("too deep"), "{error}");
                true
            }
        }
    }

    #[test]
    fn long_chains_are_refused() {
        for (first, more, most) in [
            ("SELECT 1 WHERE 1=1", " AND 1=1", 249),
            ("SELECT 1 FROM t WHERE k='0'", " OR (k='1')", 249),
            ("SELECT 1", "+1", 125),
            ("SELECT 'a'", "||'a'", 125),
            ("SELECT 1", "::int", 125),
            ("SELECT a.b", "[1]", 124),
            ("SELECT x", " IS DISTINCT FROM y", 125),
            ("SELECT 1", " + CASE WHEN true THEN 1 END", 125),
            ("SELECT f(x)", " + f() WITHIN GROUP (ORDER BY x)", 124),
            ("SELECT 1", " UNION ALL SELECT 1", 125),
            ("SELECT * FROM t", " JOIN t ON true", 125),
            ("WITH a AS (SELECT 1)", ", b AS (SELECT * FROM a)", 124),
        ] {
            let text = |times: usize| first.to_owned() + &more.repeat(times);
            assert!(!refused(&text(most)), "{most} times {more}");
            assert!(refused(&text(most + 60)), "{most} + 60 times {more}");
        }
    }

    #[test]
    fn chains_within_each_other_add_up() {
        let nested = |times: usize, chain: &str| {
            let mut text = "1".to_owned();
            for _ in 0..times {
                text = format!("({text}){chain}");
            }
            format!("SELECT {text}")
        };
        assert!(!refused(&nested(6, &"+1".repeat(15))));
        assert!(refused(&nested(40, &"+1".repeat(15))));
        assert!(!refused(&nested(5, &" AND a".repeat(40))));
        assert!(refused(&nested(40, &" AND a".repeat(40))));
    }

    #[test]
    fn what_is_long_and_not_deep_is_answered() {
        for text in [
            format!("SELECT 1 IN (-1{})", ", -2".repeat(10_000)),
            format!("VALUES (1, -1){}", ", (2 + 3, -4)".repeat(10_000)),
            format!("SELECT CASE{} END", " WHEN a > 1 AND b = 2 THEN c + 1".repeat(5_000)),
            format!("SELECT 1 WHERE (a, b) IN ((1, 2){})", ", (3, 4)".repeat(5_000)),
            format!("SELECT 1{}", ", a + b AS c".repeat(5_000)),
            "SELECT 1; ".repeat(1_000),
        ] {
            assert!(!refused(&text), "{}", &text[..40]);
        }
    }
}
