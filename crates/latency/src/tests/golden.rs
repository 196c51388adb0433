//! The exact output for people and other programs. `GOLDEN=write cargo test latency` writes the present output of the
//! lab: check it before you commit it.

use super::*;

/// A small run with everything in it: a hand-over, an audit, and a stall.
fn report() -> Report {
    let conditions = Conditions::new();
    let close = conditions.begin("hand-over", "2024-01-01", 400 * MS);
    conditions.end(close, 600 * MS);
    conditions.begin("audit", "of \"2024\"", 900 * MS);
    let fake = Fake { tick: 2 * MS, delay: 500_000, stall: Some(500 * MS..530 * MS) };
    let mut pause = Latencies::new();
    pause.record(32 * MS);
    fake.measure(Schedule::new(2_000, 2_000), &conditions)
        .with(Recording::of("pause at a hand-over", pause))
        .about("rate", 2_000)
        .about("log", "off")
        .note("Not measured: something.")
}

#[track_caller]
fn check(name: &str, text: &str) {
    let path = format!("{}/src/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var("GOLDEN").is_ok_and(|what| what == "write") {
        std::fs::write(&path, text).unwrap();
    }
    let expect = std::fs::read_to_string(&path).unwrap();
    assert!(text == expect, "{name} is not what it was; it is now:\n{text}");
}

#[test]
fn every_file_of_a_report() {
    let files = report().files();
    let names: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
    let expect = [
        "report.txt",
        "report.json",
        "report.bin",
        "distribution.csv",
        "freshness.hgrm",
        "freshness-calm.hgrm",
        "freshness-hand-over.hgrm",
        "freshness-audit.hgrm",
        "pause-at-a-hand-over.hgrm",
        "freshness-over-time.svg",
        "freshness-distribution.svg",
        "distribution.svg",
    ];
    assert_eq!(names, expect);
    for file in files {
        let shown = ["report.txt", "report.json", "freshness-hand-over.hgrm", "distribution.svg"];
        if shown.contains(&file.name.as_str()) || file.name.starts_with("freshness-over") {
            check(&file.name, std::str::from_utf8(&file.bytes).unwrap());
        }
        if file.name == "distribution.csv" {
            let text = String::from_utf8(file.bytes).unwrap();
            let lines: Vec<&str> = text.lines().filter(|line| !line.contains("calm")).collect();
            check(&file.name, &(lines.join("\n") + "\n"));
        }
    }
}

#[test]
fn two_runs_side_by_side() {
    let other = Fake { tick: MS, delay: 250_000, stall: None };
    let other = other.measure(Schedule::new(2_000, 2_000), &Conditions::new()).about("rate", 2_000);
    let report = report();
    let files = Against::new(&report, "this", &other, "that").files();
    let names: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(names, ["against.txt", "freshness-against.svg"]);
    check("against.txt", std::str::from_utf8(&files[0].bytes).unwrap());
}

#[test]
fn a_sweep_as_text_and_picture() {
    let mut sweep = Sweep::new("freshness", 5 * MS, 1_000);
    while let Some(rate) = sweep.next() {
        let tick = if rate > 2_500 { 8 * MS } else { MS };
        let fake = Fake { tick, delay: rate * 500, stall: None };
        sweep.tried(&fake.measure(Schedule::new(rate, rate), &Conditions::new()));
    }
    for file in sweep.files() {
        check(&file.name, std::str::from_utf8(&file.bytes).unwrap());
    }
}

#[test]
fn a_run_that_fell_behind_says_so_everywhere() {
    let fake = Fake { tick: MS, delay: 0, stall: Some(500 * MS..2_000 * MS) };
    let report = fake.measure(Schedule::new(1_000, 1_000), &Conditions::new());
    assert!(report.table().starts_with("THE RATE WAS NOT KEPT"));
    assert!(report.json().contains("\"kept\": false"));
    let pictures: Vec<_> =
        report.files().into_iter().filter(|f| f.name.ends_with(".svg")).collect();
    assert_eq!(pictures.len(), 3);
    for picture in pictures {
        let text = String::from_utf8(picture.bytes).unwrap();
        assert!(text.contains("the rate was not kept"), "{}", picture.name);
    }
}
