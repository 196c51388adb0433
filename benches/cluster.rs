//! The cost of more processes: the same work in one process and in two, and the traffic over the sockets.
//!
//! Processes are real and use the loopback interface; this program starts itself again for each. The workload is that
//! of `benches/ingest.rs`, with one tick in flight at a time. `cargo bench --bench cluster` does both parts; `-- speed`
//! and `-- traffic` one.
//!
//! **Speed:** one process with two workers; the same, but messages between workers are encoded as for a socket
//! (timely's `ProcessBinary`); two processes with one worker. The first step shows the cost of encoding, the second one
//! the cost of sockets and their threads. Answers are compared with the hash map's.
//!
//! **Traffic:** bytes and messages that processes receive from each other, counted by timely's own log of its
//! sockets.

#![allow(missing_docs, clippy::unwrap_used)]

#[path = "common/graph/mod.rs"]
mod graph;
#[path = "common/graph/traffic.rs"]
mod traffic;
#[path = "common/workload/mod.rs"]
mod workload;

use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use dayfold::Archive;
use dayfold::key::KeyRange;
use dayfold::serve::Query;
use dayfold::time::DayRange;
use timely::communication::{Config, Hooks};
use timely::{WorkerConfig, execute::execute_from};

use graph::{Graph, compare, share};
use traffic::{Received, Wire, counting};
use workload::{EVENTS, Event};

const ROUNDS: usize = 3;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    match &arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["member", member @ ..] => Member::parse(member).run(),
        [] => {
            speed();
            traffic();
        }
        ["speed"] => speed(),
        ["traffic"] => traffic(),
        other => panic!("expected speed or traffic, not {other:?}"),
    }
}

fn speed() {
    println!("{} million events; events/s, median of {ROUNDS} rounds", EVENTS / 1_000_000);
    let kinds = [("1 process x 2 workers", 1, 2, ""), ("the same, encoded", 1, 2, "encoded")];
    let kinds = [kinds[0], kinds[1], ("2 processes x 1 worker", 2, 1, "")];
    for tick in [100_000, 10_000, 1_000] {
        let mut seconds = [const { Vec::new() }; 3];
        for _ in 0..ROUNDS {
            for ((_, processes, workers, kind), seconds) in kinds.iter().zip(&mut seconds) {
                let all = group(*processes, *workers, tick, EVENTS, kind);
                seconds.push(all[0][0]);
            }
        }
        let medians = seconds.map(|mut seconds| {
            seconds.sort_by(f64::total_cmp);
            seconds[seconds.len() / 2]
        });
        println!("\nticks of {tick:<24} {:>10} {:>8} {:>12}", "", "ratio", "us a tick");
        for ((name, ..), median) in kinds.iter().zip(medians) {
            let rate = EVENTS as f64 / median / 1e6;
            let each = median * 1e6 / (EVENTS / tick) as f64;
            println!("{name:<33} {rate:>8.1} M {:>8.2} {each:>12.1}", medians[0] / median);
        }
    }
}

fn traffic() {
    println!(
        "\nwhat processes receive from each other, over all of them; headers of 48 bytes included"
    );
    println!(
        "{:<12} {:>7} {:>9} {:>9} {:>9} {:>13} {:>11} {:>13} {:>11}",
        "processes",
        "tick of",
        "rows/ev.",
        "sent",
        "B a row",
        "data msg/tick",
        "data B/tick",
        "progress/tick",
        "its B/tick"
    );
    let groups = [(2, 1), (3, 1), (4, 1), (8, 1), (2, 2), (2, 4), (4, 2)];
    for (tick, events) in [(1_000, 200_000), (100_000, 2_000_000)] {
        for (processes, workers) in groups {
            let all = group(processes, workers, tick, events, "counted");
            let sum = |column: usize| all.iter().map(|numbers| numbers[column]).sum::<f64>();
            let [rows, sent, messages, bytes, progress, progress_bytes] =
                [1, 2, 3, 4, 5, 6].map(sum);
            let ticks = (events / tick) as f64;
            println!(
                "{:<12} {tick:>7} {:>9.2} {:>9.2} {:>9.1} {:>13.1} {:>11.0} {:>13.1} {:>11.0}",
                format!("{processes} x {workers}"),
                rows / events as f64,
                sent / rows,
                bytes / sent,
                messages / ticks,
                bytes / ticks,
                progress / ticks,
                progress_bytes / ticks,
            );
        }
    }
}

