//! Why processes did not connect.

use std::time::Duration;

/// Why processes did not connect. Nothing has been read or written.
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
    /// The arguments are not timely's, or contradict each other.
    #[error("{reason}")]
    Arguments {
        /// Timely's message.
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
        /// The system's error.
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
        /// The time waited.
        waited: Duration,
        /// The addresses of other callers meanwhile; empty if there were none.
        strangers: String,
    },
    /// A secret is too short.
    #[error(
        "a secret of {found} bytes, expected {least} or more: `head -c 32 /dev/urandom | base64` makes one"
    )]
    WeakSecret {
        /// How many bytes it has.
        found: usize,
        /// The least number of bytes.
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
    /// A peer has ended before all had started.
    #[error(
        "process {peer} at {address} ended before all had begun: see what it says, and start all again"
    )]
    Left {
        /// The peer's index.
        peer: usize,
        /// Its address.
        address: String,
    },
    /// A peer is not the expected one, or computes something else.
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
        /// Its message.
        reason: String,
    },
    /// Timely could not be started.
    #[error("the workers cannot be connected: {reason}")]
    Timely {
        /// Timely's message.
        reason: String,
    },
}
