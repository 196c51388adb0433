//! `dayfold inspect` prints what a data folder contains.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Write};
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
    writeln!(out, "{}", disk_space(folder, &report)?)?;
    writeln!(out, "{}", log_space(&report)?)?;
    for view in &report.views {
        let days: BTreeSet<_> = view.revisions.iter().map(|revision| revision.day).collect();
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

/// The bytes of a folder, by what they are for.
#[derive(Default)]
struct DiskSpace {
    files: u64,
    sealed: u64,
    rollups: u64,
    events: u64,
    commits: u64,
    other: u64,
}

impl DiskSpace {
    /// Adds all files below a folder; `names` leads there, from the data folder on.
    fn add(&mut self, folder: &Path, names: &[&str]) -> std::io::Result<()> {
        let entries = match std::fs::read_dir(folder) {
            // A program may have removed it meanwhile, or a file in it.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let (name, path) = (entry.file_name(), entry.path());
            if entry.file_type()?.is_dir() {
                let name = name.to_string_lossy();
                let names: Vec<&str> = names.iter().copied().chain([&*name]).collect();
                self.add(&path, &names)?;
                continue;
            }
            let Ok(of_file) = entry.metadata() else { continue };
            self.files += 1;
            *match names {
                [_, "views" | "packs", ..] => &mut self.sealed,
                [_, "rollups", ..] => &mut self.rollups,
                [_, "log", "commits", ..] => &mut self.commits,
                [_, "log", ..] => &mut self.events,
                _ => &mut self.other,
            } += of_file.len();
        }
        Ok(())
    }
}

/// The space that all files take. In packs, there are gaps between files, and in place of files that went.
fn disk_space(folder: &Path, report: &store::FolderReport) -> Result<String, ProgramError> {
    let mut space = DiskSpace::default();
    let failed = |error| ProgramError::Failed(format!("{}: {error}", folder.display()));
    space.add(folder, &[]).map_err(failed)?;
    let DiskSpace { files, sealed, rollups, events, commits, other } = space;
    let all = sealed + rollups + events + commits + other;
    let views = report.views.iter();
    let known: u64 = views.flat_map(|view| &view.revisions).map(|batch| batch.bytes).sum();
    let gaps = match sealed.saturating_sub(known) {
        0 => String::new(),
        bytes => format!(" ({bytes} of them gaps in packs)"),
    };
    Ok(format!(
        "on disk: {all} bytes in {files} files: {sealed} of sealed periods{gaps}, {rollups} of rollups, {events} of \
         events, {commits} of the log's commits, {other} of manifests and other files"
    ))
}

/// The space that the log takes.
fn log_space(report: &store::FolderReport) -> Result<String, ProgramError> {
    let state = next::log(report).map_err(|error| ProgramError::Failed(error.to_string()))?;
    let Some(first) = state.files.first() else { return Ok("no log".to_owned()) };
    let bytes: u64 = state.files.iter().map(|file| file.length).sum();
    let last = state.files.iter().map(|file| file.last_day).max().unwrap_or(first.day);
    let from = report.log_from.map(|day| format!("; nothing before {day} is kept"));
    let days = format!("{bytes} bytes of events, of {} to {last} (UTC)", first.day);
    let may_go = from.unwrap_or_else(|| "; `log` in [engine] says how long it is kept".to_owned());
    Ok(format!("log: {days}{may_go}"))
}

/// The space that a view takes, and what may be removed.
fn space(view: &store::ViewReport) -> String {
    let is_live = |batch: &&store::LiveBatch| !batch.coverage.is_empty();
    let (live, old): (Vec<_>, Vec<_>) = view.revisions.iter().partition(is_live);
    let sum = |of: &[&store::LiveBatch]| of.iter().map(|batch| batch.bytes).sum::<u64>();
    // A pack is one file, with those of many periods.
    let files: BTreeSet<&Path> = live.iter().map(|batch| batch.path.as_path()).collect();
    let counts = format!("{} bytes count, in {} files", sum(&live), files.len());
    let may_go = match old.len() {
        0 => "nothing is superseded".to_owned(),
        files => format!(
            "{} bytes are superseded, in {files} files: revisions = 1 in the view would remove them",
            sum(&old)
        ),
    };
    let kept = view.kept_from.map(|day| format!("; nothing before {day} is kept"));
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
