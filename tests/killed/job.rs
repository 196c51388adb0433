//! Work that is killed until it is done, and its expected result.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use dayfold::log::{self, SourceRange};
use dayfold::store::{self, Disk, RunState};
use tempfile::TempDir;

use super::group::{Ended, Group, data};
use super::random::{Random, Spread};
use super::rows::end_of_row;

/// The default number of kills of all jobs together.
const KILLS: usize = 22;

/// How the rows come.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Feeding {
    File,
    /// The file has more rows at each start.
    Growing,
    Stdin,
}

/// An example with its arguments.
pub(crate) struct Job {
    pub(crate) example: &'static str,
    pub(crate) args: String,
    /// The file that the example reads; empty if its arguments name another one.
    pub(crate) rows: Vec<u8>,
    pub(crate) feeding: Feeding,
    /// The numbers of processes to choose from.
    pub(crate) processes: &'static [usize],
    /// Whether each process has its own data folder. Then the numbers of processes and workers do not change.
    pub(crate) apart: bool,
}

/// What is there in the end.
pub(crate) struct Whole {
    pub(crate) out: Vec<u8>,
    pub(crate) refused: Vec<u8>,
    stdout: Vec<u8>,
    kept: Kept,
}

/// What the folder has.
#[derive(Debug, PartialEq, Eq)]
struct Kept {
    events: u64,
    refused: u64,
    ranges: Vec<SourceRange>,
}

impl Job {
    pub(crate) fn new(example: &'static str, rows: Vec<u8>) -> Job {
        Job {
            example,
            args: String::new(),
            rows,
            feeding: Feeding::File,
            processes: &[1],
            apart: false,
        }
    }

    /// Runs it undisturbed; then repeatedly, with kills. `share` is its part of [`KILLS`], and `refused` the file of
    /// refused rows.
    pub(crate) fn survives(&self, share: usize, refused: &str) -> Whole {
        let seed =
            number("DAYFOLD_SEED").unwrap_or_else(|| RandomState::new().build_hasher().finish());
        let kills = number("DAYFOLD_KILLS").unwrap_or(KILLS as u64) as usize;
        let kills = (kills * share).div_ceil(KILLS);
        let mut random = Random::new(seed);
        let mut spread = Spread::new(&mut random);

        let folder = tempfile::tempdir().unwrap();
        let started = Instant::now();
        self.start(folder.path(), 1, 1, self.rows.len()).finish();
        let took = started.elapsed();
        let whole = Whole::read(folder.path(), refused);
        println!("{} {}: {took:?} undisturbed; DAYFOLD_SEED={seed}", self.example, self.args);

        let (mut killed, mut lives) = (0, 0);
        while killed < kills {
            let life = Life::new(self, &whole, refused, seed);
            killed += life.live(kills - killed, took, &mut random, &mut spread);
            lives += 1;
        }
        println!("{} {}: {killed} kills, done {lives} times", self.example, self.args);
        whole
    }

    /// Starts a cluster, with the rows up to `end`.
    fn start(&self, folder: &Path, processes: usize, workers: usize, end: usize) -> Group {
        let rows = &self.rows[..end];
        let is_stdin = self.feeding == Feeding::Stdin;
        let mut args = Vec::new();
        if is_stdin {
            args.push("-".to_owned());
        } else if !self.rows.is_empty() {
            args.push("in.csv".to_owned());
            std::fs::write(folder.join("in.csv"), rows).unwrap();
        }
        args.extend(self.args.split_whitespace().map(str::to_owned));
        args.extend(["--data", "data", "--out", "out.csv", "-w"].map(str::to_owned));
        args.push(workers.to_string());
        let stdin = is_stdin.then(|| rows.to_owned());
        Group::start(folder, self.example, &args, processes, self.apart, stdin)
    }
}

/// A data folder from its beginning until everything is done.
struct Life<'a> {
    job: &'a Job,
    whole: &'a Whole,
    refused: &'a str,
    seed: u64,
    /// Kept if the test fails.
    folder: Option<TempDir>,
    /// What has happened.
    story: Vec<String>,
}

impl<'a> Life<'a> {
    fn new(job: &'a Job, whole: &'a Whole, refused: &'a str, seed: u64) -> Life<'a> {
        let folder = Some(tempfile::tempdir().unwrap());
        Life { job, whole, refused, seed, folder, story: Vec::new() }
    }

    /// Starts it until it is done, with at most this many kills. Returns the number of kills.
    fn live(
        mut self,
        kills: usize,
        took: Duration,
        random: &mut Random,
        spread: &mut Spread,
    ) -> usize {
        let rows = &self.job.rows;
        let (mut killed, mut end) = (0, 0);
        let counts = |random: &mut Random| (random.of(self.job.processes), 1 + random.below(3));
        let first = counts(random);
        loop {
            let (processes, workers) = if self.job.apart { first } else { counts(random) };
            end = match self.job.feeding {
                Feeding::Growing if killed < kills => {
                    end_of_row(rows, end + random.below(rows.len() - end)).max(end)
                }
                _ => rows.len(),
            };
            self.story.push(format!("{processes} processes of {workers} workers, {end} bytes"));
            let group = self.job.start(self.path(), processes, workers, end);
            let ended = match killed < kills {
                true => {
                    let instant = took.mul_f64(spread.next());
                    self.story.push(format!("killed after {instant:?}"));
                    group.kill(instant, random)
                }
                false => {
                    group.finish();
                    Ended::Done
                }
            };
            match ended {
                Ended::Killed => killed += 1,
                Ended::Done if end == rows.len() => {
                    self.gather(processes);
                    self.check();
                    return killed;
                }
                // There is more to come.
                Ended::Done => {}
            }
        }
    }

    fn path(&self) -> &Path {
        self.folder.as_ref().unwrap().path()
    }

    /// Merges the parts that the processes have written.
    fn gather(&self, processes: usize) {
        for process in (1..processes).filter(|_| self.job.apart) {
            let part = format!("part-{process}");
            let from = self.path().join(data(process)).join(&part);
            std::fs::rename(from, self.path().join("data").join(part)).unwrap();
        }
    }

    fn check(&self) {
        let (found, whole) = (Whole::read(self.path(), self.refused), self.whole);
        assert!(found.out == whole.out, "another output");
        assert!(found.stdout == whole.stdout, "another standard output");
        assert!(found.refused == whole.refused, "other refused rows");
        assert_eq!(found.kept, whole.kept, "another log");
    }
}

impl Drop for Life<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let kept: PathBuf = self.folder.take().unwrap().keep();
            let (seed, story) = (self.seed, self.story.join("\n  "));
            println!("DAYFOLD_SEED={seed}, see {}:\n  {story}", kept.display());
        }
    }
}

impl Whole {
    fn read(folder: &Path, refused: &str) -> Whole {
        let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
        let (out, stdout, refused) = (read("out.csv"), read("stdout-0"), read(refused));
        Whole { out, refused, stdout, kept: Kept::read(&folder.join("data")) }
    }
}

impl Kept {
    fn read(data: &Path) -> Kept {
        let report = store::inspect(&Disk, data).unwrap();
        assert_eq!(report.state, RunState::Complete);
        let parts = report.parts.into_iter().map(|part| (part.process as u32, part.path));
        let state = log::scan(&Disk, &parts.collect::<Vec<_>>(), u64::MAX).unwrap();
        log::verify(&Disk, &state).unwrap();
        Kept { events: state.events, refused: state.refused, ranges: state.ranges }
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{name}={value}")))
}
