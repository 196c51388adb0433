//! The handshake: a full mesh of sockets between the processes of one cluster.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use bincode::Options;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::agree::Connected;
use super::{Cluster, ClusterError};

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
const HELLO_BYTES: usize = 48;

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
    /// A hash of the version: what comes after the greeting is understood by the same version alone.
    version: u64,
    /// Of all the above: other protocols' bytes do not pass for a greeting.
    checksum: u64,
}

impl Hello {
    pub(super) fn new(cluster: &Cluster, purpose: Purpose) -> Hello {
        let hello = Hello {
            magic: purpose.magic(),
            process: cluster.process as u64,
            processes: cluster.processes() as u64,
            threads: cluster.threads as u64,
            version: xxh3_64(env!("CARGO_PKG_VERSION").as_bytes()),
            checksum: 0,
        };
        Hello { checksum: hello.sum(), ..hello }
    }

    fn sum(&self) -> u64 {
        let fields = [self.process, self.processes, self.threads, self.version];
        let bytes: Vec<u8> = fields.iter().flat_map(|field| field.to_le_bytes()).collect();
        xxh3_64(&bytes) ^ self.magic
    }

    fn send(&self, mut to: &TcpStream) -> io::Result<()> {
        let bytes = codec().serialize(self).map_err(io::Error::other)?;
        debug_assert_eq!(bytes.len(), HELLO_BYTES);
        to.write_all(&bytes)
    }

