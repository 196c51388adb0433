//! The program whose folder is damaged: it reads a source from the position in the log, and counts by day and key.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

use dayfold::aggregate::{Count, Semigroup, Sum};
use dayfold::engine::{Measures, Running, ViewHandle};
use dayfold::key::KeyRange;
use dayfold::log::Durability;
use dayfold::serve::Query;
use dayfold::source::{CsvOptions, CsvSource, Input};
use dayfold::store::{Disk, Memory, Storage};
use dayfold::time::{Day, DayRange};
use dayfold::view::View;
use dayfold::{Cluster, Engine};

use crate::folder::{Folder, ROOT};
use crate::random::Random;

/// 2013-03-08.
const FIRST_DAY: i32 = 15_772;
const DAYS: u64 = 9;
const ROWS_A_DAY: u64 = 24;
pub(crate) const ROWS: u64 = DAYS * ROWS_A_DAY;
const HANGS: Duration = Duration::from_secs(10);

type Event = (i64, u64, i64);
type Stats = (Count, Sum);

/// The number of processes and of workers each, and whether each process has its own disk.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Shape {
    pub(crate) processes: usize,
    pub(crate) workers: usize,
    pub(crate) apart: bool,
}

/// All rows, the same for all processes: some come a day late.
fn rows() -> Vec<Event> {
    let row = |number: u64| {
        let late = if number % 7 == 3 { 30 } else { 0 };
        let hours = (number * 24 / ROWS_A_DAY) as i64 + i64::from(FIRST_DAY) * 24 - late;
        let time = hours * 3_600_000 + number as i64;
        (time, number * 5 % 13, number as i64)
    };
    (0..ROWS).map(row).collect()
}

fn content() -> Vec<u8> {
    let rows = rows().into_iter().map(|(time, key, value)| format!("{time},{key},{value}\n"));
    ("t,k,v\n".to_owned() + &rows.collect::<String>()).into_bytes()
}

/// The answer from scratch.
fn expected() -> BTreeMap<(Day, u64), Stats> {
    let mut groups = BTreeMap::<(Day, u64), Stats>::new();
    for (time, key, value) in rows() {
        let day = Day(time.div_euclid(86_400_000) as i32);
        let one = (Count::one(), Sum::of(value));
        groups.entry((day, key)).and_modify(|sum| sum.plus_equals(&one)).or_insert(one);
    }
    groups
}

/// Content that arrives in pieces.
struct Gate {
    bytes: Vec<u8>,
    at: usize,
    open: usize,
    opened: Receiver<usize>,
}

impl Read for Gate {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.at == self.open && self.open < self.bytes.len() {
            match self.opened.recv() {
                Ok(open) => self.open = open.max(self.open).min(self.bytes.len()),
                // The program was stopped before it opened this.
                Err(_) => return Err(io::ErrorKind::BrokenPipe.into()),
            }
        }
        let length = into.len().min(self.open - self.at);
        into[..length].copy_from_slice(&self.bytes[self.at..self.at + length]);
        self.at += length;
        Ok(length)
    }
}

/// The program over a folder.
pub(crate) struct Program {
    shape: Shape,
    pub(crate) disks: Vec<Memory>,
    /// A folder on the real disk instead.
    place: Option<PathBuf>,
    durability: Durability,
    accepts: bool,
}

/// A running process of it.
struct Started {
    running: Running,
    view: ViewHandle<u64, Stats>,
}

impl Program {
    /// Over a copy of a folder, possibly with another number of workers than before.
    pub(crate) fn of(shape: Shape, folder: &Folder, random: &mut Random) -> Program {
        let workers = match shape.apart {
            // Otherwise a process needs files that the other one has.
            true => shape.workers,
            false => 1 + random.below(2) as usize,
        };
        let durability = random.pick(&[Durability::System, Durability::EveryCommit]);
        let shape = Shape { workers, ..shape };
        Program { shape, disks: folder.disks(), place: None, durability, accepts: false }
    }

    /// In a folder of the machine.
    pub(crate) fn at(shape: Shape, place: &Path) -> Program {
        let (place, durability) = (Some(place.to_owned()), Durability::System);
        Program { shape, disks: Vec::new(), place, durability, accepts: false }
    }

