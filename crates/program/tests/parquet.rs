//! Files of Parquet as sources: their types, and runs that are killed.
//!
//! `data/write_types.py` has written `data/types.*.parquet`, with Arrow's own library.

#![cfg(feature = "parquet")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use std::fs;
use std::path::Path;

use common::{bad, good};

const KINDS: [&str; 3] = ["zstd", "gzip", "int96"];

const TYPES: &str = r#"
[engine]
data = "data"

[sources.visits]
type = "file"
path = "types.zstd.parquet"
event_time = "at"

[views.all]
from = "visits"
key = { page = "page" }
measures = { rows = "count()", visits = "sum(visits)", small = "sum(small)", price = "sum(price)", share = "sum(share)", new = "count_if(is_new)", booked = "min(booked)", local = "max(local)", sent = "max(sent)", seen = "max(seen)", tagged = "count(tags)", tag = "max(json_get(tags, '$[0]'))", n = "sum(json_get(about, 'n')::integer)", bytes = "min(raw)", at = "min(at)" }
"#;

fn write(folder: &Path, file: &str) {
    fs::write(folder.join("f.toml"), file).unwrap();
    for kind in KINDS {
        let name = format!("types.{kind}.parquet");
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(&name);
        fs::copy(from, folder.join(name)).unwrap();
    }
}

#[test]
fn columns_have_the_types_of_the_file() {
    let all = ["query", "f.toml", "SELECT * FROM all", "--format", "csv"];
    let expected = "day,page,rows,visits,small,price,share,new,booked,local,sent,seen,tagged,tag,n,bytes,at,sealed\n\
        2024-05-01,/a,1,1,1,0.10,0.1,1,2024-04-30,2024-05-01T10:00:00.000Z,2024-05-01T12:00:00.000Z,2024-05-01T23:59:59.000Z,1,x,1,00ff,2024-05-01T10:00:00.123Z,true\n\
        2024-05-01,\"/é \"\"q\"\"\n\",1,1099511627776,2,1234567890123456.25,0.2,0,1969-12-31,,,,1,,2,\"\",2024-05-01T23:59:59.999Z,true\n\
        2024-05-02,,1,,5,,1000.0,1,2024-05-02,2024-05-02T03:00:00.000Z,2024-05-01T12:00:00.000Z,2024-05-01T23:59:59.000Z,1,w,5,62,2024-05-02T12:00:00.000Z,true\n\
        2024-05-02,/a,1,3,3,-0.35,,0,,2024-05-02T00:00:00.000Z,2024-05-01T12:00:00.000Z,2024-05-01T23:59:59.000Z,0,,,,2024-05-02T00:00:00.000Z,true\n";
    for kind in KINDS {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &TYPES.replace("types.zstd", &format!("types.{kind}")));
        good(folder.path(), &["run", "f.toml", "--once"]);
        assert_eq!(good(folder.path(), &all), expected, "{kind}");
        // Rows without a time, or with a number that is too large, are kept aside as they were read.
        let refused = fs::read_to_string(folder.path().join("data/refused.csv")).unwrap();
        assert_eq!(refused.lines().count(), 3, "{refused}");
        assert!(refused.contains("event_time: empty") && refused.contains("1.00"), "{refused}");
        assert!(refused.contains("column 'price'"), "{refused}");
        // What was read is not read again.
        good(folder.path(), &["run", "f.toml", "--once"]);
        assert_eq!(good(folder.path(), &all), expected, "{kind}, again");
    }
}

