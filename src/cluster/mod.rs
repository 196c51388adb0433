//! Several workers, several processes: who they are, and how the processes find each other.
//!
//! Timely connects processes without a time-out and without looking at who connects. So the processes
//! shake hands themselves, on the same addresses: each one tells its index, the size of the cluster
//! and its number of workers, then what it computes and which data folder it sees, and refuses a peer that
//! says otherwise, before anything is written. When all have opened the folder, timely gets the sockets. A
//! second connection between each two of them tells a peer that is lost from one that leaves, by name,
//! and one that hangs.
//!
//! With a [`Secret`], each connection begins with a proof by both sides that they know it, so that nobody else
//! takes a process's place. The traffic afterwards is neither encrypted nor authenticated. Addresses default to
//! the loopback interface.
//! [docs/cluster.md](https://docs.rs/crate/dayfold/latest/source/docs/cluster.md) says how to run it on
//! several machines.

mod agree;
mod door;
mod handshake;
mod hello;
mod secret;
mod strangers;
mod watch;

use std::any::Any;
use std::net::ToSocketAddrs;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use timely::communication::Hooks;
use timely::communication::allocator::zero_copy::initialize::initialize_networking_from_sockets;
use timely::communication::allocator::{AllocatorBuilder, ProcessBuilder};

use agree::Connected;
pub(crate) use agree::{SeenFolder, Word};
use hello::{Hello, Purpose};
pub use secret::Secret;
use watch::Peer;
pub(crate) use watch::{Notice, Watch};

/// The first port of a cluster without a list of hosts; process `p` listens on this plus `p`.
const FIRST_PORT: u16 = 2101;

/// The workers of a program, over one or more processes.
#[derive(Clone, Debug)]
pub struct Cluster {
    threads: usize,
    process: usize,
    addresses: Vec<String>,
    patience: Duration,
    secret: Option<Secret>,
}

impl Cluster {
    /// One process with this many workers (at least one).
    pub fn workers(threads: usize) -> Cluster {
        let addresses = vec![String::new()];
        Cluster {
            threads: threads.max(1),
            process: 0,
            addresses,
            patience: Duration::from_secs(60),
            secret: None,
        }
    }

    /// Process `process` of `processes` on this machine, each with this many workers, connected over
    /// the loopback interface, ports 2101 and up.
    ///
    /// # Errors
    /// [`ClusterError::Index`] unless `process < processes`.
    pub fn local(
        threads: usize,
        process: usize,
        processes: usize,
    ) -> Result<Cluster, ClusterError> {
        let port = |index: usize| FIRST_PORT.saturating_add(index as u16);
        let addresses = (0..processes).map(|index| format!("127.0.0.1:{}", port(index))).collect();
        Cluster::hosts(threads, process, addresses)
    }

    /// Process `process` of as many as there are addresses (`host:port`, in order of process).
    ///
    /// # Errors
    /// [`ClusterError::Index`] unless there is an address for `process`.
    pub fn hosts(
        threads: usize,
        process: usize,
        addresses: Vec<String>,
    ) -> Result<Cluster, ClusterError> {
        if process >= addresses.len() {
            return Err(ClusterError::Index { process, processes: addresses.len() });
        }
        Ok(Cluster { addresses, process, ..Cluster::workers(threads) })
    }

    /// What timely's arguments say, of a program that has no others: `Cluster::from_args(std::env::args())`. See
    /// [`Cluster::from_options`] for what they are. Besides these, `--secret-file FILE` names a file with the
    /// [`Secret`] of the cluster.
    ///
    /// # Errors
    /// [`ClusterError::Arguments`] with what timely says of them, [`ClusterError::Index`] and
    /// [`ClusterError::SecretFile`].
    pub fn from_args(args: impl Iterator<Item = String>) -> Result<Cluster, ClusterError> {
        use timely::CommunicationConfig::{Cluster as Processes, Process, ProcessBinary, Thread};

        let (args, secret_file) = without_secret_file(args)?;
        let config = timely::Config::from_args(args.into_iter());
        let config = config.map_err(|reason| ClusterError::Arguments { reason })?;
        let cluster = match config.communication {
            Thread => Cluster::workers(1),
            Process(threads) | ProcessBinary(threads) => Cluster::workers(threads),
            Processes { threads, process, addresses, .. } => {
                Cluster::hosts(threads, process, addresses)?
            }
        };
        match secret_file {
            Some(path) => Ok(cluster.secret(Secret::from_file(Path::new(&path))?)),
            None => Ok(cluster),
        }
    }

