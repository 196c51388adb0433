//! The program with SQL: `dayfold query` of a folder and of a running program, and `POST /api/sql`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[path = "../../../program/tests/common/mod.rs"]
mod common;

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Stdio};

use common::{Serving, bad, good, wait_until};

const FILE: &str = r#"
[engine]
data = "data"

[sources.visits]
type = "file"
path = "visits*.csv"
event_time = "time"

[views.by_page]
from = "visits"
key = { page = "page" }
measures = { visits = "count()", ms = "sum(ms)", users = "distinct(visitor)", spread = "quantiles(ms)", longest = "quantile(ms, 1)" }

[views.by_user]
from = "visits"
grain = "month"
key = { visitor = "visitor" }
measures = { visits = "count()" }
"#;

fn folder(file: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("f.toml"), file).unwrap();
    let mut rows = "time,page,visitor,ms\n".to_owned();
    for day in 1..=9 {
        for visit in 0..day {
            rows += &format!(
                "2024-05-0{day}T12:00:00Z,/{},u{visit},{}.25\n",
                ["a", "b", "c"][visit % 3],
                visit * day
            );
        }
    }
    fs::write(folder.path().join("visits.csv"), rows).unwrap();
    folder
}

/// Statements that one scan cannot answer, and their results as CSV.
const ANSWERS: &[(&str, &str)] = &[
    (
        "SELECT page, sum(visits) AS n, sum(ms) AS ms FROM by_page GROUP BY page ORDER BY n DESC",
        "page,n,ms\n/a,18,265.5\n/b,15,306.75\n/c,12,309\n",
    ),
    (
        "SELECT page, merge_quantile(spread, 1) AS greatest FROM by_page GROUP BY page ORDER BY page",
        "page,greatest\n/a,54.25\n/b,63.25\n/c,72.25\n",
    ),
    (
        "SELECT page, merge_distinct(users) AS users, merge_quantile(longest, 0) AS least, merge_quantile(longest, 1) AS most \
         FROM by_page WHERE day < '2024-05-07' GROUP BY page ORDER BY page",
        "page,users,least,most\n/a,2,0.25,18.25\n/b,2,2.25,24.25\n/c,2,6.25,30.25\n",
    ),
    (
        "SELECT date_trunc('month', day)::date AS month, merge_distinct(users) AS users FROM by_page GROUP BY 1",
        "month,users\n2024-05-01,9\n",
    ),
    ("SELECT count(*) AS n FROM (SELECT * FROM by_page AS OF 'first') t", "n\n24\n"),
    (
        "SELECT sum(a.visits) AS a, sum(b.visits) AS b FROM by_page a JOIN by_page AS OF '2024-05-08' b USING (day, page)",
        "a,b\n36,36\n",
    ),
    (
        "SELECT day, page, visits, users FROM (SELECT * FROM by_page LIMIT 1) t",
        "day,page,visits,users\n2024-05-01,/a,1,1\n",
    ),
    (
        "SELECT day, sum(sum(visits)) OVER (ORDER BY day ROWS BETWEEN 2 PRECEDING AND CURRENT ROW) AS rolling \
         FROM by_page WHERE day >= DATE '2024-05-07' GROUP BY day ORDER BY day",
        "day,rolling\n2024-05-07,7\n2024-05-08,15\n2024-05-09,24\n",
    ),
    (
        "WITH m AS (SELECT date_trunc('month', day)::date AS month, sum(visits) AS n FROM by_page GROUP BY 1) \
         SELECT month, n, count(*) AS users FROM m JOIN by_user USING (month) GROUP BY month, n",
        "month,n,users\n2024-05-01,45,9\n",
    ),
    (
        "SELECT count(*) FROM by_page WHERE day BETWEEN '2024-05-02' AND '2024-05-03' AND page < '/c'",
        "count(*)\n4\n",
    ),
    (
        "SELECT day, page FROM by_page ORDER BY day DESC, page OFFSET 1 LIMIT 1",
        "day,page\n2024-05-09,/b\n",
    ),
    ("SELECT 1 AS a UNION ALL SELECT 2 ORDER BY a", "a\n1\n2\n"),
];

