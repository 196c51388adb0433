//! A client that queries over connections that stay open, and one that listens. It knows HTTP/1.1 but nothing about
//! Dayfold, so it measures what any program would see.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

/// A server that is silent for this long has failed.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// Listeners need little stack, and there are many of them.
const LISTENER_STACK: usize = 128 << 10;

/// What came of asking.
pub(crate) struct Asked {
    /// From the first byte of a question to the last byte of its answer, in nanoseconds.
    pub(crate) latency: Histogram<u64>,
    /// Answers with another status than 200.
    pub(crate) refused: u64,
    /// The total time.
    pub(crate) elapsed: Duration,
}

impl Asked {
    /// Answers with status 200, per second.
    pub(crate) fn per_second(&self) -> f64 {
        (self.latency.len() - self.refused) as f64 / self.elapsed.as_secs_f64()
    }
}

/// Queries over this many connections for this long, each as soon as it has its last answer.
///
/// # Errors
/// Errors of a connection, and an answer that is not HTTP.
pub(crate) fn ask(
    address: SocketAddr,
    connections: usize,
    time: Duration,
    path: impl Fn(u64) -> String + Send + Sync + 'static,
) -> io::Result<Asked> {
    let (path, number) = (Arc::new(path), Arc::new(AtomicU64::new(0)));
    let began = Instant::now();
    let ask_all = |_| {
        let (path, number) = (Arc::clone(&path), Arc::clone(&number));
        std::thread::spawn(move || ask_one(address, began + time, &*path, &number))
    };
    let threads: Vec<_> = (0..connections).map(ask_all).collect();
    let mut asked = Asked { latency: empty()?, refused: 0, elapsed: Duration::ZERO };
    for thread in threads {
        let (latency, refused) = thread.join().map_err(|_| io::Error::other("a panic"))??;
        asked.latency.add(latency).map_err(io::Error::other)?;
        asked.refused += refused;
    }
    asked.elapsed = began.elapsed();
    Ok(asked)
}

fn ask_one(
    address: SocketAddr,
    until: Instant,
    path: &dyn Fn(u64) -> String,
    number: &AtomicU64,
) -> io::Result<(Histogram<u64>, u64)> {
    let mut connection = Connection::open(address)?;
    let (mut latency, mut refused) = (empty()?, 0);
    while Instant::now() < until {
        let path = path(number.fetch_add(1, Ordering::Relaxed));
        let before = Instant::now();
        let status = connection.get(&path)?;
        latency.saturating_record(before.elapsed().as_nanos() as u64);
        refused += u64::from(status != 200);
    }
    Ok((latency, refused))
}

/// Up to a minute, with two digits.
fn empty() -> io::Result<Histogram<u64>> {
    Histogram::new_with_max(60_000_000_000, 2).map_err(io::Error::other)
}

struct Connection {
    stream: BufReader<TcpStream>,
    host: SocketAddr,
    line: String,
    body: Vec<u8>,
}

impl Connection {
    fn open(address: SocketAddr) -> io::Result<Connection> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(SILENCE_MAX))?;
        let (line, body) = (String::new(), Vec::new());
        Ok(Connection { stream: BufReader::new(stream), host: address, line, body })
    }

    /// Asks, and reads the whole answer; returns its status.
    fn get(&mut self, path: &str) -> io::Result<u16> {
        self.send(path)?;
        let (status, length) = self.head()?;
        let length = length.ok_or_else(|| bad("an answer without a length"))?;
        self.body.resize(length, 0);
        self.stream.read_exact(&mut self.body)?;
        Ok(status)
    }

    fn send(&mut self, path: &str) -> io::Result<()> {
        let request = format!("GET {path} HTTP/1.1\r\nhost: {}\r\n\r\n", self.host);
        self.stream.get_mut().write_all(request.as_bytes())
    }

    /// The status, and the length of the body if it is given.
    fn head(&mut self) -> io::Result<(u16, Option<usize>)> {
        self.read_line()?;
        let status = self.line.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| bad("an answer without a status"))?;
        let mut length = None;
        loop {
            self.read_line()?;
            let Some((name, value)) = self.line.split_once(':') else {
                return Ok((status, length));
            };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().ok();
            }
        }
    }

    /// Reads a line; an incomplete line is an error.
    fn read_line(&mut self) -> io::Result<()> {
        self.line.clear();
        match self.stream.read_line(&mut self.line)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

fn bad(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

/// Listeners of live answers, each on its own connection.
pub(crate) struct Listeners {
    threads: Vec<JoinHandle<()>>,
    streams: Vec<TcpStream>,
    answers: Vec<Arc<AtomicU64>>,
}

impl Listeners {
    /// Subscribes this many; returns when the server has accepted all of them.
    ///
    /// # Errors
    /// Errors of a connection, and the status of a refused one.
    pub(crate) fn subscribe(
        address: SocketAddr,
        count: usize,
        path: impl Fn(usize) -> String,
    ) -> io::Result<Listeners> {
        let mut all = Listeners { threads: Vec::new(), streams: Vec::new(), answers: Vec::new() };
        for number in 0..count {
            let mut connection = Connection::open(address)?;
            connection.send(&path(number))?;
            let (status, _) = connection.head()?;
            if status != 200 {
                return Err(bad(&format!("listener {number} is refused with status {status}")));
            }
            let answers = Arc::new(AtomicU64::new(0));
            all.answers.push(Arc::clone(&answers));
            all.streams.push(connection.stream.get_ref().try_clone()?);
            let thread = std::thread::Builder::new().stack_size(LISTENER_STACK);
            all.threads.push(thread.spawn(move || listen(connection, &answers))?);
        }
        Ok(all)
    }

    /// How many answers each has got.
    pub(crate) fn heard(&self) -> Vec<u64> {
        self.answers.iter().map(|answers| answers.load(Ordering::Relaxed)).collect()
    }
}

impl Drop for Listeners {
    fn drop(&mut self) {
        // Listeners notice the end at once. The server may already have closed the connection.
        self.streams.iter().for_each(|stream| drop(stream.shutdown(Shutdown::Both)));
        // A panic has been printed.
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}

/// Counts answers until the connection ends.
fn listen(mut connection: Connection, answers: &AtomicU64) {
    while connection.read_line().is_ok() {
        if connection.line.trim_end() == "event: answer" {
            answers.fetch_add(1, Ordering::Relaxed);
        }
    }
}
