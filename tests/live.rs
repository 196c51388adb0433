//! A live source: days close by the wall clock, also when nothing comes.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dayfold::aggregate::{Count, Sum};
use dayfold::engine::{LiveOptions, Measures};
use dayfold::log::Durability;
use dayfold::serve::Query;
use dayfold::time::DayRange;
use dayfold::view::View;
use dayfold::{Cluster, Engine};

type Event = (i64, u64, i64);

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as i64
}

/// Asks until the answer is as expected; the number of tries is a bound against hanging only.
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
    let grace = now() - midnight + 4_000;
    let view = View::new("quiet").unwrap().grace_ms(grace).unwrap();
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

    // Nothing more comes, and yesterday is sealed; today stays open, and the answer stays the same.
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
    // The events came before anything had moved the floor, or under that of the end of a day.
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
            let any_time =
                LiveOptions { ahead_limit: i64::MAX, ..LiveOptions::new(|e: &Event| e.0) };
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
