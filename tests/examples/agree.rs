//! Processes that differ: both report the difference before anything is written.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::example::program;

/// A folder with a file to read and a list of hosts.
struct Place {
    folder: tempfile::TempDir,
}

/// How a process ended.
#[derive(Debug)]
struct Ended {
    code: Option<i32>,
    said: String,
}

impl Ended {
    #[track_caller]
    fn refused(&self, code: i32, says: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        says.iter().for_each(|says| assert!(self.said.contains(says), "'{says}' in {self:?}"));
    }
}

impl Place {
    fn new(processes: usize) -> Place {
        let place = Place { folder: tempfile::tempdir().unwrap() };
        std::fs::write(place.path("in.csv"), "t,k,v\n0,a,1\n86400,b,2\n172800,c,3\n").unwrap();
        let listeners: Vec<TcpListener> =
            (0..processes).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let hosts: String = listeners
            .iter()
            .map(|listener| format!("{}\n", listener.local_addr().unwrap()))
            .collect();
        std::fs::write(place.path("hosts"), hosts).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn spawn(&self, args: &str) -> Child {
        let mut command = Command::new(program("replay"));
        command.args("in.csv --time t --key k".split(' ')).args(args.split(' '));
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Runs processes side by side.
    fn run<const N: usize>(&self, args: [&str; N]) -> [Ended; N] {
        let children = args.map(|args| self.spawn(&format!("-h hosts {args}")));
        children.map(|child| {
            let output = child.wait_with_output().unwrap();
            let said = String::from_utf8(output.stderr).unwrap();
            Ended { code: output.status.code(), said }
        })
    }

    /// All files below a folder, and what is in them.
    fn files(&self, name: &str) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        let mut folders = vec![self.path(name)];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => folders.push(path),
                    false => drop(files.insert(path.clone(), std::fs::read(path).unwrap())),
                }
            }
        }
        files
    }
}

#[test]
fn other_counts_views_and_zones_are_named_on_both_sides() {
    let cases: [(&str, &str, &[&str]); 6] = [
        ("-n 2 -p 0", "-n 3 -p 1", &["the number of processes (-n)"]),
        ("-n 2 -p 0 -w 2", "-n 2 -p 1", &["the number of workers (-w)"]),
        ("-n 2 -p 0 --zone Asia/Tokyo", "-n 2 -p 1", &["'replay': zone", "Asia/Tokyo", "UTC"]),
        ("-n 2 -p 0 --grace 2h", "-n 2 -p 1", &["'replay': grace", "7200000 ms", "3600000 ms"]),
        ("-n 2 -p 0 --value v", "-n 2 -p 1", &["'replay': definition", "--value \"v\""]),
        ("-n 2 -p 0 --data data", "-n 2 -p 1", &["a log", "yes", "no"]),
    ];
    for (zero, one, says) in cases {
        let place = Place::new(3);
        let data =
            if one.contains("--data") || zero.contains("--data") { "" } else { " --data data" };
        let [zero, one] = place.run([&format!("{zero}{data}"), &format!("{one}{data}")]);
        zero.refused(2, says);
        one.refused(2, says);
        assert!(zero.said.contains("process 1: ") && one.said.contains("process 0: "));
        assert!(!place.path("data").exists(), "{:?}", place.files("data").keys());
    }
}

#[test]
fn an_index_that_is_none_or_another_ones_is_refused() {
    let place = Place::new(2);
    let [beyond] = place.run(["--data data -n 2 -p 2"]);
    beyond.refused(2, &["process 2 of 2"]);
    let mut first = place.spawn("--data data -n 2 -p 0 -h hosts");
    let address = std::fs::read_to_string(place.path("hosts")).unwrap();
    let address = address.lines().next().unwrap();
    while std::net::TcpStream::connect(address).is_err() {
        std::thread::yield_now();
    }
    let [second] = place.run(["--data data -n 2 -p 0"]);
    second.refused(1, &["cannot listen on", address]);
    first.kill().unwrap();
    first.wait().unwrap();
    assert!(!place.path("data").exists());
}

#[test]
fn those_that_do_not_come_are_named() {
    let place = Place::new(3);
    let [zero] = place.run(["--data data -n 3 -p 0 --wait 1s"]);
    zero.refused(1, &["process 1 at 127.0.0.1:", ", 2 at 127.0.0.1:", "no answer within 1s"]);
    assert!(!place.path("data").exists());
}

#[test]
fn the_folders_of_two_clusters_are_not_taken_for_one() {
    let place = Place::new(2);
    for folder in ["here", "there"] {
        let args = [format!("--data {folder} -n 2 -p 0"), format!("--data {folder} -n 2 -p 1")];
        for ended in place.run([&args[0], &args[1]]) {
            assert_eq!(ended.code, Some(0), "{ended:?}");
        }
    }
    let before = [place.files("here"), place.files("there")];
    let [zero, one] = place.run(["--data here -n 2 -p 0", "--data there -n 2 -p 1"]);
    zero.refused(2, &["process 1: the data folder", "here (", "there ("]);
    one.refused(2, &["process 0: the data folder", "here (", "there ("]);
    // An empty folder cannot replace a part that was written before.
    for ended in place.run(["--data here -n 2 -p 0", "--data nowhere -n 2 -p 1"]) {
        ended.refused(1, &["part-1", "is missing"]);
    }
    assert!(before == [place.files("here"), place.files("there")], "something was written");
    assert!(!place.path("nowhere").exists());
}

#[test]
fn a_part_that_is_not_there_is_named() {
    let place = Place::new(2);
    for ended in place.run(["--data data -n 2 -p 0", "--data data -n 2 -p 1"]) {
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }
    std::fs::rename(place.path("data/part-1"), place.path("elsewhere")).unwrap();
    let before = place.files("data");
    for ended in place.run(["--data data -n 2 -p 0", "--data data -n 2 -p 1"]) {
        ended.refused(1, &["part-1", "is missing"]);
    }
    // Neither can fewer processes: the part's days and its log still count.
    let [alone] = place.run(["--data data"]);
    alone.refused(1, &["part-1", "is missing"]);
    assert!(before == place.files("data"), "something was written");
    std::fs::rename(place.path("elsewhere"), place.path("data/part-1")).unwrap();
    let [alone] = place.run(["--data data"]);
    assert_eq!(alone.code, Some(0), "{alone:?}");
}
