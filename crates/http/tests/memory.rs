//! Sending all rows of a large view does not grow the memory of a server, whether clients read them or not.
//!
//! The server is a separate process, which is this test started again, so that nothing else is measured.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use dayfold::aggregate::{Count, Sum};
use dayfold::engine::{LiveOptions, Measures};
use dayfold::time::EventTime;
use dayfold::view::View;
use dayfold::{Cluster, Engine};
use dayfold_http::Server;

/// Says that this process is the server.
const SERVER: &str = "DAYFOLD_HTTP_MEMORY_SERVER";

const DAYS: u64 = 50;
const KEYS: u64 = if cfg!(debug_assertions) { 20_000 } else { 40_000 };
const ROWS: u64 = DAYS * KEYS;

/// The memory that all clients together may cost. A whole answer would have 100 bytes per row for each client.
const MORE: u64 = 48 << 20;

/// 1 May 2024, 00:00 UTC.
const MAY: EventTime = 1_714_521_600_000;
const DAY: EventTime = 86_400_000;

/// The event time of a row.
fn time(row: u64) -> EventTime {
    MAY + (row / KEYS) as EventTime * DAY
}

fn serve() {
    let mut engine = Engine::<u64>::new().clock(|| time(ROWS - 1) + 1);
    let view = View::new("by-key").unwrap().key_columns(["key"]).unwrap();
    let view = view.measure_names([["events"], ["sum"]]).unwrap();
    engine.view(view, Measures::none(), |&row: &u64| {
        Some((time(row), row % KEYS, (Count::one(), Sum::of(row as i64))))
    });
    let pusher = engine.live(LiveOptions::new(|&row: &u64| time(row)));
    let running = engine.start(Cluster::workers(1)).unwrap();
    let mut last = None;
    for first in (0..ROWS).step_by(10_000) {
        last = Some(pusher.push((first..(first + 10_000).min(ROWS)).collect()).unwrap());
    }
    last.unwrap().receipt.wait_visible(Duration::from_secs(300)).unwrap();
    let serving = Server::new("memory").views(&running.views()).serve("127.0.0.1:0").unwrap();
    println!("http://{}", serving.address());
    // Until the test ends.
    let _ = std::io::stdin().read(&mut [0]);
    serving.stop();
    drop(pusher);
    running.finish().unwrap();
}

/// Resident memory of a process.
fn resident(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() << 10
}

fn ask(address: &str, path: &str) -> BufReader<TcpStream> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(300))).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    BufReader::new(stream)
}

#[test]
fn all_rows_of_a_large_view_are_sent_without_being_held() {
    if std::env::var_os(SERVER).is_some() {
        return serve();
    }
    let mut server = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "all_rows_of_a_large_view_are_sent_without_being_held", "--nocapture"])
        .env(SERVER, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
    let line = lines.find(|line| line.as_ref().unwrap().contains("http://")).unwrap().unwrap();
    let address = line.split_once("http://").unwrap().1.to_owned();
    let mut page = String::new();
    ask(&address, "/api/views/by-key/rows?limit=1000").read_to_string(&mut page).unwrap();
    assert!(page.contains("\"next\":\""), "{page}");

    let before = resident(server.id());
    // These read nothing beyond the system's buffers.
    let _untaken: Vec<_> =
        (0..4).map(|_| ask(&address, "/api/views/by-key/rows?format=ndjson")).collect();
    let (mut rows, mut most) = (0, before);
    let mut answer = ask(&address, "/api/views/by-key/rows?format=csv&columns=key,events,sum");
    let mut line = String::new();
    while answer.read_line(&mut line).unwrap() > 0 {
        // Lines of chunks and of the head have no commas.
        if line.trim_end() == format!("{},1,{rows}", rows % KEYS) {
            rows += 1;
        }
        if rows % 10_000 == 0 {
            most = most.max(resident(server.id()));
        }
        line.clear();
    }
    assert_eq!(rows, ROWS, "each row comes once, and in order");
    drop(server.stdin.take());
    let more = (most - before) >> 20;
    println!("{ROWS} rows sent: {} MiB before, at most {more} MiB more", before >> 20);
    assert!(most - before < MORE, "{more} MiB more");
    server.kill().unwrap();
    server.wait().unwrap();
}
