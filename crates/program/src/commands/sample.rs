//! `dayfold sample` prints the first rows, as the views see them.

use std::io::Write;

use dayfold::source::{Input, RawRecord, RawRecords};

use crate::config::SourceKind;
use crate::error::ProgramError;
use crate::plan::{Plan, csv_options, name_of, shown};

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
        let input = |error: dayfold::source::SourceError| ProgramError::Input(error.to_string());
        let mut records =
            RawRecords::open(Input::file(path), csv_options(&source.config.format, ""))
                .map_err(input)?;
        for _ in 0..rows {
            let (line, found) = match records.read(false).map_err(input)? {
                RawRecord::Record { line, bytes } => {
                    let found = source.times.of(bytes).and_then(|(time, _)| {
                        let time = dayfold::schema::Value::Timestamp(time).to_string();
                        Ok((time, shown(source, bytes)?))
                    });
                    (line, found)
                }
                RawRecord::Refused { line, reason, .. } => (line, Err(reason.to_owned())),
                _ => break,
            };
            match found {
                Err(reason) => writeln!(out, "  line {line}: refused: {reason}")?,
                Ok((time, columns)) => {
                    let columns = columns.iter().map(|(name, text)| match text.is_empty() {
                        true => format!("{name} is null"),
                        false => format!("{name} = {text}"),
                    });
                    writeln!(
                        out,
                        "  line {line}: {time}: {}",
                        columns.collect::<Vec<_>>().join(", ")
                    )?;
                }
            }
        }
    }
    Ok(())
}
