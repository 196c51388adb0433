//! The formats in which rows are printed.

use std::io::IsTerminal;

use clap::ValueEnum;

/// The format in which rows are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// A table with column names.
    Table,
    /// CSV with a header.
    Csv,
    /// A line of JSON for each row.
    Json,
}

/// The width of the terminal, if rows are printed on one.
pub(super) fn width() -> Option<usize> {
    let out = std::io::stdout();
    let size = out.is_terminal().then(|| terminal_size::terminal_size_of(out)).flatten();
    size.map(|(width, _)| usize::from(width.0))
}
