//! The past of views that are added to JSON sources: it has every field of the records.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use common::{Serving, dayfold, good};

const BY_NAME: &str = "\n[views.by_name]\nfrom = \"visits\"\nkey = { name = \"name\" }\nmeasures = { n = \"count()\" }\n";

/// Fields that nothing else reads: of objects, in lists, and one that only some records have.
const ADDED: &str = r#"
[views.added]
from = "visits"
where = "geo.land IS NOT NULL"
key = { land = "upper(geo.land)", first = "json_get(tags, '$[0]')" }
measures = { n = "count()", sum = "sum(price)", most = "max(price)", rare = "count(rare)", names = "distinct(name)" }

[views.in_vienna]
from = "visits"
zone = "Europe/Vienna"
key = { land = "geo.land" }
measures = { price = "sum(price)" }
"#;

const SQL: [&str; 2] =
    ["SELECT * FROM added ORDER BY day, land, first", "SELECT * FROM in_vienna ORDER BY day, land"];

fn write(folder: &Path, source: &str, views: &[&str]) {
    let engine = "[engine]\ndata = \"data\"\n\n[sources.visits]\nevent_time = \"at\"\n";
    fs::write(folder.join("f.toml"), format!("{engine}{source}\n{}", views.concat())).unwrap();
}

const FROM_FILE: &str = "type = \"file\"\npath = \"visits.jsonl\"\n";

fn record(n: u64) -> String {
    let rare = if n.is_multiple_of(7) { r#", "rare": true"# } else { "" };
    let land = ["\"at\"", "\"d\\u0065\"", "null"][n as usize % 3];
    format!(
        r#"{{"at": "2024-05-{:02}T{:02}:30:00Z", "name": "n{}", "geo": {{"land": {land}, "x": 1}}, "price": {}.50, "tags": ["t{}", 2]{rare}}}"#,
        1 + n / 50 % 28,
        n % 24,
        n % 5,
        n % 11,
        n % 2,
    )
}

fn answers(folder: &Path, more: &[&str]) -> Vec<String> {
    let answer =
        |sql: &&str| good(folder, &[&["query", "f.toml", sql, "--format", "csv"], more].concat());
    SQL.iter().map(answer).collect()
}

/// What the views have in a folder in which they were from the beginning.
fn expected(folder: &Path, source: &str, options: &[&str]) -> Vec<String> {
    write(folder, source, &[BY_NAME, ADDED]);
    let fresh = ["--data", "fresh"];
    good(folder, &[&["run", "f.toml", "--once"], &fresh[..], options].concat());
    let expected = answers(folder, &fresh);
    assert!(expected.iter().all(|rows| rows.lines().count() > 20), "{expected:?}");
    expected
}

#[test]
fn the_past_of_a_view_has_fields_that_no_view_needed() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let rows: Vec<String> = (0..500).map(record).collect();
    fs::write(folder.join("visits.jsonl"), rows.join("\n") + "\n").unwrap();
    write(folder, FROM_FILE, &[BY_NAME]);
    good(folder, &["run", "f.toml", "--once"]);
    let expected = expected(folder, FROM_FILE, &[]);
    good(folder, &["run", "f.toml", "--once"]);
    assert_eq!(answers(folder, &[]), expected);
    // The same if a view becomes another one.
    let other = ADDED.replace("geo.land IS NOT NULL", "FALSE");
    write(folder, FROM_FILE, &[BY_NAME, &other]);
    good(folder, &["run", "f.toml", "--once", "--rebuild", "added"]);
    assert_ne!(answers(folder, &[]), expected);
    write(folder, FROM_FILE, &[BY_NAME, ADDED]);
    good(folder, &["run", "f.toml", "--once", "--rebuild", "added"]);
    assert_eq!(answers(folder, &[]), expected);
}

#[test]
fn the_past_of_a_view_has_fields_of_events_that_were_pushed() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let source = "type = \"http\"\ncolumns = { price = \"decimal\" }\n";
    let serve = "\n[serve]\nhttp = \"127.0.0.1:0\"\n";
    write(folder, source, &[BY_NAME, serve]);
    let serving = Serving::start(folder);
    let push = |kind: &str, body: &str| {
        let (status, text) = serving.push(kind, body);
        assert_eq!(status, 200, "{text}");
    };
    let rows: Vec<String> = (0..500).map(record).collect();
    push("application/x-ndjson", &rows.join("\n"));
    push(
        "text/csv",
        "at,name,price,tags,geo.land\n2024-05-01T10:00:00Z,x,9.25,\"[\"\"c\"\"]\",ch\n",
    );
    write(folder, source, &[BY_NAME, ADDED, serve]);
    good(folder, &["reload", "f.toml"]);
    let has_past = answers(folder, &[]);
    let of_csv = "2024-05-01,CH,c,1,9.25,9.25,0,1,";
    assert!(has_past[0].lines().any(|row| row.starts_with(of_csv)), "{has_past:?}");
    // Events of the same fields, now that the views need them, are counted alike.
    push("application/x-ndjson", &rows.join("\n"));
    let twice = answers(folder, &[]);
    let numbers = |rows: &[String]| -> Vec<f64> {
        let of_row = |row: &str| row.split(',').nth(2)?.parse::<f64>().ok();
        rows[1].lines().filter(|row| !row.contains(",ch,")).filter_map(of_row).collect()
    };
    let (once, twice) = (numbers(&has_past), numbers(&twice));
    assert_eq!(once.len(), twice.len());
    assert!(once.len() > 20 && once.iter().zip(&twice).all(|(once, twice)| 2.0 * once == *twice));
    drop(serving);
    // The same after a kill.
    let serving = Serving::start(folder);
    assert_eq!(numbers(&answers(folder, &[])), twice);
    drop(serving);
}

