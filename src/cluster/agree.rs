//! Connected processes compare what they compute, and over which folder, before they begin.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::error::ClusterError;

/// The most bytes of a message before the start.
const MESSAGE_BYTES: usize = 1 << 30;

/// How often to log the process that the others wait for.
const NAMED_EVERY: Duration = Duration::from_secs(5);

/// The agreement, as each process sees it.
const FOLDER: &str = "the data folder";

/// The data folder, as seen by one process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SeenFolder {
    pub(crate) path: String,
    /// `None` if no run has begun in it.
    pub(crate) identity: Option<u128>,
}

impl fmt::Display for SeenFolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = &self.path;
        match self.identity {
            None => write!(f, "{path} (new)"),
            Some(identity) => write!(f, "{path} ({identity:032x})"),
        }
    }
}

/// The description of a process. All processes must have the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Word {
    /// Names and values that define the computation: views, zones, sources.
    pub(crate) computes: Vec<(String, String)>,
    pub(crate) folder: Option<SeenFolder>,
}

impl Word {
    /// The first difference, as `(what, theirs, ours)`.
    pub(super) fn difference(&self, theirs: &Word) -> Option<(String, String, String)> {
        let value = |word: &Word, at: usize| match word.computes.get(at) {
            Some((what, value)) => (what.clone(), value.clone()),
            None => (String::new(), "none".to_owned()),
        };
        let count = self.computes.len().max(theirs.computes.len());
        let differs = |at: &usize| self.computes.get(*at) != theirs.computes.get(*at);
        if let Some(at) = (0..count).find(differs) {
            let ((what, ours), (other, theirs)) = (value(self, at), value(theirs, at));
            return Some(match (what == other, what.is_empty()) {
                (true, _) => (what, theirs, ours),
                (false, true) => (other, theirs, ours),
                (false, false) => (what, if other.is_empty() { theirs } else { other }, ours),
            });
        }
        let differ = match (&self.folder, &theirs.folder) {
            // A new folder, such as that of a machine that had none, takes the identity of the others.
            (Some(ours), Some(theirs)) => {
                ours.identity.zip(theirs.identity).is_some_and(|(ours, theirs)| ours != theirs)
            }
            (None, None) => false,
            _ => true,
        };
        if !differ {
            return None;
        }
        let name = |word: &Word| {
            word.folder.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string)
        };
        Some((FOLDER.to_owned(), name(theirs), name(self)))
    }
}

/// A connected process.
#[derive(Debug)]
pub(super) struct Connected {
    pub(super) process: usize,
    pub(super) address: String,
    pub(super) socket: TcpStream,
}

impl Connected {
    /// Sends a message: its length, and itself.
    fn send(&self, message: &[u8]) -> Result<(), ClusterError> {
        if message.len() > MESSAGE_BYTES {
            let reason = format!("a process has {} bytes to tell the others", message.len());
            return Err(ClusterError::Timely { reason });
        }
        let mut socket = &self.socket;
        let sent = socket.write_all(&(message.len() as u32).to_le_bytes());
        sent.and_then(|()| socket.write_all(message)).map_err(|_| self.left())
    }

    /// Waits for a message without a time limit, because its sender may have much to read before. Logs the name of the
    /// sender meanwhile.
    fn receive(&self) -> Result<Vec<u8>, ClusterError> {
        let mut length = [0; 4];
        self.read(&mut length)?;
        let length = u32::from_le_bytes(length) as usize;
        if length > MESSAGE_BYTES {
            return Err(self.left());
        }
        let mut message = vec![0; length];
        self.read(&mut message)?;
        Ok(message)
    }

    fn read(&self, mut into: &mut [u8]) -> Result<(), ClusterError> {
        let is_set = self.socket.set_read_timeout(Some(NAMED_EVERY));
        is_set.map_err(|error| ClusterError::Timely { reason: error.to_string() })?;
        let began = Instant::now();
        let mut socket = &self.socket;
        while !into.is_empty() {
            match socket.read(into) {
                Ok(0) => return Err(self.left()),
                Ok(read) => into = &mut into[read..],
                Err(error) if is_late(&error) => {
                    let (process, address, waited) = (self.process, &self.address, began.elapsed());
                    tracing::warn!(
                        "process {process} at {address} is not ready after {} s; all wait for it",
                        waited.as_secs()
                    );
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Err(self.left()),
            }
        }
        Ok(())
    }

    fn left(&self) -> ClusterError {
        ClusterError::Left { peer: self.process, address: self.address.clone() }
    }
}

fn is_late(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// Sends a message to each of the others, and receives theirs. All messages are received before anything is compared,
/// so that no process closes a connection with unread data.
pub(super) fn exchange(
    peers: &mut [Connected],
    messages: &[Vec<u8>],
) -> Result<Vec<(usize, Vec<u8>)>, ClusterError> {
    std::thread::scope(|scope| {
        // Sends and receives at the same time, because the other side may be sending a long message as well.
        let send = |(peer, message): (&'_ Connected, &'_ Vec<u8>)| peer.send(message);
        let sending: Vec<_> =
            peers.iter().zip(messages).map(|told| scope.spawn(move || send(told))).collect();
        let heard: Vec<_> = peers.iter().map(|peer| Ok((peer.process, peer.receive()?))).collect();
        // A process that has left may have said why, so the messages of the others are read all the same.
        let heard = heard.into_iter().collect::<Result<_, _>>()?;
        for sent in sending {
            sent.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        }
        Ok(heard)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(computes: &[(&str, &str)], identity: Option<u128>) -> Word {
        let own = |(what, value): &(&str, &str)| ((*what).to_owned(), (*value).to_owned());
        let folder = Some(SeenFolder { path: "/data".to_owned(), identity });
        Word { computes: computes.iter().map(own).collect(), folder }
    }

    #[track_caller]
    fn check(ours: &Word, theirs: &Word, expected: Option<(&str, &str, &str)>) {
        let own = |(what, theirs, ours): (&str, &str, &str)| {
            (what.to_owned(), theirs.to_owned(), ours.to_owned())
        };
        assert_eq!(ours.difference(theirs), expected.map(own));
    }

    #[test]
    fn differences_are_told_with_both_sides() {
        let utc = word(&[("view a: zone", "UTC")], None);
        let more = word(&[("view a: zone", "UTC"), ("view b: zone", "UTC")], None);
        check(&utc, &utc, None);
        check(
            &utc,
            &word(&[("view a: zone", "Asia/Tokyo")], None),
            Some(("view a: zone", "Asia/Tokyo", "UTC")),
        );
        check(&utc, &more, Some(("view b: zone", "UTC", "none")));
        check(&more, &utc, Some(("view b: zone", "none", "UTC")));
        let folder = FOLDER;
        let seven = format!("/data ({:032x})", 7);
        check(&utc, &Word { folder: None, ..utc.clone() }, Some((folder, "none", "/data (new)")));
        check(&utc, &word(&[("view a: zone", "UTC")], Some(7)), None);
        check(
            &word(&[("view a: zone", "UTC")], Some(8)),
            &word(&[("view a: zone", "UTC")], Some(7)),
            Some((folder, &seven, &format!("/data ({:032x})", 8))),
        );
    }
}
