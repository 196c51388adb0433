//! The latency example as its users see it: all scheduled events are counted, and all files are written. Figures are
//! not checked.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use dayfold_latency::Report;

fn latency(place: &Path, args: &str) -> Command {
    let mut command = Command::new(crate::example::program("latency"));
    command.args(args.split_whitespace()).current_dir(place).env_remove("RUST_LOG");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[track_caller]
fn ends(output: &Output, code: i32, says: &str) -> String {
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!err.contains("panicked"), "{err}");
    assert_eq!(output.status.code(), Some(code), "{err}");
    assert!(err.contains(says), "{err}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn report(out: PathBuf) -> Report {
    Report::from_bytes(&std::fs::read(out.join(Report::FILE)).unwrap()).unwrap()
}

fn counted(report: &Report, quantity: &str) -> u64 {
    report.recording(quantity).map_or(0, |recording| recording.all().count())
}

/// Everything at once, for two seconds: late events, queries, a log, audits and rebuilds. The example itself checks
/// that each event is in the answer once, before and after its restart.
#[test]
fn everything_that_is_due_is_counted() {
    let place = tempfile::tempdir().unwrap();
    let run = "--rate 5000 --seconds 2 --day-seconds 1 --keys 500 --late 0.1 --queries 100 --log 10ms \
               --maintain 1 --out run";
    let table = ends(&latency(place.path(), run).output().unwrap(), 0, "");
    let run = report(place.path().join("run"));
    assert_eq!((run.pace().scheduled, run.pace().unseen), (10_000, 0));
    for (quantity, expect) in
        [("freshness", 10_000), ("durable", 10_000), ("handed in", 10_000), ("query", 200)]
    {
        assert_eq!(counted(&run, quantity), expect, "{quantity}");
        let recording = run.recording(quantity).unwrap();
        let in_time: u64 = recording.slices().1.iter().map(|latencies| latencies.count()).sum();
        assert_eq!(in_time, expect, "{quantity} over time");
        assert!(table.contains(quantity), "{table}");
    }
    assert_eq!(counted(&run, "recovery to the first answer"), 1);
    // A day closes at 1.04 s; from 0.25 s to 0.75 s of each day events are late.
    // Of 500 keys by Zipf, the most frequent one has far more than a hundredth of the events.
    assert!((100..10_000).contains(&counted(&run, "subscription")), "{table}");
    let freshness = run.recording("freshness").unwrap();
    assert!(freshness.during("a hand-over").unwrap().count() > 0);
    assert!(freshness.during("amendments").unwrap().count() >= 5_000);
    assert_eq!(run.spans().iter().filter(|span| span.condition == "a hand-over").count(), 1);
    for file in run.files() {
        assert!(place.path().join("run").join(&file.name).exists(), "{}", file.name);
    }
    assert!(!place.path().join("run/latency-data").exists(), "the data is removed");

    // A second run, beside the first.
    let second = "--rate 1000 --seconds 1 --day-seconds 1 --keys 10 --against run --out second";
    let table = ends(&latency(place.path(), second).output().unwrap(), 0, "");
    assert!(table.contains("rate: 1000 against 5000"), "{table}");
    assert!(place.path().join("second/against.txt").exists());
    assert_eq!(counted(&report(place.path().join("second")), "freshness"), 1_000);
}

#[test]
fn two_processes_make_one_report() {
    let place = tempfile::tempdir().unwrap();
    let listeners: Vec<TcpListener> =
        (0..2).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let hosts = listeners.iter().map(|listener| format!("{}\n", listener.local_addr().unwrap()));
    std::fs::write(place.path().join("hosts"), hosts.collect::<String>()).unwrap();
    drop(listeners);
    let start = |process: usize| {
        let args = format!(
            "--rate 4001 --seconds 1 --day-seconds 1 --keys 100 --queries 50 --log 10ms --out run \
             -n 2 -p {process} -h hosts"
        );
        latency(place.path(), &args).spawn().unwrap()
    };
    let outputs = [start(0), start(1)].map(|child| child.wait_with_output().unwrap());
    let [table, silence] = outputs.map(|output| ends(&output, 0, ""));
    assert!(table.contains("freshness") && silence.is_empty(), "{table}{silence}");
    let run = report(place.path().join("run"));
    assert_eq!(counted(&run, "freshness"), 4_001);
    assert_eq!(counted(&run, "durable"), 4_001);
    assert_eq!(counted(&run, "query"), 100, "50 of each process");
    assert_eq!((run.pace().scheduled, run.pace().unseen), (4_001, 0));
    assert!(!place.path().join("run/latency-data").exists(), "the data of both is removed");
}

#[test]
fn a_sweep_leaves_its_steps() {
    let place = tempfile::tempdir().unwrap();
    // A bound that no run meets, so that there are only a few steps.
    let args = "--rate 8 --seconds 1 --keys 10 --sweep --bound 1us --out run";
    let table = ends(&latency(place.path(), args).output().unwrap(), 0, "8 events a second");
    assert!(table.contains("at no rate that was tried"), "{table}");
    for name in ["sweep.txt", "sweep.csv", "sweep.svg", "rate-8/report.txt", "rate-1/report.bin"] {
        assert!(place.path().join("run").join(name).exists(), "{name}");
    }
}

#[test]
fn arguments() {
    let place = tempfile::tempdir().unwrap();
    let refused = [
        ("", "--rate"),
        ("--rate 0", "--rate"),
        ("--rate 10 --late 0.6", "0.5"),
        ("--rate 10 --log sometimes", "off, commit, system"),
        ("--rate 10 --maintain 1", "--maintain needs a log"),
        ("--rate 10 -n 2", "several processes need --out"),
        ("--rate 10 --against nowhere", "nowhere/report.bin"),
    ];
    for (args, says) in refused {
        let out = ends(&latency(place.path(), args).output().unwrap(), 2, says);
        assert!(out.is_empty(), "{args}: {out}");
    }
    // A folder with data is left alone.
    std::fs::create_dir_all(place.path().join("mine/part-0")).unwrap();
    let args = "--rate 10 --seconds 1 --data mine";
    ends(&latency(place.path(), args).output().unwrap(), 2, "is there already");
    assert!(place.path().join("mine/part-0").exists());
}
