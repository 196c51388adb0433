//! The rows of a view's sealed days.

use std::io::{self, BufWriter, IsTerminal};
use std::path::Path;

use clap::{Args, ValueEnum};
use dayfold::rows::{Format, RowOptions, RowsError, SealedRows};
use dayfold::store::{self, Disk};
use dayfold::time::{Day, DayRange};

use crate::in_full;

/// Which rows to print, and how.
#[derive(Args)]
pub(crate) struct Options {
    /// The view.
    view: String,
    /// How rows are printed.
    #[arg(long, default_value = "table")]
    format: Printed,
    /// The first day.
    #[arg(long, value_name = "DAY")]
    from: Option<Day>,
    /// The last day.
    #[arg(long, value_name = "DAY")]
    to: Option<Day>,
    /// Prints sketches, too: the bytes from which distinct counts and quantiles are computed.
    #[arg(long)]
    sketches: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Printed {
    Table,
    Csv,
    Json,
}

/// Why rows are not printed, with the exit code.
pub(crate) struct Failed(pub(crate) String, pub(crate) u8);

/// Prints rows, until the reader closes the pipe.
pub(crate) fn print(folder: &Path, options: &Options) -> Result<(), Failed> {
    let report = store::inspect(&Disk, folder).map_err(|error| Failed(in_full(&error), 1))?;
    let Some(view) = report.views.iter().find(|view| view.record.name == options.view) else {
        let names: Vec<&str> = report.views.iter().map(|view| view.record.name.as_str()).collect();
        let (folder, names) = (folder.display(), names.join(", "));
        let message = format!("{folder} has no view '{}': expected one of {names}", options.view);
        return Err(Failed(message, 2));
    };
    let upper = options.to.map_or(Day::MAX, Day::next);
    let days = DayRange::new(options.from.unwrap_or(Day::MIN), upper);
    let asked = RowOptions::default().days(days).sketches(options.sketches);
    let rows = SealedRows::new(&Disk, view, asked);
    if !rows.has_measures() {
        eprintln!(
            "the measures of view '{}' are of a type that is not known here, '{}': its keys are shown",
            options.view, view.record.aggregate
        );
    }
    if view.schema.is_none() {
        eprintln!(
            "the folder does not say what the columns of view '{}' are called: its program says it when it \
             opens the folder next",
            options.view
        );
    }
    let format = match options.format {
        Printed::Table => Format::Table,
        Printed::Csv => Format::Csv,
        Printed::Json => Format::Json,
    };
    let out = io::stdout().lock();
    let written = match out.is_terminal() {
        true => rows.write(format, &mut { out }),
        false => rows.write(format, &mut BufWriter::with_capacity(1 << 16, out)),
    };
    match written {
        Err(RowsError::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Failed(in_full(&error), 1)),
        Ok(()) => Ok(()),
    }
}
