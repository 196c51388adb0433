//! The files of docs/operations, and the permissions of a running program.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use common::{Serving, bad, good, wait_until};

const FILE: &str = r#"
[engine]
data = "data"

[sources.visits]
type = "file"
path = "visits.csv"
follow = true
event_time = "at"

[sources.pushed]
type = "http"
event_time = "at"

[views.all]
from = ["visits", "pushed"]
measures = { visits = "count()" }

[serve]
http = "127.0.0.1:0"
"#;

fn folder(file: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("f.toml"), file).unwrap();
    fs::write(folder.path().join("visits.csv"), "at\n2024-05-01T10:00:00Z\n").unwrap();
    folder
}

fn docs(name: &str) -> String {
    let path: PathBuf =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operations").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Names of metrics in a text.
fn names(text: &str) -> BTreeSet<String> {
    let is_name = |char: char| char.is_ascii_alphanumeric() || char == '_';
    let words = text.split(|char: char| !is_name(char));
    words.filter(|word| word.starts_with("dayfold_")).map(str::to_owned).collect()
}

/// Rules and dashboard name only existing metrics, and nearly all of them.
#[test]
fn rules_and_dashboard_name_metrics_that_there_are() {
    let folder = folder(FILE);
    let serving = Serving::start(folder.path());
    // The floor is published a little later than the row.
    wait_until("the row and the floor", || {
        let metrics = serving.get("/metrics");
        metrics.contains("dayfold_events_total 1")
            && metrics.contains("dayfold_floor_timestamp_seconds ")
    });
    let mut there = names(&serving.get("/metrics"));
    // The next test covers exports.
    let exports = ["dayfold_export_failures", "dayfold_export_waiting", "dayfold_export_periods"];
    if cfg!(not(feature = "lake")) {
        there.extend(exports.map(str::to_owned));
    }
    let dashboard = docs("dashboard.json");
    let parsed: serde_json::Value = serde_json::from_str(&dashboard).unwrap();
    let panels = parsed["panels"].as_array().unwrap();
    let expressions = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    assert!(expressions.clone().count() > 15);
    assert!(
        expressions
            .clone()
            .all(|target| target["expr"].as_str().is_some_and(|e| e.contains("dayfold_")))
    );
    for (file, text) in [("dashboard.json", &dashboard), ("alerts.yml", &docs("alerts.yml"))] {
        let named = names(text);
        assert!(named.len() >= 8, "{file} names {named:?}");
        let missing: Vec<&String> = named.difference(&there).collect();
        let missing: Vec<_> = if cfg!(feature = "lake") {
            missing.into_iter().filter(|name| !exports.contains(&name.as_str())).collect()
        } else {
            missing
        };
        assert!(missing.is_empty(), "{file} names {missing:?}, and there are {there:?}");
    }
}

#[cfg(feature = "lake")]
#[test]
fn exports_are_in_status_and_metrics() {
    let export = "\n[exports.out]\nurl = \"lake\"\ntable = \"hive\"\n";
    let folder = folder(&format!("{FILE}{export}"));
    let serving = Serving::start(folder.path());
    wait_until("the export", || {
        let metrics = serving.get("/metrics");
        let export = names(&metrics).into_iter().filter(|name| name.contains("_export_"));
        export.count() == 3
            && metrics.contains("dayfold_export_failures{export=\"out\",view=\"all\"} ")
    });
    let status: serde_json::Value = serde_json::from_str(&serving.get("/api/status")).unwrap();
    assert_eq!(status["exports"][0]["export"], "out");
    // Whether there was a failure depends on what is sealed by now; both numbers are there.
    assert!(status["exports"][0]["failures"].is_u64() && status["exports"][0]["exported"].is_u64());
}

/// A file with an export of what the source of files has.
#[cfg(feature = "lake")]
fn exporting(table: &str) -> String {
    let pushed = "[sources.pushed]\ntype = \"http\"\nevent_time = \"at\"\n";
    let file = FILE.replace(pushed, "").replace("[\"visits\", \"pushed\"]", "\"visits\"");
    assert!(!file.contains("pushed"));
    format!("{file}\n[exports.out]\nurl = \"lake\"\ntable = \"{table}\"\n")
}

/// Rows of four more days, one of even days and two of odd ones. Each day closes the days before.
#[cfg(feature = "lake")]
fn days(folder: &Path, first: u64) {
    use std::io::Write;
    let mut visits = fs::OpenOptions::new().append(true).open(folder.join("visits.csv")).unwrap();
    for day in first..first + 4 {
        for _ in 0..day % 2 + 1 {
            writeln!(visits, "2024-05-{day:02}T10:00:00Z").unwrap();
        }
    }
}

/// A store that cannot be reached is in status and metrics, with what waits for it; ingest goes on meanwhile.
#[cfg(feature = "lake")]
#[test]
fn a_store_that_is_away_is_told_and_holds_nothing_up() {
    let folder = folder(&exporting("iceberg"));
    let (lake, away) = (folder.path().join("lake"), folder.path().join("away"));
    days(folder.path(), 2);
    let serving = Serving::start(folder.path());
    let number = |name: &str| -> u64 {
        let metrics = serving.get("/metrics");
        let line = format!("dayfold_export_{name}{{export=\"out\",view=\"all\"}} ");
        let value = metrics.lines().find_map(|metric| metric.strip_prefix(&line));
        value.map_or(0, |value| value.parse().unwrap())
    };
    wait_until("the first days", || number("periods") >= 4 && number("waiting") == 0);
    // A file is in the place of the folder.
    fs::rename(&lake, &away).unwrap();
    fs::write(&lake, "away").unwrap();
    days(folder.path(), 10);
    wait_until("the failure", || number("failures") > 0 && number("waiting") > 0);
    let status: serde_json::Value = serde_json::from_str(&serving.get("/api/status")).unwrap();
    let told = &status["exports"][0];
    let error = told["error"].as_str().unwrap();
    assert!(error.contains("lake"), "{error}");
    assert!(told["failures"].as_u64() > Some(0) && told["waiting"].as_u64() > Some(0), "{told}");
    // What has come meanwhile is counted.
    let sql = "SELECT visits FROM \"all\" WHERE day = '2024-05-12'";
    wait_until("ingest", || {
        good(folder.path(), &["query", "f.toml", sql, "--format", "csv"]) == "visits\n1\n"
    });
    fs::remove_file(&lake).unwrap();
    fs::rename(&away, &lake).unwrap();
    wait_until("the rest", || number("failures") == 0 && number("periods") >= 8);
    assert_eq!(number("waiting"), 0);
}

/// With `log = "exported"`, the log is kept as long as the store cannot be reached.
#[cfg(feature = "lake")]
#[test]
fn the_log_is_kept_until_its_periods_are_exported() {
    let file = exporting("iceberg").replace("[engine]", "[engine]\nlog = \"exported\"");
    let folder = folder(&file);
    let folder = folder.path();
    let (lake, away) = (folder.join("lake"), folder.join("away"));
    let serving = Serving::start(folder);
    // A file is in the place of the folder.
    fs::rename(&lake, &away).unwrap();
    fs::write(&lake, "away").unwrap();
    days(folder, 2);
    let has = |metric: &str| serving.get("/metrics").contains(metric);
    let failures = "dayfold_export_failures{export=\"out\",view=\"all\"} ";
    wait_until("the failures", || has(failures) && !has(&format!("{failures}0")));
    let inspected = || good(folder, &["inspect", "data"]);
    wait_until("days are sealed", || inspected().contains("4 days sealed"));
    let removed = |day: &str| inspected().contains(&format!("nothing before {day} is kept"));
    assert!(!inspected().contains("nothing before"));
    fs::remove_file(&lake).unwrap();
    fs::rename(&away, &lake).unwrap();
    wait_until("what is exported is removed", || removed("2024-05-05"));
    days(folder, 6);
    wait_until("more is exported", || removed("2024-05-09"));
    drop(serving);
    let said = good(folder, &["run", "f.toml", "--once"]);
    assert!(!said.contains("error"), "{said}");
    assert!(removed("2024-05-09"), "a start removes nothing that is not exported");
    // Each view needs an export.
    let other =
        format!("{file}\n[views.other]\nfrom = \"visits\"\nmeasures = {{ n = \"count()\" }}\n");
    let other = other.replace("url = \"lake\"", "url = \"lake\"\nviews = [\"all\"]");
    fs::write(folder.join("f.toml"), other).unwrap();
    let said = bad(folder, &["check", "f.toml"], 2);
    assert!(said.contains("view 'other' has no export"), "{said}");
}

/// Exported files that were deleted or damaged are found, and made again, beside the running program.
#[cfg(feature = "lake")]
#[test]
fn an_audit_finds_what_happened_to_exports() {
    for table in ["iceberg", "hive"] {
        let folder = folder(&exporting(table));
        days(folder.path(), 2);
        let folder = folder.path();
        good(folder, &["run", "f.toml", "--once"]);
        let said = good(folder, &["audit", "f.toml"]);
        assert_eq!(said, "out, view all: 5 periods compared, 0 wrong\n");
        let files: Vec<PathBuf> = files(&folder.join("lake"));
        assert_eq!(files.len(), 5, "{files:?}");
        fs::remove_file(&files[0]).unwrap();
        fs::write(&files[1], "damaged").unwrap();
        // A whole file, of another day.
        fs::copy(&files[2], &files[3]).unwrap();
        let said = bad(folder, &["audit", "f.toml"], 1);
        assert!(said.contains("3 exported files are missing, damaged or different"), "{said}");
        let serving = Serving::start(folder);
        let said = good(folder, &["audit", "f.toml", "--mend"]);
        assert!(said.starts_with("out, view all: 5 periods compared, 3 wrong\n"), "{said}");
        assert!(said.contains("the file is gone"), "{said}");
        assert!(said.ends_with("3 files were written again\n"), "{said}");
        drop(serving);
        let said = good(folder, &["audit", "f.toml"]);
        assert_eq!(said, "out, view all: 5 periods compared, 0 wrong\n");
    }
    let without = folder(FILE);
    let said = bad(without.path(), &["audit", "f.toml"], 2);
    assert!(said.contains("expected [exports.NAME]"), "{said}");
}

/// The Parquet files below a folder, in their order.
#[cfg(feature = "lake")]
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false if path.extension().is_some_and(|of| of == "parquet") => found.push(path),
            false => {}
        }
    }
    found.sort();
    found
}

