//! `dayfold sample` prints the first rows, as the views see them.

use std::io::Write;

use dayfold::source::{Input, RawRecord, RawRecords};

#[cfg(feature = "parquet")]
use crate::config::FileFormat;
use crate::config::SourceKind;
use crate::error::ProgramError;
use crate::plan::{Plan, SourcePlan, csv_options, name_of, shown};

/// Prints rows of each source that has files: the columns that are used, or why the row is refused.
///
/// # Errors
/// [`ProgramError::Input`] if a file cannot be read.
pub fn sample(plan: &Plan, rows: usize, out: &mut dyn Write) -> Result<(), ProgramError> {
    for source in &plan.sources {
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
                print(out, &format!("row {row}"), seen(source, record))?;
            }
            continue;
        }
        let input = |error: dayfold::source::SourceError| ProgramError::Input(error.to_string());
        let mut records =
            RawRecords::open(Input::file(path), csv_options(&source.config.format, ""))
                .map_err(input)?;
        for _ in 0..rows {
            let (line, found) = match records.read(false).map_err(input)? {
                RawRecord::Record { line, bytes } => (line, seen(source, bytes)),
                RawRecord::Refused { line, reason, .. } => (line, Err(reason.to_owned())),
                _ => break,
            };
            print(out, &format!("line {line}"), found)?;
        }
    }
    Ok(())
}

/// The time of a record, and its columns by name.
type Seen = (String, Vec<(String, String)>);

/// What views see of a record, or why it is refused.
fn seen(source: &SourcePlan, record: &[u8]) -> Result<Seen, String> {
    let (time, _) = source.times.of(record)?;
    let time = dayfold::schema::Value::Timestamp(time).to_string();
    Ok((time, shown(source, record)?))
}

fn print(out: &mut dyn Write, place: &str, found: Result<Seen, String>) -> std::io::Result<()> {
    match found {
        Err(reason) => writeln!(out, "  {place}: refused: {reason}"),
        Ok((time, columns)) => {
            let columns = columns.iter().map(|(name, text)| match text.is_empty() {
                true => format!("{name} is null"),
                false => format!("{name} = {text}"),
            });
            writeln!(out, "  {place}: {time}: {}", columns.collect::<Vec<_>>().join(", "))
        }
    }
}
