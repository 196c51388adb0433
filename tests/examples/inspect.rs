//! The inspect example on folders that are intact, damaged, torn, in use, or missing.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::example::program;

const ROWS: &str = "t,k\n0,a\nsoon,a\n86400,b\n86401,a\n345600,a\n60,late\n864000,b\n";

/// Two days before and after a gap, one of them amended, and a refused row.
fn folder() -> (tempfile::TempDir, PathBuf) {
    let place = tempfile::tempdir().unwrap();
    std::fs::write(place.path().join("in.csv"), ROWS).unwrap();
    let ran = Command::new(program("replay"))
        .args(["in.csv", "--time", "t", "--key", "k", "--data", "d", "-w", "2"])
        .current_dir(place.path())
        .output()
        .unwrap();
    assert!(ran.status.success(), "{ran:?}");
    let data = place.path().join("d");
    (place, data)
}

/// Its output on both streams, if it ends as expected.
#[track_caller]
fn inspect(data: &Path, args: &[&str], code: i32, says: &[&str]) -> String {
    let ran = Command::new(program("inspect")).arg(data).args(args).output().unwrap();
    let said = [ran.stdout, ran.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    assert_eq!(ran.status.code(), Some(code), "{said}");
    for expected in says {
        // The widths of columns do not matter.
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains(expected), "{expected:?} is not in:\n{said}");
    }
    // Except for paths, it fits a terminal of a hundred columns.
    let fits = |line: &str| line.chars().count() <= 100 || line.contains('/');
    assert!(said.lines().all(fits), "too wide:\n{said}");
    said
}

/// All files below a folder, with their bytes; by path.
fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(contents(&path)),
            false => found.push((path.clone(), std::fs::read(path).unwrap())),
        }
    }
    found.sort();
    found
}

/// The first file below the data folder whose path contains this.
fn file(data: &Path, part_of_path: &str) -> PathBuf {
    let mut paths = contents(data).into_iter().map(|(path, _)| path);
    let is_wanted = |path: &PathBuf| path.to_string_lossy().contains(part_of_path);
    paths.find(is_wanted).unwrap_or_else(|| panic!("no {part_of_path}"))
}

/// Changes one byte of a file, in the middle.
fn damage(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    std::fs::write(path, bytes).unwrap();
}

fn append(path: &Path, bytes: &[u8]) {
    std::fs::File::options().append(true).open(path).unwrap().write_all(bytes).unwrap();
}

#[test]
fn a_whole_folder() {
    let (_place, data) = folder();
    let before = contents(&data);
    let whole = [
        "the last run is complete",
        "last run 1 of 1 process, with a log",
        "part-0 run 1, complete",
        "replay (6 B)",
        "view replay closed through 1970-01-11",
        "definition --time \"t\" --key \"k\"",
        "log 6 events in",
        "1970-01-01 … 1970-01-02 2",
        "source 0 0 … 57: no hole",
        "1 row is in the log, of lines 3 to 3",
        "1 't': not a time; expected RFC 3339",
        "replay 1970-01-11 6 0 0",
        "all of it is whole",
    ];
    inspect(&data, &[], 0, &whole);
    let days = [
        "1970-01-01 1970-01-01 0 1 1",
        "nothing: superseded",
        "1970-01-01 1970-01-04 0 1 2",
        "1970-01-11 1970-01-11 0",
    ];
    inspect(&data, &["--days"], 0, &days);
    assert!(contents(&data) == before, "it has changed the folder");
}

#[test]
fn damage_is_named_with_its_place() {
    let (_place, data) = folder();
    let batch = file(&data, "views/replay/1970-01-02/");
    let log = file(&data, "log/1970-01-05/");
    damage(&batch);
    damage(&log);
    let named = |path: &Path| format!("{} is damaged at byte ", path.display());
    let both = [named(&batch), named(&log), "damaged 2 places".to_owned()];
    let both: Vec<&str> = both.iter().map(String::as_str).collect();
    let said = inspect(&data, &[], 1, &both);
    assert!(said.contains("view replay") && !said.contains("is whole"), "{said}");
    // Without the option, it says nothing about the content of files.
    let said = inspect(&data, &["--no-verify"], 0, &["view replay"]);
    assert!(!said.contains("verified") && !said.contains("is whole"), "{said}");
}

