//! Runs the program as a process: to its end, or serving.

// Each test uses some of it.
#![allow(dead_code, clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

pub(crate) fn dayfold() -> Command {
    Command::new(env!("CARGO_BIN_EXE_dayfold"))
}

pub(crate) fn run(folder: &Path, arguments: &[&str]) -> Output {
    dayfold().args(arguments).current_dir(folder).output().unwrap()
}

/// Its output, if it succeeds.
#[track_caller]
pub(crate) fn good(folder: &Path, arguments: &[&str]) -> String {
    let output = run(folder, arguments);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// Its error message, if it ends with this code.
#[track_caller]
pub(crate) fn bad(folder: &Path, arguments: &[&str], code: i32) -> String {
    let output = run(folder, arguments);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {errors}");
    errors
}

/// A program that serves, and its address.
pub(crate) struct Serving(Child, pub(crate) String);

impl Serving {
    /// Starts it, and waits until it answers.
    pub(crate) fn start(folder: &Path) -> Serving {
        Serving::start_with(folder, &[])
    }

    /// The same, with more options.
    pub(crate) fn start_with(folder: &Path, options: &[&str]) -> Serving {
        let mut command = dayfold();
        command.args(["run", "f.toml"]).args(options).current_dir(folder).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = Vec::new();
        let address = loop {
            match lines.next() {
                Some(Ok(line)) if line.starts_with("http://") => break line,
                Some(Ok(line)) => said.push(line),
                _ => panic!("it has not said its address: {}", said.join("\n")),
            }
        };
        std::thread::spawn(move || lines.for_each(drop));
        let serving = Serving(child, address);
        let until = Instant::now() + Duration::from_secs(60);
        while ureq::get(format!("{}/readyz", serving.1)).call().is_err() {
            assert!(Instant::now() < until, "it is not ready");
            std::thread::sleep(Duration::from_millis(20));
        }
        serving
    }

    pub(crate) fn get(&self, path: &str) -> String {
        let mut answer = ureq::get(format!("{}{path}", self.1)).call().unwrap();
        answer.body_mut().read_to_string().unwrap()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    pub(crate) fn push(&self, kind: &str, body: &str) -> (u16, String) {
        let config = ureq::Agent::config_builder().http_status_as_error(false).build();
        let url = format!("{}/api/sources/visits/events", self.1);
        let post = ureq::Agent::new_with_config(config).post(url);
        let mut answer = post.header("content-type", kind).send(body).unwrap();
        (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap())
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until a condition holds, or panics after a minute.
#[track_caller]
pub(crate) fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < until, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
