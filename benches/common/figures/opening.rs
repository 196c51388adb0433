//! Opening a folder of ten years: the time from the creation of the engine to the first answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dayfold::aggregate::{Count, Max, Sum};
use dayfold::serve::Query;
use dayfold::store::Disk;
use dayfold::time::{Day, DayRange, EventTime};

use super::{GROUPED, LIMIT, Program, fail, is_short};
use crate::workload::{self, DAY_MS, Event, START};

const KEYS: usize = 300;

pub(crate) fn measure() {
    let (days, rounds) = if is_short() { (365, 1) } else { (3_650, 7) };
    println!(
        "\nopening a folder of {days} sealed days of {KEYS} keys (files in the system's cache)"
    );
    for (name, durability) in [("log off", None), ("log on", Some(GROUPED))] {
        let folder = tempfile::tempdir().unwrap();
        let first = START - days as i64 * DAY_MS;
        let open = || Program::start(Arc::new(Disk), folder.path(), 1, durability, START);
        let program = Program::start(Arc::new(Disk), folder.path(), 1, durability, first);
        for day in 0..days {
            program.push(events_of(first + day as i64 * DAY_MS));
        }
        finish(program);
        let lower = Day((first / DAY_MS) as i32);
        let week = DayRange::new(Day(lower.0 + days as i32 - 7), Day(lower.0 + days as i32));
        let mut times = Vec::new();
        for _ in 0..rounds {
            let begun = Instant::now();
            let program = open();
            let answer = program.view.ask(Query::point(workload::key(7), week)).unwrap();
            let answered = begun.elapsed();
            if answer.value() != Some((Count(7), Sum::of(7 * 7), Max(7))) {
                fail("the first answer is wrong");
            }
            let begun = Instant::now();
            let series = program.view.ask(Query::series(workload::key(7), DayRange::ALL)).unwrap();
            let all = begun.elapsed();
            if series.items.len() != days || series.items.iter().any(|i| i.parts.batch.is_none()) {
                fail("not all days were sealed");
            }
            times.push((answered, all));
            finish(program);
        }
        let median = |mut of: Vec<Duration>| {
            of.sort();
            (of[0], of[of.len() / 2])
        };
        let (best, first) = median(times.iter().map(|(first, _)| *first).collect());
        let (_, all) = median(times.iter().map(|(_, all)| *all).collect());
        println!(
            "{name:<10} first answer after {first:.1?} (best {best:.1?}); then a key over all days in {all:.1?}"
        );
    }
}

/// One event for each key: the key's number is its value.
fn events_of(day: EventTime) -> Vec<Event> {
    let event = |number: usize| (day + number as i64, workload::key(number), number as u64);
    (0..KEYS).map(event).collect()
}

/// Ends the source, so that every day is sealed, and the engine.
fn finish(program: Program) {
    let Program { running, pusher, .. } = program;
    drop(pusher);
    assert!(running.wait_sealed(LIMIT).unwrap(), "all days are sealed in time");
    running.finish().unwrap();
}
