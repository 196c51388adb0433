//! Failures that schedules have found, in few steps. (More are beside the code that was wrong: in
//! `src/source/csv/tests/resuming.rs`, `src/speed/combine.rs` and `src/log/tests/crash.rs`.)

use std::sync::Arc;
use std::time::Duration;

use dayfold::Cluster;
use dayfold::serve::Query;
use dayfold::time::DayRange;

use crate::program::{Event, HOUR, Program, START, Spec};
use crate::run::End;
use crate::world::World;

/// The views that could not seal kept the others waiting, and `finish` with them.
#[test]
fn regression_an_engine_whose_disk_is_gone_while_it_finishes_says_so() {
    for workers in 1..4 {
        let mut world = World::small(0, Arc::default());
        assert!(world.run(workers, End::Complete));
        world.content.grow_by(8, &mut world.random);
        for number in 1..12 {
            let built = world.program.build(&world.storage, &world.content);
            let running = built.engine.start(Cluster::workers(workers)).unwrap();
            while running.progress().rows == 0 {
                std::thread::yield_now();
            }
            world.storage.crash_at(world.storage.operations() + number);
            let finished = running.finish();
            // What was being sealed may be left to the log, if the log had committed everything; then `sealed` is
            // false.
            let is_told = finished.as_ref().is_err() || finished.as_ref().is_ok_and(|s| !s.sealed);
            assert!(!world.storage.has_crashed() || is_told, "{finished:?}");
            world.storage = world.storage.after_kill();
            world.content.grow_by(3, &mut world.random);
        }
    }
}

/// A worker reported that its share was back when it came to a day beyond the floor.
#[test]
fn regression_queries_wait_for_the_days_of_the_log_that_had_not_closed() {
    for workers in 1..3 {
        let mut world = World::small(0, Arc::default());
        let views = vec![Spec::plain("first")];
        world.program = Program { views, reads: false, is_live: true, ..world.program };
        let built = world.program.build(&world.storage, &world.content);
        let running = built.engine.start(Cluster::workers(workers)).unwrap();
        let pusher = built.pusher.unwrap();
        let hours = [-50, -30, -26, -2, 2, 3, 20, 22];
        let event = |at: usize| -> Event { (START + hours[at % 8] * HOUR, at as u64, 1, 1) };
        let pushed = pusher.push((0..64).map(event).collect()).unwrap();
        pushed.receipt.wait_durable(Duration::from_secs(60)).unwrap();
        drop(running);

        let built = world.program.build(&world.storage.after_kill(), &world.content);
        let running = built.engine.start(Cluster::workers(workers)).unwrap();
        let total = built.handles[0].ask(Query::total(DayRange::ALL)).unwrap().value();
        assert_eq!(total.map(|stats| stats.0.0), Some(64));
        drop(running);
    }
}
