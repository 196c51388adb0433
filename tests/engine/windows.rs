//! Windows that end now: by the engine's clock, which these tests move.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use dayfold::aggregate::Count;
use dayfold::engine::{AskError, LiveOptions, Measures, Pusher, Running, ViewHandle};
use dayfold::scan::{Scan, ScanError};
use dayfold::serve::{Answer, Query};
use dayfold::time::{DayRange, EventTime, Grain, Last};
use dayfold::view::View;
use dayfold::{Cluster, Engine};

use crate::LONG;

const DAY: i64 = 86_400_000;
/// 2024-05-01T00:00:00Z.
const MAY: EventTime = 1_714_521_600_000;

type Clicks = ViewHandle<u8, (Count,)>;

/// An engine whose clock is set to the end of 5 May; each day has as many events as its number.
fn begin(grain: Grain) -> (Running, Clicks, Pusher<EventTime>, Arc<AtomicI64>) {
    let clock = Arc::new(AtomicI64::new(MAY + 5 * DAY - 1));
    let now = Arc::clone(&clock);
    let mut engine = Engine::<EventTime>::new().clock(move || now.load(Ordering::SeqCst));
    let view = View::new("clicks").unwrap().grain(grain);
    let clicks = engine.view(view, Measures::none(), |&time| Some((time, 0u8, (Count::one(),))));
    let pusher = engine.live(LiveOptions::new(|time: &EventTime| *time));
    let running = engine.start(Cluster::workers(2)).unwrap();
    let events = (1..=5).flat_map(|day| (0..day).map(move |n| MAY + (day - 1) * DAY + n * 60_000));
    push(&pusher, events.collect());
    (running, clicks, pusher, clock)
}

fn push(pusher: &Pusher<EventTime>, events: Vec<EventTime>) {
    pusher.push(events).unwrap().receipt.wait_visible(LONG).unwrap();
}

fn last(text: &str) -> Query<u8> {
    Query::series(0u8, DayRange::ALL).last(text.parse().unwrap())
}

/// Days of May and their counts.
fn shown(answer: &Answer<u8, (Count,)>) -> Vec<(String, i64)> {
    let of = |item: &dayfold::serve::Item<u8, (Count,)>| {
        (item.day.unwrap().to_string()[8..].to_owned(), item.parts.merged().unwrap().0.0)
    };
    answer.items.iter().map(of).collect()
}

fn days(of: &[(&str, i64)]) -> Vec<(String, i64)> {
    of.iter().map(|(day, count)| ((*day).to_owned(), *count)).collect()
}

#[test]
fn a_window_is_that_of_the_clock_when_it_is_asked() {
    let (running, clicks, _pusher, clock) = begin(Grain::Day);
    let ask = |text: &str| shown(&clicks.ask_timeout(last(text), LONG).unwrap());
    assert_eq!(ask("1d"), days(&[("05", 5)]));
    assert_eq!(ask("3d"), days(&[("03", 3), ("04", 4), ("05", 5)]));
    assert_eq!(ask("28d").len(), 5);
    // 5 May 2024 was a Sunday: the week began with 29 April.
    assert_eq!(ask("1w").len(), 5);
    clock.store(MAY + 5 * DAY, Ordering::SeqCst);
    assert_eq!(ask("1w"), [], "a Monday");
    assert_eq!(ask("3d"), days(&[("04", 4), ("05", 5)]), "nothing has come of the 6th");
    // Events beyond the clock are not in the window, although they exist.
    clock.store(MAY + 2 * DAY, Ordering::SeqCst);
    assert_eq!(ask("2d"), days(&[("02", 2), ("03", 3)]));
    assert_eq!(ask("1mo").len(), 5, "the month that is now, as a whole");
    assert_eq!(
        clicks.ask(last("24h")).unwrap_err(),
        AskError::Grain { view: "clicks".into(), asked: Grain::Hour, grain: Grain::Day }
    );
    let scan = Scan::total().last(Last::new(24, Grain::Hour).unwrap());
    let error = running.view("clicks").unwrap().check(&scan).unwrap_err();
    assert!(matches!(error, ScanError::Grain { asked: Grain::Hour, .. }), "{error}");
    running.finish().unwrap();
}

