//! The program from outside: files, arguments, exit codes, output, and what remains when it is killed.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;

use common::{Serving, bad, dayfold, good};

const FILE: &str = r#"
[engine]
data = "data"

[sources.visits]
type = "file"
path = "visits*.csv"
event_time = "parse_timestamp(day || ' ' || at, '%Y-%m-%d %H:%M', 'Europe/Vienna')"
columns = { day = "text", at = "text" }

[views.by_page]
from = "visits"
zone = "Europe/Vienna"
key = { page = "lower(page)" }
measures = { visits = "count()", ms = "sum(ms)" }
"#;

/// A folder with a definition and two files of rows.
fn folder(file: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("f.toml"), file).unwrap();
    let first = "day,at,page,ms\n2024-05-01,00:30,/A,1.5\n2024-05-01,23:30,/a,2\n";
    fs::write(folder.path().join("visits-1.csv"), first).unwrap();
    let second = "day,at,page,ms\n2024-05-02,12:00,/b,\n2024-05-02,12:00,/b,0.25\n";
    fs::write(folder.path().join("visits-2.csv"), second).unwrap();
    folder
}

const ALL: [&str; 5] = ["query", "f.toml", "SELECT * FROM by_page", "--format", "csv"];
const ROWS: &str =
    "day,page,visits,ms,sealed\n2024-05-01,/a,2,3.5,true\n2024-05-02,/b,2,0.25,true\n";

#[test]
fn a_new_file_runs_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    good(folder.path(), &["init", "new"]);
    let new = folder.path().join("new");
    let checked = good(&new, &["check", "dayfold.toml"]);
    assert!(checked.contains("view by_page: by day in Europe/Vienna"));
    let sample = good(&new, &["sample", "dayfold.toml", "--rows", "1"]);
    assert!(sample.contains("line 2: 2024-05-01T"));
    let taken = sample.lines().find(|line| line.trim_start().starts_with("by_page ")).unwrap();
    assert!(taken.contains("day = 2024-05-01, page = /"), "{taken}");
    assert!(!new.join("dayfold-data").exists(), "nothing is written before it runs");
    // The port in the file may be in use on this machine.
    let file = fs::read_to_string(new.join("dayfold.toml")).unwrap();
    fs::write(new.join("dayfold.toml"), file.replace(":8080", ":0")).unwrap();
    good(&new, &["run", "dayfold.toml", "--once"]);
    let sql = "SELECT visits FROM by_status";
    let sum = good(&new, &["query", "dayfold.toml", sql, "--format", "csv"]);
    let sum: u64 = sum.lines().skip(1).map(|line| line.parse::<u64>().unwrap()).sum();
    assert_eq!(sum, 120);
    assert!(good(&new, &["inspect", "dayfold-data"]).contains("view by_status"));
    assert!(bad(folder.path(), &["init", "new"], 2).contains("it is there already"));
}

#[test]
fn a_view_keeps_what_it_says() {
    let folder = folder(FILE);
    good(folder.path(), &["run", "f.toml", "--once"]);
    let file = fs::read_to_string(folder.path().join("f.toml")).unwrap();
    let kept = file.replace("data = \"data\"\n", "data = \"data\"\nlog = \"1h\"\n");
    let kept = kept.replace("[views.by_page]\n", "[views.by_page]\nkeep = \"1d\"\nrevisions = 1\n");
    assert_ne!(kept, file);
    fs::write(folder.path().join("f.toml"), kept).unwrap();
    good(folder.path(), &["run", "f.toml", "--once"]);
    assert_eq!(good(folder.path(), &ALL), "day,page,visits,ms,sealed\n2024-05-02,/b,2,0.25,true\n");
    for gone in ["views/by_page/2024-05-01", "log/2024-04-30"] {
        assert!(!folder.path().join("data/part-0").join(gone).exists(), "{gone} is empty");
    }
    let inspected = good(folder.path(), &["inspect", "data"]);
    assert!(inspected.contains("(UTC); nothing before 2024-05-02 is kept"), "{inspected}");
    assert!(
        inspected.contains("; nothing is superseded; nothing before 2024-05-02 is kept"),
        "{inspected}"
    );
}

