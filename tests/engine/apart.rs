//! Processes with separate data folders, as on machines without a shared one.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use dayfold::aggregate::Count;
use dayfold::engine::{LiveOptions, Measures, Once, Pusher, Running, ViewHandle};
use dayfold::log::Durability;
use dayfold::serve::Query;
use dayfold::store::Faulty;
use dayfold::time::{DayRange, EventTime};
use dayfold::view::View;
use dayfold::{Cluster, Engine};

use crate::LONG;

/// A place with a file of rows, and folders beside it.
struct Place(tempfile::TempDir);

/// How a process ended.
struct Ended {
    code: Option<i32>,
    output: String,
    errors: String,
}

impl Place {
    fn new() -> Place {
        Place(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs a process for each folder, with this many workers each.
    fn try_run(&self, folders: &[&str], workers: usize) -> Vec<Ended> {
        let listeners: Vec<TcpListener> =
            folders.iter().map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let hosts: String =
            listeners.iter().map(|socket| format!("{}\n", socket.local_addr().unwrap())).collect();
        std::fs::write(self.path("hosts"), hosts).unwrap();
        drop(listeners);
        let start = |(process, folder): (usize, &&str)| {
            let processes = folders.len();
            let data = if folder.is_empty() { String::new() } else { format!("--data {folder}") };
            let args = format!(
                "in.csv --time t --key k --value v --distinct d {data} -h hosts \
                 -n {processes} -p {process} -w {workers}"
            );
            let mut command = Command::new(crate::example::program("replay"));
            command.args(args.split_whitespace()).current_dir(self.0.path()).stdin(Stdio::null());
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        };
        let children: Vec<_> = folders.iter().enumerate().map(start).collect();
        let ended = children.into_iter().map(|child| {
            let output = child.wait_with_output().unwrap();
            let text = |bytes| String::from_utf8(bytes).unwrap();
            let code = output.status.code();
            Ended { code, output: text(output.stdout), errors: text(output.stderr) }
        });
        ended.collect()
    }

    /// As [`Place::try_run`]; returns the output of the first process.
    #[track_caller]
    fn run(&self, folders: &[&str], workers: usize) -> String {
        let ended = self.try_run(folders, workers);
        for (process, Ended { code, errors, .. }) in ended.iter().enumerate() {
            assert_eq!(*code, Some(0), "process {process}: {errors}");
        }
        ended.into_iter().next().unwrap().output
    }

    #[track_caller]
    fn refused(&self, folders: &[&str], workers: usize, says: &[&str]) {
        let before = self.files();
        for ended in self.try_run(folders, workers) {
            assert!(matches!(ended.code, Some(1 | 2)), "{:?} {}", ended.code, ended.errors);
            for says in says {
                assert!(ended.errors.contains(says), "'{says}' in '{}'", ended.errors);
            }
        }
        assert!(before == self.files(), "something was written");
    }

    /// Appends days of rows, one in fifty of which comes two days late, and some of which are invalid.
    fn grow(&self, days: std::ops::Range<i64>) {
        let path = self.path("in.csv");
        let mut text = std::fs::read_to_string(&path).unwrap_or_else(|_| "t,k,v,d\n".to_owned());
        for second in days.start * 1_000..days.end * 1_000 {
            let late = if second % 50 == 7 { 2 } else { 0 };
            let time = (second / 1_000 - late) * 86_400 + second % 1_000 * 80;
            let value = if second % 333 == 5 { "none".to_owned() } else { format!("{second}.5") };
            text.push_str(&format!("{time},k{},{value},d{}\n", second * 7 % 113, second % 17));
        }
        std::fs::write(path, text).unwrap();
    }

    /// All files of data folders, and what is in them.
    fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        let mut folders = vec![self.path("")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.file_name().is_some_and(|name| name != "hosts") {
                    files.insert(path.clone(), std::fs::read(path).unwrap());
                }
            }
        }
        files
    }

