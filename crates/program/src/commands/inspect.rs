//! `dayfold inspect` prints what a data folder contains.

use std::io::Write;
use std::path::Path;

use dayfold::store::{self, Disk};

use crate::error::ProgramError;
use crate::next;

/// Prints the views of a folder, their columns, and their sealed days.
///
/// # Errors
/// [`ProgramError::Input`] if it is not a data folder, [`ProgramError::Failed`] if it is damaged.
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
    writeln!(out, "{}", log_space(&report)?)?;
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
        writeln!(out, "  {}", space(view))?;
    }
    Ok(())
}

/// The space that the log takes.
fn log_space(report: &store::FolderReport) -> Result<String, ProgramError> {
    let state = next::log(report).map_err(|error| ProgramError::Failed(error.to_string()))?;
    let Some(first) = state.files.first() else { return Ok("no log".to_owned()) };
    let bytes: u64 = state.files.iter().map(|file| file.length).sum();
    let last = state.files.iter().map(|file| file.last_day).max().unwrap_or(first.day);
    let from = report.log_from.map(|day| format!("; days before {day} were removed"));
    let days = format!("{bytes} bytes of events, of {} to {last} (UTC)", first.day);
    Ok(format!("log: {days}{}", from.unwrap_or_default()))
}

/// The space that a view takes, and what may be removed.
fn space(view: &store::ViewReport) -> String {
    let is_live = |batch: &&store::LiveBatch| !batch.coverage.is_empty();
    let (live, old): (Vec<_>, Vec<_>) = view.revisions.iter().partition(is_live);
    let sum = |of: &[&store::LiveBatch]| of.iter().map(|batch| batch.bytes).sum::<u64>();
    let counts = format!("{} bytes count, in {} files", sum(&live), live.len());
    let may_go = match old.len() {
        0 => "nothing is superseded".to_owned(),
        files => format!(
            "{} bytes are superseded, in {files} files: revisions = 1 in the view would remove them",
            sum(&old)
        ),
    };
    let kept = view.kept_from.map(|day| format!("; days before {day} were removed"));
    let rolled: u64 = view.rollups.iter().map(|rollup| rollup.file.bytes).sum();
    let rollups = match view.rollups.len() {
        0 => String::new(),
        files => format!("; {rolled} bytes of rollups, in {files} files"),
    };
    format!("{counts}; {may_go}{rollups}{}", kept.unwrap_or_default())
}

fn store_columns(view: &store::ViewReport) -> String {
    view.schema.as_ref().map_or_else(|| "columns are not known".to_owned(), ToString::to_string)
}