    /// What timely's arguments say: `-w` workers, `-n` processes, `-p` this one, `-h` a file with one
    /// `host:port` a line.
    ///
    /// # Errors
    /// [`ClusterError::Index`] and [`ClusterError::HostFile`].
    pub fn from_options(
        threads: usize,
        processes: usize,
        process: usize,
        hosts: Option<&Path>,
    ) -> Result<Cluster, ClusterError> {
        if processes <= 1 && process == 0 {
            return Ok(Cluster::workers(threads));
        }
        let Some(path) = hosts else { return Cluster::local(threads, process, processes) };
        let host_file = |reason: String| ClusterError::HostFile { path: path.to_owned(), reason };
        let text = std::fs::read_to_string(path).map_err(|error| host_file(error.to_string()))?;
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let addresses: Vec<String> = lines.take(processes).map(str::to_owned).collect();
        if addresses.len() < processes {
            let found = addresses.len();
            return Err(host_file(format!("{found} addresses, expected {processes}")));
        }
        Cluster::hosts(threads, process, addresses)
    }

    /// How long to wait for the other processes; one minute unless set.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Cluster {
        self.patience = patience;
        self
    }

    /// The secret that the processes share: nobody who does not know it can take the place of one. All have to
    /// have the same, or all none.
    #[must_use]
    pub fn secret(mut self, secret: Secret) -> Cluster {
        self.secret = Some(secret);
        self
    }

    /// The index of this process.
    pub fn process(&self) -> usize {
        self.process
    }

    /// How many processes there are.
    pub fn processes(&self) -> usize {
        self.addresses.len()
    }

    /// How many workers there are, over all processes.
    pub fn peers(&self) -> usize {
        self.threads * self.processes()
    }

    /// How many workers each process has.
    pub(crate) fn threads(&self) -> usize {
        self.threads
    }

    /// The indexes of this process's workers among all.
    pub fn local_workers(&self) -> Range<usize> {
        self.process * self.threads..(self.process + 1) * self.threads
    }

    /// Connects with the other processes, and agrees with them on what is computed and over which folder.
    pub(crate) fn meet(self, word: &Word) -> Result<Met, ClusterError> {
        let mut met = Met { cluster: self, peers: Vec::new() };
        if met.cluster.processes() == 1 {
            return Ok(met);
        }
        met.cluster.warn_if_open();
        met.peers = met.cluster.connect(Purpose::Dataflow)?;
        for (peer, theirs) in met.exchange(word)? {
            if let Some((what, theirs, ours)) = word.difference(&theirs) {
                return Err(ClusterError::Mismatch { peer, what, theirs, ours });
            }
        }
        Ok(met)
    }

    fn connect(&self, purpose: Purpose) -> Result<Vec<Connected>, ClusterError> {
        let hello = Hello::new(self, purpose);
        handshake::connect(&self.addresses, &hello, self.secret.as_ref(), self.patience)
    }

    /// Warns if whoever reaches this process's port could take the place of another process.
    fn warn_if_open(&self) {
        let address = &self.addresses[self.process];
        let found = address.to_socket_addrs().into_iter().flatten();
        if self.secret.is_none() && found.into_iter().any(|address| !address.ip().is_loopback()) {
            tracing::warn!(
                "whoever reaches {address} may take the place of a process: give all processes the same \
                 --secret-file, or let nobody else reach it"
            );
        }
    }
}

