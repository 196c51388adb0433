//! Queries a server over HTTP as fast as it answers, or listens to its live answers, and prints the results.
//!
//!     cargo run --release --example http_load -- 127.0.0.1:8080 '/api/views/by-carrier/value?key=UA'
//!     cargo run --release --example http_load -- 127.0.0.1:8080 '/api/views/by-carrier/live' --listen 100
//!     cargo run --release --example http_load -- 127.0.0.1:8080 '/api/views/by-carrier/value?key=UA' \
//!         --unread 2000 --live '/api/views/by-route/live?of=top&by=flights&n=1000'

#[path = "http_load/client.rs"]
mod client;

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use client::{Listeners, ask};

#[derive(Parser)]
#[command(about = "Asks a server over HTTP as fast as it answers")]
struct Options {
    /// The server.
    address: SocketAddr,
    /// The path to query; a `{}` in it becomes the number of the query.
    path: String,
    /// Connections that query, each as soon as it has its last answer.
    #[arg(long, default_value_t = 16)]
    connections: usize,
    /// Listens on this many connections instead of querying.
    #[arg(long, value_name = "COUNT")]
    listen: Option<usize>,
    /// Also subscribes to `--live` on this many connections that read nothing.
    #[arg(long, value_name = "COUNT", default_value_t = 0, requires = "live")]
    unread: usize,
    /// The path of the subscriptions that are not read.
    #[arg(long, value_name = "PATH")]
    live: Option<String>,
    /// How long.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> io::Result<()> {
    let (time, path) = (Duration::from_secs(options.seconds), options.path.clone());
    let path = move |number: u64| path.replace("{}", &number.to_string());
    if let Some(count) = options.listen {
        let listeners = Listeners::subscribe(options.address, count, |n| path(n as u64))?;
        let before = listeners.heard();
        std::thread::sleep(time);
        println!("{}", heard(&before, &listeners.heard(), time));
        return Ok(());
    }
    let live = options.live.as_deref().unwrap_or_default();
    let _unread: Vec<TcpStream> =
        (0..options.unread).map(|_| subscribe(options.address, live)).collect::<Result<_, _>>()?;
    let asked = ask(options.address, options.connections, time, path)?;
    let us = |quantile| asked.latency.value_at_quantile(quantile) as f64 / 1_000.0;
    println!(
        "{:.0} answers/s, {} refused; p50 {:.0} µs, p99 {:.0} µs, p99.9 {:.0} µs, max {:.0} µs",
        asked.per_second(),
        asked.refused,
        us(0.5),
        us(0.99),
        us(0.999),
        us(1.0),
    );
    Ok(())
}

/// Subscribes, and reads only whether that was granted.
fn subscribe(address: SocketAddr, path: &str) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n").as_bytes())?;
    let mut status = [0; 12];
    stream.read_exact(&mut status)?;
    match &status {
        b"HTTP/1.1 200" => Ok(stream),
        _ => Err(io::Error::other(format!("refused: {}", String::from_utf8_lossy(&status)))),
    }
}

/// How many answers each listener has got; the least number tells whether any was left out.
fn heard(before: &[u64], after: &[u64], time: Duration) -> String {
    let mut rates: Vec<f64> = before
        .iter()
        .zip(after)
        .map(|(before, after)| (after - before) as f64 / time.as_secs_f64())
        .collect();
    rates.sort_by(f64::total_cmp);
    let at = |part: usize| rates.get(rates.len().saturating_sub(1) * part / 2).copied();
    let [least, median, most] = [0, 1, 2].map(|part| at(part).unwrap_or(0.0));
    format!(
        "{} listeners; answers/s for each: least {least:.1}, median {median:.1}, most {most:.1}",
        rates.len()
    )
}
