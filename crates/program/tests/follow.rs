//! Files grow, are added and are rotated while the program runs, is killed and starts again: each row counts once.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use common::{Serving, good, wait_until};

const FILE: &str = r#"
[engine]
data = "data"
workers = 2

[sources.logs]
type = "file"
path = "logs/**/*.jsonl"
follow = true
event_time = "timestamp_seconds(at)"
columns = { at = "integer", bytes = "integer", path = "text" }

[sources.sales]
type = "file"
path = "sales.csv"
follow = true
event_time = "at"

[views.hits]
from = "logs"
key = { path = "path" }
measures = { rows = "count()", bytes = "sum(bytes)" }

[views.sold]
from = "sales"
measures = { rows = "count()", pieces = "sum(pieces)" }

[serve]
http = "127.0.0.1:0"
"#;

/// Random numbers of a seed (SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % end
    }
}

/// The rows and the sum of a view, over all its days.
fn total(serving: &Serving, view: &str) -> (u64, u64) {
    let found = serving.get(&format!("/api/views/{view}/total?from=2024-04-01&to=2024-06-01"));
    let found: serde_json::Value = serde_json::from_str(&found).unwrap();
    // Nothing is there before the first row is read.
    let numbers = found["value"].as_object().or(found["measures"].as_object());
    let number = |name: &str| {
        let number = numbers.and_then(|numbers| numbers.get(name)).cloned().unwrap_or_default();
        number.as_u64().or_else(|| number.as_str()?.parse().ok()).unwrap_or_default()
    };
    (number("rows"), number(if view == "hits" { "bytes" } else { "pieces" }))
}

/// What was written: the rows and sums of each source.
#[derive(Default)]
struct Written {
    logs: (u64, u64),
    sales: (u64, u64),
    refused: u64,
}

fn append(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut file = fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

impl Written {
    /// Waits until everything is counted.
    fn wait_for(&self, serving: &Serving, what: &str) {
        wait_until(what, || {
            total(serving, "hits") == self.logs && total(serving, "sold") == self.sales
        });
    }

    fn grow_logs(&mut self, path: &Path, random: &mut Random) {
        for _ in 0..1 + random.below(40) {
            let bytes = random.below(1_000);
            if random.below(30) == 0 {
                self.refused += 1;
                append(path, "{\"at\": 1714550000, \"bytes\": \"many\"}\n");
                continue;
            }
            self.logs = (self.logs.0 + 1, self.logs.1 + bytes);
            let at = 1_714_550_000 + random.below(200_000);
            let (key, half) = (random.below(3), format!("{{\"at\": {at}, \"bytes\": {bytes}, "));
            // A row may be written in two pieces.
            append(path, &half);
            append(path, &format!("\"path\": \"/{key}\"}}\n"));
        }
    }

    fn grow_sales(&mut self, path: &Path, random: &mut Random) {
        if !path.exists() || path.metadata().unwrap().len() == 0 {
            append(path, "at,pieces\n");
        }
        for _ in 0..1 + random.below(40) {
            let (at, pieces) = (1_714_550_000 + random.below(100_000), random.below(100));
            self.sales = (self.sales.0 + 1, self.sales.1 + pieces);
            append(path, &format!("{at},{pieces}\n"));
        }
    }
}

#[test]
fn killed_runs_over_files_that_grow_and_rotate_count_each_row_once() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("f.toml"), FILE).unwrap();
    let (mut random, mut written) = (Random(7), Written::default());
    let log = |n: u64| folder.path().join(format!("logs/{}/{n}.jsonl", n % 2));
    let sales = folder.path().join("sales.csv");
    written.grow_logs(&log(0), &mut random);
    written.grow_sales(&sales, &mut random);
    for round in 0..if cfg!(debug_assertions) { 8 } else { 30 } {
        let serving = Serving::start(folder.path());
        for _ in 0..random.below(6) {
            written.grow_logs(&log(random.below(6)), &mut random);
            written.grow_sales(&sales, &mut random);
            std::thread::sleep(std::time::Duration::from_millis(random.below(60)));
        }
        if random.below(2) == 0 {
            // The program is killed anywhere, with rows that it has not read.
            continue;
        }
        written.wait_for(&serving, &format!("round {round}"));
        // A file is rotated only if it was read, or it is kept until it is.
        match random.below(3) {
            0 => fs::rename(&sales, folder.path().join(format!("sales.csv.{round}"))).unwrap(),
            1 => drop(fs::File::create(&sales).unwrap()),
            _ => {}
        }
        written.grow_sales(&sales, &mut random);
        if random.below(2) == 0 {
            written.wait_for(&serving, &format!("round {round}, behind a rotation"));
        }
    }
    let serving = Serving::start(folder.path());
    written.wait_for(&serving, "at last");
    // Each refused row is in the file once, whatever killed runs have left there.
    let refused = || fs::read_to_string(folder.path().join("data/refused.csv")).unwrap();
    let rows = |text: &str| text.lines().filter(|line| line.contains("'many'")).count() as u64;
    wait_until("refused rows", || rows(&refused()) == written.refused);
    let text = refused();
    assert_eq!(text.lines().filter(|line| *line == "line,reason,row").count(), 1, "{text}");
    assert_eq!(text.lines().count() as u64, 1 + written.refused, "{text}");
    assert!(text.contains("logs/logs/0/0.jsonl, "), "the file is named: {text}");
}

