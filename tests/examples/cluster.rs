//! Processes that lose each other report it by name, within seconds, and no data is lost.
#![cfg(unix)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::example::program;

/// Processes of a cluster, which end with the test.
struct Group {
    folder: tempfile::TempDir,
    processes: usize,
    children: Vec<Option<Child>>,
    /// Besides what all have.
    arguments: Vec<&'static str>,
}

/// Rows of ten days, a second apart, and their counts.
fn rows(days: std::ops::Range<u32>) -> String {
    days.flat_map(|day| (0..200).map(move |n| format!("{},k{}\n", day * 86_400 + n, n % 7)))
        .collect()
}

impl Group {
    /// Process 0 reads standard input, so the cluster runs until that ends.
    fn start(processes: usize) -> Group {
        let mut group = Group::empty(processes);
        group.restart();
        group
    }

    fn empty(processes: usize) -> Group {
        let folder = tempfile::tempdir().unwrap();
        Group { folder, processes, children: Vec::new(), arguments: Vec::new() }
    }

    fn restart(&mut self) {
        let hosts = self.hosts();
        self.children =
            (0..self.processes).map(|process| Some(self.spawn(process, &hosts))).collect();
    }

    /// A file of free addresses, one for each process.
    fn hosts(&self) -> PathBuf {
        let listeners: Vec<TcpListener> =
            (0..self.processes).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let hosts: String = listeners
            .iter()
            .map(|listener| format!("{}\n", listener.local_addr().unwrap()))
            .collect();
        let path = self.folder.path().join("hosts");
        std::fs::write(&path, hosts).unwrap();
        path
    }

