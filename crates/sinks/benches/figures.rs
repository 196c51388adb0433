//! Measures how many rows a second a sink writes, what that costs ingestion, and the time from an event to its row.
//! `figures.py` beside this file starts the servers and runs it.
//!
//!     figures URL…
#![allow(clippy::unwrap_used, reason = "a measurement that cannot go on panics")]

use std::path::Path;
use std::time::{Duration, Instant};

use dayfold::aggregate::{Count, Sum};
use dayfold::engine::{LiveOptions, Measures, Pusher, Running};
use dayfold::log::Durability;
use dayfold::view::View;
use dayfold::{Cluster, Engine};
use dayfold_sinks::{Sink, SinkOptions, Target};

/// Event time, shop, cents.
type Event = (i64, u64, i64);

const LONG: Duration = Duration::from_secs(600);
/// Noon of 1 May 2024.
const NOW: i64 = 1_714_564_800_000;
/// The rows of the first fill.
const FILLED: u64 = 300_000;
/// The number of events that are pushed at a time.
const BATCH: u64 = 5_000;
const SPAN: Duration = Duration::from_secs(10);
const EVERY: Duration = Duration::from_secs(1);
const ROUNDS: usize = 5;

struct Started {
    running: Running,
    pusher: Pusher<Event>,
    number: u64,
}

fn start(folder: &Path) -> Started {
    let mut engine = Engine::<Event>::new()
        .clock(|| NOW)
        .data(folder)
        .log(Durability::Every(Duration::from_millis(10)), |event: &Event| event.0);
    let view = View::new("sales").unwrap().key_columns(["shop"]).unwrap();
    let view = view.measure_names([["sales"], ["cents"]]).unwrap();
    engine.view(view, Measures::none(), |event: &Event| {
        Some((event.0, event.1, (Count::one(), Sum::of(event.2))))
    });
    let pusher = engine.live(LiveOptions::new(|event: &Event| event.0));
    let running = engine.start(Cluster::workers(2)).unwrap();
    Started { running, pusher, number: 0 }
}

impl Started {
    fn push(&mut self, shops: impl Iterator<Item = u64>) {
        let pushed = self.pusher.push(shops.map(|shop| (NOW, shop, 1)).collect()).unwrap();
        assert!(pushed.refused.is_empty());
        pushed.receipt.wait_visible(LONG).unwrap();
    }

    /// Pushes events of so many shops, which are far from each other, as fast as they are accepted. Returns the number
    /// per second.
    fn ingest(&mut self, shops: u64, span: Duration) -> f64 {
        let (began, before) = (Instant::now(), self.number);
        while began.elapsed() < span {
            let numbers = self.number..self.number + BATCH;
            self.push(numbers.map(|number| number * 7_919 % shops));
            self.number += BATCH;
        }
        (self.number - before) as f64 / began.elapsed().as_secs_f64()
    }

    fn sink(&self, folder: &Path, url: &str, every: Duration) -> Sink {
        let store = Target::parse(url).unwrap().store().unwrap();
        let (aside, views) = (folder.join("sinks/figures"), ["sales".to_owned()]);
        let options = SinkOptions::default().every(every);
        Sink::start(&self.running, folder, &aside, &views, store, options).unwrap()
    }
}

/// Measures a first fill, and ingestion with and without a sink. Every row changes within `every`, so the sink has to
/// write `rows` rows a second.
fn figures(url: &str, rows: u64) {
    let kind = url.split("://").next().unwrap_or_default();
    let folder = tempfile::tempdir().unwrap();
    let mut started = start(folder.path());
    for first in (0..FILLED).step_by(BATCH as usize) {
        started.push(first..first + BATCH);
    }
    let began = Instant::now();
    let sink = started.sink(folder.path(), url, EVERY);
    assert!(sink.complete(LONG), "{:?}", sink.status());
    let written = sink.status()["sales"].written;
    let rate = written as f64 / began.elapsed().as_secs_f64();
    println!("{kind}: first fill of {written} rows: {rate:.0} rows/s");
    drop(sink);
    started.running.finish().unwrap();

    let folder = tempfile::tempdir().unwrap();
    let mut started = start(folder.path());
    let (mut alone, mut beside, mut changed) = (Vec::new(), Vec::new(), Vec::new());
    started.ingest(rows, SPAN / 5);
    for _ in 0..ROUNDS {
        alone.push(started.ingest(rows, SPAN));
        let sink = started.sink(folder.path(), url, EVERY);
        assert!(sink.complete(LONG));
        let (began, before) = (Instant::now(), sink.status()["sales"].written);
        beside.push(started.ingest(rows, SPAN));
        let written = sink.status()["sales"].written - before;
        changed.push(written as f64 / began.elapsed().as_secs_f64());
        drop(sink);
    }
    println!("{kind}: rounds: {alone:.0?} events/s alone, {beside:.0?} beside");
    let (alone, beside, changed) = (median(alone), median(beside), median(changed));
    println!(
        "{kind}: beside ingestion: {changed:.0} changed rows/s; {beside:.0} events/s, without a sink {alone:.0} ({:+.1} %)",
        100.0 * (beside / alone - 1.0)
    );
    started.running.finish().unwrap();
}

/// Measures the time from an event to its row in Redis.
fn latency(url: &str) {
    const EVENTS: u64 = 400;
    let every = Duration::from_millis(100);
    let folder = tempfile::tempdir().unwrap();
    let mut started = start(folder.path());
    // As many rows as a dashboard has.
    started.push(1_000_000..1_010_000);
    let sink = started.sink(folder.path(), url, every);
    assert!(sink.complete(LONG));
    let client = redis::Client::open(url).unwrap();
    let mut client = client.get_connection().unwrap();
    let mut times = Vec::new();
    for number in 0..EVENTS {
        let began = Instant::now();
        started.push(std::iter::once(2_000_000 + number));
        let name = format!("dayfold:sales:2024-05-01:{}", 2_000_000 + number);
        while !redis::cmd("EXISTS").arg(&name).query::<bool>(&mut client).unwrap() {
            std::thread::sleep(Duration::from_micros(500));
        }
        times.push(began.elapsed());
        // The pushes are not in step with the looks.
        std::thread::sleep(Duration::from_millis(number * 37 % 101));
    }
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    println!(
        "redis: from the event to its row, every {every:?}: p50 {:?}, p99 {:?}, at most {:?}",
        at(0.5),
        at(0.99),
        at(1.0)
    );
    drop(sink);
    started.running.finish().unwrap();
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_unstable_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn main() {
    let urls: Vec<String> = std::env::args().skip(1).filter(|one| one.contains("://")).collect();
    for url in &urls {
        // A fifth more than the aim, because the look after the end of a round is not counted.
        figures(url, if url.starts_with("redis://") { 57_000 } else { 24_000 });
    }
    if let Some(url) = urls.iter().find(|url| url.starts_with("redis://")) {
        latency(url);
    }
}
