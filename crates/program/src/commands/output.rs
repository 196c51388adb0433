//! How rows are printed.

use std::io::IsTerminal;

use clap::ValueEnum;

/// How rows are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Columns under their names.
    Table,
    /// CSV with a header.
    Csv,
    /// A line of JSON for each row.
    Json,
}

/// How wide the terminal is, if rows are printed on one.
pub(super) fn width() -> Option<usize> {
    let out = std::io::stdout();
    let size = out.is_terminal().then(|| terminal_size::terminal_size_of(out)).flatten();
    size.map(|(width, _)| usize::from(width.0))
}
