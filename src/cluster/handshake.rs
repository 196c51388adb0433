//! The handshake: a full mesh of sockets between processes that agree.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use bincode::Options;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::{Cluster, ClusterError};
use crate::time::EventTime;

/// What a connection is for. Each kind is connected after the one before it; a peer that is still at
/// another one is a stranger, and tries again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The traffic of the dataflow.
    Dataflow,
    /// To notice that a peer is lost.
    Watch,
}

impl Purpose {
    const fn magic(self) -> u64 {
        u64::from_be_bytes(match self {
            Purpose::Dataflow => *b"dayfold\x01",
            Purpose::Watch => *b"dayfold\x02",
        })
    }
}

/// A greeting has this many bytes; a stranger who sends others is hung up on.
const HELLO_BYTES: usize = 56;

/// How long a connected peer may take to send its greeting.
const GREETING_LIMIT: Duration = Duration::from_secs(2);

const RETRY_EVERY: Duration = Duration::from_millis(50);

/// Who has called.
enum Greeting {
    /// A peer, for the same purpose.
    Peer(Hello),
    /// A peer that is further on, or behind.
    Early,
    Stranger,
}

/// What a process says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Hello {
    magic: u64,
    process: u64,
    processes: u64,
    threads: u64,
    /// A hash of the program's version and views.
    definition: u64,
    floor: EventTime,
    /// Of all the above: other protocols' bytes do not pass for a greeting.
    checksum: u64,
}

impl Hello {
    pub(super) fn new(
        cluster: &Cluster,
        purpose: Purpose,
        definition: &str,
        floor: EventTime,
    ) -> Hello {
        let definition = format!("{}\n{definition}", env!("CARGO_PKG_VERSION"));
        let hello = Hello {
            magic: purpose.magic(),
            process: cluster.process as u64,
            processes: cluster.processes() as u64,
            threads: cluster.threads as u64,
            definition: xxh3_64(definition.as_bytes()),
            floor,
            checksum: 0,
        };
        Hello { checksum: hello.sum(), ..hello }
    }

    fn sum(&self) -> u64 {
        let fields = [self.process, self.processes, self.threads, self.definition];
        let bytes: Vec<u8> = fields.iter().flat_map(|field| field.to_le_bytes()).collect();
        xxh3_64(&bytes) ^ self.magic ^ self.floor as u64
    }

    fn send(&self, mut to: &TcpStream) -> io::Result<()> {
        let bytes = codec().serialize(self).map_err(io::Error::other)?;
        debug_assert_eq!(bytes.len(), HELLO_BYTES);
        to.write_all(&bytes)
    }

    /// Reads a greeting.
    fn receive(&self, mut from: &TcpStream) -> io::Result<Greeting> {
        let mut bytes = [0; HELLO_BYTES];
        from.read_exact(&mut bytes)?;
        let hello: Hello = codec().deserialize(&bytes).map_err(io::Error::other)?;
        let known = [Purpose::Dataflow, Purpose::Watch].map(Purpose::magic);
        Ok(match hello.checksum == hello.sum() && known.contains(&hello.magic) {
            true if hello.magic == self.magic => Greeting::Peer(hello),
            true => Greeting::Early,
            false => Greeting::Stranger,
        })
    }

    /// Checks a peer that is expected to be process `peer`.
    fn check(&self, theirs: &Hello, peer: usize) -> Result<(), ClusterError> {
        let pairs = [
            ("its index", theirs.process, peer as u64),
            ("the number of processes (-n)", theirs.processes, self.processes),
            ("the number of workers (-w)", theirs.threads, self.threads),
            ("the hash of version, views and zones", theirs.definition, self.definition),
        ];
        for (what, theirs, ours) in pairs {
            if theirs != ours {
                let (theirs, ours) = (theirs.to_string(), ours.to_string());
                return Err(ClusterError::Mismatch { peer, what, theirs, ours });
            }
        }
        Ok(())
    }
}

fn codec() -> impl Options {
    bincode::DefaultOptions::new().with_fixint_encoding()
}

/// Connects with every lower process and awaits every higher one; returns a socket for each, and the
/// greatest floor.
pub(super) fn connect(
    addresses: &[String],
    hello: &Hello,
    patience: Duration,
) -> Result<(Vec<Option<TcpStream>>, EventTime), ClusterError> {
    let mine = hello.process as usize;
    let deadline = Instant::now() + patience;
    let address = &addresses[mine];
    let listen = |source| ClusterError::Listen { address: address.clone(), source };
    let listener = TcpListener::bind(address.as_str()).map_err(listen)?;
    listener.set_nonblocking(true).map_err(listen)?;

    let mut sockets: Vec<Option<TcpStream>> = addresses.iter().map(|_| None).collect();
    let mut floor = hello.floor;
    let missing = |peer: usize| ClusterError::Missing {
        peer,
        address: addresses[peer].clone(),
        waited_s: patience.as_secs(),
    };
    for peer in 0..mine {
        let (socket, theirs) =
            call(&addresses[peer], hello, deadline).ok_or_else(|| missing(peer))?;
        hello.check(&theirs, peer)?;
        floor = floor.max(theirs.floor);
        sockets[peer] = Some(socket);
    }
    while let Some(peer) = (mine + 1..addresses.len()).find(|peer| sockets[*peer].is_none()) {
        let (socket, theirs) = answer(&listener, hello, deadline).ok_or_else(|| missing(peer))?;
        let from = theirs.process as usize;
        if theirs.processes == hello.processes && sockets.get(from).is_none_or(Option::is_some) {
            let (theirs, ours) = (format!("{from}"), "taken by another process".to_owned());
            return Err(ClusterError::Mismatch { peer: from, what: "its index", theirs, ours });
        }
        hello.check(&theirs, from)?;
        floor = floor.max(theirs.floor);
        sockets[from] = Some(socket);
    }
    // Every process knows every other one's floor, so all of them take the same greatest one.
    Ok((sockets, floor))
}

