//! A file changes while the program runs: views come and go, and each event counts once.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use common::{Serving, bad, dayfold, good, wait_until};

const FILE: &str = r#"
[engine]
data = "data"

[sources.visits]
type = "http"
event_time = "at"
columns = { page = "text", n = "integer" }

[sources.sales]
type = "file"
path = "sales.csv"
follow = true
event_time = "at"

[views.all]
from = "visits"
measures = { visits = "count()" }

[views.sold]
from = "sales"
measures = { rows = "count()", pieces = "sum(pieces)" }

[serve]
http = "127.0.0.1:0"
"#;

const BY_PAGE: &str = r#"
[views.by_page]
from = "visits"
key = { page = "page" }
measures = { visits = "count()", most = "max(n)" }
"#;

/// What the program says when views come and go without another engine.
const GOES_ON: &str = "the engine has gone on: nothing had to wait";

const BY_PIECES: &str = r#"
[views.by_pieces]
from = "sales"
key = { pieces = "pieces" }
measures = { rows = "count()" }
"#;

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("f.toml"), FILE).unwrap();
    fs::write(folder.path().join("sales.csv"), "at,pieces\n").unwrap();
    folder
}

fn write(folder: &Path, views: &[&str]) {
    fs::write(folder.join("f.toml"), FILE.to_owned() + &views.concat()).unwrap();
}

/// A measure over all days of a view; `None` if there is no such view.
fn total(url: &str, view: &str, measure: &str) -> Option<u64> {
    let url = format!("{url}/api/views/{view}/total?from=2024-05-01&to=2024-05-31");
    let mut answer = ureq::get(url).call().ok()?;
    let text = answer.body_mut().read_to_string().ok()?;
    let found: serde_json::Value = serde_json::from_str(&text).ok()?;
    let value = found["value"].get(measure).or(found["measures"].get(measure));
    let value = value.cloned().unwrap_or_default();
    // Without rows there is no value.
    Some(value.as_u64().or_else(|| value.as_str()?.parse().ok()).unwrap_or(0))
}

fn views(serving: &Serving) -> Vec<String> {
    let found: serde_json::Value = serde_json::from_str(&serving.get("/api/views")).unwrap();
    let names = found["views"].as_array().unwrap().iter();
    names.map(|view| view["name"].as_str().unwrap().to_owned()).collect()
}

/// Pushes one event with a key until it is in. Refusals are sent again, and counted.
fn push(url: &str, key: &str, page: u64, n: u64, refused: &AtomicU64) -> bool {
    let config = ureq::Agent::config_builder().http_status_as_error(false).build();
    let agent = ureq::Agent::new_with_config(config);
    let body = format!(
        "{{\"at\": \"2024-05-{:02}T10:00:00Z\", \"page\": \"/{page}\", \"n\": {n}}}",
        1 + n % 9
    );
    loop {
        let post = agent.post(format!("{url}/api/sources/visits/events"));
        let post = post.header("content-type", "application/json").header("idempotency-key", key);
        let Ok(mut answer) = post.send(&body) else { return false };
        let text = answer.body_mut().read_to_string().unwrap_or_default();
        match answer.status().as_u16() {
            200 => return true,
            503 => {
                assert!(answer.headers().contains_key("retry-after"), "{text}");
                refused.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(20));
            }
            status => panic!("{status}: {text}"),
        }
    }
}

