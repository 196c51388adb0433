//! PostgreSQL's patterns of dates and times, in the form that DataFusion's functions read.

use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Value,
};

/// PostgreSQL's names of parts with those of DataFusion. Longer names come first.
const PARTS: [(&str, &str); 17] = [
    ("YYYY", "%Y"),
    ("MONTH", "%B"),
    ("HH24", "%H"),
    ("HH12", "%I"),
    ("MON", "%b"),
    ("DDD", "%j"),
    ("DAY", "%A"),
    ("YY", "%y"),
    ("MM", "%m"),
    ("DD", "%d"),
    ("DY", "%a"),
    ("HH", "%I"),
    ("MI", "%M"),
    ("SS", "%S"),
    ("MS", "%3f"),
    ("US", "%6f"),
    ("AM", "%p"),
];

/// Translates the pattern of `to_date(text, 'YYYY-MM-DD')` and of `to_timestamp`, with which Superset filters by time.
pub(crate) fn translate(expr: &mut Expr) {
    let Expr::Function(call) = expr else { return };
    let name = call.name.to_string().to_ascii_lowercase();
    let name = name.strip_prefix("pg_catalog.").unwrap_or(&name);
    let FunctionArguments::List(list) = &mut call.args else { return };
    if !matches!(name, "to_date" | "to_timestamp") || list.args.len() != 2 {
        return;
    }
    if let FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(pattern))) = &mut list.args[1]
        && let Value::SingleQuotedString(text) = &mut pattern.value
    {
        *text = translated(text);
    }
}

/// A pattern with a percent sign is DataFusion's already.
fn translated(pattern: &str) -> String {
    if pattern.contains('%') {
        return pattern.to_owned();
    }
    let (mut out, mut rest) = (String::new(), pattern);
    while let Some(first) = rest.chars().next() {
        let starts = |name: &str| {
            rest.get(..name.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(name))
        };
        if let Some((name, other)) = PARTS.iter().find(|(name, _)| starts(name)) {
            out.push_str(other);
            rest = &rest[name.len()..];
        } else if let Some(quoted) = rest.strip_prefix('"') {
            let (text, behind) = quoted.split_once('"').unwrap_or((quoted, ""));
            out.push_str(text);
            rest = behind;
        } else {
            out.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, expect) in [
            ("YYYY-MM-DD", "%Y-%m-%d"),
            ("yyyy-mm-dd hh24:mi:ss.us", "%Y-%m-%d %H:%M:%S.%6f"),
            ("DD Mon YYYY\"T\"HH12:MI AM", "%d %b %YT%I:%M %p"),
            ("%Y/%m", "%Y/%m"),
            ("é\"DD", "éDD"),
        ] {
            assert_eq!(translated(pattern), expect, "{pattern}");
        }
    }
}