#[test]
fn a_subscription_moves_with_the_clock_though_nothing_comes() {
    let (running, clicks, pusher, clock) = begin(Grain::Day);
    let mut two = clicks.subscribe(last("2d"), Duration::ZERO).unwrap();
    let mut all = clicks.subscribe(last("90d"), Duration::ZERO).unwrap();
    let next = |of: &mut dayfold::engine::Subscription<u8, (Count,)>| {
        shown(&of.next_timeout(LONG).unwrap())
    };
    let before = days(&[("04", 4), ("05", 5)]);
    assert_eq!(next(&mut two), before);
    assert_eq!(next(&mut all).len(), 5);
    clock.store(MAY + 5 * DAY, Ordering::SeqCst);
    let mut latest = next(&mut two);
    while latest != days(&[("05", 5)]) {
        assert_eq!(latest, before, "the same once more, when the 4th is sealed");
        latest = next(&mut two);
    }
    push(&pusher, vec![MAY + 5 * DAY]);
    let mut latest = next(&mut two);
    while latest.len() < 2 {
        latest = next(&mut two);
    }
    assert_eq!(latest, days(&[("05", 5), ("06", 1)]));
    clock.store(MAY + 7 * DAY, Ordering::SeqCst);
    let mut latest = next(&mut two);
    while !latest.is_empty() {
        latest = next(&mut two);
    }
    running.finish().unwrap();
}

#[test]
fn the_last_hours_of_a_view_of_hours() {
    let (running, clicks, _pusher, clock) = begin(Grain::Hour);
    let count = |text: &str| {
        let query = Query::total(DayRange::ALL).last(text.parse().unwrap());
        clicks.ask_timeout(query, LONG).unwrap().value().map_or(0, |count| count.0.0)
    };
    assert_eq!(count("23h"), 0, "events are of the first hour of each day");
    assert_eq!(count("24h"), 5);
    assert_eq!(count("48h"), 9);
    assert_eq!(count("2d"), 9);
    clock.store(MAY + 5 * DAY, Ordering::SeqCst);
    assert_eq!((count("24h"), count("25h"), count("2d")), (0, 5, 5));
    running.finish().unwrap();
}

#[test]
fn a_window_has_those_of_the_days_that_are_asked_for() {
    let (running, clicks, _pusher, clock) = begin(Grain::Day);
    let from_second = DayRange::new("2024-05-02".parse().unwrap(), "2024-05-05".parse().unwrap());
    let query = || Query::series(0u8, from_second).last("3d".parse().unwrap());
    assert_eq!(shown(&clicks.ask_timeout(query(), LONG).unwrap()), days(&[("03", 3), ("04", 4)]));
    let mut subscription = clicks.subscribe(query(), Duration::ZERO).unwrap();
    let mut latest = shown(&subscription.next_timeout(LONG).unwrap());
    assert_eq!(latest, days(&[("03", 3), ("04", 4)]));
    // The window moves on; the days stay the same.
    clock.store(MAY + 5 * DAY, Ordering::SeqCst);
    while latest != days(&[("04", 4)]) {
        latest = shown(&subscription.next_timeout(LONG).unwrap());
    }
    for (time, expected) in [
        (MAY + 5 * DAY, &[("04", 4)][..]),
        (MAY + 6 * DAY, &[]),
        (MAY + 3 * DAY, &[("02", 2), ("03", 3), ("04", 4)]),
    ] {
        clock.store(time, Ordering::SeqCst);
        assert_eq!(shown(&clicks.ask_timeout(query(), LONG).unwrap()), days(expected), "{time}");
    }
    running.finish().unwrap();
}

#[test]
fn a_snapshot_has_the_windows_of_its_time() {
    let (running, _clicks, _pusher, clock) = begin(Grain::Day);
    let views = running.views();
    let clicks = views.get("clicks").unwrap();
    let two = Scan::by_period().last("2d".parse().unwrap()).columns(["day"]);
    let shown = |at: Option<&dayfold::scan::Snapshot>| -> Vec<String> {
        let rows = clicks.scan(&two, at).unwrap().collect_rows().unwrap();
        rows.iter().map(|row| row[0].to_string()).collect()
    };
    let snapshot = views.snapshot(LONG).unwrap();
    assert_eq!(snapshot.time(), MAY + 5 * DAY - 1);
    clock.store(MAY + 5 * DAY, Ordering::SeqCst);
    assert_eq!(shown(Some(&snapshot)), ["2024-05-04", "2024-05-05"]);
    assert_eq!(shown(None), ["2024-05-05"]);
    running.finish().unwrap();
}
