//! Queries over ten years of 300 keys a day, with and without rollups of months and years:
//! `cargo bench --bench rollups`.
#![allow(clippy::unwrap_used, reason = "a bench that cannot go on panics")]

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use dayfold::aggregate::{Count, Sum};
use dayfold::engine::{LiveOptions, Measures, ViewHandle};
use dayfold::key::KeyRange;
use dayfold::serve::{MeasureId, Query};
use dayfold::time::{Day, DayRange, EventTime, Grain};
use dayfold::view::View;
use dayfold::{Cluster, Engine};

type Stats = (Count, Sum);
type Asked = ViewHandle<u64, Stats>;

const DAY: EventTime = 86_400_000;
/// 2010-01-01.
const FIRST: i64 = 14_610;
const LONG: Duration = Duration::from_secs(600);

fn main() {
    let short = std::env::var_os("DAYFOLD_BENCH_SHORT").is_some();
    let (days, keys, rounds) = if short { (120, 10, 3) } else { (3_652, 300, 301) };
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(AtomicI64::new(FIRST * DAY));
    let now = Arc::clone(&clock);
    let mut engine = Engine::<(EventTime, u64)>::new()
        .clock(move || now.load(Ordering::SeqCst))
        .data(folder.path());
    let view = |name: &str| View::new(name).unwrap().grace(Duration::ZERO);
    let measures = || Measures::none().measure("count", |stats: &Stats| Some(stats.0.0.into()));
    let enter = |&(time, key): &(EventTime, u64)| Some((time, key, (Count::one(), Sum::of(7))));
    let plain = engine.view(view("plain"), measures(), enter);
    let rolled = view("rolled").rollup([Grain::Month, Grain::Year]);
    let rolled = engine.view(rolled, measures(), enter);
    let pusher = engine.live(LiveOptions::new(|event: &(EventTime, u64)| event.0));
    let running = engine.start(Cluster::workers(1)).unwrap();
    for day in FIRST..FIRST + days {
        clock.store(day * DAY, Ordering::SeqCst);
        let events = (0..keys).map(|key| (day * DAY + 1, key)).collect();
        pusher.push(events).unwrap().receipt.wait_visible(LONG).unwrap();
    }
    clock.store((FIRST + days) * DAY + 1, Ordering::SeqCst);
    let last = Day((FIRST + days - 1) as i32);
    [&plain, &rolled].iter().for_each(|view| view.wait_sealed_through(last, LONG).unwrap());
    let (mut found, mut since) = (0, Instant::now());
    // Waits until all rollups are made.
    while since.elapsed() < Duration::from_secs(2) {
        std::thread::sleep(Duration::from_millis(50));
        let rollups = rolled.status().numbers.rollups;
        if rollups != found {
            (found, since) = (rollups, Instant::now());
        }
    }
    println!("{days} days of {keys} keys, {found} rollups; medians of {rounds}");
    let questions = [
        ("one key", Query::point(3, DayRange::ALL)),
        ("one key by year", Query::series(3, DayRange::ALL).by(Grain::Year)),
        ("all keys together", Query::total(DayRange::ALL)),
        ("each key", Query::keys(KeyRange::all(), DayRange::ALL)),
        ("the greatest ten", Query::top(10, MeasureId::FIRST, DayRange::ALL)),
    ];
    for (what, query) in questions {
        assert_eq!(values(&plain, &query), values(&rolled, &query), "{what}");
        let plain = median(&plain, &query, rounds);
        let rolled = median(&rolled, &query, rounds);
        println!("{what:20} days {plain:>12?}   with rollups {rolled:>12?}");
    }
    drop(pusher);
    running.finish().unwrap();
}

/// The values of an answer, whatever it was read from.
fn values(view: &Asked, query: &Query<u64>) -> Vec<(Option<Day>, Option<u64>, Option<Stats>)> {
    let items = view.ask(query.clone()).unwrap().items;
    assert!(!items.is_empty());
    items.into_iter().map(|item| (item.day, item.key, item.parts.merged())).collect()
}

fn median(view: &Asked, query: &Query<u64>, rounds: usize) -> Duration {
    let ask = |_| {
        let began = Instant::now();
        view.ask(query.clone()).unwrap();
        began.elapsed()
    };
    let mut times: Vec<Duration> = (0..rounds).map(ask).collect();
    times.sort_unstable();
    times[rounds / 2]
}