    fn copy_part(&self, from: &str, part: usize, to: &str) {
        let part = format!("part-{part}");
        copy(&self.path(from).join(&part), &self.path(to).join(part));
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (from, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            std::fs::copy(from, to).unwrap();
        }
    }
}

#[test]
fn each_process_may_have_a_folder_of_its_own() {
    for (folders, workers) in [(&["zero", "one"][..], 1), (&["zero", "one", "two"], 2)] {
        let place = Place::new();
        for first in [10, 14, 18] {
            place.grow(first..first + 4);
            let expected = place.run(&[""], 1);
            assert!(place.run(folders, workers) == expected, "from day {first}");
            let before = place.files();
            assert!(place.run(folders, workers) == expected, "again, from day {first}");
            let batches = |files: BTreeMap<PathBuf, Vec<u8>>| -> Vec<_> {
                let is_batch = |path: &Path| path.extension().is_some_and(|name| name == "batch");
                files.into_iter().filter(|(path, _)| is_batch(path)).collect()
            };
            assert!(batches(before) == batches(place.files()), "something was sealed again");
        }
        for (process, folder) in folders.iter().enumerate() {
            let parts = std::fs::read_dir(place.path(folder)).unwrap();
            let parts: Vec<_> = parts.map(|entry| entry.unwrap().file_name()).collect();
            assert_eq!(parts, [&format!("part-{process}")[..]]);
        }
    }
}

#[test]
fn a_part_that_cannot_be_reached_is_named() {
    let place = Place::new();
    place.grow(10..14);
    place.run(&["zero", "one"], 1);
    place.grow(14..16);
    let expected = place.run(&[""], 1);
    // Fewer processes: the part of the removed one is missing.
    place.refused(&["zero"], 2, &["zero/part-1/manifest", "is missing"]);
    // More workers: each process has days that now belong to the other.
    place.refused(&["zero", "one"], 2, &["needs sealed days of", "part-"]);
    // Folders that were swapped, or replaced by a new one.
    place.refused(&["one", "zero"], 1, &["part-0", "is missing"]);
    place.refused(&["zero", "new"], 1, &["part-1", "is missing"]);
    place.refused(&["new", "one"], 1, &["part-0", "is missing"]);
    assert!(!place.path("new").exists());
    assert!(place.run(&["zero", "one"], 1) == expected);

    // With copies of the needed parts, there may be more workers, and the copies may be old.
    place.copy_part("zero", 0, "one");
    place.refused(&["zero", "one"], 2, &["process 0 needs sealed days of zero/part-1"]);
    place.copy_part("one", 1, "zero");
    for days in [16..18, 18..20] {
        place.grow(days);
        let expected = place.run(&[""], 1);
        assert!(place.run(&["zero", "one"], 2) == expected);
    }
    // But copies are no use for other processes than those they were made for.
    place.refused(&["zero", "one"], 1, &["needs sealed days of", "part-"]);
    place.refused(&["zero", "one", "two"], 1, &["needs sealed days of", "part-"]);
    // All parts in one place: any number works.
    std::fs::remove_dir_all(place.path("zero/part-1")).unwrap();
    place.copy_part("one", 1, "zero");
    let expected = place.run(&[""], 1);
    for (processes, workers) in [(1, 3), (3, 1), (2, 2)] {
        assert!(place.run(&["zero"].repeat(processes), workers) == expected, "{processes}");
    }
}

#[test]
fn the_folders_of_two_clusters_are_not_taken_for_one() {
    let place = Place::new();
    place.grow(10..14);
    for folders in [["a0", "a1"], ["b0", "b1"]] {
        place.run(&folders, 1);
    }
    place.refused(&["a0", "b1"], 1, &["the data folder is", "a0 (", "b1 ("]);
}

type Event = (EventTime, u64);

const NOW: EventTime = 1_700_000_000_000;

struct Program {
    running: Running,
    view: ViewHandle<u64, Count>,
    pusher: Pusher<Event>,
}