    /// With [`Engine::accept_lost_log`].
    pub(crate) fn accepting(self) -> Program {
        Program { accepts: true, ..self }
    }

    fn start(&self, process: usize, hosts: Vec<String>, gate: Gate) -> Result<Started, String> {
        let (disk, root): (Arc<dyn Storage>, PathBuf) = match &self.place {
            Some(place) => (Arc::new(Disk), place.clone()),
            None => {
                let disk = &self.disks[if self.shape.apart { process } else { 0 }];
                (Arc::new(disk.clone()), ROOT.into())
            }
        };
        let mut engine = Engine::<Event>::new().clock(|| 1_700_000_000_000);
        let view = engine.view(View::new("v").unwrap(), Measures::none(), |&(time, key, value)| {
            Some((time, key, (Count::one(), Sum::of(value))))
        });
        let fields = ["k", "v"].map(str::to_owned).to_vec();
        let engine = engine.data_in(disk, root).log(self.durability, |event| event.0);
        let engine = engine.packing(2, 3);
        let engine = if self.accepts { engine.accept_lost_log() } else { engine };
        let engine = engine.csv(
            move |resume| {
                let options = CsvOptions::new("t").fields(fields);
                let input = Input::reader("rows", gate);
                Ok(Some(match resume.consumed() {
                    Some(consumed) => CsvSource::resume_after(input, options, consumed)?,
                    None => CsvSource::open(input, options)?,
                }))
            },
            |row| {
                let number =
                    |at| std::str::from_utf8(row.field(at)).unwrap().parse::<i64>().unwrap();
                Ok((row.time(), number(0) as u64, number(1)))
            },
        );
        let (processes, workers) = (self.shape.processes, self.shape.workers);
        let cluster = match processes {
            1 => Cluster::workers(workers),
            _ => Cluster::hosts(workers, process, hosts).unwrap(),
        };
        let running = engine.start(cluster).map_err(|error| in_full(&error))?;
        Ok(Started { running, view })
    }

    /// Starts all processes. Returns what lets the source continue.
    fn start_all(&self) -> Result<(Vec<Started>, Sender<usize>), String> {
        let (opens, opened) = mpsc::channel();
        let mut opened = Some(opened);
        let mut gates = Vec::new();
        for _ in 0..self.shape.processes {
            let opened = opened.take().unwrap_or_else(|| mpsc::channel().1);
            gates.push(Gate { bytes: content(), at: 0, open: 0, opened });
        }
        // Programs start side by side. On an address of its own, none takes a port that another has just found free.
        static STARTED: AtomicU16 = AtomicU16::new(1);
        let [high, low] = STARTED.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        let address = Ipv4Addr::new(127, 1, high, low);
        let listeners: Vec<_> =
            gates.iter().map(|_| TcpListener::bind((address, 0)).unwrap()).collect();
        let hosts: Vec<_> =
            listeners.iter().map(|socket| socket.local_addr().unwrap().to_string()).collect();
        drop(listeners);
        let started: Vec<_> = std::thread::scope(|scope| {
            let start = |(process, gate)| {
                let hosts = hosts.clone();
                scope.spawn(move || self.start(process, hosts, gate))
            };
            let started: Vec<_> = gates.into_iter().enumerate().map(start).collect();
            started.into_iter().map(|process| process.join().unwrap()).collect()
        });
        Ok((started.into_iter().collect::<Result<_, _>>()?, opens))
    }

    /// Runs the program until everything is read and sealed, and compares the answer.
    pub(crate) fn run_to_the_end(&self) -> Result<(), String> {
        let (started, opens) = self.start_all()?;
        opens.send(usize::MAX).unwrap();
        let sealed = seal(&started[0].running);
        if sealed.is_ok() {
            check(&started[0].view)?;
        }
        finish(started)?;
        sealed
    }
}

fn seal(running: &Running) -> Result<(), String> {
    match running.wait_sealed(HANGS) {
        Ok(true) => Ok(()),
        Ok(false) => panic!("not sealed: {:?}", running.progress()),
        Err(error) => Err(in_full(&error)),
    }
}

