//! Text for a terminal of a hundred columns: titles, lines and tables.

use std::fmt::Write;
use std::io::IsTerminal;

use dayfold::time::{Day, EventTime};

const WIDTH: usize = 100;

/// The text to be printed next.
pub(crate) struct Page {
    text: String,
    /// It is still empty.
    is_first: bool,
    colours: bool,
}

/// A table; columns of numbers are aligned to the right.
pub(crate) struct Table {
    heads: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Page {
    pub(crate) fn new() -> Page {
        Page { text: String::new(), is_first: true, colours: std::io::stdout().is_terminal() }
    }

    /// The text added since the last call.
    pub(crate) fn take(&mut self) -> String {
        std::mem::take(&mut self.text)
    }

    pub(crate) fn title(&mut self, title: &str, more: &str) {
        let title = self.painted(title, "1;36");
        if !std::mem::replace(&mut self.is_first, false) {
            self.put("");
        }
        self.put(&format!("{title}  {more}"));
    }

    /// A line with a margin; a long line is wrapped.
    pub(crate) fn line(&mut self, text: &str) {
        self.named("", text);
    }

    /// As [`Page::line`], after a short name.
    pub(crate) fn named(&mut self, name: &str, text: &str) {
        let indent = if name.is_empty() { 2 } else { 14 };
        let mut line = format!("{:indent$}", format!("  {name}"));
        let mut is_empty = true;
        for word in text.split(' ') {
            if !is_empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
                self.put(&line);
                line = " ".repeat(indent);
                is_empty = true;
            }
            if !is_empty {
                line.push(' ');
            }
            line.push_str(word);
            is_empty = false;
        }
        self.put(&line);
    }

    pub(crate) fn good(&mut self, text: &str) {
        let text = self.painted(text, "32");
        self.put(&format!("  {text}"));
    }

    pub(crate) fn bad(&mut self, text: &str) {
        let text = self.painted(text, "1;31");
        self.put(&format!("  {text}"));
    }

    pub(crate) fn table(&mut self, table: &Table) {
        let Table { heads, rows } = table;
        let is_number = |at: usize| {
            let mut cells = rows.iter().map(|row| row[at].as_str());
            cells.all(|cell| cell == "-" || cell.starts_with(|first: char| first.is_ascii_digit()))
                && !rows.iter().any(|row| row[at].matches('-').count() > 1)
        };
        let widths: Vec<usize> = (0..heads.len())
            .map(|at| {
                let cells = rows.iter().map(|row| row[at].chars().count());
                cells.chain([heads[at].chars().count()]).max().unwrap_or(0)
            })
            .collect();
        let line = |cells: &[&str]| {
            let mut line = String::new();
            for (at, (cell, width)) in cells.iter().zip(&widths).enumerate() {
                line.push_str("  ");
                match is_number(at) {
                    true => write!(line, "{cell:>width$}"),
                    false => write!(line, "{cell:<width$}"),
                }
                .expect("a string takes all");
            }
            line.trim_end().to_owned()
        };
        let head = self.painted(&line(heads), "2");
        self.put(&head);
        for row in rows {
            self.put(&line(&row.iter().map(String::as_str).collect::<Vec<_>>()));
        }
    }

    fn put(&mut self, line: &str) {
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }

    fn painted(&self, text: &str, colour: &str) -> String {
        match self.colours {
            true => format!("\x1b[{colour}m{text}\x1b[0m"),
            false => text.to_owned(),
        }
    }
}

impl Table {
    pub(crate) fn new(heads: &[&'static str]) -> Table {
        Table { heads: heads.to_vec(), rows: Vec::new() }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
        let cells = self.rows.last().map_or(0, Vec::len);
        assert_eq!(cells, self.heads.len(), "a row has a cell in each column");
    }
}

/// A whole number, in groups of three digits.
pub(crate) fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number of things.
pub(crate) fn count(of: u64, one: &str, more: &str) -> String {
    format!("{} {}", number(of), if of == 1 { one } else { more })
}

pub(crate) fn bytes(bytes: u64) -> String {
    let mut size = bytes as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if size < 1_024.0 {
            return if unit == "B" { format!("{bytes} B") } else { format!("{size:.1} {unit}") };
        }
        size /= 1_024.0;
    }
    format!("{size:.1} TiB")
}

/// An instant; `-` for the ends of time.
pub(crate) fn time(time: EventTime) -> String {
    let is_end = time == EventTime::MIN || time == EventTime::MAX;
    let found = jiff::Timestamp::from_millisecond(time).ok().filter(|_| !is_end);
    found.map_or("-".to_owned(), |time| time.to_string())
}

/// The days from the first through the last.
pub(crate) fn days(first: Day, last: Day) -> String {
    if first == last { first.to_string() } else { format!("{first} … {last}") }
}

/// Runs of days without a gap: the beginning and end of each, as positions in `days`, which is ascending.
pub(crate) fn stretches(days: &[Day]) -> Vec<std::ops::Range<usize>> {
    let mut found = Vec::new();
    let mut start = 0;
    for at in 1..=days.len() {
        if days.get(at) != Some(&days[at - 1].next()) {
            found.push(start..at);
            start = at;
        }
    }
    found
}
