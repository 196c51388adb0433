//! Errors of a source as a whole; a bad row is a refusal.

use std::io;

/// Why a source cannot be read, or not any further. Rows handed out before stay valid.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The operating system returned an error.
    #[error("cannot read '{name}'")]
    Io {
        /// The source.
        name: String,
        /// The error.
        source: io::Error,
    },
    /// Compressed data that ends too early or does not decompress.
    #[error(
        "'{name}': {format} data {} at byte {offset} of the compressed file",
        if *.cut_off { "cut off" } else { "corrupt" }
    )]
    Compressed {
        /// The source.
        name: String,
        /// How it is compressed: gzip, zstd or xz.
        format: &'static str,
        /// How far the compressed data was valid.
        offset: u64,
        /// Whether the data ends too early, rather than being wrong.
        cut_off: bool,
        /// The decompressor's error.
        source: io::Error,
    },
    /// Content that is not text, by its first bytes.
    #[error(
        "'{name}' looks like {what}; expected text of UTF-8, or of UTF-16 with a byte order mark"
    )]
    NoText {
        /// The source.
        name: String,
        /// The likely format.
        what: &'static str,
    },
    /// No bytes at all, or nothing but blank lines.
    #[error("no header")]
    NoHeader {
        /// The source.
        name: String,
    },
    /// The header does not end where a header should.
    #[error("'{name}': the header does not end within the first {limit} bytes")]
    HeaderTooLong {
        /// The source.
        name: String,
        /// The bound, in bytes.
        limit: usize,
    },
    /// A quote of the first record stays open, or closes too early.
    #[error("'{name}': the first row, in line {line}, names no columns: {reason}")]
    HeaderQuote {
        /// The source.
        name: String,
        /// The physical line where it begins.
        line: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// The options contradict themselves.
    #[error("'{name}' cannot be read as asked: {what}")]
    Options {
        /// The source.
        name: String,
        /// The contradiction.
        what: String,
    },
    /// Two columns have the requested name.
    #[error(
        "'{name}': the header has the column '{column}' twice, and it is asked for; rename one, or name the columns"
    )]
    DuplicateColumn {
        /// The source.
        name: String,
        /// The name that occurs twice.
        column: String,
    },
    /// A requested column is missing.
    #[error(
        "'{name}': no column '{column}' in the header, which has {}{}",
        list(.columns),
        looks_like(.columns).map_or(String::new(), |what| format!("; it looks like {what}"))
    )]
    MissingColumn {
        /// The source.
        name: String,
        /// The requested column.
        column: String,
        /// The available columns.
        columns: Vec<String>,
    },
    /// The content read before is not the beginning of what is there now.
    #[error("'{name}' has changed: read before were {expected}, now there are {found}")]
    Changed {
        /// The source.
        name: String,
        /// The content that was read before.
        expected: String,
        /// The present content.
        found: String,
    },
    /// The source was opened after the position in the data folder. The content between would be missing.
    #[error(
        "'{name}' was opened behind {found}, and the data folder has it up to {expected}: \
         open it at its beginning, or where the folder says"
    )]
    OpenedBehind {
        /// The source.
        name: String,
        /// The position in the data folder.
        expected: String,
        /// The position at which it was opened.
        found: String,
    },
    /// Only the content of a plain file can be followed.
    #[error("'{name}' cannot be followed: it is {what}, and only a plain file can grow")]
    CannotFollow {
        /// The source.
        name: String,
        /// What it is.
        what: &'static str,
    },
    /// A followed file was truncated, replaced or rewritten.
    #[error(
        "'{name}' is followed and may only grow, but {found}; \
         read a rotated file on its own, after its end"
    )]
    NotAppended {
        /// The source.
        name: String,
        /// What was found instead.
        found: String,
    },
    /// The source has failed in an earlier call.
    #[error("'{name}' could not be read earlier and is not read any further")]
    Failed {
        /// The source.
        name: String,
    },
}

/// How many columns are listed in a message.
const LISTED: usize = 50;

/// What the names of columns look like, if they are not names of CSV columns with this delimiter.
fn looks_like(columns: &[String]) -> Option<String> {
    let first = columns.first()?;
    match first.trim_start().chars().next()? {
        '{' | '[' => return Some("JSON".to_owned()),
        '<' => return Some("HTML or XML".to_owned()),
        _ => {}
    }
    let [only] = columns else { return None };
    // Names are escaped here.
    let delimiters = [(";", ";"), ("\\u{9}", "tab"), ("|", "|"), (",", ",")];
    let (_, delimiter) = delimiters.into_iter().find(|(written, _)| only.contains(written))?;
    Some(format!("CSV with the delimiter {delimiter}"))
}

fn list(columns: &[String]) -> String {
    let quoted: Vec<String> =
        columns.iter().take(LISTED).map(|column| format!("'{column}'")).collect();
    let more = columns.len().saturating_sub(LISTED);
    let and = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{and}", quoted.join(", "))
}

/// Bytes for a message: unprintable ones are escaped, and long texts are cut.
pub(super) fn printable(bytes: &[u8]) -> String {
    const SHOWN: usize = 100;
    let mut text = String::new();
    for chunk in bytes[..bytes.len().min(SHOWN)].utf8_chunks() {
        for shown in chunk.valid().chars() {
            match shown {
                _ if shown.is_control() || is_invisible(shown) => {
                    text.extend(shown.escape_unicode());
                }
                _ => text.push(shown),
            }
        }
        text.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
    }
    if bytes.len() > SHOWN {
        text.push('…');
    }
    text
}

/// Invisible characters that change how a line is shown.
fn is_invisible(shown: char) -> bool {
    matches!(shown, '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}')
}