    fn spawn(&self, process: usize, hosts: &Path) -> Child {
        let mut command = Command::new(program("replay"));
        command.args(["-", "--time", "t", "--key", "k", "--data", "data", "--out", "out.csv"]);
        command
            .args(["-n", &self.processes.to_string(), "-p", &process.to_string(), "-h"])
            .arg(hosts)
            .args(&self.arguments);
        command.current_dir(self.folder.path());
        let stdin = if process == 0 { Stdio::piped() } else { Stdio::null() };
        command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    fn child(&mut self, process: usize) -> &mut Child {
        self.children[process].as_mut().unwrap()
    }

    /// Feeds rows to process 0, and keeps its input open.
    fn feed(&mut self, rows: &str) {
        self.child(0).stdin.as_mut().unwrap().write_all(rows.as_bytes()).unwrap();
    }

    fn signal(&mut self, process: usize, signal: &str) {
        let id = self.child(process).id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }

    /// Waits for a process to end. Returns its exit code and output.
    fn end(&mut self, process: usize) -> (Option<i32>, String) {
        let mut child = self.children[process].take().unwrap();
        let started = Instant::now();
        while child.try_wait().unwrap().is_none() {
            assert!(started.elapsed() < Duration::from_secs(60), "process {process} does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (child.wait().unwrap().code(), said)
    }

    /// Waits until a day is sealed, so that all are at work.
    fn wait_for_a_sealed_day(&self) {
        let started = Instant::now();
        let views = self.folder.path().join("data/part-0/views/replay");
        while std::fs::read_dir(&views).map_or(0, |days| days.count()) < 2 {
            assert!(started.elapsed() < Duration::from_secs(60), "nothing is sealed");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for child in self.children.iter_mut().flatten() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The expected final output of the cluster, whatever happened to it.
fn expected() -> String {
    let mut out = "day,k,events\n".to_owned();
    for day in 1..=10 {
        for key in 0..7 {
            let events = (0..200).filter(|n| n % 7 == key).count();
            out.push_str(&format!("1970-01-{day:02},k{key},{events}\n"));
        }
    }
    out
}

#[test]
fn a_process_that_is_killed_is_named_and_the_group_goes_on_later() {
    for lost in [2, 0, 1] {
        let mut group = Group::start(3);
        group.feed("t,k\n");
        group.feed(&rows(0..6));
        group.wait_for_a_sealed_day();
        group.signal(lost, "-KILL");
        assert_eq!(group.end(lost).0, None);
        for other in (0..3).filter(|other| *other != lost) {
            let (code, said) = group.end(other);
            assert_eq!(code, Some(1), "{said}");
            assert!(said.contains(&format!("process {lost} at 127.0.0.1:")), "{said}");
            assert!(said.contains("is gone"), "{said}");
        }
        group.restart();
        group.feed("t,k\n");
        group.feed(&rows(0..10));
        drop(group.child(0).stdin.take());
        for process in 0..3 {
            let (code, said) = group.end(process);
            assert_eq!(code, Some(0), "{said}");
        }
        let out = std::fs::read_to_string(group.folder.path().join("out.csv")).unwrap();
        assert_eq!(out, expected(), "after process {lost} was lost");
    }
}

#[test]
fn a_process_that_hangs_is_named_and_may_come_back() {
    let mut group = Group::start(2);
    group.feed("t,k\n");
    group.feed(&rows(0..6));
    group.wait_for_a_sealed_day();
    group.signal(1, "-STOP");
    let said = BufReader::new(group.child(0).stderr.take().unwrap());
    let mut lines = said.lines().map(|line| line.unwrap());
    assert!(
        lines.any(|line| line.contains("process 1 at 127.0.0.1:") && line.contains("nothing for"))
    );
    group.feed(&rows(6..10));
    group.signal(1, "-CONT");
    assert!(lines.any(|line| line.contains("is back")));
    // Its output is read to the end, so that it does not block.
    let rest = std::thread::spawn(move || lines.count());
    drop(group.child(0).stdin.take());
    let mut first = group.children[0].take().unwrap();
    assert!(first.wait().unwrap().success());
    rest.join().unwrap();
    assert_eq!(group.end(1).0, Some(0));
    let out = std::fs::read_to_string(group.folder.path().join("out.csv")).unwrap();
    assert_eq!(out, expected());
}

#[test]
fn one_that_comes_late_is_waited_for_and_a_stranger_is_not_let_in() {
    let mut group = Group::empty(2);
    let hosts = group.hosts();
    group.children.push(Some(group.spawn(0, &hosts)));
    let first = std::fs::read_to_string(&hosts).unwrap().lines().next().unwrap().to_owned();
    // A port scanner connects and sends unrelated bytes.
    for words in [&b""[..], b"GET / HTTP/1.0\r\n\r\n", &[0; 500]] {
        let started = Instant::now();
        let mut socket = loop {
            match std::net::TcpStream::connect(&first) {
                Ok(socket) => break socket,
                Err(error) => assert!(started.elapsed() < Duration::from_secs(60), "{error}"),
            }
        };
        let _ = socket.write_all(words);
    }
    group.children.push(Some(group.spawn(1, &hosts)));
    group.feed("t,k\n");
    group.feed(&rows(0..10));
    drop(group.child(0).stdin.take());
    for process in 0..2 {
        let (code, said) = group.end(process);
        assert_eq!(code, Some(0), "{said}");
    }
    let out = std::fs::read_to_string(group.folder.path().join("out.csv")).unwrap();
    assert_eq!(out, expected());
}

/// Forty silent connections, and two processes without the secret, do not hold up the start.
#[test]
fn strangers_neither_prevent_a_start_nor_take_a_place() {
    let mut group = Group::empty(2);
    let hosts = group.hosts();
    std::fs::write(group.folder.path().join("ours"), "the secret of this cluster\n").unwrap();
    std::fs::write(group.folder.path().join("theirs"), "the secret of another one\n").unwrap();
    group.arguments = vec!["--secret-file", "ours"];
    group.children.push(Some(group.spawn(0, &hosts)));
    let first = std::fs::read_to_string(&hosts).unwrap().lines().next().unwrap().to_owned();
    let started = Instant::now();
    let mut silent = Vec::new();
    while silent.len() < 40 {
        assert!(started.elapsed() < Duration::from_secs(60), "process 0 does not listen");
        silent.extend(std::net::TcpStream::connect(&first));
    }
    group.children.push(None);
    for (arguments, expected) in
        [(vec!["--secret-file", "theirs"], "it has another secret"), (vec![], "it has a secret")]
    {
        group.arguments = arguments;
        group.children[1] = Some(group.spawn(1, &hosts));
        let (code, said) = group.end(1);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(expected) && said.contains("--secret-file"), "{said}");
    }
    group.arguments = vec!["--secret-file", "ours"];
    group.children[1] = Some(group.spawn(1, &hosts));
    group.feed("t,k\n");
    group.feed(&rows(0..10));
    drop(group.child(0).stdin.take());
    for process in 0..2 {
        let (code, said) = group.end(process);
        assert_eq!(code, Some(0), "{said}");
        assert!(!said.contains("the secret of"), "{said}");
        let warnings = ["with another secret was closed", "without the secret was closed"];
        assert!(process == 1 || warnings.iter().all(|warning| said.contains(warning)), "{said}");
    }
    drop(silent);
    let out = std::fs::read_to_string(group.folder.path().join("out.csv")).unwrap();
    assert_eq!(out, expected());
}