/// Arguments without `--secret-file FILE`, which timely does not know, and the file.
fn without_secret_file(
    args: impl Iterator<Item = String>,
) -> Result<(Vec<String>, Option<String>), ClusterError> {
    let (mut others, mut file, mut args) = (Vec::new(), None, args);
    while let Some(arg) = args.next() {
        let named = match arg.strip_prefix("--secret-file") {
            Some("") => args.next(),
            Some(rest) if rest.starts_with('=') => Some(rest[1..].to_owned()),
            _ => {
                others.push(arg);
                continue;
            }
        };
        let reason = || "--secret-file: expected the name of a file".to_owned();
        file = Some(named.ok_or_else(|| ClusterError::Arguments { reason: reason() })?);
    }
    Ok((others, file))
}

fn encode<M: Serialize>(message: &M) -> Vec<u8> {
    bincode::serialize(message).expect("a message is plain data")
}

/// Connected processes of a cluster that agree, and have not begun yet.
pub(crate) struct Met {
    cluster: Cluster,
    peers: Vec<Connected>,
}

impl Met {
    pub(crate) fn is_alone(&self) -> bool {
        self.peers.is_empty()
    }

    /// The cluster whose processes have met.
    pub(crate) fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Tells all others something, and hears theirs, by process: none goes on before all have said it.
    pub(crate) fn exchange<M: Serialize + DeserializeOwned>(
        &mut self,
        message: &M,
    ) -> Result<Vec<(usize, M)>, ClusterError> {
        let message = encode(message);
        let messages = vec![message; self.peers.len()];
        self.exchange_all(&messages)
    }

    /// As [`Met::exchange`], but tells each of the others something of its own.
    pub(crate) fn tell<M: Serialize + DeserializeOwned>(
        &mut self,
        message: impl Fn(usize) -> M,
    ) -> Result<Vec<(usize, M)>, ClusterError> {
        let messages = self.peers.iter().map(|peer| encode(&message(peer.process)));
        let messages: Vec<Vec<u8>> = messages.collect();
        self.exchange_all(&messages)
    }

    fn exchange_all<M: DeserializeOwned>(
        &mut self,
        messages: &[Vec<u8>],
    ) -> Result<Vec<(usize, M)>, ClusterError> {
        let heard = agree::exchange(&mut self.peers, messages)?;
        let read = |(peer, message): (usize, Vec<u8>)| {
            let decoded = bincode::deserialize(&message);
            let address = || self.cluster.addresses[peer].clone();
            let message = decoded.map_err(|_| ClusterError::Left { peer, address: address() })?;
            Ok((peer, message))
        };
        heard.into_iter().map(read).collect()
    }

    /// Hands the connections to timely.
    pub(crate) fn join(self) -> Result<Joined, ClusterError> {
        let Met { cluster, peers } = self;
        let threads = cluster.threads;
        if cluster.processes() == 1 {
            let communication = match threads {
                1 => timely::CommunicationConfig::Thread,
                threads => timely::CommunicationConfig::Process(threads),
            };
            let built = communication.try_build();
            let (builders, guard) = built.map_err(|reason| ClusterError::Timely { reason })?;
            return Ok(Joined { threads, builders, guard, peers: Vec::new() });
        }
        let broken = |error: std::io::Error| ClusterError::Timely { reason: error.to_string() };
        let watched = cluster.connect(Purpose::Watch)?;
        let watched = watched.into_iter().map(Peer::new).collect::<Result<_, _>>();
        let mut sockets: Vec<_> = cluster.addresses.iter().map(|_| None).collect();
        for Connected { process, socket, .. } in peers {
            socket.set_read_timeout(None).map_err(broken)?;
            sockets[process] = Some(socket);
        }
        let hooks = Hooks::default();
        let local = ProcessBuilder::new_typed_vector(threads, hooks.refill.clone(), None);
        let (builders, guard) =
            initialize_networking_from_sockets(local, sockets, cluster.process, threads, hooks)
                .map_err(broken)?;
        let builders = builders.into_iter().map(AllocatorBuilder::Tcp).collect();
        let peers = watched.map_err(broken)?;
        Ok(Joined { threads, builders, guard: Box::new(guard), peers })
    }
}

