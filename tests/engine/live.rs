//! A live source: days close by the wall clock, even if no events come.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dayfold::aggregate::{Count, Sum};
use dayfold::engine::{LiveOptions, Measures, OnceError, PushRefusal, Pusher, Running, ViewHandle};
use dayfold::log::Durability;
use dayfold::serve::Query;
use dayfold::source::{CsvOptions, CsvSource, Input};
use dayfold::store::Memory;
use dayfold::time::{Day, DayRange};
use dayfold::view::{Limits, View};
use dayfold::{Cluster, Engine};

use crate::LONG;

type Event = (i64, u64, i64);

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as i64
}

/// Asks until the answer is as expected; the number of tries only prevents hanging.
fn eventually<T>(mut ask: impl FnMut() -> Option<T>) -> T {
    for _ in 0..6_000 {
        if let Some(found) = ask() {
            return found;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("it did not happen within a minute");
}

#[test]
fn a_quiet_source_does_not_keep_a_day_open() {
    // Yesterday closes a few seconds from now: its end is today's midnight, the grace is the rest.
    let midnight = now() / 86_400_000 * 86_400_000;
    let grace = Duration::from_millis((now() - midnight + 4_000) as u64);
    let view = View::new("quiet").unwrap().grace(grace);
    let yesterday = view.calendar().day_of(midnight - 1);
    let mut engine = Engine::<Event>::new();
    let handle = engine.view(view, Measures::none(), |&(time, key, value): &Event| {
        Some((time, key, (Count::one(), Sum::of(value))))
    });
    let pusher = engine.live(LiveOptions::new(|event: &Event| event.0));
    let running = engine.start(Cluster::workers(2)).unwrap();

    let far = now() + 10 * 86_400_000;
    let back = pusher.push(vec![(midnight - 1, 7, 5), (now(), 7, 6), (far, 7, 1)]).unwrap();
    assert_eq!(back.refused, [(far, 7, 1)], "an event from the future comes back");
    let expect = Some((Count(2), Sum::of(11)));
    let all = || handle.ask(Query::point(7, DayRange::ALL)).unwrap();
    let shown = eventually(|| Some(all()).filter(|answer| answer.value() == expect));
    assert_eq!(shown.certificate.refused, 1);

    // No more events come, and yesterday is sealed; today stays open, and the answer stays the same.
    let series = || handle.ask(Query::series(7, DayRange::ALL)).unwrap();
    let sealed = eventually(|| {
        let answer = series();
        assert_eq!(answer.items.len(), 2);
        answer.items[0].parts.batch.is_some().then_some(answer)
    });
    assert_eq!(sealed.items[0].revision, Some(yesterday));
    assert!(sealed.items[1].parts.speed.is_some() && sealed.items[1].parts.batch.is_none());
    assert_eq!(sealed.certificate.sealed_through, Some(yesterday));
    assert_eq!(all().value(), expect);

    // A late event is visible at once, as an amendment.
    assert!(pusher.push(vec![(midnight - 2, 7, 1)]).unwrap().refused.is_empty());
    let amended = eventually(|| Some(series()).filter(|a| a.items[0].parts.amendments.is_some()));
    assert_eq!(amended.certificate.late, 1);
    assert_eq!(all().value(), Some((Count(3), Sum::of(12))));

    // When the last pusher is gone, the stream has ended and every day is sealed.
    drop(pusher);
    assert!(running.wait_sealed(Duration::from_secs(60)).unwrap());
    let items = series().items;
    assert!(items.iter().all(|item| item.parts.speed.is_none() && item.parts.amendments.is_none()));
    assert_eq!(all().value(), Some((Count(3), Sum::of(12))));
    assert!(running.finish().unwrap().sealed);
}

#[test]
fn many_threads_push_and_ask_and_nothing_is_lost() {
    let mut engine = Engine::<Event>::new().tick_rows(100);
    let view = View::new("threads").unwrap();
    let handle = engine.view(view, Measures::none(), |&(time, key, value): &Event| {
        Some((time, key, (Count::one(), Sum::of(value))))
    });
    let pusher = engine.live(LiveOptions::new(|event: &Event| event.0));
    let running = engine.start(Cluster::workers(3)).unwrap();
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let (pusher, handle) = (pusher.clone(), handle.clone());
            std::thread::spawn(move || {
                let mut seen = 0;
                for batch in 0..200i64 {
                    let event = |at: i64| (now(), (at % 5) as u64, thread * batch);
                    assert!(pusher.push((0..50).map(event).collect()).unwrap().refused.is_empty());
                    let total = handle.ask(Query::total(DayRange::ALL)).unwrap().value();
                    let count = total.map_or(0, |(count, _)| count.0);
                    assert!(count >= seen, "a total never goes down");
                    seen = count;
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    drop(pusher);
    assert!(running.wait_sealed(Duration::from_secs(60)).unwrap());
    let total = handle.ask(Query::total(DayRange::ALL)).unwrap().value();
    let sum: i64 =
        (0..4i64).map(|thread| (0..200).map(|batch| thread * batch * 50).sum::<i64>()).sum();
    assert_eq!(total, Some((Count(40_000), Sum::of(sum))));
    assert_eq!(running.finish().unwrap().progress.events, 40_000);
    assert!(handle.ask(Query::total(DayRange::ALL)).is_err(), "a stopped engine answers nothing");
}

#[test]
fn queries_wait_until_every_open_day_of_the_log_is_back() {
    const DAY_MS: i64 = 86_400_000;
    const FIRST: i64 = -50;
    const DAYS: i64 = 40;
    let folder = tempfile::tempdir().unwrap();
    // The events came before the floor had moved, or under the floor of the end of a day.
    for clock in [i64::MIN, FIRST * DAY_MS] {
        let folder = folder.path().join(clock.to_string());
        let start = |clock| {
            let mut engine = Engine::<Event>::new()
                .data(&folder)
                .log(Durability::Every(Duration::from_millis(1)), |event: &Event| event.0)
                .tick_rows(100)
                .clock(move || clock);
            let view = View::new("open").unwrap();
            let handle = engine.view(view, Measures::none(), |&(time, key, value): &Event| {
                Some((time, key, (Count::one(), Sum::of(value))))
            });
            let any_time = LiveOptions::new(|event: &Event| event.0).ahead_limit(Duration::MAX);
            let pusher = engine.live(any_time);
            (engine.start(Cluster::workers(2)).unwrap(), handle, pusher)
        };
        let (running, _, pusher) = start(clock);
        for day in FIRST..FIRST + DAYS {
            let events = (0..1_000).map(|n| (day * DAY_MS + n, n as u64 % 7, 1)).collect();
            let pushed = pusher.push(events).unwrap();
            pushed.receipt.wait_durable(Duration::from_secs(60)).unwrap();
        }
        drop(running);

        let (running, handle, _pusher) = start(FIRST * DAY_MS);
        let all = handle.ask(Query::total(DayRange::ALL)).unwrap();
        assert_eq!(all.value(), Some((Count(DAYS * 1_000), Sum::of(DAYS * 1_000))));
        assert!(running.progress().recovered);
    }
}

const DAY_MS: i64 = 86_400_000;
/// 2026-01-02T12:00:00Z.
const NOON: i64 = 20_455 * DAY_MS + DAY_MS / 2;

/// An engine of one live view over a folder in memory, with a clock that the test moves.
fn pushed(
    storage: &Memory,
    clock: &Arc<AtomicI64>,
    limits: Limits,
    behind_limit: Duration,
) -> (Running, ViewHandle<u64, Count>, Pusher<Event>) {
    let now = Arc::clone(clock);
    let mut engine = Engine::<Event>::new()
        .data_in(Arc::new(storage.clone()), "/data")
        .log(Durability::EveryCommit, |event: &Event| event.0)
        .clock(move || now.load(Ordering::SeqCst));
    let view = View::new("pushed").unwrap().limits(limits);
    let handle = engine
        .view(view, Measures::none(), |&(time, key, _): &Event| Some((time, key, Count::one())));
    let options = LiveOptions::new(|event: &Event| event.0).behind_limit(behind_limit).waiting(1);
    let pusher = engine.live(options);
    (engine.start(Cluster::workers(2)).unwrap(), handle, pusher)
}

fn total(handle: &ViewHandle<u64, Count>) -> i64 {
    let answer = handle.ask(Query::total(DayRange::ALL)).unwrap();
    answer.value().map_or(0, |count| count.0)
}

#[test]
fn regression_c13_one_event_on_each_of_41_000_days_ends_nothing() {
    let (storage, clock) = (Memory::default(), Arc::new(AtomicI64::new(NOON)));
    let start = || pushed(&storage, &clock, Limits::default(), Duration::MAX);
    let of_day = |day: i64| (NOON - day * DAY_MS, 7, 1);
    let push = |pusher: &Pusher<Event>, days: Range<i64>| {
        let pushed = pusher.push(days.map(of_day).collect()).unwrap();
        pushed.receipt.wait_both(LONG).unwrap();
    };
    let (running, handle, pusher) = start();
    for request in 0..6 {
        push(&pusher, request * 6_834..(request + 1) * 6_834);
    }
    assert_eq!(total(&handle), 41_004);
    // More days than half the bound, except for those of the last requests, were sealed meanwhile.
    let sealed = || running.progress().views[0].sealed_days;
    eventually(|| (sealed() > 15_000).then_some(()));
    drop(running);

    // The folder can be started again, and accepts more.
    let (running, handle, pusher) = start();
    assert_eq!(total(&handle), 41_004);
    push(&pusher, 0..500);
    assert_eq!(total(&handle), 41_504);
    let day = |back| View::new("v").unwrap().calendar().day_of(NOON - back * DAY_MS);
    let count = |back| {
        let answer = handle.ask(Query::point(7, DayRange::only(day(back)))).unwrap();
        answer.value().unwrap().0
    };
    assert_eq!((count(0), count(499), count(500), count(41_003)), (2, 2, 1, 1));
    drop(pusher);
    assert!(running.wait_sealed(LONG).unwrap());
    assert_eq!(total(&handle), 41_504);
    assert!(running.finish().unwrap().sealed);
}

#[test]
fn late_events_near_a_bound_are_sealed_before_their_day_closes() {
    let (storage, clock) = (Memory::default(), Arc::new(AtomicI64::new(NOON)));
    let limits = Limits::new(40, 1_000, 1 << 20);
    let mut expect = 0;
    for run in 0..3 {
        let (running, handle, pusher) = pushed(&storage, &clock, limits, Duration::MAX);
        assert_eq!(total(&handle), expect, "run {run}");
        for batch in 0..40 {
            let of_day = |day: i64| (NOON - (day * 7 + batch) % 500 * DAY_MS, day as u64, 1);
            let pushed = pusher.push((0..30).map(of_day).collect()).unwrap();
            pushed.receipt.wait_both(LONG).unwrap();
            expect += 30;
            assert_eq!(total(&handle), expect);
        }
        // Until today closes, only amendments can have been sealed; the second run closes it.
        let numbers = running.progress().views[0];
        assert!(numbers.sealed_days > 100, "{numbers:?}");
        let today = View::new("v").unwrap().calendar().day_of(NOON);
        assert!(run == 2 || numbers.sealed_through < Some(today), "{numbers:?}");
        let audit = handle.audit(DayRange::ALL, 1.0).unwrap();
        assert!(audit.findings.is_empty(), "{audit:?}");
        let rebuilt = handle.rebuild(DayRange::ALL, 1.0).unwrap();
        assert!(rebuilt.revisions > 0);
        assert_eq!(total(&handle), expect);
        // Half of the runs leave open days to the log.
        if run % 2 == 0 {
            drop(running);
        } else {
            drop(pusher);
            assert!(running.wait_sealed(LONG).unwrap());
            assert_eq!(total(&handle), expect);
            running.finish().unwrap();
        }
    }
}

#[test]
fn what_would_exceed_a_bound_is_refused_until_days_have_closed() {
    let (storage, clock) = (Memory::default(), Arc::new(AtomicI64::new(NOON)));
    let limits = Limits::new(40, 100, 1 << 20);
    let start = || pushed(&storage, &clock, limits, Duration::MAX);
    let (running, handle, pusher) = start();
    let today = |keys: Range<u64>| keys.map(|key| (NOON, key, 1)).collect::<Vec<_>>();
    let pushed = pusher.push(today(0..90)).unwrap();
    pushed.receipt.wait_both(LONG).unwrap();
    let refused = eventually(|| pusher.try_push(today(90..120)).err());
    assert_eq!((refused.refusal, refused.events.len()), (PushRefusal::Full, 30));
    let limit = Duration::from_millis(20);
    let refused = pusher.push_timeout(today(90..120), limit).unwrap_err();
    assert_eq!(refused.refusal, PushRefusal::TimedOut { limit });
    let refused = pusher.push_once("key", today(90..120), limit).unwrap_err();
    assert!(matches!(refused, OnceError::Full { .. }), "{refused}");
    let entered = total(&handle);
    assert!(entered >= 90 && running.observer().failure().is_none());
    drop(running);

    // The same after a restart; and when the day has closed, there is room.
    let (running, handle, pusher) = start();
    assert_eq!(total(&handle), entered);
    clock.fetch_add(2 * DAY_MS, Ordering::SeqCst);
    let pushed = eventually(|| pusher.push_timeout(today(90..120), Duration::from_secs(1)).ok());
    pushed.receipt.wait_both(LONG).unwrap();
    assert_eq!(total(&handle), entered + 30);
    running.finish().unwrap();
}

#[test]
fn an_option_says_how_old_an_event_may_be() {
    let (storage, clock) = (Memory::default(), Arc::new(AtomicI64::new(NOON)));
    let (running, handle, pusher) =
        pushed(&storage, &clock, Limits::default(), Duration::from_secs(10 * 86_400));
    let old = (NOON - 10 * DAY_MS - 1, 7, 1);
    let pushed = pusher.push(vec![(NOON - 10 * DAY_MS, 7, 1), old]).unwrap();
    assert_eq!(pushed.refused, [old]);
    pushed.receipt.wait_both(LONG).unwrap();
    assert_eq!(total(&handle), 1);
    let error = pusher.push_once("key", vec![old], LONG).unwrap_err();
    assert!(error.to_string().starts_with("event 0: the event is too old"), "{error}");
    running.finish().unwrap();
}

#[test]
fn regression_c13_a_file_of_45_000_days_newest_first_is_taken() {
    let mut text = "t\n".to_owned();
    let today = (NOON / DAY_MS) as i32;
    (0..45_000).for_each(|day| text.push_str(&format!("{}T12:00:00Z\n", Day(today - day))));
    for limit in [40_000, 5_000] {
        let mut engine = Engine::<i64>::new().clock(|| NOON);
        let view = View::new("file").unwrap().limits(Limits::new(limit, 1_000_000, 1 << 30));
        let handle = engine.view(view, Measures::none(), |&time: &i64| {
            Some((time, (time / DAY_MS % 3).unsigned_abs(), Count::one()))
        });
        let bytes = text.clone().into_bytes();
        let engine = engine.csv(
            move |_| {
                let options = CsvOptions::new("t");
                let input = Input::reader("rows", std::io::Cursor::new(bytes));
                Ok(Some(CsvSource::open(input, options)?))
            },
            |row| Ok(row.time()),
        );
        let running = engine.start(Cluster::workers(2)).unwrap();
        assert!(running.wait_sealed(LONG).unwrap());
        let answer = handle.ask(Query::total(DayRange::ALL)).unwrap();
        assert_eq!(answer.value(), Some(Count(45_000)));
        running.finish().unwrap();
    }
}
