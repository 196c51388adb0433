//! Waiting for a push until it is visible, durable, or both; and what happens to it when the disk fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use dayfold::aggregate::{Count, Sum};
use dayfold::engine::{LiveOptions, Measures, Pusher, Receipt, Running, ViewHandle, WaitError};
use dayfold::log::Durability;
use dayfold::serve::Query;
use dayfold::store::{Failure, Faulty};
use dayfold::time::{DayRange, EventTime};
use dayfold::view::View;
use dayfold::{Cluster, Engine};

use crate::LONG;

type Event = (EventTime, u64, i64);
type Stats = (Count, Sum);

/// The clock of these tests.
const NOW: EventTime = 1_700_000_000_000;

struct Program {
    running: Running,
    view: ViewHandle<u64, Stats>,
    pusher: Pusher<Event>,
}

impl Program {
    fn start(disk: Option<&Faulty>, durability: Durability, workers: usize) -> Program {
        let mut engine = Engine::<Event>::new().clock(|| NOW);
        let view = View::new("v").unwrap();
        let view = engine.view(view, Measures::none(), |&(time, key, value): &Event| {
            Some((time, key, (Count::one(), Sum::of(value))))
        });
        let pusher = engine.live(LiveOptions::new(|event: &Event| event.0));
        if let Some(disk) = disk {
            engine =
                engine.data_in(Arc::new(disk.clone()), "data").log(durability, |event| event.0);
        }
        let running = engine.start(Cluster::workers(workers)).unwrap();
        Program { running, view, pusher }
    }

    fn push(&self, values: std::ops::Range<i64>) -> Receipt {
        let events = values.map(|value| (NOW - value, value as u64 % 3, value)).collect();
        self.pusher.push(events).unwrap().receipt
    }

    fn total(&self) -> Option<Stats> {
        self.view.ask(Query::total(DayRange::ALL)).unwrap().value()
    }
}

fn stats(values: std::ops::Range<i64>) -> Option<Stats> {
    Some((Count(values.end - values.start), Sum::of(values.sum::<i64>())))
}

#[test]
fn what_is_visible_is_in_the_next_answer() {
    for workers in [1, 3] {
        let program = Program::start(None, Durability::System, workers);
        for batch in 0..50 {
            program.push(batch * 10..batch * 10 + 10).wait_visible(LONG).unwrap();
            assert_eq!(program.total(), stats(0..batch * 10 + 10));
        }
        drop(program.pusher);
        program.running.finish().unwrap();
    }
}

#[test]
fn what_is_durable_survives_a_loss_of_power() {
    for (durability, workers) in
        [(Durability::EveryCommit, 1), (Durability::Every(Duration::from_millis(3)), 2)]
    {
        let disk = Faulty::new(1);
        let program = Program::start(Some(&disk), durability, workers);
        for batch in 0..10 {
            program.push(batch * 10..batch * 10 + 10).wait_durable(LONG).unwrap();
        }
        // Nobody waited for it, so it is either there as a whole, or not.
        let _ = program.push(100..110);
        let left = disk.after_power_loss(0);
        disk.crash();
        drop(program);
        let program = Program::start(Some(&left), durability, 3 - workers);
        let total = program.total();
        assert!(total == stats(0..100) || total == stats(0..110), "{total:?}");
        program.push(200..203).wait_both(LONG).unwrap();
        let (Count(events), _) = program.total().unwrap();
        assert_eq!(events, total.unwrap().0.0 + 3);
    }
}

#[test]
fn nothing_is_promised_where_nothing_is_synced() {
    let disk = Faulty::new(2);
    for disk in [None, Some(&disk)] {
        let program = Program::start(disk, Durability::System, 1);
        let receipt = program.push(0..5);
        assert!(matches!(receipt.wait_durable(LONG), Err(WaitError::NotPromised)));
        assert!(matches!(receipt.wait_both(LONG), Err(WaitError::NotPromised)));
        receipt.wait_visible(LONG).unwrap();
        program.running.finish().unwrap();
    }
    // But a killed process loses nothing that was written.
    let program = Program::start(Some(&disk.after_kill()), Durability::System, 2);
    assert_eq!(program.total(), stats(0..5));
}

#[test]
fn a_log_that_has_failed_acknowledges_nothing_more() {
    for failure in [Failure::NotDone, Failure::DoneButReported, Failure::Partly, Failure::DiskFull]
    {
        let disk = Faulty::new(3);
        let program = Program::start(Some(&disk), Durability::EveryCommit, 1);
        program.push(0..10).wait_durable(LONG).unwrap();
        disk.fail_at(disk.operations() + 1, failure);
        let failed = program.push(10..20).wait_durable(LONG);
        assert!(matches!(failed, Err(WaitError::Log(_) | WaitError::Stopped)), "{failed:?}");
        // The engine stops, with the reason; later pushes are returned.
        assert!(program.running.wait_stopped(LONG));
        let ended = program.running.finish().err().unwrap().to_string();
        assert!(ended.contains("log"), "{ended}");
        assert_eq!(program.pusher.push(vec![(NOW, 1, 1)]).unwrap_err().events.len(), 1);
        disk.free_space();
        let program = Program::start(Some(&disk.after_kill()), Durability::EveryCommit, 2);
        let total = program.total();
        assert!(total == stats(0..10) || total == stats(0..20), "{failure:?}: {total:?}");
    }
}

