//! Random schedules of the whole engine, with crashes: whatever happens in whatever order, nothing is lost and nothing
//! counts twice.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod content;
mod mend;
mod program;
mod random;
mod regressions;
mod run;
mod world;

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use dayfold::store::Failure;

use program::lock;
use run::End;
use world::World;

/// The number of schedules, unless `DAYFOLD_SCHEDULES` sets it. `DAYFOLD_SEED` runs that one alone.
const SCHEDULES: u64 = if cfg!(debug_assertions) { 60 } else { 400 };

/// Several schedules run at the same time, because engines mostly wait.
const AT_ONCE: u64 = 4;

/// A schedule that takes longer than this hangs.
const HANGS: Duration = Duration::from_secs(180);

type Schedule = fn(u64, Arc<Mutex<Vec<String>>>);

/// One schedule: some runs, each of which may go wrong, and then one that does not.
fn schedule(seed: u64, trace: Arc<Mutex<Vec<String>>>) {
    let mut world = World::new(seed, trace);
    for _ in 0..1 + world.random.below(6) {
        world.change();
        let workers = 1 + world.random.below(3) as usize;
        let end = end(&mut world);
        world.run(workers, end);
        recover(&mut world, end);
        let is_mendable = world.program.log_days.is_none();
        if is_mendable && !world.storage.has_crashed() && world.random.one_in(8) {
            world.mend();
        }
    }
    world.change();
    world.storage = world.storage.after_kill();
    world.storage.free_space();
    let workers = 1 + world.random.below(3) as usize;
    assert!(world.run(workers, End::Complete));
}

fn end(world: &mut World) -> End {
    let most = world.operations + world.operations / 8;
    let random = &mut world.random;
    // The beginning of a run is where it recovers.
    let most = if random.one_in(3) { 40 } else { most };
    let number = 1 + random.below(most);
    let failures = [Failure::NotDone, Failure::DoneButReported, Failure::Partly, Failure::DiskFull];
    match random.below(10) {
        0 | 1 => End::Complete,
        2 => End::Interrupt,
        3 => End::Drop,
        4..8 => End::Crash(number),
        _ => End::Fail(number, random.pick(&failures)),
    }
}

/// Sets the state that the next run finds.
fn recover(world: &mut World, end: End) {
    if matches!(end, End::Crash(_)) {
        // The run may have ended before the planned crash.
        world.storage.crash();
    }
    match world.random.below(4) {
        0 | 1 => {
            let seed = world.random.next() * world.random.below(2);
            world.note(format!("the power is lost, with seed {seed}"));
            world.storage = world.storage.after_power_loss(seed);
        }
        // The machine goes on, unless a failure is still planned there.
        2 if !world.storage.has_crashed()
            && (world.has_failed() || world.faulty_from == u64::MAX) => {}
        _ => world.storage = world.storage.after_kill(),
    }
    world.storage.free_space();
}

/// A small program is stopped, or has a failure, at one operation of its first or second run.
fn one_operation(job: u64, trace: Arc<Mutex<Vec<String>>>) {
    let (at, job) = (1 + job / WAYS, job % WAYS);
    let mut world = World::small(at, trace);
    if job % 2 == 1 {
        assert!(world.run(2, End::Complete));
        world.content.grow_by(8, &mut world.random);
    }
    let end = match job / 2 {
        0..3 => End::Crash(at),
        3 => End::Fail(at, Failure::DoneButReported),
        _ => End::Fail(at, Failure::NotDone),
    };
    world.run(2, end);
    world.storage = match job / 2 {
        0 => world.storage.after_kill(),
        1 => world.storage.after_power_loss(0),
        2 => world.storage.after_power_loss(at),
        _ if world.has_failed() => world.storage,
        _ => return,
    };
    assert!(world.run(1, End::Complete));
    world.content.grow_by(8, &mut world.random);
    world.storage = world.storage.after_power_loss(0);
    assert!(world.run(2, End::Complete));
}

/// The number of ways in which an operation goes wrong.
const WAYS: u64 = 10;

/// Runs schedules on several threads. Fails with the seeds and traces of those that failed or do not end.
fn run_all(seeds: impl Iterator<Item = u64> + Send + 'static, schedule: Schedule) {
    let seeds = Arc::new(Mutex::new(seeds));
    let (told, tells) = mpsc::channel();
    for thread in 0..AT_ONCE {
        let (seeds, told) = (Arc::clone(&seeds), told.clone());
        let name = format!("schedules-{thread}");
        let work = move || {
            loop {
                let Some(seed) = lock(&seeds).next() else { return };
                let trace = Arc::<Mutex<Vec<String>>>::default();
                told.send((seed, Arc::clone(&trace), None)).unwrap();
                let noted = Arc::clone(&trace);
                let result = std::panic::catch_unwind(AssertUnwindSafe(|| schedule(seed, noted)));
                told.send((seed, trace, Some(result.is_ok()))).unwrap();
            }
        };
        std::thread::Builder::new().name(name).spawn(work).unwrap();
    }
    drop(told);
    let mut under_way = BTreeMap::new();
    let mut failed = Vec::new();
    let show = |seed: u64, trace: &Mutex<Vec<String>>| {
        eprintln!("schedule {seed}:\n  {}", lock(trace).join("\n  "));
    };
    loop {
        match tells.recv_timeout(HANGS) {
            Ok((seed, trace, None)) => drop(under_way.insert(seed, trace)),
            Ok((seed, trace, Some(is_ok))) => {
                under_way.remove(&seed);
                if !is_ok {
                    show(seed, &trace);
                    failed.push(seed);
                }
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                under_way.iter().for_each(|(seed, trace)| show(*seed, trace));
                panic!("schedules {:?} do not end", under_way.keys());
            }
        }
    }
    assert!(failed.is_empty(), "these schedules fail: {failed:?}");
}

/// Counts panics in threads of the engine, which do not fail a test by themselves.
fn count_panics() -> &'static AtomicU64 {
    static PANICS: AtomicU64 = AtomicU64::new(0);
    static HOOK: std::sync::Once = std::sync::Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let thread = std::thread::current();
            if !thread.name().is_some_and(|name| name.starts_with("schedules-")) {
                PANICS.fetch_add(1, Ordering::SeqCst);
            }
            before(info);
        }));
    });
    &PANICS
}

#[test]
fn oracle_random_schedules_lose_and_double_nothing() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let panics = count_panics();
    let before = panics.load(Ordering::SeqCst);
    match number("DAYFOLD_SEED") {
        Some(seed) => {
            run_all((0..number("DAYFOLD_SCHEDULES").unwrap_or(1)).map(move |_| seed), schedule)
        }
        None => run_all(0..number("DAYFOLD_SCHEDULES").unwrap_or(SCHEDULES), schedule),
    }
    assert_eq!(panics.load(Ordering::SeqCst), before, "the engine has panicked");
}

#[test]
fn every_operation_may_be_the_last() {
    let mut world = World::small(0, Arc::default());
    let mut most = 0;
    for _ in 0..2 {
        assert!(world.run(2, End::Complete));
        most = world.operations.max(most);
        world.content.grow_by(8, &mut world.random);
    }
    // Threads are scheduled differently each time, so some runs have a few more operations. Without optimisation, some
    // operations are skipped.
    let step = if cfg!(debug_assertions) { 7 } else { 1 };
    run_all((0..(most + 5) * WAYS).step_by(step), one_operation);
}
