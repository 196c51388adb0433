//! Real processes are killed with SIGKILL at any instant and started again until they are done: the answers, the
//! refused rows and the log equal those of an undisturbed run.
//!
//! The instants are spread over the time that an undisturbed run takes, from a seed that is printed. No
//! check depends on time. For more kills, and for the same instants again:
//!
//! ```sh
//! DAYFOLD_KILLS=1000 DAYFOLD_SEED=7 cargo test --release --test killed -- --nocapture
//! ```
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests, too")]

#[path = "../common/example.rs"]
mod example;
mod group;
mod job;
mod random;
mod rows;

use job::{Feeding, Job};

const FLIGHTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/flights-2013.csv.gz");
const NEW_YORK: &str = include_str!("../data/flights-2013.by-carrier.new-york.csv");

/// Columns of [`rows::file`].
const REPLAY: &str = "--time at --arrival seen --key k --value v --distinct tag";

/// The default file of refused rows.
const REJECTED: &str = "data/part-0/rejected/rows.csv";

fn replay(args: &str) -> Job {
    Job { args: format!("{REPLAY} {args}"), ..Job::new("replay", rows::file()) }
}

#[test]
fn flights_give_the_right_answers() {
    let args = format!("--flights {FLIGHTS}");
    let job = Job { args, processes: &[1, 1, 2], ..Job::new("flights", Vec::new()) };
    let whole = job.survives(4, REJECTED);
    assert!(whole.out == NEW_YORK.as_bytes(), "other answers than those of the oracle");
}

#[test]
fn a_file_on_any_number_of_workers() {
    let mut file = rows::file();
    // A last line without its end must never be kept, whenever a run is killed.
    assert_eq!(file.pop(), Some(b'\n'));
    let job = Job { args: format!("{REPLAY} --zone America/New_York"), ..Job::new("replay", file) };
    let whole = job.survives(5, REJECTED);
    assert_eq!(whole.refused.iter().filter(|&&byte| byte == b'\n').count(), rows::REFUSED_LINES);
}

#[test]
fn a_group_of_which_some_are_killed() {
    let job = Job { processes: &[2, 2, 2, 1, 3], ..replay("--refused refused.csv") };
    job.survives(5, "refused.csv");
}

#[test]
fn a_group_whose_processes_have_folders_of_their_own() {
    let job = Job { processes: &[2, 3], apart: true, ..replay("--refused refused.csv") };
    job.survives(4, "refused.csv");
}

#[test]
fn a_file_that_grows() {
    let job = Job { feeding: Feeding::Growing, processes: &[1, 1, 2], ..replay("--grace 0s") };
    job.survives(4, REJECTED);
}

#[test]
fn standard_input() {
    let job = Job { feeding: Feeding::Stdin, processes: &[1, 2], ..replay("") };
    job.survives(4, REJECTED);
}