#[track_caller]
fn check(folder: &Path) {
    for (sql, expect) in ANSWERS {
        assert_eq!(good(folder, &["query", "f.toml", sql, "--format", "csv"]), *expect, "{sql}");
    }
    let sql = "SELECT page, sum(visits) AS n, NULL AS nothing FROM by_page GROUP BY page ORDER BY page LIMIT 2";
    let table = good(folder, &["query", "f.toml", sql]);
    assert_eq!(table, "page   n  nothing\n/a    18\n/b    15\n");
    let json = good(folder, &["query", "f.toml", sql, "--format", "json"]);
    let lines = "{\"page\":\"/a\",\"n\":18,\"nothing\":null}\n{\"page\":\"/b\",\"n\":15,\"nothing\":null}\n";
    assert_eq!(json, lines);
    for (sql, expect) in [
        ("SELECT pag FROM by_page", "(line 1, column 8)"),
        ("SELEC 1", "(line 1, column 1)"),
        ("SELECT sum(users) FROM by_page", "use merge_distinct(users)"),
        ("SELECT sum(longest) FROM by_page", "use merge_quantile(longest, 0.99)"),
        ("SELECT * FROM by_page AS OF 'second'", "no revision 'second'"),
        ("DROP TABLE by_page", "read-only"),
    ] {
        let said = bad(folder, &["query", "f.toml", sql], 2);
        assert!(said.contains(expect), "{sql}: {said}");
    }
    bad(folder, &["query", "f.toml", "SELECT visits / (visits - visits) FROM by_page"], 1);
}

#[test]
fn a_folder_that_nobody_has_open() {
    let folder = folder(FILE);
    let said = bad(folder.path(), &["query", "f.toml", "SELECT 1"], 2);
    assert!(said.contains("run the file first"), "{said}");
    good(folder.path(), &["run", "f.toml", "--once"]);
    check(folder.path());
    // The file that a killed program has left names its address, but nobody answers there.
    let left = r#"{"pid":1,"http":"http://127.0.0.1:1","postgres":null}"#;
    fs::write(folder.path().join("data/addresses.json"), left).unwrap();
    check(folder.path());
}

#[test]
fn a_folder_whose_lock_is_taken() {
    let serve = "[serve]\nhttp = \"127.0.0.1:0\"\n";
    let folder = folder(&format!("{FILE}{serve}"));
    good(folder.path(), &["run", "f.toml", "--once"]);
    let serving = Serving::start(folder.path());
    let once = common::run(folder.path(), &["run", "f.toml", "--once"]);
    assert_ne!(once.status.code(), Some(0), "the program that runs has the lock");
    // Without its address, the program cannot be asked, and the folder is read while the program runs.
    fs::remove_file(folder.path().join("data/addresses.json")).unwrap();
    check(folder.path());
    bad(folder.path(), &["query", "f.toml", "SELECT * FROM dayfold_certificate()"], 2);
    drop(serving);
}