#[test]
fn inspect_tells_what_takes_the_space() {
    let folder = folder(FILE);
    let mut rows = "day,at,page,ms\n".to_owned();
    (0..150)
        .for_each(|n| rows += &format!("2024-{:02}-{:02},12:00,/a,1\n", 1 + n / 25, 1 + n % 25));
    fs::write(folder.path().join("visits-1.csv"), rows).unwrap();
    fs::write(folder.path().join("visits-2.csv"), "day,at,page,ms\n").unwrap();
    good(folder.path(), &["run", "f.toml", "--once"]);
    let files = |inspected: &str| {
        let counts = inspected.lines().find_map(|line| line.trim().split_once(" bytes count, in "));
        let files = counts.unwrap().1.split(' ').next().unwrap().parse::<usize>().unwrap();
        assert!(inspected.contains("`log` in [engine] says how long it is kept"), "{inspected}");
        files
    };
    let first = files(&good(folder.path(), &["inspect", "data"]));
    // The next start packs all but 32 days, and a pack is one file.
    good(folder.path(), &["run", "f.toml", "--once"]);
    let inspected = good(folder.path(), &["inspect", "data"]);
    let packed = files(&inspected);
    assert_eq!((first, packed), (150, 33));
    let all = inspected.lines().find_map(|line| line.strip_prefix("on disk: ")).unwrap();
    let all: u64 = all.split(' ').next().unwrap().parse().unwrap();
    assert_eq!(all, bytes_of(&folder.path().join("data")), "{inspected}");
}

/// The bytes of all files of a folder.
fn bytes_of(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    let bytes = |entry: fs::DirEntry| match entry.file_type().unwrap().is_dir() {
        true => bytes_of(&entry.path()),
        false => entry.metadata().unwrap().len(),
    };
    entries.map(bytes).sum()
}

#[test]
fn many_files_are_one_source_and_a_new_one_is_read_on() {
    let folder = folder(FILE);
    for _ in 0..2 {
        good(folder.path(), &["run", "f.toml", "--once"]);
        assert_eq!(good(folder.path(), &ALL), ROWS);
    }
    let third = "day,at,page,ms\n2024-05-02,13:00,/b,1\n2024-05-03,00:00,/c,1\n";
    fs::write(folder.path().join("visits-3.csv"), third).unwrap();
    good(folder.path(), &["run", "f.toml", "--once", "-w", "2"]);
    let rows = "day,page,visits,ms,sealed\n2024-05-01,/a,2,3.5,true\n2024-05-02,/b,3,1.25,true\n\
                2024-05-03,/c,1,1,true\n";
    assert_eq!(good(folder.path(), &ALL), rows);
    // A file that sorts before all others, with its columns in another order; the program is started elsewhere.
    let first = "ms,note,page,at,day\n7,\"x,y\",/A,12:00,2024-05-01\n";
    fs::write(folder.path().join("visits-0.csv"), first).unwrap();
    let file = folder.path().join("f.toml");
    good(Path::new("/"), &["run", file.to_str().unwrap(), "--once"]);
    assert_eq!(good(folder.path(), &ALL), rows.replace("/a,2,3.5", "/a,3,10.5"));
    fs::write(folder.path().join("visits-4.csv"), "page,at,day\n/A,12:00,2024-05-01\n").unwrap();
    let said = bad(folder.path(), &["run", "f.toml", "--once"], 2);
    assert!(said.contains("visits-4.csv") && said.contains("'ms'"), "{said}");
}

