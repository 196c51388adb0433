//! Which columns of a text are read, and the format of the text.

use std::time::Duration;

use super::clock::AHEAD_LIMIT_MS;
use super::row_times::RowTimes;
use super::time::TimeParser;
use crate::time::milliseconds;

/// The most bytes of selected fields in one row, because columns may be selected repeatedly.
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

/// Where the names of CSV columns come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ColumnNames {
    /// From the first record.
    #[default]
    Header,
    /// There is no header. Names are numbers from 1; the first record tells how many columns there are.
    Numbers,
    /// There is no header. These are the names.
    Given(Vec<String>),
}

/// The format of a source's rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum RowFormat {
    /// RFC 4180, with a header.
    #[default]
    Csv,
    /// JSON lines: an object on each line; its fields are the columns.
    ///
    /// The text of a string is its contents; of a number, its text as written; of `true` and `false`, these words; of
    /// an array or object, its JSON text. `null` and missing fields are empty. A name is the name of a field; if there
    /// is no such field, its dots lead into objects (`user.id`). A line is refused, with the column of the error, if it
    /// is not JSON, not an object, not UTF-8, or has a field twice in an examined object.
    JsonLines,
}

impl CsvOptions {
    /// Event times are in the column `time`. There is no arrival column, no field is selected, and events may be one
    /// day ahead.
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

    /// The same, with this column as the source's clock. Without one, the clock is the largest event time.
    #[must_use]
    pub fn arrival(self, column: impl Into<String>) -> CsvOptions {
        CsvOptions { arrival: Some(column.into()), ..self }
    }

    /// The same, with times computed by this function from each row. The columns of the event time and of the arrival
    /// are not read then.
    #[must_use]
    pub fn row_times(self, times: RowTimes) -> CsvOptions {
        CsvOptions { row_times: Some(times), ..self }
    }

    /// The same, with these columns, in the order of [`Row::field`](super::Row::field). A column may come twice.
    #[must_use]
    pub fn fields(self, columns: impl IntoIterator<Item = impl Into<String>>) -> CsvOptions {
        CsvOptions { fields: columns.into_iter().map(Into::into).collect(), ..self }
    }

    /// The same, with a limit on how far an event may be ahead of its arrival, or of the wall clock. The default is a
    /// day.
    #[must_use]
    pub fn ahead_limit(self, limit: Duration) -> CsvOptions {
        CsvOptions { ahead_limit: milliseconds(limit), ..self }
    }

    /// The same, with a limit on how far an event may be behind the source's clock; older events are refused. By
    /// default any age is accepted.
    #[must_use]
    pub fn behind_limit(self, limit: Duration) -> CsvOptions {
        CsvOptions { behind_limit: milliseconds(limit), ..self }
    }

    /// The same, for a followed file: if it has brought nothing for this long, days close by the wall clock less this
    /// duration. Rows that come later for a closed day are late. By default, days stay open until a row comes.
    /// ([`Files`](super::Files) has its own setting.)
    #[must_use]
    pub fn quiet_after(self, quiet_after: Duration) -> CsvOptions {
        CsvOptions { quiet_after: Some(quiet_after), ..self }
    }

    /// The same, with rows in this format. The default is CSV.
    #[must_use]
    pub fn format(self, format: RowFormat) -> CsvOptions {
        CsvOptions { format, ..self }
    }

    /// The same, with this parser for the times in both columns.
    #[must_use]
    pub fn times(self, times: TimeParser) -> CsvOptions {
        CsvOptions { times, ..self }
    }

    /// The same, with this byte between fields of CSV. The default is a comma.
    #[must_use]
    pub fn delimiter(self, delimiter: u8) -> CsvOptions {
        CsvOptions { delimiter, ..self }
    }

    /// The same, with the names of CSV columns taken from here. The default is the header.
    #[must_use]
    pub fn names(self, names: ColumnNames) -> CsvOptions {
        CsvOptions { names, ..self }
    }

    /// The same, but lines that begin with this byte are skipped, also before the header. By default no line is a
    /// comment.
    #[must_use]
    pub fn comment(self, byte: u8) -> CsvOptions {
        CsvOptions { comment: Some(byte), ..self }
    }

    /// The same, but rows of CSV may have fewer fields than there are columns (the others are empty), and more if the
    /// additional ones are empty.
    #[must_use]
    pub fn ragged(self, ragged: bool) -> CsvOptions {
        CsvOptions { ragged, ..self }
    }

    /// The same, with a limit on the lines within which a record of CSV must close a quote that its first line opens;
    /// otherwise this line is refused. The default is 1,000; [`RECORD_MAX`](super::RECORD_MAX) holds as well.
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

    /// Checks the options. Returns the contradiction, if there is one.
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
