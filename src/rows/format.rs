//! Rows as CSV, as JSON, and as a table for people.

use std::fmt::Write as _;
use std::io::{self, Write};

use crate::scan::Batch;
use crate::schema::{Column, Kind, Value, ValueRef, push_json, push_json_text};

/// How rows are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// Columns that are aligned, by the first rows.
    #[default]
    Table,
    /// A line of names, then a line for each row, quoted as in RFC 4180. An empty cell is null, an empty text is `""`.
    Csv,
    /// An array with an object for each row. Integers beyond ±2⁵³ and decimals are strings, because a reader may store
    /// numbers as doubles.
    Json,
    /// The same objects, one on each line, without anything around them.
    JsonLines,
}

/// How many first rows determine the widths of a table.
const LOOKED_AT: u64 = 1_000;

/// Writes rows. The head, each row and the end are written as they come; only a table waits for its first rows.
///
/// ```
/// use dayfold::rows::{Format, Writer};
/// use dayfold::schema::{Column, Kind, Value};
///
/// let columns = [Column::new("page", Kind::Text), Column::new("visits", Kind::Integer)];
/// let mut writer = Writer::new(Format::JsonLines, &columns, Vec::new());
/// writer.begin()?;
/// writer.row(&[Value::Text("/home".to_owned()), Value::Integer(2)])?;
/// writer.end()?;
/// assert_eq!(writer.get_mut(), b"{\"page\":\"/home\",\"visits\":2}\n");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Writer<W> {
    format: Format,
    columns: Vec<Column>,
    out: W,
    rows: u64,
    /// A line that is being written.
    text: String,
    /// Rows of a table whose widths are not known yet.
    waiting: Vec<Vec<String>>,
    widths: Vec<usize>,
}

impl<W: Write> Writer<W> {
    /// Nothing is written yet.
    pub fn new(format: Format, columns: &[Column], out: W) -> Writer<W> {
        let widths = columns.iter().map(|column| column.name.chars().count()).collect();
        let columns = columns.to_vec();
        let (text, waiting) = (String::new(), Vec::new());
        Writer { format, columns, out, rows: 0, text, waiting, widths }
    }

    /// Writes the beginning, before the rows.
    ///
    /// # Errors
    /// Errors of the writer.
    pub fn begin(&mut self) -> io::Result<()> {
        match self.format {
            Format::Table | Format::JsonLines => Ok(()),
            Format::Csv => {
                let columns = std::mem::take(&mut self.columns);
                let written = self.csv(columns.iter().map(|column| ValueRef::Text(&column.name)));
                self.columns = columns;
                written
            }
            Format::Json => self.out.write_all(b"["),
        }
    }

    /// Writes a row: a value for each column.
    ///
    /// # Errors
    /// Errors of the writer.
    pub fn row(&mut self, row: &[Value]) -> io::Result<()> {
        self.values(row.iter().map(Value::by_ref))
    }

    /// Writes the rows of a batch, which has the same columns.
    ///
    /// # Errors
    /// Errors of the writer.
    pub fn batch(&mut self, batch: &Batch) -> io::Result<()> {
        let columns = batch.columns().len();
        (0..batch.rows()).try_for_each(|row| {
            self.values((0..columns).map(|column| batch.value_ref(row, column)))
        })
    }

    /// Writes the end, and flushes.
    ///
    /// # Errors
    /// Errors of the writer.
    pub fn end(&mut self) -> io::Result<()> {
        match self.format {
            Format::Csv | Format::JsonLines => {}
            Format::Json if self.rows == 0 => self.out.write_all(b"]\n")?,
            Format::Json => self.out.write_all(b"\n]\n")?,
            Format::Table if self.rows < LOOKED_AT => self.lines()?,
            Format::Table => {}
        }
        self.out.flush()
    }

    /// The writer.
    pub fn get_mut(&mut self) -> &mut W {
        &mut self.out
    }

    fn values<'a>(&mut self, row: impl Iterator<Item = ValueRef<'a>>) -> io::Result<()> {
        self.rows += 1;
        match self.format {
            Format::Csv => self.csv(row),
            Format::Json | Format::JsonLines => self.json(row),
            Format::Table => {
                let cells: Vec<String> = row.map(in_table).collect();
                if self.rows > LOOKED_AT {
                    return self.line(&cells);
                }
                for (width, cell) in self.widths.iter_mut().zip(&cells) {
                    *width = (*width).max(cell.chars().count());
                }
                self.waiting.push(cells);
                if self.rows == LOOKED_AT { self.lines() } else { Ok(()) }
            }
        }
    }

    fn csv<'a>(&mut self, row: impl Iterator<Item = ValueRef<'a>>) -> io::Result<()> {
        let text = &mut self.text;
        text.clear();
        for (at, value) in row.enumerate() {
            if at > 0 {
                text.push(',');
            }
            let begin = text.len();
            write!(text, "{value}").expect("memory takes every text");
            let cell = &text[begin..];
            let is_empty_text = cell.is_empty() && value != ValueRef::Null;
            if is_empty_text || cell.contains([',', '"', '\n', '\r']) {
                let quoted = format!("\"{}\"", cell.replace('"', "\"\""));
                text.truncate(begin);
                text.push_str(&quoted);
            }
        }
        text.push('\n');
        self.out.write_all(text.as_bytes())
    }

    fn json<'a>(&mut self, row: impl Iterator<Item = ValueRef<'a>>) -> io::Result<()> {
        let text = &mut self.text;
        text.clear();
        text.push_str(match (self.format, self.rows) {
            (Format::JsonLines, _) => "{",
            (_, 1) => "\n{",
            _ => ",\n{",
        });
        for (at, (column, value)) in self.columns.iter().zip(row).enumerate() {
            if at > 0 {
                text.push(',');
            }
            push_json_text(&column.name, text);
            text.push(':');
            push_json(value, text);
        }
        text.push_str(if self.format == Format::JsonLines { "}\n" } else { "}" });
        self.out.write_all(text.as_bytes())
    }

    /// The head, and the rows that waited for the widths of columns.
    fn lines(&mut self) -> io::Result<()> {
        let heads: Vec<String> = self.columns.iter().map(|column| column.name.clone()).collect();
        self.line(&heads)?;
        let waiting = std::mem::take(&mut self.waiting);
        waiting.iter().try_for_each(|cells| self.line(cells))
    }

    fn line(&mut self, cells: &[String]) -> io::Result<()> {
        let mut line = String::new();
        for ((cell, width), column) in cells.iter().zip(&self.widths).zip(&self.columns) {
            let width = *width;
            line.push_str(&match column.kind {
                Kind::Integer | Kind::Decimal => format!("{cell:>width$}  "),
                _ => format!("{cell:<width$}  "),
            });
        }
        writeln!(self.out, "{}", line.trim_end())
    }
}

/// A cell of a table, on one line whatever it holds.
fn in_table(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "-".to_owned(),
        ValueRef::Text(text) => {
            text.chars().map(|c| if c.is_control() { '\u{FFFD}' } else { c }).collect()
        }
        _ => value.to_string(),
    }
}