#[test]
fn what_is_missing_is_named() {
    let (_place, data) = folder();
    let log = file(&data, "log/1970-01-05/");
    std::fs::remove_file(&log).unwrap();
    // The views are shown all the same, and verified.
    inspect(&data, &[], 1, &["view replay", &format!("{} is damaged", log.display()), "missing"]);
    let (_place, data) = folder();
    let batch = file(&data, "views/replay/1970-01-02/");
    std::fs::remove_file(&batch).unwrap();
    inspect(&data, &[], 1, &[&format!("cannot open {}", batch.display()), "log 6 events"]);
}

#[test]
fn a_damaged_manifest_or_commit_stream_is_named() {
    for name in ["part-0/manifest", "log/commits/"] {
        let (_place, data) = folder();
        let path = file(&data, name);
        damage(&path);
        inspect(&data, &[], 1, &[&format!("{} is damaged at byte", path.display())]);
    }
}

#[test]
fn torn_ends_are_harmless() {
    let (_place, data) = folder();
    append(&file(&data, "part-0/manifest"), &[7; 5]);
    append(&file(&data, "log/commits/"), &[7; 5]);
    append(&file(&data, "log/1970-01-05/"), &[7; 5]);
    let harmless = [
        "a torn end of 5 B",
        "A torn end is harmless",
        "1 commit stream has a torn end. That is harmless",
        "5 B beyond the last commits. That is harmless",
        "all of it is whole",
    ];
    inspect(&data, &[], 0, &harmless);
}

/// `data/folder-0.1` was written by the replay example of version 0.1, which named types as Rust does.
fn former_folder() -> (tempfile::TempDir, PathBuf) {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/folder-0.1");
    let place = tempfile::tempdir().unwrap();
    for (path, bytes) in contents(&kept) {
        let copy = place.path().join("d").join(path.strip_prefix(&kept).unwrap());
        std::fs::create_dir_all(copy.parent().unwrap()).unwrap();
        std::fs::write(copy, bytes).unwrap();
    }
    let data = place.path().join("d");
    (place, data)
}

#[test]
fn a_folder_of_version_0_1_is_shown_and_goes_on() {
    let (_place, data) = former_folder();
    inspect(&data, &[], 0, &["key Vec<Vec<u8>>", "all of it is whole"]);
    assert_eq!(crate::former::go_on(&data, 1), (0, vec!["4.25".to_owned(), String::new()]));
    let ids = [
        "key list(bytes)",
        "aggregate tuple(count, list(maybe(tuple(mean, min(decimal), max(decimal), quantiles))), \
         list(maybe(distinct)))",
        "all of it is whole",
    ];
    inspect(&data, &[], 0, &ids);
}

/// Its views are different today.
#[test]
fn replay_refuses_a_folder_of_its_earlier_versions_and_says_how_to_go_on() {
    let (_place, data) = former_folder();
    let before = contents(&data);
    let columns = "--key site --key plot --value temperature --distinct badge";
    let ran = Command::new(program("replay"))
        .args([&data.join("sensors.csv"), Path::new("--data"), &data])
        .args(["--time", "when"])
        .args(columns.split(' '))
        .output()
        .unwrap();
    let said = String::from_utf8(ran.stderr).unwrap();
    assert_eq!((ran.status.code(), &ran.stdout[..]), (Some(2), &b""[..]), "{said}");
    assert!(
        said.contains("name another folder, into which the whole file is read again"),
        "{said}"
    );
    assert!(contents(&data) == before, "it has changed the folder");
}

/// Standard output of `rows`.
#[track_caller]
fn rows(data: &Path, args: &str) -> String {
    let args = args.split_whitespace();
    let ran = Command::new(program("inspect")).arg(data).arg("rows").args(args).output().unwrap();
    assert!(ran.status.success(), "{ran:?}");
    String::from_utf8(ran.stdout).unwrap()
}

const SENSORS: &str = "\
day,site,plot,events,temperature_mean,temperature_mean_sum,temperature_mean_count,temperature_min,\
temperature_max,temperature_p50,temperature_p99,badge_distinct,sealed
2024-03-01,north,1,3,1.41666667,4.25,3,-1.25,3.5,2.00,3.50,3,true
2024-03-01,\"so,uth\",2,1,,,,,,,,,true
2024-03-02,north,2,1,7.000000,7,1,7,7,7,7,1,true
2024-03-04,north,1,1,8.0000000,8.0,1,8.0,8.0,8.0,8.0,1,true
2024-03-09,north,1,1,9.000000,9,1,9,9,9,9,1,true
";

