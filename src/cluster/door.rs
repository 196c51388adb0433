//! Accepts callers. All greetings are received side by side, so that silent callers hold nobody up.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use super::error::ClusterError;
use super::hello::{GREETING_BYTES, Greeted, Greeting, Hello};
use super::secret::{Proof, Role, Secret, nonce};
use super::strangers::{Strangers, Why};

/// How long a connected peer may take for its greeting and its proof.
const GREETING_LIMIT: Duration = Duration::from_secs(5);

/// The most greetings that are waited for. When one more connection comes, the one that has been silent for longest is
/// closed.
const CALLERS: usize = 128;

/// An answerer's verdict on a caller's proof. If it was right, the answerer's own proof follows.
pub(super) const PROVEN: u8 = b'+';
pub(super) const NOT_PROVEN: u8 = b'-';

/// Answers callers.
pub(super) struct Door {
    listener: TcpListener,
    hello: Hello,
    secret: Option<Secret>,
    callers: VecDeque<Caller>,
    strangers: Strangers,
}

impl Door {
    pub(super) fn open(
        address: &str,
        hello: Hello,
        secret: Option<Secret>,
    ) -> Result<Door, ClusterError> {
        let listen = |source| ClusterError::Listen { address: address.to_owned(), source };
        let listener = TcpListener::bind(address).map_err(listen)?;
        listener.set_nonblocking(true).map_err(listen)?;
        let (callers, strangers) = (VecDeque::new(), Strangers::default());
        Ok(Door { listener, hello, secret, callers, strangers })
    }

    /// The possible peers that have greeted since the last call. It does not wait.
    pub(super) fn look(&mut self, now: Instant) -> Vec<(TcpStream, Hello)> {
        let mut greeted = Vec::new();
        // Takes only as many at once as there is room for, so that a flood of connections does not keep it here.
        for _ in 0..CALLERS {
            let Ok((socket, from)) = self.listener.accept() else { break };
            self.make_room(now);
            // A connection that cannot be set up is already closed.
            self.callers.extend(Caller::new(socket, from.ip(), now));
        }
        for mut caller in std::mem::take(&mut self.callers) {
            match caller.go_on(&self.hello, self.secret.as_ref(), now) {
                Step::Waits => self.callers.push_back(caller),
                Step::Greeted(hello) => greeted.push((caller.socket, hello)),
                // It will try again.
                Step::Early => {}
                Step::Stranger(why) => self.close(&caller, why, now),
            }
        }
        greeted
    }

    /// Callers that were not peers.
    pub(super) fn strangers(&self) -> &Strangers {
        &self.strangers
    }

    fn make_room(&mut self, now: Instant) {
        if self.callers.len() < CALLERS {
            return;
        }
        let silent = self.callers.iter().position(|caller| caller.said.is_empty());
        if let Some(caller) = self.callers.remove(silent.unwrap_or(0)) {
            self.close(&caller, Why::Silent, now);
        }
    }

    fn close(&mut self, caller: &Caller, why: Why, now: Instant) {
        let Some(others) = self.strangers.note(caller.from, why, now) else { return };
        let from = caller.from;
        match others {
            0 => tracing::warn!("a connection from {from} {why} was closed"),
            _ => tracing::warn!(
                "a connection from {from} {why} was closed, and {others} others since the last warning"
            ),
        }
    }
}

/// A connection that is not known to be a peer's yet.
struct Caller {
    socket: TcpStream,
    from: IpAddr,
    until: Instant,
    /// Everything received from it: its greeting and its proof.
    said: Vec<u8>,
    /// Its claimed identity and both greetings, once it has been greeted.
    greeted: Option<(Hello, Vec<u8>)>,
}

/// The state of a caller.
enum Step {
    Waits,
    Greeted(Hello),
    Early,
    Stranger(Why),
}

impl Caller {
    fn new(socket: TcpStream, from: IpAddr, now: Instant) -> Option<Caller> {
        socket.set_nonblocking(true).ok()?;
        socket.set_nodelay(true).ok()?;
        let until = now + GREETING_LIMIT;
        Some(Caller { socket, from, until, said: Vec::new(), greeted: None })
    }

