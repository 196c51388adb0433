//! The greeting: the first message on a connection, which identifies a process.

use bincode::Options;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::config::Cluster;
use super::error::ClusterError;
use super::secret::Nonce;

/// The purpose of a connection. Each kind is connected after the one before it; the connection to a peer at another
/// stage is closed, and the peer tries again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The traffic of the dataflow.
    Dataflow,
    /// The connection that detects lost peers.
    Watch,
}

impl Purpose {
    const fn magic(self) -> u64 {
        u64::from_be_bytes(match self {
            Purpose::Dataflow => *b"dayfold\x03",
            Purpose::Watch => *b"dayfold\x04",
        })
    }
}

/// The length of a greeting; the connection of a stranger that sends other bytes is closed.
pub(super) const GREETING_BYTES: usize = 88;

/// A greeting as sent: the identity of a process, and the number to which a proof on this connection is bound.
pub(super) type Greeting = [u8; GREETING_BYTES];

/// A process that has greeted.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Greeted {
    /// A process that may be a peer, for the same purpose.
    Peer(Hello),
    /// A process at a later or earlier stage.
    Early,
    Stranger,
}

/// A process's description of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Hello {
    magic: u64,
    pub(super) process: u64,
    pub(super) processes: u64,
    threads: u64,
    /// A hash of the version: only the same version understands the messages after the greeting.
    version: u64,
    /// 1 if it has a secret.
    secured: u64,
    /// A checksum of all the above, so that bytes of other protocols do not pass for a greeting.
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
            secured: u64::from(cluster.secret.is_some()),
            checksum: 0,
        };
        Hello { checksum: hello.sum(), ..hello }
    }

    pub(super) fn sum(&self) -> u64 {
        let fields = [self.process, self.processes, self.threads, self.version, self.secured];
        let bytes: Vec<u8> = fields.iter().flat_map(|field| field.to_le_bytes()).collect();
        xxh3_64(&bytes) ^ self.magic
    }

    pub(super) fn has_secret(&self) -> bool {
        self.secured != 0
    }

    /// The greeting on a connection of this nonce.
    pub(super) fn greeting(&self, nonce: &Nonce) -> Greeting {
        let mut greeting = [0; GREETING_BYTES];
        let (hello, end) = greeting.split_at_mut(GREETING_BYTES - nonce.len());
        codec().serialize_into(hello, self).expect("a greeting has room for what it says");
        end.copy_from_slice(nonce);
        greeting
    }

    /// The sender of a greeting.
    pub(super) fn read(&self, greeting: &Greeting) -> Greeted {
        let hello = &greeting[..GREETING_BYTES - size_of::<Nonce>()];
        let Ok(hello) = codec().deserialize::<Hello>(hello) else { return Greeted::Stranger };
        let known = [Purpose::Dataflow, Purpose::Watch].map(Purpose::magic);
        let is_ours = hello.checksum == hello.sum()
            && known.contains(&hello.magic)
            && hello.process < hello.processes;
        match is_ours {
            true if hello.magic == self.magic => Greeted::Peer(hello),
            true => Greeted::Early,
            false => Greeted::Stranger,
        }
    }

    /// Checks a peer that is expected to be process `peer`.
    pub(super) fn check(&self, theirs: &Hello, peer: usize) -> Result<(), ClusterError> {
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

fn codec() -> impl Options {
    bincode::DefaultOptions::new().with_fixint_encoding()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn greetings_are_read_as_they_were_written() {
        let addresses = vec!["127.0.0.1:1".to_owned(), "127.0.0.1:2".to_owned()];
        let cluster = Cluster::hosts(3, 1, addresses).unwrap();
        let hello = Hello::new(&cluster, Purpose::Dataflow);
        let greeting = hello.greeting(&[7; 32]);
        assert_eq!(hello.read(&greeting), Greeted::Peer(hello));
        assert_eq!(greeting[56..], [7; 32]);
        let watch = Hello::new(&cluster, Purpose::Watch);
        assert_eq!(watch.read(&greeting), Greeted::Early);
        for at in 0..56 {
            let mut damaged = greeting;
            damaged[at] ^= 64;
            assert_eq!(hello.read(&damaged), Greeted::Stranger, "byte {at}");
        }
        let forged = Hello { process: 7, ..hello };
        let forged = Hello { checksum: forged.sum(), ..forged };
        let greeted = hello.read(&forged.greeting(&[0; 32]));
        assert_eq!(greeted, Greeted::Stranger, "an index beyond its own cluster");
    }
}