#[cfg(feature = "lake")]
#[test]
fn a_run_ends_when_everything_is_exported() {
    let export = "\n[exports.out]\nurl = \"lake\"\ntable = \"hive\"\n";
    let folder = folder(&format!("{FILE}{export}"));
    good(folder.path(), &["run", "f.toml", "--once"]);
    for day in ["2024-05-01", "2024-05-02"] {
        let file = folder.path().join(format!("lake/by_page/day={day}/part-0.parquet"));
        let bytes = fs::read(&file).unwrap();
        assert!(bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1"), "{}", file.display());
    }
    let in_memory = format!("{FILE}{export}").replacen("data = \"data\"", "", 1);
    fs::write(folder.path().join("f.toml"), in_memory).unwrap();
    assert!(bad(folder.path(), &["check", "f.toml"], 2).contains("expected data ="));
}

#[test]
fn questions() {
    let folder = folder(FILE);
    assert!(bad(folder.path(), &ALL, 2).contains("run the file first"));
    good(folder.path(), &["run", "f.toml", "--once"]);
    let ask = |sql: &str| good(folder.path(), &["query", "f.toml", sql, "--format", "csv"]);
    let sql = "SELECT page, visits * 2 AS twice FROM by_page WHERE day > '2024-05-01'";
    assert_eq!(ask(sql), "page,twice\n/b,4\n");
    let of_day = "\n[views.all]\nfrom = \"visits\"\nzone = \"Europe/Vienna\"\nmeasures = { pages = \"top(page, 1)\" }\n";
    fs::write(folder.path().join("f.toml"), format!("{FILE}{of_day}")).unwrap();
    good(folder.path(), &["run", "f.toml", "--once"]);
    let expect = "pages\n\"[{\"\"value\"\":\"\"/A\"\",\"\"count\"\":1}]\"\n\"[{\"\"value\"\":\"\"/b\"\",\"\"count\"\":2}]\"\n";
    assert_eq!(ask("SELECT pages FROM all"), expect);
    let sql = "SELECT day FROM by_page ORDER BY day DESC LIMIT 1";
    assert_eq!(ask(sql), "day\n2024-05-02\n");
    let sql = "SELECT page, visits FROM by_page LIMIT 1";
    let table = good(folder.path(), &["query", "f.toml", sql]);
    assert_eq!(table, "page  visits\n/a         2\n");
    let json = good(folder.path(), &["query", "f.toml", sql, "--format", "json"]);
    assert_eq!(json, "{\"page\":\"/a\",\"visits\":2}\n");
    let fails = |sql: &str, expect: &str| {
        let said = bad(folder.path(), &["query", "f.toml", sql], 2);
        assert!(said.contains(expect), "{sql}: {said}");
    };
    fails("SELECT * FROM by_pag", "did you mean 'by_page'?");
    fails("SELECT pag FROM by_page", "did you mean 'page'?");
    fails("SELECT sum(visits) FROM by_page GROUP BY page", "without the feature 'sql'");
    fails("DROP TABLE by_page", "expected one SELECT");
}

/// A folder and a running program answer alike, with columns in the order of the table.
#[test]
fn an_empty_text_is_not_null() {
    let file = FILE.replace("lower(page)", "page").replace("visits*.csv", "visits.jsonl");
    let folder = folder(&(file + "\n[serve]\nhttp = \"127.0.0.1:0\"\n"));
    let row =
        |page: &str| format!("{{\"day\": \"2024-05-01\", \"at\": \"12:00\", \"ms\": 1.5{page}}}\n");
    let rows = [row(""), row(", \"page\": \"\""), row(", \"page\": \"a,\\n\"")].concat();
    fs::write(folder.path().join("visits.jsonl"), rows).unwrap();
    good(folder.path(), &["run", "f.toml", "--once"]);
    let check = || {
        let csv = good(folder.path(), &ALL);
        for row in ["2024-05-01,,1,1.5,true", "2024-05-01,\"\",1,1.5,true"] {
            assert!(csv.lines().any(|line| line == row), "{csv}");
        }
        let json = good(folder.path(), &[&ALL[..4], &["json"]].concat());
        let row = "{\"day\":\"2024-05-01\",\"page\":\"a,\\n\",\"visits\":1,\"ms\":\"1.5\",\"sealed\":true}";
        assert!(json.lines().any(|line| line == row), "{json}");
        (csv, json)
    };
    let of_folder = check();
    let serving = Serving::start(folder.path());
    assert_eq!(check(), of_folder);
    drop(serving);
}

#[test]
fn what_is_wrong_is_exit_code_2_and_nothing_is_written() {
    let check = |from: &str, to: &str, expect: &str| {
        let folder = folder(&FILE.replacen(from, to, 1));
        for command in ["check", "run"] {
            let said = bad(folder.path(), &[command, "f.toml"], 2);
            assert!(said.contains(expect), "{to}: {said}");
        }
        assert!(!folder.path().join("data").exists());
    };
    let near = "f.toml:14:23: there is no column 'pag': did you mean 'page'?";
    check("lower(page)", "lower(pag)", near);
    let near = "f.toml:14:1: unknown key 'keys' in [views.by_page]: did you mean 'key'?";
    check("key =", "keys =", near);
    let since = "sum takes numbers, and this is text, because of '/A' in line 2 of ";
    check("sum(ms)", "sum(page)", since);
    check(
        "sum(ms)",
        "sum(ms * page)",
        "expected a number in a calculation, found text, because of '/A' in line 2",
    );
    check("sum(ms)", "sum(page)", "write columns = { page = \"decimal\" }");
    check("visits*.csv", "nothing*.csv", "no file is named like");
    if cfg!(not(feature = "kafka")) {
        check("type = \"file\"", "type = \"kafka\"", "without the feature 'kafka'");
    }
    let export = "\n[exports.lake]\nurl = \"file:///tmp\"\n[views.by_page]";
    if cfg!(not(feature = "lake")) {
        check("\n[views.by_page]", export, "without the feature 'lake'");
    }
    let folder = folder(FILE);
    assert!(bad(folder.path(), &["run", "no.toml"], 2).contains("no.toml: No such file"));
    fs::write(folder.path().join("pushed.toml"), PUSHED).unwrap();
    let said = bad(folder.path(), &["run", "pushed.toml", "--once"], 2);
    assert!(said.contains("--once: programs push to all sources"), "{said}");
    // The name of a folder says nothing about its files; the rest of a pattern does.
    fs::create_dir(folder.path().join("logs")).unwrap();
    let row = "{\"day\": \"2024-05-01\", \"at\": \"12:00\", \"page\": \"/\", \"ms\": 1}\n";
    fs::write(folder.path().join("logs/a.jsonl.1"), row).unwrap();
    fs::write(folder.path().join("f.toml"), FILE.replace("visits*.csv", "logs")).unwrap();
    let said = bad(folder.path(), &["check", "f.toml"], 2);
    assert!(said.contains("it looks like JSON: write format = { type = \"json\" }"), "{said}");
    fs::write(folder.path().join("f.toml"), FILE.replace("visits*.csv", "logs/*.jsonl*")).unwrap();
    good(folder.path(), &["check", "f.toml"]);
    bad(folder.path(), &["run"], 2);
    bad(folder.path(), &["walk"], 2);
}

#[test]
fn check_says_that_a_file_has_changed_as_the_run_does() {
    let folder = folder(FILE);
    good(folder.path(), &["run", "f.toml", "--once"]);
    let file = folder.path().join("visits-1.csv");
    let rows = fs::read_to_string(&file).unwrap();
    let check = || common::run(folder.path(), &["check", "f.toml"]);
    // Rows at the end, and the same rows written again, are fine.
    for text in [format!("{rows}2024-05-03,12:00,/c,1\n"), rows.clone()] {
        fs::write(&file, text).unwrap();
        assert!(check().status.success(), "{:?}", check());
    }
    fs::write(&file, rows.replace("/A", "/B")).unwrap();
    let checked = check();
    assert_eq!(checked.status.code(), Some(2), "{checked:?}");
    let printed = String::from_utf8(checked.stdout).unwrap();
    let said = bad(folder.path(), &["run", "f.toml", "--once"], 2);
    let reason = said.trim().strip_prefix("error: ").unwrap();
    assert!(reason.contains("visits-1.csv") && reason.contains("put its former content back"));
    assert!(printed.contains(&format!("  source visits: refused: {reason}\n")), "{printed}");
    // A file that is gone has been counted.
    fs::remove_file(&file).unwrap();
    assert!(check().status.success());
    // A file that is followed may be rotated, so its new content is read.
    fs::write(&file, rows.replace("/A", "/B")).unwrap();
    let follows = FILE.replace("[sources.visits]", "[sources.visits]\nfollow = true");
    fs::write(folder.path().join("f.toml"), follows).unwrap();
    assert!(check().status.success());
}

#[test]
fn too_many_refused_rows_are_exit_code_3() {
    let with_limit = FILE.replacen("data = \"data\"", "data = \"data\"\nmax_refused = 1", 1);
    let typed = with_limit.replacen("at = \"text\"", "at = \"text\", ms = \"decimal\"", 1);
    let folder = folder(&typed);
    let rows = "day,at,page,ms\n2024-05-01,00:30,/a,1.5\n2024-05-01,00:30,/a,soon\n";
    fs::write(folder.path().join("visits-1.csv"), rows).unwrap();
    good(folder.path(), &["run", "f.toml", "--once"]);
    let refused = fs::read_to_string(folder.path().join("data/refused.csv")).unwrap();
    assert!(refused.contains("column 'ms': 'soon' is not a number"), "{refused}");
    let second = format!("{rows}2024-05-01,24:30,/a,1\n");
    fs::write(folder.path().join("visits-2.csv"), second).unwrap();
    let said = bad(folder.path(), &["run", "f.toml", "--once", "--data", "second"], 3);
    assert!(said.contains("3 of 5 rows were refused, more than max_refused allows"), "{said}");
}

#[test]
fn a_changed_view_is_refused_and_rebuilt_from_the_log() {
    let folder = folder(FILE);
    good(folder.path(), &["run", "f.toml", "--once"]);
    let check = |more: &[&str]| good(folder.path(), &[&["check", "f.toml"], more].concat());
    assert!(check(&[]).ends_with("  view by_page: goes on; sealed through 2024-05-02\n"));
    let changed = FILE.replacen("lower(page)", "upper(page)", 1);
    fs::write(folder.path().join("f.toml"), &changed).unwrap();
    let said = bad(folder.path(), &["check", "f.toml"], 2);
    assert!(said.contains("the next run refuses the data folder"), "{said}");
    let printed = common::run(folder.path(), &["check", "f.toml"]).stdout;
    let printed = String::from_utf8(printed).unwrap();
    assert!(
        printed.contains("view by_page: refused: its definition was 'from visits"),
        "{printed}"
    );
    assert!(printed.contains("dayfold run --rebuild by_page"), "{printed}");
    let printed = check(&["--rebuild", "by_page"]);
    assert!(printed.contains("its past is computed from the log: its definition"), "{printed}");
    assert!(bad(folder.path(), &["run", "f.toml", "--once"], 2).contains("upper(page)"));
    good(folder.path(), &["run", "f.toml", "--once", "--rebuild", "by_page"]);
    assert_eq!(good(folder.path(), &ALL), ROWS.replace("/a", "/A").replace("/b", "/B"));
    // A measure of another value would mix with what is sealed, although its type is the same. Its name says nothing.
    for (from, to, is_same) in
        [("sum(ms)", "sum(ms * ms)", false), ("ms = \"sum", "millis = \"sum", true)]
    {
        assert!(changed.contains(from), "{from}");
        fs::write(folder.path().join("f.toml"), changed.replacen(from, to, 1)).unwrap();
        let printed = common::run(folder.path(), &["check", "f.toml"]).stdout;
        let printed = String::from_utf8(printed).unwrap();
        assert_eq!(printed.contains("view by_page: goes on"), is_same, "{to}: {printed}");
        assert_eq!(
            printed.contains("view by_page: refused: its definition was"),
            !is_same,
            "{to}: {printed}"
        );
    }
    // An added view gets its past from the log, also for a column that no view had needed.
    let added = "\n[views.by_minute]\nfrom = \"visits\"\nmeasures = { visits = \"count()\" }\n\
                 key = { minute = \"split_part(at, ':', 2)\" }\n";
    fs::write(folder.path().join("f.toml"), changed + added).unwrap();
    let printed = check(&[]);
    assert!(
        printed.contains("by_minute: its past is computed from the log: it is new"),
        "{printed}"
    );
    good(folder.path(), &["run", "f.toml", "--once"]);
    let sql = "SELECT minute, visits FROM by_minute ORDER BY minute, day";
    let found = good(folder.path(), &["query", "f.toml", sql, "--format", "csv"]);
    // Half past midnight in Vienna is the day before in UTC.
    assert_eq!(found, "minute,visits\n00,2\n30,1\n30,1\n");
    fs::write(folder.path().join("f.toml"), FILE.replace("by_page", "by_site")).unwrap();
    let printed = check(&[]);
    let gone = "view by_page: is removed: the file does not have it; sealed through 2024-05-02, and its events stay in the log";
    assert!(printed.contains(gone), "{printed}");
    good(folder.path(), &["run", "f.toml", "--once"]);
    assert!(!check(&[]).contains("by_page"));
    // The view comes back from the log.
    fs::write(folder.path().join("f.toml"), FILE).unwrap();
    good(folder.path(), &["run", "f.toml", "--once"]);
    assert_eq!(good(folder.path(), &ALL), ROWS);
    let said = bad(folder.path(), &["run", "f.toml", "--rebuild", "none"], 2);
    assert!(said.contains("no view of that name"), "{said}");
}

#[test]
fn a_type_that_is_stated_later_holds_for_rows_that_were_read_before() {
    let folder = tempfile::tempdir().unwrap();
    let file = |columns: &str, view: &str| {
        let text = format!(
            "[engine]\ndata = \"data\"\n[sources.orders]\ntype = \"file\"\npath = \"orders.csv\"\nevent_time = \"at\"\n{columns}\n\
             [views.by_country]\nfrom = \"orders\"\nkey = {{ country = \"country\" }}\nmeasures = {{ orders = \"count()\" }}\n{view}"
        );
        fs::write(folder.path().join("f.toml"), text).unwrap();
    };
    let rows = "at,country,price\n2024-05-01T10:00:00Z,at,1\n2024-05-01T11:00:00Z,at,n/a\n2024-05-01T12:00:00Z,at,12.5\n";
    fs::write(folder.path().join("orders.csv"), rows).unwrap();
    // Text, because of a value that is no number.
    file(
        "",
        "[views.prices]\nfrom = \"orders\"\nkey = { price = \"price\" }\nmeasures = { n = \"count()\" }\n",
    );
    good(folder.path(), &["run", "f.toml", "--once"]);
    let added = "[views.prices]\nfrom = \"orders\"\nkey = { price = \"CAST(price AS TEXT)\" }\nmeasures = { n = \"count()\" }\n\
                 [views.revenue]\nfrom = \"orders\"\nkey = { country = \"country\" }\nmeasures = { revenue = \"sum(price)\" }\n";
    file("columns = { price = \"decimal\" }", added);
    good(folder.path(), &["run", "f.toml", "--once", "--rebuild", "prices"]);
    let sql = "SELECT country, revenue FROM revenue";
    assert_eq!(
        good(folder.path(), &["query", "f.toml", sql, "--format", "csv"]),
        "country,revenue\nat,13.5\n"
    );
}

const PUSHED: &str = r#"
[engine]
data = "data"

[sources.visits]
type = "http"
event_time = "at"
columns = { ms = "decimal(3)" }

[views.by_page]
from = "visits"
key = { page = "page" }
measures = { visits = "count()", ms = "sum(ms)" }

[serve]
http = "127.0.0.1:0"
"#;

#[test]
fn events_are_pushed_and_a_killed_run_goes_on() {
    let folder = folder(PUSHED);
    let serving = Serving::start(folder.path());
    let left = fs::read_to_string(folder.path().join("data/addresses.json")).unwrap();
    assert!(left.contains(&serving.1), "{left}");
    let accepted = |kind: &str, body: &str| {
        let (status, text) = serving.push(kind, body);
        assert_eq!(status, 200, "{text}");
    };
    let (json, lines, csv) = ("application/json", "application/x-ndjson", "text/csv");
    accepted(json, r#"{"at": "2024-05-01T10:00:00Z", "page": "/a", "ms": 0.1}"#);
    accepted(json, r#"[{"at": 1714557600000, "page": "/a", "ms": "0.2"}]"#);
    accepted(
        lines,
        "{\"at\": \"2024-05-01T11:00:00Z\", \"page\": \"/b\"}\n{\"at\": \"2024-05-01T12:00:00Z\", \"ms\": 1}\n",
    );
    accepted(csv, "page,at,ms\n\"/a\",2024-05-01T10:00:00Z,12345.678\n");
    let refused = |kind: &str, body: &str, expect: &str| {
        let (status, text) = serving.push(kind, body);
        assert_eq!(status, 400, "{text}");
        assert!(text.contains(expect), "{text}");
    };
    refused(json, r#"{"page": "/a"}"#, "event_time: empty");
    let bad = "page,at,ms\n/a,2024-05-01T10:00:00Z,1\n/a,2024-05-01T10:00:00Z,0.0001\n";
    refused(csv, bad, "line 3: column 'ms'");
    assert_eq!(serving.push("application/xml", "<a/>").0, 415);
    let total = "/api/views/by_page/total?from=2024-05-01&to=2024-05-02";
    let before = serving.get(total);
    assert!(before.contains("12346.978"), "{before}");
    // The command line queries the running program: nothing of these days is sealed yet.
    let found = good(folder.path(), &ALL);
    assert!(found.contains("2024-05-01,/a,3,12345.978,false"), "{found}");
    // The program is killed, and starts again: what was accepted is there.
    drop(serving);
    let serving = Serving::start(folder.path());
    let after = serving.get(total);
    assert!(after.contains("12346.978"), "{after}");
}

#[test]
fn the_demo_has_all_flights() {
    let folder = tempfile::tempdir().unwrap();
    let flights = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/data/flights-2013.csv.gz");
    let arguments =
        ["demo", "--once", "--pace", "max", "--data", "d", "--port", "0", "--flights", flights];
    let all = "328521 flights, 344477462 miles, sealed through 2014-01-01";
    let printed = good(folder.path(), &arguments);
    assert_eq!(printed, format!("by-carrier: {all}\nby-route: {all}\nby-origin: {all}\n"));
    assert!(
        bad(folder.path(), &["demo", "--pace", "fast"], 2).contains("expected days per second")
    );
    assert!(bad(folder.path(), &["demo"], 2).contains("give --flights FILE"));
}

/// A program that has read a file in order, as older builds did, and `demo` does at a pace, leaves a folder in which
/// the file is not a partition. If the file were read again, its rows would count twice.
#[test]
fn a_folder_of_a_program_that_read_in_order_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let text = "event_time,ingest_time,carrier,origin,dest,tailnum,arr_delay,distance\n\
                2013-01-01T10:00:00Z,2013-01-01T10:00:00Z,UA,EWR,SFO,N1,1,10\n";
    fs::write(folder.path().join("flights.csv"), text).unwrap();
    let demo = |data: &'static str, pace: &'static str| {
        let mut all = vec!["demo", "--once", "--port", "0", "--flights", "flights.csv"];
        all.extend(["--data", data, "--pace", pace]);
        all
    };
    let (in_order, partitions) = (demo("in-order", "1000"), demo("partitions", "max"));
    good(folder.path(), &in_order);
    let printed = good(folder.path(), &partitions);
    assert!(printed.starts_with("by-carrier: 1 flights, 10 miles"), "{printed}");
    // Each kind continues its own folder, and refuses the other.
    for (goes_on, other) in
        [(in_order, demo("in-order", "max")), (partitions, demo("partitions", "1000"))]
    {
        assert_eq!(good(folder.path(), &goes_on), printed);
        let said = bad(folder.path(), &other, 2);
        assert!(said.contains("would count the same rows again: use another folder"), "{said}");
        assert_eq!(good(folder.path(), &goes_on), printed);
    }
}

/// With --json, each line on standard error is one object, from the first to the reason why it ends.
#[test]
fn what_is_said_is_json_if_it_is_asked_for() {
    let file = FILE.replacen("at = \"text\"", "at = \"text\", ms = \"integer\"", 1);
    let serve = "\n[serve]\nhttp = \"127.0.0.1:0\"\n";
    let folder = folder(&format!("{file}{serve}"));
    let run = |arguments: &[&str]| {
        let mut command = dayfold();
        command.args(arguments).current_dir(folder.path()).env("RUST_LOG", "info");
        let said = String::from_utf8(command.output().unwrap().stderr).unwrap();
        let lines = said.lines().map(|line| {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))
        });
        lines.collect::<Vec<serde_json::Value>>()
    };
    let said = run(&["--json", "run", "f.toml", "--once"]);
    let has = |what: &str| said.iter().any(|line| line["fields"].to_string().contains(what));
    assert!(has("http://127.0.0.1:") && has("the run ends"), "{said:?}");
    assert!(has("refused: column 'ms': '1.5' is not an integer"), "{said:?}");
    let said = run(&["--json", "run", "no.toml"]);
    let last = said.last().unwrap();
    assert_eq!((&last["level"], &last["fields"]["exit_code"]), (&"ERROR".into(), &2.into()));
}

#[test]
fn options_are_read_from_the_environment() {
    let folder = folder(FILE);
    let data = folder.path().join("other");
    let run = |command: &mut Command| {
        let command = command.current_dir(folder.path()).env("DAYFOLD_DATA", &data);
        let output = command.env("DAYFOLD_FILE", "f.toml").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    run(dayfold().arg("run").env("DAYFOLD_ONCE", "1").env("DAYFOLD_WORKERS", "2"));
    assert!(data.join("part-0").is_dir());
    assert_eq!(run(dayfold().args(ALL)), ROWS);
}
