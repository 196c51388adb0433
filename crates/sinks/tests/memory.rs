//! The first fill of a store needs no more memory for more rows, even if the store is slow.
//!
//! Each fill runs in its own process: this program starts itself again, with the data folder in an environment
//! variable. Only anonymous memory counts; sealed files are mapped, and the system can reclaim their pages.
#![cfg(all(target_os = "linux", feature = "files"))]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use dayfold::aggregate::{Count, Sum};
use dayfold::engine::{LiveOptions, Measures, Pusher, Running};
use dayfold::time::EventTime;
use dayfold::view::View;
use dayfold::{Cluster, Engine};
use dayfold_sinks::{Files, Sink, SinkOptions};

/// Set in the processes that are measured.
const FOLDER: &str = "DAYFOLD_TEST_FOLDER";
const NAME: &str = "a_fill_needs_no_more_memory_for_more_rows";
const DAY_MS: i64 = 86_400_000;
const PUSHED: u64 = 8_192;
/// Only bounds a hanging test.
const LONG: Duration = Duration::from_secs(240);

type Event = (EventTime, u64);

#[test]
fn a_fill_needs_no_more_memory_for_more_rows() {
    if let Ok(folder) = std::env::var(FOLDER) {
        return measured(Path::new(&folder));
    }
    let (few, many) = (peak_of(2, 40_000), peak_of(4, 100_000));
    println!("80,000 rows {few} kB, 400,000 rows {many} kB");
    let ratio = many as f64 / few as f64;
    assert!(ratio <= 1.3, "80,000 rows {few} kB, 400,000 rows {many} kB, ratio {ratio:.2}");
}

fn start(folder: &Path) -> (Running, Pusher<Event>) {
    let mut engine = Engine::<Event>::new();
    let view = View::new("readings").unwrap().grace(Duration::ZERO);
    let view = view.key_columns(["number"]).unwrap();
    let view = view.measure_names([["events"], ["sum"]]).unwrap();
    engine.view(view, Measures::none(), |(time, number): &Event| {
        Some((*time, *number, (Count::one(), Sum::of(*number as i64))))
    });
    let pusher = engine.live(LiveOptions::new(|event: &Event| event.0));
    (engine.data(folder).start(Cluster::workers(2)).unwrap(), pusher)
}

/// The peak of anonymous memory of a fill with so many days of so many rows, in kB.
fn peak_of(days: i64, rows: u64) -> u64 {
    let folder = tempfile::tempdir().unwrap();
    let (running, pusher) = start(folder.path());
    for day in 0..days {
        for first in (0..rows).step_by(PUSHED as usize) {
            let events = (first..rows.min(first + PUSHED)).map(|number| (day * DAY_MS, number));
            assert!(pusher.push(events.collect()).unwrap().refused.is_empty());
        }
    }
    drop(pusher);
    running.finish().unwrap();

    let this = std::env::current_exe().unwrap();
    let mut command = Command::new(this);
    command.args(["--exact", NAME, "--nocapture"]).env(FOLDER, folder.path());
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{days} days: {text}{errors}");
    let said = text.lines().find_map(|line| line.strip_prefix("written ")).unwrap();
    let (written, peak) = said.split_once(' ').unwrap();
    assert_eq!(written.parse::<u64>().unwrap(), days as u64 * rows);
    peak.parse().unwrap()
}

/// Fills a store, and prints the number of rows and the peak of anonymous memory.
fn measured(folder: &Path) {
    let store = tempfile::tempdir().unwrap();
    let (running, pusher) = start(folder);
    let (is_over, peak) = (AtomicBool::new(false), AtomicU64::new(0));
    let sink = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Acquire) {
                peak.fetch_max(anonymous(), Ordering::AcqRel);
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        let (files, options) = (Box::new(Files::new(store.path())), SinkOptions::default());
        let views = ["readings".to_owned()];
        let sink = Sink::start(&running, folder, &folder.join("sinks"), &views, files, options);
        let sink = sink.unwrap();
        let is_complete = sink.complete(LONG);
        is_over.store(true, Ordering::Release);
        assert!(is_complete, "{:?}", sink.status());
        sink
    });
    println!("written {} {}", sink.status()["readings"].written, peak.load(Ordering::Acquire));
    drop((sink, pusher));
    running.finish().unwrap();
}

/// Anonymous memory of this process, in kB.
fn anonymous() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