#[test]
fn a_type_that_is_stated_later_holds_for_the_records_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let rows = [
        r#"{"at": "2024-05-01T10:00:00Z", "name": "a", "code": 1.50, "is": true, "left": 1}"#,
        r#"{"at": "2024-05-01T11:00:00Z", "name": "a", "code": 2.0, "is": false, "left": 2}"#,
        r#"{"at": "2024-05-01T12:00:00Z", "name": "b", "is": true, "left": 3}"#,
    ];
    fs::write(folder.join("visits.jsonl"), rows.join("\n") + "\n").unwrap();
    let view = |name: &str, key: &str, measures: &str| {
        format!(
            "\n[views.{name}]\nfrom = \"visits\"\nkey = {{ {key} }}\nmeasures = {{ {measures} }}\n"
        )
    };
    let codes = view("codes", "code = \"code\", is = \"is\"", "n = \"count()\"");
    write(folder, FROM_FILE, &[BY_NAME, &codes]);
    good(folder, &["run", "f.toml", "--once"]);
    let rows = |sql: &str| good(folder, &["query", "f.toml", sql, "--format", "csv"]);
    let before = rows("SELECT code, is, n FROM codes ORDER BY code");
    assert_eq!(before, "code,is,n\n1.5,true,1\n2,false,1\n,true,1\n");
    // As texts they are what is in the record, with all their digits. A number that is no date leaves its row out of
    // the view that needs it, and of no other.
    let source =
        format!("{FROM_FILE}columns = {{ code = \"text\", is = \"text\", left = \"date\" }}\n");
    let dates = view("dates", "left = \"left\"", "n = \"count()\"");
    write(folder, &source, &[BY_NAME, &codes, &dates]);
    good(folder, &["run", "f.toml", "--once", "--rebuild", "codes"]);
    let after = rows("SELECT code, is, n FROM codes ORDER BY code");
    assert_eq!(after, "code,is,n\n1.50,true,1\n2.0,false,1\n,true,1\n");
    assert_eq!(rows("SELECT left, n FROM dates"), "left,n\n");
    assert_eq!(rows("SELECT name, n FROM by_name ORDER BY name"), "name,n\na,2\nb,1\n");
}

/// CSV has no record beside its columns: values are read from what they were.
#[test]
fn a_type_that_is_stated_later_holds_for_conditions() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let rows = "at,name,is,n\n2024-05-01T10:00:00Z,a,true,1\n2024-05-01T11:00:00Z,b,false,2\n";
    fs::write(folder.join("visits.csv"), rows).unwrap();
    let source = FROM_FILE.replace("jsonl", "csv");
    write(folder, &source, &[BY_NAME]);
    good(folder, &["run", "f.toml", "--once"]);
    let view = |name: &str, condition: &str| {
        BY_NAME.replace("by_name", name) + &format!("where = \"{condition}\"\n")
    };
    let source = source + "columns = { is = \"text\", n = \"date\" }\n";
    let (texts, dates) = (view("texts", "is > 'm'"), view("dates", "n > DATE '2024-05-01'"));
    write(folder, &source, &[BY_NAME, &texts, &dates]);
    good(folder, &["run", "f.toml", "--once"]);
    let rows = |sql: &str| good(folder, &["query", "f.toml", sql, "--format", "csv"]);
    assert_eq!(rows("SELECT name, n FROM texts"), "name,n\na,1\n");
    assert_eq!(rows("SELECT name, n FROM dates"), "name,n\n");
}

#[test]
fn a_run_that_is_killed_while_it_computes_the_past_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let rows: Vec<String> = (0..8_000).map(record).collect();
    fs::write(folder.join("visits.jsonl"), rows.join("\n") + "\n").unwrap();
    write(folder, FROM_FILE, &[BY_NAME]);
    good(folder, &["run", "f.toml", "--once"]);
    let began = Instant::now();
    let expected = expected(folder, FROM_FILE, &["-w", "2"]);
    let whole = began.elapsed();
    let rounds = 6;
    for round in 0..rounds {
        let mut command = dayfold();
        command.args(["run", "f.toml", "--once"]).current_dir(folder);
        let mut run = command.stderr(Stdio::null()).spawn().unwrap();
        let until = Instant::now() + whole * round / rounds;
        while Instant::now() < until && run.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        let _ = run.kill();
        let _ = run.wait();
    }
    good(folder, &["run", "f.toml", "--once"]);
    assert_eq!(answers(folder, &[]), expected);
}