/// Calls a lower process until it answers with a greeting.
fn call(address: &str, hello: &Hello, deadline: Instant) -> Option<(TcpStream, Hello)> {
    while Instant::now() < deadline {
        // A lower process answers when it has found those below it: wait as long as it takes.
        let left = || deadline.saturating_duration_since(Instant::now()).max(RETRY_EVERY);
        let resolved = address.to_socket_addrs().ok().and_then(|mut found| found.next());
        if let Some(Ok(socket)) = resolved.map(|to| TcpStream::connect_timeout(&to, left()))
            && let Ok(Greeting::Peer(theirs)) = greet(&socket, hello, left(), true)
        {
            return Some((socket, theirs));
        }
        std::thread::sleep(RETRY_EVERY);
    }
    None
}

/// Answers callers until one sends a greeting; strangers are hung up on.
fn answer(listener: &TcpListener, hello: &Hello, deadline: Instant) -> Option<(TcpStream, Hello)> {
    while Instant::now() < deadline {
        match listener.accept() {
            Ok((socket, from)) => match greet(&socket, hello, GREETING_LIMIT, false) {
                Ok(Greeting::Peer(theirs)) => return Some((socket, theirs)),
                // It will try again.
                Ok(Greeting::Early) => {}
                Ok(Greeting::Stranger) | Err(_) => {
                    tracing::warn!(%from, "a connection that is not from this cluster was closed")
                }
            },
            Err(_) => std::thread::sleep(RETRY_EVERY),
        }
    }
    None
}

fn greet(socket: &TcpStream, hello: &Hello, limit: Duration, first: bool) -> io::Result<Greeting> {
    socket.set_nonblocking(false)?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(limit.max(RETRY_EVERY)))?;
    if first {
        hello.send(socket)?;
    }
    let theirs = hello.receive(socket)?;
    if !first && matches!(theirs, Greeting::Peer(_)) {
        hello.send(socket)?;
    }
    socket.set_read_timeout(None)?;
    Ok(theirs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn free_addresses(count: usize) -> Vec<String> {
        let listeners: Vec<TcpListener> =
            (0..count).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        listeners.iter().map(|listener| listener.local_addr().unwrap().to_string()).collect()
    }

    fn hello(process: usize, addresses: &[String], definition: &str, floor: EventTime) -> Hello {
        let cluster = Cluster::hosts(2, process, addresses.to_vec()).unwrap();
        Hello::new(&cluster, Purpose::Dataflow, definition, floor)
    }

    #[test]
    fn three_processes_agree_on_the_greatest_floor() {
        let addresses = free_addresses(3);
        let join = |process: usize| {
            let addresses = addresses.clone();
            std::thread::spawn(move || {
                let hello = hello(process, &addresses, "views", 10 * process as i64);
                connect(&addresses, &hello, Duration::from_secs(20))
            })
        };
        let started: Vec<_> = [2, 0, 1].map(join).into_iter().collect();
        for thread in started {
            let (sockets, floor) = thread.join().unwrap().unwrap();
            assert_eq!(floor, 20);
            assert_eq!(sockets.iter().filter(|socket| socket.is_some()).count(), 2);
        }
    }

    #[test]
    fn other_views_are_refused_on_both_sides() {
        let addresses = free_addresses(2);
        let other = addresses.clone();
        let thread = std::thread::spawn(move || {
            connect(&other, &hello(1, &other, "one", 0), Duration::from_secs(20))
        });
        let here = connect(&addresses, &hello(0, &addresses, "two", 0), Duration::from_secs(20));
        assert!(matches!(here, Err(ClusterError::Mismatch { peer: 1, .. })), "{here:?}");
        assert!(thread.join().unwrap().is_err());
    }

    #[test]
    fn a_missing_peer_is_named_and_a_stranger_is_not_taken_for_it() {
        let addresses = free_addresses(2);
        let to = addresses[0].clone();
        let stranger = std::thread::spawn(move || {
            for _ in 0..100 {
                if let Ok(mut socket) = TcpStream::connect(&to) {
                    return socket.write_all(&[b'x'; 200]).is_ok();
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            false
        });
        let result = connect(&addresses, &hello(0, &addresses, "", 0), Duration::from_secs(1));
        assert!(matches!(result, Err(ClusterError::Missing { peer: 1, .. })), "{result:?}");
        assert!(stranger.join().unwrap());
    }
}
