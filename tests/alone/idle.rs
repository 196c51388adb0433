//! An idle engine uses almost nothing of a core, because its workers park.
//!
//! It runs in its own process, because the processor time of the whole process is measured.

use std::time::{Duration, Instant};

use crate::common::Feed;
use dayfold::aggregate::Count;
use dayfold::engine::{Measures, Running, ViewHandle};
use dayfold::serve::Query;
use dayfold::source::{CsvOptions, CsvSource, Input};
use dayfold::time::{DayRange, EventTime};
use dayfold::view::View;
use dayfold::{Cluster, Engine};

/// Set in the process that is measured.
const MEASURED: &str = "DAYFOLD_TEST_IDLE";

#[test]
fn an_idle_engine_parks() {
    match std::env::var_os(MEASURED) {
        Some(_) => measured(),
        None => print!("{}", crate::alone("idle::an_idle_engine_parks", &[(MEASURED, "1")])),
    }
}

fn measured() {
    let (feed, reader) = Feed::new();
    let (running, view) = start(reader);
    feed.send(b"time,key\n2013-01-01T12:00:00Z,a\n".to_vec()).unwrap();
    let waiting = share_of_a_core(Duration::from_secs(3));
    drop(feed);
    while !running.wait_sealed(Duration::from_secs(1)).unwrap() {}
    let ended = share_of_a_core(Duration::from_secs(3));
    let answer = view.ask(Query::total(DayRange::ALL)).unwrap();
    assert_eq!(answer.value(), Some(Count(1)));
    running.finish().unwrap();
    println!("waiting for input: {waiting:.2} % of a core; after its end: {ended:.2} %");
    assert!(waiting < 5.0, "waiting for input: {waiting:.2} % of a core");
    assert!(ended < 5.0, "after the end of the input: {ended:.2} % of a core");
}

fn start(feed: Feed) -> (Running, ViewHandle<String, Count>) {
    let mut engine = Engine::new();
    let view = View::new("idle").unwrap();
    let handle = engine.view(view, Measures::none(), |(time, key): &(EventTime, String)| {
        Some((*time, key.clone(), Count::one()))
    });
    let options = CsvOptions::new("time").fields(["key"]);
    let engine = engine.csv(
        move |_| Ok(Some(CsvSource::open(Input::reader("feed", feed), options)?)),
        |row| Ok((row.time(), String::from_utf8_lossy(row.field(0)).into_owned())),
    );
    // The header is read when the source is opened, which may not have happened yet.
    (engine.start(Cluster::workers(2)).unwrap(), handle)
}

/// Processor time of this process over `wall`, in percent of one core.
fn share_of_a_core(wall: Duration) -> f64 {
    // Earlier work has ended by then.
    std::thread::sleep(Duration::from_millis(300));
    let (started, before) = (Instant::now(), processor_seconds());
    std::thread::sleep(wall);
    100.0 * (processor_seconds() - before) / started.elapsed().as_secs_f64()
}

/// User and system time of this process, all threads: to the nanosecond, as the scheduler counts it.
fn processor_seconds() -> f64 {
    let mut nanoseconds = 0;
    for task in std::fs::read_dir("/proc/self/task").unwrap().flatten() {
        let text = std::fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        let spent: Option<u64> = text.split(' ').next().and_then(|first| first.parse().ok());
        nanoseconds += spent.unwrap_or(0);
    }
    nanoseconds as f64 / 1e9
}