fn check(view: &ViewHandle<u64, Stats>) -> Result<(), String> {
    let query = Query::rows(KeyRange::all(), DayRange::ALL);
    let answer = view.ask_timeout(query, HANGS).map_err(|error| in_full(&error))?;
    let items = answer.items.into_iter();
    let found =
        items.map(|item| ((item.day.unwrap(), item.key.unwrap()), item.parts.merged().unwrap()));
    assert!(found.collect::<BTreeMap<_, _>>() == expected(), "a wrong answer");
    Ok(())
}

fn finish(started: Vec<Started>) -> Result<(), String> {
    std::thread::scope(|scope| {
        let finish = |Started { running, view }| {
            drop(view);
            scope.spawn(|| running.finish().map_err(|error| in_full(&error)))
        };
        let ends: Vec<_> = started.into_iter().map(finish).collect();
        ends.into_iter().try_for_each(|end| end.join().unwrap().map(drop))
    })
}

pub(crate) fn in_full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

impl Program {
    /// Runs it, row by row, and calls a function meanwhile; it is stopped in the middle if `opens` is less than all
    /// rows.
    pub(crate) fn run_beside(&self, rows: std::ops::Range<usize>, mut beside: impl FnMut()) {
        let (started, opens) = self.start_all().unwrap();
        let ends = ends(&content());
        let is_last = rows.end + 1 >= ends.len();
        let (end, done) = (rows.end, AtomicUsize::new(0));
        let calls = &done;
        std::thread::scope(|scope| {
            let feed = scope.spawn(move || {
                for row in rows {
                    // On a slow machine, rows could be over before anything has happened beside them.
                    while row + 1 == end && calls.load(Ordering::Relaxed) < 3 {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                    opens.send(ends[row]).unwrap();
                    std::thread::sleep(Duration::from_millis(1));
                }
                if is_last {
                    opens.send(usize::MAX).unwrap();
                }
                opens
            });
            while !feed.is_finished() {
                beside();
                done.fetch_add(1, Ordering::Relaxed);
            }
            let opens = feed.join().unwrap();
            if is_last {
                seal(&started[0].running).unwrap();
                check(&started[0].view).unwrap();
                finish(started).unwrap();
            } else {
                drop(opens);
                abandon(started);
            }
        });
    }
}

/// Stops it in the middle; its source has failed.
fn abandon(started: Vec<Started>) {
    std::thread::scope(|scope| {
        started.into_iter().for_each(|one| drop(scope.spawn(|| one.running.abandon())));
    });
}

/// The ends of lines, beginning with the header.
fn ends(content: &[u8]) -> Vec<usize> {
    let bytes = content.iter().enumerate();
    bytes.filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1).collect()
}

/// Copies of a folder over its life: during two runs, the first of which is stopped in the middle, and after the
/// second.
pub(crate) fn timeline(shape: Shape) -> Vec<Folder> {
    let disks = || (0..if shape.apart { shape.processes } else { 1 }).map(|_| Memory::default());
    let durability = Durability::System;
    let disks = disks().collect();
    let program = Program { shape, disks, place: None, durability, accepts: false };
    let ends = ends(&content());
    let mut ages = Vec::new();
    for run in 0..2 {
        let (started, opens) = program.start_all().unwrap();
        let gates = if run == 0 { 2..5 } else { 6..8 };
        for days in gates {
            opens.send(ends[(days * ROWS_A_DAY) as usize + 5]).unwrap();
            await_sealed(&started, Day(FIRST_DAY + days as i32 - 1));
            ages.push(Folder::of(&program.disks));
        }
        if run == 0 {
            drop(opens);
            abandon(started);
            ages.push(Folder::of(&program.disks));
        } else {
            opens.send(usize::MAX).unwrap();
            seal(&started[0].running).unwrap();
            ages.push(Folder::of(&program.disks));
            finish(started).unwrap();
        }
    }
    ages.push(Folder::of(&program.disks));
    ages
}

/// Waits until a process has committed the days that are over.
fn await_sealed(started: &[Started], day: Day) {
    let since = Instant::now();
    let through = |one: &Started| one.running.store().unwrap().closed_through("v");
    while !started.iter().any(|one| through(one) >= Some(day)) {
        if since.elapsed() > HANGS {
            let stopped = started[0].running.wait_sealed(Duration::ZERO);
            panic!("{day} is not sealed: {stopped:?}, {:?}", started[0].running.progress());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}
