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
    wait_until("the row", || serving.get("/metrics").contains("dayfold_events_total 1"));
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