    /// Reads a greeting, all of which has to come within `limit`.
    fn receive(&self, from: &TcpStream, limit: Duration) -> io::Result<Greeting> {
        let mut bytes = [0; HELLO_BYTES];
        read_within(from, &mut bytes, limit)?;
        let hello: Hello = codec().deserialize(&bytes).map_err(io::Error::other)?;
        let known = [Purpose::Dataflow, Purpose::Watch].map(Purpose::magic);
        let is_ours = hello.checksum == hello.sum()
            && known.contains(&hello.magic)
            && hello.process < hello.processes;
        Ok(match is_ours {
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
            ("the hash of the program's version", theirs.version, self.version),
        ];
        for (what, theirs, ours) in pairs {
            if theirs != ours {
                let (theirs, ours) = (theirs.to_string(), ours.to_string());
                let what = what.to_owned();
                return Err(ClusterError::Mismatch { peer, what, theirs, ours });
            }
        }
        Ok(())
    }
}

/// Fills `bytes`. A read limit of the socket itself would begin anew with each byte that comes.
fn read_within(mut from: &TcpStream, mut bytes: &mut [u8], limit: Duration) -> io::Result<()> {
    let deadline = Instant::now() + limit;
    while !bytes.is_empty() {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        from.set_read_timeout(Some(left))?;
        match from.read(bytes) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => bytes = &mut bytes[read..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn codec() -> impl Options {
    bincode::DefaultOptions::new().with_fixint_encoding()
}

/// Connects with every lower process and awaits every higher one.
pub(super) fn connect(
    addresses: &[String],
    hello: &Hello,
    patience: Duration,
) -> Result<Vec<Connected>, ClusterError> {
    let mine = hello.process as usize;
    let deadline = Instant::now() + patience;
    let address = &addresses[mine];
    let listen = |source| ClusterError::Listen { address: address.clone(), source };
    let listener = TcpListener::bind(address.as_str()).map_err(listen)?;
    listener.set_nonblocking(true).map_err(listen)?;

    let mut peers: Vec<Connected> = Vec::new();
    let connected = |process: usize, socket| {
        let address = addresses[process].clone();
        Connected { process, address, socket }
    };
    for peer in 0..mine {
        let found = call(&addresses[peer], hello, deadline);
        let (socket, theirs) = found.ok_or_else(|| missing(&[peer], addresses, patience))?;
        hello.check(&theirs, peer)?;
        peers.push(connected(peer, socket));
    }
    while peers.len() + 1 < addresses.len() {
        if let Some(gone) = peers.iter().find(|peer| is_closed(&peer.socket)) {
            return Err(ClusterError::Left { peer: gone.process, address: gone.address.clone() });
        }
        let is_there = |process: usize| peers.iter().any(|peer| peer.process == process);
        if Instant::now() >= deadline {
            let late: Vec<_> = (mine + 1..addresses.len()).filter(|p| !is_there(*p)).collect();
            return Err(missing(&late, addresses, patience));
        }
        let Some((socket, theirs)) = answer(&listener, hello) else { continue };
        let from = theirs.process as usize;
        let is_taken = is_there(from) || from <= mine;
        if theirs.processes == hello.processes && is_taken {
            let (theirs, ours) = (format!("{from}"), "taken by another process".to_owned());
            let what = "its index".to_owned();
            return Err(ClusterError::Mismatch { peer: from, what, theirs, ours });
        }
        hello.check(&theirs, from)?;
        peers.push(connected(from, socket));
    }
    peers.sort_by_key(|peer| peer.process);
    Ok(peers)
}

fn missing(late: &[usize], addresses: &[String], patience: Duration) -> ClusterError {
    let at = |process: &usize| format!("{process} at {}", addresses[*process]);
    let late: Vec<String> = late.iter().map(at).collect();
    ClusterError::Missing { peers: late.join(", "), waited: patience }
}

/// Whether the other side has hung up, with nothing said. What it may have said stays to be read.
fn is_closed(socket: &TcpStream) -> bool {
    let peeked = socket.set_nonblocking(true).and_then(|()| socket.peek(&mut [0]));
    let is_open = socket.set_nonblocking(false).is_ok();
    match peeked {
        Ok(bytes) => bytes == 0,
        Err(error) => !is_open || error.kind() != io::ErrorKind::WouldBlock,
    }
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

/// Answers a caller, if there is one and it greets; strangers are hung up on.
fn answer(listener: &TcpListener, hello: &Hello) -> Option<(TcpStream, Hello)> {
    let Ok((socket, from)) = listener.accept() else {
        std::thread::sleep(RETRY_EVERY);
        return None;
    };
    match greet(&socket, hello, GREETING_LIMIT, false) {
        Ok(Greeting::Peer(theirs)) => return Some((socket, theirs)),
        // It will try again.
        Ok(Greeting::Early) => {}
        Ok(Greeting::Stranger) | Err(_) => {
            tracing::warn!(%from, "a connection that is not from this cluster was closed")
        }
    }
    None
}

fn greet(socket: &TcpStream, hello: &Hello, limit: Duration, first: bool) -> io::Result<Greeting> {
    socket.set_nonblocking(false)?;
    socket.set_nodelay(true)?;
    if first {
        hello.send(socket)?;
    }
    let theirs = hello.receive(socket, limit.max(RETRY_EVERY))?;
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

    fn hello(process: usize, addresses: &[String], threads: usize) -> Hello {
        let cluster = Cluster::hosts(threads, process, addresses.to_vec()).unwrap();
        Hello::new(&cluster, Purpose::Dataflow)
    }

    const LIMIT: Duration = Duration::from_secs(20);

    /// Connects each of some processes, on a thread of its own.
    fn connect_all(
        addresses: &[String],
        hellos: Vec<Hello>,
    ) -> Vec<Result<Vec<Connected>, ClusterError>> {
        std::thread::scope(|scope| {
            let connect = |hello: &Hello| {
                let hello = *hello;
                scope.spawn(move || connect(addresses, &hello, LIMIT))
            };
            let threads: Vec<_> = hellos.iter().map(connect).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        })
    }

    #[test]
    fn three_processes_are_connected_in_order() {
        let addresses = free_addresses(3);
        let hellos = [2, 0, 1].map(|process| hello(process, &addresses, 2)).to_vec();
        for (result, others) in
            connect_all(&addresses, hellos).into_iter().zip([[0, 1], [1, 2], [0, 2]])
        {
            let found: Vec<_> = result.unwrap().iter().map(|peer| peer.process).collect();
            assert_eq!(found, others);
        }
    }

    #[test]
    fn other_counts_are_refused_on_both_sides() {
        let addresses = free_addresses(2);
        let more = [addresses.clone(), free_addresses(1)].concat();
        for (other, counts) in [(hello(1, &addresses, 1), "(-w)"), (hello(1, &more, 2), "(-n)")] {
            for result in connect_all(&addresses, vec![hello(0, &addresses, 2), other]) {
                let error = result.unwrap_err().to_string();
                assert!(error.contains(counts), "{error}");
            }
        }
    }

    #[test]
    fn one_that_leaves_is_named_by_those_that_it_had_greeted() {
        let addresses = free_addresses(3);
        let listener = TcpListener::bind(&addresses[0]).unwrap();
        let middle = std::thread::scope(|scope| {
            let middle = scope.spawn(|| connect(&addresses, &hello(1, &addresses, 2), LIMIT));
            let called = std::iter::repeat_with(|| answer(&listener, &hello(0, &addresses, 2)));
            drop(called.flatten().next());
            middle.join().unwrap()
        });
        assert!(matches!(middle, Err(ClusterError::Left { peer: 0, .. })), "{middle:?}");
    }

    #[test]
    fn those_that_are_missing_are_named_and_a_stranger_is_not_taken_for_one() {
        let addresses = free_addresses(3);
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
        let result = connect(&addresses, &hello(0, &addresses, 1), Duration::from_secs(1));
        let error = result.unwrap_err().to_string();
        let expected =
            format!("process 1 at {}, 2 at {}: no answer within 1s", addresses[1], addresses[2]);
        assert!(error.contains(&expected), "{error}");
        assert!(stranger.join().unwrap());
    }

    #[test]
    fn an_index_beyond_its_own_cluster_is_a_strangers() {
        let addresses = free_addresses(3);
        let forged = Hello { process: 7, ..hello(1, &addresses, 1) };
        let forged = Hello { checksum: forged.sum(), ..forged };
        let listener = TcpListener::bind(&addresses[0]).unwrap();
        let caller = TcpStream::connect(&addresses[0]).unwrap();
        forged.send(&caller).unwrap();
        let (socket, _) = listener.accept().unwrap();
        let greeting = hello(0, &addresses, 1).receive(&socket, LIMIT).unwrap();
        assert!(matches!(greeting, Greeting::Stranger));
    }

    #[test]
    fn a_greeting_that_comes_byte_by_byte_has_no_more_time() {
        let addresses = free_addresses(1);
        let listener = TcpListener::bind(&addresses[0]).unwrap();
        let mut caller = TcpStream::connect(&addresses[0]).unwrap();
        let (socket, _) = listener.accept().unwrap();
        let slow = std::thread::spawn(move || {
            for _ in 0..HELLO_BYTES {
                std::thread::sleep(Duration::from_millis(20));
                if caller.write_all(b"x").is_err() {
                    break;
                }
            }
        });
        let received = hello(0, &addresses, 1).receive(&socket, Duration::from_millis(200));
        assert!(received.is_err(), "it takes nearly a second");
        drop(socket);
        slow.join().unwrap();
    }
}
