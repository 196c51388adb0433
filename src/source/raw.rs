//! Records as they are in a file, for programs that make events of them on their own.

use super::error::SourceError;
use super::header::Header;
use super::input::Input;
use super::options::{CsvOptions, RowFormat};
use super::records::{FoundRecord, RECORD_MAX, Records};

/// Reads the records of a file one by one: lines of JSON, or records of CSV after its header. It only checks where a
/// record ends, and not its fields.
///
/// The columns and times of [`CsvOptions`] are ignored.
///
/// ```
/// use dayfold::source::{CsvOptions, Input, RawRecord, RawRecords};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let text = "at,page\n2024-05-01,/home\n2024-05-01,\"/a,b\"\n";
/// let mut records = RawRecords::open(Input::reader("visits", text.as_bytes()), CsvOptions::new("at"))?;
/// let mut lines = Vec::new();
/// loop {
///     match records.read(false)? {
///         RawRecord::Record { line, .. } => lines.push(line),
///         RawRecord::Refused { line, reason, .. } => eprintln!("{line}: {reason}"),
///         RawRecord::Later | RawRecord::End => break,
///         _ => unreachable!("there is nothing else in a file"),
///     }
/// }
/// assert_eq!(lines, [2, 3]);
/// # Ok(())
/// # }
/// ```
pub struct RawRecords {
    records: Records,
    options: CsvOptions,
    columns: Option<Vec<Vec<u8>>>,
    /// A record was handed out and not yet consumed.
    is_pending: bool,
}

impl std::fmt::Debug for RawRecords {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RawRecords").field("options", &self.options).finish_non_exhaustive()
    }
}

/// The next item of [`RawRecords`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RawRecord<'a> {
    /// A record.
    Record {
        /// The physical line on which it begins; the header's is 1.
        line: u64,
        /// The record, quotes included, without the end of the line.
        bytes: &'a [u8],
    },
    /// Not a record.
    Refused {
        /// The physical line on which it begins.
        line: u64,
        /// The reason, on one line.
        reason: &'a str,
        /// Its text; only the beginning, if it is too long.
        bytes: &'a [u8],
    },
    /// The file is followed, and has nothing more at present.
    Later,
    /// There are no more records.
    End,
}

impl RawRecords {
    /// Opens a file and reads its header, if it is CSV that has one.
    ///
    /// # Errors
    /// [`SourceError`] if it cannot be read, or has no header, or one that is too long, not closed, or not UTF-8.
    pub fn open(input: Input, options: CsvOptions) -> Result<RawRecords, SourceError> {
        let records = Records::new(input.open()?);
        if let Err(what) = options.check() {
            return Err(SourceError::Options { name: records.stream().name().to_owned(), what });
        }
        let records = records.written_as(&options);
        let mut raw = RawRecords { records, options, columns: None, is_pending: false };
        raw.read_header()?;
        Ok(raw)
    }

    fn read_header(&mut self) -> Result<(), SourceError> {
        let columns = match self.options.format {
            RowFormat::Csv => match Header::read(&mut self.records, &self.options)? {
                Some(header) => header.into_names(),
                None => return Ok(()),
            },
            _ if self.records.skip_byte_order_mark()? => Vec::new(),
            _ => return Ok(()),
        };
        // Only one field of a line of JSON is examined: the event time.
        self.records.set_bounds(RECORD_MAX, columns.len().max(1));
        self.columns = Some(columns);
        Ok(())
    }

    /// The names of the CSV columns; `None` as long as a followed file has no header.
    pub fn columns(&self) -> Option<&[Vec<u8>]> {
        self.columns.as_deref()
    }

    /// The next record. It may block. With `hold_rest`, a last line without its end is [`RawRecord::Later`] until it
    /// has one.
    ///
    /// # Errors
    /// [`SourceError`] if the file cannot be read any further.
    pub fn read(&mut self, hold_rest: bool) -> Result<RawRecord<'_>, SourceError> {
        if self.columns.is_none() {
            self.read_header()?;
        }
        if self.columns.is_none() {
            return Ok(RawRecord::Later);
        }
        if std::mem::take(&mut self.is_pending) {
            self.records.accept();
        }
        match self.records.find()? {
            FoundRecord::Later => return Ok(RawRecord::Later),
            FoundRecord::End => return Ok(RawRecord::End),
            FoundRecord::Record if hold_rest && !self.records.has_line_end() => {
                return Ok(RawRecord::Later);
            }
            FoundRecord::Record => self.is_pending = true,
        }
        let (line, bytes) = (self.records.line(), self.records.raw());
        Ok(match self.records.refusal() {
            Some(reason) => RawRecord::Refused { line, reason, bytes },
            None => RawRecord::Record { line, bytes },
        })
    }

    /// Bytes taken from the file so far (of compressed data, if it is compressed), and its size when it was opened.
    pub fn progress(&self) -> (u64, Option<u64>) {
        (self.records.stream().position(), self.records.stream().total())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &'static str, options: CsvOptions) -> Vec<String> {
        let input = Input::reader("test", text.as_bytes());
        let mut raw = RawRecords::open(input, options).unwrap();
        let mut found: Vec<String> = vec![format!(
            "{:?}",
            raw.columns()
                .unwrap()
                .iter()
                .map(|name| String::from_utf8_lossy(name))
                .collect::<Vec<_>>()
        )];
        loop {
            found.push(match raw.read(false).unwrap() {
                RawRecord::Record { line, bytes } => {
                    format!("{line} {}", String::from_utf8_lossy(bytes))
                }
                RawRecord::Refused { line, reason, .. } => format!("{line} refused: {reason}"),
                _ => return found,
            });
        }
    }

    #[test]
    fn records_stand_as_they_are() {
        let csv = read("a,b\n1,\"x\ny\"\n\n2,z", CsvOptions::new("a"));
        assert_eq!(csv, [r#"["a", "b"]"#, "2 1,\"x\ny\"", "5 2,z"]);
        let json = CsvOptions { format: RowFormat::JsonLines, ..CsvOptions::new("t") };
        let json = read("{\"t\": 1}\nno\n{}\n", json);
        assert_eq!((&json[1][..], &json[3][..]), ("1 {\"t\": 1}", "3 {}"));
        assert!(json[2].starts_with("2 refused: column 2"), "{}", json[2]);
    }
}
