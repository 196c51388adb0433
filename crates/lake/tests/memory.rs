//! An export needs no more memory for a larger day, nor for many small days.
//!
//! Each export runs in its own process: this program starts itself again, with the data folder in an environment
//! variable. Only anonymous memory counts; sealed files are mapped, and the system can reclaim their pages.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use dayfold::aggregate::{Count, Max, Quantiles, Sum};
use dayfold::engine::{LiveOptions, Measures};
use dayfold::time::EventTime;
use dayfold::view::View;
use dayfold::{Cluster, Engine};
use dayfold_lake::{Lake, LakeOptions};

/// Set in the processes that are measured.
const FOLDER: &str = "DAYFOLD_TEST_FOLDER";
const NAME: &str = "exports_need_the_memory_of_a_row_group";
const DAY_MS: i64 = 86_400_000;
/// Rows of one row group, about.
const GROUP: u64 = 65_536;
const PUSHED: u64 = 8_192;

type Event = (EventTime, u64);

#[test]
fn exports_need_the_memory_of_a_row_group() {
    if let Ok(folder) = std::env::var(FOLDER) {
        return measured(Path::new(&folder));
    }
    // Files of more than 8 MiB, which are sent in parts.
    let large = peak_of(1, 5 * GROUP);
    let larger = peak_of(1, 10 * GROUP);
    let many = peak_of(80, GROUP / 16);
    println!("five groups {large} kB, ten groups {larger} kB, five groups of many days {many} kB");
    for other in [larger, many] {
        let ratio = other as f64 / large as f64;
        assert!(ratio <= 1.3, "five groups {large} kB, the other {other} kB, ratio {ratio:.2}");
    }
}

/// The peak of anonymous memory of an export of so many days with so many rows, in kB.
fn peak_of(days: i64, rows: u64) -> u64 {
    let folder = tempfile::tempdir().unwrap();
    let mut engine = Engine::<Event>::new();
    let view = View::new("readings").unwrap().grace(Duration::ZERO);
    let view = view.key_columns(["number"]).unwrap();
    let view = view.measure_names([vec!["events"], vec!["sum"], vec!["most"], vec!["value"]]);
    engine.view(view.unwrap(), Measures::none(), |(time, number): &Event| {
        let value = *number as i64;
        let state = (Count::one(), Sum::of(value), Max(value), Quantiles::of(value.into()));
        Some((*time, *number, state))
    });
    let pusher = engine.live(LiveOptions::new(|event: &Event| event.0));
    let running = engine.data(folder.path()).start(Cluster::workers(2)).unwrap();
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
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let said = text.lines().find_map(|line| line.strip_prefix("exported ")).map(words).unwrap();
    let number = |at: usize| said[at].parse::<u64>().unwrap();
    assert_eq!(number(0), days as u64 * rows);
    assert!(days > 1 || number(2) > 8 << 20, "{} bytes are sent as a whole", said[2]);
    number(1)
}

/// Exports a folder, and prints the number of rows, the peak of anonymous memory, and the bytes of the files.
fn measured(folder: &Path) {
    let lake = tempfile::tempdir().unwrap();
    let url = format!("file://{}", lake.path().display());
    let lake = Lake::open(&url, LakeOptions::default()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (is_over, peak) = (AtomicBool::new(false), AtomicU64::new(anonymous()));
    let done = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Acquire) {
                peak.fetch_max(anonymous(), Ordering::AcqRel);
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        let done = runtime.block_on(lake.export(folder, "readings"));
        is_over.store(true, Ordering::Release);
        done.unwrap()
    });
    println!("exported {} {} {}", done.rows, peak.load(Ordering::Acquire), done.bytes);
}

/// Anonymous memory of this process, in kB.
fn anonymous() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
