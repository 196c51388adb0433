//! Data folders that are lost, and started again from what they had exported.

#![cfg(feature = "lake")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use std::fs;
use std::path::Path;

use common::{Serving, bad, good, wait_until};

const FILE: &str = r#"
[engine]
data = "data"
workers = 2

[sources.log]
type = "file"
path = "log-*.csv"
follow = true
event_time = "at"
max_behind = "900d"
columns = { bytes = "integer" }

[views.daily]
from = "log"
grace = "0s"
key = { page = "page" }
measures = { visits = "count()", bytes = "sum(bytes)", users = "distinct(who)", slow = "quantile(bytes, 0.9)", last = "last(who)" }

[views.monthly]
from = "log"
grain = "month"
grace = "0s"
measures = { visits = "count()", bytes = "sum(bytes)", most = "max(bytes)" }

[serve]
http = "127.0.0.1:0"

[exports.lake]
url = "lake"
states = true
"#;

const FILES: usize = 3;
const HEADER: &str = "at,page,bytes,who\n";

/// The lines of one file on some days: most in order, some of other days, and some that are refused.
fn lines(file: usize, days: std::ops::Range<u64>) -> String {
    let mut text = String::new();
    for day in days {
        for row in 0..60u64 {
            let mixed = (day * 60 + row) * 7 + file as u64 * 13;
            // Every tenth is late, of up to 39 days before; some are ahead by hours.
            let day = if row % 10 == 3 { day.saturating_sub(mixed % 40) } else { day };
            let at = 1_704_067_200 + day * 86_400 + row * 1_400 + file as u64;
            let bytes = if row == 17 { "none".to_owned() } else { (mixed % 1_000).to_string() };
            text.push_str(&format!("{at},/{},{bytes},u{}\n", mixed % 5, mixed % 301));
        }
    }
    text
}

fn append(folder: &Path, days: &std::ops::Range<u64>) {
    use std::io::Write;
    for file in 0..FILES {
        let path = folder.join(format!("log-{file}.csv"));
        let is_new = !path.exists();
        let mut log = fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
        if is_new {
            log.write_all(HEADER.as_bytes()).unwrap();
        }
        log.write_all(lines(file, days.clone()).as_bytes()).unwrap();
    }
}

/// How many snapshots of a view's table can be started from.
fn cuts(folder: &Path, view: &str) -> usize {
    let metadata = folder.join("lake").join(view).join("metadata");
    let Ok(newest) = fs::read_to_string(metadata.join("version-hint.text")) else { return 0 };
    let newest = fs::read_to_string(metadata.join(format!("v{}.metadata.json", newest.trim())));
    newest.unwrap_or_default().matches("\"dayfold.cut\"").count()
}

fn answers(folder: &Path) -> [String; 2] {
    ["SELECT * FROM daily", "SELECT * FROM monthly"]
        .map(|sql| good(folder, &["query", "f.toml", sql, "--format", "csv"]))
}

#[test]
fn folders_that_are_lost_again_and_again_go_on_from_the_lake_and_the_files() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("f.toml"), FILE).unwrap();
    let mut options: Vec<&str> = Vec::new();
    for (round, days) in [0..40, 40..75, 75..100].into_iter().enumerate() {
        append(folder, &days);
        let before = [cuts(folder, "daily"), cuts(folder, "monthly")];
        let serving = Serving::start_with(folder, &options);
        wait_until("days are exported", || cuts(folder, "daily") > before[0]);
        wait_until("months are exported", || cuts(folder, "monthly") > before[1]);
        // It is killed, and its disk is lost.
        drop(serving);
        fs::remove_dir_all(folder.join("data")).unwrap();
        options = vec!["--start-from", "lake"];
        assert!(cuts(folder, "daily") > 0, "round {round}");
    }
    append(folder, &(100..120));
    good(folder, &["run", "f.toml", "--once", "--start-from", "lake"]);
    let found = answers(folder);
    let refused = |folder: &Path| {
        let text = fs::read_to_string(folder.join("data/refused.csv")).unwrap();
        text.lines().count()
    };

    let whole = tempfile::tempdir().unwrap();
    fs::write(whole.path().join("f.toml"), FILE).unwrap();
    append(whole.path(), &(0..120));
    good(whole.path(), &["run", "f.toml", "--once"]);
    let expected = answers(whole.path());
    assert_eq!(found, expected);
    assert_eq!(refused(folder), refused(whole.path()));
    assert_eq!(refused(folder), 1 + FILES * 120);

    // The folder goes on by itself, and has all that a view is computed from.
    good(folder, &["run", "f.toml", "--once", "--rebuild", "daily"]);
    assert_eq!(answers(folder), expected);
}

#[test]
fn what_cannot_be_started_from_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    append(folder, &(0..5));
    let run = |file: &str, code: i32, expected: &str| {
        fs::write(folder.join("f.toml"), file).unwrap();
        let said = bad(folder, &["run", "f.toml", "--once", "--start-from", "lake"], code);
        assert!(said.contains(expected), "{said}");
    };
    run(&FILE.replace("states = true", ""), 2, "expected states = true in [exports.lake]");
    run(&FILE.replace("exports.lake", "exports.other"), 2, "no export of that name");
    run(FILE, 2, "has no state to start from");
    run(
        &FILE.replace("states = true", "states = true\ntable = \"hive\""),
        2,
        "expected table = \"iceberg\"",
    );
    fs::write(folder.join("f.toml"), FILE).unwrap();
    good(folder, &["run", "f.toml", "--once"]);
    run(FILE, 2, "is not new: it goes on from what it has");
    fs::remove_dir_all(folder.join("data")).unwrap();
    run(
        &FILE.replace("grain = \"month\"", "grain = \"week\""),
        2,
        "view monthly is another one in the export",
    );
    fs::write(folder.join("f.toml"), FILE).unwrap();
    good(folder, &["run", "f.toml", "--once", "--start-from", "lake"]);

    // The log has not what another view needs.
    let more = FILE.replace(
        "[serve]",
        "[views.more]\nfrom = \"log\"\nmeasures = { rows = \"count()\" }\n[serve]",
    );
    fs::write(folder.join("f.toml"), more).unwrap();
    let said = bad(folder, &["run", "f.toml", "--once"], 2);
    assert!(
        said.contains("view more: it is new, and the folder was started from an export"),
        "{said}"
    );
}

#[test]
fn a_view_with_rollups_that_outlive_its_periods_is_not_started_from_an_export() {
    let folder = tempfile::tempdir().unwrap();
    let outliving = "[views.daily]\nkeep = \"20d\"\nrollup = { month = \"forever\" }\n";
    fs::write(folder.path().join("f.toml"), FILE.replace("[views.daily]\n", outliving)).unwrap();
    append(folder.path(), &(0..2));
    let said = bad(folder.path(), &["run", "f.toml", "--once", "--start-from", "lake"], 2);
    assert!(said.contains("view daily keeps rollups for a longer time"), "{said}");
}