    fn go_on(&mut self, hello: &Hello, secret: Option<&Secret>, now: Instant) -> Step {
        match self.step(hello, secret) {
            Ok(Step::Waits) if now >= self.until => Step::Stranger(Why::Silent),
            Ok(step) => step,
            Err(error) if error.kind() == ErrorKind::WouldBlock => Step::Waits,
            Err(_) => Step::Stranger(Why::HungUp),
        }
    }

    fn step(&mut self, hello: &Hello, secret: Option<&Secret>) -> io::Result<Step> {
        if self.greeted.is_none() {
            if !self.hear(GREETING_BYTES)? {
                return Ok(Step::Waits);
            }
            let greeting: Greeting = self.said.as_slice().try_into().map_err(io::Error::other)?;
            let theirs = match hello.read(&greeting) {
                Greeted::Peer(theirs) => theirs,
                Greeted::Early => return Ok(Step::Early),
                Greeted::Stranger => return Ok(Step::Stranger(Why::Garbled)),
            };
            let answer = hello.greeting(&nonce()?);
            // It fits into the buffer of a new connection.
            (&self.socket).write_all(&answer)?;
            self.greeted = Some((theirs, [greeting, answer].concat()));
        }
        let Some((theirs, greetings)) = self.greeted.clone() else { return Ok(Step::Waits) };
        match (secret, theirs.has_secret()) {
            (Some(_), false) => return Ok(Step::Stranger(Why::NoSecret)),
            // Without its own secret, this process cannot tell peers from strangers, so it reports the difference.
            (None, _) => return self.welcome(theirs),
            (Some(_), true) => {}
        }
        if !self.hear(GREETING_BYTES + size_of::<Proof>())? {
            return Ok(Step::Waits);
        }
        let proof: Proof = self.said[GREETING_BYTES..].try_into().map_err(io::Error::other)?;
        match secret {
            Some(secret) if secret.is_proof(&proof, Role::Caller, &greetings) => {
                let own = secret.prove(Role::Answerer, &greetings);
                (&self.socket).write_all(&[&[PROVEN][..], &own].concat())?;
                self.welcome(theirs)
            }
            _ => {
                let _ = (&self.socket).write_all(&[NOT_PROVEN; 1 + size_of::<Proof>()]);
                Ok(Step::Stranger(Why::OtherSecret))
            }
        }
    }

    fn welcome(&self, theirs: Hello) -> io::Result<Step> {
        self.socket.set_nonblocking(false)?;
        Ok(Step::Greeted(theirs))
    }