/// The way to this process's workers, once all processes agree.
pub(crate) struct Joined {
    threads: usize,
    pub(crate) builders: Vec<AllocatorBuilder>,
    pub(crate) guard: Box<dyn Any + Send>,
    peers: Vec<Peer>,
}

impl Joined {
    /// Watches the other processes, if there are any.
    pub(crate) fn watch(
        &mut self,
        report: impl Fn(usize, &str, Notice) + Send + 'static,
    ) -> Result<Option<Watch>, ClusterError> {
        if self.peers.is_empty() {
            return Ok(None);
        }
        let watch = Watch::start(std::mem::take(&mut self.peers), report);
        let reason = |error: std::io::Error| ClusterError::Timely { reason: error.to_string() };
        watch.map(Some).map_err(reason)
    }

    pub(crate) fn threads(&self) -> usize {
        self.threads
    }
}

/// Why processes did not find together. Nothing has been read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClusterError {
    /// The index is not one of the cluster.
    #[error("process {process} of {processes}: expected an index from 0 to the count less one")]
    Index {
        /// The index given.
        process: usize,
        /// The count given.
        processes: usize,
    },
    /// The arguments are not timely's, or do not fit each other.
    #[error("{reason}")]
    Arguments {
        /// What timely says.
        reason: String,
    },
    /// The list of hosts cannot be used.
    #[error("host file {path}: {reason}")]
    HostFile {
        /// The file.
        path: std::path::PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// This process cannot listen on its address.
    #[error(
        "cannot listen on {address}: {source}; each process listens on its own address, the one that the \
         list of hosts has for its index"
    )]
    Listen {
        /// The address.
        address: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// Peers did not come in time.
    #[error(
        "process {peers}: no answer within {waited:?}{strangers}: start all processes, each with its own \
         index and the same addresses"
    )]
    Missing {
        /// Their indexes and addresses.
        peers: String,
        /// How long was waited.
        waited: Duration,
        /// Who else has called meanwhile, by address; empty if nobody has.
        strangers: String,
    },
    /// A secret is too short to be one.
    #[error(
        "a secret of {found} bytes, expected {least} or more: `head -c 32 /dev/urandom | base64` makes one"
    )]
    WeakSecret {
        /// How many bytes it has.
        found: usize,
        /// How many it has to have.
        least: usize,
    },
    /// The file of the secret cannot be used.
    #[error("secret file {path}: {reason}")]
    SecretFile {
        /// The file.
        path: std::path::PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A peer does not have this process's secret.
    #[error(
        "process {peer}: {reason}: give all processes the same --secret-file (Cluster::secret)"
    )]
    Secret {
        /// The peer's index.
        peer: usize,
        /// What differs.
        reason: String,
    },
    /// A peer has ended before all had begun.
    #[error(
        "process {peer} at {address} ended before all had begun: see what it says, and start all again"
    )]
    Left {
        /// The peer's index.
        peer: usize,
        /// Its address.
        address: String,
    },
    /// A peer is not the one expected, or computes something else.
    #[error("process {peer}: {what} is {theirs} there and {ours} here")]
    Mismatch {
        /// The peer's index.
        peer: usize,
        /// What differs.
        what: String,
        /// The peer's.
        theirs: String,
        /// This process's.
        ours: String,
    },
    /// A peer refuses its data folder.
    #[error("process {peer}: {reason}")]
    Refused {
        /// The peer's index.
        peer: usize,
        /// What it says.
        reason: String,
    },
    /// Timely could not be started.
    #[error("the workers cannot be connected: {reason}")]
    Timely {
        /// What timely said.
        reason: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_file_is_found_among_timelys_arguments() {
        let split = |args: &str| without_secret_file(args.split(' ').map(str::to_owned));
        for args in ["x -w 2 --secret-file FILE -n 1", "x -w 2 --secret-file=FILE -n 1"] {
            let (others, file) = split(args).unwrap();
            assert_eq!(
                (others.join(" "), file.as_deref()),
                ("x -w 2 -n 1".to_owned(), Some("FILE"))
            );
        }
        assert!(split("x --secret-file").is_err());
        assert_eq!(split("x -w 2").unwrap().1, None);
    }
}
