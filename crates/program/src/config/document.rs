//! The text of a file, and positions in it.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// An error in a file, with its position. Shown as `FILE:LINE:COLUMN: what`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct FileError {
    /// The file.
    pub path: PathBuf,
    /// Line and column, from 1; the column counts characters. `None` if the error is about the whole file.
    pub place: Option<(usize, usize)>,
    /// What was found, and what was expected.
    pub message: String,
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if let Some((line, column)) = self.place {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}", self.message)
    }
}

/// A file that was read.
#[derive(Clone, Debug)]
pub struct Document {
    path: PathBuf,
    text: String,
}

impl Document {
    /// Reads a file.
    ///
    /// # Errors
    /// [`FileError`] if it cannot be read, or is not UTF-8.
    pub fn read(path: &Path) -> Result<Document, FileError> {
        let fail = |error: std::io::Error| FileError {
            path: path.to_owned(),
            place: None,
            message: error.to_string(),
        };
        let text = std::fs::read_to_string(path).map_err(fail)?;
        Ok(Document::new(path, text))
    }

    /// A document of this text; messages name the path.
    pub fn new(path: &Path, text: impl Into<String>) -> Document {
        Document { path: path.to_owned(), text: text.into() }
    }

    /// The text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// An error at a byte.
    pub fn error(&self, at: usize, message: impl Into<String>) -> FileError {
        let before = &self.text[..self.text.floor_char_boundary(at)];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        FileError { path: self.path.clone(), place: Some((line, column)), message: message.into() }
    }

    /// An error about the whole file.
    pub fn error_of_file(&self, message: impl Into<String>) -> FileError {
        FileError { path: self.path.clone(), place: None, message: message.into() }
    }

    /// The byte of the file that corresponds to the `at`-th byte of a string's value. The string is at `span`,
    /// including quotes. In a string with escapes, each escape counts as its written bytes.
    pub(crate) fn within(&self, span: &Range<usize>, at: usize) -> usize {
        let written = &self.text[span.clone()];
        let quote = written.chars().next().filter(|quote| matches!(quote, '"' | '\''));
        let Some(quote) = quote else { return span.start };
        let is_long = written.starts_with(if quote == '"' { "\"\"\"" } else { "'''" });
        let mut begin = if is_long { 3 } else { 1 };
        // The line break after the opening quotes of a long string is not part of it.
        let rest = &written[begin..];
        begin += if !is_long {
            0
        } else if rest.starts_with("\r\n") {
            2
        } else {
            usize::from(rest.starts_with('\n'))
        };
        if quote == '\'' || !written.contains('\\') {
            return span.start + begin + at;
        }
        let mut value = 0;
        let mut chars = written[begin..].char_indices().peekable();
        while let Some((offset, char)) = chars.next() {
            if value >= at {
                return span.start + begin + offset;
            }
            if char != '\\' {
                value += char.len_utf8();
                continue;
            }
            match chars.next().map(|(_, char)| char) {
                Some(digits @ ('u' | 'U' | 'x')) => {
                    let count = match digits {
                        'u' => 4,
                        'U' => 8,
                        _ => 2,
                    };
                    let code: String = chars.by_ref().take(count).map(|(_, char)| char).collect();
                    let code = u32::from_str_radix(&code, 16).ok().and_then(char::from_u32);
                    value += code.map_or(1, char::len_utf8);
                }
                // A continued line starts at its first letter.
                Some(char) if char.is_whitespace() => {
                    while chars.next_if(|(_, char)| char.is_whitespace()).is_some() {}
                }
                _ => value += 1,
            }
        }
        span.end.saturating_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        let check = |text: &str, at: usize, expect: &str| {
            let document = Document::new(Path::new("f.toml"), text);
            let begin = text.find(['"', '\'']).unwrap();
            let end = text.rfind(['"', '\'']).unwrap() + 1;
            let at = document.within(&(begin..end), at);
            assert!(text[at..].starts_with(expect), "{text}: {}", &text[at..]);
        };
        check("a = \"x + yy\"", 4, "yy");
        check("a = 'x + yy'", 4, "yy");
        check("a = \"\\\"x\\\" + yy\"", 6, "yy");
        check("a = \"\\u00e9 + yy\"", 5, "yy");
        check("a = \"\"\"\nx\n+ yy\"\"\"", 4, "yy");
        check("a = \"\"\"x \\\n   + yy\"\"\"", 4, "yy");
        let document = Document::new(Path::new("f.toml"), "ä\nbc");
        assert_eq!(document.error(4, "no").to_string(), "f.toml:2:2: no");
    }
}