/// A catalogue of the exported tables, which needs the token to read.
#[cfg(feature = "lake")]
#[test]
fn exports_have_a_catalogue() {
    let export = "\n[exports.out]\nurl = \"lake\"\ncatalog = true\n";
    let file = FILE.replace("[serve]", "[serve]\ntokens_file = \"tokens\"");
    let folder = folder(&format!("{file}{export}"));
    fs::write(folder.path().join("tokens"), "read secret\n").unwrap();
    for (from, to, expected) in [
        ("catalog = true", "catalog = true\ntable = \"hive\"", "expected table = \"iceberg\""),
        ("http =", "# http =", "expected http = \"127.0.0.1:8080\" in [serve]"),
    ] {
        let wrong = format!("{file}{export}").replace(from, to);
        fs::write(folder.path().join("wrong.toml"), wrong).unwrap();
        let said = bad(folder.path(), &["check", "wrong.toml"], 2);
        assert!(said.contains(expected), "{said}");
    }
    let serving = Serving::start(folder.path());
    let get = |token: &str| {
        let config = ureq::Agent::config_builder().http_status_as_error(false).build();
        let get = ureq::Agent::new_with_config(config)
            .get(format!("{}/iceberg/v1/namespaces", serving.1))
            .header("authorization", format!("Bearer {token}"));
        let mut answer = get.call().unwrap();
        (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap())
    };
    assert_eq!(get("wrong").0, 401);
    let (status, namespaces) = get("secret");
    assert_eq!(status, 200, "{namespaces}");
    assert!(namespaces.contains("[[\"out\"]]"), "{namespaces}");
}

