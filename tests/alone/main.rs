//! Tests that measure a process: its memory, and its share of a processor. Each runs in a process of its own, one after
//! the other.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod backpressure;
#[path = "../common/mod.rs"]
mod common;
mod idle;
mod memory;

use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// Runs a test of this program again, alone in a process with these variables set. Returns what it printed.
fn alone(test: &str, variables: &[(&str, &str)]) -> String {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.envs(variables.iter().copied());
    let output = command.args(["--exact", test, "--nocapture"]).output().unwrap();
    let said = [output.stdout, output.stderr].map(|said| String::from_utf8(said).unwrap());
    assert!(output.status.success(), "{test}, {variables:?}: {}{}", said[0], said[1]);
    assert!(said[0].contains("1 passed"), "{test} ran: {}", said[0]);
    let [printed, _] = said;
    printed
}