/// With another number of workers in between, and an amended day: each row once, as the newest revision has it.
#[test]
fn rows_are_printed_without_the_program() {
    let (_place, data) = former_folder();
    let events = "day,key,count,sealed\n2024-03-01,\"[\"\"north\"\",\"\"1\"\"]\",3,true\n";
    let found = rows(&data, "replay --format csv");
    assert!(found.starts_with(events), "a folder of version 0.1 has ids and no names: {found}");
    for workers in [3, 2] {
        crate::former::go_on(&data, workers);
        assert_eq!(rows(&data, "replay --format csv"), SENSORS);
    }
    let before = contents(&data);
    let lines = |args: &str| rows(&data, &format!("replay --format csv {args}")).lines().count();
    assert_eq!(lines("--from 2024-03-02 --to 2024-03-04"), 3, "both included");
    assert_eq!(lines("--from 2025-01-01"), 1);
    assert_eq!(lines("--from 2024-03-02 --to 2024-03-01"), 1);
    let header = rows(&data, "replay --format csv --sketches");
    assert!(
        header.contains(",temperature_sketch,badge_distinct,badge_distinct_sketch,"),
        "{header}"
    );
    let json = rows(&data, "replay --format json --to 2024-03-01");
    let first = r#"{"day":"2024-03-01","site":"north","plot":"1","events":3,"temperature_mean":"1.41666667","#;
    assert!(json.contains(first), "{json}");
    assert!(
        json.contains(r#""site":"so,uth","plot":"2","events":1,"temperature_mean":null,"#),
        "{json}"
    );
    let table = rows(&data, "replay --to 2024-03-01");
    assert!(table.contains("2024-03-01  so,uth  2          1                 -"), "{table}");
    assert!(contents(&data) == before, "it has changed the folder");
    inspect(&data, &[], 0, &["columns site, plot, events, temperature_mean,"]);
}

#[test]
fn rows_of_what_is_not_there_or_damaged() {
    let (_place, data) = folder();
    let rows = ["rows", "replay", "--format", "csv"];
    inspect(&data, &["rows", "other"], 2, &["has no view 'other': expected one of replay"]);
    let whole = inspect(&data, &rows, 0, &["1970-01-02,b,1,true"]);
    damage(&file(&data, "views/replay/1970-01-05/"));
    let found = inspect(&data, &rows, 1, &["is damaged at byte", "1970-01-02,b,1,true"]);
    assert!(!found.contains("1970-01-05,") && whole.contains("1970-01-05,"), "{found}");
}

mod own {
    use dayfold::aggregate::{Aggregate, IsZero, Semigroup};
    use dayfold::key::{Key, KeyError};
    use serde::{Deserialize, Serialize};

    #[derive(
        Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, dayfold::Key,
    )]
    pub(super) struct Sensor {
        pub(super) site: String,
        pub(super) number: Option<u32>,
    }

    /// Its encoding is unknown to others.
    #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
    pub(super) struct Letter(pub(super) u8);

    impl Key for Letter {
        fn encode(&self, out: &mut Vec<u8>) {
            out.push(self.0);
        }
        fn decode(bytes: &mut &[u8]) -> Result<Self, KeyError> {
            let (first, rest) = bytes.split_first().ok_or(KeyError::new("letter"))?;
            *bytes = rest;
            Ok(Letter(*first))
        }
        fn id() -> String {
            "letter".to_owned()
        }
    }

    #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
    pub(super) struct Bits(pub(super) u8);

    impl IsZero for Bits {
        fn is_zero(&self) -> bool {
            self.0 == 0
        }
    }

    impl Semigroup for Bits {
        fn plus_equals(&mut self, other: &Bits) {
            self.0 |= other.0;
        }
    }

    impl Aggregate for Bits {
        fn id() -> String {
            "bits".to_owned()
        }
    }
}