    /// Whether it has sent this many bytes. Further bytes stay unread.
    fn hear(&mut self, expected: usize) -> io::Result<bool> {
        let mut bytes = [0; GREETING_BYTES];
        while self.said.len() < expected {
            let left = (expected - self.said.len()).min(bytes.len());
            match self.socket.read(&mut bytes[..left]) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(read) => self.said.extend_from_slice(&bytes[..read]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Cluster;
    use crate::cluster::hello::Purpose;

    fn door(secret: Option<&str>) -> Door {
        let hello = hello(0, secret);
        let secret = secret.map(|secret| Secret::new(secret.as_bytes()).unwrap());
        Door::open("127.0.0.1:0", hello, secret).unwrap()
    }

    fn hello(process: usize, secret: Option<&str>) -> Hello {
        let cluster = Cluster::hosts(1, process, vec![String::new(); 2]).unwrap();
        let cluster = match secret {
            Some(secret) => cluster.secret(Secret::new(secret.as_bytes()).unwrap()),
            None => cluster,
        };
        Hello::new(&cluster, Purpose::Dataflow)
    }

    fn call(door: &Door) -> TcpStream {
        TcpStream::connect(door.listener.local_addr().unwrap()).unwrap()
    }

    /// Checks until that is so.
    fn until(door: &mut Door, mut is_so: impl FnMut(&Door, &[(TcpStream, Hello)]) -> bool) {
        let mut greeted = Vec::new();
        while !is_so(door, &greeted) {
            greeted.extend(door.look(Instant::now()));
            std::thread::yield_now();
        }
    }

    #[test]
    fn forty_who_say_nothing_hold_nobody_up() {
        let mut door = door(None);
        let _silent: Vec<_> = (0..40).map(|_| call(&door)).collect();
        let mut peer = call(&door);
        peer.write_all(&hello(1, None).greeting(&[1; 32])).unwrap();
        until(&mut door, |_, greeted| greeted.len() == 1);
        assert_eq!(door.callers.len(), 40, "they have time");
        door.look(Instant::now() + GREETING_LIMIT);
        assert_eq!((door.callers.len(), door.strangers.count(Why::Silent)), (0, 40));
    }

    #[test]
    fn whoever_is_silent_for_longest_makes_room() {
        let mut door = door(None);
        let mut early = call(&door);
        early.write_all(&[b'd'; 10]).unwrap();
        until(&mut door, |door, _| door.callers.iter().any(|caller| !caller.said.is_empty()));
        let mut open = Vec::new();
        for calls in 1..=CALLERS as u64 + 40 {
            open.push(call(&door));
            until(&mut door, |door, _| {
                door.callers.len() as u64 + door.strangers.count(Why::Silent) == calls + 1
            });
            assert!(door.callers.len() <= CALLERS);
        }
        assert_eq!(door.callers.len(), CALLERS);
        assert!(door.callers.iter().any(|caller| caller.said.len() == 10), "it has said something");
    }

    #[test]
    fn a_proof_of_another_connection_is_none() {
        let secret = "the secret of this cluster";
        let (mut door, caller) = (door(Some(secret)), hello(1, Some(secret)));
        let greeting = caller.greeting(&[1; 32]);
        let knows = Secret::new(secret.as_bytes()).unwrap();
        let mut replayed = None;
        for is_first in [true, false] {
            let mut socket = call(&door);
            socket.write_all(&greeting).unwrap();
            until(&mut door, |door, _| door.callers.iter().any(|c| c.greeted.is_some()));
            let mut answer = [0; GREETING_BYTES];
            socket.read_exact(&mut answer).unwrap();
            let right = knows.prove(Role::Caller, &[greeting, answer].concat());
            // The second time, the proof of the first time is replayed.
            socket.write_all(replayed.get_or_insert(right)).unwrap();
            until(&mut door, |door, greeted| {
                greeted.len() == usize::from(is_first) && door.callers.is_empty()
            });
            let mut verdict = [0; 33];
            socket.read_exact(&mut verdict).unwrap();
            assert_eq!(verdict[0], if is_first { PROVEN } else { NOT_PROVEN });
        }
        assert_eq!(door.strangers.count(Why::OtherSecret), 1);
    }

    #[test]
    fn what_the_door_has_said_is_no_proof_when_it_is_sent_back() {
        let secret = "the secret of this cluster";
        let mut door = door(Some(secret));
        let mut socket = call(&door);
        let greeting = hello(1, Some(secret)).greeting(&[1; 32]);
        socket.write_all(&greeting).unwrap();
        until(&mut door, |door, _| door.callers.iter().any(|caller| caller.greeted.is_some()));
        let mut answer = [0; GREETING_BYTES];
        socket.read_exact(&mut answer).unwrap();
        // Only the nonce is sent back; nothing is proven before the caller has proven itself.
        socket.write_all(&answer[56..]).unwrap();
        until(&mut door, |door, _| door.callers.is_empty());
        assert_eq!(door.strangers.count(Why::OtherSecret), 1);
        let mut rest = Vec::new();
        socket.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, [NOT_PROVEN; 33]);
    }

    #[test]
    fn strangers_are_counted_by_what_they_did() {
        let mut door = door(Some("the secret of this cluster"));
        let mut garbled = call(&door);
        garbled.write_all(&[b'x'; GREETING_BYTES]).unwrap();
        drop(call(&door));
        let mut bare = call(&door);
        bare.write_all(&hello(1, None).greeting(&[1; 32])).unwrap();
        until(&mut door, |door, greeted| {
            assert!(greeted.is_empty());
            [Why::Garbled, Why::HungUp, Why::NoSecret].map(|why| door.strangers.count(why))
                == [1, 1, 1]
        });
    }
}
