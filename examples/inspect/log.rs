//! The log: events, refused rows, and how far each source is in it.

use std::collections::BTreeMap;

use dayfold::log::{self, LogFile, LogState, SourceRange, StreamInfo};
use dayfold::store::{Disk, FolderReport, LogPosition};
use dayfold::time::{Day, EventTime};

use crate::page::{Page, Table, bytes, count, days, number, stretches, time};
use crate::verify::Damage;

/// How many reasons for refused rows are shown.
const REASONS: usize = 5;

pub(crate) fn events(page: &mut Page, state: &LogState, report: &FolderReport, each: bool) {
    let size = state.files.iter().map(|file| file.length).sum();
    let events = count(state.events, "event", "events");
    let files = count(state.files.len() as u64, "file", "files");
    page.title("log", &format!("{events} in {files}, {}", bytes(size)));
    let mut by_day: BTreeMap<Day, Vec<&LogFile>> = BTreeMap::new();
    for file in &state.files {
        by_day.entry(file.day).or_default().push(file);
    }
    let of_day: Vec<Day> = by_day.keys().copied().collect();
    let rows = match each {
        true => (0..of_day.len()).map(|at| at..at + 1).collect(),
        false => stretches(&of_day),
    };
    let mut table = Table::new(&["DAYS OF UTC", "DAYS", "FILES", "EVENTS", "BYTES"]);
    for found in rows.into_iter().map(|row| &of_day[row]) {
        let files: Vec<_> = found.iter().flat_map(|day| &by_day[day]).collect();
        table.row([
            days(found[0], found[found.len() - 1]),
            number(found.len() as u64),
            number(files.len() as u64),
            number(files.iter().map(|file| file.events).sum()),
            bytes(files.iter().map(|file| file.length).sum()),
        ]);
    }
    page.table(&table);
    runs(page, &state.streams, report);
}

/// Bytes after the committed ends. They are harmless, unless something before them is missing.
pub(crate) fn ends(page: &mut Page, state: &LogState, is_whole: bool) {
    if !is_whole {
        return;
    }
    let torn = state.streams.iter().filter(|stream| stream.torn_bytes > 0).count() as u64;
    let beyond: u64 = state.files.iter().chain(&state.refused_files).map(beyond).sum();
    if torn > 0 {
        let torn = count(torn, "commit stream has", "commit streams have");
        page.line(&format!("{torn} a torn end. That is harmless: {NEVER_COMMITTED}"));
    }
    if beyond > 0 {
        page.line(&format!(
            "{} beyond the last commits. That is harmless: {NEVER_COMMITTED}",
            bytes(beyond)
        ));
    }
}

const NEVER_COMMITTED: &str = "it was never committed, and the next run cuts it off.";

/// Bytes of a file that do not count.
fn beyond(file: &LogFile) -> u64 {
    let length = std::fs::metadata(&file.path).map_or(0, |metadata| metadata.len());
    length.saturating_sub(file.length)
}

fn runs(page: &mut Page, streams: &[StreamInfo], report: &FolderReport) {
    let mut by_run: BTreeMap<u64, Vec<&StreamInfo>> = BTreeMap::new();
    for stream in streams {
        by_run.entry(stream.run).or_default().push(stream);
    }
    let mut table = Table::new(&[
        "WRITTEN BY",
        "WORKERS",
        "EVENTS",
        "REFUSED",
        "NEWEST FLOOR",
        "DURABLE THROUGH",
    ]);
    for (run, streams) in by_run {
        let floors = streams.iter().filter_map(|stream| stream.latest).map(|moment| moment.floor);
        table.row([
            format!("run {run}"),
            number(streams.len() as u64),
            number(streams.iter().map(|stream| stream.events).sum()),
            number(streams.iter().map(|s| s.refused + s.refused_elsewhere).sum()),
            time(floors.max().unwrap_or(EventTime::MIN)),
            proven(&streams, report),
        ]);
    }
    page.table(&table);
}

/// How much of a run's commit streams the manifests prove.
fn proven(streams: &[&StreamInfo], report: &FolderReport) -> String {
    let proven = |stream: &&&StreamInfo| {
        let part = report.parts.iter().find(|part| part.process as u32 == stream.part)?;
        let is_it = |at: &&LogPosition| (at.run, at.worker) == (stream.run, stream.worker);
        part.proven.iter().find(is_it)
    };
    match streams.iter().filter(|stream| proven(stream).is_some()).count() {
        0 => "not proven".to_owned(),
        _ if streams.iter().all(|stream| proven(&stream) == Some(&stream.synced)) => {
            "its end".to_owned()
        }
        _ => {
            let floors = streams.iter().filter_map(|stream| proven(&stream)?.latest);
            time(floors.map(|moment| moment.floor).max().unwrap_or(EventTime::MIN))
        }
    }
}

/// The committed part of each source. The lengths of the sources are not known here.
pub(crate) fn sources(page: &mut Page, state: &LogState) {
    if state.ranges.is_empty() {
        return;
    }
    page.title("sources", "bytes of their content that are committed");
    for ranges in state.ranges.chunk_by(|a, b| a.source == b.source) {
        let shown = |range: &SourceRange| format!("{} … {}", number(range.from), number(range.to));
        let committed = ranges.iter().map(shown).collect::<Vec<_>>().join(", ");
        let mut end = 0;
        let mut holes = Vec::new();
        for range in ranges {
            if range.from > end {
                holes.push(range.from - end);
            }
            end = range.to.max(end);
        }
        let holes = match holes.len() as u64 {
            0 => "no hole".to_owned(),
            found => format!(
                "{} of {} bytes, which the next run reads",
                count(found, "hole", "holes"),
                number(holes.iter().sum()),
            ),
        };
        page.named(&format!("source {}", ranges[0].source), &format!("{committed}: {holes}"));
    }
}

pub(crate) fn refused(
    page: &mut Page,
    state: &LogState,
    report: &FolderReport,
) -> Result<(), Damage> {
    page.title("refused", &count(state.refused, "row or event", "rows and events"));
    if state.refused == 0 {
        return Ok(());
    }
    let rows =
        log::refused_rows(&Disk, state).map_err(|error| Damage::new("refused rows", &error))?;
    if let (Some(first), Some(last)) = (rows.first(), rows.last()) {
        let kept = count(rows.len() as u64, "row is", "rows are");
        page.line(&format!("{kept} in the log, of lines {} to {}", first.line, last.line));
    }
    let elsewhere = state.refused - rows.len() as u64;
    if elsewhere > 0 {
        page.line(&format!("{} were pushed, and are only counted", number(elsewhere)));
    }
    for part in &report.parts {
        let path = part.path.join("rejected/rows.csv");
        if let Ok(metadata) = path.metadata() {
            page.line(&format!("written to {}, {}", path.display(), bytes(metadata.len())));
        }
    }
    let mut reasons: BTreeMap<&str, u64> = BTreeMap::new();
    for row in &rows {
        *reasons.entry(&row.reason).or_default() += 1;
    }
    let mut reasons: Vec<_> = reasons.into_iter().collect();
    reasons.sort_by_key(|&(reason, rows)| (std::cmp::Reverse(rows), reason));
    for (reason, rows) in reasons.iter().take(REASONS) {
        page.named(&format!("{:>8}", number(*rows)), reason);
    }
    if reasons.len() > REASONS {
        page.line(&count((reasons.len() - REASONS) as u64, "more reason", "more reasons"));
    }
    Ok(())
}
