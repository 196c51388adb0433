//! A new data folder that is started from an export: `--start-from`.
//!
//! The rows of the export's sealed periods are read like a source, as events of their own kind, and the records of the
//! file's sources are read from their beginning: those that the export has counted enter only where they count for
//! periods after it.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use dayfold::dynamic::{Event, RowValue};
use dayfold::engine::Running;
use dayfold::source::{More, Partitioned, Partitions, Reread, Share, Start, Taken, Taking};
use dayfold::time::{Calendar, EventTime};
use dayfold_lake::{Lake, LakeError, LakeOptions, Past as LakePast, PastRows};

use super::exports::{Positions, Told, url};
use crate::error::ProgramError;
use crate::next;
use crate::plan::{Past, PastView, Plan};

/// The name of the source, which no source of a file can have.
const SOURCE: &str = "start from";
/// Rows that are taken of a view before its clock is compared with the others'.
const TURN: usize = 1_024;

/// Notes in a new data folder what it is started from.
///
/// # Errors
/// [`ProgramError::Input`] if the folder is not new, or the export has not what is needed.
pub(super) fn begin(plan: &Plan, export: &str) -> Result<(), ProgramError> {
    let refuse = |what: String| Err(ProgramError::Input(format!("--start-from {export}: {what}")));
    let Some(folder) = &plan.config.data else {
        return refuse("expected a data folder: data = \"…\" in [engine]".to_owned());
    };
    let named = plan.config.exports.iter().find(|known| known.name.value == export);
    let Some(named) = named else {
        return refuse("the file has no export of that name".to_owned());
    };
    if !named.states {
        return refuse(format!(
            "expected states = true in [exports.{export}], when it was written and now"
        ));
    }
    let url = url(&plan.config, named);
    if let Some((past, _)) = &plan.past {
        return match past.url == url {
            // A run that was killed goes on.
            true => Ok(()),
            false => refuse(format!("the data folder was started from {}", past.url)),
        };
    }
    let is_new = next::folder(folder).map_err(|error| ProgramError::Input(error.to_string()))?;
    if is_new.is_some_and(|report| report.parts.iter().any(|part| part.run.is_some())) {
        return refuse(format!(
            "the data folder {} is not new: it goes on from what it has; leave --start-from out",
            folder.display()
        ));
    }
    let failed = |error: LakeError| ProgramError::Failed(format!("--start-from {export}: {error}"));
    let lake = Lake::open(&url, LakeOptions::default()).map_err(failed)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut views = BTreeMap::new();
    for name in &named.views {
        let view = plan.views.iter().find(|view| view.config.name.value == *name);
        let view = view.ok_or_else(|| ProgramError::Input(format!("there is no view {name}")))?;
        if view.config.rollups.iter().any(|(_, span)| span.is_some()) {
            return refuse(format!(
                "view {name} keeps rollups for a longer time than its periods, and an export has no rollups: what only they have \
                 would be missing"
            ));
        }
        let Some(found) = runtime.block_on(lake.past(name)).map_err(failed)? else {
            return refuse(format!(
                "the table of view {name} has no state to start from: it was not written with states = true, by one process, or \
                 nothing was sealed"
            ));
        };
        let record = view.definition.record();
        let here = (
            (record.zone.as_str(), record.grain.name()),
            (record.key.as_str(), record.aggregate.as_str()),
        );
        if (found.calendar(), found.ids()) != here {
            return refuse(format!(
                "view {name} is another one in the export: {:?} {:?}, and here {here:?}",
                found.calendar(),
                found.ids()
            ));
        }
        let calendar = Calendar::new(&record.zone);
        let calendar = calendar.map_err(|error| ProgramError::Input(error.to_string()))?;
        views.insert(name.clone(), taken_over(&found, &calendar.by(record.grain)));
    }
    let defined = plan.views.iter().map(|view| view.definition.record());
    Past::new(url, views, defined).write(folder)?;
    Ok(())
}

fn taken_over(found: &LakePast, calendar: &Calendar) -> PastView {
    let file = |file: &dayfold_lake::PastFile| {
        (calendar.end_of(file.day()), file.path().to_owned(), file.rows())
    };
    PastView {
        end: calendar.end_of(found.through()),
        positions: found.positions().clone(),
        files: found.files().iter().map(file).collect(),
    }
}

/// What filters the records of other sources.
pub(super) fn reread(plan: &Plan) -> Option<Reread<Event>> {
    let (_, passing) = plan.past.as_ref()?;
    let passing = Arc::clone(passing);
    let before = passing.all_positions();
    Some(Reread::new(before, move |partition, next, event| passing.pass(partition, next, event)))
}

/// What an engine's exports record.
pub(super) fn told(plan: &Plan, running: &Running) -> Told {
    let observer = running.observer();
    let late_events = move |view: &str| {
        let progress = observer.progress();
        let at = progress.view_names.iter().position(|name| name == view)?;
        progress.views.get(at).map(|numbers| numbers.late)
    };
    Told { positions: positions(plan, running), late_events: Arc::new(late_events) }
}

