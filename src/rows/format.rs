//! Rows as CSV, as JSON, and as a table for people.

use std::io::{self, Write};

use crate::schema::{Column, Kind, Value, push_json, push_json_text};

/// How rows are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// Columns that are aligned, by the first rows.
    #[default]
    Table,
    /// A line of names, then a line for each row, as RFC 4180 quotes them. An empty cell is null, an empty text is `""`.
    Csv,
    /// An array with an object for each row. Integers beyond ±2⁵³ and decimals are strings, since a reader may keep
    /// numbers as doubles.
    Json,
}

/// A table is as wide as so many first rows need.
const LOOKED_AT: usize = 1_000;

pub(super) struct Writer<'a> {
    format: Format,
    columns: Vec<Column>,
    out: &'a mut dyn Write,
    rows: usize,
    /// Rows of a table whose widths are not known yet.
    waiting: Vec<Vec<String>>,
    widths: Vec<usize>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(format: Format, columns: &[Column], out: &'a mut dyn Write) -> Writer<'a> {
        let widths = columns.iter().map(|column| column.name.chars().count()).collect();
        let columns = columns.to_vec();
        Writer { format, columns, out, rows: 0, waiting: Vec::new(), widths }
    }

    pub(super) fn begin(&mut self) -> io::Result<()> {
        match self.format {
            Format::Table => Ok(()),
            Format::Csv => {
                let names: Vec<Value> =
                    self.columns.iter().map(|column| Value::Text(column.name.clone())).collect();
                self.csv(&names)
            }
            Format::Json => self.out.write_all(b"["),
        }
    }

    pub(super) fn row(&mut self, row: &[Value]) -> io::Result<()> {
        self.rows += 1;
        match self.format {
            Format::Csv => self.csv(row),
            Format::Json => self.json(row),
            Format::Table => {
                let cells: Vec<String> = row.iter().map(in_table).collect();
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

    pub(super) fn end(&mut self) -> io::Result<()> {
        match self.format {
            Format::Csv => {}
            Format::Json if self.rows == 0 => self.out.write_all(b"]\n")?,
            Format::Json => self.out.write_all(b"\n]\n")?,
            Format::Table if self.rows < LOOKED_AT => self.lines()?,
            Format::Table => {}
        }
        self.out.flush()
    }

    fn csv(&mut self, row: &[Value]) -> io::Result<()> {
        for (at, value) in row.iter().enumerate() {
            if at > 0 {
                self.out.write_all(b",")?;
            }
            let cell = value.to_string();
            let is_quoted =
                cell.contains([',', '"', '\n', '\r']) || (cell.is_empty() && *value != Value::Null);
            match is_quoted {
                true => write!(self.out, "\"{}\"", cell.replace('"', "\"\""))?,
                false => self.out.write_all(cell.as_bytes())?,
            }
        }
        self.out.write_all(b"\n")
    }

    fn json(&mut self, row: &[Value]) -> io::Result<()> {
        let mut text = String::from(if self.rows == 1 { "\n{" } else { ",\n{" });
        for (at, (column, value)) in self.columns.iter().zip(row).enumerate() {
            if at > 0 {
                text.push(',');
            }
            push_json_text(&column.name, &mut text);
            text.push(':');
            push_json(value, &mut text);
        }
        text.push('}');
        self.out.write_all(text.as_bytes())
    }

    /// The head and the rows that have waited for their widths.
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

/// A cell of a table: one line, whatever it holds.
fn in_table(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::Text(text) => {
            text.chars().map(|c| if c.is_control() { '\u{FFFD}' } else { c }).collect()
        }
        _ => value.to_string(),
    }
}