/// Two processes, each with its own disk.
fn programs(disks: &[Faulty; 2], workers: usize) -> Vec<Program> {
    let listeners = [0, 1].map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    let hosts = listeners.each_ref().map(|socket| socket.local_addr().unwrap().to_string());
    drop(listeners);
    std::thread::scope(|scope| {
        let start = |process: usize| {
            let (disk, hosts) = (Arc::new(disks[process].clone()), hosts.to_vec());
            move || {
                let mut engine = Engine::<Event>::new().clock(|| NOW);
                let view = View::new("v").unwrap();
                let view = engine.view(view, Measures::none(), |&(time, key): &Event| {
                    Some((time, key, Count::one()))
                });
                let pusher = engine.live(LiveOptions::new(|event: &Event| event.0));
                let soon = Durability::Every(Duration::from_millis(1));
                let engine = engine.data_in(disk, "data").log(soon, |event| event.0);
                let cluster = Cluster::hosts(workers, process, hosts).unwrap();
                Program { running: engine.start(cluster).unwrap(), view, pusher }
            }
        };
        let started = [0, 1].map(|process| scope.spawn(start(process)));
        started.into_iter().map(|program| program.join().unwrap()).collect()
    })
}

/// One process stops the cluster. Whatever another one waits for then, it is told.
#[test]
fn whoever_waits_is_told_that_another_process_has_stopped_all() {
    let disks = [Faulty::new(3), Faulty::new(4)];
    let mut programs = programs(&disks, 1);
    let (one, zero) = (programs.pop().unwrap(), programs.pop().unwrap());
    std::thread::scope(|scope| {
        let pusher = zero.pusher.clone();
        let told = scope.spawn(move || {
            for key in 0.. {
                let pushed = match pusher.push(vec![(NOW, key)]) {
                    Ok(pushed) => pushed,
                    Err(error) => return format!("{:?}", error.refusal),
                };
                if let Err(error) = pushed.receipt.wait_visible(LONG) {
                    return format!("{error:?}");
                }
            }
            unreachable!("the group stops")
        });
        let view = zero.view.clone();
        let asked = scope.spawn(move || while view.ask(Query::total(DayRange::ALL)).is_ok() {});
        drop((one.pusher, one.view));
        one.running.finish().unwrap();
        assert!(told.join().unwrap().contains("Stopped"));
        asked.join().unwrap();
        assert!(zero.running.wait_stopped(LONG));
        zero.running.finish().unwrap();
    });
}

/// Each process knows the keys that the other took, also in the next run with another number of workers. Open days come
/// back from the logs, although no process has all of them. An audit reports that it needs them all.
#[test]
fn open_days_and_keys_that_count_once_come_back() {
    let disks = [Faulty::new(1), Faulty::new(2)];
    for run in 0..3_u64 {
        let programs = programs(&disks, 1 + run as usize % 2);
        for request in 0..40 {
            let program = &programs[(request + run) as usize % 2];
            let events = vec![(NOW, request); 1 + request as usize % 3];
            let once = program.pusher.push_once(&format!("request {request}"), events, LONG);
            let Once { events, repeated, .. } = once.unwrap();
            assert_eq!((events, repeated), (1 + request % 3, run > 0), "request {request}");
        }
        for (request, program) in (0..40).zip(programs.iter().cycle()) {
            let answer = program.view.ask(Query::point(request, DayRange::ALL)).unwrap();
            assert_eq!(answer.value(), Some(Count(1 + request as i64 % 3)), "request {request}");
        }
        let error = programs[0].view.audit(DayRange::ALL, 1.0).unwrap_err().to_string();
        assert!(error.contains("part-") && error.contains("all processes share"), "{error}");
        std::thread::scope(|scope| {
            programs.into_iter().for_each(|Program { running, view, pusher }| {
                drop((view, pusher));
                scope.spawn(|| running.finish().unwrap());
            });
        });
    }
}
