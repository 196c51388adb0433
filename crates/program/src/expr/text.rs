//! Functions of texts: patterns, parts, URLs, JSON.

use std::borrow::Cow;

use super::cell::Cell;
use super::error::RowError;

/// A pattern of LIKE: `%` is any text, `_` any character.
#[derive(Debug)]
pub(crate) struct Like {
    tokens: Vec<Token>,
    is_any_case: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Token {
    Char(char),
    One,
    Any,
}

impl Like {
    /// Parses a pattern. After the escape character, if there is one, a character stands for itself.
    pub(crate) fn new(
        pattern: &str,
        escape: Option<char>,
        is_any_case: bool,
    ) -> Result<Like, String> {
        let pattern =
            if is_any_case { Cow::Owned(pattern.to_lowercase()) } else { Cow::Borrowed(pattern) };
        let mut tokens = Vec::new();
        let mut chars = pattern.chars();
        while let Some(char) = chars.next() {
            let token = match char {
                char if Some(char) == escape => {
                    let next = chars.next();
                    Token::Char(next.ok_or(
                        "the pattern ends with the character of ESCAPE: expected one behind it",
                    )?)
                }
                '%' if tokens.last() == Some(&Token::Any) => continue,
                '%' => Token::Any,
                '_' => Token::One,
                char => Token::Char(char),
            };
            tokens.push(token);
        }
        Ok(Like { tokens, is_any_case })
    }

    /// Whether a text matches the pattern. On a mismatch, only the last `%` takes more. So it is linear in most cases;
    /// at worst, the time is the product of both lengths.
    pub(crate) fn matches(&self, text: &str) -> bool {
        let lower = self.is_any_case.then(|| text.to_lowercase());
        let text = lower.as_deref().unwrap_or(text);
        let (mut rest, mut at) = (text.chars(), 0);
        let mut retry: Option<(std::str::Chars<'_>, usize)> = None;
        loop {
            match self.tokens.get(at) {
                Some(Token::Any) => {
                    at += 1;
                    retry = Some((rest.clone(), at));
                    continue;
                }
                None if rest.as_str().is_empty() => return true,
                token => {
                    let mut ahead = rest.clone();
                    let is_next = match (token, ahead.next()) {
                        (Some(Token::One), Some(_)) => true,
                        (Some(Token::Char(expected)), Some(found)) => *expected == found,
                        _ => false,
                    };
                    if is_next {
                        (rest, at) = (ahead, at + 1);
                        continue;
                    }
                }
            }
            let Some((from, behind)) = &mut retry else { return false };
            if from.next().is_none() {
                return false;
            }
            (rest, at) = (from.clone(), *behind);
        }
    }
}

/// Applies a function that returns a part of a text, without copying.
pub(crate) fn part<'r>(text: Cow<'r, str>, find: impl FnOnce(&str) -> &str) -> Cow<'r, str> {
    match text {
        Cow::Borrowed(text) => {
            let found = find(text);
            // The result of `find` has the lifetime of the borrow here; the slice of `text` has the longer one.
            let from = found.as_ptr().addr() - text.as_ptr().addr();
            Cow::Borrowed(&text[from..from + found.len()])
        }
        Cow::Owned(text) => Cow::Owned(find(&text).to_owned()),
    }
}

/// The characters from the `from`-th on; the first is 1 and the last -1. `length` is their number; if it is negative,
/// the ones before are taken.
pub(crate) fn substr(text: &str, from: i128, length: Option<i128>) -> &str {
    let count = text.chars().count() as i128;
    let begin = if from < 0 { count.saturating_add(from) } else { from.saturating_sub(1) };
    let (begin, end) = match length {
        None => (begin, count),
        Some(length) if length < 0 => (begin.saturating_add(length), begin),
        Some(length) => (begin, begin.saturating_add(length)),
    };
    let (begin, end) = (begin.clamp(0, count), end.clamp(0, count));
    let place =
        |index: i128| text.char_indices().nth(index as usize).map_or(text.len(), |(at, _)| at);
    if begin < end { &text[place(begin)..place(end)] } else { &text[..0] }
}