#[test]
fn a_program_that_runs() {
    let token = "[serve]\nhttp = \"127.0.0.1:0\"\ntokens_file = \"tokens\"\n";
    let folder = folder(&format!("{FILE}{token}"));
    fs::write(folder.path().join("tokens"), "read r\npush p\n").unwrap();
    let serving = Serving::start(folder.path());
    let ask = |sql: &str| good(folder.path(), &["query", "f.toml", sql, "--format", "csv"]);
    // Each view is sealed by itself.
    wait_until("all is sealed", || {
        let sealed = |view: &str| format!("SELECT sum(visits) AS n FROM {view} WHERE sealed");
        ["by_page", "by_user"].iter().all(|view| ask(&sealed(view)) == "n\n45\n")
    });
    check(folder.path());
    // Only a running program can answer this, so it was asked.
    assert!(ask("SELECT view FROM dayfold_certificate() ORDER BY view").ends_with("by_user\n"));
    let post = |token: &str| {
        let config = ureq::Agent::config_builder().http_status_as_error(false).build();
        let request = ureq::Agent::new_with_config(config)
            .post(format!("{}/api/sql", serving.1))
            .content_type("application/json")
            .header("authorization", format!("Bearer {token}"));
        let mut answer = request.send(r#"{"sql":"SELECT 1 AS one"}"#).unwrap();
        (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap())
    };
    assert_eq!(post("p").0, 401);
    let columns = r#"{"columns":[{"name":"one","kind":"integer","nullable":false}],"rows":["#;
    assert_eq!(post("r"), (200, format!("{columns}\n[1]\n]}}\n")));
}

/// The processes of a cluster. The first of them serves all views, and starts when the others do.
struct Cluster {
    others: Vec<Child>,
    _first: Serving,
}

impl Cluster {
    fn start(folder: &Path, processes: usize) -> Cluster {
        // An address of its own, so that no other test takes the ports meanwhile.
        let [high, low] = (std::process::id() as u16).to_be_bytes();
        let address = format!("127.2.{high}.{low}:0");
        let ports: Vec<TcpListener> =
            (0..processes).map(|_| TcpListener::bind(&address).unwrap()).collect();
        let hosts: String =
            ports.iter().map(|port| format!("{}\n", port.local_addr().unwrap())).collect();
        drop(ports);
        fs::write(folder.join("hosts"), hosts).unwrap();
        let count = processes.to_string();
        let options = |process: usize| {
            let process = process.to_string();
            ["-n", &count, "-p", &process, "-h", "hosts", "-w", "2"].map(str::to_owned)
        };
        let other = |process: usize| {
            let mut command = common::dayfold();
            command.args(["run", "f.toml"]).args(options(process)).current_dir(folder);
            command.stderr(Stdio::null()).spawn().unwrap()
        };
        let others = (1..processes).map(other).collect();
        let of_first = options(0);
        let of_first: Vec<&str> = of_first.iter().map(String::as_str).collect();
        Cluster { others, _first: Serving::start_with(folder, &of_first) }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for other in &mut self.others {
            let _ = other.kill();
            let _ = other.wait();
        }
    }
}

#[test]
fn two_processes_with_two_workers_each() {
    let serve = "[serve]\nhttp = \"127.0.0.1:0\"\n";
    let many = "[sources.many]\ntype = \"file\"\npath = \"many.csv\"\nevent_time = \"time\"\n\
                [views.by_id]\nfrom = \"many\"\nkey = { id = \"id\" }\nmeasures = { n = \"count()\", x = \"sum(x)\" }\n";
    let folder = folder(&format!("{FILE}{many}{serve}"));
    // So many keys that each worker gives its sealed periods as files.
    let mut rows = "time,id,x\n".to_owned();
    for day in 1..=6 {
        for id in 0..3_000 {
            rows += &format!("2024-05-0{day}T12:00:00Z,{id},{}\n", id * day);
        }
    }
    fs::write(folder.path().join("many.csv"), rows).unwrap();
    let _cluster = Cluster::start(folder.path(), 2);
    let ask = |sql: &str| good(folder.path(), &["query", "f.toml", sql, "--format", "csv"]);
    wait_until("all is sealed", || {
        let sealed =
            |sum: &str, view: &str| format!("SELECT sum({sum}) AS n FROM {view} WHERE sealed");
        ask(&sealed("n", "by_id")) == "n\n18000\n"
            && ["by_page", "by_user"].iter().all(|view| ask(&sealed("visits", view)) == "n\n45\n")
    });
    check(folder.path());
    // Each process has its part of the view.
    for part in ["part-0", "part-1"] {
        assert!(folder.path().join("data").join(part).join("views/by_id/2024-05-01").is_dir());
    }
    let x: u64 = (1..=6).map(|day| (0..3_000).map(|id| id * day).sum::<u64>()).sum();
    for (sql, expect) in [
        // Row by row, in any order.
        ("SELECT count(*) AS n, sum(x * 2) AS x FROM by_id", format!("n,x\n18000,{}\n", 2 * x)),
        // One key is on one worker of one process.
        ("SELECT sum(x) AS x FROM by_id WHERE id = 7", format!("x\n{}\n", 7 * 21)),
        (
            "SELECT id, sum(x) AS x FROM by_id GROUP BY id ORDER BY x DESC LIMIT 2",
            format!("id,x\n2999,{}\n2998,{}\n", 2_999 * 21, 2_998 * 21),
        ),
        (
            "SELECT count(*) AS n FROM by_id a JOIN by_id b ON a.id = b.id AND a.day = b.day + 1",
            "n\n15000\n".to_owned(),
        ),
        ("SELECT count(DISTINCT tick) AS n FROM dayfold_certificate()", "n\n1\n".to_owned()),
    ] {
        assert_eq!(ask(sql), expect, "{sql}");
    }
}

#[test]
fn a_folder_without_the_revision_that_is_asked_for() {
    let file = FILE.replace("[views.by_user]", "revisions = 1\n\n[views.by_user]");
    let folder = folder(&file);
    good(folder.path(), &["run", "f.toml", "--once"]);
    let late = "time,page,visitor,ms\n2024-05-01T13:00:00Z,/a,u,1.5\n";
    fs::write(folder.path().join("visits-late.csv"), late).unwrap();
    good(folder.path(), &["run", "f.toml", "--once"]);
    // What the end of a run supersedes is removed when the next one begins.
    good(folder.path(), &["run", "f.toml", "--once"]);
    let said = bad(folder.path(), &["query", "f.toml", "SELECT * FROM by_page AS OF 'first'"], 1);
    let says =
        "error: view 'by_page': the revisions of 2024-05-01 before the closing of 2024-06-01";
    assert!(said.contains(says), "{said}");
}