/// How far its sources are. Nothing as long as records are read again that the folder
/// from which this one was started had counted.
fn positions(plan: &Plan, running: &Running) -> Arc<Positions> {
    let observer = running.observer();
    let reread = plan.past.as_ref().map(|(_, passing)| passing.before()).unwrap_or_default();
    Arc::new(move |view, closing| {
        let mut positions = observer.positions(view, closing)?;
        positions.retain(|partition, _| !partition.starts_with(&format!("{SOURCE}/")));
        for (partition, before) in &reread {
            // A file that is gone counts as far as it has counted.
            if *positions.entry(partition.clone()).or_insert(*before) < *before {
                return None;
            }
        }
        Some(positions)
    })
}

/// The rows that are taken over; each view is a partition.
pub(super) struct Rows {
    past: Past,
    layouts: BTreeMap<String, usize>,
}

impl Rows {
    pub(super) fn of(plan: &Plan) -> Option<Rows> {
        let (past, passing) = plan.past.as_ref()?;
        Some(Rows { past: past.clone(), layouts: passing.rows.clone() })
    }
}

impl Partitioned<Event> for Rows {
    fn name(&self) -> &str {
        SOURCE
    }

    fn open(&self, share: &Share) -> io::Result<Box<dyn Partitions<Event>>> {
        let mine = self.past.views.iter().filter(|(view, _)| share.has_named(view));
        let views = mine.map(|(view, past)| {
            let next = share.committed(view).map_or(0, |committed| committed.next);
            let mut rows = OfView {
                view: view.clone(),
                layout: self.layouts.get(view).copied().unwrap_or(usize::MAX),
                files: past.files.clone(),
                file: 0,
                left: next,
                next,
                open: None,
            };
            rows.skip();
            rows
        });
        let views = views.collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let lake = Lake::open(&self.past.url, LakeOptions::default()).map_err(io::Error::other)?;
        Ok(Box::new(Reading { lake, runtime, views, is_known: false }))
    }
}

/// The rows of a view.
struct OfView {
    view: String,
    layout: usize,
    files: Vec<(EventTime, String, u64)>,
    /// The file of the next row.
    file: usize,
    /// Rows of that file that earlier runs have taken.
    left: u64,
    /// The number of the next row.
    next: u64,
    open: Option<PastRows>,
}

impl OfView {
    /// Passes files that are read to their end.
    fn skip(&mut self) {
        while let Some((_, _, rows)) =
            self.files.get(self.file).filter(|(.., rows)| *rows <= self.left)
        {
            (self.file, self.left) = (self.file + 1, self.left - rows);
        }
    }

    /// When the period of the next row ends; nothing after the last row.
    fn clock(&self) -> Option<EventTime> {
        self.files.get(self.file).map(|(end, ..)| end - 1)
    }

    fn take(
        &mut self,
        index: usize,
        (lake, runtime): (&Lake, &tokio::runtime::Runtime),
        into: &mut Taking<Event>,
    ) -> io::Result<()> {
        for _ in 0..TURN {
            let (Some(time), false) = (self.clock(), into.is_full()) else { return Ok(()) };
            let (_, path, rows) = &self.files[self.file];
            if self.open.is_none() {
                let mut found =
                    runtime.block_on(lake.past_rows(&self.view, path)).map_err(io::Error::other)?;
                for _ in 0..self.left {
                    found.next_state().map_err(io::Error::other)?;
                }
                self.open = Some(found);
            }
            let open = self.open.as_mut().expect("it was opened just now");
            let Some(state) = open.next_state().map_err(io::Error::other)? else {
                let message =
                    format!("{path} of view {} has fewer than its {rows} rows", self.view);
                return Err(io::Error::new(io::ErrorKind::InvalidData, message));
            };
            let values = [RowValue::Integer(self.layout as i128), RowValue::Bytes(state.into())];
            let event = Event::new(time, values);
            (self.next, self.left) = (self.next + 1, self.left + 1);
            into.event(index, Taken::new(self.next, b""), time, event);
            let file = self.file;
            self.skip();
            if self.file != file {
                self.open = None;
            }
        }
        Ok(())
    }
}

/// The views of one worker.
struct Reading {
    lake: Lake,
    runtime: tokio::runtime::Runtime,
    views: Vec<OfView>,
    is_known: bool,
}

impl Partitions<Event> for Reading {
    fn take(&mut self, into: &mut Taking<Event>, wait: Duration) -> io::Result<More> {
        if !std::mem::replace(&mut self.is_known, true) {
            for (index, view) in self.views.iter().enumerate() {
                into.add(&view.view, Start::new(0, view.next));
                match view.clock() {
                    Some(clock) => into.idle(index, clock),
                    None => into.ended(index),
                }
            }
            into.ready();
        }
        let mut has_taken = false;
        while !into.is_full() {
            let left = self.views.iter().enumerate();
            let left = left.filter_map(|(index, view)| Some((view.clock()?, index)));
            let mut left: Vec<(EventTime, usize)> = left.collect();
            if left.is_empty() {
                return Ok(More::Ended);
            }
            left.retain(|(_, index)| !into.is_paused(*index));
            let Some((_, index)) = left.into_iter().min() else { break };
            self.views[index].take(index, (&self.lake, &self.runtime), into)?;
            if self.views[index].clock().is_none() {
                into.ended(index);
            }
            has_taken = true;
        }
        if !has_taken {
            // All of them wait for other sources.
            std::thread::sleep(wait);
        }
        Ok(More::Later)
    }
}