#[test]
fn what_cannot_be_read_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |file: &str, expected: &str| {
        write(folder.path(), file);
        let said = bad(folder.path(), &["check", "f.toml"], 2);
        assert!(said.contains(expected), "{said}");
    };
    refused(&TYPES.replace("sum(visits)", "sum(visit)"), "visit");
    let follow = TYPES.replace("event_time", "follow = true\nevent_time");
    refused(&follow, "files of Parquet do not grow");
    refused(
        &TYPES.replace("types.zstd.parquet", "f.toml\"\nformat = { type = \"parquet\" }\n#"),
        "f.toml",
    );
    let pushed = "\n[sources.more]\ntype = \"kafka\"\nbrokers = \"k\"\ntopics = \"t\"\nevent_time = \"at\"\n\
        format = { type = \"parquet\" }\n[views.all]";
    let of_kafka = TYPES.replace("\n[views.all]", pushed);
    let expected = if cfg!(feature = "kafka") { "only files are" } else { "feature 'kafka'" };
    refused(&of_kafka, expected);

    // Another content under a name that was read.
    write(folder.path(), TYPES);
    good(folder.path(), &["run", "f.toml", "--once"]);
    fs::copy(folder.path().join("types.gzip.parquet"), folder.path().join("types.zstd.parquet"))
        .unwrap();
    let said = bad(folder.path(), &["run", "f.toml", "--once"], 2);
    assert!(said.contains("put its former content back"), "{said}");
    let checked = String::from_utf8(common::run(folder.path(), &["check", "f.toml"]).stdout);
    let reason = said.trim().strip_prefix("error: ").unwrap();
    assert!(checked.unwrap().contains(&format!(": refused: {reason}\n")), "{reason}");

    // A file that is not whole, before anything is read.
    write(folder.path(), TYPES);
    let file = folder.path().join("types.zstd.parquet");
    let whole = fs::read(&file).unwrap();
    fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    for arguments in [["check", "f.toml"], ["run", "f.toml"]] {
        let said = bad(folder.path(), &arguments, 2);
        assert!(said.contains("types.zstd.parquet: it cannot be read as Parquet"), "{said}");
        assert!(said.contains("put a whole file in its place"), "{said}");
    }

    // A page of it is damaged: the run ends, and goes on with a whole copy.
    fs::remove_dir_all(folder.path().join("data")).unwrap();
    let mut damaged = whole.clone();
    damaged[300..600].fill(0);
    fs::write(&file, &damaged).unwrap();
    let said = bad(folder.path(), &["run", "f.toml", "--once"], 2);
    assert!(said.contains("types.zstd.parquet: it cannot be read behind row 0"), "{said}");
    assert!(said.contains("put a whole copy of it in its place"), "{said}");
    fs::write(&file, &whole).unwrap();
    good(folder.path(), &["run", "f.toml", "--once"]);
    let sql = "SELECT rows FROM all";
    let found = good(folder.path(), &["query", "f.toml", sql, "--format", "csv"]);
    assert_eq!(found, "rows\n1\n1\n1\n1\n");

    // The rows, as views see them.
    write(folder.path(), TYPES);
    let shown = good(folder.path(), &["sample", "f.toml"]);
    assert!(shown.contains("row 1: 2024-05-01T10:00:00.123Z: "), "{shown}");
    assert!(shown.contains("row 4: refused: event_time: empty"), "{shown}");
}

/// Rows of one run's export are the events of another, which is killed again and again.
#[cfg(feature = "lake")]
#[test]
fn killed_runs_over_an_export_count_each_row_once() {
    const EXPORT: &str = r#"
[engine]
data = "data"
[sources.log]
type = "file"
path = "log.csv"
event_time = "at"
[views.all]
from = "log"
key = { id = "id" }
measures = { bytes = "sum(bytes)" }
[exports.out]
url = "lake"
"#;
    const IMPORT: &str = r#"
[engine]
data = "data-2"
workers = 2
[sources.lake]
type = "file"
path = "lake/all/data/**/*.parquet"
event_time = "day"
[views.again]
from = "lake"
measures = { rows = "count()", bytes = "sum(bytes)", whole = "count_if(sealed)" }
"#;
    let folder = tempfile::tempdir().unwrap();
    let (days, rows) = (20, 3_000);
    let mut log = String::from("at,id,bytes\n");
    for row in 0..days * rows {
        log.push_str(&format!("{},{row},{}\n", 1_714_550_400 + row / rows * 86_400, row % 1_000));
    }
    fs::write(folder.path().join("log.csv"), log).unwrap();
    fs::write(folder.path().join("f.toml"), EXPORT).unwrap();
    good(folder.path(), &["run", "f.toml", "--once"]);
    fs::write(folder.path().join("g.toml"), IMPORT).unwrap();
    for round in 0..8 {
        let mut command = common::dayfold();
        let mut child =
            command.args(["run", "g.toml", "--once"]).current_dir(folder.path()).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(30 + 60 * round));
        let _ = child.kill();
        let _ = child.wait();
    }
    good(folder.path(), &["run", "g.toml", "--once"]);
    let sql = "SELECT rows, bytes, whole FROM again";
    let found = good(folder.path(), &["query", "g.toml", sql, "--format", "csv"]);
    let found: Vec<&str> = found.lines().skip(1).collect();
    let bytes: u64 = (0..1_000).sum();
    assert_eq!(found, vec![format!("{rows},{},{rows}", rows / 1_000 * bytes); days as usize]);
}
