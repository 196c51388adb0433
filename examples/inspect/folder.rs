//! The folder, its parts and its views.

use std::collections::BTreeMap;
use std::path::Path;

use dayfold::batch::Coverage;
use dayfold::store::{FolderReport, LiveBatch, RunState, ViewReport};
use dayfold::time::{Day, zone_data_release};

use crate::page::{Page, Table, bytes, count, days, number, stretches};

pub(crate) fn head(page: &mut Page, folder: &Path, report: &FolderReport) {
    let state = match report.state {
        RunState::Fresh => "no run has begun",
        RunState::Complete => "the last run is complete",
        RunState::Incomplete => "the last run was cut short, or is going on",
    };
    page.title(&folder.display().to_string(), state);
    if let Some(cluster) = report.cluster {
        page.named("folder", &format!("{cluster:032x}"));
    }
    let runs = report.parts.iter().filter_map(|part| part.run);
    if let Some(newest) = runs.max_by_key(|run| run.number) {
        let of = count(newest.processes as u64, "process", "processes");
        let log = if newest.logged { "with a log" } else { "without a log" };
        page.named("last run", &format!("{} of {of}, {log}", newest.number));
    }
    let mut table = Table::new(&["PART", "LAST RUN", "MANIFEST", "FACTS OF THE PROGRAM"]);
    for part in &report.parts {
        let run = part.run.map_or("-".to_owned(), |run| {
            let state = if run.complete { "complete" } else { "not complete" };
            format!("run {}, {state}", run.number)
        });
        let mut manifest = bytes(part.manifest_bytes);
        if part.torn_bytes > 0 {
            manifest = format!("{manifest}, a torn end of {} B", part.torn_bytes);
        }
        let facts = part.facts.iter().map(|(name, size)| format!("{name} ({size} B)"));
        let facts = facts.collect::<Vec<_>>().join(", ");
        table.row([format!("part-{}", part.process), run, manifest, facts]);
    }
    page.table(&table);
    if report.parts.iter().any(|part| part.torn_bytes > 0) {
        page.line("A torn end is harmless: it was never committed, and the next run cuts it off.");
    }
}

/// The release of the time zone database, and the differences to this program's release.
fn zone_data(release: &str, view: &ViewReport) -> String {
    let own = zone_data_release();
    match (&view.changed_days[..], release == own) {
        ([first, ..], _) => {
            let days = count(view.changed_days.len() as u64, "sealed day", "sealed days");
            format!("{release}; {days} from {first} on are others by {own}, which this program has")
        }
        ([], true) => release.to_owned(),
        ([], false) => format!("{release}; by {own}, which this program has, days are the same"),
    }
}

pub(crate) fn view(page: &mut Page, view: &ViewReport, each: bool) {
    let closed = match view.closed_through {
        Some(day) => format!("closed through {day}"),
        None => "no day is closed yet".to_owned(),
    };
    let record = &view.record;
    page.title(&format!("view {}", record.name), &closed);
    page.named("zone", &record.zone);
    if let Some(release) = &view.zone_data {
        page.named("zone data", &zone_data(release, view));
    }
    page.named("key", &short(&record.key));
    page.named("aggregate", &short(&record.aggregate));
    if let Some(schema) = &view.schema {
        let key = schema.key.iter().map(|column| &column.name);
        let measures = schema.measures.iter().map(|measure| &measure.name);
        let columns: Vec<_> = key.chain(measures).map(String::as_str).collect();
        page.named("columns", &columns.join(", "));
    }
    if !record.definition.is_empty() {
        page.named("definition", &record.definition);
    }
    if view.redefined > 0 {
        page.named("redefined", &count(u64::from(view.redefined), "time", "times"));
    }
    if view.revisions.is_empty() {
        return;
    }
    page.table(&match each {
        true => revisions(&view.revisions),
        false => summary(&view.revisions),
    });
}

/// One row for each stretch of days without a gap.
fn summary(revisions: &[LiveBatch]) -> Table {
    let mut by_day: BTreeMap<Day, Vec<&LiveBatch>> = BTreeMap::new();
    for batch in revisions {
        by_day.entry(batch.day).or_default().push(batch);
    }
    let of_day: Vec<Day> = by_day.keys().copied().collect();
    let mut table =
        Table::new(&["DAYS", "SEALED", "AMENDED", "FILES", "ROWS", "BYTES", "SUPERSEDED"]);
    for stretch in stretches(&of_day) {
        let found = &of_day[stretch];
        let is_amended = |day: &&Day| by_day[*day].iter().any(|batch| batch.closing > batch.day);
        let batches = found.iter().flat_map(|day| &by_day[day]);
        let (live, old): (Vec<&LiveBatch>, Vec<_>) = batches.partition(|batch| is_live(batch));
        let sum = |of: fn(&LiveBatch) -> u64| live.iter().map(|batch| of(batch)).sum::<u64>();
        let superseded = match old.len() as u64 {
            0 => "-".to_owned(),
            files => {
                let size = bytes(old.iter().map(|batch| batch.bytes).sum());
                format!("{}, {size}", count(files, "file", "files"))
            }
        };
        table.row([
            days(found[0], found[found.len() - 1]),
            number(found.len() as u64),
            number(found.iter().filter(is_amended).count() as u64),
            number(live.len() as u64),
            number(sum(|batch| batch.rows)),
            bytes(sum(|batch| batch.bytes)),
            superseded,
        ]);
    }
    table
}

fn is_live(batch: &LiveBatch) -> bool {
    !batch.coverage.is_empty()
}

/// One row for each revision, the files of all workers together.
fn revisions(revisions: &[LiveBatch]) -> Table {
    let mut table =
        Table::new(&["DAY", "CLOSING", "GENERATION", "FILES", "ROWS", "BYTES", "COUNTS FOR"]);
    let name = |batch: &LiveBatch| (batch.day, batch.closing, batch.generation);
    for files in revisions.chunk_by(|a, b| name(a) == name(b)) {
        let (day, closing, generation) = name(&files[0]);
        let union = |of: fn(&LiveBatch) -> Coverage| {
            files.iter().fold(Coverage::NONE, |all, batch| all.union(of(batch))).len()
        };
        let (counts, speaks) = (union(|batch| batch.coverage), union(|batch| batch.file_coverage));
        table.row([
            day.to_string(),
            closing.to_string(),
            generation.to_string(),
            files.len().to_string(),
            number(files.iter().map(|batch| batch.rows).sum()),
            bytes(files.iter().map(|batch| batch.bytes).sum()),
            match counts {
                0 => "nothing: superseded".to_owned(),
                _ if counts == speaks => "all that it holds".to_owned(),
                _ => format!("{counts} of its {speaks} partitions"),
            },
        ]);
    }
    table
}

/// The id of a type, with places to break the line. A folder of version 0.1 that was not opened since has Rust type
/// names: these are shown without their module paths.
fn short(name: &str) -> String {
    let mut text = String::new();
    let mut word = String::new();
    let mut rest = name.chars().peekable();
    while let Some(next) = rest.next() {
        match next {
            ':' if rest.peek() == Some(&':') => {
                rest.next();
                word.clear();
            }
            _ if next.is_alphanumeric() || next == '_' => word.push(next),
            _ => {
                text.push_str(&std::mem::take(&mut word));
                text.push(next);
            }
        }
    }
    (text + &word).replace(", ", ",").replace(',', ", ")
}
