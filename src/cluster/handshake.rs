//! The handshake: a full mesh of sockets between the processes of one cluster.
//!
//! Each process calls those with a lower index and answers those with a higher one. On each connection the caller
//! greets first, and the answerer greets back. With a secret, the caller then proves that it knows it, and the answerer
//! tells whether the proof was right, with its own. A proof covers both greetings, and each greeting has a random
//! number for this connection, so messages of another connection prove nothing.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::agree::Connected;
use super::door::{Door, PROVEN};
use super::error::ClusterError;
use super::hello::{GREETING_BYTES, Greeted, Hello};
use super::secret::{Proof, Role, Secret, nonce};

/// How often to call a process that does not answer.
const RETRY_EVERY: Duration = Duration::from_millis(50);

/// How often to check for callers.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// How long a connection may take to be opened, before the next try.
const DIAL_LIMIT: Duration = Duration::from_secs(3);

/// How often a thread that waits for an answer checks whether to give up.
const WAIT_SLICE: Duration = Duration::from_millis(100);

/// Connects with all other processes: calls every lower one, and meanwhile answers every higher one.
pub(super) fn connect(
    addresses: &[String],
    hello: &Hello,
    secret: Option<&Secret>,
    patience: Duration,
) -> Result<Vec<Connected>, ClusterError> {
    let mine = hello.process as usize;
    let mut door = Door::open(&addresses[mine], *hello, secret.cloned())?;
    let mesh = Mesh {
        addresses,
        hello: *hello,
        secret,
        deadline: Instant::now() + patience,
        is_over: AtomicBool::new(false),
        found: Mutex::default(),
    };
    std::thread::scope(|scope| {
        let mesh = &mesh;
        (0..mine).for_each(|peer| drop(scope.spawn(move || mesh.call(peer))));
        mesh.answer(&mut door);
        mesh.is_over.store(true, Ordering::Relaxed);
    });
    let FoundPeers { mut peers, failure } =
        mesh.found.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some(failure) = failure {
        return Err(failure);
    }
    peers.sort_by_key(|peer| peer.process);
    let is_there = |process: usize| peers.iter().any(|peer| peer.process == process);
    let late = (0..addresses.len()).filter(|process| *process != mine && !is_there(*process));
    let late: Vec<String> =
        late.map(|process| format!("{process} at {}", addresses[process])).collect();
    if late.is_empty() {
        return Ok(peers);
    }
    let strangers = door.strangers().to_string();
    Err(ClusterError::Missing { peers: late.join(", "), waited: patience, strangers })
}

/// Connections that are being made.
struct Mesh<'a> {
    addresses: &'a [String],
    hello: Hello,
    secret: Option<&'a Secret>,
    deadline: Instant,
    is_over: AtomicBool,
    found: Mutex<FoundPeers>,
}

#[derive(Default)]
struct FoundPeers {
    peers: Vec<Connected>,
    /// The first reason why there will be no cluster.
    failure: Option<ClusterError>,
}

