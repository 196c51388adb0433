//! Which columns of a text are read, and how it is written.

use std::time::Duration;

use super::clock::AHEAD_LIMIT_MS;
use super::row_times::RowTimes;
use super::time::TimeParser;
use crate::time::milliseconds;

/// Columns may be selected repeatedly: so many bytes of one row at most.
pub(super) const SELECTED_BYTES: usize = 64 << 20;

/// Which columns of a CSV source are read, and how.
///
/// ```
/// use dayfold::source::{ColumnNames, CsvOptions};
///
/// // Fields between tabs, without a header.
/// let names = ColumnNames::Given(vec!["at".to_owned(), "page".to_owned()]);
/// let options = CsvOptions::new("at").fields(["page"]).delimiter(b'\t').names(names);
/// # let _ = options;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CsvOptions {
    pub(crate) time: String,
    pub(crate) arrival: Option<String>,
    pub(super) row_times: Option<RowTimes>,
    pub(crate) fields: Vec<String>,
    pub(crate) ahead_limit: i64,
    pub(crate) behind_limit: i64,
    pub(crate) quiet_after: Option<Duration>,
    pub(crate) format: RowFormat,
    pub(crate) times: TimeParser,
    pub(crate) delimiter: u8,
    pub(crate) names: ColumnNames,
    pub(crate) comment: Option<u8>,
    pub(crate) ragged: bool,
    pub(crate) quoted_lines_max: u64,
}

/// Where the columns of CSV have their names from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
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
pub enum RowFormat {
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
    /// Event times are in the column `time`. No arrival, no fields, and one day ahead at most.
    pub fn new(time: impl Into<String>) -> CsvOptions {
        CsvOptions {
            time: time.into(),
            arrival: None,
            row_times: None,
            fields: Vec::new(),
            ahead_limit: AHEAD_LIMIT_MS,
            behind_limit: i64::MAX,
            quiet_after: None,
            format: RowFormat::Csv,
            times: TimeParser::new(),
            delimiter: b',',
            names: ColumnNames::Header,
            comment: None,
            ragged: false,
            quoted_lines_max: 1_000,
        }
    }

    /// The same, where this column is the source's clock; without one, the largest event time is.
    #[must_use]
    pub fn arrival(self, column: impl Into<String>) -> CsvOptions {
        CsvOptions { arrival: Some(column.into()), ..self }
    }

    /// The same, where this computes the times of each row, in the place of the columns of the event time and of the arrival, which are
    /// not read then.
    #[must_use]
    pub fn row_times(self, times: RowTimes) -> CsvOptions {
        CsvOptions { row_times: Some(times), ..self }
    }

    /// The same, with these columns, in the order of [`Row::field`](super::Row::field). A column may come twice.
    #[must_use]
    pub fn fields(self, columns: impl IntoIterator<Item = impl Into<String>>) -> CsvOptions {
        CsvOptions { fields: columns.into_iter().map(Into::into).collect(), ..self }
    }

    /// The same, where an event may be so far ahead of its arrival, or of the wall clock. A day, unless said otherwise.
    #[must_use]
    pub fn ahead_limit(self, limit: Duration) -> CsvOptions {
        CsvOptions { ahead_limit: milliseconds(limit), ..self }
    }

    /// The same, where an event may be so far behind the source's clock; one that is older is refused. Any age is accepted,
    /// unless said otherwise.
    #[must_use]
    pub fn behind_limit(self, limit: Duration) -> CsvOptions {
        CsvOptions { behind_limit: milliseconds(limit), ..self }
    }

    /// The same, where days close by the wall clock, less this, when a file that is followed has brought nothing for so
    /// long; what comes then for a day before is late. Unless said otherwise, days stay open until a row comes.
    /// ([`Files`](super::Files) has its own.)
    #[must_use]
    pub fn quiet_after(self, quiet_after: Duration) -> CsvOptions {
        CsvOptions { quiet_after: Some(quiet_after), ..self }
    }

    /// The same, with rows in this format: CSV, unless said otherwise.
    #[must_use]
    pub fn format(self, format: RowFormat) -> CsvOptions {
        CsvOptions { format, ..self }
    }

    /// The same, with times that this parser reads, in both columns.
    #[must_use]
    pub fn times(self, times: TimeParser) -> CsvOptions {
        CsvOptions { times, ..self }
    }

    /// The same, with this byte between fields of CSV: a comma, unless said otherwise.
    #[must_use]
    pub fn delimiter(self, delimiter: u8) -> CsvOptions {
        CsvOptions { delimiter, ..self }
    }

    /// The same, whose columns of CSV have their names from here: the header, unless said otherwise.
    #[must_use]
    pub fn names(self, names: ColumnNames) -> CsvOptions {
        CsvOptions { names, ..self }
    }

    /// The same, which skips lines that begin with this byte, also before the header. Otherwise no line is a comment.
    #[must_use]
    pub fn comment(self, byte: u8) -> CsvOptions {
        CsvOptions { comment: Some(byte), ..self }
    }

    /// The same, which accepts rows of CSV with fewer fields than there are columns (the others are empty), and with
    /// more if these are empty.
    #[must_use]
    pub fn ragged(self, ragged: bool) -> CsvOptions {
        CsvOptions { ragged, ..self }
    }

    /// The same, where a record of CSV that opens a quote in its first line has to close it within so many lines;
    /// otherwise this line is refused. 1,000, unless said otherwise; there is also [`RECORD_MAX`](super::RECORD_MAX).
    #[must_use]
    pub fn quoted_lines_max(self, lines: u64) -> CsvOptions {
        CsvOptions { quoted_lines_max: lines, ..self }
    }

    /// The columns of times that are read, the event time first.
    pub(super) fn time_columns(&self) -> impl Iterator<Item = &String> {
        let (time, arrival) = match self.row_times {
            Some(_) => (None, None),
            None => (Some(&self.time), self.arrival.as_ref()),
        };
        time.into_iter().chain(arrival)
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