#[test]
fn views_come_and_go_while_events_are_pushed_and_read() {
    let folder = folder();
    let serving = Serving::start(folder.path());
    let (stop, refused, sold) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let pushed = [const { AtomicU64::new(0) }; 3];
    let stopped = || stop.load(Ordering::Relaxed);
    let reload = |names: &[&str]| {
        write(folder.path(), names);
        good(folder.path(), &["reload", "f.toml"])
    };
    std::thread::scope(|scope| {
        for (thread, pushed) in pushed.iter().enumerate() {
            let (url, refused) = (&serving.1, &refused);
            scope.spawn(move || {
                while !stopped() {
                    let n = pushed.load(Ordering::Relaxed);
                    assert!(push(url, &format!("{thread}-{n}"), n % 3, n, refused), "it is gone");
                    pushed.store(n + 1, Ordering::Relaxed);
                }
            });
        }
        let (path, sold) = (folder.path().join("sales.csv"), &sold);
        scope.spawn(move || {
            let mut file = fs::OpenOptions::new().append(true).open(path).unwrap();
            while !stopped() {
                let n = sold.load(Ordering::Relaxed);
                writeln!(file, "2024-05-{:02}T10:00:00Z,{}", 1 + n % 9, n % 4).unwrap();
                sold.store(n + 1, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        let all = || pushed.iter().map(|pushed| pushed.load(Ordering::Relaxed)).sum::<u64>();
        wait_until("events come", || all() > 20);
        let said = reload(&[BY_PAGE]);
        let expect =
            format!("views.by_page: its past is computed from the log: it is new\n{GOES_ON}\n");
        assert_eq!(said, expect);
        // Earlier events are there at once.
        let before = all();
        assert!(total(&serving.1, "by_page", "visits").unwrap() + 3 >= before.min(20));
        assert_eq!(views(&serving), ["all", "sold", "by_page"]);
        reload(&[BY_PAGE, BY_PIECES]);
        let said = reload(&[BY_PIECES]);
        assert!(
            said.starts_with("views.by_page: is removed: the file does not have it; "),
            "{said}"
        );
        assert!(said.ends_with(&format!("{GOES_ON}\n")), "{said}");
        assert_eq!(total(&serving.1, "by_page", "visits"), None);
        let before = all();
        wait_until("pushes go on", || all() > before + 10);
        reload(&[BY_PAGE]);
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(refused.load(Ordering::Relaxed), 0, "no push had to be sent again");
    let all: u64 = pushed.iter().map(|pushed| pushed.load(Ordering::Relaxed)).sum();
    let most = pushed.iter().map(|pushed| pushed.load(Ordering::Relaxed)).max().unwrap() - 1;
    assert_eq!(total(&serving.1, "all", "visits"), Some(all));
    assert_eq!(total(&serving.1, "by_page", "visits"), Some(all), "its past, and what came since");
    let url = format!("{}/api/views/by_page/rows?format=csv", serving.1);
    let rows = ureq::get(url).call().unwrap().body_mut().read_to_string().unwrap();
    assert!(rows.lines().any(|row| row.ends_with(&format!(",{most},false"))), "{most} in {rows}");
    let sold = sold.load(Ordering::Relaxed);
    wait_until("every row of the file is read", || total(&serving.1, "sold", "rows") == Some(sold));
    assert_eq!(total(&serving.1, "by_pieces", "rows"), None);
    // The same holds after a restart.
    drop(serving);
    let serving = Serving::start(folder.path());
    for (view, measure, expect) in
        [("all", "visits", all), ("by_page", "visits", all), ("sold", "rows", sold)]
    {
        assert_eq!(total(&serving.1, view, measure), Some(expect), "{view}");
    }
}

#[test]
fn a_request_is_known_again_when_views_read_other_columns() {
    let folder = folder();
    let push_again = |serving: &Serving| {
        // A refusal other than 503 is a panic.
        assert!(push(&serving.1, "the key", 1, 1, &AtomicU64::new(0)));
        assert_eq!(total(&serving.1, "all", "visits"), Some(1));
    };
    for views in [&[][..], &[BY_PAGE], &[BY_PAGE, BY_PIECES]] {
        write(folder.path(), views);
        push_again(&Serving::start(folder.path()));
    }
    let serving = Serving::start(folder.path());
    write(folder.path(), &[]);
    good(folder.path(), &["reload", "f.toml"]);
    push_again(&serving);
}

#[test]
fn what_cannot_be_followed_changes_nothing_and_says_why() {
    let folder = folder();
    let serving = Serving::start(folder.path());
    assert!(push(&serving.1, "1", 1, 1, &AtomicU64::new(0)));
    let uptime = |serving: &Serving| {
        let status: serde_json::Value = serde_json::from_str(&serving.get("/api/status")).unwrap();
        (status["uptime_ms"].as_u64().unwrap(), status["events"].as_u64().unwrap())
    };
    let before = uptime(&serving);
    let changed = |from: &str, to: &str| FILE.replacen(from, to, 1);
    for (file, why) in [
        (changed("count()", "sum(page)"), "f.toml:18:"),
        (changed("[engine]", "[engin]"), "f.toml:2:"),
        (
            changed("http = \"127", "http = \"0.0.0.0:0\"\nhosts = [\"x\"] #"),
            "serve.http: the address stays",
        ),
        (
            changed("[engine]", "[engine]\nworkers = 2"),
            "engine.workers: the number of workers is fixed",
        ),
        (changed("sales.csv", "sales*.csv"), "sources.sales: what a source reads"),
        (changed("from = \"visits\"", "from = \"visits\"\nwhere = \"n > 0\""), "another name"),
    ] {
        fs::write(folder.path().join("f.toml"), &file).unwrap();
        let said = bad(folder.path(), &["reload", "f.toml"], 2);
        assert!(said.contains(why), "{said}");
    }
    let other = FILE.replace("[views.all]", "[views.others]");
    fs::write(folder.path().join("g.toml"), &other).unwrap();
    let said = bad(folder.path(), &["reload", "g.toml"], 2);
    assert!(said.contains("runs f.toml, and not"), "{said}");
    let after = uptime(&serving);
    assert_eq!((views(&serving), after.1), (vec!["all".to_owned(), "sold".to_owned()], before.1));
    write(folder.path(), &[]);
    let said = good(folder.path(), &["reload", "f.toml"]);
    assert_eq!(said, "nothing has changed; tokens and certificates were read again\n");
    // The server's counters go on.
    write(folder.path(), &[BY_PAGE]);
    good(folder.path(), &["reload", "f.toml"]);
    assert!(uptime(&serving).0 > after.0);
    assert_eq!(total(&serving.1, "by_page", "visits"), Some(1));
    drop(serving);
    let in_memory = FILE.replace("data = \"data\"", "");
    fs::write(folder.path().join("m.toml"), in_memory).unwrap();
    let said = bad(folder.path(), &["reload", "m.toml"], 2);
    assert!(said.contains("without a data folder there is no log"), "{said}");
}

#[test]
fn live_answers_and_counters_go_on_while_views_come_and_go() {
    let folder = folder();
    let serving = Serving::start(folder.path());
    let refused = AtomicU64::new(0);
    let push = |n: u64| assert!(push(&serving.1, &n.to_string(), n % 3, n, &refused));
    push(0);
    let address = serving.1.trim_start_matches("http://").to_owned();
    let mut live = TcpStream::connect(&address).unwrap();
    live.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let path = "/api/views/all/live?of=total&from=2024-05-01&to=2024-05-31";
    write!(live, "GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n").unwrap();
    let mut live = BufReader::new(live);
    let mut wait_for = |count: u64| {
        let mut line = String::new();
        while !line.contains(&format!("\"visits\":{count}"))
            && !line.contains(&format!("\"visits\":\"{count}\""))
        {
            line.clear();
            assert!(live.read_line(&mut line).unwrap() > 0, "the live answer has ended");
        }
    };
    wait_for(1);
    let events = || {
        let status: serde_json::Value = serde_json::from_str(&serving.get("/api/status")).unwrap();
        status["events"].as_u64().unwrap()
    };
    let reload = |names: &[&str]| {
        write(folder.path(), names);
        good(folder.path(), &["reload", "f.toml"])
    };
    for (round, names) in
        [&[BY_PAGE][..], &[], &[BY_PAGE, BY_PIECES], &[BY_PIECES]].iter().enumerate()
    {
        assert!(reload(names).ends_with(&format!("{GOES_ON}\n")));
        let n = round as u64 + 1;
        push(n);
        wait_for(n + 1);
        assert_eq!(events(), n + 1, "the same engine goes on");
    }
    // What cannot be done so is said.
    let changed = FILE.replacen("visits = \"count()\"", "visitors = \"count()\"", 1) + BY_PIECES;
    fs::write(folder.path().join("f.toml"), changed).unwrap();
    let said = good(folder.path(), &["reload", "f.toml"]);
    let why = "the engine was started again: a change of views.all takes effect at a start";
    assert!(said.contains(why), "{said}");
    assert_eq!(total(&serving.1, "all", "visitors"), Some(5));
    let log = FILE.replacen("[engine]", "[engine]\nlog = \"90d\"", 1);
    fs::write(folder.path().join("f.toml"), log.clone() + BY_PIECES).unwrap();
    let said = good(folder.path(), &["reload", "f.toml"]);
    assert!(said.contains("a change of engine.log takes effect at a start"), "{said}");
    fs::write(folder.path().join("f.toml"), log + BY_PIECES + BY_PAGE).unwrap();
    let said = good(folder.path(), &["reload", "f.toml"]);
    assert!(said.contains("the engine was started again: its log is not kept for ever"), "{said}");
    assert_eq!(total(&serving.1, "by_page", "visits"), Some(5));
}

#[test]
fn a_signal_has_the_file_and_its_tokens_read_again() {
    let folder = folder();
    let tokens = |text: &str| fs::write(folder.path().join("tokens"), text).unwrap();
    tokens("push one\n");
    let file = FILE.to_owned() + "tokens_file = \"tokens\"\n";
    fs::write(folder.path().join("f.toml"), &file).unwrap();
    let serving = Serving::start(folder.path());
    let hangup = || {
        let status = Command::new("kill").args(["-HUP", &serving.pid().to_string()]).status();
        assert!(status.unwrap().success());
    };
    let status = |token: &str| {
        let config = ureq::Agent::config_builder().http_status_as_error(false).build();
        let post = ureq::Agent::new_with_config(config)
            .post(format!("{}/api/sources/visits/events", serving.1));
        let post = post.header("content-type", "application/json");
        let post = post.header("authorization", format!("Bearer {token}"));
        post.send("{\"at\": \"2024-05-01T10:00:00Z\"}").unwrap().status().as_u16()
    };
    assert_eq!((status("one"), status("two")), (200, 401));
    tokens("push two\n");
    hangup();
    wait_until("the other token holds", || status("two") == 200);
    assert_eq!(status("one"), 401);
    fs::write(folder.path().join("f.toml"), file.clone() + BY_PAGE).unwrap();
    hangup();
    wait_until("the view is there", || views(&serving).len() == 3);
    // With a wrong file, or a wrong file of tokens, the program goes on as before.
    fs::write(folder.path().join("f.toml"), "[").unwrap();
    hangup();
    fs::write(folder.path().join("f.toml"), file).unwrap();
    tokens("write two\n");
    hangup();
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!((status("two"), views(&serving).len()), (200, 3));
}

#[test]
fn a_program_that_is_killed_over_it_goes_on_by_the_file() {
    let folder = folder();
    let refused = AtomicU64::new(0);
    let mut pushed = 0;
    let rounds = if cfg!(debug_assertions) { 8 } else { 40 };
    for round in 0..rounds {
        let with = round % 2 == 1;
        let serving = Serving::start(folder.path());
        for _ in 0..5 {
            assert!(push(&serving.1, &format!("k{pushed}"), pushed % 3, pushed, &refused));
            pushed += 1;
        }
        // Now the other file; the program is killed anywhere meanwhile.
        write(folder.path(), if with { &[] } else { &[BY_PAGE] });
        let mut command = dayfold();
        let command = command.args(["reload", "f.toml"]).current_dir(folder.path());
        let mut asking = command.stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(60 * (round % 8)));
        drop(serving);
        let _ = asking.kill();
        let _ = asking.wait();
        let serving = Serving::start(folder.path());
        assert_eq!(total(&serving.1, "all", "visits"), Some(pushed), "round {round}");
        let expect = (!with).then_some(pushed);
        assert_eq!(total(&serving.1, "by_page", "visits"), expect, "round {round}");
    }
}

#[test]
fn a_view_whose_past_is_gone_is_removed_only_if_that_is_said() {
    let folder = folder();
    let days = "at,pieces\n2024-05-01T10:00:00Z,1\n2024-05-08T10:00:00Z,2\n2024-05-15T10:00:00Z,3\n2024-05-29T10:00:00Z,4\n";
    fs::write(folder.path().join("sales.csv"), days).unwrap();
    // The pushed source is left out, because a view of it seals nothing, and so keeps the log.
    let (engine, rest) = FILE.split_once("[sources.visits]").unwrap();
    let (_, sales) = rest.split_once("[sources.sales]").unwrap();
    let (sales, rest) = sales.split_once("[views.all]").unwrap();
    let (_, sold) = rest.split_once("[views.sold]").unwrap();
    let file = format!("{engine}log = \"1d\"\n[sources.sales]{sales}[views.sold]{sold}");
    let write = |more: &str| fs::write(folder.path().join("f.toml"), file.clone() + more).unwrap();
    write(BY_PIECES);
    for _ in 0..3 {
        good(folder.path(), &["run", "f.toml", "--once"]);
    }
    // The log has no longer what a changed view would need: nobody is told to have it computed again.
    write(&format!("{BY_PIECES}grain = \"month\"\n"));
    for command in ["check", "run"] {
        for rebuild in [&[][..], &["--rebuild", "by_pieces"]] {
            let asked = [&[command, "f.toml"], rebuild].concat();
            let tried = common::run(folder.path(), &asked);
            assert_eq!(tried.status.code(), Some(2), "{asked:?}");
            let said = [tried.stdout, tried.stderr].concat();
            let said = String::from_utf8(said).unwrap();
            assert!(said.contains("give the changed view a new name"), "{asked:?}: {said}");
            assert!(!said.contains("dayfold run --rebuild"), "{asked:?}: {said}");
        }
    }
    write("");
    let said = bad(folder.path(), &["run", "f.toml", "--once"], 2);
    assert!(said.contains("view by_pieces: the folder has it and the file does not"), "{said}");
    assert!(said.contains("--remove by_pieces"), "{said}");
    let said = bad(folder.path(), &["run", "f.toml", "--once", "--remove", "sold"], 2);
    assert!(said.contains("the file has a view of that name"), "{said}");
    let said = common::run(folder.path(), &["check", "f.toml", "--remove", "by_pieces"]).stdout;
    let said = String::from_utf8(said).unwrap();
    assert!(
        said.contains("view by_pieces: is removed: as --remove says; sealed through"),
        "{said}"
    );
    write(BY_PIECES);
    let serving = Serving::start(folder.path());
    write("");
    let said = bad(folder.path(), &["reload", "f.toml"], 2);
    assert!(said.contains("--remove by_pieces"), "{said}");
    assert_eq!(views(&serving).len(), 2);
    good(folder.path(), &["reload", "f.toml", "--remove", "by_pieces"]);
    assert_eq!(views(&serving), ["sold"]);
}