/// Runs a cluster of processes. Returns what each of them measured.
fn group(
    processes: usize,
    workers: usize,
    tick: usize,
    events: usize,
    kind: &str,
) -> Vec<[f64; 7]> {
    let sockets: Vec<TcpListener> =
        (0..processes).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let address = |socket: &TcpListener| socket.local_addr().unwrap().to_string();
    let addresses = sockets.iter().map(address).collect::<Vec<_>>().join(",");
    drop(sockets);
    let start = |process: usize| {
        let mut member = Command::new(std::env::current_exe().unwrap());
        let numbers = [process, workers, tick, events].map(|number| number.to_string());
        member.arg("member").args(numbers).args([&addresses, kind]);
        member.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap()
    };
    let members: Vec<_> = (0..processes).map(start).collect();
    let end = |member: std::process::Child| {
        let output = member.wait_with_output().unwrap();
        assert!(output.status.success(), "a process ended with {}", output.status);
        let words = String::from_utf8(output.stdout).unwrap();
        // Timely prints something about its connections before that.
        let numbers: Vec<f64> =
            words.lines().last().unwrap().split(' ').map(|word| word.parse().unwrap()).collect();
        numbers.try_into().unwrap()
    };
    members.into_iter().map(end).collect()
}

/// One process of a cluster.
struct Member {
    process: usize,
    workers: usize,
    tick: usize,
    events: usize,
    addresses: Vec<String>,
    kind: String,
}

impl Member {
    fn parse(arguments: &[&str]) -> Member {
        let number = |at: usize| arguments[at].parse().unwrap();
        Member {
            process: number(0),
            workers: number(1),
            tick: number(2),
            events: number(3),
            addresses: arguments[4].split(',').map(str::to_owned).collect(),
            kind: arguments[5].to_owned(),
        }
    }

    /// Prints seconds; rows received, and from other processes' workers; messages and bytes of data, and of
    /// progress, that came over the sockets.
    fn run(self) {
        let (workers, process, processes) = (self.workers, self.process, self.addresses.len());
        let config = match (processes, self.kind.as_str()) {
            (1, "encoded") => Config::ProcessBinary(workers),
            (1, _) => Config::Process(workers),
            _ => {
                let addresses = self.addresses;
                Config::Cluster {
                    threads: workers,
                    process,
                    addresses,
                    report: false,
                    zerocopy: false,
                }
            }
        };
        let is_counted = self.kind == "counted";
        let wire = Wire::default();
        let hooks = if is_counted { counting(&wire) } else { Hooks::default() };
        let (builders, guard) = config.try_build_with(hooks).unwrap();
        let events = workload::first_events(self.events);
        let ticks: Vec<Vec<Event>> = events.chunks(self.tick).map(<[_]>::to_vec).collect();
        let shares: Vec<_> = (0..workers)
            .map(|worker| share(&ticks, process * workers + worker, processes * workers))
            .map(|share| Mutex::new(Some(share)))
            .collect();
        let (archive, answer) = (Archive::in_memory(), Arc::new(Mutex::new(None)));
        let answered = Arc::clone(&answer);
        let guards = execute_from(builders, guard, WorkerConfig::default(), move |worker| {
            let received = is_counted.then(|| Received::count(worker, workers));
            let mine = worker.index() - process * workers;
            let ticks = shares[mine].lock().unwrap().take().unwrap();
            let mut graph = Graph::build(worker, &archive);
            // All processes begin together.
            graph.settle(worker);
            let start = Instant::now();
            ticks.into_iter().for_each(|tick| graph.enter(worker, tick, 1));
            let seconds = start.elapsed().as_secs_f64();
            if !is_counted {
                let everything = Query::rows(KeyRange::all(), DayRange::ALL);
                if let Some(reply) = graph.ask(worker, everything) {
                    *answered.lock().unwrap() = Some(reply);
                }
            }
            worker.log_register().unwrap().flush();
            (seconds, received.map(|received| received.take()))
        });
        let results: Vec<_> = guards.unwrap().join().into_iter().map(|r| r.unwrap()).collect();
        if process == 0 && !is_counted {
            let (reference, _) = workload::hash_map(&ticks);
            compare(answer.lock().unwrap().take().unwrap(), &reference);
        }
        let mut numbers = [0.0; 7];
        numbers[0] = results[0].0;
        let received: Vec<Received> = results.into_iter().filter_map(|(_, all)| all).collect();
        for received in &received {
            let [all, _, outside] = received.rows();
            numbers[1] += all as f64;
            numbers[2] += outside as f64;
        }
        for (channel, (messages, bytes)) in wire.lock().unwrap().iter() {
            let is_progress = received.iter().any(|received| received.is_progress(*channel));
            let at = if is_progress { 5 } else { 3 };
            numbers[at] += *messages as f64;
            numbers[at + 1] += *bytes as f64;
        }
        println!("{}", numbers.map(|number| number.to_string()).join(" "));
    }
}
