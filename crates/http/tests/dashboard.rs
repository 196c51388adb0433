//! Tests the dashboard as a program: its values against right answers, with several workers and processes, and after it
//! was killed.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[path = "../../../tests/common/example.rs"]
mod example;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

/// How many records are played back, in three weeks; all flights of `DAYS` are among them.
const RECORDS: u64 = 18_000;
const FLIGHTS: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/data/flights-2013.csv.gz");
const DAYS: &str = "from=2013-01-01&to=2013-01-15";

/// A running dashboard. Dropping it kills it.
struct Dashboard {
    process: Child,
    address: String,
}

impl Dashboard {
    fn start(folder: &Path, options: &[&str]) -> Dashboard {
        Dashboard::of(&mut command(folder, options))
    }

    fn of(command: &mut Command) -> Dashboard {
        let mut process = command.args(["--port", "0"]).spawn().unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap());
        let mut line = String::new();
        while !line.starts_with("http://") {
            line.clear();
            assert!(lines.read_line(&mut line).unwrap() > 0, "the dashboard says where it is");
        }
        // Its other output is not needed, but must be read so that it does not block.
        std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
        Dashboard { process, address: line.trim().to_owned() }
    }

    fn get(&self, path: &str) -> (u16, Value) {
        let agent: ureq::Agent =
            ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut response = agent.get(format!("{}{path}", self.address)).call().unwrap();
        let text = response.body_mut().read_to_string().unwrap();
        (response.status().as_u16(), serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    /// Waits until flights have been played back, counted by the visible flights of all processes.
    fn wait_for(&self, flights: u64) -> u64 {
        loop {
            let (status, body) = self.get("/api/views/by-carrier/total?to=2013-12-31");
            let seen = body["value"]["flights"].as_u64().unwrap_or(0);
            if status == 200 && seen >= flights {
                return seen;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Compares every carrier's days with the right answers.
    fn check(&self) {
        assert_eq!(self.wait_for(RECORDS), RECORDS);
        let right = include_str!("../../../tests/data/flights-2013.by-carrier.new-york.csv");
        for carrier in ["9E", "AA", "B6", "HA", "UA", "YV"] {
            let (_, body) = self.get(&format!("/api/views/by-carrier/series?key={carrier}&{DAYS}"));
            let found: Vec<String> = body["days"].as_array().unwrap().iter().map(row).collect();
            let right: Vec<String> = right
                .lines()
                .map(|line| line.split(',').collect::<Vec<_>>())
                .filter(|row| row[1] == carrier && row[0] <= "2013-01-15")
                .map(|row| [row[0], row[2], row[6], row[7], row[8], row[10]].join(","))
                .collect();
            assert!(!right.is_empty());
            assert_eq!(found, right, "{carrier}");
        }
        for view in ["by-route", "by-origin"] {
            let (_, body) = self.get(&format!("/api/views/{view}/total?to=2013-12-31"));
            assert_eq!(body["value"]["flights"], RECORDS, "{view}");
        }
    }

    fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Dashboard {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Day, flights, greatest delay, median, 99th percentile, miles, as in the right answers.
fn row(day: &Value) -> String {
    let value = &day["value"];
    let number = |name: &str| match &value[name] {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        number => number.to_string(),
    };
    let names = ["flights", "worst_delay", "median_delay", "p99_delay", "miles"];
    let numbers = names.map(number).join(",");
    format!("{},{numbers}", day["day"].as_str().unwrap())
}

fn command(folder: &Path, options: &[&str]) -> Command {
    let flights = folder.join("flights.csv");
    if !flights.exists() {
        let packed = std::fs::File::open(FLIGHTS).unwrap();
        let lines = BufReader::new(flate2::read::MultiGzDecoder::new(packed)).lines();
        let mut file = std::fs::File::create(&flights).unwrap();
        for line in lines.take(RECORDS as usize + 1) {
            writeln!(file, "{}", line.unwrap()).unwrap();
        }
    }
    let mut command = Command::new(example::program("dashboard"));
    command.arg("--flights").arg(flights).arg("--data").arg(folder.join("data")).args(options);
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

#[test]
fn the_values_are_right_with_two_workers() {
    let folder = TempDir::new().unwrap();
    Dashboard::start(folder.path(), &["--pace", "max", "-w", "2"]).check();
}

#[test]
fn the_values_are_right_with_two_processes() {
    let folder = TempDir::new().unwrap();
    let free: Vec<_> = (0..2).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let hosts: Vec<String> =
        free.iter().map(|port| port.local_addr().unwrap().to_string()).collect();
    drop(free);
    let file = folder.path().join("hosts");
    std::fs::write(&file, hosts.join("\n")).unwrap();
    let mut commands = ["0", "1"].map(|process| {
        let mut command = command(folder.path(), &["--pace", "max", "-n", "2", "-p", process]);
        command.arg("-h").arg(&file);
        command
    });
    let [first, second] = &mut commands;
    let second = std::thread::scope(|scope| {
        let second = scope.spawn(|| Dashboard::of(second));
        let first = Dashboard::of(first);
        (first, second.join().unwrap())
    });
    second.0.check();
    // Any process answers for all.
    second.1.check();
}

/// Killed in the middle, it continues where it stopped; acknowledged flights are there exactly once.
#[test]
fn killed_it_goes_on_and_keeps_what_was_acknowledged() {
    let folder = TempDir::new().unwrap();
    let killed = Dashboard::start(folder.path(), &["--pace", "20"]);
    killed.wait_for(1);
    let flight = json!({
        "event_time": "2026-01-01T08:00:00Z", "carrier": "XX", "origin": "EWR", "dest": "SFO",
        "distance": 10,
    });
    let post = || {
        let request = ureq::post(format!("{}/api/events", killed.address));
        let mut response =
            request.header("content-type", "application/json").send(flight.to_string()).unwrap();
        let mut text = String::new();
        response.body_mut().as_reader().read_to_string(&mut text).unwrap();
        serde_json::from_str::<Value>(&text).unwrap()
    };
    assert_eq!(post(), json!({ "accepted": 1, "durable": true, "repeated": false }));
    killed.wait_for(RECORDS / 4);
    killed.kill();
    let again = Dashboard::start(folder.path(), &["--pace", "max"]);
    again.check();
    let (_, body) = again.get("/api/views/by-carrier/value?key=XX");
    assert_eq!(body["value"]["flights"], 1, "{body}");
}