/// The `index`-th part of a text between delimiters: the first is 1 (and 0), the last -1. Empty if there is none.
pub(crate) fn split_part<'t>(text: &'t str, delimiter: &str, index: i128) -> &'t str {
    let nth = |index: i128| usize::try_from(index).unwrap_or(usize::MAX);
    let found = match (delimiter.is_empty(), index) {
        (true, ..=1) if index >= -1 => Some(text),
        (true, _) => None,
        (false, ..0) => text.rsplit(delimiter).nth(nth(-(index + 1))),
        (false, index) => text.split(delimiter).nth(nth(index.max(1) - 1)),
    };
    found.unwrap_or(&text[..0])
}

/// The text with a new part in place of each old one. An empty old part is not found.
///
/// # Errors
/// [`RowError::TooLong`] beyond a megabyte: replacements within replacements would grow without end.
pub(crate) fn replace<'r>(
    text: Cow<'r, str>,
    old: &str,
    new: &str,
) -> Result<Cow<'r, str>, RowError> {
    const MAX_BYTES: usize = 1 << 20;
    if old.is_empty() || !text.contains(old) {
        return Ok(text);
    }
    let added = text.matches(old).count().saturating_mul(new.len());
    if text.len().saturating_add(added) > MAX_BYTES {
        return Err(RowError::TooLong { function: "replace", bytes: MAX_BYTES });
    }
    Ok(Cow::Owned(text.replace(old, new)))
}

/// The part between `scheme://` and the path, and the rest; `None` if there is no scheme.
fn authority(url: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    let is_scheme = !scheme.is_empty()
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    is_scheme.then(|| rest.split_at(end))
}

/// The host of a URL in lower case, without user and port; null if it has none.
pub(crate) fn url_host(url: &str) -> Option<Cow<'_, str>> {
    let (authority, _) = authority(url)?;
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = match host.strip_prefix('[') {
        Some(rest) => &host[..rest.find(']')? + 2],
        None => host.split(':').next().unwrap_or(host),
    };
    let is_lower = !host.bytes().any(|byte| byte.is_ascii_uppercase());
    let host = if is_lower { Cow::Borrowed(host) } else { Cow::Owned(host.to_ascii_lowercase()) };
    (!host.is_empty()).then_some(host)
}

/// The path of a URL, or of a text that begins with `/`, up to the query. `/` if the URL has a host and no path.
pub(crate) fn url_path(url: &str) -> Option<&str> {
    let path = match authority(url) {
        Some((_, rest)) => rest,
        None if url.starts_with('/') => url,
        None => return None,
    };
    let path = path.find(['?', '#']).map_or(path, |end| &path[..end]);
    Some(if path.is_empty() { "/" } else { path })
}

/// The value at a path of JSON: a text is its content, anything else its JSON. Null if the value is null or missing, or
/// the text is not JSON.
pub(crate) fn json_get(json: &str, path: &[JsonStep]) -> Option<String> {
    let mut value: serde_json::Value = serde_json::from_str(json).ok()?;
    for step in path {
        value = match (step, value) {
            (JsonStep::Field(name), serde_json::Value::Object(mut fields)) => {
                fields.remove(name)?
            }
            (JsonStep::Element(index), serde_json::Value::Array(mut elements))
                if *index < elements.len() =>
            {
                elements.swap_remove(*index)
            }
            _ => return None,
        };
    }
    match value {
        serde_json::Value::Null => None,
        serde_json::Value::String(text) => Some(text),
        other => Some(other.to_string()),
    }
}

/// A step into JSON.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum JsonStep {
    Field(String),
    Element(usize),
}

/// Parses a path such as `user.tags[0]`, with or without a leading `$.`.
pub(crate) fn json_path(path: &str) -> Result<Vec<JsonStep>, String> {
    let rest = path.strip_prefix('$').map_or(path, |rest| rest.strip_prefix('.').unwrap_or(rest));
    let mut steps = Vec::new();
    for part in rest.split('.').filter(|_| !rest.is_empty()) {
        let (name, mut elements) = part.split_at(part.find('[').unwrap_or(part.len()));
        if !name.is_empty() {
            steps.push(JsonStep::Field(name.to_owned()));
        } else if elements.is_empty() {
            return Err(format!(
                "'{path}' is no path: expected names with dots between them, such as user.tags[0]"
            ));
        }
        while let Some((index, behind)) =
            elements.strip_prefix('[').and_then(|rest| rest.split_once(']'))
        {
            let index = index
                .parse()
                .map_err(|_| format!("'{index}' is no place in an array: expected 0 or more"))?;
            steps.push(JsonStep::Element(index));
            elements = behind;
        }
        if !elements.is_empty() {
            return Err(format!(
                "'{elements}' in '{path}': expected a place in an array, such as [0]"
            ));
        }
    }
    Ok(steps)
}