/// With --once, files are read to their ends, and the next run continues after a killed one.
#[test]
fn killed_runs_to_the_end_count_each_row_once() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("f.toml"), FILE).unwrap();
    let (mut random, mut written) = (Random(11), Written::default());
    let path = |n: u64| -> PathBuf { folder.path().join(format!("logs/a/{n}.jsonl")) };
    for n in 0..40 {
        (0..4).for_each(|_| written.grow_logs(&path(n), &mut random));
    }
    written.grow_sales(&folder.path().join("sales.csv"), &mut random);
    for _ in 0..6 {
        let mut command = common::dayfold();
        let mut child =
            command.args(["run", "f.toml", "--once"]).current_dir(folder.path()).spawn();
        std::thread::sleep(std::time::Duration::from_millis(20 + random.below(300)));
        if let Ok(child) = &mut child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
    good(folder.path(), &["run", "f.toml", "--once"]);
    let sql = "SELECT rows, bytes FROM hits";
    let found = good(folder.path(), &["query", "f.toml", sql, "--format", "csv"]);
    let numbers = found.lines().skip(1).map(|line| {
        let (rows, bytes) = line.split_once(',').unwrap();
        (rows.parse::<u64>().unwrap(), bytes.parse::<u64>().unwrap())
    });
    let sum = numbers.fold((0, 0), |sum, row| (sum.0 + row.0, sum.1 + row.1));
    assert_eq!(sum, written.logs);
    let refused = fs::read_to_string(folder.path().join("data/refused.csv")).unwrap();
    assert_eq!(refused.lines().count() as u64, 1 + written.refused);
}

/// A run that is killed before it has written anything of its own leaves a folder that the next one takes for a new
/// one.
#[test]
fn regression_a_first_run_that_is_killed_early_leaves_a_folder_that_the_next_one_begins() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("f.toml"), FILE).unwrap();
    let mut written = Written::default();
    written.grow_logs(&folder.path().join("logs/a/0.jsonl"), &mut Random(5));
    written.grow_sales(&folder.path().join("sales.csv"), &mut Random(6));
    good(folder.path(), &["run", "f.toml", "--once"]);
    // This is the state when only the identity of the folder has been written: the first record of the manifest.
    let (data, manifest) = (folder.path().join("data"), "part-0/manifest");
    let whole = fs::read(data.join(manifest)).unwrap();
    let length = u32::from_le_bytes(whole[16..20].try_into().unwrap()) as usize;
    let first = 16 + 8 + length;
    fs::remove_dir_all(&data).unwrap();
    fs::create_dir_all(data.join("part-0")).unwrap();
    fs::write(data.join(manifest), &whole[..first]).unwrap();
    good(folder.path(), &["check", "f.toml"]);
    good(folder.path(), &["run", "f.toml", "--once"]);
    let found =
        good(folder.path(), &["query", "f.toml", "SELECT rows FROM hits", "--format", "csv"]);
    let rows = found.lines().skip(1).map(|line| line.parse::<u64>().unwrap()).sum::<u64>();
    assert_eq!(rows, written.logs.0);
}
