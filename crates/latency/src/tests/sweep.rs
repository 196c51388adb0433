//! The search for the highest rate, on systems whose capacity is known.

use super::*;

/// A run of a system that handles `capacity` events a second, each at once, as long as it can.
fn run(rate: u64, capacity: u64) -> Report {
    let schedule = Schedule::new(rate, rate * 2);
    let (mut recorder, mut pacer) =
        (Recorder::new("freshness", &Conditions::new(), SECOND), Pacer::new(schedule));
    for event in 0..schedule.total() {
        let done = (event * SECOND / capacity).max(schedule.at(event));
        recorder.record(schedule.at(event), done);
        pacer.seen(event + 1, done);
    }
    Report::new(pacer.pace()).with(recorder.finish())
}

#[test]
fn a_sweep_finds_the_capacity_from_wherever_it_begins() {
    for (begin, capacity) in [(100, 3_000), (3_000, 3_000), (20_000, 700), (1, 1), (5, 90)] {
        let mut sweep = Sweep::new("freshness", 5 * MS, begin);
        let mut runs = 0;
        while let Some(rate) = sweep.next() {
            sweep.tried(&run(rate, capacity));
            runs += 1;
        }
        let found = sweep.highest().unwrap();
        assert!(
            found <= capacity && found as f64 * 1.05 >= capacity as f64 - 1.0,
            "{begin}: {found} of {capacity}"
        );
        assert!(runs <= 16, "{begin}, {capacity}: {runs} runs");
        assert_eq!(sweep.steps().len(), runs);
    }
}

#[test]
fn a_bound_that_nothing_meets_ends_the_sweep() {
    let mut sweep = Sweep::new("freshness", 0, 1_000);
    while let Some(rate) = sweep.next() {
        let schedule = Schedule::new(rate, rate);
        let report =
            Fake { tick: MS, delay: MS, stall: None }.measure(schedule, &Conditions::new());
        sweep.tried(&report);
    }
    assert_eq!(sweep.highest(), None);
    assert!(sweep.table().contains("at no rate that was tried"));
}