/// Tokens by role: who may read, who may push, and what is public.
#[test]
fn tokens_say_who_may_do_what() {
    let folder = folder(&FILE.replace("[serve]", "[serve]\ntokens_file = \"tokens\""));
    let tokens = |text: &str| fs::write(folder.path().join("tokens"), text).unwrap();
    tokens("read r\nwrite w\n");
    for command in ["check", "run"] {
        let said = bad(folder.path(), &[command, "f.toml"], 2);
        assert!(said.contains("tokens:2: 'write': expected read, push or admin"), "{said}");
    }
    assert!(!folder.path().join("data").exists(), "nothing is written");
    tokens("# who asks\nread r-secret\npush p-secret\n\nadmin a-secret\n");
    let serving = Serving::start(folder.path());
    let config = ureq::Agent::config_builder().http_status_as_error(false).build();
    let agent = ureq::Agent::new_with_config(config);
    let get = |path: &str, token: &str| {
        let get = agent.get(format!("{}{path}", serving.1));
        let get = if token.is_empty() { get } else { get.header("authorization", token) };
        let answer = get.call().unwrap();
        let asks = answer.headers().get("www-authenticate").is_some();
        (answer.status().as_u16(), asks)
    };
    for path in ["/", "/api/views", "/api/views/all/total", "/api/status", "/metrics"] {
        assert_eq!(get(path, ""), (401, true), "{path}");
        assert_eq!(get(path, "Bearer p-secret"), (401, true), "{path}");
        assert_eq!(get(path, "Bearer r-secret"), (200, false), "{path}");
        assert_eq!(get(path, "Bearer a-secret"), (200, false), "{path}");
        // "anybody:r-secret".
        assert_eq!(get(path, "Basic YW55Ym9keTpyLXNlY3JldA=="), (200, false), "{path}");
    }
    assert_eq!((get("/readyz", "").0, get("/healthz", "").0), (200, 200));
    let push = |token: &str| {
        let post = agent.post(format!("{}/api/sources/pushed/events", serving.1));
        let post = post.header("content-type", "application/json").header("authorization", token);
        post.send("{\"at\": \"2024-05-01T11:00:00Z\"}").unwrap().status().as_u16()
    };
    assert_eq!([push("Bearer r-secret"), push(""), push("Bearer p-secret")], [401, 401, 200]);
    assert_eq!(push("Bearer a-secret"), 200);
    // The command line reads the same file.
    let sql = "SELECT visits FROM all";
    let found = good(folder.path(), &["query", "f.toml", sql, "--format", "csv"]);
    assert_eq!(found, "visits\n3\n");
}