impl Mesh<'_> {
    fn found(&self) -> MutexGuard<'_, FoundPeers> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed) || Instant::now() >= self.deadline
    }

    fn add(&self, process: usize, socket: TcpStream) {
        let address = self.addresses[process].clone();
        self.found().peers.push(Connected { process, address, socket });
    }

    fn fail(&self, error: ClusterError) {
        self.found().failure.get_or_insert(error);
        self.is_over.store(true, Ordering::Relaxed);
    }

    /// Answers until all are connected, an error occurs, or the time is over.
    fn answer(&self, door: &mut Door) {
        while self.found().peers.len() + 1 < self.addresses.len() && !self.is_over() {
            for (socket, theirs) in door.look(Instant::now()) {
                match self.check(&theirs) {
                    Ok(process) => self.add(process, socket),
                    Err(error) => return self.fail(error),
                }
            }
            if let Some(left) = self.left() {
                return self.fail(left);
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// The process that has called, if it is an expected one.
    fn check(&self, theirs: &Hello) -> Result<usize, ClusterError> {
        let from = theirs.process as usize;
        let is_there = self.found().peers.iter().any(|peer| peer.process == from);
        let is_taken = is_there || from <= self.hello.process as usize;
        if theirs.processes == self.hello.processes && is_taken {
            let (theirs, ours) = (format!("{from}"), "taken by another process".to_owned());
            let what = "its index".to_owned();
            return Err(ClusterError::Mismatch { peer: from, what, theirs, ours });
        }
        if let Some(error) = self.secrets_differ(from, theirs) {
            return Err(error);
        }
        self.hello.check(theirs, from)?;
        Ok(from)
    }

    fn secrets_differ(&self, peer: usize, theirs: &Hello) -> Option<ClusterError> {
        let reason = match (theirs.has_secret(), self.secret.is_some()) {
            (true, false) => "it has a secret, and this process has none",
            (false, true) => "it has no secret, and this process has one",
            _ => return None,
        };
        Some(ClusterError::Secret { peer, reason: reason.to_owned() })
    }

    /// The error about a peer that has hung up while others are waited for.
    fn left(&self) -> Option<ClusterError> {
        let found = self.found();
        let gone = found.peers.iter().find(|peer| is_closed(&peer.socket))?;
        Some(ClusterError::Left { peer: gone.process, address: gone.address.clone() })
    }

    /// Calls a lower process until it answers with a greeting.
    fn call(&self, peer: usize) {
        while !self.is_over() {
            let found = self.addresses[peer].to_socket_addrs().ok();
            let address = found.and_then(|mut found| found.next());
            let dialled = address.map(|to| TcpStream::connect_timeout(&to, DIAL_LIMIT));
            if let Some(Ok(socket)) = dialled {
                match self.introduce(&socket, peer) {
                    Ok(Ok(())) => return self.add(peer, socket),
                    Ok(Err(error)) => return self.fail(error),
                    // It is at another stage or ending, so it is called again.
                    Err(_) => {}
                }
            }
            std::thread::sleep(RETRY_EVERY);
        }
    }

    /// Greets a process that was called, and proves knowledge of the secret.
    fn introduce(&self, mut to: &TcpStream, peer: usize) -> io::Result<Result<(), ClusterError>> {
        to.set_nodelay(true)?;
        let greeting = self.hello.greeting(&nonce()?);
        to.write_all(&greeting)?;
        let mut answer = [0; GREETING_BYTES];
        self.hear(to, &mut answer)?;
        let Greeted::Peer(theirs) = self.hello.read(&answer) else {
            return Err(ErrorKind::InvalidData.into());
        };
        if let Some(error) = self.secrets_differ(peer, &theirs) {
            return Ok(Err(error));
        }
        if let Some(secret) = self.secret {
            let said = [greeting, answer].concat();
            to.write_all(&secret.prove(Role::Caller, &said))?;
            let (mut verdict, mut proof): ([u8; 1], Proof) = ([0], [0; 32]);
            self.hear(to, &mut verdict)?;
            self.hear(to, &mut proof)?;
            if verdict != [PROVEN] || !secret.is_proof(&proof, Role::Answerer, &said) {
                let reason = "it has another secret than this process".to_owned();
                return Ok(Err(ClusterError::Secret { peer, reason }));
            }
        }
        to.set_read_timeout(None)?;
        Ok(self.hello.check(&theirs, peer))
    }

    /// Fills `bytes` without a time limit, because a process may be busy before it answers.
    fn hear(&self, mut from: &TcpStream, mut bytes: &mut [u8]) -> io::Result<()> {
        from.set_read_timeout(Some(WAIT_SLICE))?;
        while !bytes.is_empty() {
            match from.read(bytes) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(read) => bytes = &mut bytes[read..],
                Err(error) if is_late(&error) && !self.is_over() => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn is_late(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// Whether the other side has hung up without sending anything. Received bytes stay unread.
fn is_closed(socket: &TcpStream) -> bool {
    let peeked = socket.set_nonblocking(true).and_then(|()| socket.peek(&mut [0]));
    let is_open = socket.set_nonblocking(false).is_ok();
    match peeked {
        Ok(bytes) => bytes == 0,
        Err(error) => !is_open || error.kind() != ErrorKind::WouldBlock,
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::cluster::Cluster;
    use crate::cluster::hello::Purpose;

    fn free_addresses(count: usize) -> Vec<String> {
        let listeners: Vec<TcpListener> =
            (0..count).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        listeners.iter().map(|listener| listener.local_addr().unwrap().to_string()).collect()
    }

    /// A process of that many workers.
    fn process(process: usize, addresses: &[String], threads: usize) -> Cluster {
        Cluster::hosts(threads, process, addresses.to_vec()).unwrap().patience(LIMIT)
    }

    const LIMIT: Duration = Duration::from_secs(20);

    /// Connects as a process does, over its configured addresses or others.
    fn connect(addresses: &[String], cluster: &Cluster) -> Result<Vec<Connected>, ClusterError> {
        let hello = Hello::new(cluster, Purpose::Dataflow);
        super::connect(addresses, &hello, cluster.secret.as_ref(), cluster.patience)
    }

    /// Connects some processes, each on its own thread.
    fn connect_all(
        addresses: &[String],
        processes: &[Cluster],
    ) -> Vec<Result<Vec<Connected>, ClusterError>> {
        std::thread::scope(|scope| {
            let start = |cluster| scope.spawn(move || connect(addresses, cluster));
            let threads: Vec<_> = processes.iter().map(start).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        })
    }

    #[test]
    fn three_processes_are_connected_in_order() {
        let addresses = free_addresses(3);
        for secret in [None, Some(Secret::new(b"the secret of this cluster").unwrap())] {
            let processes = [2, 0, 1].map(|index| {
                let process = process(index, &addresses, 2);
                match &secret {
                    Some(secret) => process.secret(secret.clone()),
                    None => process,
                }
            });
            let results = connect_all(&addresses, &processes);
            for (result, others) in results.into_iter().zip([[0, 1], [1, 2], [0, 2]]) {
                let found: Vec<_> = result.unwrap().iter().map(|peer| peer.process).collect();
                assert_eq!(found, others);
            }
        }
    }

    #[test]
    fn other_counts_are_refused_on_both_sides() {
        let addresses = free_addresses(2);
        let more = [addresses.clone(), free_addresses(1)].concat();
        for (other, counts) in [(process(1, &addresses, 1), "(-w)"), (process(1, &more, 2), "(-n)")]
        {
            for result in connect_all(&addresses, &[process(0, &addresses, 2), other]) {
                let error = result.unwrap_err().to_string();
                assert!(error.contains(counts), "{error}");
            }
        }
    }

    #[test]
    fn another_secret_or_none_is_an_error_on_both_sides() {
        let secret = |text: &str| Secret::new(text.as_bytes()).unwrap();
        let (ours, theirs) = ("the secret of this cluster", "the secret of another one");
        // The answering process, the calling process, and the error of each.
        let cases = [
            (Some(ours), Some(theirs), "from 127.0.0.1 with another secret", "another secret"),
            (Some(ours), None, "from 127.0.0.1 without the secret", "it has a secret"),
            (None, Some(theirs), "it has a secret, and this", "it has no secret, and this"),
        ];
        for (answers, calls, first, second) in cases {
            let addresses = free_addresses(2);
            let with = |index: usize, text: Option<&str>, patience| {
                let process = process(index, &addresses, 1).patience(patience);
                text.map_or(process.clone(), |text| process.secret(secret(text)))
            };
            // Strangers cannot prevent its start, so it waits for the right process as long as usual.
            let processes = [with(0, answers, Duration::from_secs(2)), with(1, calls, LIMIT)];
            for (result, expected) in
                connect_all(&addresses, &processes).into_iter().zip([first, second])
            {
                let error = result.unwrap_err().to_string();
                assert!(error.contains(expected), "{answers:?}, {calls:?}: {error}");
                assert!(!error.contains(ours) && !error.contains(theirs), "{error}");
            }
        }
    }

    #[test]
    fn one_who_does_not_know_the_secret_takes_nobodys_place() {
        let addresses = free_addresses(2);
        let secret = Secret::new(b"the secret of this cluster").unwrap();
        let other = Secret::new(b"the secret of another one").unwrap();
        let imposters = [process(1, &addresses, 1), process(1, &addresses, 1).secret(other)];
        std::thread::scope(|scope| {
            let first = process(0, &addresses, 1).secret(secret.clone());
            let addresses = &addresses;
            let first = scope.spawn(move || connect(addresses, &first));
            for imposter in &imposters {
                // The address of the real process is another one.
                let hello = Hello::new(imposter, Purpose::Dataflow);
                let mesh = Mesh {
                    addresses,
                    hello,
                    secret: imposter.secret.as_ref(),
                    deadline: Instant::now() + LIMIT,
                    is_over: AtomicBool::new(false),
                    found: Mutex::default(),
                };
                mesh.call(0);
                assert!(mesh.found().failure.is_some(), "it is refused");
            }
            let second = process(1, addresses, 1).secret(secret);
            assert_eq!(connect(addresses, &second).unwrap().len(), 1);
            assert_eq!(first.join().unwrap().unwrap().len(), 1);
        });
    }

    #[test]
    fn one_that_leaves_is_named_by_those_that_it_had_greeted() {
        let addresses = free_addresses(3);
        let hello = Hello::new(&process(0, &addresses, 2), Purpose::Dataflow);
        let mut door = Door::open(&addresses[0], hello, None).unwrap();
        let middle = std::thread::scope(|scope| {
            let middle = scope.spawn(|| connect(&addresses, &process(1, &addresses, 2)));
            while door.look(Instant::now()).is_empty() {
                std::thread::yield_now();
            }
            middle.join().unwrap()
        });
        assert!(matches!(middle, Err(ClusterError::Left { peer: 0, .. })), "{middle:?}");
    }

    #[test]
    fn those_that_are_missing_are_named_and_a_stranger_is_not_taken_for_one() {
        let addresses = free_addresses(3);
        let to = addresses[1].clone();
        let stranger = std::thread::spawn(move || {
            for _ in 0..100 {
                if let Ok(mut socket) = TcpStream::connect(&to) {
                    return socket.write_all(&[b'x'; 200]).is_ok();
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            false
        });
        let waits = process(1, &addresses, 1).patience(Duration::from_secs(1));
        let error = connect(&addresses, &waits).unwrap_err().to_string();
        let expected = format!(
            "process 0 at {}, 2 at {}: no answer within 1s (meanwhile were closed: 1 connection from \
             127.0.0.1 with no greeting of this program): start",
            addresses[0], addresses[2]
        );
        assert!(error.contains(&expected), "{error}");
        assert!(stranger.join().unwrap());
    }
}
