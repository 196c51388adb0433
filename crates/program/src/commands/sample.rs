//! `dayfold sample` prints the first rows, as the views see them.

use std::io::Write;

use dayfold::schema::Value;
use dayfold::source::{Input, RawRecord, RawRecords};

#[cfg(feature = "parquet")]
use crate::config::FileFormat;
use crate::config::SourceKind;
use crate::error::ProgramError;
use crate::plan::{Plan, cells, csv_options, name_of};

/// Prints rows of each source that has files: the columns that are used and what each view takes, or why the row is
/// refused.
///
/// # Errors
/// [`ProgramError::Input`] if a file cannot be read.
pub fn sample(plan: &Plan, rows: usize, out: &mut dyn Write) -> Result<(), ProgramError> {
    for (index, source) in plan.sources.iter().enumerate() {
        let seen = |record: &[u8]| seen(plan, index, record);
        let name = name_of(&source.config);
        let SourceKind::File { .. } = source.config.kind else {
            writeln!(out, "source {name}: it has no file, there is nothing to show")?;
            continue;
        };
        let Some(path) = source.files().first() else {
            writeln!(out, "source {name}: it has no file yet, there is nothing to show")?;
            continue;
        };
        writeln!(out, "source {name}: {}", path.display())?;
        #[cfg(feature = "parquet")]
        if source.config.format == FileFormat::Parquet {
            let input = |error: dayfold_lake::RowsFileError| ProgramError::Input(error.to_string());
            let mut records = dayfold_lake::ParquetRows::open(path, 0).map_err(input)?;
            for row in 1..=rows {
                let Some(record) = records.next_row().map_err(input)? else { break };
                print(out, &format!("row {row}"), seen(record))?;
            }
            continue;
        }
        let input = |error: dayfold::source::SourceError| ProgramError::Input(error.to_string());
        let mut records =
            RawRecords::open(Input::file(path), csv_options(&source.config.format, ""))
                .map_err(input)?;
        for _ in 0..rows {
            let (line, found) = match records.read(false).map_err(input)? {
                RawRecord::Record { line, bytes } => (line, seen(bytes)),
                RawRecord::Refused { line, reason, .. } => (line, Err(reason.to_owned())),
                _ => break,
            };
            print(out, &format!("line {line}"), found)?;
        }
    }
    Ok(())
}

/// What is read of a record, and what each view makes of it.
struct Seen {
    time: String,
    columns: String,
    /// The names of the views, each with the row that it takes.
    views: Vec<(String, String)>,
}

/// What views see of a record, or why it is refused.
fn seen(plan: &Plan, source: usize, record: &[u8]) -> Result<Seen, String> {
    let from = &plan.sources[source];
    let (time, _) = from.times.of(record)?;
    let cells = cells(from, record)?;
    let named = |(name, text): (String, String)| match text.is_empty() {
        true => format!("{name} is null"),
        false => format!("{name} = {text}"),
    };
    let joined =
        |cells: Vec<(String, String)>| cells.into_iter().map(named).collect::<Vec<_>>().join(", ");
    let mut views = Vec::new();
    for view in &plan.views {
        let Some(derived) = view.derived.get(&source) else { continue };
        let row = match derived.shown(&cells) {
            None => "left out by where".to_owned(),
            Some(inputs) => {
                let period = Value::period(view.definition.view().calendar().day_of(time));
                let period = (view.schema.period().name.clone(), period.to_string());
                joined(std::iter::once(period).chain(inputs).collect())
            }
        };
        views.push((view.config.name.value.clone(), row));
    }
    let names = from.reader.slots.iter().map(|slot| slot.name.clone());
    let columns = joined(names.zip(cells.iter().map(ToString::to_string)).collect());
    Ok(Seen { time: Value::Timestamp(time).to_string(), columns, views })
}

fn print(out: &mut dyn Write, place: &str, found: Result<Seen, String>) -> std::io::Result<()> {
    match found {
        Err(reason) => writeln!(out, "  {place}: refused: {reason}"),
        Ok(Seen { time, columns, views }) => {
            writeln!(out, "  {place}: {time}: {columns}")?;
            let width = views.iter().map(|(view, _)| view.chars().count()).max().unwrap_or(0);
            views.iter().try_for_each(|(view, row)| writeln!(out, "    {view:width$}  {row}"))
        }
    }
}
