//! Ingest with the log and without it, and a plain writer that does the same commits.
//!
//! The time ends when every event is visible and, with a log, durable. No day closes meanwhile, so that only the log
//! makes a difference.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dayfold::key::KeyRange;
use dayfold::serve::Query;
use dayfold::store::{Disk, Storage};
use dayfold::time::DayRange;

use super::traced::{Step, Traced};
use super::{GROUPED, LIMIT, Program, fail, is_short, plain, summary};
use crate::workload::{self, Event, Groups, START};

/// Events that are pushed together.
const BATCH: usize = 10_000;

pub(crate) fn measure() {
    let events = workload::events();
    let (reference, _) = workload::hash_map(std::slice::from_ref(&events));
    let (rounds, passes) = if is_short() { (1, 1) } else { (7, 3) };
    let count = events.len() * passes;
    let bytes = plain::encoded(&events);
    println!(
        "\ningest of {} million events, visible and durable, in batches of {BATCH}; commits every 10 ms",
        count / 1_000_000
    );
    println!("{:<44} {:>10} {:>10} {:>8} {:>8}", "", "best", "median", "best", "median");
    for workers in [1, 2] {
        let [mut off, mut on, mut alone, mut to_off, mut to_plain] = [(); 5].map(|()| Vec::new());
        let mut commits = Vec::new();
        for _ in 0..rounds {
            let (without, _) = run(workers, false, &events, passes, &reference);
            let (with, steps) = run(workers, true, &events, passes, &reference);
            let folder = tempfile::tempdir().unwrap();
            let plain = plain::write(&steps, &bytes, folder.path());
            let rate = |time: Duration| count as f64 / time.as_secs_f64();
            off.push(rate(without));
            on.push(rate(with));
            alone.push(rate(plain));
            to_off.push(rate(with) / rate(without));
            to_plain.push(rate(with) / rate(plain));
            let syncs = steps.iter().filter(|step| matches!(step, Step::Sync(_))).count();
            commits.push(syncs as f64);
        }
        let line = |name: &str, rates: Vec<f64>, ratios: Option<Vec<f64>>| {
            let (best, median) = summary(rates);
            print!("{name:<44} {:>8.2} M {:>8.2} M", best / 1e6, median / 1e6);
            if let Some((best, median)) = ratios.map(summary) {
                print!(" {best:>8.2} {median:>8.2}");
            }
            println!();
        };
        line(&format!("{workers} worker(s), log off"), off, None);
        line(&format!("{workers} worker(s), log on; ratio to log off"), on.clone(), Some(to_off));
        line("  ratio to the plain writer", on, Some(to_plain));
        line("plain writer of the same commits", alone, None);
        println!("  {:.0} syncs of files of events (median)", summary(commits).1);
    }
}

/// One run: how long it took, and what the log did. The result is compared with the hash map's.
fn run(
    workers: usize,
    logged: bool,
    events: &[Event],
    passes: usize,
    reference: &Groups,
) -> (Duration, Vec<Step>) {
    let folder = tempfile::tempdir().unwrap();
    let storage = Arc::new(Traced::default());
    let durability = logged.then_some(GROUPED);
    let program = Program::start(
        Arc::clone(&storage) as Arc<dyn Storage>,
        folder.path(),
        workers,
        durability,
        START,
    );
    let batches: Vec<_> =
        (0..passes).flat_map(|_| events.chunks(BATCH).map(<[Event]>::to_vec)).collect();
    let start = Instant::now();
    let receipts: Vec<_> = batches.into_iter().map(|batch| program.push(batch)).collect();
    for receipt in receipts {
        let waited = if logged { receipt.wait_both(LIMIT) } else { receipt.wait_visible(LIMIT) };
        waited.unwrap();
    }
    let time = start.elapsed();
    check(&program, reference, passes);
    drop(program);
    if logged {
        let parts = [(0, folder.path().join("part-0"))];
        let state = dayfold::log::scan(&Disk, &parts, u64::MAX).unwrap();
        let verified = dayfold::log::verify(&Disk, &state).unwrap();
        if verified.events != (events.len() * passes) as u64 {
            fail("the log does not hold all events");
        }
    }
    (time, storage.take())
}

/// Ends the program unless the view holds exactly the rows of the reference.
pub(super) fn check(program: &Program, reference: &Groups, passes: usize) {
    let answer = program.view.ask(Query::rows(KeyRange::all(), DayRange::ALL)).unwrap();
    let wrong = workload::wrong_rows(&answer.items, reference, passes as u64);
    if wrong > 0 {
        fail(&format!("{wrong} rows of {} differ from the hash map's", reference.len()));
    }
}