/// Structs as keys have the names of their fields; parts that only the program can read are marked as such.
#[test]
fn rows_of_types_of_ones_own() {
    use dayfold::aggregate::{Count, Max};
    use dayfold::engine::{LiveOptions, Measures};
    use dayfold::view::View;

    let place = tempfile::tempdir().unwrap();
    let mut engine = dayfold::Engine::<i64>::new();
    let view = |name: &str| View::new(name).unwrap();
    engine.view(view("sensors"), Measures::none(), |&n| {
        let key = own::Sensor { site: "é".to_owned(), number: (n > 0).then_some(n as u32) };
        Some((0, key, (Count::one(), Max(n))))
    });
    engine.view(view("bits"), Measures::none(), |&n| {
        Some((0, own::Letter(b'a' + n as u8), (Count::one(), own::Bits(1 << n))))
    });
    let pusher = engine.live(LiveOptions::new(|_: &i64| 0));
    let running = engine.data(place.path()).start(dayfold::Cluster::workers(2)).unwrap();
    assert!(pusher.push(vec![0, 1, 0]).unwrap().refused.is_empty());
    drop(pusher);
    running.finish().unwrap();

    let expected = "day,site,number,count,max,sealed\n\
        1970-01-01,é,,2,0,true\n1970-01-01,é,1,1,1,true\n";
    assert_eq!(rows(place.path(), "sensors --format csv"), expected);
    let expected = "day,key,sealed\n1970-01-01,a,true\n1970-01-01,b,true\n";
    assert_eq!(rows(place.path(), "bits --format csv"), expected);
    let ran = Command::new(program("inspect")).arg(place.path()).args(["rows", "bits"]).output();
    let said = String::from_utf8(ran.unwrap().stderr).unwrap();
    let expected =
        "the measures of view 'bits' are of a type that is not known here, 'tuple(count,bits)'";
    assert!(said.starts_with(expected), "{said}");
}

/// A log that has lost its end looks like one whose end was never written, except for the proof in the manifest.
#[test]
fn a_log_that_has_lost_its_end_is_named() {
    for lose in [
        cut_in_half,
        |stream: &Path| std::fs::remove_file(stream),
        remove_the_log,
        remove_its_streams,
    ] {
        let (place, data) = folder();
        inspect(&data, &[], 0, &["DURABLE THROUGH run 1", "its end", "all of it is whole"]);
        let stream = file(&data, "log/commits/");
        lose(&stream).unwrap();
        let named = stream.display().to_string();
        let said = inspect(&data, &[], 1, &[&named, "the manifest proves", "--accept-lost-log"]);
        assert!(!said.contains("is whole") && !said.contains("harmless"), "{said}");
        inspect(&data, &["--no-verify"], 1, &[&named]);

        let replay = |more: &[&str]| {
            let args = ["in.csv", "--time", "t", "--key", "k", "--data", "d"];
            let mut command = Command::new(program("replay"));
            let ran = command.args(args).args(more).current_dir(place.path()).output().unwrap();
            let errors = String::from_utf8(ran.stderr).unwrap();
            (ran.status.code(), String::from_utf8(ran.stdout).unwrap(), errors)
        };
        let before = contents(&data);
        let (code, out, errors) = replay(&[]);
        assert_eq!((code, &out[..]), (Some(1), ""), "{errors}");
        let last = errors.lines().last().unwrap();
        assert!(last.contains(&named[named.find("part-0").unwrap()..]), "{errors}");
        assert!(last.contains("restore the whole data folder from one copy"), "{errors}");
        assert!(contents(&data) == before, "something was changed");
        let (code, out, errors) = replay(&["--accept-lost-log"]);
        assert_eq!(code, Some(0), "{errors}");
        assert!(out.contains("1970-01-01,a,1") && out.contains("1970-01-02,a,1"), "{out}");
        inspect(&data, &[], 0, &["all of it is whole"]);
        assert!(file(&data, "set-aside-1-part-0/views/").exists(), "it is kept");
        // It is intact now, and nothing is set aside again.
        let (code, again, errors) = replay(&["--accept-lost-log"]);
        assert_eq!((code, again), (Some(0), out), "{errors}");
        assert!(errors.contains("nothing was left to read"), "{errors}");
    }
}

fn cut_in_half(stream: &Path) -> std::io::Result<()> {
    let bytes = std::fs::read(stream)?;
    std::fs::write(stream, &bytes[..bytes.len() / 2])
}

fn remove_the_log(stream: &Path) -> std::io::Result<()> {
    std::fs::remove_dir_all(stream.parent().unwrap().parent().unwrap())
}

