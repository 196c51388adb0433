//! Connected processes, and how timely gets their connections.

use std::any::Any;
use std::net::ToSocketAddrs;

use serde::Serialize;
use serde::de::DeserializeOwned;
use timely::communication::Hooks;
use timely::communication::allocator::zero_copy::initialize::initialize_networking_from_sockets;
use timely::communication::allocator::{AllocatorBuilder, ProcessBuilder};

use super::agree::{self, Connected, Word};
use super::config::Cluster;
use super::error::ClusterError;
use super::handshake;
use super::hello::{Hello, Purpose};
use super::watch::{Notice, Peer, Watch};

impl Cluster {
    /// Connects with the other processes, and checks that all compute the same over the same folder.
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

    /// Warns if anybody who reaches this process's port could take the place of another process.
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

    /// A cluster of connected processes.
    pub(crate) fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Sends a message to all others, and returns theirs, by process. No process continues before all have sent theirs.
    pub(crate) fn exchange<M: Serialize + DeserializeOwned>(
        &mut self,
        message: &M,
    ) -> Result<Vec<(usize, M)>, ClusterError> {
        let message = encode(message);
        let messages = vec![message; self.peers.len()];
        self.exchange_all(&messages)
    }

    /// As [`Met::exchange`], but with a different message for each process.
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

/// Starts this process's workers, once all processes agree.
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