#[test]
fn a_wait_may_be_given_up_and_begun_again() {
    let disk = Faulty::new(4);
    let hour = Durability::Every(Duration::from_secs(3_600));
    let program = Program::start(Some(&disk), hour, 1);
    // Sealing syncs the log, so yesterday must be sealed first.
    let is_sealed = || program.running.progress().views.iter().any(|v| v.sealed_through.is_some());
    while !is_sealed() {
        assert!(!program.running.wait_stopped(Duration::from_millis(1)));
    }
    let receipt = program.push(0..10);
    let short = Duration::from_millis(20);
    assert!(matches!(receipt.wait_durable(short), Err(WaitError::TimedOut { .. })));
    receipt.wait_visible(LONG).unwrap();
    // An orderly stop commits everything.
    let again = receipt.clone();
    let waiting = std::thread::spawn(move || again.wait_durable(LONG));
    drop(program.pusher);
    program.running.finish().unwrap();
    waiting.join().unwrap().unwrap();
    receipt.wait_both(LONG).unwrap();
}

#[test]
fn stopping_leaves_open_days_open_also_in_the_middle_of_recovery() {
    let disk = Faulty::new(5);
    let every = Durability::Every(Duration::from_millis(5));
    let program = Program::start(Some(&disk), every, 2);
    for batch in 0..40 {
        program.push(batch * 5_000..batch * 5_000 + 5_000).wait_visible(LONG).unwrap();
    }
    program.running.finish().unwrap();
    for (workers, pause) in [(1, 0), (3, 1), (2, 3), (1, 10)] {
        let program = Program::start(Some(&disk), every, workers);
        std::thread::sleep(Duration::from_millis(pause));
        assert!(!program.running.finish().unwrap().sealed);
    }
    let program = Program::start(Some(&disk), every, 2);
    assert_eq!(program.total(), stats(0..200_000));
    let today = DayRange::only(View::new("v").unwrap().calendar().day_of(NOW));
    let parts = program.view.ask(Query::total(today)).unwrap().items.remove(0).parts;
    assert!(parts.batch.is_none() && parts.amendments.is_none(), "{parts:?}");
    assert_eq!(program.view.audit(DayRange::ALL, 1.0).unwrap().findings, []);
}

/// In St. John's, clocks went back over midnight: an event may have a later day than the last one of its UTC day in the
/// log. It is found all the same.
#[test]
fn what_the_log_keeps_under_another_day_is_back_after_a_restart() {
    let time = |text: &str| text.parse::<jiff::Timestamp>().unwrap().as_millisecond();
    // The time of the log, and that of the view.
    let early = (time("2003-10-25T12:00:00Z"), time("2003-10-25T12:00:00Z"));
    let late = (time("2003-10-25T23:59:00Z"), time("2003-10-26T02:30:30Z"));
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(AtomicI64::new(early.0));
    for is_first in [true, false] {
        let now = Arc::clone(&clock);
        let mut engine =
            Engine::<(EventTime, EventTime)>::new().clock(move || now.load(Ordering::SeqCst));
        let view = View::new("v").unwrap().zone("America/St_Johns").unwrap();
        let view = view.grace(Duration::ZERO).skew(Duration::from_secs(165 * 60));
        let sealed = view.calendar().day_of(early.1);
        assert_eq!(view.calendar().day_of(late.1), sealed.next());
        assert_eq!(view.calendar().day_of(late.1 + 60_000), sealed, "an hour comes twice");
        let view = engine.view(view, Measures::none(), |event| Some((event.1, 1u64, Count::one())));
        let pusher = engine.live(LiveOptions::new(|event: &(EventTime, EventTime)| event.0));
        let engine = engine
            .data(folder.path())
            .log(Durability::EveryCommit, |event: &(EventTime, EventTime)| event.0);
        let running = engine.start(Cluster::workers(1)).unwrap();
        if is_first {
            pusher.push(vec![early, late]).unwrap().receipt.wait_both(LONG).unwrap();
            clock.store(time("2003-10-26T12:00:00Z"), Ordering::SeqCst);
            view.wait_sealed_through(sealed, LONG).unwrap();
        }
        let answer = view.ask(Query::total(DayRange::ALL)).unwrap();
        assert_eq!(answer.value(), Some(Count(2)), "in the first run: {is_first}");
        drop(pusher);
        drop(running);
    }
}