fn remove_its_streams(stream: &Path) -> std::io::Result<()> {
    std::fs::remove_dir_all(stream.parent().unwrap())
}

/// Special files are detected: nothing waits for a writer that never comes.
#[cfg(unix)]
#[test]
fn a_sealed_file_that_is_none_is_named() {
    for make in [make_fifo, |path: &Path| std::fs::create_dir(path)] {
        let (place, data) = folder();
        let batch = file(&data, "views/replay/1970-01-02/");
        std::fs::remove_file(&batch).unwrap();
        make(&batch).unwrap();
        inspect(&data, &[], 1, &[&batch.display().to_string(), "is not a file"]);
        let ran = Command::new(program("replay"))
            .args(["in.csv", "--time", "t", "--key", "k", "--data", "d"])
            .current_dir(place.path())
            .output()
            .unwrap();
        let errors = String::from_utf8(ran.stderr).unwrap();
        assert_eq!(ran.status.code(), Some(1), "{errors}");
        let last = errors.lines().last().unwrap();
        assert!(last.contains("1970-01-02") && last.contains("is not a file"), "{errors}");
        assert!(last.contains("restore it from a copy"), "{errors}");
    }
}

#[cfg(unix)]
fn make_fifo(path: &Path) -> std::io::Result<()> {
    let made = Command::new("mkfifo").arg(path).status()?;
    made.success().then_some(()).ok_or_else(|| std::io::Error::other("mkfifo"))
}

#[test]
fn a_backup_is_refused_where_something_is() {
    let (place, data) = folder();
    let target = place.path().join("copy");
    let to = target.display().to_string();
    inspect(&data, &["--backup", &to], 0, &["copied 1", "files", &to]);
    inspect(&target, &[], 0, &["all of it is whole"]);
    inspect(&data, &["--backup", &to], 1, &["is not empty: name a folder that is not there yet"]);
    let inside = data.join("part-0/copy").display().to_string();
    inspect(&data, &["--backup", &inside], 1, &["is inside the data folder"]);
    std::fs::remove_dir_all(&target).unwrap();
    cut_in_half(&file(&data, "log/commits/")).unwrap();
    inspect(&data, &["--backup", &to], 1, &["no whole copy of", "the manifest proves"]);
    assert!(!target.exists(), "what is not whole is not kept");
}

#[test]
fn without_a_data_folder() {
    let place = tempfile::tempdir().unwrap();
    inspect(place.path(), &[], 2, &["is no data folder: there is no part-0 in it"]);
    let none = place.path().join("none");
    inspect(&none, &[], 2, &[&format!("cannot look into {}", none.display())]);
    std::fs::write(&none, "").unwrap();
    inspect(&none, &[], 2, &["cannot look into"]);
}

/// Unsealed days of a running and of a killed program.
#[track_caller]
fn in_use(args: &str, unsealed: &str) {
    let place = tempfile::tempdir().unwrap();
    let mut child = Command::new(program("replay"))
        .args(["-", "--time", "t", "--key", "k", "--data", "d"])
        .args(args.split_whitespace())
        .current_dir(place.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.as_mut().unwrap().write_all(ROWS.as_bytes()).unwrap();
    let data = place.path().join("d");
    // The last row moves the clock to the eleventh, and enters after that.
    let started = Instant::now();
    let is_sealed = || {
        let ran = Command::new(program("inspect")).arg(&data).output().unwrap();
        let words = String::from_utf8_lossy(&ran.stdout).into_owned();
        words.contains("closed through 1970-01-04") && words.contains("6 events in")
    };
    while !is_sealed() {
        if started.elapsed() > Duration::from_secs(60) {
            child.kill().unwrap();
            panic!("the first days are not sealed");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let open = [
        "the last run was cut short, or is going on",
        "run 1, not complete",
        "closed through 1970-01-04",
        "log 6 events",
        unsealed,
        "all of it is whole",
    ];
    inspect(&data, &[], 0, &open);
    child.kill().unwrap();
    child.wait().unwrap();
    inspect(&data, &[], 0, &open);
}

#[test]
fn a_folder_in_use() {
    // The fifth and the eleventh of January, of UTC, are open, and have one event each.
    in_use("--grace 6d", "replay 1970-01-04 4 2 0");
    // In New York the fifth begins on the fourth, which is sealed.
    in_use("--zone America/New_York --grace 138h", "replay 1970-01-04 4 1 1");
}
