//! Which columns of a text are read, and how it is written.

use std::time::Duration;

use super::clock::AHEAD_LIMIT_MS;
use super::time::TimeParser;

/// Columns may be selected repeatedly: so many bytes of one row at most.
pub(super) const SELECTED_BYTES: usize = 64 << 20;

/// Which columns of a CSV source are read, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CsvOptions {
    /// The column of the event time.
    pub time: String,
    /// The column that is the source's clock; without one, the largest event time is.
    pub arrival: Option<String>,
    /// The selected columns, in the order of [`Row::field`](super::Row::field); they may repeat.
    pub fields: Vec<String>,
    /// An event may be so many milliseconds ahead of its arrival, or of the wall clock.
    pub ahead_limit: i64,
    /// An event may be so many milliseconds behind the source's clock; one that is older is refused. Any age is accepted,
    /// unless said otherwise.
    pub behind_limit: i64,
    /// When a file that is followed has brought nothing for so long, days close by the wall clock, less this; what comes then for a day before is
    /// late. `None`, unless said otherwise: days stay open until a row comes. ([`Files`](super::Files) has its own.)
    pub quiet_after: Option<Duration>,
    /// How the rows are written.
    pub format: Format,
    /// How times are written, in both columns.
    pub times: TimeParser,
    /// The byte between fields of CSV: a comma, unless it says otherwise.
    pub delimiter: u8,
    /// Where the columns of CSV have their names from: the header, unless it says otherwise.
    pub names: ColumnNames,
    /// Lines that begin with this byte are skipped, also before the header. Without it, no line is a comment.
    pub comment: Option<u8>,
    /// Accepts rows of CSV with fewer fields than there are columns, whose other ones are empty then, and with
    /// more, if these are empty.
    pub ragged: bool,
    /// A record of CSV that opens a quote in its first line has to close it within so many lines; otherwise this
    /// line is refused. 1,000, unless it says otherwise; there is also [`RECORD_MAX`](super::RECORD_MAX).
    pub quoted_lines_max: u64,
}

/// Where the columns of CSV have their names from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ColumnNames {
    /// From the first record.
    #[default]
    Header,
    /// There is no header. They are numbers, from 1; the first record says how many columns there are.
    Numbers,
    /// There is no header. These are the names.
    Given(Vec<String>),
}

/// How the rows of a source are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// RFC 4180, with a header.
    #[default]
    Csv,
    /// JSON lines: an object on each line, whose fields take the place of columns.
    ///
    /// A string is its contents, a number its text as it is written, `true` and `false` are these words, `null`
    /// and a field that is missing are empty, an array or object is its JSON text. A name is that of a
    /// field; where there is none such, its dots lead into objects (`user.id`). A line that is no JSON, no
    /// object, not UTF-8, or has a field twice in an object that is looked at, is refused with its column.
    JsonLines,
}

impl CsvOptions {
    /// Event times in the column `time`, no arrival, no fields, and one day ahead at most.
    pub fn new(time: impl Into<String>) -> CsvOptions {
        CsvOptions {
            time: time.into(),
            arrival: None,
            fields: Vec::new(),
            ahead_limit: AHEAD_LIMIT_MS,
            behind_limit: i64::MAX,
            quiet_after: None,
            format: Format::Csv,
            times: TimeParser::new(),
            delimiter: b',',
            names: ColumnNames::Header,
            comment: None,
            ragged: false,
            quoted_lines_max: 1_000,
        }
    }

    /// Whether they can be meant. Returns what cannot.
    pub(super) fn check(&self) -> Result<(), String> {
        let reserved = |byte: u8| matches!(byte, b'"' | b'\r' | b'\n');
        if reserved(self.delimiter) {
            return Err("a quote or the end of a line cannot be the delimiter".to_owned());
        }
        match self.comment {
            Some(byte) if reserved(byte) || byte == self.delimiter => {
                Err("a quote, the delimiter or the end of a line cannot begin a comment".to_owned())
            }
            _ => Ok(()),
        }
    }
}
