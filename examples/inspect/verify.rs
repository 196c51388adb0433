//! Reads everything, to check that it is as it was written.

use std::error::Error;

use dayfold::log::{self, LogState};
use dayfold::store::{self, Disk, FolderReport};
use indicatif::{ProgressBar, ProgressStyle};

use crate::in_full;
use crate::page::{Page, bytes, count};

/// A difference from what was written.
pub(crate) struct Damage {
    kind: &'static str,
    message: String,
}

impl Damage {
    pub(crate) fn new(kind: &'static str, error: &dyn Error) -> Damage {
        Damage { kind, message: in_full(error) }
    }
}

/// Reads all batch views, and the committed part of the log. Manifests and commit records were read before, to show the
/// folder.
pub(crate) fn everything(
    page: &mut Page,
    report: &FolderReport,
    state: Option<&LogState>,
    damages: &mut Vec<Damage>,
) {
    let batches: Vec<_> = report.views.iter().flat_map(|view| &view.revisions).collect();
    let files: Vec<_> =
        state.into_iter().flat_map(|s| s.files.iter().chain(&s.refused_files)).collect();
    let of_batches = batches.iter().map(|batch| batch.bytes).sum::<u64>();
    let of_log = files.iter().map(|file| file.length).sum::<u64>();
    let bar = ProgressBar::new(of_batches + of_log);
    let style = "  {bar:32.cyan/blue} {bytes} of {total_bytes} read, {msg}";
    if let Ok(style) = ProgressStyle::with_template(style) {
        bar.set_style(style);
    }
    for batch in &batches {
        bar.set_message(format!("{} {}", batch.view, batch.day));
        if let Err(error) = store::verify(&Disk, batch) {
            add(damages, Damage::new("batch view", &error));
        }
        bar.inc(batch.bytes);
    }
    for file in &files {
        bar.set_message("the log");
        // One file at a time, so that every damage is found, not only the first.
        let mut one = LogState::default();
        one.files.push((*file).clone());
        if let Err(error) = log::verify(&Disk, &one) {
            add(damages, Damage::new("log", &error));
        }
        bar.inc(file.length);
    }
    bar.finish_and_clear();
    page.title("verified", "every checksum of what counts");
    page.line(&format!(
        "{}; {}, {}; {} of the log, {}",
        count(report.parts.len() as u64, "manifest", "manifests"),
        count(batches.len() as u64, "batch view", "batch views"),
        bytes(of_batches),
        count(files.len() as u64, "file", "files"),
        bytes(of_log),
    ));
    if damages.is_empty() {
        page.good("all of it is whole");
    }
}

/// If a file could not be shown, its damage was found before.
pub(crate) fn add(damages: &mut Vec<Damage>, damage: Damage) {
    if !damages.iter().any(|known| known.message == damage.message) {
        damages.push(damage);
    }
}

pub(crate) fn list(page: &mut Page, damages: &[Damage]) {
    if damages.is_empty() {
        return;
    }
    page.title("damaged", &count(damages.len() as u64, "place", "places"));
    for Damage { kind, message } in damages {
        page.bad(&format!("{kind}: {message}"));
    }
}
