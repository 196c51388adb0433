//! The laws of the log: what was committed is there, once and complete, whatever happened in between.

mod basics;
mod bytes;
mod crash;
mod fake;
mod merged;
mod shorten;
mod threads;
mod torn;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::*;
use crate::moment::Moment;
use crate::source::Refused;
use crate::store::{LogPosition, Memory, Storage};
use crate::time::EventTime;

/// Event time, key, value.
type Event = (EventTime, u64, i64);

const PART: &str = "/data/part-0";
const DAY_MS: i64 = 86_400_000;

fn codec() -> EventCodec<Event> {
    EventCodec::new(|event: &Event| event.0)
}

fn writer(storage: &Arc<dyn Storage>, run: u64, worker: u32, how: Durability) -> LogWriter<Event> {
    let (storage, definition) = (Arc::clone(storage), vec![("v".to_owned(), 3_600_000)]);
    LogWriter::new(storage, PART.into(), run, worker, definition, how, codec(), || {})
}

/// `count` events of `day`.
fn entry(tick: u64, day: i64, count: u64) -> Entry<Event> {
    let event = |n: u64| (day * DAY_MS + n as i64, tick, n as i64);
    Entry {
        moment: Moment::new(day, tick),
        events: Arc::new((0..count).map(event).collect()),
        ranges: vec![SourceRange { source: 1, from: 10 * tick, to: 10 * tick + 10, mark: vec![] }],
        extents: Vec::new(),
        refused: Vec::new(),
        refused_elsewhere: 0,
        once: None,
    }
}

fn parts() -> Vec<(u32, PathBuf)> {
    vec![(0, PART.into())]
}

fn scanned(storage: &dyn Storage) -> Result<LogState, LogError> {
    scan(storage, &parts(), u64::MAX)
}

/// All events that count, with their moments, in order of files.
fn events(storage: &dyn Storage) -> Result<Vec<(Moment, Event)>, LogError> {
    let mut found = Vec::new();
    for file in &scanned(storage)?.files {
        let mut frames = Frames::open(storage, file)?;
        while let Some(frame) = frames.next(|_| true)? {
            let moment = frame.moment;
            found.extend(frame.decode(&codec())?.into_iter().map(|event| (moment, event)));
        }
    }
    Ok(found)
}