/// An argument that is a number of characters or a position.
pub(crate) fn integer(cell: &Cell<'_>) -> Result<i128, RowError> {
    match cell {
        Cell::Integer(number) => Ok(*number),
        other => unreachable!("the compiler lets integers through alone, not {other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        let check = |pattern: &str, text: &str, expect: bool| {
            let like = Like::new(pattern, Some('\\'), false).unwrap();
            assert_eq!(like.matches(text), expect, "{text} LIKE {pattern}");
        };
        for (pattern, text) in [
            ("a%", "abc"),
            ("%c", "abc"),
            ("%b%", "abc"),
            ("a_c", "aéc"),
            ("%", ""),
            ("", ""),
            ("%%a", "ba"),
            ("a\\%", "a%"),
            ("%aab", "aaab"),
            ("_%_", "ab"),
        ] {
            check(pattern, text, true);
        }
        for (pattern, text) in
            [("a%", "ba"), ("", "a"), ("_", ""), ("a\\%", "ab"), ("%ab%ab", "ab"), ("_%_", "a")]
        {
            check(pattern, text, false);
        }
        assert!(Like::new("É%", None, true).unwrap().matches("élan"));
        assert!(Like::new("a\\", Some('\\'), false).is_err());
    }

    #[test]
    fn parts() {
        let check = |from, length, expect: &str| {
            assert_eq!(substr("hello", from, length), expect, "{from} {length:?}")
        };
        check(2, None, "ello");
        check(2, Some(3), "ell");
        check(0, Some(2), "h");
        check(-3, None, "llo");
        check(-3, Some(2), "ll");
        check(-9, Some(7), "hel");
        check(2, Some(-1), "h");
        check(9, Some(1), "");
        assert_eq!(substr("aéb", 2, Some(1)), "é");
        assert_eq!(
            [1, 2, -1, 0, 3].map(|index| split_part("a,b", ",", index)),
            ["a", "b", "b", "a", ""]
        );
        assert_eq!([1, -1, 2].map(|index| split_part("a,b", "", index)), ["a,b", "a,b", ""]);
        assert_eq!(part(Cow::Borrowed("abc"), |text| &text[1..]), "bc");
    }

    #[test]
    fn urls() {
        let host = |url| url_host(url).map(|host| host.into_owned());
        assert_eq!(host("https://me:x@Example.COM:8080/a/b?q#f").as_deref(), Some("example.com"));
        assert_eq!(host("http://[2001:db8::1]:80/").as_deref(), Some("[2001:db8::1]"));
        assert_eq!(host("https://example.com?x").as_deref(), Some("example.com"));
        assert_eq!((host("/a/b"), host("nothing"), host("file:///x")), (None, None, None));
        assert_eq!(url_path("https://example.com/a/b?q"), Some("/a/b"));
        assert_eq!(
            (url_path("https://example.com"), url_path("/x#y"), url_path("x")),
            (Some("/"), Some("/x"), None)
        );
    }

    #[test]
    fn json() {
        let get = |path: &str| {
            json_get(r#"{"a": {"b": [1, "x", null]}, "n": 1.50}"#, &json_path(path).unwrap())
        };
        assert_eq!(get("a.b[1]").as_deref(), Some("x"));
        assert_eq!(get("$.a.b[0]").as_deref(), Some("1"));
        assert_eq!(get("a").as_deref(), Some(r#"{"b":[1,"x",null]}"#));
        assert_eq!((get("a.b[2]"), get("a.b[9]"), get("c.d")), (None, None, None));
        assert!(
            json_path("a..b").is_err() && json_path("a[x]").is_err() && json_path("a[0]b").is_err()
        );
    }
}
