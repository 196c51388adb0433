//! Changing numbers of workers and processes over one folder, from run to run, while the file grows.

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::example::program;

/// Runs this many processes and workers over the file. Returns the output of the first process.
fn run(folder: &Path, processes: usize, workers: usize, more: &str) -> String {
    let listeners: Vec<TcpListener> =
        (0..processes).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let hosts: String =
        listeners.iter().map(|socket| format!("{}\n", socket.local_addr().unwrap())).collect();
    std::fs::write(folder.join("hosts"), hosts).unwrap();
    drop(listeners);
    let start = |process: usize| {
        let args = format!(
            "in.csv --time t --key k --value v --distinct d {more} -h hosts \
             -n {processes} -p {process} -w {workers}"
        );
        let mut command = Command::new(program("replay"));
        command.args(args.split_whitespace()).current_dir(folder).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let children: Vec<_> = (0..processes).map(start).collect();
    let mut outputs = children.into_iter().map(|child| {
        let output = child.wait_with_output().unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{}: {errors}", output.status);
        String::from_utf8(output.stdout).unwrap()
    });
    let first = outputs.next().unwrap();
    outputs.for_each(|other| assert_eq!(other, "", "only the first process prints"));
    first
}

/// Appends four days; one row in fifty comes two days late.
fn grow(folder: &Path, days: std::ops::Range<i64>) {
    let path = folder.join("in.csv");
    let mut text = std::fs::read_to_string(&path).unwrap_or_else(|_| "t,k,v,d\n".to_owned());
    for second in days.start * 1_000..days.end * 1_000 {
        let late = if second % 50 == 7 { 2 } else { 0 };
        let time = (second / 1_000 - late) * 86_400 + second % 1_000 * 80;
        text.push_str(&format!(
            "{time},k{},{}.5,d{}\n",
            second * 7 % 113,
            second % 91,
            second % 17
        ));
    }
    std::fs::write(path, text).unwrap();
}

/// The sealed files and their content; the name of a file has the worker that wrote it.
fn sealed(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.join("data")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "batch") {
                files.insert(path.clone(), std::fs::read(path).unwrap());
            }
        }
    }
    files
}

#[test]
fn counts_may_change_between_runs_while_the_file_grows() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    let mut before: BTreeMap<PathBuf, Vec<u8>> = BTreeMap::new();
    for (run_number, (processes, workers)) in
        [(1, 1), (2, 2), (3, 1), (1, 1), (1, 3), (2, 1)].into_iter().enumerate()
    {
        let first = 10 + 4 * run_number as i64;
        grow(folder, first..first + 4);
        let expected = run(folder, 1, 1, "");
        let found = run(folder, processes, workers, "--data data");
        assert!(found == expected, "{processes} processes with {workers} workers");
        // Once more, with nothing to read: the same output.
        let after = sealed(folder);
        assert!(run(folder, processes, workers, "--data data") == expected, "a second time");
        assert!(after == sealed(folder), "files were written when nothing had come");
        // Sealed files do not change, and only the last two sealed days have late rows.
        for (path, bytes) in &before {
            assert!(after.get(path) == Some(bytes), "{} was written again", path.display());
        }
        let day = |path: &PathBuf| {
            path.parent().and_then(Path::file_name).unwrap().to_str().unwrap().to_owned()
        };
        let days: BTreeSet<String> = before.keys().map(day).collect();
        let new = after.keys().filter(|path| !before.contains_key(*path)).map(day);
        let again: Vec<String> =
            new.collect::<BTreeSet<_>>().intersection(&days).cloned().collect();
        assert!(again.len() <= 2, "new revisions of {again:?}");
        before = after;
    }
}
