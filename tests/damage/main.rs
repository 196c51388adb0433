//! Damages to the log of a folder: after cuts, deletions, zeroed pages, or a mix of copies of different ages, the next
//! run reports an error or gives the right answer.
//!
//! Real engines with one and two workers and processes build folders in memory; copies are made while the program runs
//! and after it has ended. Each damage follows from a seed, which is printed if it fails.
//!
//! ```sh
//! DAYFOLD_DAMAGES=20000 cargo test --release --test damage -- --nocapture
//! DAYFOLD_SEED=7 cargo test --release --test damage
//! ```
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod damages;
mod folder;
mod program;
#[path = "../crashes/random.rs"]
#[allow(dead_code, reason = "the crashes take other choices")]
mod random;

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dayfold::aggregate::Count;
use dayfold::engine::{LiveOptions, Measures};
use dayfold::log::Durability;
use dayfold::store::{Disk, Memory};
use dayfold::view::View;
use dayfold::{Cluster, Engine};
use folder::Folder;
use program::{Program, Shape, timeline};
use random::Random;

/// Damages that are tried unless `DAYFOLD_DAMAGES` says how many; `DAYFOLD_SEED` tries that one alone.
const DAMAGES: u64 = if cfg!(debug_assertions) { 400 } else { 1_600 };

const SHAPES: [Shape; 5] = [
    Shape { processes: 1, workers: 1, apart: false },
    Shape { processes: 1, workers: 2, apart: false },
    Shape { processes: 2, workers: 1, apart: false },
    Shape { processes: 2, workers: 2, apart: false },
    Shape { processes: 2, workers: 1, apart: true },
];

/// A configuration of the program, and copies of its folder of all ages, the oldest first.
struct Timeline {
    shape: Shape,
    ages: Vec<Folder>,
}

/// What came of the damages.
#[derive(Default)]
struct Tally {
    right: AtomicU64,
    refused: AtomicU64,
    /// Refused folders that gave the right answer after the log was given up.
    accepted: AtomicU64,
}

fn try_one(seed: u64, timelines: &[Timeline], tally: &Tally, trace: &Mutex<String>) {
    let mut random = Random(seed);
    let Timeline { shape, ages } = &timelines[random.below(timelines.len() as u64) as usize];
    let age = random.below(ages.len() as u64) as usize;
    let mut folder = ages[age].clone();
    let done = damages::damage(&mut folder, ages, &mut random);
    *trace.lock().unwrap() = format!("{shape:?}, age {age} of {}: {done}", ages.len());
    let program = Program::of(*shape, &folder, &mut random);
    match program.run_to_the_end() {
        Ok(()) => drop(tally.right.fetch_add(1, Ordering::Relaxed)),
        Err(error) => {
            trace.lock().unwrap().push_str(&format!(": {error}"));
            for wrong in ["panicked", "a worker stopped", "unreachable"] {
                assert!(!error.contains(wrong), "{error}");
            }
            tally.refused.fetch_add(1, Ordering::Relaxed);
            if error.contains("--accept-lost-log") {
                let accepting = Program::of(*shape, &folder, &mut random).accepting();
                accepting.run_to_the_end().unwrap();
                tally.accepted.fetch_add(1, Ordering::Relaxed);
                let disks = Folder::of(&accepting.disks).disks;
                let mut paths = disks.iter().flat_map(|files| files.keys());
                assert!(paths.any(|path| path.starts_with("/data/set-aside-1-part-0")));
            }
        }
    }
}

#[test]
fn oracle_a_damaged_log_is_refused_or_gives_the_right_answer() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let timelines: Vec<Timeline> =
        SHAPES.into_iter().map(|shape| Timeline { shape, ages: timeline(shape) }).collect();
    // An undamaged folder is never refused, whatever its age.
    for Timeline { shape, ages } in &timelines {
        for (age, folder) in ages.iter().enumerate() {
            let ran = Program::of(*shape, folder, &mut Random(7)).run_to_the_end();
            ran.unwrap_or_else(|error| panic!("{shape:?}, age {age}, undamaged: {error}"));
        }
    }
    let seeds: Vec<u64> = match number("DAYFOLD_SEED") {
        Some(seed) => vec![seed],
        None => (0..number("DAYFOLD_DAMAGES").unwrap_or(DAMAGES)).collect(),
    };
    let (tally, next, failed) = (Tally::default(), AtomicU64::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(&seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
                    let trace = Arc::<Mutex<String>>::default();
                    let one = || try_one(seed, &timelines, &tally, &trace);
                    if std::panic::catch_unwind(AssertUnwindSafe(one)).is_err() {
                        let done = trace.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
                        eprintln!("seed {seed}: {done}");
                        failed.lock().unwrap().push(seed);
                    }
                }
            });
        }
    });
    let (right, refused) = (tally.right.into_inner(), tally.refused.into_inner());
    let accepted = tally.accepted.into_inner();
    println!("{right} gave the right answer, {refused} were refused, {accepted} of them read anew");
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "these seeds fail: {failed:?}");
    // The test is only meaningful if both outcomes occur.
    assert!(seeds.len() < 100 || right > 10 && refused > 10, "{right} right, {refused} refused");
}

/// A program can continue from a copy of a folder in use, made at any moment, and gives the right answer.
#[test]
fn oracle_a_backup_goes_on_from_any_moment() {
    let rows = program::ROWS as usize;
    for shape in [SHAPES[1], SHAPES[3]] {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("data");
        let program = Program::at(shape, &folder);
        let mut random = Random(3);
        let mut copies = Vec::new();
        for part in [0..rows / 2, rows / 2..rows] {
            program.run_beside(part, || {
                std::thread::sleep(Duration::from_millis(random.below(40)));
                let copy = place.path().join(format!("copy-{}", copies.len()));
                // Before the processes have begun, there is no folder.
                if dayfold::store::backup(&folder, &copy).is_ok() {
                    copies.push(copy);
                }
            });
        }
        assert!(copies.len() > 2, "{} copies", copies.len());
        for copy in &copies {
            let report = dayfold::store::inspect(&Disk, copy).unwrap();
            assert!(dayfold::log::prove(&Disk, &report).is_empty());
            let again = Shape { workers: 1 + random.below(2) as usize, ..shape };
            let ran = Program::at(again, copy).run_to_the_end();
            ran.unwrap_or_else(|error| panic!("{}: {error}", copy.display()));
        }
    }
}

/// Pushed events are nowhere else.
#[test]
fn a_lost_log_of_pushed_events_is_not_given_up() {
    let mut engine = Engine::<i64>::new();
    let _view = engine.view(View::new("v").unwrap(), Measures::<Count>::none(), |&time| {
        Some((time, 0_u64, Count::one()))
    });
    let _pusher = engine.live(LiveOptions::new(|time: &i64| *time));
    let engine = engine.data_in(Arc::new(Memory::default()), "/data");
    let engine = engine.log(Durability::EveryCommit, |time| *time).accept_lost_log();
    let Err(error) = engine.start(Cluster::workers(1)) else { panic!("it has started") };
    let said = error.to_string();
    assert!(said.contains("cannot be read again: restore the data folder from a copy"), "{said}");
}
