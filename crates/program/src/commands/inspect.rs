//! `dayfold inspect`: what is in a data folder.

use std::io::Write;
use std::path::Path;

use dayfold::store::{self, Disk};

use crate::error::ProgramError;

/// Prints the views of a folder, their columns, and their sealed days.
///
/// # Errors
/// [`ProgramError::Input`] if it is no data folder, [`ProgramError::Failed`] if it is damaged.
pub fn inspect(folder: &Path, out: &mut dyn Write) -> Result<(), ProgramError> {
    let none = || {
        ProgramError::Input(format!(
            "{} is no data folder: there is no part-0 in it",
            folder.display()
        ))
    };
    if !folder.join("part-0").is_dir() {
        return Err(none());
    }
    let report =
        store::inspect(&Disk, folder).map_err(|error| ProgramError::Failed(error.to_string()))?;
    writeln!(
        out,
        "{}: {} parts, {} views",
        folder.display(),
        report.parts.len(),
        report.views.len()
    )?;
    for view in &report.views {
        let days: std::collections::BTreeSet<_> =
            view.revisions.iter().map(|revision| revision.day).collect();
        let span = match (days.first(), days.last()) {
            (Some(first), Some(last)) => format!("{} days sealed, {first} to {last}", days.len()),
            _ => "nothing sealed".to_owned(),
        };
        writeln!(out, "\nview {} in {}: {span}", view.record.name, view.record.zone)?;
        let columns = store_columns(view);
        writeln!(out, "  {columns}")?;
    }
    Ok(())
}

fn store_columns(view: &store::ViewReport) -> String {
    view.schema.as_ref().map_or_else(|| "columns are not known".to_owned(), ToString::to_string)
}
