//! Watches which other processes are still running.
//!
//! Timely notices that a connection has ended, but not whose, and does not notice a peer that hangs. So each pair of
//! processes has one more connection. On it, each side sends a heartbeat twice a second, and a goodbye before it leaves
//! in order. A peer whose connection ends without a goodbye is lost.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::agree::Connected;

/// How often the connections are checked.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How often a process sends a heartbeat.
const BEAT_EVERY: Duration = Duration::from_millis(500);

/// How long a peer may be silent before that is reported.
const SILENT_AFTER: Duration = Duration::from_secs(5);

const HERE: u8 = b'.';
const GOODBYE: u8 = b'!';

/// An event of a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// Its connection has ended without a goodbye.
    Lost,
    /// It has been silent for this long, and is still connected.
    Silent(Duration),
    /// It was silent, and has sent a heartbeat again.
    Back,
}

/// A connection to a peer.
pub(super) struct Peer {
    process: usize,
    address: String,
    socket: TcpStream,
    heard: Instant,
    silent: bool,
}

impl Peer {
    pub(super) fn new(connected: Connected) -> std::io::Result<Peer> {
        let Connected { process, address, socket } = connected;
        socket.set_nonblocking(true)?;
        Ok(Peer { process, address, socket, heard: Instant::now(), silent: false })
    }

    /// The event since the last call. `None` as the second value: the peer has left or is lost.
    fn look(&mut self) -> (Option<Notice>, Option<()>) {
        let mut bytes = [0; 64];
        loop {
            match self.socket.read(&mut bytes) {
                Ok(0) => return (Some(Notice::Lost), None),
                Ok(read) if bytes[..read].contains(&GOODBYE) => return (None, None),
                Ok(_) => self.heard = Instant::now(),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => return (Some(Notice::Lost), None),
            }
        }
        let silence = self.heard.elapsed();
        let notice = match (self.silent, silence >= SILENT_AFTER) {
            (false, true) => Some(Notice::Silent(silence)),
            (true, false) => Some(Notice::Back),
            _ => None,
        };
        self.silent = silence >= SILENT_AFTER;
        (notice, Some(()))
    }

    /// A peer that does not read will be reported as silent; a lost peer, at the next call.
    fn say(&mut self, word: u8) {
        let _ = self.socket.write(&[word]);
    }
}

/// Watches the other processes, until it is dropped.
pub(crate) struct Watch {
    /// Whether to say goodbye.
    leave: Option<mpsc::Sender<bool>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Watch {
    /// Calls `report` with each event, its process and its address.
    pub(super) fn start(
        mut peers: Vec<Peer>,
        report: impl Fn(usize, &str, Notice) + Send + 'static,
    ) -> std::io::Result<Watch> {
        let (leave, leaving) = mpsc::channel();
        let watch = move || {
            let mut beat = Instant::now();
            loop {
                match leaving.recv_timeout(LOOK_EVERY) {
                    Err(mpsc::RecvTimeoutError::Timeout) => {}
                    Ok(true) => return peers.iter_mut().for_each(|peer| peer.say(GOODBYE)),
                    Ok(false) | Err(mpsc::RecvTimeoutError::Disconnected) => return,
                }
                if beat.elapsed() >= BEAT_EVERY {
                    beat = Instant::now();
                    peers.iter_mut().for_each(|peer| peer.say(HERE));
                }
                peers.retain_mut(|peer| {
                    let (notice, here) = peer.look();
                    if let Some(notice) = notice {
                        report(peer.process, &peer.address, notice);
                    }
                    here.is_some()
                });
            }
        };
        let thread = std::thread::Builder::new().name("dayfold:peers".to_owned()).spawn(watch)?;
        Ok(Watch { leave: Some(leave), thread: Some(thread) })
    }

    /// Ends the watch. `goodbye` tells the others that this process leaves in order.
    pub(crate) fn leave(mut self, goodbye: bool) {
        self.end(goodbye);
    }

    fn end(&mut self, goodbye: bool) {
        if let Some(leave) = self.leave.take() {
            // If the thread has ended, there is nobody to tell.
            let _ = leave.send(goodbye);
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.end(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let there = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (listener.accept().unwrap().0, there)
    }

    fn watch(socket: TcpStream) -> (Watch, mpsc::Receiver<(usize, Notice)>) {
        let (sender, notices) = mpsc::channel();
        let address = "there:1".to_owned();
        let peer = Peer::new(Connected { process: 7, address, socket }).unwrap();
        let report = move |process, address: &str, notice| {
            assert_eq!(address, "there:1");
            drop(sender.send((process, notice)));
        };
        (Watch::start(vec![peer], report).unwrap(), notices)
    }

    #[test]
    fn one_that_ends_without_a_word_is_lost() {
        let (here, there) = pair();
        let (_watch, notices) = watch(here);
        drop(there);
        assert_eq!(notices.recv().unwrap(), (7, Notice::Lost));
    }

    #[test]
    fn one_that_says_goodbye_is_not() {
        let (here, there) = pair();
        let (watch_here, notices) = watch(here);
        let (watch_there, _notices) = watch(there);
        watch_there.leave(true);
        // The peer is not watched any more; the sender ends with the thread.
        watch_here.leave(true);
        assert_eq!(notices.recv(), Err(mpsc::RecvError));
    }

    #[test]
    fn one_that_leaves_in_disorder_is_lost() {
        let (here, there) = pair();
        let (_watch, notices) = watch(here);
        let (watch_there, _notices) = watch(there);
        watch_there.leave(false);
        assert_eq!(notices.recv().unwrap(), (7, Notice::Lost));
    }

    #[test]
    fn one_that_says_nothing_is_reported_and_so_is_its_return() {
        let (here, mut there) = pair();
        let (_watch, notices) = watch(here);
        let (process, notice) = notices.recv().unwrap();
        assert!(matches!(notice, Notice::Silent(silence) if silence >= SILENT_AFTER));
        there.write_all(&[HERE]).unwrap();
        assert_eq!((process, notices.recv().unwrap()), (7, (7, Notice::Back)));
    }
}
